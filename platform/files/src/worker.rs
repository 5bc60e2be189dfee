//! The thread that waits for the disk.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use rift::{FileReason, PublicKey};

use crate::inbox::{Inbox, Incoming, Offer};

/// Files received at once; more are told that this host is busy.
pub const RECEIVING_MAX: usize = 8;
/// Jobs that may wait, of up to 16 KiB each: half a megabyte in all.
const JOBS_MAX: usize = 32;

/// Who sends: counted, so that nobody is taken for who came before.
pub(crate) type Guest = u64;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Job {
    Offer {
        owner: PublicKey,
        offer: Offer,
        transfer: u32,
    },
    Data(Vec<u8>),
    /// The transfer is over, or its session; what came stays as a part.
    Drop,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The file is wanted from here on.
    Accepted(u64),
    /// It is there, under this name.
    Received(String),
    Refused(FileReason),
}

/// What came of what.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) guest: Guest,
    pub(crate) transfer: u32,
    pub(crate) answer: Answer,
}

/// How full the way to the thread is.
#[derive(Debug, Default)]
struct Load {
    waiting: AtomicUsize,
    /// Whoever gives jobs waits for room.
    is_awaited: AtomicBool,
}

/// The thread, seen from outside. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: Option<Sender<(Guest, Job)>>,
    replies: Receiver<Reply>,
    load: Arc<Load>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// `wake` is called when there are replies, or room again.
    pub(crate) fn start(inbox: Inbox, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let ((jobs, jobs_end), (replies_end, replies)) = (channel(), channel());
        let load = Arc::new(Load::default());
        let mut desk = Desk {
            inbox,
            jobs: jobs_end,
            replies: replies_end,
            load: Arc::clone(&load),
            open: BTreeMap::new(),
        };
        let thread = thread::Builder::new().name("files".into()).spawn(move || desk.run(&wake))?;
        Ok(Self { jobs: Some(jobs), replies, load, thread: Some(thread) })
    }

    /// Whether a job with data may be given. If not, `wake` is called once it may.
    pub(crate) fn has_room(&self) -> bool {
        let has_room = || self.load.waiting.load(Ordering::SeqCst) < JOBS_MAX;
        // Asked again after the wish is known: the last job may have been done in between.
        has_room() || {
            self.load.is_awaited.store(true, Ordering::SeqCst);
            has_room()
        }
    }

    /// Gives a job; one that carries something only where there is room.
    pub(crate) fn give(&self, guest: Guest, job: Job) {
        self.load.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(jobs) = &self.jobs {
            // A thread that panicked has said so.
            let _ = jobs.send((guest, job));
        }
    }

    /// What has come of jobs. For each there is one reply at most, and then one when its file is whole.
    pub(crate) fn replies(&self) -> impl Iterator<Item = Reply> {
        self.replies.try_iter()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A file on its way, and to whom that is told.
#[derive(Debug)]
struct Transfer {
    number: u32,
    owner: PublicKey,
    incoming: Incoming,
}

#[derive(Debug)]
struct Desk {
    inbox: Inbox,
    jobs: Receiver<(Guest, Job)>,
    replies: Sender<Reply>,
    load: Arc<Load>,
    open: BTreeMap<Guest, Transfer>,
}

impl Desk {
    fn run(&mut self, wake: &impl Fn()) {
        loop {
            let is_checking = self.open.values().any(|transfer| !transfer.incoming.is_checked());
            let job = if is_checking {
                self.jobs.try_recv()
            } else {
                self.jobs.recv().map_err(|_| TryRecvError::Disconnected)
            };
            let is_news = match job {
                Ok((guest, job)) => {
                    let is_news = self.carry_out(guest, job);
                    self.load.waiting.fetch_sub(1, Ordering::SeqCst);
                    is_news | self.load.is_awaited.swap(false, Ordering::SeqCst)
                }
                Err(TryRecvError::Empty) => self.check(),
                Err(TryRecvError::Disconnected) => return,
            };
            if is_news {
                wake();
            }
        }
    }

    /// Returns whether there is a reply.
    fn carry_out(&mut self, guest: Guest, job: Job) -> bool {
        match job {
            Job::Offer { owner, offer, transfer } => match self.open(guest, owner, offer, transfer) {
                Ok(()) => self.settle(guest),
                Err(reason) => self.reply(guest, transfer, Answer::Refused(reason)),
            },
            Job::Data(bytes) => {
                // What was cancelled may still be on its way.
                let Some(transfer) = self.open.get_mut(&guest) else { return false };
                let number = transfer.number;
                match transfer.incoming.write(&bytes) {
                    Ok(()) if transfer.incoming.is_whole() => self.finish(guest),
                    Ok(()) => false,
                    Err(reason) => {
                        self.close(guest, reason);
                        self.reply(guest, number, Answer::Refused(reason))
                    }
                }
            }
            Job::Drop => {
                self.open.remove(&guest);
                false
            }
        }
    }

    fn open(&mut self, guest: Guest, owner: PublicKey, offer: Offer, number: u32) -> Result<(), FileReason> {
        // Who lost its session and comes back takes over from its former self.
        self.open.retain(|_, other| !(other.owner == owner && other.incoming.is_same(&owner, &offer)));
        if self.open.len() >= RECEIVING_MAX {
            return Err(FileReason::Busy);
        }
        let incoming = self.inbox.accept(&owner, offer)?;
        self.open.insert(guest, Transfer { number, owner, incoming });
        Ok(())
    }

    /// Goes on with a part that was there. Returns whether there is a reply.
    fn check(&mut self) -> bool {
        let next = self.open.iter().find(|(_, transfer)| !transfer.incoming.is_checked());
        let Some((&guest, _)) = next else { return false };
        self.settle(guest)
    }

    /// Says from where the file is wanted, once that is known.
    fn settle(&mut self, guest: Guest) -> bool {
        let Some(transfer) = self.open.get_mut(&guest) else { return false };
        let number = transfer.number;
        match transfer.incoming.check() {
            Ok(None) => false,
            Ok(Some(offset)) => {
                let is_whole = transfer.incoming.is_whole();
                self.reply(guest, number, Answer::Accepted(offset)) | (is_whole && self.finish(guest))
            }
            Err(reason) => {
                self.close(guest, reason);
                self.reply(guest, number, Answer::Refused(reason))
            }
        }
    }

    fn finish(&mut self, guest: Guest) -> bool {
        let Some(transfer) = self.open.remove(&guest) else { return false };
        let answer = transfer.incoming.finish().map_or_else(Answer::Refused, Answer::Received);
        self.reply(guest, transfer.number, answer)
    }

    /// Gives a transfer up; what cannot become the file any more is removed.
    fn close(&mut self, guest: Guest, reason: FileReason) {
        if let Some(transfer) = self.open.remove(&guest)
            && reason == FileReason::Damaged
        {
            transfer.incoming.forget();
        }
    }

    fn reply(&self, guest: Guest, transfer: u32, answer: Answer) -> bool {
        // Nobody listens any more when the program ends.
        self.replies.send(Reply { guest, transfer, answer }).is_ok()
    }
}
