//! Files from peer to peer (SPEC §14.5): received into one directory, sent from wherever they are.
//!
//! An [`Inbox`] is a directory where files arrive. What is not whole yet lies there as a part, a hidden file whose name is
//! made of who sends it, its size and its SHA-256; so whoever offers the same file again goes on where the part ends, and
//! nobody goes on with another's. Only what has the digest that was offered gets its name, and never the name of something
//! that is there. Nothing is followed that is not a plain file of this user's in that very directory.
//!
//! A [`FileReceiver`] serves the file streams of many sessions out of one inbox: a thread of its own waits for the disk, and
//! the thread of the sessions for nothing. A [`FileSender`] offers files on one session after another until each is there or
//! not wanted.
//!
//! Who may send is decided by whoever calls. Neither clocks nor sessions are kept here.

#![forbid(unsafe_code)]

mod inbox;
mod messages;
mod outgoing;
mod receiver;
mod sender;
mod worker;

pub use inbox::{Inbox, Incoming, Offer, PARTS_MAX, ROOM_LEFT};
pub use outgoing::{OutgoingError, OutgoingFile, Reading};
pub use receiver::{FileReceiver, News, Report};
pub use sender::{FileSender, Outcome, Progress};
pub use worker::RECEIVING_MAX;

/// Bytes that are hashed in one step: a few milliseconds' worth.
const STEP_LEN: usize = 1 << 20;
