//! The screen: RK043FN48H, 480 by 272, scanned out by the chip's own controller.

use core::ptr::addr_of_mut;

use embassy_stm32::ltdc::{
    Ltdc, LtdcConfiguration, LtdcLayer, LtdcLayerConfig, PixelFormat, PolarityActive, PolarityEdge,
};
use embassy_stm32::pac;
use embassy_stm32::peripherals::LTDC;
use wavry_thin::Surface;

pub const WIDTH: u16 = 480;
pub const HEIGHT: u16 = 272;
const STRIDE: usize = WIDTH as usize * 2;
const FRAME_LEN: usize = STRIDE * HEIGHT as usize;

#[unsafe(link_section = ".pixels.frame")]
static mut FRAME: [u8; FRAME_LEN] = [0; FRAME_LEN];

/// The screen's memory.
pub struct Frame(&'static mut [u8; FRAME_LEN]);

impl Frame {
    /// Takes the screen's memory.
    ///
    /// # Safety
    /// Whoever took it before does not touch it any more.
    pub unsafe fn take() -> Self {
        // SAFETY: the caller's promise; any bytes are pixels.
        Self(unsafe { &mut *addr_of_mut!(FRAME) })
    }

    /// Lets the controller, whose pins are connected, show it.
    pub fn start(&mut self, controller: &mut Ltdc<'static, LTDC>) {
        self.0.fill(0);
        // The panel's data sheet: pixels and lines around what shows.
        controller.init(&LtdcConfiguration {
            active_width: WIDTH,
            active_height: HEIGHT,
            h_back_porch: 13,
            h_front_porch: 32,
            h_sync: 41,
            v_back_porch: 2,
            v_front_porch: 2,
            v_sync: 10,
            h_sync_polarity: PolarityActive::ActiveLow,
            v_sync_polarity: PolarityActive::ActiveLow,
            data_enable_polarity: PolarityActive::ActiveHigh,
            pixel_clock_polarity: PolarityEdge::FallingEdge,
        });
        let layer = LtdcLayerConfig {
            pixel_format: PixelFormat::RGB565,
            layer: LtdcLayer::Layer1,
            window_x0: 0,
            window_x1: WIDTH,
            window_y0: 0,
            window_y1: HEIGHT,
        };
        controller.init_layer(&layer, None);
        let address = self.0.as_ptr() as u32;
        pac::LTDC.layer(0).cfbar().write(|register| register.set_cfbadd(address));
        pac::LTDC.srcr().write(|register| register.set_imr(pac::ltdc::vals::Imr::RELOAD));
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

    /// The caches are off, as after a reset: what is written shows.
    fn written(&mut self, _: rift::Rectangle) {}
}
