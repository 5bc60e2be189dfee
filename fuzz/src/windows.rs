//! Parity over several pictures into a client's session: true, late, of pictures that never came, and false (SPEC §11.13).
//!
//! A picture that is delivered is the one that was sent, unless somebody lied; what is determined is restored, and
//! whatever came, a whole picture that needs no other is shown after it.

use std::collections::{BTreeMap, BTreeSet};

use rift::PictureId;
use rift::fec::Portable;
use rift::fec::window::add_picture_with;
use rift::limits::{WINDOW_PARITY_MAX, WINDOW_PICTURES_MAX};
use rift::wire::picture::PictureHead;

use crate::bytes::{Bytes, Script};
use crate::messages::Body;
use crate::pictures::{Picture, Shape, Viewer};
use crate::seeds::Seed;

const STEPS_MAX: usize = 300;
/// Pictures of one story.
const PICTURES: u32 = 12;
const SHARD: u8 = 0x14;
const WINDOW_SHARD: u8 = 0x30;

struct Play {
    viewer: Viewer,
    /// Bytes of a shard: of all pictures of a story, or nothing could cover two of them.
    shard_len: usize,
    pictures: BTreeMap<u32, Picture>,
    /// Of which pictures shard 0 was sent.
    told: BTreeSet<u32>,
    /// From a first lie on anything may be wrong that is solved for together with it.
    was_lied_to: bool,
    newest: u32,
}

/// Plays a host that covers pictures by others' parity; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut play = Play {
        viewer: Viewer::new(),
        shard_len: PictureHead::LEN_MAX + usize::from(bytes.u8()),
        pictures: BTreeMap::new(),
        told: BTreeSet::new(),
        was_lied_to: false,
        newest: 0,
    };
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        play.step(&mut bytes);
    }
    play.must_recover();
}

impl Play {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let id = 1 + u32::from(bytes.u8()) % PICTURES;
        match bytes.below(10) {
            0 | 1 => {
                let shard = usize::from(bytes.u8());
                self.send(id, shard, bytes);
            }
            // All but some, as a burst would have it.
            2 => {
                let (from, lost) = (usize::from(bytes.u8()), usize::from(bytes.u8()));
                let data = self.picture(id, bytes).layout.data_shards();
                for shard in (0..data).filter(|shard| !(from..from + lost).contains(shard)) {
                    self.send(id, shard, bytes);
                }
            }
            3 | 4 => {
                let (parity, reach) = (bytes.below(WINDOW_PARITY_MAX), bytes.u8());
                self.cover(id, parity, reach, bytes);
            }
            5 => {
                let reach = bytes.u8();
                for parity in 0..bytes.below(WINDOW_PARITY_MAX + 1) {
                    self.cover(id, parity, reach, bytes);
                }
            }
            6 => self.lie(id, bytes),
            7 => {
                let shown = self.viewer.pass(u64::from(bytes.u8()) * 500);
                self.must_be_right(&shown);
            }
            8 => {
                self.newest = self.newest.max(id);
                self.put(0x12, &Body::default().u32(id));
            }
            _ => self.viewer.release(),
        }
    }

    fn picture(&mut self, id: u32, bytes: &mut Bytes<'_>) -> &Picture {
        let shard_len = self.shard_len;
        self.pictures.entry(id).or_insert_with(|| {
            let shape = bytes.u8();
            let len = 1 + usize::from(bytes.u16()) % 3000;
            let parity = usize::from(shape & 15).min(WINDOW_PARITY_MAX);
            Picture::new(id, &Shape { len, leans: shape & 16 != 0 && id != 1, shard_len, parity })
        })
    }

    /// A shard of the picture alone.
    fn send(&mut self, id: u32, shard: usize, bytes: &mut Bytes<'_>) {
        let picture = self.picture(id, bytes);
        let shard = shard % picture.shards.len();
        let body = picture.body(id, shard);
        self.newest = self.newest.max(id);
        if shard == 0 {
            self.told.insert(id);
        }
        self.put(SHARD, &body);
    }

    /// Parity of a picture over some before it: the frame's body, if the picture has such parity.
    fn covering(&mut self, id: u32, parity: usize, reach: u8, bytes: &mut Bytes<'_>) -> Option<Body> {
        let reach = usize::from(reach).min(WINDOW_PICTURES_MAX).min(id as usize - 1);
        let older: Vec<u32> = (1..=reach as u32).map(|back| id - back).collect();
        for &id in older.iter().chain([&id]) {
            self.picture(id, bytes);
        }
        let own = &self.pictures[&id];
        let shard = own.layout.data_shards() + parity;
        if parity >= own.parity {
            return None;
        }
        let mut sum = own.shards[shard].clone();
        let mut counts = [0; WINDOW_PICTURES_MAX];
        for (at, id) in older.iter().enumerate() {
            let picture = &self.pictures[id];
            add_picture_with(&Portable, &picture.layout, &picture.whole, (at + 1, parity), &mut sum);
            counts[at] = u8::try_from(picture.layout.data_shards()).expect("at most 128");
        }
        Some(own.head_of(id, shard).bytes(&counts).bytes(&sum))
    }

    fn cover(&mut self, id: u32, parity: usize, reach: u8, bytes: &mut Bytes<'_>) {
        if let Some(body) = self.covering(id, parity, reach, bytes) {
            self.newest = self.newest.max(id);
            self.put(WINDOW_SHARD, &body);
        }
    }

    /// Something false in a window shard, or in one of its picture alone.
    fn lie(&mut self, id: u32, bytes: &mut Bytes<'_>) {
        let (at, change, which) = (usize::from(bytes.u16()), bytes.u8(), usize::from(bytes.u8()));
        let covering = self.covering(id, which % WINDOW_PARITY_MAX, bytes.u8(), bytes);
        let (code, mut body) = match covering {
            Some(body) => (WINDOW_SHARD, body),
            None => {
                let picture = self.picture(id, bytes);
                let shard = which % picture.shards.len();
                let body = picture.body(id, shard);
                if shard == 0 {
                    self.told.insert(id);
                }
                (SHARD, body)
            }
        };
        // All but the picture's number, which would make it a shard of one that is yet to come.
        let at = 2 + at % (body.0.len() - 2);
        body.0[at] ^= change;
        self.newest = self.newest.max(id);
        self.was_lied_to |= change != 0;
        self.put(code, &body);
    }

    fn put(&mut self, code: u8, body: &Body) {
        let shown = self.viewer.put(code, body);
        self.must_be_right(&shown);
    }

    fn must_be_right(&self, shown: &[PictureId]) {
        for id in shown.iter().filter(|_| !self.was_lied_to) {
            let picture = self.pictures.get(&id.0).expect("a picture nobody sent");
            picture.must_be(&self.viewer.media(*id), self.told.contains(&id.0));
            let stands = picture.head.reference_distance == 0 || self.viewer.shown().contains(&(id.0 - 1));
            assert!(stands, "it leans on what was never shown");
        }
    }

    /// Whatever has come, pictures are shown again when all of them arrives; and one of which a part did not, from the
    /// parity of the next.
    fn must_recover(mut self) {
        for _ in 0..10 {
            self.viewer.release();
            let shown = self.viewer.pass(100_000);
            self.must_be_right(&shown);
        }
        self.viewer.release();
        self.was_lied_to = false;
        let first = self.newest.max(PICTURES) + 1;
        let none = &mut Bytes::new(&[]);
        let shape = Shape { len: 5 * self.shard_len, leans: false, shard_len: self.shard_len, parity: 4 };
        for id in first..first + 3 {
            self.pictures.insert(id, Picture::new(id, &shape));
        }
        let count = self.pictures[&first].layout.data_shards();
        (0..count).for_each(|shard| self.send(first, shard, none));
        assert_eq!(self.viewer.shown().last(), Some(&first), "a whole picture that needs no other is shown");
        self.viewer.release();
        // Two shards of each of the next two; four equations over four unknowns.
        (2..count).for_each(|shard| self.send(first + 1, shard, none));
        (0..count - 2).for_each(|shard| self.send(first + 2, shard, none));
        assert_eq!(self.viewer.shown().last(), Some(&first), "nothing is shown in part");
        for parity in 0..4 {
            self.cover(first + 2, parity, 1, none);
        }
        assert_eq!(self.viewer.shown().last(), Some(&(first + 2)), "what is determined is restored");
    }
}

/// Stories that the surface begins with.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    // A picture of so many hundred bytes, all of it but a run.
    let lossy = |script: Script, id: u8, hundreds: u8, from: u8, lost: u8| {
        script.u8(id).u8(2).u8(from).u8(lost).u8(8).u8(hundreds / 3).u8(hundreds.wrapping_mul(85))
    };
    let again = |script: Script, id: u8, from: u8, lost: u8| script.u8(id).u8(2).u8(from).u8(lost);
    let cover = |script: Script, id: u8, reach: u8, count: u8| script.u8(id).u8(5).u8(reach).u8(count);
    let begin = || Script::default().u8(60);
    let release = |script: Script| script.u8(0).u8(9);
    let pass = |script: Script, halves: u8| script.u8(0).u8(7).u8(halves);
    let mut stories: Vec<(&str, Script)> = Vec::new();
    let burst = lossy(lossy(begin(), 0, 20, 1, 3), 1, 14, 0, 0);
    stories.push(("burst", release(cover(burst, 1, 1, 5))));
    let chain = lossy(lossy(lossy(begin(), 0, 24, 2, 2), 1, 24, 3, 2), 2, 24, 0, 1);
    stories.push(("chain", release(cover(cover(cover(chain, 0, 0, 1), 1, 1, 2), 2, 2, 4))));
    let unseen = lossy(lossy(begin(), 0, 10, 0, 0), 2, 10, 0, 0);
    stories.push(("unseen", release(cover(unseen, 2, 2, 6))));
    let early = cover(lossy(lossy(begin(), 1, 20, 2, 4), 0, 20, 1, 2), 1, 1, 7);
    stories.push(("early", release(again(again(early, 0, 9, 0), 1, 9, 0))));
    let late = cover(pass(lossy(lossy(begin(), 0, 12, 1, 1), 1, 12, 1, 1), 200), 1, 1, 4);
    stories.push(("late", release(late)));
    let many = (0..10).fold(begin(), |script, id| {
        let script = lossy(script, id, 16, id % 5, 2);
        release(pass(cover(script, id, 3, 3), 40))
    });
    stories.push(("many", many));
    let lies = (0..13_u8).fold(lossy(lossy(begin(), 0, 18, 1, 2), 1, 18, 0, 1), |script, at| {
        script.u8(1).u8(6).u8(0).u8(at).u8(1 << (at % 8)).u8(at).u8(2)
    });
    stories.push(("lies", lies));
    stories.into_iter().map(|(name, script)| ("windows", name.into(), script.into_bytes())).collect()
}
