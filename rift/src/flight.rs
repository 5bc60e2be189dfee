//! A flight record: what a session sent, received and decided, without a byte of what it carried (SPEC §12.6).
//!
//! Whoever wants one wraps the session's memory in [`Recorded`]; without it nothing is recorded and nothing costs. The
//! record of a host holds every input of its congestion control and every grant that came of it, so that the same
//! history can be played again, on another machine and through a changed controller.
//!
//! It knows sizes, times and fates; no keys, no addresses, no content, no events of a person.

use crate::channel::audio::AudioRings;
use crate::channel::video::incoming::PictureSlot;
use crate::delta::{Budget, Outcome, PacketReport};
use crate::session::arrivals::ArrivedPacket;
use crate::session::sent::SentPacket;
use crate::storage::{Memory, StreamRings};
use crate::time::Instant;
use crate::wire::stream::Channel;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlightEntry {
    /// A datagram left.
    Sent {
        /// When.
        at: Instant,
        /// Its UDP payload.
        bytes: u16,
        /// Whether the peer reports on it without delay: congestion control hears of these only.
        is_reported: bool,
    },
    /// A datagram came and opened.
    Received {
        /// When the kernel got it.
        at: Instant,
        /// Its UDP payload.
        bytes: u16,
    },
    /// What the peer's report says of one datagram; a [`FlightEntry::Feedback`] follows after the last of a report.
    Report(PacketReport),
    /// A report of the peer was taken.
    Feedback {
        /// When.
        at: Instant,
        /// What the round trip was thought to be, in µs.
        round_trip_us: u32,
    },
    /// The peer's reports stayed away for too long.
    Silence {
        /// When that was noticed.
        at: Instant,
    },
    /// A datagram that was to be reported was forgotten before it was: too many others left since.
    Forgotten {
        /// Its UDP payload.
        bytes: u16,
    },
    /// Congestion control began anew: the path is another one, or carries shorter datagrams only.
    Restarted {
        /// With what grant, in bit/s.
        bitrate_bps: u32,
    },
    /// The pictures' rate was set.
    PictureRate {
        /// Pictures per 1000 s.
        millihertz: u32,
    },
    /// Whether the viewer can ask for what it lacks and have it in time was found out anew.
    Answered {
        /// Whether it can.
        is_answered: bool,
    },
    /// Over how many pictures before its own a picture's parity may go was found out anew.
    Window {
        /// Pictures.
        pictures: u8,
    },
    /// What may be sent from here on.
    Grant {
        /// For the encoder, in bit/s.
        bitrate_bps: u32,
        /// In all, in bit/s.
        pacing_bps: u32,
        /// Parity in thousandths.
        parity_permille: u16,
    },
}

impl FlightEntry {
    /// Bytes of an entry in a file.
    pub const LEN: usize = 24;

    /// What `budget` grants.
    #[must_use]
    pub const fn of_budget(budget: &Budget) -> Self {
        Self::Grant {
            bitrate_bps: budget.bitrate_bps,
            pacing_bps: budget.pacing_bps,
            parity_permille: budget.parity_permille,
        }
    }

    /// Its bytes: kind, flags, two of `small`, four of `middle`, then two numbers of eight, in network byte order.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let (kind, flags, small, middle, one, other) = match *self {
            Self::Sent { at, bytes, is_reported } => (1, u8::from(is_reported), bytes, 0, at.as_micros(), 0),
            Self::Received { at, bytes } => (2, 0, bytes, 0, at.as_micros(), 0),
            Self::Report(PacketReport { sent_at, bytes, outcome: Outcome::Arrived { at_us, ce } }) => {
                (3, 1 | u8::from(ce) << 1, bytes, 0, sent_at.as_micros(), at_us)
            }
            Self::Report(PacketReport { sent_at, bytes, outcome: Outcome::Lost }) => {
                (3, 0, bytes, 0, sent_at.as_micros(), 0)
            }
            Self::Feedback { at, round_trip_us } => (4, 0, 0, round_trip_us, at.as_micros(), 0),
            Self::Silence { at } => (5, 0, 0, 0, at.as_micros(), 0),
            Self::PictureRate { millihertz } => (6, 0, 0, millihertz, 0, 0),
            Self::Answered { is_answered } => (8, u8::from(is_answered), 0, 0, 0, 0),
            Self::Grant { bitrate_bps, pacing_bps, parity_permille } => {
                (7, 0, parity_permille, bitrate_bps, pacing_bps.into(), 0)
            }
            Self::Forgotten { bytes } => (9, 0, bytes, 0, 0, 0),
            Self::Restarted { bitrate_bps } => (10, 0, 0, bitrate_bps, 0, 0),
            Self::Window { pictures } => (11, pictures, 0, 0, 0, 0),
        };
        let mut bytes = [0; Self::LEN];
        (bytes[0], bytes[1]) = (kind, flags);
        bytes[2..4].copy_from_slice(&small.to_be_bytes());
        bytes[4..8].copy_from_slice(&middle.to_be_bytes());
        bytes[8..16].copy_from_slice(&one.to_be_bytes());
        bytes[16..].copy_from_slice(&other.to_be_bytes());
        bytes
    }

    /// The entry that these bytes stand for; `None` for an unknown kind.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let number = |range: core::ops::Range<usize>| {
            bytes[range].iter().fold(0, |value: u64, &byte| value << 8 | u64::from(byte))
        };
        let (flags, small, middle) = (bytes[1], number(2..4) as u16, number(4..8) as u32);
        let (one, other) = (number(8..16), number(16..24));
        let at = Instant::from_micros(one);
        Some(match bytes[0] {
            1 => Self::Sent { at, bytes: small, is_reported: flags & 1 != 0 },
            2 => Self::Received { at, bytes: small },
            3 => {
                let arrived = Outcome::Arrived { at_us: other, ce: flags & 2 != 0 };
                let outcome = if flags & 1 != 0 { arrived } else { Outcome::Lost };
                Self::Report(PacketReport { sent_at: at, bytes: small, outcome })
            }
            4 => Self::Feedback { at, round_trip_us: middle },
            5 => Self::Silence { at },
            6 => Self::PictureRate { millihertz: middle },
            7 => Self::Grant { bitrate_bps: middle, pacing_bps: one as u32, parity_permille: small },
            8 => Self::Answered { is_answered: flags & 1 != 0 },
            9 => Self::Forgotten { bytes: small },
            10 => Self::Restarted { bitrate_bps: middle },
            11 => Self::Window { pictures: flags },
            _ => return None,
        })
    }
}

/// Where a record goes. It is called while the session works, so it must not take long.
pub trait FlightSink {
    /// Takes an entry.
    fn record(&mut self, entry: &FlightEntry);
}

impl<F: FnMut(&FlightEntry)> FlightSink for F {
    fn record(&mut self, entry: &FlightEntry) {
        self(entry);
    }
}

/// Where a session puts its entries: a sink, or nowhere.
#[derive(Default)]
pub struct Recorder<'m>(Option<&'m mut dyn FlightSink>);

impl<'m> Recorder<'m> {
    /// Nowhere.
    pub const NONE: Self = Self(None);

    /// To this sink.
    pub fn new(sink: &'m mut dyn FlightSink) -> Self {
        Self(Some(sink))
    }

    /// Puts an entry there. Where there is no sink it is not even made.
    #[inline]
    pub fn record(&mut self, entry: impl FnOnce() -> FlightEntry) {
        if let Some(sink) = &mut self.0 {
            sink.record(&entry());
        }
    }
}

impl core::fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Recorder").field(&self.0.is_some()).finish()
    }
}

/// Memory whose session is recorded.
#[derive(Debug)]
pub struct Recorded<M, S> {
    /// The memory itself.
    pub memory: M,
    /// Where the record goes.
    pub sink: S,
}

impl<M: Memory, S: FlightSink> Memory for Recorded<M, S> {
    type Buffer = M::Buffer;
    type Kernel = M::Kernel;
    type Profile = M::Profile;
    const PICTURES: usize = M::PICTURES;

    fn sent(&mut self) -> &mut [SentPacket] {
        self.memory.sent()
    }

    fn arrivals(&mut self) -> &mut [ArrivedPacket] {
        self.memory.arrivals()
    }

    fn pictures(&mut self) -> &mut [PictureSlot<Self::Buffer>] {
        self.memory.pictures()
    }

    fn pictures_ref(&self) -> &[PictureSlot<Self::Buffer>] {
        self.memory.pictures_ref()
    }

    fn stream(&mut self, channel: Channel) -> StreamRings<'_> {
        self.memory.stream(channel)
    }

    fn audio(&mut self) -> AudioRings<'_> {
        self.memory.audio()
    }

    fn flight(&mut self) -> (&mut [SentPacket], Recorder<'_>) {
        (self.memory.sent(), Recorder::new(&mut self.sink))
    }
}
