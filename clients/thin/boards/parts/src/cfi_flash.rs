//! Parallel flash memory with Intel's command set (CFI, JESD68; StrataFlash), two chips of 16 bits side by side.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use crate::Registers;

/// Bytes that are erased together: 128 KiB in each chip.
pub const SECTOR: usize = 256 * 1024;

/// The same command to both chips.
const fn both(command: u32) -> u32 {
    command << 16 | command
}

const READ_ARRAY: u32 = both(0xff);
const CLEAR_STATUS: u32 = both(0x50);
const PROGRAM: u32 = both(0x40);
const ERASE: u32 = both(0x20);
const CONFIRM: u32 = both(0xd0);
const READY: u32 = both(0x80);
/// Erase, program, voltage and lock errors.
const WRONG: u32 = both(0x3a);
/// Looks before a chip is taken for broken: erasing takes seconds.
const PATIENCE: u32 = 100_000_000;

/// The two sectors of the memory that settings are kept in.
#[derive(Debug)]
pub struct CfiFlash<R> {
    registers: R,
    /// Where they begin, in bytes.
    start: usize,
}

/// The memory did not do what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashError(NorFlashErrorKind);

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self(kind)
    }
}

impl<R: Registers> CfiFlash<R> {
    /// The two sectors from `start`, a multiple of [`SECTOR`]. No program may run from this memory.
    pub fn new(registers: R, start: usize) -> Self {
        registers.write(start, READ_ARRAY);
        Self { registers, start }
    }

    /// Gives commands at one place, waits until they are done and goes back to reading.
    fn command(&self, at: usize, commands: [u32; 2]) -> Result<(), FlashError> {
        self.registers.write(at, CLEAR_STATUS);
        for command in commands {
            self.registers.write(at, command);
        }
        let status = (0..PATIENCE).map(|_| self.registers.read(at)).find(|status| status & READY == READY);
        self.registers.write(at, CLEAR_STATUS);
        self.registers.write(at, READ_ARRAY);
        match status {
            Some(status) if status & WRONG == 0 => Ok(()),
            Some(_) | None => Err(FlashError(NorFlashErrorKind::Other)),
        }
    }
}

impl<R> ErrorType for CfiFlash<R> {
    type Error = FlashError;
}

impl<R: Registers> ReadNorFlash for CfiFlash<R> {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len())?;
        let words = (self.start + offset as usize..).step_by(4);
        for (at, word) in words.zip(bytes.chunks_exact_mut(4)) {
            word.copy_from_slice(&self.registers.read(at).to_le_bytes());
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        2 * SECTOR
    }
}

impl<R: Registers> NorFlash for CfiFlash<R> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to)?;
        let mut sectors = (self.start + from as usize..self.start + to as usize).step_by(SECTOR);
        sectors.try_for_each(|at| self.command(at, [ERASE, CONFIRM]))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len())?;
        let words = (self.start + offset as usize..).step_by(4);
        for (at, word) in words.zip(bytes.chunks_exact(4)) {
            let word = word.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
            self.command(at, [PROGRAM, word])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::cell::RefCell;
    use std::vec::Vec;

    use super::*;

    const START: usize = SECTOR;

    enum State {
        Array,
        Status,
        Programming,
        Erasing,
    }

    /// Two chips, three sectors of each.
    struct Chips(RefCell<(Vec<u32>, State)>);

    impl Registers for Chips {
        fn read(&self, offset: usize) -> u32 {
            let (words, state) = &*self.0.borrow();
            if matches!(state, State::Array) { words[offset / 4] } else { READY }
        }

        fn write(&self, offset: usize, value: u32) {
            let (words, state) = &mut *self.0.borrow_mut();
            *state = match (&state, value) {
                (State::Programming, word) => {
                    // Bits only go from 1 to 0.
                    words[offset / 4] &= word;
                    State::Status
                }
                (State::Erasing, CONFIRM) => {
                    let first = offset / SECTOR * SECTOR / 4;
                    words[first..first + SECTOR / 4].fill(u32::MAX);
                    State::Status
                }
                (_, READ_ARRAY) => State::Array,
                (_, CLEAR_STATUS) => State::Status,
                (_, PROGRAM) => State::Programming,
                (_, ERASE) => State::Erasing,
                (_, other) => panic!("no command: {other:x}"),
            };
        }
    }

    #[test]
    fn bytes_come_back_and_neighbours_stay() {
        let chips = Chips(RefCell::new((std::vec![0; 3 * SECTOR / 4], State::Array)));
        let mut flash = CfiFlash::new(&chips, START);
        flash.erase(0, SECTOR as u32).expect("whole sectors");
        flash.write(8, &[1, 2, 3, 4, 5, 6, 7, 8]).expect("whole words");
        let mut bytes = [0; 12];
        flash.read(8, &mut bytes).expect("whole words");
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 255, 255, 255, 255]);
        assert_eq!((chips.read(0), chips.read(2 * SECTOR)), (0, 0));
        assert_eq!(flash.erase(0, 100), Err(FlashError(NorFlashErrorKind::NotAligned)));
        assert_eq!(flash.write(2 * SECTOR as u32, &[0; 4]), Err(FlashError(NorFlashErrorKind::OutOfBounds)));
    }
}
