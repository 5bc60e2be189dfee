//! The screen.

use core::ptr::addr_of_mut;

use wavry_thin::Surface;

/// HERE: its size.
const WIDTH: u16 = 320;
const HEIGHT: u16 = 240;
const STRIDE: usize = WIDTH as usize * 2;
const FRAME_LEN: usize = STRIDE * HEIGHT as usize;

/// HERE: the memory that is scanned out, in a section that the screen's controller reaches.
static mut FRAME: [u8; FRAME_LEN] = [0; FRAME_LEN];

/// The screen's memory.
pub struct Frame(&'static mut [u8; FRAME_LEN]);

impl Frame {
    /// Takes the screen's memory. HERE: and shows it, by the chip's controller.
    ///
    /// # Safety
    /// Whoever took it before does not touch it any more.
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

    /// HERE: where the cache is on, it is cleaned over this rectangle; where a screen keeps pixels of its own (SPI, DSI
    /// command mode), the rectangle is sent to it.
    fn written(&mut self, _: rift::Rectangle) {}
}
