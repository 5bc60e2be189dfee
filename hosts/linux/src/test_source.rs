//! A moving scene that says in its own pixels which frame it is and when it was taken.
//!
//! # The stamp
//! A grid of cells, [`CELL`] pixels square, from the picture's top left corner, [`COLUMNS`] across and two down, read
//! row by row. A white cell is a 1, a black one a 0. 128 bits, most significant first:
//!
//! ```text
//! 0        16            48                         112      128
//! +--------+-------------+--------------------------+--------+
//! | 0xB3C5 | frame       | captured, µs             | check  |
//! +--------+-------------+--------------------------+--------+
//! ```
//!
//! The frame's number counts the ticks since the start, so one that is skipped shows. The time is on the clock of
//! whoever polls the source. The check is CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF) of the 14 bytes
//! before it. Cells are so large that their middle survives any picture that can be recognised at all.
//!
//! Below the stamp a square bounces over a gradient, stripes scroll, and the number stands in digits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rift::{Instant, Rectangle};
use rift_hal::{Frame, PixelFormat, Plane, Pollable, VideoSource, font};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Pixels across of the scene.
pub const WIDTH: u32 = 1280;
/// Pixels down.
pub const HEIGHT: u32 = 720;
/// Pixels of a side of the stamp's cells.
pub const CELL: usize = 16;
/// Cells of a row of the stamp.
pub const COLUMNS: usize = 64;

const ROWS: usize = 2;
const MAGIC: u16 = 0xb3c5;
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const STAMP_LEN: usize = COLUMNS * ROWS / 8;
const W: usize = WIDTH as usize;
const H: usize = HEIGHT as usize;
/// Rows of luma above the scene.
const TOP: usize = CELL * ROWS;
const SQUARE: usize = 96;
/// Where the stripes scroll.
const STRIPES: core::ops::Range<usize> = H - 96..H;
/// Dots of a digit's font are this many pixels.
const DIGIT_SCALE: u32 = 6;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Ticks since the source was started.
    pub number: u32,
    /// When it was drawn, on the host's clock.
    pub captured_at: Instant,
}

impl Stamp {
    /// Reads the stamp of a shown frame, in its own size; `None` when there is none or its check is wrong.
    /// Formats: I420, NV12 and BGRX.
    #[must_use]
    pub fn read(frame: &Frame<'_>) -> Option<Self> {
        if (frame.width() as usize) < COLUMNS * CELL || (frame.height() as usize) < TOP {
            return None;
        }
        let (pixel, offset) = match frame.format() {
            PixelFormat::I420 | PixelFormat::Nv12 => (1, 0),
            // Green is most of what is bright.
            PixelFormat::Bgrx => (4, 1),
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Rgb565 | _ => return None,
        };
        let plane = frame.planes()[0];
        Self::read_cells(|x, y| plane.data[y * plane.stride + x * pixel + offset])
    }

    /// Reads a stamp from brightness (0 to 255) by pixel, for pictures that are no [`Frame`], a PNG for instance.
    /// `x` is below `COLUMNS * CELL` and `y` below `2 * CELL`.
    pub fn read_cells(mut brightness: impl FnMut(usize, usize) -> u8) -> Option<Self> {
        let mut bytes = [0u8; STAMP_LEN];
        for cell in 0..COLUMNS * ROWS {
            let (left, top) = (cell % COLUMNS * CELL, cell / COLUMNS * CELL);
            let mut sum = 0u32;
            for y in top + CELL / 4..top + CELL * 3 / 4 {
                for x in left + CELL / 4..left + CELL * 3 / 4 {
                    sum += u32::from(brightness(x, y));
                }
            }
            let is_white = sum / (CELL * CELL / 4) as u32 >= 128;
            bytes[cell / 8] |= u8::from(is_white) << (7 - cell % 8);
        }
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: [u8; STAMP_LEN]) -> Option<Self> {
        let value = u128::from_be_bytes(bytes);
        let sound = (value >> 112) as u16 == MAGIC && value as u16 == check(&bytes[..STAMP_LEN - 2]);
        sound.then_some(Self {
            number: (value >> 80) as u32,
            captured_at: Instant::from_micros((value >> 16) as u64),
        })
    }

    fn to_bytes(self) -> [u8; STAMP_LEN] {
        let value = u128::from(MAGIC) << 112
            | u128::from(self.number) << 80
            | u128::from(self.captured_at.as_micros()) << 16;
        let mut bytes = value.to_be_bytes();
        let check = check(&bytes[..STAMP_LEN - 2]);
        bytes[STAMP_LEN - 2..].copy_from_slice(&check.to_be_bytes());
        bytes
    }
}

/// CRC-16/CCITT-FALSE.
fn check(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, &byte| {
        (0..8).fold(
            crc ^ u16::from(byte) << 8,
            |crc: u16, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

/// The test scene as a source: a new frame every period, by the kernel's timer.
#[derive(Debug)]
pub struct TestSource {
    timer: OwnedFd,
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
    still: Vec<u8>,
    stamp: Option<Stamp>,
}

impl TestSource {
    /// A scene of `rate_hz` (at least 1) frames a second.
    ///
    /// # Errors
    /// The kernel gave no timer.
    pub fn start(rate_hz: u32) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let period = i64::from(1_000_000_000 / rate_hz.max(1));
        let interval = Timespec { tv_sec: period / 1_000_000_000, tv_nsec: period % 1_000_000_000 };
        let spec = Itimerspec { it_interval: interval, it_value: Timespec { tv_sec: 0, tv_nsec: 1 } };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
        let still: Vec<u8> = (0..W * H).map(|at| gradient(at % W, at / W)).collect();
        let chroma = [0, 1].map(|plane| {
            let colour = |at: usize| if plane == 0 { 96 + at % (W / 2) / 10 } else { 96 + at / (W / 2) / 6 };
            (0..W * H / 4).map(|at| colour(at) as u8).collect()
        });
        Ok(Self { timer, luma: still.clone(), chroma, still, stamp: None })
    }

    /// Takes the ticks that have passed.
    fn ticks(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match rustix::io::read(&self.timer, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn draw(&mut self, stamp: Stamp) {
        let number = stamp.number as usize;
        self.luma.copy_from_slice(&self.still);
        for y in STRIPES {
            for (x, luma) in self.luma[y * W..][..W].iter_mut().enumerate() {
                *luma = if ((x + number * 4) / 32).is_multiple_of(2) { 60 } else { 190 };
            }
        }
        let (left, top) =
            (bounce(number * 7, W - SQUARE), TOP + bounce(number * 5, STRIPES.start - TOP - SQUARE));
        for y in top..top + SQUARE {
            self.luma[y * W + left..][..SQUARE].fill(200);
        }
        let digits = format!("{:08}", stamp.number);
        font::draw(&digits, DIGIT_SCALE, font::extent(&digits, DIGIT_SCALE), |x, y, ink| {
            let (x, y) = (x as usize + 32, y as usize + TOP + 16);
            self.luma[y * W + x] = if ink { WHITE } else { BLACK };
        });
        for (cell, bit) in
            stamp.to_bytes().iter().flat_map(|byte| (0..8).map(move |bit| byte << bit & 0x80)).enumerate()
        {
            let (left, top) = (cell % COLUMNS * CELL, cell / COLUMNS * CELL);
            for y in top..top + CELL {
                self.luma[y * W + left..][..CELL].fill(if bit == 0 { BLACK } else { WHITE });
            }
        }
        self.stamp = Some(stamp);
    }

    /// Draws the next frame if it is time.
    fn advance(&mut self, now: Instant) -> io::Result<bool> {
        let ticks = self.ticks()?;
        if ticks == 0 && self.stamp.is_some() {
            return Ok(false);
        }
        let number = self.stamp.map_or(0, |stamp| stamp.number.wrapping_add(ticks as u32));
        self.draw(Stamp { number, captured_at: now });
        Ok(true)
    }

    fn frame(&self) -> Option<Frame<'_>> {
        let captured_at = self.stamp?.captured_at;
        let plane = |data, stride| Plane { data, stride };
        let [blue, red] = &self.chroma;
        let planes = [plane(&self.luma, W), plane(blue, W / 2), plane(red, W / 2)];
        Frame::new(PixelFormat::I420, WIDTH, HEIGHT, planes, captured_at).ok()
    }
}

impl VideoSource for TestSource {
    type Error = io::Error;

    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn poll_frame(&mut self, now: Instant) -> io::Result<Option<Frame<'_>>> {
        let is_new = self.advance(now)?;
        Ok(self.frame().filter(|_| is_new))
    }

    fn damage(&self) -> Rectangle {
        Rectangle::sized(WIDTH as u16, HEIGHT as u16)
    }

    fn current_frame(&mut self, now: Instant) -> io::Result<Option<Frame<'_>>> {
        if self.stamp.is_none() {
            self.advance(now)?;
        }
        Ok(self.frame())
    }
}

impl Pollable for TestSource {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

fn gradient(x: usize, y: usize) -> u8 {
    (40 + (x * 100 / W) + (y * 60 / H)) as u8
}

/// There and back between 0 and `limit`.
const fn bounce(at: usize, limit: usize) -> usize {
    let place = at % (2 * limit);
    if place < limit { place } else { 2 * limit - place }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> TestSource {
        TestSource::start(60).expect("the kernel has timers")
    }

    #[test]
    fn stamp_of_every_drawn_frame_is_read_back() {
        let mut source = source();
        for number in [0, 1, 2, 77, 0xffff, 0x8000_0001, u32::MAX] {
            let stamp = Stamp { number, captured_at: Instant::from_micros(u64::from(number) * 0x1_0001) };
            source.draw(stamp);
            assert_eq!(Stamp::read(&source.frame().unwrap()), Some(stamp));
        }
    }

    #[test]
    fn stamp_survives_blur_and_dimming_and_a_wrong_cell_is_noticed() {
        let mut source = source();
        let stamp = Stamp { number: 4711, captured_at: Instant::from_millis(123_456) };
        source.draw(stamp);
        let luma = |x: usize, y: usize| u32::from(source.luma[y * W + x.min(W - 1)]);
        let blurred = |x: usize, y: usize| {
            let sum = (0..3).map(|step| luma((x + step).saturating_sub(1), y)).sum::<u32>() / 3;
            (sum * 3 / 4 + 30) as u8
        };
        assert_eq!(Stamp::read_cells(blurred), Some(stamp));
        for cell in 0..COLUMNS * ROWS {
            let (column, row) = (cell % COLUMNS, cell / COLUMNS);
            let wrong = |x: usize, y: usize| {
                let value = luma(x, y) as u8;
                if x / CELL == column && y / CELL == row { 251 - value } else { value }
            };
            assert_eq!(Stamp::read_cells(wrong), None, "cell {cell}");
        }
    }

    #[test]
    fn scene_moves_and_has_no_stamp_elsewhere() {
        let mut source = source();
        source.draw(Stamp { number: 1, captured_at: Instant::ZERO });
        let first = source.luma.clone();
        source.draw(Stamp { number: 2, captured_at: Instant::ZERO });
        let below = TOP * W;
        assert_ne!(first[below..], source.luma[below..]);
        assert_eq!(Stamp::read_cells(|x, y| source.luma[(y + TOP) * W + x]), None);
    }

    #[test]
    fn first_poll_gives_a_frame_and_repeating_it_gives_the_same() {
        let mut source = source();
        let now = Instant::from_millis(5);
        let first = Stamp::read(&source.poll_frame(now).unwrap().expect("the first is due at once")).unwrap();
        assert_eq!(first.captured_at, now);
        let again = source.current_frame(Instant::from_millis(6)).unwrap().expect("there is one");
        assert_eq!(Stamp::read(&again), Some(first));
    }
}
