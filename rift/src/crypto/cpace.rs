//! CPace over ristretto255 with SHA-512 (draft-irtf-cfrg-cpace-21, suite `CPACE-RISTR255-SHA512`): two who share a few
//! digits get a key, and who does not know the digits learns nothing but whether one guess was right.
//!
//! Initiator and responder have fixed roles (`transcript_ir`). It knows nothing of PINs, sessions and packets;
//! [`crate::pairing`] says what goes in. Invariant: nothing secret is branched on or indexed by, and the scalar, the
//! shared point and every key are zeroized when dropped.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use hmac::{Mac, SimpleHmac};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Side;

/// Bytes of a public share.
pub const SHARE_LEN: usize = 32;
/// Bytes of a confirmation: HMAC-SHA-512 cut to 256 bits.
pub const CONFIRMATION_LEN: usize = 32;

/// `G.DSI` and `G.DSI || "_ISK"`.
const GROUP: &[u8] = b"CPaceRistretto255";
const GROUP_ISK: &[u8] = b"CPaceRistretto255_ISK";
/// `H.s_in_bytes`: what SHA-512 takes at once.
const HASH_BLOCK_LEN: usize = 128;

/// What both sides bring along.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// `PRS`: the shared digits.
    pub password: &'a [u8],
    /// `CI`: who talks to whom, the initiator first.
    pub channel: &'a [u8],
    /// `sid`: the same on both sides and never again.
    pub session: &'a [u8],
}

impl core::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Inputs { .. }")
    }
}

/// A public share and the data that goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `Y`.
    pub share: &'a [u8; SHARE_LEN],
    /// `AD`.
    pub associated: &'a [u8],
}

/// One side between its own share and the peer's.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Cpace {
    scalar: Scalar,
    #[zeroize(skip)]
    share: [u8; SHARE_LEN],
}

impl Cpace {
    /// Draws a share. `entropy` was never used before; 252 bits of it become the scalar (draft §8.3).
    ///
    /// Work: one multiplication of a point.
    #[must_use]
    pub fn new(inputs: Inputs<'_>, entropy: [u8; 32]) -> Self {
        let mut bytes = Zeroizing::new(entropy);
        bytes[31] &= 0x0f;
        let scalar = Scalar::from_bytes_mod_order(*bytes);
        let mut generator = generator(inputs);
        let mut point = scalar * generator;
        let share = point.compress().to_bytes();
        generator.zeroize();
        point.zeroize();
        Self { scalar, share }
    }

    /// What the peer is sent.
    #[must_use]
    pub const fn share(&self) -> &[u8; SHARE_LEN] {
        &self.share
    }

    /// `scalar_mult_vfy`: the shared point. `None`, when the share is no element of the group or the neutral one.
    fn shared_point(&self, theirs: &[u8; SHARE_LEN]) -> Option<Zeroizing<[u8; 32]>> {
        let point = CompressedRistretto(*theirs).decompress()?;
        let mut shared = point * self.scalar;
        let is_neutral = shared.is_identity();
        let bytes = Zeroizing::new(shared.compress().to_bytes());
        shared.zeroize();
        (!is_neutral).then_some(bytes)
    }

    /// `ISK`: the key that both have if they brought the same along and saw the same messages. `None`: abort, the
    /// peer's share is no element of the group or the neutral one.
    ///
    /// Work: one multiplication of a point.
    #[must_use]
    pub fn key(
        &self,
        side: Side,
        session: &[u8],
        own: &[u8],
        theirs: Message<'_>,
    ) -> Option<IntermediateKey> {
        let shared = self.shared_point(theirs.share)?;
        let own = Message { share: &self.share, associated: own };
        let [first, second] = match side {
            Side::Initiator => [own, theirs],
            Side::Responder => [theirs, own],
        };
        let mut hash = Sha512::new();
        for field in [GROUP_ISK, session, &*shared] {
            prepend_len(&mut hash, field);
        }
        for message in [first, second] {
            prepend_len(&mut hash, message.share);
            prepend_len(&mut hash, message.associated);
        }
        Some(IntermediateKey(hash.finalize().into()))
    }
}

impl core::fmt::Debug for Cpace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cpace").finish_non_exhaustive()
    }
}

/// `ISK`, from which keys are derived; never sent and never used as one itself.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct IntermediateKey([u8; 64]);

impl IntermediateKey {
    /// Its bytes, to be checked against vectors.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The key of the confirmations: H(`"CPaceMac"` ‖ sid ‖ ISK) (draft §10.4).
    #[must_use]
    pub fn confirmation_key(&self, session: &[u8]) -> ConfirmationKey {
        let hash = Sha512::new().chain_update(b"CPaceMac").chain_update(session).chain_update(self.0);
        ConfirmationKey(hash.finalize().into())
    }
}

impl core::fmt::Debug for IntermediateKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("IntermediateKey(..)")
    }
}

/// Makes and checks confirmations.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ConfirmationKey([u8; 64]);

impl ConfirmationKey {
    /// The tag over a message, by which who sent it proves to have the key.
    #[must_use]
    pub fn confirm(&self, message: Message<'_>) -> [u8; CONFIRMATION_LEN] {
        let mac = <SimpleHmac<Sha512> as Mac>::new_from_slice(&self.0);
        let mut mac = mac.expect("HMAC takes keys of every length");
        for field in [&message.share[..], message.associated] {
            let (len, len_len) = leb128(field.len());
            mac.update(&len[..len_len]);
            mac.update(field);
        }
        let full: [u8; 64] = mac.finalize().into_bytes().into();
        let mut tag = [0; CONFIRMATION_LEN];
        tag.copy_from_slice(&full[..CONFIRMATION_LEN]);
        tag
    }

    /// Whether `tag` is that of the peer's message, in constant time.
    #[must_use]
    pub fn verify(&self, message: Message<'_>, tag: &[u8; CONFIRMATION_LEN]) -> bool {
        self.confirm(message).ct_eq(tag).into()
    }
}

impl core::fmt::Debug for ConfirmationKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ConfirmationKey(..)")
    }
}

/// `calculate_generator`: padded so that the first block of the hash holds the password and nothing else that varies.
fn generator(inputs: Inputs<'_>) -> RistrettoPoint {
    const ZEROS: [u8; HASH_BLOCK_LEN] = [0; HASH_BLOCK_LEN];
    let encoded_len = |field: &[u8]| field.len() + leb128(field.len()).1;
    let used = 1 + encoded_len(inputs.password) + encoded_len(GROUP);
    let padding = &ZEROS[..HASH_BLOCK_LEN.saturating_sub(used)];
    let mut hash = Sha512::new();
    for field in [GROUP, inputs.password, padding, inputs.channel, inputs.session] {
        prepend_len(&mut hash, field);
    }
    let bytes: Zeroizing<[u8; 64]> = Zeroizing::new(hash.finalize().into());
    RistrettoPoint::from_uniform_bytes(&bytes)
}

/// Hashes the length of a field (LEB128), then the field.
fn prepend_len(hash: &mut Sha512, field: &[u8]) {
    let (len, len_len) = leb128(field.len());
    hash.update(&len[..len_len]);
    hash.update(field);
}

/// Seven bits a byte, the lowest first, all but the last with the top bit; and how many bytes there are.
const fn leb128(mut value: usize) -> ([u8; 10], usize) {
    let (mut bytes, mut len) = ([0; 10], 0);
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes[len] = byte;
            return (bytes, len + 1);
        }
        bytes[len] = byte | 0x80;
        len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        assert_eq!(text.len(), 2 * N);
        core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    /// draft-irtf-cfrg-cpace-21, B.3.
    const SESSION: &str = "7e4b4791d6a8ef019b936c79fb7f2c57";
    const CHANNEL: &[u8] = b"\x0bA_initiator\x0bB_responder";
    const SCALAR_A: &str = "da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08";
    const SCALAR_B: &str = "d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d";
    const SHARE_A: &str = "d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157";
    const SHARE_B: &str = "3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258";

    fn sides() -> ([u8; 16], Cpace, Cpace) {
        let session = hex::<16>(SESSION);
        let inputs = Inputs { password: b"Password", channel: CHANNEL, session: &session };
        (session, Cpace::new(inputs, hex(SCALAR_A)), Cpace::new(inputs, hex(SCALAR_B)))
    }

    #[test]
    fn generator_is_that_of_the_draft() {
        let session = hex::<16>(SESSION);
        let inputs = Inputs { password: b"Password", channel: CHANNEL, session: &session };
        let expected = hex("222b6b195fe84b1652badb6f6a3ae3d24341e7306967f0b8115b40d5698c7e56");
        assert_eq!(generator(inputs).compress().to_bytes(), expected);
    }

    #[test]
    fn shares_and_shared_point_are_those_of_the_draft() {
        let (_, a, b) = sides();
        assert_eq!((*a.share(), *b.share()), (hex(SHARE_A), hex(SHARE_B)));
        let shared = hex("80b69a8a76457ab6a4d7f887a4bf6b55a2f80ac19c333f917a05fc9887c8b40f");
        assert_eq!(*a.shared_point(b.share()).unwrap(), shared);
        assert_eq!(*b.shared_point(a.share()).unwrap(), shared);
    }

    #[test]
    fn intermediate_key_is_that_of_the_draft() {
        let (session, a, b) = sides();
        let expected = hex::<64>(
            "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd\
             2b38950a39dfd5d4a79164614c2984f7daa460b588c1e80c3fa2068af7900447",
        );
        let (from_a, from_b) = (
            Message { share: a.share(), associated: b"ADa" },
            Message { share: b.share(), associated: b"ADb" },
        );
        assert_eq!(*a.key(Side::Initiator, &session, b"ADa", from_b).unwrap().as_bytes(), expected);
        assert_eq!(*b.key(Side::Responder, &session, b"ADb", from_a).unwrap().as_bytes(), expected);
    }

    #[test]
    fn valid_and_invalid_points_are_told_as_in_the_draft() {
        let scalar = hex("7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05");
        let side = Cpace { scalar: Scalar::from_bytes_mod_order(scalar), share: [0; SHARE_LEN] };
        let valid = hex("2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c");
        let product = hex("7c13645fe790a468f62c39beb7388e541d8405d1ade69d1778c5fe3e7f6b600e");
        assert_eq!(*side.shared_point(&valid).unwrap(), product);
        let undecodable = hex("2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c");
        assert!(side.shared_point(&undecodable).is_none());
        assert!(side.shared_point(&[0; SHARE_LEN]).is_none(), "the neutral element");
    }

    #[test]
    fn lengths_are_those_of_the_draft() {
        // draft A.1.2: prepend_len of 0, 1, 127 and 128 bytes.
        for (value, expected) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (170, &[0xaa, 1]),
            (300, &[0xac, 2]),
        ] {
            let (bytes, len) = leb128(value);
            assert_eq!(&bytes[..len], expected, "{value}");
        }
    }

    #[test]
    fn any_input_of_one_side_that_differs_makes_another_key() {
        let session = hex::<16>(SESSION);
        let inputs = Inputs { password: b"123456", channel: CHANNEL, session: &session };
        let a = Cpace::new(inputs, [1; 32]);
        let other = [7; 16];
        for (what, theirs, sid) in [
            ("the same", inputs, session),
            ("digits", Inputs { password: b"123457", ..inputs }, session),
            ("channel", Inputs { channel: b"somebody else", ..inputs }, session),
            ("session", Inputs { session: &other, ..inputs }, other),
        ] {
            let b = Cpace::new(theirs, [2; 32]);
            let of = |side: &Cpace, role, sid: &[u8], own, peer: &Cpace, ad| {
                side.key(role, sid, own, Message { share: peer.share(), associated: ad }).unwrap()
            };
            let from_a = of(&a, Side::Initiator, &session, b"client", &b, b"host");
            let from_b = of(&b, Side::Responder, &sid, b"host", &a, b"client");
            assert_eq!(from_a.as_bytes() == from_b.as_bytes(), what == "the same", "{what}");
            let keys = (from_a.confirmation_key(&session), from_b.confirmation_key(&sid));
            let message = Message { share: a.share(), associated: b"client" };
            assert_eq!(keys.1.verify(message, &keys.0.confirm(message)), what == "the same", "{what}");
        }
    }

    #[test]
    fn secrets_are_zeroized_when_dropped_and_not_printed() {
        fn dropped<T: ZeroizeOnDrop>(_: &T) {}
        extern crate std;
        let (session, a, b) = sides();
        let key =
            a.key(Side::Initiator, &session, b"", Message { share: b.share(), associated: b"" }).unwrap();
        let confirmation = key.confirmation_key(&session);
        dropped(&a);
        dropped(&key);
        dropped(&confirmation);
        let text = std::format!("{a:?} {key:?} {confirmation:?}");
        assert_eq!(text, "Cpace { .. } IntermediateKey(..) ConfirmationKey(..)");
    }
}
