//! `Noise_XX_25519_ChaChaPoly_BLAKE2s` and `Noise_IK_25519_ChaChaPoly_BLAKE2s` of the cacophony test vectors (SPEC §4),
//! by both implementations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rift::crypto::{PacketKey, Side};
use rift::{ChaChaPoly, Handshake, Identity, Noise, Pattern};
use rift_snow::Snow;

const PROLOGUE: &str = "4a6f686e2047616c74";
const STATIC: [&str; 2] = [
    "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
];
const EPHEMERAL: [&str; 2] = [
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
];
/// What one handshake of the file says.
struct Vector {
    pattern: Pattern,
    /// Messages of the handshake; those after them are transport messages.
    handshake_len: usize,
    hash: &'static str,
    /// Payload and message, the initiator's first.
    messages: [(&'static str, &'static str); 6],
}

const VECTORS: [Vector; 2] = [
    Vector {
        pattern: Pattern::Xx,
        handshake_len: 3,
        hash: "6c4c56cf71612f72d05ceb96c0155e6f4ea54a26b504c93de632a2db4a49d200",
        messages: [
            (
                "4c756477696720766f6e204d69736573",
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
         4c756477696720766f6e204d69736573",
            ),
            (
                "4d757272617920526f746862617264",
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
         7c365eb362a1c991b0557fe8a7fb187d99346765d93ec63db6c1b01504ebeec5\
         5a2298d2dbff80eff034d20595153f63a196a6cead1e11b2bb13e336fa13616d\
         d3e8b0a070c882ed3f1a78c7c06c93",
            ),
            (
                "462e20412e20486179656b",
                "46c3307de83b014258717d97781c1f50936d8b7d50c0722a1739654d10392d41\
         5b670c114f79b9a4f80541570f77ce88802efa4220cff733e7b5668ba38059ec\
         904b4b8eef9448085faf51",
            ),
            ("4361726c204d656e676572", "d5e83adfaac5dc324a68f1862df54549e56d209fba707205f328b2"),
            (
                "4a65616e2d426170746973746520536179",
                "d102c9029b1f55c788f561ba7737afbccef9c9f1bf2f238167fd40ba9c1c134867",
            ),
            (
                "457567656e2042f6686d20766f6e2042617765726b",
                "cb1ce80960382c6d5d5e740ffb724d1432f0310b200fb6f8424120f506092744baa415e155",
            ),
        ],
    },
    Vector {
        pattern: Pattern::Ik,
        handshake_len: 2,
        hash: "48f3cb8bc9319da4ba1e9933991b1c4ed4034f1f126a76d3a1fbcfd7f94248d4",
        messages: [
            (
                "4c756477696720766f6e204d69736573",
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
                 0b03ddc7aac5123d06a1b23b71670e32e76c28239a7ca4ac8f784de7e44c1adb\
                 fc6e83fef7352a58d9d56157400c0a737b1d171ce368229c7b752ac25b8faf4e\
                 ca690f6d896f543be02c996ab2b86b76",
            ),
            (
                "4d757272617920526f746862617264",
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
                 d9b5a8927f0ac9655ef76833bc7e5561f42e691ac8404efd6fbd6308b6a27c",
            ),
            ("462e20412e20486179656b", "2c256ed08fcd08c2980f954ee4beaccb61c9581340f5dd2fd1cf3b"),
            ("4361726c204d656e676572", "d6033f70eee20945c7c9dba304e397ee3b284ff5e00fd9efb095d3"),
            (
                "4a65616e2d426170746973746520536179",
                "a9c068ca5d8babf72560652d8e851adbfac35c8a66e810d560863173e96adf4cfe",
            ),
            (
                "457567656e2042f6686d20766f6e2042617765726b",
                "2a09d8f459e5927e40fdd2eddc99bdafb04e13a26f145cb5cfe9e6ba34c94331\
                 ebc17d5156",
            ),
        ],
    },
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
}

fn key(hex: &str) -> [u8; 32] {
    bytes(hex).try_into().unwrap()
}

/// Runs the handshake, then the transport messages, from both sides.
fn check(what: &str, vector: &Vector, mut sides: [Box<dyn Handshake<Aead = ChaChaPoly>>; 2]) {
    let (mut out, mut read) = ([0; 256], [0; 256]);
    for (turn, (payload, message)) in vector.messages.iter().enumerate().take(vector.handshake_len) {
        let len = sides[turn % 2].write_message(&bytes(payload), &mut out).unwrap();
        assert_eq!(out[..len], bytes(message), "message {turn}, {what}");
        let len = sides[1 - turn % 2].read_message(&bytes(message), &mut read).unwrap();
        assert_eq!(read[..len], bytes(payload), "message {turn}, {what}");
    }
    let secrets = sides.map(|mut side| side.finish().unwrap());
    for secrets in &secrets {
        assert_eq!(secrets.transcript, key(vector.hash), "{what}");
    }
    // Path 0 makes the nonce of a packet that of a transport message of Noise.
    for (turn, (payload, sealed)) in vector.messages.iter().enumerate().skip(vector.handshake_len) {
        let (from, to) = (&secrets[turn % 2], &secrets[1 - turn % 2]);
        let first = vector.handshake_len + (turn - vector.handshake_len) % 2;
        let pn = u64::try_from((turn - first) / 2).unwrap();
        let mut text = bytes(payload);
        let tag = PacketKey::<ChaChaPoly>::new(from.send).seal(0, pn, &[], &mut text);
        assert_eq!([&text[..], &tag[..]].concat(), bytes(sealed), "message {turn}, {what}");
        assert!(PacketKey::<ChaChaPoly>::new(to.receive).open(0, pn, &[], &mut text, &tag));
        assert_eq!(text, bytes(payload), "message {turn}, {what}");
    }
}

type Constructor = fn(Side, Pattern, &Identity, [u8; 32], &[u8]) -> Box<dyn Handshake<Aead = ChaChaPoly>>;

#[test]
fn published_vectors_are_reproduced_byte_for_byte() {
    let identities = STATIC.map(|hex| Identity::from_secret(key(hex)));
    let ephemerals = EPHEMERAL.map(key);
    let prologue = bytes(PROLOGUE);
    let implementations: [(&str, Constructor); 2] = [
        ("rift", |side, pattern, identity, ephemeral, prologue| {
            Box::new(Noise::with_prologue(side, pattern, identity, ephemeral, prologue))
        }),
        ("snow", |side, pattern, identity, ephemeral, prologue| {
            Box::new(Snow::with_prologue(side, pattern, identity, ephemeral, prologue))
        }),
    ];
    for vector in &VECTORS {
        for (of_initiator, initiator) in implementations {
            for (of_responder, responder) in implementations {
                let pattern = vector.pattern;
                let mut sides = [
                    initiator(Side::Initiator, pattern, &identities[0], ephemerals[0], &prologue),
                    responder(Side::Responder, pattern, &identities[1], ephemerals[1], &prologue),
                ];
                sides[0].expect_peer(identities[1].public());
                check(&format!("{of_initiator} to {of_responder}, {pattern:?}"), vector, sides);
            }
        }
    }
}
