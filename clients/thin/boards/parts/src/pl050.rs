//! ARM PrimeCell PS/2 keyboard and mouse interface PL050 (DDI 0143).

use crate::Registers;

const CONTROL: usize = 0x00;
const STATUS: usize = 0x04;
const DATA: usize = 0x08;
const CLOCK_DIVISOR: usize = 0x0c;

/// Enabled, interrupt on received bytes.
const CONTROL_ON: u32 = 1 << 2 | 1 << 4;
const STATUS_RECEIVED: u32 = 1 << 4;
const STATUS_EMPTY: u32 = 1 << 6;
/// 24 MHz to the 8 MHz that the interface wants.
const DIVISOR: u32 = 2;
/// Looks before a device is taken for absent: a byte takes 1 ms on the wire.
const PATIENCE: u32 = 1_000_000;

/// One port.
#[derive(Debug)]
pub struct Pl050<R> {
    registers: R,
}

impl<R: Registers> Pl050<R> {
    /// Switches the port on.
    pub fn new(registers: R) -> Self {
        registers.write(CLOCK_DIVISOR, DIVISOR);
        registers.write(CONTROL, CONTROL_ON);
        Self { registers }
    }

    /// The next byte that came to a port that is on: for its interrupt.
    pub fn pending(registers: &R) -> Option<u8> {
        (registers.read(STATUS) & STATUS_RECEIVED != 0).then(|| registers.read(DATA) as u8)
    }

    /// The next byte that came.
    pub fn read(&self) -> Option<u8> {
        Self::pending(&self.registers)
    }

    /// Sends a byte to the device; `false` when it takes none.
    #[must_use]
    pub fn write(&self, byte: u8) -> bool {
        let is_ready = (0..PATIENCE).any(|_| self.registers.read(STATUS) & STATUS_EMPTY != 0);
        if is_ready {
            self.registers.write(DATA, byte.into());
        }
        is_ready
    }

    /// Sends a command and waits for `answers` bytes after its acknowledgement; the last of them. `None` when the device is
    /// silent or refuses.
    pub fn command(&self, byte: u8, answers: usize) -> Option<u8> {
        const ACKNOWLEDGED: u8 = 0xfa;
        if !self.write(byte) || self.wait()? != ACKNOWLEDGED {
            return None;
        }
        let mut last = ACKNOWLEDGED;
        for _ in 0..answers {
            last = self.wait()?;
        }
        Some(last)
    }

    fn wait(&self) -> Option<u8> {
        (0..PATIENCE).find_map(|_| self.read())
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    /// A mouse that acknowledges every command and says 3 when it is asked who it is.
    #[derive(Default)]
    struct Port {
        said: Cell<Option<u8>>,
        next: Cell<Option<u8>>,
    }

    impl Registers for Port {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                STATUS => STATUS_EMPTY | if self.said.get().is_some() { STATUS_RECEIVED } else { 0 },
                DATA => self.said.replace(self.next.take()).map_or(0, u32::from),
                _ => 0,
            }
        }

        fn write(&self, offset: usize, value: u32) {
            if offset == DATA {
                self.said.set(Some(0xfa));
                self.next.set((value == 0xf2).then_some(3));
            }
        }
    }

    #[test]
    fn command_is_answered_and_nothing_is_left_over() {
        let port = Port::default();
        let pl050 = Pl050::new(&port);
        assert_eq!(pl050.command(0xf4, 0), Some(0xfa));
        assert_eq!(pl050.command(0xf2, 1), Some(3));
        assert_eq!(pl050.read(), None);
    }
}
