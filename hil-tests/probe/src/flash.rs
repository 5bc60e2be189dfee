//! A patch flips between black and white on one screen; the same place is watched on another.
//!
//! Both screens are on one machine, so one clock times both: from the request that draws the patch to the first look
//! that finds the viewer's pixel changed. Looks are 0.2 ms apart, and a figure is right to about that.

use core::time::Duration;
use std::time::Instant;

use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    ChangeGCAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, Rectangle, Window,
    WindowClass,
};
use x11rb::rust_connection::RustConnection;

use crate::Problem;
use crate::quantiles::quantile;

const PATCH: u16 = 64;
pub(crate) const LOOK_EVERY: Duration = Duration::from_micros(200);
/// A flip not seen after this long counts as missed.
pub(crate) const MISSED_AFTER: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The screen to draw on.
    pub host: String,
    /// The screen to watch.
    pub viewer: String,
    /// The patch's left top corner, on both screens.
    pub place: (i16, i16),
    /// How long to go on.
    pub length: Duration,
    /// Decides the pauses between flips.
    pub seed: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// From drawing to seeing, in µs, sorted.
    pub latencies_us: Vec<u64>,
    /// Flips that were never seen.
    pub missed: u64,
}

impl Outcome {
    /// A line of JSON.
    ///
    /// # Errors
    /// Nothing was ever seen.
    pub fn report(&self) -> Result<String, Problem> {
        let at = |permille| quantile(&self.latencies_us, permille).map(|micros| micros as f64 / 1000.0);
        let (Some(p50), Some(p95), Some(p99)) = (at(500), at(950), at(990)) else {
            return Err("nothing was ever seen".into());
        };
        Ok(format!(
            "{{\"n\":{},\"missed\":{},\"p50_ms\":{p50:.2},\"p95_ms\":{p95:.2},\"p99_ms\":{p99:.2}}}",
            self.latencies_us.len(),
            self.missed
        ))
    }
}

struct Host {
    connection: RustConnection,
    window: Window,
    context: Gcontext,
    colours: [u32; 2],
}

impl Host {
    fn open(display: &str, place: (i16, i16)) -> Result<Self, Problem> {
        let (connection, number) = x11rb::connect(Some(display))?;
        let screen = &connection.setup().roots[number];
        let colours = [screen.black_pixel, screen.white_pixel];
        let (root, depth) = (screen.root, screen.root_depth);
        let (window, context) = (connection.generate_id()?, connection.generate_id()?);
        let attributes = CreateWindowAux::new().override_redirect(1).background_pixel(colours[0]);
        let (x, y) = place;
        connection.create_window(
            depth,
            window,
            root,
            x,
            y,
            PATCH,
            PATCH,
            0,
            WindowClass::INPUT_OUTPUT,
            0,
            &attributes,
        )?;
        connection.map_window(window)?;
        connection.create_gc(context, window, &CreateGCAux::new().foreground(colours[1]))?;
        connection.get_input_focus()?.reply()?;
        Ok(Self { connection, window, context, colours })
    }

    /// Draws the patch and returns when the request was on its way.
    fn draw(&self, white: bool) -> Result<Instant, Problem> {
        let colour = ChangeGCAux::new().foreground(self.colours[usize::from(white)]);
        self.connection.change_gc(self.context, &colour)?;
        let patch = Rectangle { x: 0, y: 0, width: PATCH, height: PATCH };
        self.connection.poly_fill_rectangle(self.window, self.context, &[patch])?;
        let drawn_at = clock();
        self.connection.flush()?;
        Ok(drawn_at)
    }
}

struct Viewer {
    connection: RustConnection,
    root: Window,
    place: (i16, i16),
}

impl Viewer {
    fn open(display: &str, place: (i16, i16)) -> Result<Self, Problem> {
        let (connection, number) = x11rb::connect(Some(display))?;
        let root = connection.setup().roots[number].root;
        let half = (PATCH / 2).cast_signed();
        Ok(Self { connection, root, place: (place.0 + half, place.1 + half) })
    }

    fn is_white(&self) -> Result<bool, Problem> {
        let (x, y) = self.place;
        let reply =
            self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, 1, 1, u32::MAX)?.reply()?;
        let sum: u32 = reply.data.iter().take(3).map(|&byte| u32::from(byte)).sum();
        Ok(sum > 3 * 128)
    }

    /// Waits until the pixel is as wanted; `None` when that takes too long.
    fn wait(&self, white: bool, since: Instant) -> Result<Option<Duration>, Problem> {
        loop {
            let seen = self.is_white()? == white;
            let passed = since.elapsed();
            if seen {
                return Ok(Some(passed));
            }
            if passed > MISSED_AFTER {
                return Ok(None);
            }
            pause(LOOK_EVERY);
        }
    }
}

/// Flips the patch until the time is over, and takes it away.
///
/// # Errors
/// A screen cannot be reached, or the viewer's never shows the patch at all.
pub fn measure(options: &Options) -> Result<Outcome, Problem> {
    let host = Host::open(&options.host, options.place)?;
    let viewer = Viewer::open(&options.viewer, options.place)?;
    let begun = host.draw(true)?;
    if viewer.wait(true, begun)?.is_none() && viewer.wait(true, clock())?.is_none() {
        return Err(format!("what is drawn on {} never shows on {}", options.host, options.viewer).into());
    }
    let mut outcome = Outcome::default();
    let (mut white, mut random) = (true, options.seed | 1);
    while begun.elapsed() < options.length {
        // Xorshift: pauses must not keep step with the pictures.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        pause(Duration::from_micros(120_000 + random % 80_000));
        white = !white;
        let drawn_at = host.draw(white)?;
        match viewer.wait(white, drawn_at)? {
            Some(latency) => outcome.latencies_us.push(u64::try_from(latency.as_micros())?),
            None => outcome.missed += 1,
        }
    }
    outcome.latencies_us.sort_unstable();
    Ok(outcome)
}

#[expect(clippy::disallowed_methods, reason = "a probe measures real time")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is looked at has no event to wait for: a pixel of another program"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
