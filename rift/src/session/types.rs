//! What goes into a session and comes out of it.

use super::InputTrace;
use crate::channel::capture::CaptureState;
use crate::channel::input::InputEvent;
use crate::channel::input::devices::Rumble;
use crate::channel::permissions::Permissions;
use crate::channel::video::{PictureId, StreamParameters};
use crate::crypto::{AddressToken, PublicKey};
use crate::wire::close::Close;
use crate::wire::cursor::CursorPosition;
use crate::wire::feedback::Ecn;
use crate::wire::stream::Channel;

/// Names a network path of a session. The driver opens it: a local and a remote address, direct or through a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u8);

/// How a session is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// UDP payload of the largest datagram that every path is assumed to carry, in bytes:
    /// [`DATAGRAM_MIN`](crate::limits::DATAGRAM_MIN)`..=`[`DATAGRAM_MAX`](crate::limits::DATAGRAM_MAX).
    pub datagram_len: u16,
    /// UDP payload of the largest datagram to send once a path has proven to carry it, in the same range; nothing is tried
    /// when it is not more than [`Self::datagram_len`]. What [`crate::Session::poll_transmit`] writes to must hold both.
    pub datagram_len_max: u16,
    /// UDP payload of the largest datagram that this side can take, in the same range: the peer sends no longer ones.
    pub datagram_len_taken: u16,
    /// The least a host's encoder is granted, in bits per second.
    pub bitrate_bps_min: u32,
    /// What it is granted at first.
    pub bitrate_bps_start: u32,
    /// The most it is granted.
    pub bitrate_bps_max: u32,
    /// A session whose peer is silent for this long is over, in microseconds.
    pub idle_us: u32,
    /// A client gives up a handshake after this long, in microseconds.
    pub handshake_us: u32,
    /// A client replaces the session's keys after this long, in microseconds; at most ten minutes.
    pub key_us: u32,
    /// What a client asks for. The host may give less.
    pub wanted: Permissions,
}

impl Default for Config {
    /// 1200-byte datagrams and no longer ones either way, 0.5 to 100 Mbit/s from 10, 5 s of silence, 10 s for a handshake, 5 minutes for a key; a client
    /// asks for everything.
    fn default() -> Self {
        Self {
            datagram_len: 1200,
            datagram_len_max: 1200,
            datagram_len_taken: 1200,
            bitrate_bps_min: 500_000,
            bitrate_bps_start: 10_000_000,
            bitrate_bps_max: 100_000_000,
            idle_us: 5_000_000,
            handshake_us: 10_000_000,
            key_us: 300_000_000,
            wanted: Permissions::all(),
        }
    }
}

/// What a datagram is for: decides its place in queues, here and on the way (SPEC §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Handshake, control, input, feedback: small, and never waits.
    Realtime,
    /// Shards of pictures.
    Media,
    /// Files and the like.
    Bulk,
}

/// A datagram, or several of equal length, to put on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// On which path.
    pub path: PathId,
    /// Bytes written to the front of the caller's buffer.
    pub len: usize,
    /// `Some(n)`: several datagrams of `n` bytes each, the last perhaps shorter; `None`: one.
    pub segment: Option<u16>,
    /// What it is for.
    pub class: Class,
    /// What to write into the IP header.
    pub ecn: Ecn,
}

/// What happened in a session. `Copy`; bytes are fetched by number or channel.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer has proven who it is. A host now admits or refuses it.
    Authenticated(PublicKey),
    /// Host: the client has shown that it is there now and can be reached where it says. After a call (IK) this comes
    /// a round trip after [`Self::Authenticated`], else together with it. What must not be set off by a recording of a
    /// client waits for it: taking over from somebody, waking something.
    Live,
    /// Client: the host gives this token for the next call to it, and takes back those before.
    AddressToken(AddressToken),
    /// Host: the peer wants to pair. Try a PIN with [`Session::pair`](crate::Session::pair), or close the session.
    PairingRequested,
    /// Both sides have proven that they know the PIN: the peer's key is to be kept. The client then closes the session
    /// and comes back as one who is known.
    Paired(PublicKey),
    /// Client: the host answers on a path that was opened.
    PathProven(PathId),
    /// Client: nobody answers on a path that was opened; it is gone.
    PathFailed(PathId),
    /// Client: pictures came on this path and have stopped without a word. If another one was kept ready, everything is
    /// sent there now.
    PathSilent(PathId),
    /// The session waits for [`crate::Session::add_entropy`].
    EntropyWanted,
    /// The host vouches for the key that it will have next: to be kept beside the present one, and taken once.
    Successor(PublicKey),
    /// The host let this client in.
    Admitted(Permissions),
    /// The pictures from here on are these.
    StreamParameters(StreamParameters),
    /// A picture is whole and lent: take or release it.
    Picture(PictureId),
    /// Something was done at the client.
    Input(InputEvent),
    /// Something may be heard: read it until there is nothing more.
    Audio,
    /// A gamepad's motors should do this.
    Rumble(Rumble),
    /// A picture shows what was done: when it was created, received and injected.
    InputShown(InputTrace),
    /// The host's cursor moved or changed.
    Cursor(CursorPosition),
    /// The host's capture does something else, or something else is known of its signal.
    CaptureState(CaptureState),
    /// Bytes wait on this stream.
    Readable(Channel),
    /// A write that found no room may be tried again.
    Writable(Channel),
    /// The viewer can show nothing until a picture that refers to none after `after`;
    /// `None` = until one that needs no other.
    RepairWanted {
        /// The newest picture the viewer has.
        after: Option<PictureId>,
    },
    /// Host: the viewer has said what it can show: [`Session::capabilities`](crate::Session::capabilities).
    Capabilities,
    /// Host: the viewer found parts of its screen to be wrong: [`Session::tile_report`](crate::Session::tile_report).
    TileReport,
    /// The session is over. Delivered once, and last.
    Closed(CloseReason),
}

/// Why a session is over.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This side closed it.
    Local,
    /// The peer's application said goodbye.
    Done,
    /// The peer does not let this side in.
    Refused,
    /// The peer withdrew the right it had given.
    Revoked,
    /// The peer has no room for another session.
    Busy,
    /// What was shared is gone.
    SourceGone,
    /// The two who paired have not the same PIN.
    WrongPin,
    /// Pairing is over: it took too long, its window closed, or its guesses are spent.
    PairingOver,
    /// The peer said so, with a code this version does not know.
    Other(u16),
    /// Nobody answered the handshake: nobody there, not that key, or not at home to strangers.
    Unanswered,
    /// Nobody answered the handshake but for somebody who said that the host speaks other versions of the protocol.
    Version,
    /// The handshake was answered by another key than the one asked for.
    WrongPeer,
    /// The peer fell silent.
    Idle,
    /// The host has proven that it knows nothing of the session any more: it restarted, or gave it up.
    Reset,
    /// All packet numbers are used up, or keys that were not renewed.
    Exhausted,
}

impl CloseReason {
    pub(crate) const fn from_code(code: u16) -> Self {
        match code {
            Close::DONE => Self::Done,
            Close::REFUSED => Self::Refused,
            Close::REVOKED => Self::Revoked,
            Close::BUSY => Self::Busy,
            Close::SOURCE_GONE => Self::SourceGone,
            Close::WRONG_PIN => Self::WrongPin,
            Close::PAIRING_OVER => Self::PairingOver,
            other => Self::Other(other),
        }
    }

    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Refused => Close::REFUSED,
            Self::Revoked => Close::REVOKED,
            Self::Busy => Close::BUSY,
            Self::SourceGone => Close::SOURCE_GONE,
            Self::WrongPin => Close::WRONG_PIN,
            Self::PairingOver => Close::PAIRING_OVER,
            Self::Other(code) => code,
            Self::Local
            | Self::Done
            | Self::Unanswered
            | Self::Version
            | Self::WrongPeer
            | Self::Idle
            | Self::Reset
            | Self::Exhausted => Close::DONE,
        }
    }
}

/// Why a datagram was ignored. An attacker can cause any of these; none ends or changes a session.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Its first byte names nothing this version takes.
    NotRift,
    /// A handshake of another version.
    Version(u8),
    /// It contradicts its own format.
    Malformed,
    /// It is for a session that is not here.
    UnknownConnection,
    /// Its seal or MAC is wrong.
    Authentication,
    /// It was taken before, or is too old to tell.
    Replay,
    /// It does not belong into this phase of the session.
    Unexpected,
    /// There is no room for what it carries.
    NoRoom,
}

/// Why a command was not taken. The caller can do something about each.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The session is not (or no longer) in the phase for it.
    NotConnected,
    /// The peer may not, or this side may not.
    NotPermitted,
    /// Too much is waiting: skip a picture, or try again after the next event.
    Full,
    /// It does not fit what the format can say.
    TooLarge,
    /// The viewer never had the picture that this one refers to.
    MissingReference,
}

impl core::fmt::Display for SendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "the session is not connected",
            Self::NotPermitted => "the host does not permit this",
            Self::Full => "too much is waiting to be sent",
            Self::TooLarge => "too large for one message",
            Self::MissingReference => "the viewer lacks the picture this one refers to",
        })
    }
}

impl core::error::Error for SendError {}

/// On whose behalf [`crate::Session::poll_timeout`] asks to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A handshake message is repeated, or the handshake given up.
    Handshake,
    /// Feedback is due.
    Feedback,
    /// Pacing lets the next shards leave.
    Pacing,
    /// The peer's clock is asked for.
    Clock,
    /// A state message is repeated.
    Latch,
    /// Input is sent, repeated or acknowledged.
    Input,
    /// The client was silent too long while it held something.
    Silence,
    /// A message of a pairing is repeated, or the pairing given up.
    Pairing,
    /// A picture is given up, or a repair asked for.
    Picture,
    /// A stream repeats what was not acknowledged.
    Stream,
    /// A missing packet of sound counts as lost.
    Audio,
    /// The next part of the clipboard or of a file may leave.
    Bulk,
    /// Congestion control acts on missing feedback.
    Delta,
    /// The peer was silent too long.
    Idle,
    /// Keys are renewed, old ones let go.
    Keys,
    /// A path is proven, opened or given up.
    Path,
}

/// Counters and current values of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams sealed and given out.
    pub packets_sent: u64,
    /// Their bytes of UDP payload.
    pub bytes_sent: u64,
    /// Datagrams that opened.
    pub packets_received: u64,
    /// Their bytes of UDP payload.
    pub bytes_received: u64,
    /// Datagrams of the peer that are still missing: numbers below the newest that never opened here.
    pub packets_missing: u64,
    /// Datagrams discarded because they contradict their format or fit no phase.
    pub discarded_malformed: u64,
    /// Datagrams discarded because their seal was wrong.
    pub discarded_authentication: u64,
    /// Datagrams discarded because they were taken before.
    pub discarded_replay: u64,
    /// Datagrams discarded because there was no room.
    pub discarded_no_room: u64,
    /// Own packets that feedback told lost.
    pub packets_lost: u64,
    /// Own packets that feedback told arrived.
    pub packets_arrived: u64,
    /// Pictures queued to this viewer.
    pub pictures_queued: u64,
    /// Pictures delivered to the application.
    pub pictures_delivered: u64,
    /// Of these, pictures that parity restored a part of.
    pub pictures_repaired: u64,
    /// Requests for more parity than a picture came with, each said twice.
    pub parity_requests: u64,
    /// Pictures given up or skipped.
    pub pictures_lost: u64,
    /// Input events taken from the peer.
    pub input_events: u64,
    /// Smoothed round trip, in microseconds; 0 = not measured yet.
    pub round_trip_us: u32,
    /// The peer's clock less ours, in microseconds; 0 while unknown.
    pub clock_offset_us: i64,
    /// The error bound of that; `u32::MAX` while unknown.
    pub clock_error_us: u32,
    /// How much faster the peer's clock runs, in parts per billion; 0 while unknown.
    pub clock_drift_ppb: i32,
    /// Estimated queueing on the way to the peer, in microseconds.
    pub queue_us: u32,
    /// Packets lost on the way to the peer lately, in thousandths.
    pub loss_permille: u16,
    /// Parity sent lately, in thousandths of the pictures' bytes.
    pub parity_permille: u16,
    /// What the encoder is granted, in bits per second.
    pub bitrate_bps: u32,
    /// Bytes of UDP payload of the longest datagrams that are sent on the path in use.
    pub datagram_len: u16,
    /// How often a path turned out to carry less than it had before.
    pub paths_narrowed: u32,
    /// How often the keys were replaced.
    pub key_generation: u32,
}
