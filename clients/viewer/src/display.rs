//! The window, whichever way it is made.

use std::os::fd::BorrowedFd;

use rift::Rectangle;
use rift_hal::{Cursor, Display, DisplayEvent, Frame, Pollable};
use rift_minifb::{MinifbDisplay, MinifbError, MinifbWindow};
use rift_x11::X11Display;
use tracing::info;

use crate::args::DisplayKind;

/// Why a window could not be opened, or fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisplayError {
    /// X11 said so.
    #[error("the window: {0}")]
    X11(#[from] rift_x11::Error),
    /// minifb said so.
    #[error("the window: {0}")]
    Minifb(#[from] MinifbError),
}

impl DisplayError {
    /// Whether the window was closed under our feet, which is a way to end.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::X11(rift_x11::Error::Gone) | Self::Minifb(MinifbError::Gone))
    }
}

/// A window that shows pictures and hears input.
pub enum Screen {
    /// X11's own.
    X11(Box<X11Display>),
    /// minifb's, drawn into by X11. The order matters: what is inside goes first.
    Attached(Box<X11Display>, MinifbWindow),
    /// minifb's.
    Plain(MinifbDisplay),
}

impl Screen {
    /// Opens a window of this size in pixels. `x_display` counts for [`DisplayKind::X11`]; minifb takes the
    /// environment's.
    ///
    /// # Errors
    /// There is no display, or it cannot do what is needed.
    pub fn open(
        kind: DisplayKind,
        x_display: Option<&str>,
        title: &str,
        (width, height): (u16, u16),
    ) -> Result<Self, DisplayError> {
        match kind {
            DisplayKind::X11 => Ok(Self::X11(Box::new(X11Display::open(x_display, title, width, height)?))),
            DisplayKind::MinifbPlain => {
                Ok(Self::Plain(MinifbDisplay::open(title, width.into(), height.into())?))
            }
            DisplayKind::Minifb => {
                let window = MinifbWindow::open(title, width.into(), height.into())?;
                let attached = window.raw_window().map(|parent| X11Display::attach(None, parent));
                let why = match attached {
                    Some(Ok(display)) => return Ok(Self::Attached(Box::new(display), window)),
                    Some(Err(error)) => error.to_string(),
                    None => "it is no X11 window".to_owned(),
                };
                drop(window);
                info!(
                    why,
                    "the window is not accelerated: no grab, no full screen, no relative motion, only the keys of a US keyboard"
                );
                Ok(Self::Plain(MinifbDisplay::open(title, width.into(), height.into())?))
            }
        }
    }

    /// What it is, for the summary.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::X11(_) => "x11",
            Self::Attached(..) => "minifb, accelerated",
            Self::Plain(_) => "minifb, plain",
        }
    }

    /// Whether it must be asked for events now and then although its descriptor is silent.
    #[must_use]
    pub const fn must_be_asked(&self) -> bool {
        matches!(self, Self::Attached(..))
    }
}

/// Does the same with whichever display there is.
macro_rules! delegate {
    ($self:ident, $display:ident => $call:expr) => {
        match $self {
            Screen::X11($display) | Screen::Attached($display, _) => $call.map_err(DisplayError::from),
            Screen::Plain($display) => $call.map_err(DisplayError::from),
        }
    };
}

impl Display for Screen {
    type Error = DisplayError;

    fn present(&mut self, frame: &Frame<'_>, changed: Option<Rectangle>) -> Result<(), DisplayError> {
        delegate!(self, display => display.present(frame, changed))
    }

    fn poll_event(&mut self) -> Result<Option<DisplayEvent>, DisplayError> {
        // A foreign window's end is told to its owner alone; focus and size are heard by both.
        if let Self::Attached(_, window) = self {
            while let Some(event) = window.poll_event() {
                if event == DisplayEvent::Closed {
                    return Ok(Some(event));
                }
            }
        }
        delegate!(self, display => display.poll_event())
    }

    fn set_cursor(&mut self, cursor: &Cursor<'_>) -> Result<(), DisplayError> {
        delegate!(self, display => display.set_cursor(cursor))
    }

    fn set_overlay(&mut self, text: &str) -> Result<(), DisplayError> {
        delegate!(self, display => display.set_overlay(text))
    }

    fn set_grab(&mut self, grab: bool) -> Result<bool, DisplayError> {
        delegate!(self, display => display.set_grab(grab))
    }

    fn set_fullscreen(&mut self, fullscreen: bool) -> Result<bool, DisplayError> {
        delegate!(self, display => display.set_fullscreen(fullscreen))
    }
}

impl Pollable for Screen {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::X11(display) | Self::Attached(display, _) => display.poll_fd(),
            Self::Plain(display) => display.poll_fd(),
        }
    }
}
