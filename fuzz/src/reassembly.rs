//! Shards that contradict each other into a client's session: no picture is delivered before it is whole, and one nobody
//! lied about is delivered as it was sent (SPEC §11.3, §11.4, §11.6).

use std::collections::{BTreeMap, BTreeSet};

use rift::crypto::Side;
use rift::fec::{self, Layout};
use rift::wire::picture::{CodedRectangle, PictureHead};
use rift::{Codec, Config, Ecn, Event, Instant, NoPictures, PictureId, Rectangle};

use crate::bytes::{Bytes, Noise};
use crate::messages::{self, Body};
use crate::pair::{self, Attacker, Client, PATH, START};

const STEPS_MAX: usize = 400;
/// Parity shards that are made beyond a picture's own.
const MORE: usize = 4;
/// Pictures of one story.
const PICTURES: u32 = 8;

/// One picture as an honest host would send it.
struct Picture {
    head: PictureHead,
    content: Vec<u8>,
    /// With the parity that it may be asked for beyond its own.
    layout: Layout,
    /// Parity that it comes with.
    parity: usize,
    shards: Vec<Vec<u8>>,
}

impl Picture {
    fn new(id: u32, bytes: &mut Bytes<'_>) -> Self {
        let content = Noise::new(id.into()).bytes(1 + usize::from(bytes.u16()) % 3000);
        let len = u32::try_from(content.len()).expect("at most 3000");
        let rectangle = CodedRectangle { place: Rectangle::sized(64, 48), codec: Codec::H264, len };
        let mut head = PictureHead {
            reference_distance: if bytes.u8() < 128 { 0 } else { 1 },
            total_len: 0,
            captured_us: id,
            encoded_after_us: 2,
            sent_after_us: 0,
            rectangles: [rectangle].into_iter().collect(),
        };
        if id == 1 {
            head.reference_distance = 0;
        }
        head.total_len = len + u32::try_from(head.len()).expect("a head is short");
        let mut whole = messages::picture_head(&head).0;
        whole.extend_from_slice(&content);
        let shard_len = PictureHead::LEN_MAX + usize::from(bytes.u8()) * 4;
        let parity = bytes.below(6);
        let layout = Layout::new(whole.len(), shard_len, parity + MORE).expect("a picture is not empty");
        let mut shards: Vec<Vec<u8>> = whole.chunks(shard_len).map(<[u8]>::to_vec).collect();
        for parity in 0..layout.parity_shards() {
            let mut shard = vec![0; shard_len];
            fec::parity_shard(&layout, &whole, parity, &mut shard);
            shards.push(shard);
        }
        // The time of sending is written as shard 0 leaves.
        shards[0][PictureHead::SENT_AT + 3] = 9;
        head.sent_after_us = 9;
        Self { head, content, layout, parity, shards }
    }

    fn body(&self, id: u32, shard: usize) -> Body {
        let number = |value: usize| u16::try_from(value).expect("a picture here is small");
        let k = self.layout.data_shards();
        // What is asked for later has the larger m in its head (SPEC §11.12).
        let m = if shard < k + self.parity { self.parity } else { self.layout.parity_shards() };
        let (k, m) = (number(k), u8::try_from(m).expect("at most 9"));
        let shard_len = number(self.layout.shard_len());
        let picture = u16::try_from(id & 0xffff).expect("16 bits");
        messages::shard(picture, number(shard), k, m, shard_len).bytes(&self.shards[shard])
    }
}

struct Play {
    client: Client,
    attacker: Attacker,
    now: Instant,
    pictures: BTreeMap<u32, Picture>,
    sent: BTreeMap<u32, BTreeSet<usize>>,
    /// Pictures somebody lied about.
    tainted: BTreeSet<u32>,
    newest: u32,
    shown: Vec<u32>,
    lent: Vec<PictureId>,
}

/// Plays a host that contradicts itself; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let config = Config { idle_us: u32::MAX, ..Config::default() };
    let (client, _) = pair::connected(&config);
    let mut play = Play {
        attacker: Attacker::of(Side::Initiator, client.connection()),
        client,
        now: START,
        pictures: BTreeMap::new(),
        sent: BTreeMap::new(),
        tainted: BTreeSet::new(),
        newest: 0,
        shown: Vec::new(),
        lent: Vec::new(),
    };
    let parameters = Body::default().u32(1).u16(64).u16(48).u32(60_000).u8(1);
    play.put(0x05, &Body::default().u32(1));
    play.put(0x10, &parameters);
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
                self.now = self.now.plus_micros(u64::from(bytes.u8()) * 500);
                self.client.handle_timeout(self.now);
                self.settle();
            }
            10 => {
                self.newest = self.newest.max(id);
                self.put(0x12, &Body::default().u32(id));
            }
            _ => self.lent.drain(..).for_each(|id| self.client.release_media(id)),
        }
    }

    fn picture(&mut self, id: u32, bytes: &mut Bytes<'_>) -> &Picture {
        self.pictures.entry(id).or_insert_with(|| Picture::new(id, bytes))
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
        let mut text = Vec::new();
        messages::last_frame(&mut text, code, &body.0);
        let number = self.attacker.next;
        self.attacker.next += 1;
        let mut datagram = self.attacker.seal(number, &text);
        let _ = self.client.handle_datagram(self.now, PATH, self.now, Ecn::Ect1, &mut datagram);
        self.settle();
    }

    fn settle(&mut self) {
        let mut out = [0; 1500];
        while self.client.poll_transmit(self.now, &NoPictures, &mut out).is_some() {}
        while let Some(event) = self.client.poll_event() {
            if let Event::Picture(id) = event {
                self.must_be_right(id);
                self.lent.push(id);
                self.shown.push(id.0);
            }
        }
    }

    fn must_be_right(&self, id: PictureId) {
        let media = self.client.media(id).expect("an announced picture is lent");
        assert!(self.shown.last().is_none_or(|&last| last < id.0), "pictures come in order");
        let sum: usize = media.head.rectangles.iter().map(|one| one.len as usize).sum();
        assert_eq!(sum, media.payload.len(), "rectangles are the bytes");
        if self.tainted.contains(&id.0) {
            return;
        }
        let picture = self.pictures.get(&id.0).expect("a picture nobody sent");
        let sent = self.sent.get(&id.0).map_or(0, BTreeSet::len);
        assert!(sent >= picture.layout.data_shards(), "delivered of {sent} shards");
        assert_eq!(media.payload, picture.content, "a picture's bytes");
        // The shard that tells may have come before the picture had to give way to another.
        let may_know = self.sent[&id.0].contains(&0);
        let mut head = picture.head.clone();
        head.sent_after_us = if may_know { media.head.sent_after_us } else { 0 };
        assert!(matches!(head.sent_after_us, 0 | 9), "nobody wrote {}", head.sent_after_us);
        assert_eq!(media.head, head, "a picture's head");
        if head.reference_distance == 1 {
            assert!(self.shown.contains(&(id.0 - 1)), "it leans on what was never shown");
        }
    }

    /// Whatever has come, a picture that leans on none is shown when all of it arrives.
    fn must_recover(mut self, bytes: &mut Bytes<'_>) {
        self.lent.drain(..).for_each(|id| self.client.release_media(id));
        for _ in 0..10 {
            self.now = self.now.plus_micros(100_000);
            self.client.handle_timeout(self.now);
            self.settle();
            self.lent.drain(..).for_each(|id| self.client.release_media(id));
        }
        let id = self.newest.max(PICTURES) + 1;
        let mut picture = Picture::new(id, bytes);
        picture = if picture.head.reference_distance == 0 {
            picture
        } else {
            Picture::new(id, &mut Bytes::new(&[]))
        };
        let count = picture.shards.len();
        self.pictures.insert(id, picture);
        self.tainted.remove(&id);
        for shard in 0..count {
            self.send(id, shard, bytes);
        }
        assert_eq!(self.shown.last(), Some(&id), "a whole picture that needs no other is shown");
    }
}
