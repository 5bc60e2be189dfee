//! The client's window by minifb: works wherever minifb does, with what minifb gives.
//!
//! [`MinifbDisplay`] draws into it. [`MinifbWindow`] only owns it, so that a presenter that knows the system better
//! can attach to it by its raw handle. Both keep the window in a thread of its own, because minifb has no
//! descriptor to wait on and must be asked: the drawing one asks at least 500 times a second, and at once when
//! there is a frame to show.
//!
//! What minifb cannot do, and what becomes of it here:
//!
//! - **Keys are characters of a US keyboard.** A key outside minifb's table (é, F16 and up, media keys, AltGr) gives
//!   nothing. Under another layout a key arrives as the scancode of the US key with its character, so pressing
//!   the key labelled Z of a German keyboard is KEY_Z; the text that goes with a key is right under every layout.
//! - **Buttons and pointer are states.** A click shorter than the time between two questions is lost. Held for
//!   8 ms it never is on an idle machine.
//! - **No grab, no full screen, no relative motion**: [`Display::set_grab`](rift_hal::Display::set_grab) and
//!   [`Display::set_fullscreen`](rift_hal::Display::set_fullscreen) answer `false`.
//! - **The end of the X server ends the program**: that is Xlib's way.

mod display;
mod keys;
mod picture;
mod window;

pub use display::MinifbDisplay;
pub use window::MinifbWindow;

/// Why the window could not be opened or a frame not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MinifbError {
    /// minifb refused.
    #[error("cannot open a window: {0}; is DISPLAY set to an X server that lets this user in?")]
    Open(String),
    /// The system gave no thread or descriptor.
    #[error("cannot start the window's thread: {0}")]
    Thread(std::io::Error),
    /// The window's thread has ended.
    #[error("the window is gone")]
    Gone,
    /// Frames of this format are not drawn.
    #[error("frames of format {0:?} cannot be drawn by minifb; taken are I420, Nv12 and Bgrx")]
    Format(rift_hal::PixelFormat),
    /// The colours could not be converted.
    #[error("cannot convert the frame's colours: {0}")]
    Convert(String),
}
