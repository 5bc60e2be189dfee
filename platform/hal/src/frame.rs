//! Pixels, borrowed where they lie.

use rift::Instant;

/// How pixels lie in memory.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 4 bytes a pixel: blue, green, red, unused. One plane. (X11's 24-bit TrueColor on little-endian.)
    Bgrx,
    /// 8-bit luma, then blue and red differences at half size each way. Three planes. BT.709 limited range.
    I420,
    /// 8-bit luma, then interleaved blue and red differences at half size each way. Two planes.
    Nv12,
    /// 2 bytes a pixel: Y0 U Y1 V. One plane.
    Yuyv,
    /// 2 bytes a pixel: U Y0 V Y1. One plane.
    Uyvy,
    /// 2 bytes a pixel: five bits red, six green, five blue, little-endian. One plane.
    Rgb565,
}

impl PixelFormat {
    /// How many planes a frame of this format has.
    #[must_use]
    pub const fn planes(self) -> usize {
        match self {
            Self::Bgrx | Self::Yuyv | Self::Uyvy | Self::Rgb565 => 1,
            Self::Nv12 => 2,
            Self::I420 => 3,
        }
    }

    /// Bytes of one row of `plane` and its number of rows, for a frame of `width` × `height` pixels.
    #[must_use]
    pub const fn plane_size(self, plane: usize, width: u32, height: u32) -> (usize, usize) {
        let (w, h) = (width as usize, height as usize);
        let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
        match (self, plane) {
            (Self::Bgrx, 0) => (w * 4, h),
            (Self::Yuyv | Self::Uyvy, 0) => (half_w * 4, h),
            (Self::Rgb565, 0) => (w * 2, h),
            (Self::I420 | Self::Nv12, 0) => (w, h),
            (Self::I420, 1 | 2) => (half_w, half_h),
            (Self::Nv12, 1) => (half_w * 2, half_h),
            _ => (0, 0),
        }
    }
}

/// Rows of bytes, `stride` bytes from the start of one to the start of the next.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The bytes; the last row need not be padded to the stride.
    pub data: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// No bytes at all: stands in where a format has fewer planes.
    pub const EMPTY: Plane<'static> = Plane { data: &[], stride: 0 };

    /// Row `y`, `width` bytes of it.
    ///
    /// # Panics
    /// When the row is outside; [`Frame::new`] has checked that those of its size are inside.
    #[must_use]
    pub fn row(&self, y: usize, width: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..width]
    }
}

/// Why a frame cannot be made of these planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Width or height is 0 or above 16384.
    Size,
    /// A stride is shorter than a row.
    Stride,
    /// A plane ends before its last row does.
    Short,
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Size => "a frame must be 1 to 16384 pixels wide and high",
            Self::Stride => "a plane's stride is shorter than its rows",
            Self::Short => "a plane ends before its last row",
        })
    }
}

impl core::error::Error for FrameError {}

/// One frame, borrowed from whoever captured or decoded it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    format: PixelFormat,
    width: u32,
    height: u32,
    planes: [Plane<'a>; 3],
    captured_at: Instant,
}

impl<'a> Frame<'a> {
    /// The most pixels a side may have.
    pub const SIDE_MAX: u32 = 16384;

    /// A frame of these planes, taken at `captured_at`. Planes past `format.planes()` are ignored.
    ///
    /// # Errors
    /// [`FrameError`] when the planes do not hold `width` × `height` pixels of `format`.
    pub fn new(
        format: PixelFormat,
        width: u32,
        height: u32,
        planes: [Plane<'a>; 3],
        captured_at: Instant,
    ) -> Result<Self, FrameError> {
        if width == 0 || height == 0 || width > Self::SIDE_MAX || height > Self::SIDE_MAX {
            return Err(FrameError::Size);
        }
        for (index, plane) in planes.iter().enumerate().take(format.planes()) {
            let (row, rows) = format.plane_size(index, width, height);
            if plane.stride < row {
                return Err(FrameError::Stride);
            }
            if plane.data.len() < plane.stride * (rows - 1) + row {
                return Err(FrameError::Short);
            }
        }
        Ok(Self { format, width, height, planes, captured_at })
    }

    /// How its pixels lie.
    #[must_use]
    pub const fn format(&self) -> PixelFormat {
        self.format
    }

    /// Pixels across.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The planes; only the first `format().planes()` mean anything.
    #[must_use]
    pub const fn planes(&self) -> &[Plane<'a>; 3] {
        &self.planes
    }

    /// When the pixels were read from the screen or the sensor, on the caller's clock.
    #[must_use]
    pub const fn captured_at(&self) -> Instant {
        self.captured_at
    }
}
