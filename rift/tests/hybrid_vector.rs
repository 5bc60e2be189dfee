//! Hybrid handshakes as a second implementation makes them, which shares nothing with this one (SPEC §4.19):
//! `hil-tests/vectors/hybrid.py` wrote what is replayed here.

#![cfg(feature = "experimental")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rift::{Handshake, HybridNoise, Identity, Opening, Pattern, Suite};

const VECTORS: &str = include_str!("../../hil-tests/vectors/hybrid.txt");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

struct Vector<'a>(Vec<(&'a str, &'a str)>);

impl Vector<'_> {
    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter(|(known, _)| *known == name).map(|(_, value)| bytes(value)).collect()
    }

    fn one<const N: usize>(&self, name: &str) -> [u8; N] {
        self.all(name).concat().try_into().unwrap()
    }

    fn opening(&self) -> Opening {
        let opening = if self.0[0].1 == "XX" { Opening::XX } else { Opening::IK };
        opening.with_suite(Suite::Hybrid)
    }

    fn side(&self, name: &str) -> (Identity, [u8; 96]) {
        let identity = Identity::from_secret(self.one(&format!("{name}_static")));
        (identity, self.one(&format!("{name}_entropy")))
    }
}

fn vectors() -> Vec<Vector<'static>> {
    let parse = |text: &'static str| text.lines().map(|line| line.split_once(" = ").unwrap()).collect();
    VECTORS.trim_end().split("\n\n").map(|text| Vector(parse(text))).collect()
}

#[test]
fn every_byte_is_that_of_the_second_implementation() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 4);
    for vector in &vectors {
        let opening = vector.opening();
        let ((client, client_entropy), (host, host_entropy)) =
            (vector.side("initiator"), vector.side("responder"));
        let mut sides = [
            HybridNoise::hybrid_initiator(&client, &client_entropy, opening),
            HybridNoise::hybrid_responder(&host, &host_entropy, opening),
        ];
        if opening.pattern == Pattern::Ik {
            sides[0].expect_peer(host.public());
        }
        let (payloads, messages) = (vector.all("payload"), vector.all("message"));
        for (turn, (payload, message)) in payloads.iter().zip(&messages).enumerate() {
            let (mut out, mut text) = ([0; 2048], [0; 2048]);
            let len = sides[turn % 2].write_message(payload, &mut out).unwrap();
            assert!(out[..len] == message[..], "{opening:?}, message {turn}");
            let len = sides[1 - turn % 2].read_message(message, &mut text).unwrap();
            assert_eq!(text[..len], payload[..]);
        }
        let keys: [u8; 64] = vector.one("keys");
        let secrets = sides.map(|mut side| side.finish().unwrap());
        assert_eq!(secrets[0].transcript, vector.one::<32>("transcript"));
        assert_eq!((secrets[0].send, secrets[0].receive), (secrets[1].receive, secrets[1].send));
        assert_eq!((&secrets[0].send[..], &secrets[0].receive[..]), keys.split_at(32));
        assert_eq!((secrets[0].peer, secrets[1].peer), (host.public(), client.public()));
    }
}

#[test]
fn forged_or_damaged_message_changes_nothing() {
    for vector in &vectors() {
        let opening = vector.opening();
        let (host, host_entropy) = vector.side("responder");
        let messages = vector.all("message");
        let (mut out, mut reply) = ([0; 2048], [0; 2048]);
        let mut plain = HybridNoise::hybrid_responder(&host, &host_entropy, opening);
        plain.read_message(&messages[0], &mut out).unwrap();
        let len = plain.write_message(&vector.all("payload")[1], &mut reply).unwrap();
        assert!(reply[..len] == messages[1][..]);
        let (client, client_entropy) = vector.side("initiator");
        let mut initiator = HybridNoise::hybrid_initiator(&client, &client_entropy, opening);
        if opening.pattern == Pattern::Ik {
            initiator.expect_peer(host.public());
        }
        initiator.write_message(&vector.all("payload")[0], &mut out).unwrap();
        // Every field has its share of these bits: keys, what is encapsulated, tags, payload.
        for bit in (0..len * 8).step_by(97) {
            let mut forged = messages[1].clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(initiator.read_message(&forged, &mut out).is_err(), "{opening:?}, bit {bit}");
        }
        assert!(initiator.read_message(&messages[1][..len - 1], &mut out).is_err());
        initiator.read_message(&messages[1], &mut out).expect("the true one is still taken");
    }
}

#[test]
fn who_has_broken_x25519_alone_has_not_the_keys() {
    let vector = &vectors()[0];
    let (client, client_entropy) = vector.side("initiator");
    let (host, host_entropy) = vector.side("responder");
    // All secrets of X25519 are known; the 64 bytes behind the ephemeral key are not.
    let mut guess = client_entropy;
    guess[32..].fill(1);
    let messages = vector.all("message");
    let mut out = [0; 2048];
    let mut eavesdropper = HybridNoise::hybrid_initiator(&client, &guess, vector.opening());
    eavesdropper.write_message(&vector.all("payload")[0], &mut out).unwrap();
    assert!(eavesdropper.read_message(&messages[1], &mut out).is_err());
    let mut host = HybridNoise::hybrid_responder(&host, &host_entropy, vector.opening());
    host.read_message(&messages[0], &mut out).unwrap();
}

#[test]
fn classical_and_hybrid_handshakes_do_not_understand_each_other() {
    let (client, host) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
    let (mut out, mut text) = ([0; 2048], [0; 2048]);
    let hybrid = Opening::XX.with_suite(Suite::Hybrid);
    let mut initiator = rift::Noise::initiator(&client, [3; 32], Opening::XX);
    let mut responder = HybridNoise::hybrid_responder(&host, &[4; 96], hybrid);
    let len = initiator.write_message(&[], &mut out).unwrap();
    assert!(responder.read_message(&out[..len], &mut text).is_err());
    let mut initiator = HybridNoise::hybrid_initiator(&client, &[3; 96], hybrid);
    let mut responder = rift::Noise::responder(&host, [4; 32], hybrid);
    let len = initiator.write_message(&[], &mut out).unwrap();
    let taken = responder.read_message(&out[..len], &mut text);
    assert_eq!(taken, Ok(1184), "a classical responder takes the key for a payload, as any");
    let len = responder.write_message(&[], &mut out).unwrap();
    assert!(initiator.read_message(&out[..len], &mut text).is_err(), "and is refused for it");
    assert_eq!((initiator.suite(), responder.suite()), (Suite::Hybrid, Suite::Classical));
}
