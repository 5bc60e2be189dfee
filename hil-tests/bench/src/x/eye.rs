//! Looking at a screen: one pixel, often, or all of it.
//!
//! Both ways use MIT-SHM by descriptor, and read what the server wrote through the same descriptor: no memory is
//! mapped here, so nothing here is unsafe.

use core::time::Duration;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use x11rb::connection::Connection as _;
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ImageFormat, Window};
use x11rb::rust_connection::RustConnection;

use super::{HEIGHT, VirtualScreen, WIDTH};
use crate::clock::{now, pause};
use crate::failure::{Context as _, Failure};

const BYTES_PER_PIXEL: usize = 4;
const ALL_PLANES: u32 = !0;
/// Between two looks at a pixel.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// What was on a screen: rows without padding, four bytes a pixel: blue, green, red, nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// `HEIGHT` rows of `WIDTH` pixels.
    pub(crate) bytes: Vec<u8>,
}

/// Looks at one screen, through a connection of its own.
#[derive(Debug)]
pub(crate) struct Eye {
    connection: RustConnection,
    root: Window,
    segment: shm::Seg,
    memory: File,
}

impl Eye {
    /// Opens a connection and the shared memory.
    pub(crate) fn open(screen: &VirtualScreen) -> Result<Self, Failure> {
        let connection = screen.connect()?;
        let root = connection.setup().roots.first().ok_or("the display has no screen")?.root;
        let memory = memfd_create("wavry-bench", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, u64::from(WIDTH) * u64::from(HEIGHT) * BYTES_PER_PIXEL as u64)?;
        let segment = connection.generate_id()?;
        let servers = memory.try_clone()?;
        connection
            .shm_attach_fd(segment, servers, false)?
            .check()
            .context("cannot share memory with Xvfb")?;
        Ok(Self { connection, root, segment, memory: File::from(memory) })
    }

    /// The colour of one pixel, 0xRRGGBB.
    pub(crate) fn pixel(&self, at: (i16, i16)) -> Result<u32, Failure> {
        self.fetch(at, (1, 1))?;
        let mut bytes = [0; BYTES_PER_PIXEL];
        self.memory.read_exact_at(&mut bytes, 0)?;
        Ok(u32::from_le_bytes(bytes) & 0x00ff_ffff)
    }

    /// The whole screen.
    pub(crate) fn image(&self) -> Result<Image, Failure> {
        self.fetch((0, 0), (WIDTH, HEIGHT))?;
        let mut bytes = vec![0; usize::from(WIDTH) * usize::from(HEIGHT) * BYTES_PER_PIXEL];
        self.memory.read_exact_at(&mut bytes, 0)?;
        Ok(Image { bytes })
    }

    /// Looks at a pixel until it is nearer to `new` than to `old`; when that was seen, or `None` at the limit.
    pub(crate) fn wait_for(
        &self,
        at: (i16, i16),
        old: u32,
        new: u32,
        limit: Duration,
    ) -> Result<Option<Instant>, Failure> {
        let end = now() + limit;
        loop {
            let colour = self.pixel(at)?;
            let seen = now();
            if distance(colour, new) < distance(colour, old) {
                return Ok(Some(seen));
            }
            if seen >= end {
                return Ok(None);
            }
            pause(LOOK_EVERY);
        }
    }

    fn fetch(&self, (x, y): (i16, i16), (width, height): (u16, u16)) -> Result<(), Failure> {
        let format = u8::from(ImageFormat::Z_PIXMAP);
        let cookie = self.connection.shm_get_image(
            self.root,
            x,
            y,
            width,
            height,
            ALL_PLANES,
            format,
            self.segment,
            0,
        )?;
        cookie.reply()?;
        Ok(())
    }
}

/// The squared distance of two colours.
fn distance(one: u32, other: u32) -> u32 {
    let channel = |shift: u32| {
        let difference = (one >> shift & 0xff).abs_diff(other >> shift & 0xff);
        difference * difference
    };
    channel(16) + channel(8) + channel(0)
}
