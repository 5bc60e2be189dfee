//! The engines beside each other: the same keys, the same secrets, the same handshakes.

use proptest::prelude::*;
use rift::{Dalek, Handshake, Identity, Noise, Opening, X25519};
use rift_x25519::NativeX25519;

/// A number of 255 bits and the bit above it, often close to a multiple of p = 2²⁵⁵ - 19, where implementations differ.
fn point() -> impl Strategy<Value = [u8; 32]> {
    let edge = (any::<u8>(), prop_oneof![Just(0), Just(0xff)], any::<bool>()).prop_map(|(low, rest, top)| {
        let mut bytes = [rest; 32];
        bytes[0] = low;
        bytes[31] = rest & 0x7f | u8::from(top) << 7;
        bytes
    });
    prop_oneof![1 => edge, 2 => any::<[u8; 32]>()]
}

fn hex(text: &str) -> [u8; 32] {
    core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal digits"))
}

proptest! {
    #[test]
    fn all_engines_multiply_alike(secret in point(), peer in point()) {
        prop_assert_eq!(Dalek::public_key(&secret), NativeX25519::public_key(&secret));
        prop_assert_eq!(Dalek::shared_secret(&secret, &peer), NativeX25519::shared_secret(&secret, &peer));
    }
}

/// RFC 7748 §5.2: two products, of which the second has a point with the top bit set, and a chain of a thousand.
#[test]
fn examples_of_rfc_7748_hold() {
    for (secret, point, product) in [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ] {
        assert_eq!(*NativeX25519::shared_secret(&hex(secret), &hex(point)), hex(product));
    }
    let (mut secret, mut point) = (NINE, NINE);
    for _ in 0..1000 {
        (secret, point) = (*NativeX25519::shared_secret(&secret, &point), secret);
    }
    assert_eq!(secret, hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

const NINE: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 9;
    bytes
};

/// A point of small order gives zeros, which handshakes refuse.
#[test]
fn nothing_is_shared_with_a_point_of_small_order() {
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one] {
        assert_eq!(*NativeX25519::shared_secret(&[7; 32], &point), [0; 32]);
    }
}

/// Each engine on each side: one handshake.
#[test]
fn either_engine_answers_the_other() {
    let (client, host) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
    for opening in [Opening::XX, Opening::IK] {
        let ours = || Noise::initiator(&client, [3; 32], opening);
        let theirs = || Noise::responder(&host, [4; 32], opening);
        let expected = finished(ours(), theirs(), &host);
        assert_eq!(finished(ours().multiplied_by::<NativeX25519>(), theirs(), &host), expected);
        assert_eq!(finished(ours(), theirs().multiplied_by::<NativeX25519>(), &host), expected);
    }
}

/// The two keys that a handshake leaves.
fn finished(mut client: impl Handshake, mut host: impl Handshake, callee: &Identity) -> [[u8; 32]; 2] {
    client.expect_peer(callee.public());
    let (mut message, mut payload) = ([0; 256], [0; 64]);
    let mut is_clients = true;
    loop {
        if let (Some(ours), Some(theirs)) = (client.finish(), host.finish()) {
            assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
            return [ours.send, ours.receive];
        }
        let len = if is_clients {
            client.write_message(b"word", &mut message)
        } else {
            host.write_message(b"word", &mut message)
        };
        let message = &message[..len.expect("it is its turn")];
        let read = if is_clients {
            host.read_message(message, &mut payload)
        } else {
            client.read_message(message, &mut payload)
        };
        assert_eq!(read, Ok(4));
        is_clients = !is_clients;
    }
}
