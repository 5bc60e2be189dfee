//! Every driver of a session with every other: mio, smoltcp and embassy-net, each as client and as host.
//!
//! The two stacks of boards run on this machine over frames that a [`Wire`] in virtual time or a TAP device carries and
//! loses; the operating system's own stack stands at the other end of the TAP device. What flows is the simulator's
//! pictures, which notice every damage, and keys, which must arrive exactly.

pub mod board;
pub mod frames;
pub mod parties;
pub mod system;
pub mod tap;

pub use board::{EmbassyClient, EmbassyHost, Node, SmoltcpClient, SmoltcpHost};
pub use frames::{End, Frames, Lossy, Wire};
pub use parties::{Sharer, Watcher};
