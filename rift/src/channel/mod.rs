//! What a session carries: the vocabulary of each channel, and the order in which they leave.
//!
//! Priority, highest first: control, input, audio, cursor, video, bulk (SPEC §9.1). A channel's
//! state machine lives beside its vocabulary; how its frames look on the wire is `crate::wire`'s matter.

pub mod capabilities;
pub mod capture;
pub mod input;
pub mod permissions;
pub(crate) mod stream;
pub mod video;
