//! Shards that contradict each other into a client's session: no picture is delivered before it is whole, and one nobody
//! lied about is delivered as it was sent (SPEC §11.3, §11.4, §11.6).

use std::collections::{BTreeMap, BTreeSet};

use rift::PictureId;
use rift::wire::picture::PictureHead;

use crate::bytes::Bytes;
use crate::messages::{self, Body};
use crate::pictures::{Picture, Shape, Viewer};

const STEPS_MAX: usize = 400;
/// Pictures of one story.
const PICTURES: u32 = 8;

struct Play {
    viewer: Viewer,
    pictures: BTreeMap<u32, Picture>,
    sent: BTreeMap<u32, BTreeSet<usize>>,
    /// Pictures somebody lied about.
    tainted: BTreeSet<u32>,
    newest: u32,
}

/// A picture of some size, which may lean on the one before.
fn draw(id: u32, bytes: &mut Bytes<'_>) -> Picture {
    let len = 1 + usize::from(bytes.u16()) % 3000;
    let leans = bytes.u8() >= 128 && id != 1;
    let shard_len = PictureHead::LEN_MAX + usize::from(bytes.u8()) * 4;
    let shape = Shape { len, leans, shard_len, parity: bytes.below(6) };
    Picture::new(id, &shape)
}

/// Plays a host that contradicts itself; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut play = Play {
        viewer: Viewer::new(),
        pictures: BTreeMap::new(),
        sent: BTreeMap::new(),
        tainted: BTreeSet::new(),
        newest: 0,
    };
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        play.step(&mut bytes);
    }
    play.must_recover(&mut bytes);
}

impl Play {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let id = 1 + u32::from(bytes.u8()) % PICTURES;
        match bytes.below(12) {
            0..=5 => {
                let shard = usize::from(bytes.u8());
                self.send(id, shard, bytes);
            }
            6 => {
                for shard in 0..usize::from(bytes.u8()) {
                    self.send(id, shard, bytes);
                }
            }
            7 => self.contradict(id, bytes),
            8 => self.lie(id, bytes),
            9 => {
                let shown = self.viewer.pass(u64::from(bytes.u8()) * 500);
                self.must_be_right(&shown);
            }
            10 => {
                self.newest = self.newest.max(id);
                self.put(0x12, &Body::default().u32(id));
            }
            _ => self.viewer.release(),
        }
    }

    fn picture(&mut self, id: u32, bytes: &mut Bytes<'_>) -> &Picture {
        self.pictures.entry(id).or_insert_with(|| draw(id, bytes))
    }

    /// A shard as it should be.
    fn send(&mut self, id: u32, shard: usize, bytes: &mut Bytes<'_>) {
        let picture = self.picture(id, bytes);
        let shard = shard % picture.shards.len();
        let body = picture.body(id, shard);
        self.newest = self.newest.max(id);
        self.sent.entry(id).or_default().insert(shard);
        self.put(0x14, &body);
    }

    /// A shard whose head does not fit the others'.
    fn contradict(&mut self, id: u32, bytes: &mut Bytes<'_>) {
        let content = bytes.run(1100);
        let (k, m) = (1 + u16::from(bytes.u8()), bytes.u8());
        let shard = u16::from(bytes.u8()) % k.saturating_add(m.into());
        let len = u16::try_from(content.len()).expect("at most 1100");
        let picture = u16::try_from(id).expect("small");
        self.newest = self.newest.max(id);
        self.tainted.insert(id);
        self.put(0x14, &messages::shard(picture, shard, k, m, len).bytes(content));
    }

    /// A shard with the right head and wrong bytes.
    fn lie(&mut self, id: u32, bytes: &mut Bytes<'_>) {
        let at = usize::from(bytes.u16());
        let change = bytes.u8();
        let which = usize::from(bytes.u8());
        let picture = self.picture(id, bytes);
        let shard = which % picture.shards.len();
        let mut body = picture.body(id, shard);
        // All but the picture's number, which would make it a shard of another one.
        let at = 2 + at % (body.0.len() - 2);
        body.0[at] ^= change;
        self.newest = self.newest.max(id);
        self.tainted.insert(id);
        self.put(0x14, &body);
    }

    fn put(&mut self, code: u8, body: &Body) {
        let shown = self.viewer.put(code, body);
        self.must_be_right(&shown);
    }

    fn must_be_right(&self, shown: &[PictureId]) {
        for id in shown.iter().filter(|id| !self.tainted.contains(&id.0)) {
            let picture = self.pictures.get(&id.0).expect("a picture nobody sent");
            let sent = self.sent.get(&id.0).map_or(0, BTreeSet::len);
            assert!(sent >= picture.layout.data_shards(), "delivered of {sent} shards");
            // The shard that tells may have come before the picture had to give way to another.
            picture.must_be(&self.viewer.media(*id), self.sent[&id.0].contains(&0));
            let stands = picture.head.reference_distance == 0 || self.viewer.shown().contains(&(id.0 - 1));
            assert!(stands, "it leans on what was never shown");
        }
    }

    /// Whatever has come, a picture that leans on none is shown when all of it arrives.
    fn must_recover(mut self, bytes: &mut Bytes<'_>) {
        self.viewer.release();
        for _ in 0..10 {
            let shown = self.viewer.pass(100_000);
            self.must_be_right(&shown);
            self.viewer.release();
        }
        let id = self.newest.max(PICTURES) + 1;
        let mut picture = draw(id, bytes);
        picture = if picture.head.reference_distance == 0 { picture } else { draw(id, &mut Bytes::new(&[])) };
        let count = picture.shards.len();
        self.pictures.insert(id, picture);
        self.tainted.remove(&id);
        for shard in 0..count {
            self.send(id, shard, bytes);
        }
        assert_eq!(self.viewer.shown().last(), Some(&id), "a whole picture that needs no other is shown");
    }
}
