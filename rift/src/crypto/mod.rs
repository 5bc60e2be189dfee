//! Keys, handshake, sealing (SPEC §4–§6). Composed from audited primitives; nothing here knows of packets.

mod aead;
mod bind;
mod cookie;
pub mod cpace;
mod discovery;
mod identity;
mod kem;
mod keys;
mod mac1;
#[cfg(feature = "experimental")]
mod mlkem;
mod noise;
mod opening;
pub mod packet_number;
pub mod renewal;
mod replay;
pub mod reset;
mod symmetric;
mod token;
mod x25519;

pub use aead::ChaChaPoly;
pub use bind::BindKey;
pub use cookie::{COOKIE_LEN, CookieJar, CookieKey, SEALED_COOKIE_LEN, mac2};
pub use discovery::DiscoveryTag;
pub use identity::{Identity, IdentityError, PublicKey};
pub use kem::{Kem, NoKem, Suite};
pub use keys::PacketKey;
pub use mac1::{MAC1_LEN, Mac1Key, mac1, verify_mac1};
#[cfg(feature = "experimental")]
pub use mlkem::{HybridNoise, MlKem768};
pub use noise::Noise;
pub use opening::{Opening, Pattern};
pub use replay::ReplayWindow;
pub use token::{AddressToken, TokenKey};
pub use x25519::{Dalek, X25519};

/// Whether a side starts a handshake or answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Starts it: the client.
    Initiator,
    /// Answers it: the host.
    Responder,
}

impl Side {
    /// The peer's.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// Why a handshake message was not written or not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// It is not this side's turn, or the handshake is over.
    OutOfTurn,
    /// The output does not fit.
    BufferTooSmall,
    /// The message is too short or too long to be one.
    Malformed,
    /// It was not sealed by who it claims, or an all-zero shared secret came out.
    Authentication,
    /// The first message of IK is sealed for a peer, and nobody has said for whom.
    UnknownPeer,
}

/// Messages in turn, two keys out. [`Noise`] of this crate and `Snow` of `rift-snow` implement it.
///
/// Both directions are transactional: on `Err` nothing has changed, so a forged datagram ends nothing.
pub trait Handshake {
    /// What seals and opens the packets of a session that begins so. It goes with the handshake, because the handshake
    /// names the suite; engines of one suite understand each other.
    type Aead: Aead;

    /// Which messages, in which order.
    fn pattern(&self) -> Pattern;

    /// What its secrets rest on.
    fn suite(&self) -> Suite {
        Suite::Classical
    }

    /// Writes the next message, `payload` sealed as far as the pattern allows, to the start of `out`.
    /// Returns its length: `payload.len()` plus at most [`HANDSHAKE_OVERHEAD_MAX`], or [`HYBRID_OVERHEAD_MAX`].
    ///
    /// # Errors
    /// [`HandshakeError::OutOfTurn`], [`HandshakeError::BufferTooSmall`]; [`HandshakeError::UnknownPeer`] before
    /// [`Self::expect_peer`] when an initiator begins IK.
    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError>;

    /// Reads the peer's next message and writes its payload to the start of `payload`. Returns its length.
    ///
    /// # Errors
    /// Any [`HandshakeError`]; `payload` may then hold garbage, the handshake is as before.
    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError>;

    /// From now on only the peer of this static key is taken: a message that proves another one is refused with
    /// [`HandshakeError::Authentication`], so that whoever sees a first flight cannot end it with an answer of its own.
    /// Without effect once a peer was proven, or called by a first message of IK.
    fn expect_peer(&mut self, peer: PublicKey);

    /// The peer's static key, as soon as a message has proven it; `None` before that.
    fn peer(&self) -> Option<PublicKey>;

    /// The outcome, once the last message has been written or read; `None` before that.
    fn finish(&mut self) -> Option<Secrets>;

    /// Goes back to where an initiator of XX has written its first message and read nothing, so that it can read another
    /// second one (SPEC §4.5). Returns whether it could; one that cannot stays as it is. It is safe because the answerer's
    /// ephemeral key is in all that follows: another second message gives other keys, and the same one the same bytes.
    fn reopen(&mut self) -> bool {
        false
    }
}

/// What a handshake message may add to its payload: two keys and two tags.
pub const HANDSHAKE_OVERHEAD_MAX: usize = 32 + 48 + 16;

/// What a message of a hybrid handshake may add: a key of ML-KEM-768 and its tag more.
pub const HYBRID_OVERHEAD_MAX: usize = HANDSHAKE_OVERHEAD_MAX + 1184 + 16;

/// What a handshake leaves behind. Zeroized when dropped.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secrets {
    /// Seals what this side sends (Noise `Split()`).
    pub send: [u8; 32],
    /// Opens what the peer sends.
    pub receive: [u8; 32],
    /// The peer's static key, proven.
    #[zeroize(skip)]
    pub peer: PublicKey,
    /// The handshake hash: the same on both sides, different for every session.
    pub transcript: [u8; 32],
}

/// An authenticated cipher with a 256-bit key, a 96-bit nonce and a 128-bit tag, without state.
pub trait Aead {
    /// Seals `text` in place and returns its tag. `aad` is authenticated with it.
    fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; 16];

    /// Opens `text` in place if `tag` is right, in constant time; returns whether it was.
    /// On `false` the text is unspecified and must not be used.
    fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool;
}

/// A key for one purpose from a secret that serves several: BLAKE2s-256 keyed by the secret, over the purpose's label.
pub(crate) fn derive(secret: &[u8; 32], label: &[u8]) -> [u8; 32] {
    use hmac::Mac as _;
    let mac = <blake2::Blake2sMac256 as hmac::Mac>::new_from_slice(secret);
    let mut mac = mac.expect("BLAKE2s takes keys of 32 bytes");
    mac.update(label);
    mac.finalize().into_bytes().into()
}
