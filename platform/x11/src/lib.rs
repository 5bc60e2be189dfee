//! X11: screen capture, cursor, input injection, and a fast presenter.
//!
//! [`X11Source`] grabs the root window into memory shared with the server, and only the rows that changed;
//! [`X11Sink`] injects input by XTEST; [`X11Display`] shows frames in a window of its own or inside a foreign
//! one; [`X11Clipboard`] follows what is copied. Each owns its connection. None of them reads a clock, and only the
//! clipboard has a thread; what they know of RIFT is the vocabulary of `rift-hal`.

mod capture;
mod clipboard;
mod connection;
mod cursor;
mod error;
mod inject;
mod keymap;
mod keys;
mod overlay;
mod picture;
mod pointer;
mod scale;
mod segment;
mod wake;
mod window;

pub use capture::X11Source;
pub use clipboard::X11Clipboard;
pub use error::Error;
pub use inject::X11Sink;
pub use window::X11Display;
