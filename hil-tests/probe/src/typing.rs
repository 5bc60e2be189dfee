//! Characters appear on a screen one after the other, as a terminal draws them; their place is watched in the memory that an
//! emulated board scans out.
//!
//! The board's memory is a file, so looking takes nothing from it. One clock times both: from the request that draws the
//! character to the first look that finds every pixel of it, 16 bits a pixel. Looks are 0.2 ms apart.

use core::time::Duration;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use crate::Problem;
use crate::flash::{LOOK_EVERY, MISSED_AFTER, Outcome, clock, pause};

/// Pixels of a character of the X server's own font `fixed`.
const CELL: (u16, u16) = (6, 13);
const BASELINE: i16 = 11;
const COLUMNS: u16 = 64;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The screen to write on.
    pub host: String,
    /// The file that is the board's memory.
    pub memory: PathBuf,
    /// Where in it the pixels begin, and bytes from one row to the next.
    pub pixels: (u64, u64),
    /// The left top corner of the line of text, on both screens.
    pub place: (i16, i16),
    /// How many characters.
    pub samples: u32,
    /// Decides the pauses between them.
    pub seed: u64,
}

struct Page {
    connection: RustConnection,
    root: Window,
    window: Window,
    context: Gcontext,
    place: (i16, i16),
}

impl Page {
    fn open(display: &str, place: (i16, i16)) -> Result<Self, Problem> {
        let (connection, number) = x11rb::connect(Some(display))?;
        let screen = &connection.setup().roots[number];
        let (root, depth, black, white) =
            (screen.root, screen.root_depth, screen.black_pixel, screen.white_pixel);
        let (window, context, font) =
            (connection.generate_id()?, connection.generate_id()?, connection.generate_id()?);
        let attributes = CreateWindowAux::new().override_redirect(1).background_pixel(black);
        let (width, height) = (CELL.0 * COLUMNS, CELL.1);
        connection.create_window(
            depth,
            window,
            root,
            place.0,
            place.1,
            width,
            height,
            0,
            WindowClass::INPUT_OUTPUT,
            0,
            &attributes,
        )?;
        connection.open_font(font, b"fixed")?.check()?;
        connection.map_window(window)?;
        let colours = CreateGCAux::new().foreground(white).background(black).font(font);
        connection.create_gc(context, window, &colours)?;
        connection.get_input_focus()?.reply()?;
        Ok(Self { connection, root, window, context, place })
    }

    /// Writes from a column on; the text is on its way when this returns.
    fn write(&self, column: u16, text: &[u8]) -> Result<std::time::Instant, Problem> {
        let x = i16::try_from(column * CELL.0)?;
        self.connection.image_text8(self.window, self.context, x, BASELINE, text)?;
        let written_at = clock();
        self.connection.flush()?;
        Ok(written_at)
    }

    /// The cell of a column as the board should show it.
    fn cell(&self, column: u16) -> Result<Vec<u8>, Problem> {
        let x = self.place.0 + i16::try_from(column * CELL.0)?;
        let (width, height) = CELL;
        let reply = self
            .connection
            .get_image(ImageFormat::Z_PIXMAP, self.root, x, self.place.1, width, height, u32::MAX)?
            .reply()?;
        let pixels = reply.data.chunks_exact(4).flat_map(|pixel| {
            let [blue, green, red] = [pixel[0], pixel[1], pixel[2]].map(u16::from);
            (red >> 3 << 11 | green >> 2 << 5 | blue >> 3).to_le_bytes()
        });
        Ok(pixels.collect())
    }
}

struct Board {
    memory: File,
    pixels: (u64, u64),
    place: (i16, i16),
}

impl Board {
    fn cell(&self, column: u16) -> Result<Vec<u8>, Problem> {
        let (begin, stride) = self.pixels;
        let left = u64::try_from(self.place.0)? + u64::from(column * CELL.0);
        let row_len = usize::from(CELL.0) * 2;
        let mut bytes = vec![0; row_len * usize::from(CELL.1)];
        for (row, part) in (u64::try_from(self.place.1)?..).zip(bytes.chunks_exact_mut(row_len)) {
            self.memory.read_exact_at(part, begin + row * stride + left * 2)?;
        }
        Ok(bytes)
    }

    /// Waits until a cell shows this; `None` when that takes too long.
    fn wait(
        &self,
        column: u16,
        wanted: &[u8],
        since: std::time::Instant,
    ) -> Result<Option<Duration>, Problem> {
        loop {
            let is_there = self.cell(column)? == wanted;
            let passed = since.elapsed();
            if is_there {
                return Ok(Some(passed));
            }
            if passed > MISSED_AFTER {
                return Ok(None);
            }
            pause(LOOK_EVERY);
        }
    }
}

/// Writes characters and times each.
///
/// # Errors
/// The screen cannot be reached, has no font, or the memory cannot be read.
pub fn measure(options: &Options) -> Result<Outcome, Problem> {
    let page = Page::open(&options.host, options.place)?;
    let memory = File::open(&options.memory)
        .map_err(|error| format!("cannot open {}: {error}", options.memory.display()))?;
    let board = Board { memory, pixels: options.pixels, place: options.place };
    let mut outcome = Outcome::default();
    let mut random = options.seed | 1;
    for sample in 0..options.samples {
        let column = u16::try_from(sample % u32::from(COLUMNS))?;
        if column == 0 {
            let written_at = page.write(0, &[b' '; COLUMNS as usize])?;
            board.wait(COLUMNS - 1, &page.cell(COLUMNS - 1)?, written_at)?;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        pause(Duration::from_micros(100_000 + random % 80_000));
        let letter = b'a' + u8::try_from(sample % 26)?;
        let written_at = page.write(column, &[letter])?;
        match board.wait(column, &page.cell(column)?, written_at)? {
            Some(latency) => outcome.latencies_us.push(u64::try_from(latency.as_micros())?),
            None => outcome.missed += 1,
        }
    }
    outcome.latencies_us.sort_unstable();
    Ok(outcome)
}
