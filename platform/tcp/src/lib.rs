//! The stream path (SPEC §18.10): datagrams of RIFT over TLS 1.3 on TCP, for networks that let no UDP pass.
//!
//! A driver of sessions and a service know UDP sockets and nothing else, and so it stays. At a peer a [`Dialer`] lends an address
//! of this machine for a gateway's or a relay's: what the driver sends there goes through a stream to a [`Listener`] beside that
//! service, which hands it on from a UDP socket of its own. To the service each stream is one more source address, and so are
//! its limits; to the driver it is one more place to send to. Neither has a second way of doing anything.
//!
//! ```text
//!  driver ─UDP, loopback─► Dialer ═TLS on TCP, port 443═► Listener ─UDP, loopback─► gateway or relay
//! ```
//!
//! Who waits in a stream waits for all that was lost before it. So next to nothing is put into one ahead of time: the kernel
//! takes no more than [`NOTSENT_LEN`] bytes that it has not sent (`TCP_NOTSENT_LOWAT`), what waits for it waits in a short
//! [`Queue`] where small datagrams overtake, and there the oldest large one, whose picture is late anyway, makes room.
//!
//! The key in TLS *is* the pinned identity (see [`pinned_key`]): there are no certificates, no names and no dates. What goes
//! through is RIFT as ever, sealed end to end; TLS is there so that it passes, and so that nobody but the pinned gateway or
//! relay ever gets a byte of it.
//!
//! `rustls` was taken because it is maintained, has no switch for old versions of TLS built in unless asked, knows raw public
//! keys (RFC 7250), and does no I/O. Signatures under a key of X25519 (XEdDSA) are `ed25519-dalek`'s, whose major is that of
//! the curve in the core.
//!
//! Invariants: streams, their memory and the time a stranger may take are bounded; no error of a stream ends more than that
//! stream; nothing is sent to a peer that has not proven the pinned key.

mod choice;
mod clock;
mod dialer;
mod framing;
mod line;
mod listener;
mod pinned;

pub use choice::{Choice, Outcome};
pub use dialer::{Dialer, TUNNELS_MAX, lender};
pub use framing::{Frames, Malformed, QUEUE_LEN, Queue, SMALL_MAX};
pub use line::NOTSENT_LEN;
pub use listener::{Counts, Limits, Listener};
pub use pinned::pinned_key;

/// The TCP port that such networks let pass; the number of the service's UDP port is tried after it.
pub const PORT: u16 = 443;
