//! Every capacity of the core, its reason, and the proofs that they fit together.

use crate::fec::BLOCK_PARITY_MAX;
use crate::wire::handshake::{ANSWER_MAX, RESPONSE_MAX};

/// UDP payload every path is assumed to carry (SPEC §3.1): what IPv6's minimum MTU leaves, rounded down.
pub const DATAGRAM_MIN: usize = 1200;

/// UDP payload no datagram exceeds (SPEC §3.1): a 9000-byte link less IPv6 and UDP headers.
pub const DATAGRAM_MAX: usize = 8952;

/// Most shards, data and parity, of one picture: 1280 of 1150 bytes are 1.4 MB, six times a large key picture
/// at 1080p, and their bitmap is 160 bytes.
pub const SHARDS_MAX: usize = 1280;

/// Pictures before its own that a parity shard may cover (SPEC §11.13): at 60 pictures a second what a round trip of
/// 80 ms leaves time for.
pub const WINDOW_PICTURES_MAX: usize = 3;

/// Parity shards of a picture that may cover others: rows of the code that a window takes for each of its pictures.
pub const WINDOW_PARITY_MAX: usize = 8;

/// Shards solved for at once, and parity shards used for it: what all parity of a window can restore. It bounds the
/// matrix at 2 KiB of stack and the work at 32 sums over a window's shards.
pub const WINDOW_UNKNOWN_MAX: usize = (WINDOW_PICTURES_MAX + 1) * WINDOW_PARITY_MAX;

/// Rectangles of one picture: enough for a moved window and its surroundings; a host merges beyond that.
pub const RECTANGLES_MAX: usize = 16;

/// Pictures that may wait for or be in transmission. One is leaving while the next is encoded; two more cover
/// a burst that the application did not expect. Beyond that the application must skip (SPEC §11.7).
pub const PICTURES_QUEUED_MAX: usize = 4;

/// Pixels of a rectangle of JPEG beside tiles (SPEC §11.10): what a chip's engine decodes into 48 KiB of eight bits a colour.
pub const JPEG_PIXELS_MAX: usize = 128 * 128;

/// Codecs that a viewer may tell of: more than there are.
pub const CODECS_MAX: usize = 8;

/// Bytes of a report of wrong tiles: 64 runs of them. What does not fit is told once those are mended.
pub const TILE_REPORT_MAX: usize = 192;

/// Input events kept until the host has acknowledged them: 2 s of a 125 Hz mouse.
pub const INPUT_UNACKNOWLEDGED_MAX: usize = 256;

/// Unacknowledged events that ride in one datagram (SPEC §10.3).
pub const INPUT_PER_DATAGRAM_MAX: usize = 64;

/// Received input events that wait for the application; while full, nothing is acknowledged and nothing is lost.
pub const INPUT_RECEIVED_MAX: usize = 256;

/// Keys that may be held at once: more than two hands' fingers and a rollover keyboard's report.
pub const KEYS_HELD_MAX: usize = 32;

/// Gamepads of one client: what a living room has.
pub const GAMEPADS_MAX: usize = 4;

/// Contacts on a touch screen at once: two hands' fingers.
pub const CONTACTS_MAX: usize = 10;

/// Events whose time of creation a client remembers, for the picture that shows them: a second of a 125 Hz mouse.
pub const INPUT_TRACED_MAX: usize = 128;

/// Runs of bytes a stream keeps beyond a gap: a window of 64 parts that loses an eighth of them seldom has more, and
/// what is beyond is sent again.
pub const STREAM_GAPS_MAX: usize = 8;

/// Audio packets kept by their sender: the newest and those that may ride along with it.
pub const AUDIO_KEPT_MAX: usize = 4;

/// Audio packets that wait for their player: 160 ms of the usual 10 ms packets, more than any player buffers.
pub const AUDIO_RECEIVED_MAX: usize = 16;

/// Packets one feedback frame reports on: its 2 bytes each still fit the smallest datagram.
pub const FEEDBACK_PACKETS_MAX: usize = 512;

/// Handshakes an endpoint keeps half done. 64 people do not arrive in one second; an attacker who knows the
/// host's key evicts the oldest, and the client repeats itself.
pub const PENDING_HANDSHAKES: usize = 64;

/// Answered calls an endpoint keeps the answers of, to give them again: as many as may be on trial at once.
pub const CALLS_ANSWERED: usize = 32;

/// Clients whose call counter an endpoint remembers: more than one host's list has names. 24 bytes each.
pub const CLIENTS_REMEMBERED: usize = 128;

/// Hybrid first flights that an endpoint keeps half arrived, of whom can be reached where they say they are: 2.4 KB each.
/// A further one takes the place of the oldest, which comes again.
pub const FLIGHTS_HALF_ARRIVED: usize = 4;

/// Bytes of the longest reply of an endpoint: the response or the answer of a handshake, and a close behind it.
pub const REPLY_MAX: usize = if cfg!(feature = "experimental") { 1232 } else { 160 };

/// Sessions one endpoint routes to.
pub const SESSIONS_MAX: usize = 64;

/// Fewest digits of a pairing PIN: with three guesses a stranger succeeds in 3 of 10⁶ windows.
pub const PIN_LEN_MIN: usize = 6;

/// Most digits of a pairing PIN: nobody reads out more without a mistake.
pub const PIN_LEN_MAX: usize = 12;

/// Guesses that one PIN allows, over all sessions: two slips of the finger.
pub const PAIRING_GUESSES: u8 = 3;

/// How long a pairing window stays open, in microseconds: time to walk to the other machine.
pub const PAIRING_WINDOW_US: u64 = 120_000_000;

/// How long no window opens after all guesses of one were spent, in microseconds; doubled each time.
pub const PAIRING_BACKOFF_US: u64 = 30_000_000;

/// The longest such pause, in microseconds.
pub const PAIRING_BACKOFF_US_MAX: u64 = 3_600_000_000;

/// How long a session that is for pairing may last, in microseconds: two round trips, repeated often enough to
/// survive bad losses. The PIN is asked for before it begins.
pub const PAIRING_US: u64 = 15_000_000;

/// Paths of one session at once: the one in use, one kept ready beside it, and one that is being tried.
pub const PATHS_MAX: usize = 3;

/// Connection ids a client has in reserve: one to move to, and one more should that path turn out dead.
pub const CONNECTIONS_SPARE: usize = 2;

/// Connection ids by which one session is known.
pub const CONNECTIONS_MAX: usize = PATHS_MAX + CONNECTIONS_SPARE;

/// Candidates of one peer: two interfaces with two addresses of each family, what NATs show of them, and as many again.
pub const CANDIDATES_MAX: usize = 16;

/// Checks that leave because of one introduction: six rounds over eight addresses. Who is offered a third party's address
/// as a candidate sends it no more than this.
pub const CHECKS_MAX: usize = 50;

/// Bytes of a message of signalling: an introduction with all its candidates, or a lease with its token.
pub const SIGNAL_LEN_MAX: usize = 1024;

/// Bytes of a lease's token: PASETO v4.public with the claims of a lease is about 500.
pub const LEASE_TOKEN_MAX: usize = 768;

/// Relays that a device is told of and measures: the nearest of several regions are among them.
pub const RELAYS_TOLD_MAX: usize = 8;

/// Keys by which leases are signed: one before, one now, one soon.
pub const LEASE_KEYS_MAX: usize = 3;

/// Keys of one message about whom a device lets be introduced: what fits beside their number.
pub const GRANTS_TOLD_MAX: usize = 31;

/// Bytes of a relay's region and version.
pub const RELAY_TEXT_MAX: usize = 24;

/// Bytes of the name by which a person knows a device.
pub const DEVICE_NAME_MAX: usize = 48;

/// Picture numbers remembered as delivered, for references further back than the last picture.
pub const DELIVERED_HISTORY: u32 = 64;

const _: () = {
    assert!(
        FEEDBACK_PACKETS_MAX * 2 + 64 <= DATAGRAM_MIN,
        "a full feedback frame fits the smallest datagram"
    );
    assert!(WINDOW_UNKNOWN_MAX <= BLOCK_PARITY_MAX, "every picture of a window has rows of its own");
    assert!(WINDOW_PARITY_MAX <= 8 && WINDOW_PICTURES_MAX < 8, "both are told apart by the bits of a byte");
    assert!(
        INPUT_PER_DATAGRAM_MAX * 8 + KEYS_HELD_MAX * 2 + GAMEPADS_MAX * 16 + CONTACTS_MAX * 4 + 64
            <= DATAGRAM_MIN,
        "full input fits"
    );
    assert!(GAMEPADS_MAX <= 4 && CONTACTS_MAX <= 16, "masks on the wire hold them");
    assert!(INPUT_TRACED_MAX.is_power_of_two());
    assert!(INPUT_PER_DATAGRAM_MAX <= INPUT_UNACKNOWLEDGED_MAX);
    assert!(LEASE_TOKEN_MAX + 128 <= SIGNAL_LEN_MAX, "a lease fits a message");
    assert!(GRANTS_TOLD_MAX * 32 + 8 <= SIGNAL_LEN_MAX, "a page of grants fits a message");
    assert!(CANDIDATES_MAX * 20 + 128 <= SIGNAL_LEN_MAX, "an introduction fits a message");
    assert!(CHECKS_MAX < u8::MAX as usize, "a check's number fits");
    assert!(RESPONSE_MAX <= REPLY_MAX && ANSWER_MAX + 32 <= REPLY_MAX, "replies fit");
    assert!(DATAGRAM_MIN <= DATAGRAM_MAX && DATAGRAM_MAX <= u16::MAX as usize);
};
