//! Times grabbing, converting and putting on one display, in milliseconds.
//!
//! `Xvfb :7 -screen 0 1920x1080x24 & DISPLAY=:7 cargo run --release -p rift-x11 --example measure`

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use rift::{Instant, Rectangle};
use rift_hal::{Display, Frame, PixelFormat, Plane, VideoSource};
use rift_x11::{X11Display, X11Source};

/// How often each thing is done.
const ROUNDS: u32 = 300;

type Outcome<T> = Result<T, Box<dyn core::error::Error>>;

fn main() -> Outcome<()> {
    let mut source = X11Source::open(None)?;
    let (width, height) = source.size();
    let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
    let (w, h) = (side(width), side(height));
    println!("{width} x {height}, shared memory: {}", source.is_shared());
    let (luma, chroma) =
        (vec![90u8; width as usize * height as usize], vec![120u8; width as usize * height as usize / 4]);
    let (full, half) = (width as usize, width as usize / 2);
    let planes = [
        Plane { data: &luma, stride: full },
        Plane { data: &chroma, stride: half },
        Plane { data: &chroma, stride: half },
    ];
    let frame = Frame::new(PixelFormat::I420, width, height, planes, Instant::ZERO)?;
    let mut display = X11Display::open(None, "measure", w, h)?;
    let patch = Rectangle { x: w / 4, y: h / 4, width: 600.min(w / 2), height: 400.min(h / 2) };
    for (name, changed) in [("whole", None), ("600 x 400", Some(patch))] {
        let present = figures(|| Ok(display.present(&frame, changed)?))?;
        while display.poll_event()?.is_some() {}
        println!("present {name}: convert, put, wait for the buffer: {present}");
        // A put of ours changes the screen, so each grab fetches exactly that.
        let mut grabbed = Vec::new();
        for _ in 0..ROUNDS {
            display.present(&frame, changed)?;
            while display.poll_event()?.is_some() {}
            let before = now();
            while source.poll_frame(Instant::ZERO)?.is_none() {}
            grabbed.push(before.elapsed().as_secs_f64() * 1e3);
        }
        println!("put to grabbed, {name}: {}; damage {:?}", summary(&mut grabbed), source.damage());
    }
    while source.poll_frame(Instant::ZERO)?.is_some() {}
    let still = figures(|| {
        source.poll_frame(Instant::ZERO)?;
        Ok(())
    })?;
    println!("poll of a still screen: {still}");
    drop(display);
    let mut small = X11Display::open(None, "measure", w / 4 * 3, h / 4 * 3)?;
    println!("present whole, scaled to 3/4: {}", figures(|| Ok(small.present(&frame, None)?))?);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "measuring time needs a clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn figures(mut act: impl FnMut() -> Outcome<()>) -> Outcome<String> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let before = now();
        act()?;
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    Ok(summary(&mut times))
}

fn summary(times: &mut [f64]) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("p50 {:.3}, p95 {:.3}, p99 {:.3} ms", at(50), at(95), at(99))
}
