//! How much stack was ever used: it is painted at the start, and what is still painted was never touched.

use crate::machine;

const PAINT: u32 = 0xc0de_5ac5;
/// Left alone below the painter's own frame, in words.
const MARGIN: usize = 64;

/// Paints what is free of the stack. Called first of all, with interrupts off.
pub fn paint() {
    let mut here = 0_u32;
    let (low, _) = machine::stack();
    let words = (&raw mut here as usize - low as usize) / 4 - MARGIN;
    for index in 0..words {
        // SAFETY: below this frame and above the stack's low end nothing is in use.
        unsafe { low.add(index).write_volatile(PAINT) };
    }
}

/// Bytes of stack ever used, and bytes there are.
pub fn used() -> (usize, usize) {
    let (low, high) = machine::stack();
    let size = high as usize - low as usize;
    // SAFETY: reads the stack's own memory, word by word.
    let is_painted = |index: &usize| unsafe { low.add(*index).read_volatile() } == PAINT;
    (size - (0..size / 4).take_while(is_painted).count() * 4, size)
}
