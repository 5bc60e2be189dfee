//! The file streams of many sessions, and what arrives on them.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use rift::{Channel, FileMessage, FileReason, Handshake, Instant, Memory, PublicKey, Session};

use crate::inbox::{Inbox, Offer};
use crate::messages::{Heard, MessageReader, MessageWriter};
use crate::worker::{Answer, Job, Worker};

/// Bytes of answers that may wait: who reads none of them is read no further.
const ANSWERS_LEN: usize = 4096;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// It comes, from this byte on.
    Begun {
        /// What was there already, in bytes.
        offset: u64,
    },
    /// It is there, whole, in the inbox under this name.
    Received {
        /// Its name.
        name: String,
    },
    /// It does not come, or no further.
    Refused(FileReason),
}

/// Something that those who keep the inbox may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<K> {
    /// Whose file.
    pub from: K,
    /// What was offered.
    pub offer: Offer,
    /// What became of it.
    pub news: News,
}

#[derive(Debug)]
struct Guest {
    /// Its name for the thread that waits for the disk.
    number: u64,
    reader: MessageReader,
    writer: MessageWriter,
    /// The transfer that was offered and is not over.
    current: Option<(u32, Offer)>,
    /// There may be something to do.
    is_due: bool,
}

/// Receives files on many sessions, which `K` tells apart. One file at a time on each, and
/// [`RECEIVING_MAX`](crate::RECEIVING_MAX) in all.
#[derive(Debug)]
pub struct FileReceiver<K> {
    worker: Option<Worker>,
    guests: BTreeMap<K, Guest>,
    guests_ever: u64,
    reports: VecDeque<Report<K>>,
}

impl<K: Ord + Copy> FileReceiver<K> {
    /// Wants no files: whatever is offered is refused.
    #[must_use]
    pub const fn refusing() -> Self {
        Self { worker: None, guests: BTreeMap::new(), guests_ever: 0, reports: VecDeque::new() }
    }

    /// Takes files into `inbox`. `wake` tells the thread of the sessions, from another, to call [`Self::collect`].
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(inbox: Inbox, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        Ok(Self { worker: Some(Worker::start(inbox, wake)?), ..Self::refusing() })
    }

    /// Something can be read from, or written to, the file stream of this session.
    pub fn notice(&mut self, session: K) {
        let number = self.guests_ever;
        let guest = self.guests.entry(session).or_insert_with(|| {
            self.guests_ever += 1;
            let (reader, writer) = (MessageReader::default(), MessageWriter::default());
            Guest { number, reader, writer, current: None, is_due: false }
        });
        guest.is_due = true;
    }

    /// Takes what the disk has to say. To be called after each wake.
    pub fn collect(&mut self) {
        let Some(worker) = &self.worker else { return };
        for reply in worker.replies() {
            let by_number = |(_, guest): &(&K, &mut Guest)| guest.number == reply.guest;
            let Some((&from, guest)) = self.guests.iter_mut().find(by_number) else { continue };
            let Some((_, offer)) = guest.current.take_if(|(transfer, _)| *transfer == reply.transfer) else {
                continue;
            };
            let (message, news) = match reply.answer {
                Answer::Accepted(offset) => (FileMessage::Accept { offset }, News::Begun { offset }),
                Answer::Received(name) => (FileMessage::Done, News::Received { name }),
                Answer::Refused(reason) => (FileMessage::Cancel(reason), News::Refused(reason)),
            };
            guest.writer.push(reply.transfer, &message);
            guest.is_due = true;
            if matches!(news, News::Begun { .. }) {
                guest.current = Some((reply.transfer, offer.clone()));
            }
            self.reports.push_back(Report { from, offer, news });
        }
    }

    /// Whether [`Self::serve`] has something to do for this session.
    #[must_use]
    pub fn is_due(&self, session: K) -> bool {
        self.guests.get(&session).is_some_and(|guest| guest.is_due)
    }

    /// Reads and answers what came on this session, of no more than its stream holds. `owner` is the peer; only if it `may`
    /// send are its offers considered (SPEC §14.5).
    pub fn serve<M: Memory, H: Handshake>(
        &mut self,
        key: K,
        owner: &PublicKey,
        may: bool,
        now: Instant,
        session: &mut Session<M, H>,
    ) {
        let Some(guest) = self.guests.get_mut(&key) else { return };
        guest.is_due = false;
        loop {
            guest.writer.write(|bytes| session.write(now, Channel::File, bytes).ok());
            if guest.writer.len() > ANSWERS_LEN {
                // What it does not read it will: then the stream is writable.
                return;
            }
            if self.worker.as_ref().is_some_and(|worker| !worker.has_room()) {
                guest.is_due = true;
                return;
            }
            let next = guest.reader.next(|out| session.read(Channel::File, out));
            let Some((transfer, heard)) = next else { return };
            let refused = guest.hear(self.worker.as_ref(), owner, may, transfer, heard);
            if let Some((reason, offer)) = refused {
                guest.writer.push(transfer, &FileMessage::Cancel(reason));
                let news = News::Refused(reason);
                self.reports.extend(offer.map(|offer| Report { from: key, offer, news }));
            }
        }
    }

    /// A session is over. What has come of its file stays, to be gone on with.
    pub fn end(&mut self, session: K) {
        if let Some(mut guest) = self.guests.remove(&session) {
            guest.drop_current(self.worker.as_ref());
        }
    }

    /// What has happened and was not asked for yet.
    pub fn poll_report(&mut self) -> Option<Report<K>> {
        self.reports.pop_front()
    }
}

impl Guest {
    /// Returns why the transfer is to be cancelled, and what it was to bring if that is known.
    fn hear(
        &mut self,
        worker: Option<&Worker>,
        owner: &PublicKey,
        may: bool,
        transfer: u32,
        heard: Heard,
    ) -> Option<(FileReason, Option<Offer>)> {
        let is_current = self.current.as_ref().is_some_and(|(current, _)| *current == transfer);
        match heard {
            Heard::Offer(offer) => {
                let worker = match worker {
                    _ if !may => return Some((FileReason::NotPermitted, Some(offer))),
                    None => return Some((FileReason::Unwanted, Some(offer))),
                    Some(_) if self.current.is_some() => return Some((FileReason::Busy, Some(offer))),
                    Some(worker) => worker,
                };
                self.current = Some((transfer, offer.clone()));
                worker.give(self.number, Job::Offer { owner: *owner, offer, transfer });
            }
            Heard::Data(_) if is_current && !may => {
                return Some((FileReason::NotPermitted, self.drop_current(worker)));
            }
            Heard::Data(bytes) if is_current => {
                if let Some(worker) = worker {
                    worker.give(self.number, Job::Data(bytes));
                }
            }
            Heard::Malformed => {
                return Some((FileReason::Failed, is_current.then(|| self.drop_current(worker)).flatten()));
            }
            Heard::Cancel(_) if is_current => drop(self.drop_current(worker)),
            // What was cancelled here was on its way still; and nothing is offered from here.
            Heard::Data(_) | Heard::Cancel(_) | Heard::Accept { .. } | Heard::Done => {}
        }
        None
    }

    fn drop_current(&mut self, worker: Option<&Worker>) -> Option<Offer> {
        let (_, offer) = self.current.take()?;
        if let Some(worker) = worker {
            worker.give(self.number, Job::Drop);
        }
        Some(offer)
    }
}
