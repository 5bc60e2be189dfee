//! The clipboard of this display, shared with the host as far as it permits.
//!
//! It belongs to the network's thread and waits for nothing. No text is ever logged.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rift::{Instant, Permissions};
use rift_mio::Copied;
use rift_x11::X11Clipboard;
use tracing::{info, warn};

use crate::link::Link;
use crate::session::ClientSession;

/// See the module.
#[derive(Debug)]
pub struct Clipboard {
    display: X11Clipboard,
    texts: Receiver<String>,
    copied: Copied,
    /// What was copied here before the host said what it permits.
    newest: Option<String>,
}

impl Clipboard {
    /// Follows the clipboard of `display` (`None` = the environment's); `None` where there is none to follow.
    #[must_use]
    pub fn start(display: Option<&str>, link: Arc<Link>) -> Option<Self> {
        let (copied, texts) = channel();
        let started = X11Clipboard::start(display, move |text| {
            // Nobody listens any more when the client ends.
            if copied.send(text).is_ok() {
                link.wake_network();
            }
        });
        match started {
            Ok(display) => {
                info!("the clipboard is shared with the host as far as it permits");
                Some(Self { display, texts, copied: Copied::new(), newest: None })
            }
            Err(error) => {
                warn!(%error, "the clipboard is not shared");
                None
            }
        }
    }

    /// Another session begins.
    pub(crate) fn begin(&mut self) {
        self.copied = Copied::new();
    }

    /// Passes on what was copied here and there.
    pub(crate) fn work(&mut self, session: &mut ClientSession, now: Instant) {
        let may = |session: &ClientSession, right| {
            session.permissions().is_some_and(|granted| granted.contains(right))
        };
        self.newest = self.texts.try_iter().last().or(self.newest.take());
        if session.permissions().is_some()
            && let Some(text) = self.newest.take()
            && may(session, Permissions::CLIPBOARD_WRITE)
        {
            self.copied.send(&text);
        }
        self.copied.write(now, session);
        if let Some(text) = self.copied.read(session)
            && may(session, Permissions::CLIPBOARD_READ)
            && let Err(error) = self.display.offer(text)
        {
            warn!(%error, "what was copied at the host cannot be pasted here");
        }
    }
}
