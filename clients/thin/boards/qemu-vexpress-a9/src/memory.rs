//! The client's memory.

use core::ptr::addr_of_mut;

use wavry_thin::{Memory, Room, State};

/// Bytes of each picture buffer: more than a screen full of noise takes, with its parity.
const PICTURE_LEN: usize = 1_400_000;

static mut PICTURES: [[u8; PICTURE_LEN]; 2] = [[0; PICTURE_LEN]; 2];
static mut MEMORY: Memory = Memory::new();
static mut STATE: State = State::new();

/// All of it.
///
/// # Safety
/// Called once.
pub unsafe fn take() -> Room {
    // SAFETY: the caller's promise: nobody else has it.
    let memory = unsafe { &mut *addr_of_mut!(MEMORY) };
    // SAFETY: as above.
    let state = unsafe { &mut *addr_of_mut!(STATE) };
    // SAFETY: as above; any bytes are bytes.
    let [one, other] = unsafe { &mut *addr_of_mut!(PICTURES) };
    Room { memory, state, pictures: [&mut one[..], &mut other[..]] }
}
