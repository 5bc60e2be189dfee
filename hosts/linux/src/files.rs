//! Files that clients send, into a directory of this machine.
//!
//! It belongs to the network's thread and waits for nothing: the disk has a thread of its own. Rights are asked for here
//! once more, where files arrive. What is in them is never looked at.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rift::{Channel, Event, FileReason, Instant, Permissions, PublicKey, SessionIndex};
use rift_files::{FileReceiver, Inbox, News};
use rift_mio::Waker;
use serde_json::{Value, json};
use tracing::{debug, info};

use crate::viewers::{Driver, ViewerSession};

/// Bytes of the largest file that is taken when nobody says.
pub const SIZE_MAX_DEFAULT: u64 = 4 << 30;

/// Counters for operators, since the start.
#[derive(Debug, Default)]
pub struct FileFigures {
    received: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

impl FileFigures {
    /// For `status --json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let [received, bytes, refused] =
            [&self.received, &self.bytes, &self.refused].map(|figure| figure.load(Ordering::Relaxed));
        json!({ "received": received, "bytes": bytes, "refused": refused })
    }
}

/// See the module. Where no directory was named it refuses what is offered.
#[derive(Debug)]
pub struct SharedFiles {
    receiver: FileReceiver<SessionIndex>,
    figures: Arc<FileFigures>,
}

impl Default for SharedFiles {
    fn default() -> Self {
        Self { receiver: FileReceiver::refusing(), figures: Arc::default() }
    }
}

impl SharedFiles {
    /// Takes files of up to `size_max` bytes into `directory`; none where there is none. `waker` tells the network's thread
    /// that the disk has something to say.
    ///
    /// # Errors
    /// The directory cannot be made or written, or the system gave no thread.
    pub fn start(
        directory: Option<&Path>,
        size_max: u64,
        waker: Waker,
        figures: Arc<FileFigures>,
    ) -> io::Result<Self> {
        let Some(directory) = directory else { return Ok(Self { figures, ..Self::default() }) };
        let inbox = Inbox::open(directory, size_max)?;
        let receiver = FileReceiver::start(inbox, move || waker.wake())?;
        info!(directory = %directory.display(), "files of those who may send them arrive in {directory:?}");
        Ok(Self { receiver, figures })
    }

    /// Takes what concerns files of an event.
    pub(crate) fn on_event(&mut self, index: SessionIndex, event: &Event) {
        if matches!(event, Event::Readable(Channel::File) | Event::Writable(Channel::File)) {
            self.receiver.notice(index);
        }
    }

    /// Passes on what came, and what the disk says to that. `client` tells a client's name and key.
    pub(crate) fn work<'a>(
        &mut self,
        now: Instant,
        driver: &mut Driver,
        client: impl Fn(SessionIndex) -> Option<(&'a str, PublicKey)>,
    ) {
        self.receiver.collect();
        for (index, _, session) in driver.sessions_mut() {
            if self.receiver.is_due(index)
                && let Some((_, owner)) = client(index)
            {
                self.receiver.serve(index, &owner, may_send(session), now, session);
            }
        }
        while let Some(report) = self.receiver.poll_report() {
            let client = client(report.from).map_or("", |(name, _)| name);
            let (offer, size) = (report.offer.name(), report.offer.size);
            match report.news {
                News::Begun { offset } => info!(%client, name = ?offer, size, offset, "a file comes"),
                News::Received { name } => {
                    self.figures.received.fetch_add(1, Ordering::Relaxed);
                    self.figures.bytes.fetch_add(size, Ordering::Relaxed);
                    info!(%client, ?name, size, "a file is there");
                }
                News::Refused(reason) => {
                    self.figures.refused.fetch_add(1, Ordering::Relaxed);
                    // Whoever may send nothing could fill the log with offers.
                    match reason {
                        FileReason::NotPermitted | FileReason::Unwanted | FileReason::Busy => {
                            debug!(%client, name = ?offer, size, ?reason, "a file is refused");
                        }
                        FileReason::TooLarge | FileReason::Failed | FileReason::Damaged => {
                            info!(%client, name = ?offer, size, ?reason, "a file is refused");
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// A session is over.
    pub(crate) fn end(&mut self, index: SessionIndex) {
        self.receiver.end(index);
    }
}

fn may_send(session: &ViewerSession) -> bool {
    session.permissions().is_some_and(|granted| granted.contains(Permissions::FILE_SEND))
}
