//! The handshake (SPEC §4): the core's own Noise against snow and against a hostile network.
//!
//! Everything runs for both patterns and both implementations, in every pairing, through the `Handshake` trait.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rift::crypto::Side;
use rift::{ChaChaPoly, Handshake, HandshakeError, Identity, Noise, Opening, Pattern, PublicKey, Secrets};
use rift_snow::Snow;

const ROOM: usize = 70_000;

type Boxed = Box<dyn Handshake<Aead = ChaChaPoly>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rift,
    Snow,
}

const PATTERNS: [Pattern; 2] = [Pattern::Xx, Pattern::Ik];
const KINDS: [Kind; 2] = [Kind::Rift, Kind::Snow];
const PAIRINGS: [[Kind; 2]; 4] =
    [[Kind::Rift, Kind::Rift], [Kind::Rift, Kind::Snow], [Kind::Snow, Kind::Rift], [Kind::Snow, Kind::Snow]];

/// Everything a handshake is made from: same arguments, same bytes.
#[derive(Clone)]
struct Arguments {
    pattern: Pattern,
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
    fn of_seed(seed: u64, pattern: Pattern) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let prologue_len = chance.up_to(300);
        let prologue = chance.bytes(prologue_len);
        Self {
            pattern,
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
    fn short(pattern: Pattern) -> Self {
        Self { payloads: [b"hello".to_vec(), b"".to_vec(), b"bye".to_vec()], ..Self::of_seed(1, pattern) }
    }

    /// How many messages a handshake has.
    fn len(&self) -> usize {
        self.overheads().len()
    }

    /// What each message adds to its payload, by the patterns of Noise.
    fn overheads(&self) -> &'static [usize] {
        match self.pattern {
            Pattern::Xx => &[32, 96, 64],
            Pattern::Ik => &[96, 48],
        }
    }

    /// Whether a reader can tell that this message was altered.
    fn is_sealed(&self, turn: usize) -> bool {
        turn > 0 || self.pattern == Pattern::Ik
    }

    /// Side 0 is the initiator, side 1 the responder.
    fn side(&self, side: usize, kind: Kind) -> Boxed {
        let (identity, ephemeral) = (&self.identities[side], self.ephemerals[side]);
        let prologue = &self.prologues[side];
        let role = if side == 0 { Side::Initiator } else { Side::Responder };
        let mut handshake: Boxed = match kind {
            Kind::Rift => Box::new(Noise::with_prologue(role, self.pattern, identity, ephemeral, prologue)),
            Kind::Snow => Box::new(Snow::with_prologue(role, self.pattern, identity, ephemeral, prologue)),
        };
        if self.pattern == Pattern::Ik && side == 0 {
            handshake.expect_peer(self.identities[1].public());
        }
        handshake
    }

    /// Both sides after `passed` messages, and those messages.
    fn after(&self, passed: usize, kinds: [Kind; 2]) -> ([Boxed; 2], Vec<Vec<u8>>) {
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
        let (mut sides, messages) = self.after(self.len(), [Kind::Rift; 2]);
        let outcomes = core::array::from_fn(|side| outcome(sides[side].as_mut()).unwrap());
        (messages, outcomes)
    }
}

/// `Secrets`, comparable: send, receive, peer, transcript.
type Outcome = ([u8; 32], [u8; 32], PublicKey, [u8; 32]);

fn outcome(side: &mut dyn Handshake<Aead = ChaChaPoly>) -> Option<Outcome> {
    side.finish().map(|secrets: Secrets| (secrets.send, secrets.receive, secrets.peer, secrets.transcript))
}

fn write(side: &mut dyn Handshake<Aead = ChaChaPoly>, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut out = vec![0; ROOM];
    let len = side.write_message(payload, &mut out)?;
    out.truncate(len);
    Ok(out)
}

fn read(side: &mut dyn Handshake<Aead = ChaChaPoly>, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
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
fn finish_as_if_undisturbed(arguments: &Arguments, mut sides: [Boxed; 2], passed: usize, what: &str) {
    let (messages, outcomes) = arguments.reference();
    for turn in passed..arguments.len() {
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
    for (seed, pattern) in (0..64).flat_map(|seed| PATTERNS.map(|pattern| (seed, pattern))) {
        let arguments = Arguments::of_seed(seed, pattern);
        let (messages, [first, second]) = arguments.reference();
        assert_eq!((first.0, first.1, first.3), (second.1, second.0, second.3), "seed {seed}");
        assert_ne!(first.0, first.1, "seed {seed}");
        assert_eq!(first.2, arguments.identities[1].public(), "seed {seed}");
        assert_eq!(second.2, arguments.identities[0].public(), "seed {seed}");
        for kinds in PAIRINGS {
            let (mut sides, written) = arguments.after(arguments.len(), kinds);
            assert_eq!(written, messages, "seed {seed}, {kinds:?}");
            assert_eq!(outcome(sides[0].as_mut()), Some(first), "seed {seed}, {kinds:?}");
            assert_eq!(outcome(sides[1].as_mut()), Some(second), "seed {seed}, {kinds:?}");
            assert_eq!(outcome(sides[1].as_mut()), Some(second), "asking again changes nothing");
        }
    }
}

/// The first message of XX is not sealed, so its reader cannot tell; the initiator must when the answer comes.
#[test]
fn flipped_bit_of_the_first_message_is_refused_by_who_sent_it() {
    let arguments = Arguments::short(Pattern::Xx);
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
    for (pattern, kinds) in PATTERNS.into_iter().flat_map(|pattern| PAIRINGS.map(|kinds| (pattern, kinds))) {
        let arguments = Arguments::short(pattern);
        let (messages, _) = arguments.reference();
        let is_sealed = |&(turn, _): &(usize, _)| arguments.is_sealed(turn);
        for (turn, message) in messages.iter().enumerate().filter(is_sealed) {
            let (mut sides, _) = arguments.after(turn, kinds);
            let reader = sides[1 - turn % 2].as_mut();
            for bit in 0..message.len() * 8 {
                assert_eq!(
                    read(reader, &flipped(message, bit)),
                    Err(HandshakeError::Authentication),
                    "bit {bit} of message {turn}, {pattern:?}, {kinds:?}"
                );
            }
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("after flips, {kinds:?}"));
        }
    }
}

#[test]
fn message_of_another_length_is_refused_and_the_true_one_then_taken() {
    for (pattern, kind) in PATTERNS.into_iter().flat_map(|pattern| KINDS.map(|kind| (pattern, kind))) {
        let arguments = Arguments::short(pattern);
        let (messages, _) = arguments.reference();
        for (turn, message) in messages.iter().enumerate() {
            let (mut sides, _) = arguments.after(turn, [kind; 2]);
            let reader = sides[1 - turn % 2].as_mut();
            let overhead = message.len() - arguments.payloads[turn].len();
            for len in 0..message.len() {
                // A first message of XX may be cut within its payload: nothing seals it.
                if arguments.is_sealed(turn) || len < overhead {
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
            if arguments.is_sealed(turn) {
                assert_eq!(read(reader, &longer), Err(HandshakeError::Authentication), "{turn}, {kind:?}");
            }
            assert_eq!(read(reader, &vec![0; 65_536]), Err(HandshakeError::Malformed), "{turn}, {kind:?}");
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("after cuts, {kind:?}"));
        }
    }
}

#[test]
fn message_of_another_handshake_is_refused_and_the_true_one_then_taken() {
    for (pattern, kind) in PATTERNS.into_iter().flat_map(|pattern| KINDS.map(|kind| (pattern, kind))) {
        let arguments = Arguments::short(pattern);
        let payloads = arguments.payloads.clone();
        let (foreign, _) = Arguments { payloads, ..Arguments::of_seed(2, pattern) }.reference();
        let is_sealed = |&(turn, _): &(usize, _)| arguments.is_sealed(turn);
        for (turn, message) in foreign.iter().enumerate().filter(is_sealed) {
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
    for (pattern, kinds) in PATTERNS.into_iter().flat_map(|pattern| PAIRINGS.map(|kinds| (pattern, kinds))) {
        let arguments = Arguments::short(pattern);
        let (messages, outcomes) = arguments.reference();
        for turn in 0..arguments.len() {
            let (mut sides, _) = arguments.after(turn, kinds);
            for message in &messages {
                assert_eq!(read(sides[turn % 2].as_mut(), message), Err(HandshakeError::OutOfTurn));
            }
            assert_eq!(write(sides[1 - turn % 2].as_mut(), b""), Err(HandshakeError::OutOfTurn));
            assert!(sides.iter_mut().all(|side| side.finish().is_none()), "{turn}, {kinds:?}");
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("out of turn, {kinds:?}"));
        }
        let (mut sides, _) = arguments.after(arguments.len(), kinds);
        for (side, expected) in sides.iter_mut().zip(outcomes) {
            assert_eq!(write(side.as_mut(), b""), Err(HandshakeError::OutOfTurn));
            assert_eq!(read(side.as_mut(), &messages[arguments.len() - 1]), Err(HandshakeError::OutOfTurn));
            assert_eq!(outcome(side.as_mut()), Some(expected));
        }
    }
}

#[test]
fn buffer_too_small_changes_nothing_and_the_retry_writes_the_same_bytes() {
    for (pattern, kind) in PATTERNS.into_iter().flat_map(|pattern| KINDS.map(|kind| (pattern, kind))) {
        let arguments = Arguments::of_seed(3, pattern);
        for turn in 0..arguments.len() {
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
    for (pattern, kind) in PATTERNS.into_iter().flat_map(|pattern| KINDS.map(|kind| (pattern, kind))) {
        for (turn, &overhead) in Arguments::short(pattern).overheads().iter().enumerate() {
            let mut arguments = Arguments::short(pattern);
            arguments.payloads[turn] = vec![0x5a; 65_535 - overhead];
            let (mut sides, _) = arguments.after(turn, [kind; 2]);
            let longer = vec![0x5a; 65_536 - overhead];
            let refused = write(sides[turn % 2].as_mut(), &longer);
            assert_eq!(refused, Err(HandshakeError::BufferTooSmall), "message {turn}, {kind:?}");
            finish_as_if_undisturbed(&arguments, sides, turn, &format!("{kind:?}"));
        }
    }
}

/// SPEC §4.2.
#[test]
fn ephemeral_key_of_small_order_is_refused_and_the_true_message_then_taken() {
    for (pattern, kind) in PATTERNS.into_iter().flat_map(|pattern| KINDS.map(|kind| (pattern, kind))) {
        let arguments = Arguments::short(pattern);
        let (messages, _) = arguments.reference();
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
fn another_prologue_is_refused_as_soon_as_something_is_sealed() {
    for kinds in PAIRINGS {
        let mut called = Arguments::short(Pattern::Ik);
        called.prologues[1].push(0);
        let call = write(called.side(0, kinds[0]).as_mut(), b"").unwrap();
        let refused = read(called.side(1, kinds[1]).as_mut(), &call);
        assert_eq!(refused, Err(HandshakeError::Authentication), "{kinds:?}");
        let mut arguments = Arguments::short(Pattern::Xx);
        arguments.prologues[1].push(0);
        let (mut sides, _) = arguments.after(1, kinds);
        let answer = write(sides[1].as_mut(), b"").unwrap();
        assert_eq!(read(sides[0].as_mut(), &answer), Err(HandshakeError::Authentication), "{kinds:?}");
    }
}

#[test]
fn call_without_a_callee_is_not_written_and_one_for_another_is_not_read() {
    let arguments = Arguments::short(Pattern::Ik);
    let [caller, callee] = &arguments.identities;
    for kinds in PAIRINGS {
        let opening = Opening::IK;
        let initiator = |kind| -> Boxed {
            match kind {
                Kind::Rift => Box::new(Noise::initiator(caller, arguments.ephemerals[0], opening)),
                Kind::Snow => Box::new(Snow::initiator(caller, arguments.ephemerals[0], opening)),
            }
        };
        let mut responder: Boxed = match kinds[1] {
            Kind::Rift => Box::new(Noise::responder(callee, arguments.ephemerals[1], opening)),
            Kind::Snow => Box::new(Snow::responder(callee, arguments.ephemerals[1], opening)),
        };
        let mut lost = initiator(kinds[0]);
        assert_eq!(write(lost.as_mut(), b""), Err(HandshakeError::UnknownPeer), "{kinds:?}");
        lost.expect_peer(Identity::from_secret([9; 32]).public());
        let misdirected = write(lost.as_mut(), b"").unwrap();
        assert_eq!(read(responder.as_mut(), &misdirected), Err(HandshakeError::Authentication), "{kinds:?}");
        let mut true_one = initiator(kinds[0]);
        true_one.expect_peer(callee.public());
        let call = write(true_one.as_mut(), b"").unwrap();
        // Who has been called stays who was called, and has proven nothing yet.
        true_one.expect_peer(caller.public());
        assert_eq!(true_one.peer(), None, "{kinds:?}");
        assert_eq!(read(responder.as_mut(), &call), Ok(Vec::new()), "{kinds:?}");
        assert_eq!(responder.peer(), Some(caller.public()), "{kinds:?}");
        let answer = write(responder.as_mut(), b"").unwrap();
        assert_eq!(read(true_one.as_mut(), &answer), Ok(Vec::new()), "{kinds:?}");
        assert_eq!(true_one.peer(), Some(callee.public()), "{kinds:?}");
    }
}

#[test]
fn state_of_a_pending_handshake_is_small() {
    assert!(size_of::<Noise>() <= 400);
}
