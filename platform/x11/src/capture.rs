//! The root window as a source of frames.
//!
//! The server writes straight into a buffer that stays from grab to grab, so only rows that changed are
//! fetched. Invariant: outside `pending`, the buffer equals the screen as it was when last asked.
//!
//! Why no change is missed: XDAMAGE reports whenever the box around all damage grows, and the box is emptied
//! (`Subtract`) before the grab. Drawing before that and inside the known box is in the grab; drawing outside
//! it has sent an event, which the next poll finds; drawing after it starts a new box.

use std::os::fd::BorrowedFd;

use rift::{Instant, Rectangle};
use rift_hal::{Cursor, Frame, PixelFormat, Plane, Pollable, VideoSource};
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::damage::{self, ReportLevel};
use x11rb::protocol::xproto::{self, ChangeWindowAttributesAux, ConnectionExt, EventMask, ImageFormat};
use x11rb::protocol::{ErrorKind, Event, shm, xfixes};
use x11rb::rust_connection::RustConnection;

use crate::Error;
use crate::connection::{PIXEL, check_pixels, connect, require, shares_memory};
use crate::cursor::CursorWatch;
use crate::segment::Segment;
use crate::wake::Wake;

/// How often a pointer that nothing announced is looked for. A program may warp it without any event.
const POINTER_INTERVAL_US: u64 = 8_000;

/// The screen of an X server, cursor apart.
///
/// The cursor is never in the frames. The first poll gives the whole screen. A frame from
/// [`VideoSource::current_frame`] counts as given: [`VideoSource::damage`] is relative to the frame before,
/// whichever call gave it.
pub struct X11Source {
    connection: RustConnection,
    root: xproto::Window,
    size: (u16, u16),
    pixels: Pixels,
    damage: damage::Damage,
    /// What changed on the screen since the last grab.
    pending: Rectangle,
    /// What changed between the last two frames given.
    given: Rectangle,
    cursor: CursorWatch,
    pointer_asked_at: Instant,
    wake: Wake,
}

/// Where a grab goes.
enum Pixels {
    /// Written by the server.
    Shared(Segment),
    /// Copied from the connection, because no memory can be shared.
    Copied(Vec<u8>),
}

impl X11Source {
    /// The default screen of `display` (`None` = the environment's `DISPLAY`).
    ///
    /// # Errors
    /// No server, no DAMAGE or XFIXES extension, or pixels that are not 32 bits of blue, green and red.
    pub fn open(display: Option<&str>) -> Result<Self, Error> {
        let (connection, screen) = connect(display)?;
        check_pixels(&connection, &screen)?;
        require(&connection, damage::X11_EXTENSION_NAME)?;
        require(&connection, xfixes::X11_EXTENSION_NAME)?;
        xfixes::query_version(&connection, 5, 0)?.reply()?;
        damage::query_version(&connection, 1, 1)?.reply()?;
        let root = screen.root;
        let events = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(root, &events)?.check()?;
        let cursor = CursorWatch::new(&connection, root)?;
        let damage = connection.generate_id()?;
        damage::create(&connection, damage, root, ReportLevel::BOUNDING_BOX)?.check()?;
        let geometry = connection.get_geometry(root)?.reply()?;
        let shared = shares_memory(&connection)?;
        let size = (geometry.width, geometry.height);
        let pixels = Pixels::new(&connection, size, shared)?;
        let pending = Rectangle::sized(size.0, size.1);
        let pointer_asked_at = Instant::ZERO;
        let wake = Wake::new(&connection)?;
        Ok(Self {
            connection,
            root,
            size,
            pixels,
            damage,
            pending,
            given: pending,
            cursor,
            pointer_asked_at,
            wake,
        })
    }

    /// Whether the server writes into shared memory. Without it a grab of a large screen takes 10 to 30 ms.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.pixels, Pixels::Shared(_))
    }

    /// Takes every event that has arrived.
    fn drain(&mut self) -> Result<(), Error> {
        while let Some(event) = self.connection.poll_for_event()? {
            if let Event::DamageNotify(event) = &event {
                self.pending = self.pending.union(self.clip(event.area));
            } else if let Event::ConfigureNotify(event) = &event {
                if event.window == self.root && (event.width, event.height) != self.size {
                    self.resize((event.width, event.height))?;
                }
            } else if matches!(event, Event::XfixesCursorNotify(_)) {
                self.cursor.shape_changed();
            } else if matches!(event, Event::XinputRawMotion(_)) {
                self.cursor.moved();
            }
        }
        Ok(())
    }

    /// The part of `area` that is on the screen.
    fn clip(&self, area: xproto::Rectangle) -> Rectangle {
        let side = |start: i16, length: u16, limit: u16| {
            let first = i32::from(start).clamp(0, i32::from(limit));
            let last = (i32::from(start) + i32::from(length)).clamp(first, i32::from(limit));
            (u16::try_from(first).unwrap_or(0), u16::try_from(last - first).unwrap_or(0))
        };
        let (x, width) = side(area.x, area.width, self.size.0);
        let (y, height) = side(area.y, area.height, self.size.1);
        Rectangle { x, y, width, height }
    }

    fn resize(&mut self, size: (u16, u16)) -> Result<(), Error> {
        let shared = self.is_shared();
        let old = core::mem::replace(&mut self.pixels, Pixels::new(&self.connection, size, shared)?);
        if let Pixels::Shared(segment) = old {
            segment.detach(&self.connection)?;
        }
        self.size = size;
        self.pending = Rectangle::sized(size.0, size.1);
        Ok(())
    }

    /// Fetches what is pending. A screen that shrank meanwhile makes the server refuse; then the new
    /// size is asked for and all of it is fetched.
    fn grab(&mut self) -> Result<(), Error> {
        self.wake.raise()?;
        damage::subtract(&self.connection, self.damage, x11rb::NONE, x11rb::NONE)?.ignore_error();
        let result = self.pixels.fetch(&self.connection, self.root, self.size, self.pending);
        if let Err(Error::Reply(ReplyError::X11Error(error))) = &result
            && error.error_kind == ErrorKind::Match
        {
            let geometry = self.connection.get_geometry(self.root)?.reply()?;
            self.resize((geometry.width, geometry.height))?;
            self.pixels.fetch(&self.connection, self.root, self.size, self.pending)?;
        } else {
            result?;
        }
        self.given = core::mem::take(&mut self.pending);
        Ok(())
    }

    fn frame(&self, now: Instant) -> Result<Frame<'_>, Error> {
        let (width, height) = self.size;
        let plane = Plane { data: self.pixels.bytes(), stride: usize::from(width) * PIXEL };
        let planes = [plane, Plane::EMPTY, Plane::EMPTY];
        Frame::new(PixelFormat::Bgrx, width.into(), height.into(), planes, now)
            .map_err(|_| Error::Size(width, height))
    }

    /// Looks for the pointer once in a while even when no event said that it moved.
    fn remember_pointer(&mut self, now: Instant) {
        if now.micros_since(self.pointer_asked_at) >= POINTER_INTERVAL_US {
            self.pointer_asked_at = now;
            self.cursor.moved();
        }
    }
}

impl VideoSource for X11Source {
    type Error = Error;

    fn size(&self) -> (u32, u32) {
        (self.size.0.into(), self.size.1.into())
    }

    fn poll_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, Error> {
        self.wake.lower()?;
        self.drain()?;
        self.remember_pointer(now);
        if self.pending.is_empty() {
            return Ok(None);
        }
        self.grab()?;
        self.frame(now).map(Some)
    }

    fn damage(&self) -> Rectangle {
        self.given
    }

    fn current_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, Error> {
        self.drain()?;
        if self.pending.is_empty() {
            self.given = Rectangle::default();
        } else {
            self.grab()?;
        }
        self.frame(now).map(Some)
    }

    fn poll_cursor(&mut self) -> Option<Cursor<'_>> {
        // A connection that broke is reported by the next poll for a frame.
        if self.cursor.is_due() {
            self.wake.raise().ok()?;
        }
        self.cursor.poll(&self.connection, self.root, self.size).ok().flatten()
    }
}

impl Pollable for X11Source {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.wake.descriptor()
    }
}

impl Pixels {
    fn new(connection: &RustConnection, (width, height): (u16, u16), shared: bool) -> Result<Self, Error> {
        let len = usize::from(width) * usize::from(height) * PIXEL;
        Ok(if shared { Self::Shared(Segment::new(connection, len)?) } else { Self::Copied(vec![0; len]) })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(segment) => segment.bytes(),
            Self::Copied(bytes) => bytes,
        }
    }

    /// Fetches the rows that `changed` touches, whole, to their own place.
    fn fetch(
        &mut self,
        connection: &RustConnection,
        root: xproto::Window,
        (width, _): (u16, u16),
        changed: Rectangle,
    ) -> Result<(), Error> {
        let row = usize::from(width) * PIXEL;
        let offset = usize::from(changed.y) * row;
        let top = i16::try_from(changed.y).unwrap_or(i16::MAX);
        let format = ImageFormat::Z_PIXMAP;
        match self {
            Self::Shared(segment) => {
                // 16384 × 16384 pixels still fit 32 bits of offset less one, and no server has more.
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                let (id, height) = (segment.id(), changed.height);
                shm::get_image(connection, root, 0, top, width, height, !0, format.into(), id, offset)?
                    .reply()?;
            }
            Self::Copied(bytes) => {
                let reply = connection.get_image(format, root, 0, top, width, changed.height, !0)?.reply()?;
                let len = usize::from(changed.height) * row;
                if reply.data.len() < len {
                    return Err(Error::Size(width, changed.height));
                }
                bytes[offset..][..len].copy_from_slice(&reply.data[..len]);
            }
        }
        Ok(())
    }
}
