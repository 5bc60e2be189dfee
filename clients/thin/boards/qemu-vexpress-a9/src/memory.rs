//! The client's memory.

use core::ptr::addr_of_mut;

use wavry_thin::Memory;

/// Bytes of each picture buffer: more than a screen full of noise takes, with its parity.
const PICTURE_LEN: usize = 1_400_000;

static mut PICTURES: [[u8; PICTURE_LEN]; 2] = [[0; PICTURE_LEN]; 2];
static mut MEMORY: Memory = Memory::new();

/// All of it, but for the picture buffers; and those.
///
/// # Safety
/// Called once.
pub unsafe fn take() -> (&'static mut Memory, [&'static mut [u8]; 2]) {
    // SAFETY: the caller's promise: nobody else has it.
    let memory = unsafe { &mut *addr_of_mut!(MEMORY) };
    // SAFETY: as above.
    let [one, other] = unsafe { &mut *addr_of_mut!(PICTURES) };
    (memory, [&mut one[..], &mut other[..]])
}
