//! The handshake (SPEC §4): the core's own Noise against snow and against a hostile network.
//!
//! Everything runs for both implementations, in every pairing, through the `Handshake` trait.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rift::{Handshake, HandshakeError, Identity, NoiseXx, PublicKey, Secrets};
use rift_snow::SnowXx;

const ROOM: usize = 70_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rift,
    Snow,
}

const KINDS: [Kind; 2] = [Kind::Rift, Kind::Snow];
const PAIRINGS: [[Kind; 2]; 4] =
    [[Kind::Rift, Kind::Rift], [Kind::Rift, Kind::Snow], [Kind::Snow, Kind::Rift], [Kind::Snow, Kind::Snow]];

/// Everything a handshake is made from: same arguments, same bytes.
#[derive(Clone)]
struct Arguments {
    identities: [Identity; 2],
    ephemerals: [[u8; 32]; 2],
    prologues: [Vec<u8>; 2],
    payloads: [Vec<u8>; 3],
}

/// xorshift64*: as much chance as these tests need.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_be_bytes()[0]).collect()
    }

    fn key(&mut self) -> [u8; 32] {
        self.bytes(32).try_into().unwrap()
    }

    fn up_to(&mut self, limit: u64) -> usize {
        usize::try_from(self.next() % (limit + 1)).unwrap()
    }
}

impl Arguments {
    fn of_seed(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let prologue_len = chance.up_to(300);
        let prologue = chance.bytes(prologue_len);
        Self {
            identities: [Identity::from_secret(chance.key()), Identity::from_secret(chance.key())],
            ephemerals: [chance.key(), chance.key()],
            prologues: [prologue.clone(), prologue],
            payloads: core::array::from_fn(|_| {
                let len = chance.up_to(200);
                chance.bytes(len)
            }),
        }
    }

    /// Short payloads, so that every bit can be flipped in little time.
    fn short() -> Self {
        Self { payloads: [b"hello".to_vec(), b"".to_vec(), b"bye".to_vec()], ..Self::of_seed(1) }
    }

    /// Side 0 is the initiator, side 1 the responder.
    fn side(&self, side: usize, kind: Kind) -> Box<dyn Handshake> {
        let (identity, ephemeral) = (&self.identities[side], self.ephemerals[side]);
        let prologue = &self.prologues[side];
        match (kind, side) {
            (Kind::Rift, 0) => Box::new(NoiseXx::initiator(identity, ephemeral, prologue)),
            (Kind::Rift, _) => Box::new(NoiseXx::responder(identity, ephemeral, prologue)),
            (Kind::Snow, 0) => Box::new(SnowXx::initiator(identity, ephemeral, prologue)),
            (Kind::Snow, _) => Box::new(SnowXx::responder(identity, ephemeral, prologue)),
        }
    }

    /// Both sides after `passed` messages, and those messages.
    fn after(&self, passed: usize, kinds: [Kind; 2]) -> ([Box<dyn Handshake>; 2], Vec<Vec<u8>>) {
        let mut sides = [self.side(0, kinds[0]), self.side(1, kinds[1])];
        let mut messages = Vec::new();
        for turn in 0..passed {
            let message = write(sides[turn % 2].as_mut(), &self.payloads[turn]).unwrap();
            let read = read(sides[1 - turn % 2].as_mut(), &message);
            assert_eq!(read.as_ref(), Ok(&self.payloads[turn]), "message {turn}, {kinds:?}");
            messages.push(message);
        }
        (sides, messages)
    }

    /// The messages of an undisturbed handshake and what it leaves behind on both sides.
    fn reference(&self) -> (Vec<Vec<u8>>, [Outcome; 2]) {
        let (mut sides, messages) = self.after(3, [Kind::Rift; 2]);
        let outcomes = core::array::from_fn(|side| outcome(sides[side].as_mut()).unwrap());
        (messages, outcomes)
    }
}

/// `Secrets`, comparable: send, receive, peer, transcript.
type Outcome = ([u8; 32], [u8; 32], PublicKey, [u8; 32]);

fn outcome(side: &mut dyn Handshake) -> Option<Outcome> {
    side.finish().map(|secrets: Secrets| (secrets.send, secrets.receive, secrets.peer, secrets.transcript))
}

fn write(side: &mut dyn Handshake, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut out = vec![0; ROOM];
    let len = side.write_message(payload, &mut out)?;
    out.truncate(len);
    Ok(out)
}

fn read(side: &mut dyn Handshake, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut payload = vec![0; ROOM];
    let len = side.read_message(message, &mut payload)?;
    payload.truncate(len);
    Ok(payload)
}

fn flipped(message: &[u8], bit: usize) -> Vec<u8> {
    let mut copy = message.to_vec();
    copy[bit / 8] ^= 1 << (bit % 8);
    copy
}

/// Goes on from `passed` messages to the end and checks that nothing on the way there has left a trace.
fn finish_as_if_undisturbed(
    arguments: &Arguments,
    mut sides: [Box<dyn Handshake>; 2],
    passed: usize,
    what: &str,
) {
    let (messages, outcomes) = arguments.reference();
    for turn in passed..3 {
        let written = write(sides[turn % 2].as_mut(), &arguments.payloads[turn]);
        assert_eq!(written.as_ref(), Ok(&messages[turn]), "message {turn} {what}");
        let read = read(sides[1 - turn % 2].as_mut(), &messages[turn]);
        assert_eq!(read.as_ref(), Ok(&arguments.payloads[turn]), "message {turn} {what}");
    }
    for (side, expected) in sides.iter_mut().zip(outcomes) {
        assert_eq!(outcome(side.as_mut()), Some(expected), "{what}");
    }
}

#[test]
fn all_pairings_write_the_same_bytes_and_derive_the_same_keys() {
    for seed in 0..64 {
        let arguments = Arguments::of_seed(seed);
        let (messages, [first, second]) = arguments.reference();
        assert_eq!((first.0, first.1, first.3), (second.1, second.0, second.3), "seed {seed}");
        assert_ne!(first.0, first.1, "seed {seed}");
        assert_eq!(first.2, arguments.identities[1].public(), "seed {seed}");
        assert_eq!(second.2, arguments.identities[0].public(), "seed {seed}");
        for kinds in PAIRINGS {
            let (mut sides, written) = arguments.after(3, kinds);
            assert_eq!(written, messages, "seed {seed}, {kinds:?}");
            assert_eq!(outcome(sides[0].as_mut()), Some(first), "seed {seed}, {kinds:?}");
            assert_eq!(outcome(sides[1].as_mut()), Some(second), "seed {seed}, {kinds:?}");
            assert_eq!(outcome(sides[1].as_mut()), Some(second), "asking again changes nothing");
        }
    }
}

/// The first message is not sealed, so its reader cannot tell; the initiator must when the answer comes.
#[test]
fn flipped_bit_of_the_first_message_is_refused_by_who_sent_it() {
    let arguments = Arguments::short();
    let (messages, _) = arguments.reference();
    for kinds in PAIRINGS {
        let mut initiator = arguments.side(0, kinds[0]);
        assert_eq!(write(initiator.as_mut(), &arguments.payloads[0]).as_ref(), Ok(&messages[0]));
        for bit in 0..messages[0].len() * 8 {
            let mut responder = arguments.side(1, kinds[1]);
            read(responder.as_mut(), &flipped(&messages[0], bit)).unwrap();
            let answer = write(responder.as_mut(), &arguments.payloads[1]).unwrap();
            assert_eq!(
                read(initiator.as_mut(), &answer),
                Err(HandshakeError::Authentication),
                "bit {bit}, {kinds:?}"
            );
        }
        let mut responder = arguments.side(1, kinds[1]);
        read(responder.as_mut(), &messages[0]).unwrap();
        finish_as_if_undisturbed(&arguments, [initiator, responder], 1, &format!("{kinds:?}"));
    }
}

#[test]
fn flipped_bit_of_a_sealed_message_is_refused_and_the_true_one_then_taken() {
    let arguments = Arguments::short();
    let (messages, _) = arguments.reference();
    for kinds in PAIRINGS {
        for (turn, message) in messages.iter().enumerate().skip(1) {
            let (mut sides, _) = arguments.after(turn, kinds);
            let reader = sides[1 - turn % 2].as_mut();
            for bit in 0..message.len() * 8 {
                assert_eq!(
                    read(reader, &flipped(message, bit)),
                    Err(HandshakeError::Authentication),
                    "bit {bit} of message {turn}, {kinds:?}"
                );
            }
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("after flips, {kinds:?}"));
        }
    }
}

#[test]
fn message_of_another_length_is_refused_and_the_true_one_then_taken() {
    let arguments = Arguments::short();
    let (messages, _) = arguments.reference();
    for kind in KINDS {
        for (turn, message) in messages.iter().enumerate() {
            let (mut sides, _) = arguments.after(turn, [kind; 2]);
            let reader = sides[1 - turn % 2].as_mut();
            let overhead = message.len() - arguments.payloads[turn].len();
            for len in 0..message.len() {
                // A first message may be cut within its payload: nothing seals it.
                if turn > 0 || len < overhead {
                    let refused = read(reader, &message[..len]);
                    let expected = if len < overhead {
                        HandshakeError::Malformed
                    } else {
                        HandshakeError::Authentication
                    };
                    assert_eq!(refused, Err(expected), "{len} bytes of message {turn}, {kind:?}");
                }
            }
            let longer = [&message[..], &[0]].concat();
            if turn > 0 {
                assert_eq!(read(reader, &longer), Err(HandshakeError::Authentication), "{turn}, {kind:?}");
            }
            assert_eq!(read(reader, &vec![0; 65_536]), Err(HandshakeError::Malformed), "{turn}, {kind:?}");
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("after cuts, {kind:?}"));
        }
    }
}

#[test]
fn message_of_another_handshake_is_refused_and_the_true_one_then_taken() {
    let arguments = Arguments::short();
    let (foreign, _) =
        Arguments { payloads: arguments.payloads.clone(), ..Arguments::of_seed(2) }.reference();
    for kind in KINDS {
        for (turn, message) in foreign.iter().enumerate().skip(1) {
            let (mut sides, own) = arguments.after(turn, [kind; 2]);
            let reader = sides[1 - turn % 2].as_mut();
            assert_eq!(read(reader, message), Err(HandshakeError::Authentication), "{turn}, {kind:?}");
            // Earlier messages of this very handshake, replayed.
            for earlier in own {
                assert!(read(reader, &earlier).is_err(), "{turn}, {kind:?}");
            }
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("after foreigners, {kind:?}"));
        }
    }
}

#[test]
fn call_out_of_turn_is_refused_and_changes_nothing() {
    let arguments = Arguments::short();
    let (messages, outcomes) = arguments.reference();
    for kinds in PAIRINGS {
        for turn in 0..3 {
            let (mut sides, _) = arguments.after(turn, kinds);
            for message in &messages {
                assert_eq!(read(sides[turn % 2].as_mut(), message), Err(HandshakeError::OutOfTurn));
            }
            assert_eq!(write(sides[1 - turn % 2].as_mut(), b""), Err(HandshakeError::OutOfTurn));
            assert!(sides.iter_mut().all(|side| side.finish().is_none()), "{turn}, {kinds:?}");
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("out of turn, {kinds:?}"));
        }
        let (mut sides, _) = arguments.after(3, kinds);
        for (side, expected) in sides.iter_mut().zip(outcomes) {
            assert_eq!(write(side.as_mut(), b""), Err(HandshakeError::OutOfTurn));
            assert_eq!(read(side.as_mut(), &messages[2]), Err(HandshakeError::OutOfTurn));
            assert_eq!(outcome(side.as_mut()), Some(expected));
        }
    }
}

#[test]
fn buffer_too_small_changes_nothing_and_the_retry_writes_the_same_bytes() {
    let arguments = Arguments::of_seed(3);
    for kind in KINDS {
        for turn in 0..3 {
            let (mut sides, _) = arguments.after(turn, [kind; 2]);
            let (messages, _) = arguments.reference();
            let payload = &arguments.payloads[turn];
            let writer = sides[turn % 2].as_mut();
            for room in 0..messages[turn].len() {
                assert_eq!(
                    writer.write_message(payload, &mut vec![0; room]),
                    Err(HandshakeError::BufferTooSmall),
                    "message {turn} into {room}, {kind:?}"
                );
            }
            let mut exact = vec![0; messages[turn].len()];
            assert_eq!(writer.write_message(payload, &mut exact), Ok(exact.len()), "{turn}, {kind:?}");
            assert_eq!(exact, messages[turn], "message {turn}, {kind:?}");
            let reader = sides[1 - turn % 2].as_mut();
            for room in 0..payload.len() {
                assert_eq!(
                    reader.read_message(&exact, &mut vec![0; room]),
                    Err(HandshakeError::BufferTooSmall),
                    "payload {turn} into {room}, {kind:?}"
                );
            }
            let mut text = vec![0; payload.len()];
            assert_eq!(reader.read_message(&exact, &mut text), Ok(text.len()), "{turn}, {kind:?}");
            assert_eq!(&text, payload);
            finish_as_if_undisturbed(&arguments, sides, turn + 1, &format!("small buffers, {kind:?}"));
        }
    }
}

#[test]
fn longest_message_of_noise_passes_and_a_longer_one_is_not_written() {
    for kind in KINDS {
        for (turn, overhead) in [32, 96, 64].into_iter().enumerate() {
            let mut arguments = Arguments::short();
            arguments.payloads[turn] = vec![0x5a; 65_535 - overhead];
            let (mut sides, _) = arguments.after(turn, [kind; 2]);
            let longer = vec![0x5a; 65_536 - overhead];
            let refused = write(sides[turn % 2].as_mut(), &longer);
            assert_eq!(refused, Err(HandshakeError::BufferTooSmall), "message {turn}, {kind:?}");
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("{kind:?}"));
        }
    }
}

#[test]
fn ephemeral_key_of_small_order_is_refused_and_the_true_message_then_taken() {
    let arguments = Arguments::short();
    let (messages, _) = arguments.reference();
    for kind in KINDS {
        for (turn, message) in messages.iter().enumerate().take(2) {
            let (mut sides, _) = arguments.after(turn, [kind; 2]);
            let reader = sides[1 - turn % 2].as_mut();
            for (first, between, last) in [
                (0, 0, 0),
                (1, 0, 0),
                (0, 0, 0x80),
                (0xec, 0xff, 0x7f),
                (0xed, 0xff, 0xff),
                (0xee, 0xff, 0x7f),
            ] {
                let mut forged = message.clone();
                forged[..32].fill(between);
                forged[0] = first;
                forged[31] = last;
                assert_eq!(read(reader, &forged), Err(HandshakeError::Authentication), "{turn}, {kind:?}");
            }
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("small order, {kind:?}"));
        }
    }
}

#[test]
fn another_prologue_is_refused_with_the_second_message() {
    for kinds in PAIRINGS {
        let mut arguments = Arguments::short();
        arguments.prologues[1].push(0);
        let (mut sides, _) = arguments.after(1, kinds);
        let answer = write(sides[1].as_mut(), b"").unwrap();
        assert_eq!(read(sides[0].as_mut(), &answer), Err(HandshakeError::Authentication), "{kinds:?}");
    }
}

#[test]
fn state_of_a_pending_handshake_is_small() {
    println!("NoiseXx: {} bytes", size_of::<NoiseXx>());
    assert!(size_of::<NoiseXx>() <= 400);
}
