//! How much stack was ever used: it is painted at the start, and what is still painted was never touched.

const PAINT: u32 = 0xc0de_5ac5;
/// Left alone below the painter's own frame, in words.
const MARGIN: usize = 64;

unsafe extern "C" {
    static mut _sys_stack_low_end: u32;
    static _sys_stack_high_end: u32;
}

/// Paints what is free of the stack. Called first of all.
pub fn paint() {
    let mut here = 0_u32;
    let low = &raw mut _sys_stack_low_end;
    let words = (&raw mut here as usize - low as usize) / 4 - MARGIN;
    for index in 0..words {
        // SAFETY: below this frame and above the stack's low end nothing is in use; interrupts are off.
        unsafe { low.add(index).write_volatile(PAINT) };
    }
}

/// Bytes of stack ever used, and bytes there are.
pub fn used() -> (usize, usize) {
    let (low, high) = (&raw const _sys_stack_low_end, &raw const _sys_stack_high_end);
    let size = high as usize - low as usize;
    // SAFETY: reads the stack's own memory, word by word.
    let free = (0..size / 4).take_while(|&index| unsafe { low.add(index).read_volatile() } == PAINT).count();
    (size - free * 4, size)
}
