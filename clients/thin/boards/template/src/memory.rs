//! The client's memory.

use core::ptr::addr_of_mut;

use wavry_thin::{Memory, Room, State};

/// HERE: bytes of each picture buffer, as many as the board can spare and at least 16 KiB. The host is told, and sends what is
/// more in several pictures, coarse at first.
const PICTURE_LEN: usize = 32 << 10;

static mut MEMORY: Memory = Memory::new();
static mut STATE: State = State::new();
static mut PICTURES: [[u8; PICTURE_LEN]; 2] = [[0; PICTURE_LEN]; 2];

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
