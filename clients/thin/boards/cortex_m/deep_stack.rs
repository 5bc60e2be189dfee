//! Another stack for the few things that need a deep one for a moment: on a Cortex-M, in memory that the usual one could not
//! spare. Included by the boards' programs.

use core::ffi::c_void;

const PAINT: u32 = 0xc0de_5ac5;

/// The memory of a second stack.
pub struct DeepStack {
    words: &'static mut [u32],
}

impl DeepStack {
    /// A stack in this memory, which is the smaller the more alignment takes off its end.
    pub fn new(words: &'static mut [u32]) -> Self {
        words.fill(PAINT);
        Self { words }
    }

    /// Runs `work` on it.
    pub fn run(&mut self, mut work: &mut dyn FnMut()) {
        // AAPCS: the stack is a multiple of 8 bytes.
        let top = self.words.as_mut_ptr_range().end as usize & !7;
        let work = (&raw mut work).cast::<c_void>();
        // SAFETY: the memory is this stack's alone, the caller's stack pointer comes back with the callee's saved register, and
        // `call` gets what it is for. Interrupts use whichever stack they come upon.
        unsafe {
            core::arch::asm!(
                "mov r4, sp",
                "mov sp, {top}",
                "blx {call}",
                "mov sp, r4",
                top = in(reg) top,
                call = in(reg) call,
                inout("r0") work => _,
                out("r4") _,
                // What a function may leave otherwise than it was (AAPCS), with 16 registers for floating point.
                out("r1") _, out("r2") _, out("r3") _, out("r12") _, out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            );
        }
    }

    /// Bytes of it ever used, and bytes there are.
    pub fn used(&self) -> (usize, usize) {
        let untouched = self.words.iter().take_while(|&&word| word == PAINT).count();
        ((self.words.len() - untouched) * 4, self.words.len() * 4)
    }
}

/// Calls what [`DeepStack::run`] was given.
unsafe extern "C" fn call(work: *mut c_void) {
    // SAFETY: it is a pointer to that, which lives on the stack of `run`.
    let work = unsafe { &mut *work.cast::<&mut dyn FnMut()>() };
    work();
}
