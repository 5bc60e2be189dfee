//! Where the settings are kept: key, host, number of starts.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// HERE: two erasable blocks of a flash memory that hold nothing else, not even a part of the program. Set the chip's read-out
/// protection before the board leaves the house, and say in the guide what it is called.
pub struct Blocks;

/// HERE: bytes of a block.
const BLOCK_LEN: usize = 4096;

impl ErrorType for Blocks {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Blocks {
    const READ_SIZE: usize = 1;

    /// HERE.
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        Err(NorFlashErrorKind::Other)
    }

    fn capacity(&self) -> usize {
        2 * BLOCK_LEN
    }
}

impl NorFlash for Blocks {
    /// HERE: bytes that are written at once, at most 32.
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = BLOCK_LEN;

    /// HERE. The program may stand still meanwhile; the watchdog must be more patient.
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        Err(NorFlashErrorKind::Other)
    }

    /// HERE.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        Err(NorFlashErrorKind::Other)
    }
}
