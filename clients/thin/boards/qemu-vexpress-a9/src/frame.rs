//! The screen's memory, and the last words of a program that cannot go on.

use core::ptr::addr_of_mut;

use wavry_parts::pl111;
use wavry_thin::Surface;

use crate::machine;

const WIDTH: u16 = 800;
const HEIGHT: u16 = 600;
const STRIDE: usize = WIDTH as usize * 2;
const FRAME_LEN: usize = STRIDE * HEIGHT as usize;

/// The pixels that the controller scans out.
static mut FRAME: [u8; FRAME_LEN] = [0; FRAME_LEN];

/// The screen's memory.
pub struct Frame(&'static mut [u8; FRAME_LEN]);

impl Frame {
    /// Switches the screen on and takes its memory.
    ///
    /// # Safety
    /// Whoever took it before does not touch it any more.
    pub unsafe fn take() -> Self {
        // SAFETY: the caller's promise.
        let frame = unsafe { &mut *addr_of_mut!(FRAME) };
        let address = frame.as_ptr() as u32;
        pl111::start(&machine::screen(), WIDTH, HEIGHT, address);
        defmt::info!("screen at {=u32:08x}", address);
        Self(frame)
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

    /// The caches are off: what is written shows.
    fn written(&mut self, _: rift::Rectangle) {}
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("panic: {}", defmt::Display2Format(info));
    // SAFETY: nothing else runs any more.
    let mut frame = unsafe { Frame::take() };
    wavry_thin::show_fault(&mut frame, format_args!("{}", info.message()));
    semihosting::process::exit(1)
}
