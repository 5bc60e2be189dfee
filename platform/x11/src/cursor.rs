//! The server's cursor: its shape by XFIXES, its place by asking when something says that it moved.

use rift_hal::{Cursor, CursorShape};
use x11rb::connection::RequestConnection;
use x11rb::errors::ReplyError;
use x11rb::protocol::xfixes::{self, CursorNotifyMask};
use x11rb::protocol::xinput::{self, XIEventMask};
use x11rb::protocol::xproto::{ConnectionExt, Window};
use x11rb::rust_connection::RustConnection;

use crate::Error;

/// The largest side of a shape that is passed on; what is beyond is cut off.
const SIDE_MAX: u16 = 256;

/// Follows the cursor of one screen.
pub(crate) struct CursorWatch {
    shape_due: bool,
    place_due: bool,
    place: (u16, u16),
    visible: bool,
    width: u16,
    height: u16,
    hot: (u16, u16),
    bgra: Vec<u8>,
}

impl CursorWatch {
    /// Asks the server to say when the shape changes and, where it knows XInput 2, when the pointer moves.
    pub(crate) fn new(connection: &RustConnection, root: Window) -> Result<Self, Error> {
        xfixes::select_cursor_input(connection, root, CursorNotifyMask::DISPLAY_CURSOR)?.check()?;
        if connection.extension_information(xinput::X11_EXTENSION_NAME)?.is_some() {
            xinput::xi_query_version(connection, 2, 2)?.reply()?;
            let mask = xinput::EventMask {
                deviceid: xinput::Device::ALL_MASTER.into(),
                mask: vec![XIEventMask::RAW_MOTION],
            };
            xinput::xi_select_events(connection, root, &[mask])?.check()?;
        }
        Ok(Self {
            shape_due: true,
            place_due: true,
            place: (0, 0),
            visible: false,
            width: 0,
            height: 0,
            hot: (0, 0),
            bgra: Vec::new(),
        })
    }

    /// The shape is another one from now on.
    pub(crate) const fn shape_changed(&mut self) {
        self.shape_due = true;
    }

    /// The pointer may be elsewhere now.
    pub(crate) const fn moved(&mut self) {
        self.place_due = true;
    }

    /// Whether the next poll asks the server.
    pub(crate) const fn is_due(&self) -> bool {
        self.shape_due || self.place_due
    }

    /// The cursor, when it changed. Costs nothing unless something said so.
    pub(crate) fn poll(
        &mut self,
        connection: &RustConnection,
        root: Window,
        size: (u16, u16),
    ) -> Result<Option<Cursor<'_>>, Error> {
        let reshaped = core::mem::take(&mut self.shape_due);
        let moved = core::mem::take(&mut self.place_due);
        if !reshaped && !moved {
            return Ok(None);
        }
        let place = if reshaped { self.fetch_shape(connection)? } else { None };
        let place = match place {
            Some(place) => place,
            None => {
                let reply = connection.query_pointer(root)?.reply()?;
                (reply.root_x, reply.root_y)
            }
        };
        let place = (clamp(place.0, size.0), clamp(place.1, size.1));
        if !reshaped && place == self.place {
            return Ok(None);
        }
        self.place = place;
        let shape = CursorShape {
            width: self.width,
            height: self.height,
            hot_x: self.hot.0,
            hot_y: self.hot.1,
            bgra: &self.bgra,
        };
        let shape = (reshaped && self.visible).then_some(shape);
        Ok(Some(Cursor { x: place.0, y: place.1, visible: self.visible, shape }))
    }

    /// Fetches the shape; returns the place that comes with it. No cursor at all is an invisible one.
    fn fetch_shape(&mut self, connection: &RustConnection) -> Result<Option<(i16, i16)>, Error> {
        let image = match xfixes::get_cursor_image(connection)?.reply() {
            Ok(image) => image,
            Err(ReplyError::X11Error(_)) => {
                self.visible = false;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.width = image.width.min(SIDE_MAX);
        self.height = image.height.min(SIDE_MAX);
        self.hot =
            (image.xhot.min(self.width.saturating_sub(1)), image.yhot.min(self.height.saturating_sub(1)));
        self.bgra.clear();
        if image.width > 0 {
            for row in image.cursor_image.chunks_exact(image.width.into()).take(self.height.into()) {
                self.bgra.extend(row[..self.width.into()].iter().flat_map(|pixel| pixel.to_le_bytes()));
            }
        }
        self.visible = image.cursor_image.iter().any(|pixel| pixel >> 24 != 0);
        Ok(Some((image.x, image.y)))
    }
}

/// A place inside `0..limit`.
fn clamp(place: i16, limit: u16) -> u16 {
    u16::try_from(place.max(0)).unwrap_or(0).min(limit.saturating_sub(1))
}
