//! How drivers reach their devices.

/// A device's registers: words of 32 bits at byte offsets. Reading or writing one may do something, so neither is left out,
/// doubled or moved past another.
pub trait Registers {
    /// Reads the register at `offset`.
    fn read(&self, offset: usize) -> u32;
    /// Writes the register at `offset`.
    fn write(&self, offset: usize, value: u32);
}

impl<R: Registers> Registers for &R {
    fn read(&self, offset: usize) -> u32 {
        R::read(self, offset)
    }

    fn write(&self, offset: usize, value: u32) {
        R::write(self, offset, value);
    }
}

/// Registers that lie in memory.
#[derive(Clone, Copy, Debug)]
pub struct Mapped {
    base: usize,
}

impl Mapped {
    /// The registers of the device at `base`.
    ///
    /// # Safety
    /// At every offset a driver uses from `base` there is a register of the device that the driver is for, accessible in
    /// words of 32 bits, for as long as the value lives; and whoever else reaches the same device does so in a way
    /// the driver allows.
    #[must_use]
    #[expect(unsafe_code, reason = "only the board knows its memory map")]
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }
}

impl Registers for Mapped {
    #[expect(unsafe_code, reason = "a register is reached through its address")]
    fn read(&self, offset: usize) -> u32 {
        let register = (self.base + offset) as *const u32;
        // SAFETY: whoever made this promised a readable register there.
        unsafe { register.read_volatile() }
    }

    #[expect(unsafe_code, reason = "a register is reached through its address")]
    fn write(&self, offset: usize, value: u32) {
        let register = (self.base + offset) as *mut u32;
        // SAFETY: whoever made this promised a writable register there.
        unsafe { register.write_volatile(value) }
    }
}
