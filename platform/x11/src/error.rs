//! What can go wrong between us and an X server.

use x11rb::errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError};

/// Why something could not be done with an X server.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server answered, or it refused us.
    #[error("cannot connect to the X display: {0}; check DISPLAY and XAUTHORITY")]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error("the connection to the X server broke: {0}")]
    Connection(#[from] ConnectionError),
    /// The server answered a request with an error.
    #[error("the X server refused a request: {0}")]
    Reply(#[from] ReplyError),
    /// The server answered a request with an error, or the connection has used up its identifiers.
    #[error("the X server refused a request: {0}")]
    Id(#[from] ReplyOrIdError),
    /// The server lacks an extension without which this cannot work.
    #[error("the X server has no {0} extension, which this needs")]
    Extension(&'static str),
    /// The screen's pixels are not 32 bits with 8 bits each of blue, green and red, least byte first.
    #[error("the X screen has depth {0} in an unsupported layout; only 24 and 32, least byte first, work")]
    Pixels(u8),
    /// Shared memory could not be made.
    #[error("cannot make shared memory for the X server: {0}")]
    Memory(#[from] rustix::io::Errno),
    /// The server named a size that no frame can have.
    #[error("the X screen is {0} x {1} pixels, which no frame can be")]
    Size(u16, u16),
    /// A key that no X server can name (its evdev code is above 247).
    #[error("evdev key {0} has no X keycode")]
    Key(u16),
    /// A character that the keyboard lacks and no spare key could be given.
    #[error("no key enters {0:?} and none is left to be given it")]
    Character(char),
    /// An event this backend does not know how to act on.
    #[error("this input event is unknown here")]
    Event,
    /// Frames of this format cannot be shown.
    #[error("frames of format {0:?} cannot be shown by X11")]
    Format(rift_hal::PixelFormat),
    /// The frame's planes cannot be converted.
    #[error("the frame cannot be converted for X11: {0}")]
    Convert(#[from] yuv::YuvError),
    /// The window is gone.
    #[error("the window is gone")]
    Gone,
}
