//! RIFT over UDP sockets on std: drives [`rift::Session`] with mio.
//!
//! A driver owns a socket, a timer and its sessions, and knows nothing of pictures, windows or keys. The application
//! calls [`ClientDriver::turn`] or [`HostDriver::turn`] in a loop: a turn sends what is due, tells what happened,
//! waits for the network, a deadline or a [`Waker`], and takes what came. Between turns the application looks at
//! its own channels and gives commands to the sessions; they are acted on when the next turn begins. Where a command of
//! another thread must leave without waiting for that, [`SharedClient`] lets it through a [`Shortcut`].
//!
//! What the kernel offers is used where it is there and done without where it is not: batches are sent as one
//! (UDP generic segmentation) and received as one (generic receive offload), arrival times are the kernel's,
//! each class of datagram has its DSCP, and deadlines are met with a timer file, since the timeout of `epoll` counts
//! whole milliseconds. [`HostDriver::set_busy_poll`] has the last microseconds before paced departures polled besides, and
//! [`ClientDriver::set_busy_poll`] those around the arrival of pictures that keep to a rhythm.
//!
//! A host that [`HostDriver::meet`] was called of, and a client that begins with a [`Finder`], reach each other through NATs:
//! a gateway introduces them over the same sockets.
//!
//! Invariants: in the steady state no packet costs an allocation, a lock or a copy beside the kernel's; input and
//! control never wait behind pictures; no network error ends a driver; nothing spins, but for those
//! microseconds.

mod anticipation;
mod client;
mod clock;
mod control;
mod copied;
mod dedicated;
mod finder;
mod host;
mod meet;
mod memory;
mod outbox;
mod poller;
mod reception;
mod relayed;
mod shared;
mod slot;
mod socket;
mod sys;

pub use anticipation::{CLIENT_BUSY_POLL_US, CLIENT_BUSY_POLL_US_MAX};
pub use client::ClientDriver;
pub use clock::{Clock, RealtimeMapping, run_promptly};
pub use copied::Copied;
pub use dedicated::DedicatedSocket;
pub use finder::{Asked, Finder, UsedWay};
pub use host::{Decision, Departure, HostApplication, HostDriver, HostStats};
pub use meet::{
    Callee, Caller, Enrolment, GRANTS_MAX, Gateway, GatewayPlace, GatewayState, LendStream, Trouble,
    is_relayed,
};
pub use memory::{DesktopStorage, PICTURE_BUFFER_LEN, desktop_memory};
pub use poller::{BUSY_POLL_US_MAX, Waker};
pub use shared::{SharedClient, Shortcut};
pub use socket::{Destination, Received, Sender, Socket, SocketConfig, SocketStats, dscp};
