//! Pixels as the codec sees them: a number below `1 << BITS`, and its three channels.

use rift_hal::PixelFormat;

mod sealed {
    pub trait Sealed {}
}

/// How a viewer keeps its pixels. A type, so that a board links only the one it has.
pub trait Pixel: sealed::Sealed + Copy + core::fmt::Debug {
    /// What it is on the wire (SPEC §2.1).
    const CODE: u32;
    /// Bytes of a pixel in memory.
    const BYTES: usize;
    /// The same format, as backends call it.
    const FORMAT: PixelFormat;
    /// The largest value of red, green and blue.
    #[doc(hidden)]
    const MAX: [i32; 3];
    /// Bits of the whole.
    #[doc(hidden)]
    const BITS: u32;
    /// White.
    #[doc(hidden)]
    const WHITE: u32;

    /// Reads a pixel from `BYTES` bytes.
    #[doc(hidden)]
    fn load(bytes: &[u8]) -> u32;

    /// Writes a pixel to `BYTES` bytes.
    #[doc(hidden)]
    fn store(value: u32, bytes: &mut [u8]);

    /// The pixel nearest below a colour of 8 bits a channel, `0x00rrggbb`.
    #[doc(hidden)]
    fn of_rgb888(rgb: u32) -> u32;

    /// Its channels: red, green, blue.
    #[doc(hidden)]
    fn split(value: u32) -> [i32; 3];

    /// The pixel of these channels, which are within [`Self::MAX`].
    #[doc(hidden)]
    fn join(channels: [i32; 3]) -> u32;
}

/// 16 bits: five of red, six of green, five of blue; little-endian.
#[derive(Clone, Copy, Debug)]
pub struct Rgb565;

/// 32 bits: blue, green, red, zero, in this order in memory (X11's XRGB8888 on a little-endian machine).
#[derive(Clone, Copy, Debug)]
pub struct Rgb888;

impl sealed::Sealed for Rgb565 {}
impl sealed::Sealed for Rgb888 {}

impl Pixel for Rgb565 {
    const CODE: u32 = 1;
    const BYTES: usize = 2;
    const FORMAT: PixelFormat = PixelFormat::Rgb565;
    const MAX: [i32; 3] = [31, 63, 31];
    const BITS: u32 = 16;
    const WHITE: u32 = 0xffff;

    fn load(bytes: &[u8]) -> u32 {
        bytes.first_chunk().map_or(0, |&bytes| u16::from_le_bytes(bytes).into())
    }

    fn store(value: u32, bytes: &mut [u8]) {
        if let Some(place) = bytes.first_chunk_mut() {
            *place = (value as u16).to_le_bytes();
        }
    }

    fn of_rgb888(rgb: u32) -> u32 {
        (rgb >> 8 & 0xf800) | (rgb >> 5 & 0x07e0) | (rgb >> 3 & 0x001f)
    }

    fn split(value: u32) -> [i32; 3] {
        [(value >> 11 & 31) as i32, (value >> 5 & 63) as i32, (value & 31) as i32]
    }

    fn join([red, green, blue]: [i32; 3]) -> u32 {
        (red << 11 | green << 5 | blue) as u32
    }
}

impl Pixel for Rgb888 {
    const CODE: u32 = 0;
    const BYTES: usize = 4;
    const FORMAT: PixelFormat = PixelFormat::Bgrx;
    const MAX: [i32; 3] = [255; 3];
    const BITS: u32 = 24;
    const WHITE: u32 = 0x00ff_ffff;

    fn load(bytes: &[u8]) -> u32 {
        bytes.first_chunk().map_or(0, |&bytes| u32::from_le_bytes(bytes) & 0x00ff_ffff)
    }

    fn store(value: u32, bytes: &mut [u8]) {
        if let Some(place) = bytes.first_chunk_mut() {
            *place = value.to_le_bytes();
        }
    }

    fn of_rgb888(rgb: u32) -> u32 {
        rgb & 0x00ff_ffff
    }

    fn split(value: u32) -> [i32; 3] {
        [(value >> 16 & 255) as i32, (value >> 8 & 255) as i32, (value & 255) as i32]
    }

    fn join([red, green, blue]: [i32; 3]) -> u32 {
        (red << 16 | green << 8 | blue) as u32
    }
}

/// The channels of a pixel in one number, `0x00rrggbb`: 565 widened the usual way, for showing and for tests.
#[must_use]
pub fn to_rgb888<P: Pixel>(value: u32) -> u32 {
    let [red, green, blue] = P::split(value);
    let widen = |channel: i32, max: i32| {
        if max == 255 { channel } else { (channel * 255 + max / 2) / max }
    };
    (widen(red, P::MAX[0]) << 16 | widen(green, P::MAX[1]) << 8 | widen(blue, P::MAX[2])) as u32
}
