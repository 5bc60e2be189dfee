//! The host's cursor at the window, and the grabbed pointer.
//!
//! Where the person's own pointer steers the host, the window's cursor simply has the host's shape, so it
//! never waits for a picture. While the pointer is grabbed or outside, a small window in the cursor's
//! shape stands where the host's pointer is.

use rift_hal::{Cursor, CursorShape};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::render::{self, PictType, Pictformat};
use x11rb::protocol::shape::{self, SK, SO};
use x11rb::protocol::xproto::{
    self, ChangeWindowAttributesAux, ClipOrdering, ConfigureWindowAux, ConnectionExt, CreateGCAux,
    CreateWindowAux, EventMask, GrabMode, GrabStatus, ImageFormat, Rectangle, StackMode, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use crate::Error;
use crate::connection::PIXEL;
use crate::scale::Layout;

/// Alpha from which on a pixel belongs to the small window.
const OPAQUE: u8 = 128;

/// The cursor of one window.
pub(crate) struct Pointer {
    window: Window,
    empty: xproto::Cursor,
    /// The host's shape as an X cursor; 0 before the first.
    shape: xproto::Cursor,
    /// What the window has now.
    applied: xproto::Cursor,
    format: Option<Pictformat>,
    ghost: Option<Ghost>,
    place: (u16, u16),
    visible: bool,
    inside: bool,
    grab: Option<Grab>,
}

/// The small window in the cursor's shape.
struct Ghost {
    window: Window,
    hot: (u16, u16),
    mapped: bool,
}

/// Relative motion: the pointer is brought back to the middle before it reaches an edge of the screen.
/// It may leave the window meanwhile, since a busy server can be late to bring it back.
struct Grab {
    last: (i16, i16),
    /// Where it was sent and the request that did; events from that one on are relative to there.
    sent: Option<((i16, i16), u16)>,
}

impl Pointer {
    /// No shape yet: the window has the usual cursor.
    pub(crate) fn new(connection: &RustConnection, window: Window) -> Result<Self, Error> {
        let (bitmap, empty) = (connection.generate_id()?, connection.generate_id()?);
        connection.create_pixmap(1, bitmap, window, 1, 1)?.ignore_error();
        let gc = connection.generate_id()?;
        connection.create_gc(gc, bitmap, &CreateGCAux::new().foreground(0))?.ignore_error();
        let dot = Rectangle { x: 0, y: 0, width: 1, height: 1 };
        connection.poly_fill_rectangle(bitmap, gc, &[dot])?.ignore_error();
        connection.create_cursor(empty, bitmap, bitmap, 0, 0, 0, 0, 0, 0, 0, 0)?.check()?;
        connection.free_gc(gc)?.ignore_error();
        connection.free_pixmap(bitmap)?.ignore_error();
        let format = argb_format(connection)?;
        let ghost = if connection.extension_information(shape::X11_EXTENSION_NAME)?.is_some() {
            Some(Ghost::new(connection, window)?)
        } else {
            None
        };
        Ok(Self {
            window,
            empty,
            shape: x11rb::NONE,
            applied: x11rb::NONE,
            format,
            ghost,
            place: (0, 0),
            visible: true,
            inside: false,
            grab: None,
        })
    }

    /// Whether motion is relative.
    pub(crate) const fn is_grabbed(&self) -> bool {
        self.grab.is_some()
    }

    /// Takes over the host's cursor.
    pub(crate) fn set(
        &mut self,
        connection: &RustConnection,
        depth: u8,
        cursor: &Cursor<'_>,
        layout: Option<Layout>,
    ) -> Result<(), Error> {
        self.place = (cursor.x, cursor.y);
        self.visible = cursor.visible;
        let complete = |shape: &CursorShape<'_>| {
            let pixels = usize::from(shape.width) * usize::from(shape.height);
            pixels > 0 && shape.bgra.len() == pixels * PIXEL
        };
        if let Some(shape) = cursor.shape.filter(complete) {
            if let Some(format) = self.format {
                let new = make_cursor(connection, self.window, format, &shape)?;
                let old = core::mem::replace(&mut self.shape, new);
                self.apply(connection)?;
                if old != x11rb::NONE {
                    connection.free_cursor(old)?.ignore_error();
                }
            }
            if let Some(ghost) = &mut self.ghost {
                ghost.reshape(connection, depth, &shape)?;
            }
        }
        self.update(connection, layout)
    }

    /// The person's pointer came into the window or left it.
    pub(crate) fn set_inside(
        &mut self,
        connection: &RustConnection,
        inside: bool,
        layout: Option<Layout>,
    ) -> Result<(), Error> {
        self.inside = inside;
        self.update(connection, layout)
    }

    /// Gives the window its cursor and the small window its place.
    pub(crate) fn update(
        &mut self,
        connection: &RustConnection,
        layout: Option<Layout>,
    ) -> Result<(), Error> {
        self.apply(connection)?;
        let shown = self.visible && self.shape != x11rb::NONE && (self.grab.is_some() || !self.inside);
        let Some(ghost) = &mut self.ghost else { return Ok(()) };
        match layout.filter(|_| shown) {
            Some(layout) => ghost.show(connection, layout.to_window(self.place.0, self.place.1)),
            None => ghost.hide(connection),
        }
    }

    fn apply(&mut self, connection: &RustConnection) -> Result<(), Error> {
        let wanted = if self.grab.is_some() || !self.visible { self.empty } else { self.shape };
        if wanted != self.applied {
            let attributes = ChangeWindowAttributesAux::new().cursor(wanted);
            connection.change_window_attributes(self.window, &attributes)?.ignore_error();
            self.applied = wanted;
        }
        Ok(())
    }

    /// Takes pointer and keyboard; `keys` is the window that hears keys. Returns whether the server agreed.
    pub(crate) fn grab(
        &mut self,
        connection: &RustConnection,
        keys: Window,
        size: (u16, u16),
    ) -> Result<bool, Error> {
        let events = EventMask::BUTTON_PRESS | EventMask::BUTTON_RELEASE | EventMask::POINTER_MOTION;
        let (mode, now) = (GrabMode::ASYNC, x11rb::CURRENT_TIME);
        let pointer = connection
            .grab_pointer(false, self.window, events, mode, mode, x11rb::NONE, self.empty, now)?
            .reply()?;
        if pointer.status != GrabStatus::SUCCESS {
            return Ok(false);
        }
        let keyboard = connection.grab_keyboard(false, keys, now, mode, mode)?.reply()?;
        if keyboard.status != GrabStatus::SUCCESS {
            connection.ungrab_pointer(now)?.ignore_error();
            return Ok(false);
        }
        let place = connection.query_pointer(self.window)?.reply()?;
        self.grab = Some(Grab { last: (place.win_x, place.win_y), sent: None });
        self.centre(connection, size)?;
        Ok(true)
    }

    /// Gives pointer and keyboard back.
    pub(crate) fn ungrab(&mut self, connection: &RustConnection) -> Result<(), Error> {
        if self.grab.take().is_some() {
            connection.ungrab_keyboard(x11rb::CURRENT_TIME)?.ignore_error();
            connection.ungrab_pointer(x11rb::CURRENT_TIME)?.ignore_error();
        }
        Ok(())
    }

    /// How far a grabbed pointer has moved with this event; `None` when it is not grabbed.
    pub(crate) fn relative(
        &mut self,
        connection: &RustConnection,
        size: (u16, u16),
        place: (i16, i16),
        sequence: u16,
    ) -> Result<Option<(i16, i16)>, Error> {
        let Some(grab) = &mut self.grab else { return Ok(None) };
        // The event that our own warp makes carries that request's number, and so does every later one.
        if let Some((target, request)) = grab.sent
            && sequence.wrapping_sub(request).cast_signed() >= 0
        {
            grab.last = target;
            grab.sent = None;
        }
        let moved = (place.0.saturating_sub(grab.last.0), place.1.saturating_sub(grab.last.1));
        grab.last = place;
        let near = |place: i16, side: u16| place < quarter(side) || place >= quarter(side).saturating_mul(3);
        if grab.sent.is_none() && (near(place.0, size.0) || near(place.1, size.1)) {
            self.centre(connection, size)?;
        }
        Ok(Some(moved))
    }

    fn centre(&mut self, connection: &RustConnection, size: (u16, u16)) -> Result<(), Error> {
        let Some(grab) = &mut self.grab else { return Ok(()) };
        let target = ((size.0 / 2).cast_signed(), (size.1 / 2).cast_signed());
        let request = connection.warp_pointer(x11rb::NONE, self.window, 0, 0, 0, 0, target.0, target.1)?;
        let number = request.sequence_number() & u64::from(u16::MAX);
        grab.sent = Some((target, u16::try_from(number).unwrap_or(0)));
        connection.flush()?;
        Ok(())
    }
}

impl Ghost {
    fn new(connection: &RustConnection, parent: Window) -> Result<Self, Error> {
        let window = connection.generate_id()?;
        let class = WindowClass::INPUT_OUTPUT;
        let aux = CreateWindowAux::new();
        connection.create_window(0, window, parent, 0, 0, 1, 1, 0, class, 0, &aux)?.check()?;
        Ok(Self { window, hot: (0, 0), mapped: false })
    }

    /// Cuts the window to the opaque pixels and gives it the others' colours as background.
    fn reshape(
        &mut self,
        connection: &RustConnection,
        depth: u8,
        cursor: &CursorShape<'_>,
    ) -> Result<(), Error> {
        let (width, height) = (cursor.width, cursor.height);
        self.hot = (cursor.hot_x, cursor.hot_y);
        let pixmap = make_pixmap(connection, self.window, depth, cursor)?;
        let size = ConfigureWindowAux::new().width(u32::from(width)).height(u32::from(height));
        connection.configure_window(self.window, &size)?.ignore_error();
        let background = ChangeWindowAttributesAux::new().background_pixmap(pixmap);
        connection.change_window_attributes(self.window, &background)?.ignore_error();
        connection.free_pixmap(pixmap)?.ignore_error();
        let runs = opaque_runs(cursor);
        let order = ClipOrdering::YX_BANDED;
        shape::rectangles(connection, SO::SET, SK::BOUNDING, order, self.window, 0, 0, &runs)?.ignore_error();
        shape::rectangles(connection, SO::SET, SK::INPUT, order, self.window, 0, 0, &[])?.ignore_error();
        connection.clear_area(false, self.window, 0, 0, 0, 0)?.ignore_error();
        Ok(())
    }

    fn show(&mut self, connection: &RustConnection, (x, y): (i32, i32)) -> Result<(), Error> {
        let place = ConfigureWindowAux::new().x(x - i32::from(self.hot.0)).y(y - i32::from(self.hot.1));
        connection.configure_window(self.window, &place.stack_mode(StackMode::ABOVE))?.ignore_error();
        if !core::mem::replace(&mut self.mapped, true) {
            connection.map_window(self.window)?.ignore_error();
        }
        Ok(())
    }

    fn hide(&mut self, connection: &RustConnection) -> Result<(), Error> {
        if core::mem::take(&mut self.mapped) {
            connection.unmap_window(self.window)?.ignore_error();
        }
        Ok(())
    }
}

fn quarter(side: u16) -> i16 {
    (side / 4).cast_signed()
}

/// RENDER's name for 32 bits of alpha, red, green and blue, if the server has it.
fn argb_format(connection: &RustConnection) -> Result<Option<Pictformat>, Error> {
    if connection.extension_information(render::X11_EXTENSION_NAME)?.is_none() {
        return Ok(None);
    }
    let version = render::query_version(connection, 0, 11)?.reply()?;
    if (version.major_version, version.minor_version) < (0, 5) {
        return Ok(None);
    }
    let formats = render::query_pict_formats(connection)?.reply()?.formats;
    let is_argb = |format: &&render::Pictforminfo| {
        let direct = format.direct;
        let shifts = (direct.alpha_shift, direct.red_shift, direct.green_shift, direct.blue_shift);
        format.type_ == PictType::DIRECT
            && format.depth == 32
            && shifts == (24, 16, 8, 0)
            && direct.alpha_mask == 0xff
    };
    Ok(formats.iter().find(is_argb).map(|format| format.id))
}

fn make_cursor(
    connection: &RustConnection,
    window: Window,
    format: Pictformat,
    shape: &CursorShape<'_>,
) -> Result<xproto::Cursor, Error> {
    let pixmap = make_pixmap(connection, window, 32, shape)?;
    let (picture, cursor) = (connection.generate_id()?, connection.generate_id()?);
    render::create_picture(connection, picture, pixmap, format, &render::CreatePictureAux::new())?
        .ignore_error();
    let hot = (shape.hot_x.min(shape.width - 1), shape.hot_y.min(shape.height - 1));
    render::create_cursor(connection, cursor, picture, hot.0, hot.1)?.ignore_error();
    render::free_picture(connection, picture)?.ignore_error();
    connection.free_pixmap(pixmap)?.ignore_error();
    Ok(cursor)
}

/// A pixmap of the shape's pixels.
fn make_pixmap(
    connection: &RustConnection,
    window: Window,
    depth: u8,
    shape: &CursorShape<'_>,
) -> Result<xproto::Pixmap, Error> {
    /// Rows of the widest shape that fit the smallest request a server takes (256 KiB).
    const ROWS: u16 = 128;
    let (pixmap, gc) = (connection.generate_id()?, connection.generate_id()?);
    connection.create_pixmap(depth, pixmap, window, shape.width, shape.height)?.ignore_error();
    connection.create_gc(gc, pixmap, &CreateGCAux::new())?.ignore_error();
    let row = usize::from(shape.width) * PIXEL;
    for (top, rows) in (0..).step_by(ROWS.into()).zip(shape.bgra.chunks(row * usize::from(ROWS))) {
        let count = u16::try_from(rows.len() / row).unwrap_or(ROWS);
        let format = ImageFormat::Z_PIXMAP;
        connection.put_image(format, pixmap, gc, shape.width, count, 0, top, 0, depth, rows)?.ignore_error();
    }
    connection.free_gc(gc)?.ignore_error();
    Ok(pixmap)
}

/// The opaque pixels as runs, from the top, from the left.
fn opaque_runs(shape: &CursorShape<'_>) -> Vec<Rectangle> {
    let mut runs = Vec::new();
    for (y, row) in (0..).zip(shape.bgra.chunks_exact(usize::from(shape.width) * PIXEL)) {
        let mut open: Option<Rectangle> = None;
        for (x, pixel) in (0..).zip(row.chunks_exact(PIXEL)) {
            if pixel[3] >= OPAQUE {
                open.get_or_insert(Rectangle { x, y, width: 0, height: 1 }).width += 1;
            } else {
                runs.extend(open.take());
            }
        }
        runs.extend(open);
    }
    runs
}
