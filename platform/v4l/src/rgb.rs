//! Pixels of three bytes to I420. Encoders read neither order, so each frame is converted once, here.

use rift::Instant;
use rift_hal::{Frame, PixelFormat, Plane};
use yuv::{BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

/// In which order the three bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Red, green, blue (`RGB3`).
    Rgb,
    /// Blue, green, red (`BGR3`).
    Bgr,
}

/// Converts frames of one size, one after another, into the same memory.
#[derive(Debug)]
pub(crate) struct RgbConverter {
    order: Order,
    width: u32,
    height: u32,
    stride: usize,
    planes: [Vec<u8>; 3],
}

impl RgbConverter {
    pub(crate) fn new(order: Order, width: u32, height: u32, stride: usize) -> Self {
        let plane = |index, value| {
            let (row, rows) = PixelFormat::I420.plane_size(index, width, height);
            vec![value; row * rows]
        };
        Self { order, width, height, stride, planes: [plane(0, 16), plane(1, 128), plane(2, 128)] }
    }

    /// Converts one frame; `false`, and nothing changed, for too few bytes.
    pub(crate) fn convert(&mut self, bytes: &[u8]) -> bool {
        let (Ok(stride), height) = (u32::try_from(self.stride), self.height as usize) else { return false };
        let Some(bytes) = bytes.get(..self.stride * height) else { return false };
        let half = self.width.div_ceil(2);
        let [y, u, v] = &mut self.planes;
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y),
            y_stride: self.width,
            u_plane: BufferStoreMut::Borrowed(u),
            u_stride: half,
            v_plane: BufferStoreMut::Borrowed(v),
            v_stride: half,
            width: self.width,
            height: self.height,
        };
        let convert = match self.order {
            Order::Rgb => yuv::rgb_to_yuv420,
            Order::Bgr => yuv::bgr_to_yuv420,
        };
        let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
        convert(&mut image, bytes, stride, range, matrix, YuvConversionMode::Balanced).is_ok()
    }

    /// The last frame that was converted.
    pub(crate) fn frame(&self, captured_at: Instant) -> Option<Frame<'_>> {
        let plane = |index: usize| {
            let stride = PixelFormat::I420.plane_size(index, self.width, self.height).0;
            Plane { data: &self.planes[index], stride }
        };
        let planes = [plane(0), plane(1), plane(2)];
        Frame::new(PixelFormat::I420, self.width, self.height, planes, captured_at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_is_red_in_either_order_and_padding_is_left_out() {
        for (order, red) in [(Order::Rgb, [255, 0, 0]), (Order::Bgr, [0, 0, 255])] {
            let row: Vec<u8> = red.repeat(4).into_iter().chain([9; 4]).collect();
            let mut converter = RgbConverter::new(order, 4, 2, 16);
            assert!(converter.convert(&row.repeat(2)));
            let frame = converter.frame(Instant::ZERO).expect("a frame");
            let sample = |plane: usize| i32::from(frame.planes()[plane].data[0]);
            // Red in BT.709, limited range: 63, 102, 240.
            for (plane, expected) in [(0, 63), (1, 102), (2, 240)] {
                assert!((sample(plane) - expected).abs() <= 1, "{order:?} {plane}: {}", sample(plane));
            }
            assert!(!converter.convert(&row), "one row of two");
        }
    }
}
