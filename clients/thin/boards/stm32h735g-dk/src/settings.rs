//! Settings in the last two sectors of the flash memory.

use embassy_stm32::flash::{Blocking, Flash};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

const SECTOR_LEN: usize = 128 << 10;
/// Where they begin, behind the program's part (`build.rs`).
const BEGIN: u32 = 768 << 10;

/// The two sectors. The program stands still while one is erased, for up to four seconds (the chip's data sheet, "Flash
/// memory programming"): the watchdog is more patient.
pub struct Sectors(pub Flash<'static, Blocking>);

impl ErrorType for Sectors {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Sectors {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        self.0.blocking_read(BEGIN + offset, bytes).map_err(|_| NorFlashErrorKind::Other)
    }

    fn capacity(&self) -> usize {
        2 * SECTOR_LEN
    }
}

impl NorFlash for Sectors {
    /// A flash word.
    const WRITE_SIZE: usize = 32;
    const ERASE_SIZE: usize = SECTOR_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.0.blocking_erase(BEGIN + from, BEGIN + to).map_err(|_| NorFlashErrorKind::Other)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.0.blocking_write(BEGIN + offset, bytes).map_err(|_| NorFlashErrorKind::Other)
    }
}
