//! A network in virtual time: hosts, links with faults, clocks that disagree, and one seed for all of it.
//!
//! A discrete-event simulator with an integer-nanosecond clock and a heap ordered by time, then by a counter, so
//! the same seed and the same hosts give the same bytes at the same nanoseconds: [`Network::trace_hash`] makes
//! that one comparison. Hosts are sans-I/O ([`Host`]); they see local microseconds ([`rift::Instant`]) of a
//! [`Clock`] with an offset and a drift, never the network's own [`Time`].
//!
//! The network knows nothing of what the datagrams mean. [`picture`] adds a screen, an encoder and a decoder that
//! only pretend, but check what real ones would choke on; [`peer`] puts real sessions on the network,
//! [`internet`] puts NATs between them. [`contest`] is the judge of congestion control.
//!
//! Invariant: no clock is read, no entropy is drawn, nothing unordered is iterated. Randomness uses only integer
//! operations and `+ − × ÷ √`, so a run is the same on every machine.

mod clock;
pub mod contest;
mod event;
pub mod flight;
mod hash;
pub mod internet;
mod link;
mod network;
mod packet;
pub mod peer;
pub mod picture;
mod queue;
mod random;
mod time;

pub use clock::Clock;
pub use hash::TraceHash;
pub use link::{GilbertElliott, Jitter, LinkConfig, LinkId, LinkStats, Loss, Passage, QueueLimit, Rate};
pub use network::{Host, Network};
pub use packet::{Captured, Fate, NodeId, NodeStats, Packet};
pub use queue::Discipline;
pub use random::Random;
pub use time::Time;
