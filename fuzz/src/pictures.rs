//! Pictures as an honest host would cut them into shards, and a viewer of them, for surfaces that send these as no honest
//! host would.

use rift::crypto::Side;
use rift::fec::{self, Layout};
use rift::wire::picture::{CodedRectangle, PictureHead};
use rift::{Codec, Config, Ecn, Event, Instant, Media, NoPictures, PictureId, Rectangle};

use crate::bytes::Noise;
use crate::messages::{self, Body};
use crate::pair::{self, Attacker, Client, PATH, START};

/// Parity shards that are made beyond a picture's own.
const MORE: usize = 4;
/// When shard 0 is said to have left, in microseconds after the picture was encoded.
const SENT_AFTER_US: u8 = 9;

/// What a picture is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of its content.
    pub len: usize,
    /// Whether it leans on the picture before.
    pub leans: bool,
    /// Bytes of a shard.
    pub shard_len: usize,
    /// Parity that it comes with.
    pub parity: usize,
}

/// One picture.
#[derive(Debug)]
pub struct Picture {
    /// Its head as it was when it was encoded.
    pub head: PictureHead,
    content: Vec<u8>,
    /// Head and content, before it was said when it was sent: what parity is of.
    pub whole: Vec<u8>,
    /// With the parity that it may be asked for beyond its own.
    pub layout: Layout,
    /// Parity that it comes with.
    pub parity: usize,
    /// All shards, as they leave.
    pub shards: Vec<Vec<u8>>,
}

impl Picture {
    /// Picture `id` of this shape; its content follows from its number.
    ///
    /// # Panics
    /// When the shape is no picture's: nothing in it, or more shards than there can be.
    #[must_use]
    pub fn new(id: u32, shape: &Shape) -> Self {
        let content = Noise::new(id.into()).bytes(shape.len);
        let len = u32::try_from(content.len()).expect("a picture here is small");
        let rectangle = CodedRectangle { place: Rectangle::sized(64, 48), codec: Codec::H264, len };
        let mut head = PictureHead {
            reference_distance: shape.leans.into(),
            total_len: 0,
            captured_us: id,
            encoded_after_us: 2,
            sent_after_us: 0,
            rectangles: [rectangle].into_iter().collect(),
        };
        head.total_len = len + u32::try_from(head.len()).expect("a head is short");
        let mut whole = messages::picture_head(&head).0;
        whole.extend_from_slice(&content);
        let parity = shape.parity;
        let layout =
            Layout::new(whole.len(), shape.shard_len, parity + MORE).expect("a picture is not empty");
        let mut shards: Vec<Vec<u8>> = whole.chunks(shape.shard_len).map(<[u8]>::to_vec).collect();
        for parity in 0..layout.parity_shards() {
            let mut shard = vec![0; shape.shard_len];
            fec::parity_shard(&layout, &whole, parity, &mut shard);
            shards.push(shard);
        }
        // The time of sending is written as shard 0 leaves.
        shards[0][PictureHead::SENT_AT + 3] = SENT_AFTER_US;
        Self { head, content, whole, layout, parity, shards }
    }

    /// The body of the frame that brings a shard.
    ///
    /// # Panics
    /// When it has no such shard.
    #[must_use]
    pub fn body(&self, id: u32, shard: usize) -> Body {
        self.head_of(id, shard).bytes(&self.shards[shard])
    }

    /// What stands before a shard's bytes.
    ///
    /// # Panics
    /// When no picture has so many shards.
    #[must_use]
    pub fn head_of(&self, id: u32, shard: usize) -> Body {
        let number = |value: usize| u16::try_from(value).expect("a picture here is small");
        let k = self.layout.data_shards();
        // What is asked for later has the larger m in its head (SPEC §11.12).
        let m = if shard < k + self.parity { self.parity } else { self.layout.parity_shards() };
        let m = u8::try_from(m).expect("a picture here has little parity");
        let picture = u16::try_from(id & 0xffff).expect("16 bits");
        messages::shard(picture, number(shard), number(k), m, number(self.layout.shard_len()))
    }

    /// Checks that it was delivered as it was sent; when it was sent is told by shard 0 alone, which may have come.
    ///
    /// # Panics
    /// When it was not.
    pub fn must_be(&self, media: &Media<'_>, may_know: bool) {
        assert_eq!(media.payload, self.content, "a picture's bytes");
        let mut head = self.head.clone();
        head.sent_after_us = if may_know { media.head.sent_after_us } else { 0 };
        let says = head.sent_after_us;
        assert!(says == 0 || says == u32::from(SENT_AFTER_US), "nobody wrote {says}");
        assert_eq!(media.head, head, "a picture's head");
    }
}

/// A client's session to which somebody with the host's keys sends frames, and what it has shown.
#[derive(Debug)]
pub struct Viewer {
    client: Client,
    attacker: Attacker,
    now: Instant,
    shown: Vec<u32>,
    lent: Vec<PictureId>,
}

impl Viewer {
    /// One that was let in, and knows that pictures come from number 1 on.
    #[must_use]
    pub fn new() -> Self {
        let config = Config { idle_us: u32::MAX, ..Config::default() };
        let (client, _) = pair::connected(&config);
        let attacker = Attacker::of(Side::Initiator, client.connection());
        let mut viewer = Self { client, attacker, now: START, shown: Vec::new(), lent: Vec::new() };
        viewer.put(0x05, &Body::default().u32(1));
        viewer.put(0x10, &Body::default().u32(1).u16(64).u16(48).u32(60_000).u8(1));
        viewer
    }

    /// Takes a packet of one frame. Returns the pictures that are shown for it.
    pub fn put(&mut self, code: u8, body: &Body) -> Vec<PictureId> {
        let mut text = Vec::new();
        messages::last_frame(&mut text, code, &body.0);
        let number = self.attacker.next;
        self.attacker.next += 1;
        let mut datagram = self.attacker.seal(number, &text);
        let _ = self.client.handle_datagram(self.now, PATH, self.now, Ecn::Ect1, &mut datagram);
        self.settle()
    }

    /// Lets so much time pass. Returns the pictures that are shown then.
    pub fn pass(&mut self, micros: u64) -> Vec<PictureId> {
        self.now = self.now.plus_micros(micros);
        self.client.handle_timeout(self.now);
        self.settle()
    }

    /// Gives back all that was shown.
    pub fn release(&mut self) {
        self.lent.drain(..).for_each(|id| self.client.release_media(id));
    }

    /// A picture that was shown and not given back.
    ///
    /// # Panics
    /// When there is no such picture.
    #[must_use]
    pub fn media(&self, id: PictureId) -> Media<'_> {
        self.client.media(id).expect("an announced picture is lent")
    }

    /// Numbers of all pictures that were shown, in order.
    #[must_use]
    pub fn shown(&self) -> &[u32] {
        &self.shown
    }

    fn settle(&mut self) -> Vec<PictureId> {
        let mut out = [0; 1500];
        while self.client.poll_transmit(self.now, &NoPictures, &mut out).is_some() {}
        let first = self.lent.len();
        while let Some(event) = self.client.poll_event() {
            let Event::Picture(id) = event else { continue };
            assert!(self.shown.last().is_none_or(|&last| last < id.0), "pictures come in order");
            let media = self.media(id);
            let sum: usize = media.head.rectangles.iter().map(|one| one.len as usize).sum();
            assert_eq!(sum, media.payload.len(), "rectangles are the bytes");
            self.lent.push(id);
            self.shown.push(id.0);
        }
        self.lent[first..].to_vec()
    }
}

impl Default for Viewer {
    fn default() -> Self {
        Self::new()
    }
}
