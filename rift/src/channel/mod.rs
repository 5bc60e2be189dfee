//! What a session carries: the vocabulary of each channel, and the order in which they leave.
//!
//! [`Priority`] is that order (SPEC §9.1). A channel's state machine lives beside its vocabulary; how its frames look on
//! the wire is `crate::wire`'s matter.

use crate::session::Class;

pub mod audio;
pub(crate) mod bulk;
pub mod capabilities;
pub mod capture;
pub mod input;
pub mod permissions;
pub(crate) mod stream;
pub mod video;

/// In which order what is due leaves: SPEC §9.1 has the same table, with what each does when its buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Input, and all that keeps the session: permissions, clocks, stream parameters, repairs, the control stream.
    InputAndControl,
    /// Sound, both ways.
    Audio,
    /// The cursor's place and shapes.
    Cursor,
    /// Shards of pictures.
    Video,
    /// The clipboard and files.
    Bulk,
}

impl Priority {
    /// All of them, first to leave first.
    pub const TABLE: [Self; 5] = [Self::InputAndControl, Self::Audio, Self::Cursor, Self::Video, Self::Bulk];

    /// The class of its datagrams (SPEC §3.3).
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::InputAndControl | Self::Audio | Self::Cursor => Class::Realtime,
            Self::Video => Class::Media,
            Self::Bulk => Class::Bulk,
        }
    }
}
