//! How two peers that do not know a way to each other find one (SPEC §18): candidates, STUN, checks that open NATs, and
//! the choice between direct paths and a relay. Boards need it too: no allocation, no clock, no socket.
//!
//! [`Candidates`] are where a peer may be reached; somebody both trust to introduce them, and with nothing else,
//! carries them. [`Punch`] sends checks to the other's candidates and tells which answered. [`Agent`] is the client's
//! side of the choice: it says when to open, use and close which path of a [`Session`](crate::Session), which proves
//! every path itself (SPEC §16). [`relay`] is what peers, gateway and relay must agree upon.
//!
//! Invariant: what is sent because of an introduction is bounded whatever the peer's candidates are, and nothing but a
//! check with the meeting's MAC is answered.

mod agent;
mod binding;
mod candidate;
mod line;
mod meeting;
mod probe;
mod punch;
pub mod relay;
mod stun;

pub use agent::{Agent, Step, Via};
pub use binding::{Binding, BindingEvent};
pub use candidate::{Candidate, CandidateError, CandidateKind, Candidates};
pub use line::SignalLine;
pub use meeting::MeetingSecret;
pub use probe::RelayProbe;
pub use punch::{Nominated, Punch};
pub use stun::StunClient;
