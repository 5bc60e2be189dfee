//! What the machine's devices have to say: the capture card to every viewer, gamepads' motors to the one that steers, and
//! who is here to operators.

use std::sync::PoisonError;

use rift::Instant;

use super::viewer::tell_capture;
use super::{Driver, Viewers};

impl Viewers {
    /// Tells viewers what is new of the capture and of gamepads' motors.
    pub(super) fn tell_devices(&mut self, now: Instant, driver: &mut Driver) {
        for rumble in self.injector.take_rumbles() {
            if let Some(session) = self.steering.and_then(|index| driver.session_mut(index)) {
                // Whoever has no gamepad any more needs none of it.
                let _ = session.send_rumble(now, rumble);
            }
        }
        let capture = self.feed.capture.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(capture) = capture {
            self.capture = Some(capture);
            for (_, _, session) in driver.sessions_mut() {
                tell_capture(now, session, capture);
            }
        }
    }

    /// Tells operators who is here.
    pub(super) fn show_operators(&self, now: Instant, driver: &mut Driver) {
        let status = driver.sessions_mut().filter_map(|(index, from, session)| {
            let viewer = self.viewers.get(&index)?;
            Some(viewer.status(now, from, session, self.steering == Some(index)))
        });
        self.feed.board.set_viewers(status);
    }
}
