//! Which format to ask for, and where its pixels lie. No device is touched here.

use core::fmt;

use rift::Instant;
use rift_hal::{Frame, FrameError, PixelFormat, Plane};

use crate::rgb::Order;

/// A pixel format's name in Video4Linux: four characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// The name as the kernel writes it into an integer.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        Self(code.to_le_bytes())
    }

    /// The kernel's integer.
    #[must_use]
    pub const fn code(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            let shown = if byte.is_ascii_graphic() { char::from(byte) } else { '.' };
            write!(f, "{shown}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a buffer of the device holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Pixels, used where they lie.
    Pixels(PixelFormat),
    /// Pixels, used where they lie: each plane in a buffer of its own.
    Planes(PixelFormat),
    /// A JPEG picture.
    Jpeg,
    /// Pixels of three bytes, which are converted to I420.
    Rgb(Order),
    /// A picture of an H.264 stream with start codes: the device encodes.
    H264,
}

impl Encoding {
    /// Everything taken, the cheapest to encode from first.
    pub const ALL: [Self; 11] = [
        Self::Pixels(PixelFormat::I420),
        Self::Planes(PixelFormat::I420),
        Self::Pixels(PixelFormat::Nv12),
        Self::Planes(PixelFormat::Nv12),
        Self::Pixels(PixelFormat::Yuyv),
        Self::Pixels(PixelFormat::Uyvy),
        Self::Pixels(PixelFormat::Bgrx),
        Self::Rgb(Order::Bgr),
        Self::Rgb(Order::Rgb),
        Self::Jpeg,
        // Last, because its rate and quality are the device's.
        Self::H264,
    ];

    /// What Video4Linux calls it; `None` if it has no name there that is taken here.
    #[must_use]
    pub const fn four_cc(self) -> Option<FourCc> {
        match self {
            Self::Pixels(PixelFormat::I420) => Some(FourCc(*b"YU12")),
            Self::Planes(PixelFormat::I420) => Some(FourCc(*b"YM12")),
            Self::Pixels(PixelFormat::Nv12) => Some(FourCc(*b"NV12")),
            Self::Planes(PixelFormat::Nv12) => Some(FourCc(*b"NM12")),
            Self::Pixels(PixelFormat::Yuyv) => Some(FourCc(*b"YUYV")),
            Self::Pixels(PixelFormat::Uyvy) => Some(FourCc(*b"UYVY")),
            Self::Pixels(PixelFormat::Bgrx) => Some(FourCc(*b"XR24")),
            Self::Rgb(Order::Bgr) => Some(FourCc(*b"BGR3")),
            Self::Rgb(Order::Rgb) => Some(FourCc(*b"RGB3")),
            Self::Jpeg => Some(FourCc(*b"MJPG")),
            Self::H264 => Some(FourCc(*b"H264")),
            Self::Pixels(_) | Self::Planes(_) => None,
        }
    }

    /// What goes by this name; `None` for what is not taken. `JPEG` is read as `MJPG`, and `BGR4`, which says nothing of
    /// its fourth byte, as `XR24`.
    #[must_use]
    pub fn from_four_cc(name: FourCc) -> Option<Self> {
        if name == FourCc(*b"JPEG") {
            return Some(Self::Jpeg);
        }
        if name == FourCc(*b"BGR4") {
            return Some(Self::Pixels(PixelFormat::Bgrx));
        }
        Self::ALL.into_iter().find(|encoding| encoding.four_cc() == Some(name))
    }

    fn rank(self) -> usize {
        Self::ALL.iter().position(|&encoding| encoding == self).unwrap_or(Self::ALL.len())
    }
}

/// What to ask of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Pixels across and down, or the nearest that the device has; `None` = what it is set to, which is the signal for a
    /// card that measures that, and for others whatever the last program wanted.
    pub size: Option<(u32, u32)>,
    /// Pictures per 1000 s; `None` = as many as it can.
    pub rate_millihertz: Option<u32>,
    /// The one format to take; `None` = the best of those it has.
    pub format: Option<FourCc>,
    /// Whose memory frames are put into; `None` = the driver's, and ours where the driver has none.
    pub memory: Option<Memory>,
    /// Whether JPEG pictures that are damaged or cut short are shown as far as they go. They are counted as discarded
    /// whether or not.
    pub shows_damaged: bool,
}

/// Whose memory the driver puts frames into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// The driver's, mapped (`V4L2_MEMORY_MMAP`); what it holds can be exported to other devices.
    Driver,
    /// This process's own (`V4L2_MEMORY_USERPTR`): for drivers that have none to map.
    Process,
}

/// One way in which a device can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What its buffers would hold.
    pub encoding: Encoding,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Pictures per 1000 s at most; `None` if the driver does not say.
    pub rate_millihertz: Option<u32>,
}

/// The best offer: nearest to `size`, then fast enough for `rate_millihertz` or as fast as there is, then the
/// cheapest to encode from. An unknown rate is taken to suffice. `None` only if there is no offer.
#[must_use]
pub fn choose(offers: &[Offer], size: (u32, u32), rate_millihertz: Option<u32>) -> Option<Offer> {
    let wanted = rate_millihertz.unwrap_or(u32::MAX);
    let cost = |offer: &Offer| {
        let off = offer.width.abs_diff(size.0).saturating_add(offer.height.abs_diff(size.1));
        let missing = wanted.saturating_sub(offer.rate_millihertz.unwrap_or(wanted));
        (off, missing, offer.encoding.rank())
    };
    offers.iter().copied().min_by_key(cost)
}

/// The most planes that a frame has, and so the most buffers that it lies in.
pub const PLANES_MAX: usize = 3;

/// Where the pixels of a frame lie, as the driver has set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What its buffers hold.
    pub encoding: Encoding,
    /// Pixels across, `1..=16384`.
    pub width: u32,
    /// Pixels down, `1..=16384`.
    pub height: u32,
    /// Bytes from a row of a plane to the next, plane by plane. Of no meaning for JPEG.
    pub strides: [usize; PLANES_MAX],
}

impl Layout {
    /// Of one buffer, whose first plane has this stride: further planes follow without a gap, and those of half width
    /// have half the stride, as Video4Linux defines its contiguous formats.
    #[must_use]
    pub fn contiguous(encoding: Encoding, (width, height): (u32, u32), stride: usize) -> Self {
        let is_halved = encoding == Encoding::Pixels(PixelFormat::I420);
        let more = if is_halved { stride / 2 } else { stride };
        Self { encoding, width, height, strides: [stride, more, more] }
    }

    /// How many buffers a frame lies in.
    #[must_use]
    pub const fn buffers(&self) -> usize {
        match self.encoding {
            Encoding::Planes(format) => format.planes(),
            Encoding::Pixels(_) | Encoding::Jpeg | Encoding::Rgb(_) | Encoding::H264 => 1,
        }
    }

    /// The fewest bytes that each buffer of a whole frame holds; 0 for those that there are not.
    #[must_use]
    pub fn lens_min(&self) -> [usize; PLANES_MAX] {
        let mut lens = [0; PLANES_MAX];
        match self.encoding {
            Encoding::Pixels(format) => {
                let last = format.planes() - 1;
                lens[0] = self.offset(format, last) + self.plane_len_min(format, last);
            }
            Encoding::Planes(format) => {
                for (plane, len) in lens.iter_mut().enumerate().take(format.planes()) {
                    *len = self.plane_len_min(format, plane);
                }
            }
            Encoding::Rgb(_) => lens[0] = self.strides[0] * self.height as usize,
            Encoding::Jpeg => lens[0] = JPEG_LEN_MIN,
            Encoding::H264 => lens[0] = H264_LEN_MIN,
        }
        lens
    }

    /// The frame in its buffers, which hold pixels; see [`Self::contiguous`] for where the planes of one buffer lie.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes do not hold it; [`FrameError::Short`] for what is decoded or converted first.
    pub fn frame<'a>(
        &self,
        buffers: [&'a [u8]; PLANES_MAX],
        captured_at: Instant,
    ) -> Result<Frame<'a>, FrameError> {
        let mut planes = [Plane::EMPTY; PLANES_MAX];
        let places = self.places();
        for (plane, place) in planes.iter_mut().zip(&places) {
            let Some(Place { buffer, offset, stride }) = *place else { break };
            let data = buffers[buffer].get(offset..).ok_or(FrameError::Short)?;
            *plane = Plane { data, stride };
        }
        let (Encoding::Pixels(format) | Encoding::Planes(format)) = self.encoding else {
            return Err(FrameError::Short);
        };
        Frame::new(format, self.width, self.height, planes, captured_at)
    }

    /// Where each plane begins; none for what is decoded or converted first.
    #[must_use]
    pub fn places(&self) -> [Option<Place>; PLANES_MAX] {
        let mut places = [None; PLANES_MAX];
        match self.encoding {
            Encoding::Pixels(format) => {
                for (plane, place) in places.iter_mut().enumerate().take(format.planes()) {
                    let offset = self.offset(format, plane);
                    *place = Some(Place { buffer: 0, offset, stride: self.strides[plane] });
                }
            }
            Encoding::Planes(format) => {
                for (plane, place) in places.iter_mut().enumerate().take(format.planes()) {
                    *place = Some(Place { buffer: plane, offset: 0, stride: self.strides[plane] });
                }
            }
            Encoding::Jpeg | Encoding::Rgb(_) | Encoding::H264 => {}
        }
        places
    }

    /// The last row need not be padded.
    fn plane_len_min(&self, format: PixelFormat, plane: usize) -> usize {
        let (row, rows) = format.plane_size(plane, self.width, self.height);
        self.strides[plane] * rows.saturating_sub(1) + row
    }

    fn offset(&self, format: PixelFormat, plane: usize) -> usize {
        let bytes =
            |before: usize| self.strides[before] * format.plane_size(before, self.width, self.height).1;
        (0..plane).map(bytes).sum()
    }
}

/// Where a plane begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which of the frame's buffers.
    pub buffer: usize,
    /// How many bytes from the start of what that buffer holds.
    pub offset: usize,
    /// Bytes from a row to the next.
    pub stride: usize,
}

/// The two markers around any JPEG picture.
const JPEG_LEN_MIN: usize = 4;
/// A start code and a unit's first byte.
const H264_LEN_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const YUYV: Encoding = Encoding::Pixels(PixelFormat::Yuyv);
    const NV12: Encoding = Encoding::Pixels(PixelFormat::Nv12);
    const I420: Encoding = Encoding::Pixels(PixelFormat::I420);

    fn offer(encoding: Encoding, width: u32, height: u32, rate: u32) -> Offer {
        Offer { encoding, width, height, rate_millihertz: Some(rate) }
    }

    #[test]
    fn names_are_read_back() {
        for encoding in Encoding::ALL {
            let name = encoding.four_cc().expect("it is taken");
            assert_eq!(Encoding::from_four_cc(FourCc::from_code(name.code())), Some(encoding));
        }
        assert_eq!(Encoding::from_four_cc(FourCc(*b"HEVC")), None);
        assert_eq!(FourCc(*b"Y16\0").to_string(), "Y16.");
    }

    #[test]
    fn size_comes_before_rate_and_rate_before_cost() {
        let offers = [
            offer(Encoding::Jpeg, 1920, 1080, 60_000),
            offer(YUYV, 1920, 1080, 5_000),
            offer(YUYV, 640, 480, 120_000),
            offer(NV12, 1280, 720, 60_000),
        ];
        let pick = |size, rate| choose(&offers, size, rate).expect("an offer");
        assert_eq!(pick((1920, 1080), Some(60_000)), offers[0], "fast beats raw");
        assert_eq!(pick((1920, 1080), Some(5_000)), offers[1], "raw beats JPEG where both suffice");
        assert_eq!(pick((1280, 700), None), offers[3], "the nearest size");
        assert_eq!(pick((1, 1), None), offers[2]);
        assert_eq!(choose(&[], (1, 1), None), None);
    }

    #[test]
    fn equal_offers_go_to_the_cheapest_encoding_and_an_unknown_rate_suffices() {
        let unknown = Offer { encoding: I420, width: 640, height: 480, rate_millihertz: None };
        let offers = [offer(YUYV, 640, 480, 60_000), offer(NV12, 640, 480, 60_000), unknown];
        assert_eq!(choose(&offers, (640, 480), Some(60_000)), Some(unknown));
        assert_eq!(choose(&offers[..2], (640, 480), None), Some(offers[1]));
    }

    #[test]
    fn planes_lie_where_the_stride_puts_them() {
        let layout = Layout::contiguous(I420, (6, 4), 8);
        let bytes: Vec<u8> = (0..64).collect();
        let only = [&bytes[..], &[], &[]];
        let frame = layout.frame(only, Instant::ZERO).expect("it holds one");
        assert_eq!(frame.planes()[0].row(3, 6), [24, 25, 26, 27, 28, 29]);
        assert_eq!(frame.planes()[1].row(1, 3), [36, 37, 38]);
        assert_eq!(frame.planes()[2].row(1, 3), [44, 45, 46]);

        let layout = Layout::contiguous(NV12, (6, 4), 8);
        let frame = layout.frame(only, Instant::ZERO).expect("it holds one");
        assert_eq!(frame.planes()[1].row(1, 6), [40, 41, 42, 43, 44, 45]);

        let layout = Layout::contiguous(YUYV, (6, 4), 16);
        let frame = layout.frame(only, Instant::ZERO).expect("it holds one");
        assert_eq!(frame.planes()[0].row(3, 12)[0], 48);
    }

    #[test]
    fn planes_of_their_own_begin_where_their_buffers_do() {
        let encoding = Encoding::Planes(PixelFormat::I420);
        let layout = Layout { encoding, width: 6, height: 4, strides: [8, 16, 3] };
        assert_eq!(layout.buffers(), 3);
        assert_eq!(layout.lens_min(), [30, 19, 6]);
        let bytes: Vec<u8> = (0..64).collect();
        let frame = layout.frame([&bytes, &bytes[20..], &bytes[40..]], Instant::ZERO).expect("it holds one");
        assert_eq!(frame.planes()[0].row(1, 6), [8, 9, 10, 11, 12, 13]);
        assert_eq!(frame.planes()[1].row(1, 3), [36, 37, 38]);
        assert_eq!(frame.planes()[2].row(1, 3), [43, 44, 45]);
    }

    #[test]
    fn shortest_frame_is_exactly_enough() {
        for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Uyvy] {
            for (width, height) in [(1, 1), (2, 2), (5, 3), (64, 48), (1920, 1080)] {
                let tight = format.plane_size(0, width, height).0.next_multiple_of(2);
                for stride in [tight, tight + 64] {
                    let one = Layout::contiguous(Encoding::Pixels(format), (width, height), stride);
                    let each = Layout { encoding: Encoding::Planes(format), ..one };
                    for layout in [one, each] {
                        let bytes = layout.lens_min().map(|len| vec![0; len]);
                        let whole = [&bytes[0][..], &bytes[1], &bytes[2]];
                        assert!(layout.frame(whole, Instant::ZERO).is_ok(), "{layout:?}");
                        for short in 0..layout.buffers() {
                            let mut cut = whole;
                            cut[short] = &cut[short][1..];
                            let refusal = layout.frame(cut, Instant::ZERO).err();
                            assert_eq!(refusal, Some(FrameError::Short), "{layout:?} {short}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn stride_shorter_than_a_row_is_refused() {
        let layout = Layout::contiguous(YUYV, (64, 2), 64);
        assert_eq!(layout.frame([&[0; 4096], &[], &[]], Instant::ZERO).err(), Some(FrameError::Stride));
    }
}
