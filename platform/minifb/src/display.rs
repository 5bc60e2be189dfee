//! minifb as a display.

use std::os::fd::{AsFd, BorrowedFd};

use rift::Rectangle;
use rift_hal::{Cursor, Display, DisplayEvent, Frame, Pollable};

use crate::MinifbError;
use crate::window::{Mode, Owner};

/// A window that minifb opens and draws into.
///
/// `present` converts the frame's colours in the caller's thread and hands it over; the window's thread scales and
/// shows it. A frame that is handed over before the last one was shown replaces it.
#[derive(Debug)]
pub struct MinifbDisplay {
    owner: Owner,
}

impl MinifbDisplay {
    /// Opens a window of this size in pixels.
    ///
    /// # Errors
    /// [`MinifbError::Open`], [`MinifbError::Thread`].
    pub fn open(title: &str, width: u32, height: u32) -> Result<Self, MinifbError> {
        Ok(Self { owner: Owner::start(title, (width, height), Mode::Display)? })
    }

    /// The window's X11 id; `None` where it is not an X11 window.
    #[must_use]
    pub const fn raw_window(&self) -> Option<u32> {
        self.owner.raw_window
    }

    /// Its size in pixels now.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.owner.shared.lock().size
    }

    fn check(&self) -> Result<(), MinifbError> {
        if self.owner.shared.lock().gone { Err(MinifbError::Gone) } else { Ok(()) }
    }
}

impl Display for MinifbDisplay {
    type Error = MinifbError;

    /// The whole window is drawn, whatever changed.
    fn present(&mut self, frame: &Frame<'_>, _changed: Option<Rectangle>) -> Result<(), MinifbError> {
        self.check()?;
        let mut picture = self.owner.shared.lock().spare.take().unwrap_or_default();
        let converted = picture.convert(frame);
        let mut state = self.owner.shared.lock();
        if let Err(error) = converted {
            state.spare = Some(picture);
            return Err(error);
        }
        if let Some(older) = state.pending.replace(picture) {
            state.spare = Some(older);
        }
        drop(state);
        self.owner.shared.notify();
        Ok(())
    }

    fn poll_event(&mut self) -> Result<Option<DisplayEvent>, MinifbError> {
        let shared = &self.owner.shared;
        let mut state = shared.lock();
        if let Some(event) = state.events.pop_front() {
            return Ok(Some(event));
        }
        // Still locked, so no event can come between finding none and forgetting that there were some.
        // It fails only when there is nothing to forget.
        let _ = rustix::io::read(&shared.wake, &mut [0; 8]);
        if state.gone { Err(MinifbError::Gone) } else { Ok(None) }
    }

    fn set_cursor(&mut self, cursor: &Cursor<'_>) -> Result<(), MinifbError> {
        self.check()?;
        let mut state = self.owner.shared.lock();
        state.cursor.update(cursor);
        state.decorated = true;
        drop(state);
        self.owner.shared.notify();
        Ok(())
    }

    fn set_overlay(&mut self, text: &str) -> Result<(), MinifbError> {
        self.check()?;
        let mut state = self.owner.shared.lock();
        if state.overlay != text {
            text.clone_into(&mut state.overlay);
            state.decorated = true;
            drop(state);
            self.owner.shared.notify();
        }
        Ok(())
    }

    /// minifb cannot: always `false`.
    fn set_grab(&mut self, _grab: bool) -> Result<bool, MinifbError> {
        Ok(false)
    }

    /// minifb cannot: always `false`.
    fn set_fullscreen(&mut self, _fullscreen: bool) -> Result<bool, MinifbError> {
        Ok(false)
    }
}

impl Pollable for MinifbDisplay {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.owner.shared.wake.as_fd()
    }
}
