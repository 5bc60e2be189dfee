//! Every capacity of a gateway and its reason.

/// Sessions at once: a large household's devices a hundred times over. Each costs at most 16 KiB.
pub const SESSIONS_MAX: usize = 4096;

/// Connection ids of those.
pub const ROUTES_MAX: usize = SESSIONS_MAX * rift::limits::CONNECTIONS_MAX;

/// Sessions of devices that have not enrolled. When there is another, the one that has been there for longest goes.
pub const STRANGERS_MAX: usize = 64;

/// How long such a session may last, in microseconds: a person has the token ready.
pub const STRANGER_US: u64 = 30_000_000;

/// Wrong tokens of one session. They cannot be guessed; this is against noise.
pub const TOKENS_WRONG_MAX: u8 = 3;

/// Devices that one device lets be introduced to it.
pub const GRANTS_MAX: usize = 128;

/// Keys that are let in no more.
pub const BANS_MAX: usize = 4_096;

/// Relays of one gateway.
pub const RELAYS_MAX: usize = 64;

/// A relay that was not heard for so many microseconds gets no more leases: three beats.
pub const BEAT_LATE_US: u64 = 45_000_000;

/// Devices that are told of a new relay at once: what they measure then is a few datagrams each.
pub const TELLINGS_AT_ONCE: usize = 8;

/// And as many more after so many microseconds: all sessions in less than half a minute.
pub const TELLINGS_INTERVAL_US: u64 = 50_000;

/// Peers with whom a device may say to be connected.
pub const PATHS_TOLD_MAX: usize = 16;

/// Requests that a device may make at once: an application that looks for all its hosts.
pub const REQUESTS_BURST: u32 = 16;

/// And one more each so many microseconds.
pub const REQUESTS_INTERVAL_US: u64 = 500_000;

/// STUN answers longer than their requests that may leave at once (SPEC §18.2).
pub const STUN_BURST: u32 = 64;

/// And one more each so many microseconds.
pub const STUN_INTERVAL_US: u64 = 5_000;

/// Answers to strangers that wait to leave; the next are dropped, and asked for again.
pub const REPLIES_MAX: usize = 256;

/// How long an enrolment token is good, in seconds: a day.
pub const TOKEN_S: u64 = 86_400;

const _: () = assert!(SESSIONS_MAX as u64 / TELLINGS_AT_ONCE as u64 * TELLINGS_INTERVAL_US <= 30_000_000);
const _: () = assert!(SESSIONS_MAX <= u16::MAX as usize, "a session's index fits");
