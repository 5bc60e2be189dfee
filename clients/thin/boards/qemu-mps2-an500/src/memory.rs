//! The client's memory, pixels that nobody sees, and settings that last until the power goes.

use core::ptr::addr_of_mut;

use crate::deep_stack::DeepStack;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use rift::InputEvent;
use wavry_thin::{InputSource, Memory, Room, State, Surface};

const WIDTH: u16 = 800;
const HEIGHT: u16 = 600;
const STRIDE: usize = WIDTH as usize * 2;
const FRAME_LEN: usize = STRIDE * HEIGHT as usize;
/// Bytes of each picture buffer: more than a screen full of noise takes, with its parity.
const PICTURE_LEN: usize = 1_400_000;
const AREA_LEN: usize = 4096;

static mut MEMORY: Memory = Memory::new();
static mut STATE: State = State::new();
#[unsafe(link_section = ".external")]
static mut PICTURES: [[u8; PICTURE_LEN]; 2] = [[0; PICTURE_LEN]; 2];
#[unsafe(link_section = ".external")]
static mut FRAME: [u8; FRAME_LEN] = [0; FRAME_LEN];
#[unsafe(link_section = ".external")]
static mut SETTINGS: [u8; 2 * AREA_LEN] = [0; 2 * AREA_LEN];

/// Words of the stack for what needs a deep one.
const DEEP_LEN: usize = 64 * 1024 / 4;
#[unsafe(link_section = ".external")]
static mut DEEP: [u32; DEEP_LEN] = [0; DEEP_LEN];

/// A stack for what needs a deep one.
///
/// # Safety
/// Called once.
pub unsafe fn deep_stack() -> DeepStack {
    // SAFETY: the caller's promise; any words are words.
    DeepStack::new(unsafe { &mut *addr_of_mut!(DEEP) })
}

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

/// Pixels.
pub struct Frame(&'static mut [u8; FRAME_LEN]);

impl Frame {
    /// Takes its memory.
    ///
    /// # Safety
    /// Called once.
    pub unsafe fn take() -> Self {
        // SAFETY: the caller's promise; any bytes are pixels.
        Self(unsafe { &mut *addr_of_mut!(FRAME) })
    }
}

impl Surface for Frame {
    fn size(&self) -> (u16, u16) {
        (WIDTH, HEIGHT)
    }

    fn stride(&self) -> usize {
        STRIDE
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0[..]
    }

    /// Nobody looks.
    fn written(&mut self, _: rift::Rectangle) {}
}

/// A board without keys.
pub struct NoHands;

impl InputSource for NoHands {
    async fn next(&mut self) -> InputEvent {
        core::future::pending().await
    }
}

/// Settings in RAM: another key after each start.
pub struct Volatile(&'static mut [u8; 2 * AREA_LEN]);

impl Volatile {
    /// Takes its memory, and forgets what may be in it.
    ///
    /// # Safety
    /// Called once.
    pub unsafe fn take() -> Self {
        // SAFETY: the caller's promise; any bytes are bytes.
        let bytes = unsafe { &mut *addr_of_mut!(SETTINGS) };
        bytes.fill(0xff);
        Self(bytes)
    }
}

impl ErrorType for Volatile {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Volatile {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Volatile {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = AREA_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}
