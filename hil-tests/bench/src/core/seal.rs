//! One packet's seal, beside ring's: by the engine of machines with an operating system, and by the core's own.

use core::hint::black_box;

use rift::{Aead, ChaChaPoly};
use rift_aead::NativeChaChaPoly;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::measure::{self, Contender, Figure};
use super::rows::{Rivalry, row};
use crate::report::Row;

/// Bytes of a packet's text.
const TEXT_LEN: usize = 1200;
/// Bytes of a packet's header, authenticated with it.
const HEADER_LEN: usize = 8;
const OPERATIONS: usize = 400;
const BLOCKS: usize = 101;

/// Ours may cost so much more than ring's own calls with a key that is set up once.
const SHARE_MAX: f64 = 1.05;

/// Cases `seal` and `open`, and the same with the portable engine of the core, which boards use.
pub(super) fn run() -> Vec<Row> {
    let note =
        "1200 bytes in place, 8 bytes of associated data; key set-up included where it is paid per packet";
    let engine = [("seal", seal::<NativeChaChaPoly>()), ("open", open::<NativeChaChaPoly>())];
    let portable = [("seal_portable", seal::<ChaChaPoly>()), ("open_portable", open::<ChaChaPoly>())];
    let rows = |cases: [(&'static str, Vec<Figure>); 2], share: Option<f64>| {
        cases.map(|(case, figures)| {
            let figures = Rivalry::of(&figures);
            let goal = share.zip(figures.rival("ring")).map(|(share, ring)| share * ring);
            row((case, "time", "ns"), figures, goal, BLOCKS * OPERATIONS, note)
        })
    };
    [rows(engine, Some(SHARE_MAX)), rows(portable, None)].into_iter().flatten().collect()
}

fn ring_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("the key is 32 bytes long"))
}

fn seal<A: Aead>() -> Vec<Figure> {
    let (key, header) = ([7; 32], [1; HEADER_LEN]);
    let (mut ours, mut theirs) = ([0; TEXT_LEN], [0; TEXT_LEN]);
    let ring = ring_key();
    let mut contenders: [Contender<'_>; 2] = [
        (
            "rift",
            Box::new(|| {
                let mut number = 0;
                Some(measure::nanos_each(OPERATIONS, || {
                    number += 1;
                    black_box(A::seal(&key, &nonce(number), &header, black_box(&mut ours)));
                }))
            }),
        ),
        (
            "ring",
            Box::new(|| {
                let mut number = 0;
                Some(measure::nanos_each(OPERATIONS, || {
                    number += 1;
                    let nonce = Nonce::assume_unique_for_key(nonce(number));
                    let tag =
                        ring.seal_in_place_separate_tag(nonce, Aad::from(header), black_box(&mut theirs));
                    assert!(black_box(tag).is_ok(), "the text is short enough");
                }))
            }),
        ),
    ];
    measure::interleave(BLOCKS, &mut contenders)
}

fn open<A: Aead>() -> Vec<Figure> {
    let (key, header) = ([7; 32], [1; HEADER_LEN]);
    let mut sealed = vec![5; TEXT_LEN];
    let tag = A::seal(&key, &nonce(1), &header, &mut sealed);
    sealed.extend_from_slice(&tag);
    let ring = ring_key();
    // Opening destroys the sealed text, so each operation starts with a copy of it, for both alike.
    let (mut ours, mut theirs) = (sealed.clone(), sealed.clone());
    let source = &sealed;
    let mut contenders: [Contender<'_>; 2] = [
        (
            "rift",
            Box::new(move || {
                Some(measure::nanos_each(OPERATIONS, || {
                    ours.copy_from_slice(source);
                    let text = &mut black_box(&mut ours)[..TEXT_LEN];
                    assert!(A::open(&key, &nonce(1), &header, text, &tag), "sealed with this key");
                }))
            }),
        ),
        (
            "ring",
            Box::new(move || {
                Some(measure::nanos_each(OPERATIONS, || {
                    theirs.copy_from_slice(source);
                    let nonce = Nonce::assume_unique_for_key(nonce(1));
                    let opened = ring.open_in_place(nonce, Aad::from(header), black_box(&mut theirs));
                    assert!(black_box(opened).is_ok(), "sealed with this key");
                }))
            }),
        ),
    ];
    measure::interleave(BLOCKS, &mut contenders)
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce
}
