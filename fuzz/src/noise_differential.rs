//! The core's own Noise beside snow's over the same messages, true and damaged: same verdicts, bytes, hashes, keys
//! (SPEC §4; Noise revision 34). Hybrid handshakes, which snow does not know, between two of the core's own.

use rift::crypto::Side;
use rift::{
    Handshake, HandshakeError, HybridNoise, Identity, Noise, Opening, Pattern, PublicKey, Secrets, Suite,
};
use rift_snow::Snow;

use crate::bytes::{Bytes, Noise as Filler};

/// Each message costs milliseconds under a fuzzer.
const STEPS_MAX: usize = 16;
const ROOM: usize = 2048;
/// Messages of a hybrid handshake that are tried: each costs more.
const HYBRID_STEPS_MAX: usize = 8;

/// One side, by both.
struct Twin {
    core: Noise,
    snow: Snow,
}

/// Plays messages between two sides; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut noise = Filler::new(bytes.u8().into());
    let mut key = || <[u8; 32]>::try_from(noise.bytes(32)).expect("32 bytes");
    let identities = [Identity::from_secret(key()), Identity::from_secret(key())];
    let ephemerals = [key(), key()];
    let shape = bytes.u8();
    if shape >> 6 == 3 {
        let opening = if shape & 8 == 0 { Opening::XX } else { Opening::IK };
        return hybrid(&identities, opening, noise, &mut bytes);
    }
    let prologue = bytes.run(40).to_vec();
    let other = if shape & 7 == 7 { bytes.run(40).to_vec() } else { prologue.clone() };
    let pattern = if shape & 8 == 0 { Pattern::Xx } else { Pattern::Ik };
    let mut twins = [
        Twin::new(Side::Initiator, pattern, &identities[0], ephemerals[0], &prologue),
        Twin::new(Side::Responder, pattern, &identities[1], ephemerals[1], &other),
    ];
    // The first byte of the shape that is left says whom a caller calls, if anybody.
    match shape >> 4 & 3 {
        0 | 1 if pattern == Pattern::Ik => twins[0].expect(identities[1].public()),
        2 => twins[0].expect(PublicKey::from_bytes([shape; 32])),
        _ => {}
    }
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        let side = bytes.below(2);
        match bytes.below(8) {
            0 => {
                let peer = match bytes.below(3) {
                    0 => identities[1 - side].public(),
                    1 => identities[side].public(),
                    _ => PublicKey::from_bytes([bytes.u8(); 32]),
                };
                twins[side].expect(peer);
            }
            1..=3 => messages.extend(twins[side].write(&mut bytes)),
            _ => twins[side].read(&draw(&messages, &mut bytes), &mut bytes),
        }
        twins[side].must_agree();
    }
    must_be_secret(&mut twins);
}

/// Two sides of a hybrid handshake: what was changed on the way is refused and changes nothing, and who finishes has
/// the keys of who was there (SPEC §4.19).
fn hybrid(identities: &[Identity; 2], opening: Opening, mut noise: Filler, bytes: &mut Bytes<'_>) {
    let mut entropy = || <[u8; 96]>::try_from(noise.bytes(96)).expect("96 bytes");
    let mut sides = [
        HybridNoise::hybrid_initiator(&identities[0], &entropy(), opening),
        HybridNoise::hybrid_responder(&identities[1], &entropy(), opening),
    ];
    sides[0].expect_peer(identities[1].public());
    assert_eq!((sides[0].suite(), sides[0].pattern()), (Suite::Hybrid, opening.pattern));
    let (mut turn, mut out, mut payload) = (0, [0; ROOM], [0; ROOM]);
    for _ in 0..HYBRID_STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        let text = bytes.run(60);
        let room = if bytes.u8() < 240 { ROOM } else { usize::from(bytes.u16()) % 1400 };
        let Ok(len) = sides[turn].write_message(text, &mut out[..room]) else { continue };
        if bytes.flag() {
            let mut damaged = out[..len].to_vec();
            match bytes.u8() % 4 {
                0 => damaged.truncate(usize::from(bytes.u16()) % len),
                // Coefficients that are none, where a key of the encapsulation may be.
                1 if len > 400 => damaged[40..400].fill(0xff),
                _ => {
                    let at = usize::from(bytes.u16()) % len;
                    damaged[at] ^= bytes.u8().max(1);
                }
            }
            // The first message of XX has nothing sealed in it: what was changed in it shows in the next one.
            let is_open = opening.pattern == Pattern::Xx && turn == 0 && sides[1].peer().is_none();
            if !is_open || damaged.len() < 32 + 1184 {
                let refused = sides[1 - turn].read_message(&damaged, &mut payload);
                assert!(refused.is_err(), "a message that was changed");
            }
        }
        let taken = sides[1 - turn].read_message(&out[..len], &mut payload);
        assert_eq!(
            taken.map(|len| &payload[..len]),
            Ok(text),
            "a true message is taken, whatever came before"
        );
        turn = 1 - turn;
    }
    let [initiator, responder] = &mut sides;
    if let (Some(one), Some(other)) = (initiator.finish(), responder.finish()) {
        assert_eq!((one.send, one.receive), (other.receive, other.send), "the keys of both sides");
        assert_eq!((one.peer, other.peer), (identities[1].public(), identities[0].public()), "who they are");
        assert_eq!(one.transcript, other.transcript, "the hash");
    }
}

/// A message so far, perhaps damaged, or something else.
fn draw(messages: &[Vec<u8>], bytes: &mut Bytes<'_>) -> Vec<u8> {
    let back = bytes.below(4) + 1;
    let mut message = messages.len().checked_sub(back).map_or_else(Vec::new, |index| messages[index].clone());
    match bytes.below(8) {
        0 => {
            let at = usize::from(bytes.u8()) % message.len().max(1);
            if let Some(byte) = message.get_mut(at) {
                *byte ^= bytes.u8();
            }
        }
        1 => message.truncate(usize::from(bytes.u8())),
        2 => message.extend_from_slice(bytes.run(64)),
        3 => message = bytes.run(400).to_vec(),
        // A field at its place replaced: keys of small order are such.
        4 => {
            let field = [bytes.u8(); 32];
            let start = bytes.below(2) * 48;
            if let Some(place) = message.get_mut(start..start + 32) {
                place.copy_from_slice(&field);
            }
        }
        _ => {}
    }
    message
}

impl Twin {
    fn new(side: Side, pattern: Pattern, identity: &Identity, ephemeral: [u8; 32], prologue: &[u8]) -> Self {
        Self {
            core: Noise::with_prologue(side, pattern, identity, ephemeral, prologue),
            snow: Snow::with_prologue(side, pattern, identity, ephemeral, prologue),
        }
    }

    fn expect(&mut self, peer: PublicKey) {
        self.core.expect_peer(peer);
        self.snow.expect_peer(peer);
    }

    fn write(&mut self, bytes: &mut Bytes<'_>) -> Option<Vec<u8>> {
        let payload = bytes.run(200);
        let room = if bytes.u8() < 240 { ROOM } else { usize::from(bytes.u8()) };
        let (mut core, mut snow) = ([0; ROOM], [0; ROOM]);
        let verdict = self.core.write_message(payload, &mut core[..room]);
        assert_eq!(verdict, self.snow.write_message(payload, &mut snow[..room]), "the verdict on writing");
        let len = verdict.ok()?;
        assert_eq!(core[..len], snow[..len], "what is written");
        Some(core[..len].to_vec())
    }

    fn read(&mut self, message: &[u8], bytes: &mut Bytes<'_>) {
        let room = if bytes.u8() < 240 { ROOM } else { usize::from(bytes.u8()) };
        let (mut core, mut snow) = ([0; ROOM], [0; ROOM]);
        let verdict = self.core.read_message(message, &mut core[..room]);
        let other: Result<usize, HandshakeError> = self.snow.read_message(message, &mut snow[..room]);
        assert_eq!(verdict, other, "the verdict on reading");
        if let Ok(len) = verdict {
            assert_eq!(core[..len], snow[..len], "what is read");
        }
    }

    fn must_agree(&mut self) {
        assert_eq!(self.core.peer(), self.snow.peer(), "who the peer is");
        match (self.core.finish(), self.snow.finish()) {
            (None, None) => {}
            (Some(core), Some(snow)) => must_equal(&core, &snow),
            (core, snow) => panic!("finished: core {}, snow {}", core.is_some(), snow.is_some()),
        }
    }
}

fn must_equal(one: &Secrets, other: &Secrets) {
    assert_eq!((one.send, one.receive), (other.send, other.receive), "the keys");
    assert_eq!((one.peer, one.transcript), (other.peer, other.transcript), "the peer and the hash");
}

/// Two sides that finished with the same hash have each other's keys.
fn must_be_secret([initiator, responder]: &mut [Twin; 2]) {
    if let (Some(one), Some(other)) = (initiator.core.finish(), responder.core.finish())
        && one.transcript == other.transcript
    {
        assert_eq!((one.send, one.receive), (other.receive, other.send), "the keys of both sides");
        assert_ne!(one.send, one.receive, "a key for each direction");
    }
}
