//! Hosts announce themselves on a local network, and clients find them: `_wavry._udp` by DNS-SD (RFC 6763) over mDNS
//! (RFC 6762), as SPEC §4.18 says.
//!
//! `mdns-sd` does the protocol: it needs neither a daemon of the machine nor an async runtime, speaks IPv4 and IPv6, and
//! lives beside Avahi on the same port. What is added here is what an announcement may tell: to strangers that some host
//! is there, to those who know the host which one it is. It knows no sessions and trusts nothing it hears.

mod announce;
mod browse;

pub use announce::{Announcement, Announcer};
pub use browse::{Found, browse};

use rift::crypto::DiscoveryTag;

/// The service's type.
pub const SERVICE: &str = DiscoveryTag::SERVICE;
/// Longest instance name, in bytes (RFC 6763 §4.1.1).
pub const NAME_LEN_MAX: usize = 63;

const VERSION_KEY: &str = DiscoveryTag::VERSION_KEY;
const TAG_KEY: &str = DiscoveryTag::TAG_KEY;

/// Why nothing can be announced or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MdnsError {
    /// The sockets could not be opened, or the thread that serves them is gone.
    #[error("multicast DNS on UDP port 5353: {0}")]
    Service(#[from] mdns_sd::Error),
    /// No random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(getrandom::Error),
    /// The name is empty or too long.
    #[error("{0:?} is no name for an announcement: 1 to 63 bytes")]
    Name(String),
    /// The system gave no thread.
    #[error("no thread to announce from: {0}")]
    Thread(std::io::Error),
}
