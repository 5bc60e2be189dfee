//! The clipboard of the shared display: what is copied there goes to those who may read it, and what they copy may be
//! pasted there, and goes to the others.
//!
//! It belongs to the network's thread and waits for nothing. Rights are asked for here once more, where the text leaves
//! and where it arrives. No text is ever logged.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use rift::{Channel, Event, Instant, Permissions, SessionIndex};
use rift_mio::{Copied, Waker};
use rift_x11::X11Clipboard;
use tracing::{info, warn};

use crate::source::Spec;
use crate::viewers::{Driver, ViewerSession};

/// See the module. Without a display it only keeps the streams empty.
#[derive(Debug, Default)]
pub struct SharedClipboard {
    display: Option<(X11Clipboard, Receiver<String>)>,
    viewers: BTreeMap<SessionIndex, Copied>,
    /// What a viewer has copied and nobody has been given yet.
    heard: Option<(SessionIndex, String)>,
}

impl SharedClipboard {
    /// Shares the clipboard of what `spec` shares, if `is_wanted` and that is an X11 display. `waker` tells the network's
    /// thread that something was copied.
    #[must_use]
    pub fn start(is_wanted: bool, spec: &Spec, display: Option<&str>, waker: Waker) -> Self {
        if !is_wanted {
            return Self::default();
        }
        if !matches!(spec, Spec::X11(_) | Spec::App(_)) {
            warn!("only a display has a clipboard: none is shared");
            return Self::default();
        }
        let (copied, texts) = channel();
        let started = X11Clipboard::start(display, move |text| {
            // Nobody listens any more when the host ends.
            if copied.send(text).is_ok() {
                waker.wake();
            }
        });
        match started {
            Ok(clipboard) => {
                info!("the clipboard is shared with those who may read or write it");
                Self { display: Some((clipboard, texts)), ..Self::default() }
            }
            Err(error) => {
                warn!(%error, "the clipboard is not shared");
                Self::default()
            }
        }
    }

    /// Takes what concerns the clipboard of an event.
    pub(crate) fn on_event(
        &mut self,
        now: Instant,
        index: SessionIndex,
        session: &mut ViewerSession,
        event: &Event,
    ) {
        if *event == Event::Writable(Channel::Clipboard)
            && let Some(copied) = self.viewers.get_mut(&index)
        {
            copied.write(now, session);
        } else if *event == Event::Readable(Channel::Clipboard) {
            let text = self.viewers.entry(index).or_default().read(session);
            if may(session, Permissions::CLIPBOARD_WRITE)
                && let Some(text) = text
            {
                self.heard = Some((index, text));
            }
        }
    }

    /// Passes on what was copied since the last time.
    pub(crate) fn work(&mut self, now: Instant, driver: &mut Driver) {
        let Some((display, texts)) = &self.display else { return };
        let (from, text) = match (self.heard.take(), texts.try_iter().last()) {
            (Some((index, text)), _) => {
                if let Err(error) = display.offer(text.clone()) {
                    warn!(%error, "what a client copied cannot be pasted here");
                }
                (Some(index), text)
            }
            (None, Some(text)) => (None, text),
            (None, None) => return,
        };
        for (index, _, session) in driver.sessions_mut() {
            if from != Some(index) && may(session, Permissions::CLIPBOARD_READ) {
                let copied = self.viewers.entry(index).or_default();
                copied.send(&text);
                copied.write(now, session);
            }
        }
    }

    /// A session is over.
    pub(crate) fn end(&mut self, index: SessionIndex) {
        self.viewers.remove(&index);
        self.heard.take_if(|(from, _)| *from == index);
    }
}

fn may(session: &ViewerSession, right: Permissions) -> bool {
    session.permissions().is_some_and(|granted| granted.contains(right))
}
