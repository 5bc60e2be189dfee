//! What a process keeps of the memory that encoders of large pictures took; alone in its program, because it looks at
//! the memory of all of it.

#![expect(clippy::unwrap_used, reason = "a test that meets an error fails there")]

use rift::{Instant, PictureId};
use rift_hal::{EncodeRequest, Encoder, EncoderSettings, Frame, PixelFormat, Plane};
use rift_x264::{Options, X264Encoder, release_large_blocks};

const SMALL: (u32, u32) = (640, 480);
const MIDDLE: (u32, u32) = (1280, 720);
const LARGE: (u32, u32) = (1920, 1080);
/// Pictures after which an encoder has all the memory that it will ever take.
const ALL_KEPT: u32 = 20;

#[test]
fn memory_of_large_pictures_goes_back_when_they_are_over() {
    if !release_large_blocks() {
        println!("skipped: the C library is not GNU's, which is the one that keeps it");
        return;
    }
    // The first thread's memory is managed in another way, and it is not the one that encodes.
    std::thread::spawn(change_sizes).join().unwrap();
}

fn change_sizes() {
    let mut coder = Coder { encoder: None, size: SMALL };
    coder.show(SMALL, ALL_KEPT);
    let first_kb = resident_kb();
    let mut looks = Vec::new();
    // Whatever else a program keeps lies wherever there was room when it was made: here above a large encoder.
    let mut keepsakes = Vec::new();
    for visit in 0..24_u32 {
        let size = [LARGE, MIDDLE, SMALL][visit as usize % 3];
        // Not always for so long that all its pictures are kept.
        coder.show(size, 1 + visit * 7 % ALL_KEPT);
        keepsakes.push(vec![1_u8; 4096]);
        coder.show(SMALL, 6);
        looks.push(resident_kb());
    }
    coder.show(LARGE, ALL_KEPT);
    let large_kb = resident_kb();
    coder.show(SMALL, ALL_KEPT);
    let last_kb = resident_kb();
    // Sixteen pictures of 3 MB at the least: else the rest proves nothing.
    assert!(large_kb > first_kb + 40_000, "{large_kb} kB at the large size, {first_kb} kB at the small one");
    // What is left are blocks below a megabyte, and holes between them.
    assert!(last_kb < first_kb + 16_000, "{first_kb} kB before, {last_kb} kB after; between: {looks:?}");
    let settled = &looks[looks.len() / 4..];
    let rise_kb = last_kb.saturating_sub(*settled.iter().min().unwrap());
    assert!(rise_kb < 1_000, "it rises: {looks:?}, {last_kb} kB at the end");
}

struct Coder {
    encoder: Option<X264Encoder>,
    size: (u32, u32),
}

impl Coder {
    /// Encodes so many pictures of this size, in an encoder of their own unless the last ones were of that size too.
    fn show(&mut self, (width, height): (u32, u32), count: u32) {
        if self.size != (width, height) {
            self.encoder = None;
            self.size = (width, height);
        }
        let settings = EncoderSettings { width, height, rate_millihertz: 60_000, bitrate_bps: 20_000_000 };
        let encoder =
            self.encoder.get_or_insert_with(|| X264Encoder::new(&settings, &Options::default()).unwrap());
        let row = width as usize * 2;
        let data = vec![0x55; row * height as usize];
        for id in 0..count {
            let planes = [Plane { data: &data, stride: row }, Plane::EMPTY, Plane::EMPTY];
            let frame = Frame::new(PixelFormat::Yuyv, width, height, planes, Instant::ZERO).unwrap();
            let request = EncodeRequest { id: PictureId(id), key: false, damage: None };
            encoder.encode(&frame, &request, &mut |_| {}).unwrap();
        }
    }
}

/// Pages of this process that are in memory, kB.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
