//! A board's engine for pictures, such as a chip's JPEG codec.

use rift::{Codec, Rectangle};
use rift_hal::{Decoder, Frame, PixelFormat};

use crate::screen::Surface;

/// A surface with an engine: what the host codes for it is decoded there and copied into the surface.
///
/// An engine for [`Codec::Jpeg`] is given baseline pictures of at most [`rift::limits::JPEG_PIXELS_MAX`] pixels each; it need
/// keep no more than one. One for [`Codec::H264`] is given all pictures, whole. Frames are taken as
/// [`PixelFormat::Rgb565`] and [`PixelFormat::Bgrx`].
#[derive(Debug)]
pub struct WithEngine<S, D> {
    surface: S,
    codec: Codec,
    engine: D,
}

impl<S: Surface, D: Decoder> WithEngine<S, D> {
    /// `engine` decodes `codec` for this surface.
    pub const fn new(surface: S, codec: Codec, engine: D) -> Self {
        Self { surface, codec, engine }
    }
}

impl<S: Surface, D: Decoder> Surface for WithEngine<S, D> {
    fn size(&self) -> (u16, u16) {
        self.surface.size()
    }

    fn stride(&self) -> usize {
        self.surface.stride()
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.surface.bytes()
    }

    fn written(&mut self, place: Rectangle) {
        self.surface.written(place);
    }

    fn engine(&self) -> Option<Codec> {
        Some(self.codec)
    }

    fn draw_coded(&mut self, place: Rectangle, bytes: &[u8]) -> bool {
        match self.engine.decode(bytes, rift_embassy::now()) {
            Ok(Some(frame)) => copy(&frame, place, &mut self.surface),
            // It was taken, and shows with a later one.
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

/// Copies a frame to a place of its size. `false`: it has another, or pixels of another kind.
fn copy(frame: &Frame<'_>, place: Rectangle, surface: &mut impl Surface) -> bool {
    if (frame.width(), frame.height()) != (place.width.into(), place.height.into()) {
        return false;
    }
    let (width, stride) = (usize::from(place.width), surface.stride());
    let plane = frame.planes()[0];
    let (pixel_len, load): (usize, fn(&[u8]) -> u16) = match frame.format() {
        PixelFormat::Rgb565 => (2, |bytes| u16::from_le_bytes([bytes[0], bytes[1]])),
        PixelFormat::Bgrx => (4, |bytes| {
            let [blue, green, red] = [bytes[0], bytes[1], bytes[2]].map(u16::from);
            red >> 3 << 11 | green >> 2 << 5 | blue >> 3
        }),
        PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Yuyv | PixelFormat::Uyvy | _ => return false,
    };
    for (row, y) in (usize::from(place.y)..).enumerate().take(place.height.into()) {
        let at = y * stride + usize::from(place.x) * 2;
        let Some(target) = surface.bytes().get_mut(at..at + width * 2) else { return false };
        let pixels = plane.row(row, width * pixel_len).chunks_exact(pixel_len);
        for (target, pixel) in target.chunks_exact_mut(2).zip(pixels) {
            target.copy_from_slice(&load(pixel).to_le_bytes());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use rift::Instant;
    use rift_hal::Plane;

    use super::*;

    struct Small(Vec<u8>);

    impl Surface for Small {
        fn size(&self) -> (u16, u16) {
            (4, 3)
        }

        fn stride(&self) -> usize {
            10
        }

        fn bytes(&mut self) -> &mut [u8] {
            &mut self.0
        }

        fn written(&mut self, _: Rectangle) {}
    }

    fn drawn(format: PixelFormat, data: &[u8], stride: usize, place: Rectangle) -> Option<Vec<u8>> {
        let mut surface = Small(std::vec![0; 30]);
        let planes = [Plane { data, stride }, Plane::EMPTY, Plane::EMPTY];
        let frame = Frame::new(format, 2, 2, planes, Instant::ZERO).expect("it fits");
        copy(&frame, place, &mut surface).then_some(surface.0)
    }

    #[test]
    fn frames_of_both_kinds_are_copied_to_their_place_alone() {
        let place = Rectangle { x: 1, y: 1, width: 2, height: 2 };
        let mut wanted = std::vec![0; 30];
        wanted[12..16].copy_from_slice(&[0x00, 0xf8, 0xe0, 0x07]);
        wanted[22..26].copy_from_slice(&[0x1f, 0x00, 0xff, 0xff]);
        let rgb565 = [0x00, 0xf8, 0xe0, 0x07, 9, 9, 0x1f, 0x00, 0xff, 0xff];
        assert_eq!(drawn(PixelFormat::Rgb565, &rgb565, 6, place), Some(wanted.clone()));
        let bgrx = [0, 0, 255, 7, 0, 255, 0, 7, 255, 0, 0, 7, 255, 255, 255, 7];
        assert_eq!(drawn(PixelFormat::Bgrx, &bgrx, 8, place), Some(wanted));
        assert_eq!(drawn(PixelFormat::Bgrx, &bgrx, 8, Rectangle { width: 1, ..place }), None);
        assert_eq!(drawn(PixelFormat::Yuyv, &[0; 32], 8, place), None);
    }
}
