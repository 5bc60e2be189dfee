//! Once it has run for a while the encoder allocates nothing in this process's Rust code.

#![expect(unsafe_code, reason = "a counting allocator is one")]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::System;

use rift::{Instant, PictureId, Rectangle};
use rift_hal::{EncodeRequest, Encoder, EncoderSettings, Frame, PixelFormat, Plane};
use rift_x264::{Options, X264Encoder};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn encoding_allocates_nothing_in_steady_state() {
    let settings =
        EncoderSettings { width: 641, height: 479, rate_millihertz: 60_000, bitrate_bps: 20_000_000 };
    let mut encoder = X264Encoder::new(&settings, &Options::default()).unwrap();
    let mut data = vec![0_u8; 641 * 479 * 4];
    let mut bytes = 0;
    let mut before = 0;
    for id in 0..200_u32 {
        if id == 100 {
            before = COUNT.load(Relaxed);
        }
        let changed = data.iter_mut().skip(id as usize * 100).take(40_000);
        changed.enumerate().for_each(|(at, byte)| *byte = (at as u32 * (id % 50)) as u8);
        let planes = [Plane { data: &data, stride: 641 * 4 }, Plane::EMPTY, Plane::EMPTY];
        let frame = Frame::new(PixelFormat::Bgrx, 641, 479, planes, Instant::ZERO).unwrap();
        let damage = (id % 2 == 1).then(|| Rectangle::sized(641, 479));
        let request = EncodeRequest { id: PictureId(id), key: id == 0, damage };
        encoder.encode(&frame, &request, &mut |part| bytes += part.len()).unwrap();
        encoder.set_bitrate(20_000_000 + id % 7 * 100_000).unwrap();
        encoder.invalidate(PictureId(id + 1)).unwrap();
    }
    assert_eq!(
        COUNT.load(Relaxed) - before,
        0,
        "allocations while 100 pictures of {bytes} bytes were encoded"
    );
}
