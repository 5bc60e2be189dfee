//! Pictures through the sender's and the receiver's half, without a session: which losses parity over several pictures
//! restores, and that nothing restored is ever wrong.

extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Patience, PictureSlot, State, VideoReceiver, lent, release, swap};
use crate::channel::video::outgoing::VideoSender;
use crate::channel::video::pictures::{PictureInfo, Pictures, RectangleData};
use crate::channel::video::{Codec, PictureId, Rectangle};
use crate::fec::Portable;
use crate::profile::Full;
use crate::time::Instant;
use crate::wire::shard::WindowHead;

const SHARD_LEN: usize = 40;
const PERIOD_US: u64 = 16_667;
const PATIENCE: Patience =
    Patience { reorder_us: 20_000, late_us: 1_000, answer_us: None, period_us: PERIOD_US };

struct Pair {
    pictures: Pictures<Vec<u8>, 8>,
    sender: VideoSender<Full>,
    receiver: VideoReceiver,
    slots: Vec<PictureSlot<Vec<u8>>>,
    spare: Vec<u8>,
    contents: Vec<Vec<u8>>,
    shown: Vec<u32>,
    now: Instant,
}

impl Pair {
    fn new(places: usize) -> Self {
        let mut receiver = VideoReceiver::new();
        receiver.begin(PictureId(1));
        let mut slots: Vec<PictureSlot<Vec<u8>>> = (0..places).map(|_| PictureSlot::EMPTY).collect();
        for slot in &mut slots {
            let _ = slot.lend(vec![0; 8192]);
        }
        Self {
            pictures: Pictures::new(core::array::from_fn(|_| vec![0; 8192])),
            sender: VideoSender::new(),
            receiver,
            slots,
            spare: vec![0; 8192],
            contents: vec![Vec::new()],
            shown: Vec::new(),
            now: Instant::from_micros(1),
        }
    }

    /// A picture of so many data and parity shards leaves; of its shards those that `loses` names are lost.
    fn send(&mut self, data_shards: usize, parity: usize, loses: impl Fn(usize) -> bool) {
        let id = PictureId(self.contents.len() as u32);
        let content: Vec<u8> =
            (0..data_shards * SHARD_LEN - 60).map(|at| (at as u32 * 31 + id.0 * 97) as u8).collect();
        let info = PictureInfo {
            id,
            reference: (id.0 > 1).then(|| PictureId(id.0 - 1)),
            captured_at: self.now,
            encoded_at: self.now,
        };
        let place = Rectangle { x: 0, y: 0, width: 8, height: 8 };
        let rectangle = RectangleData { place, codec: Codec::Jpeg, parts: &[&content] };
        let picture = self.pictures.push(&info, &[rectangle]).expect("it fits");
        self.contents.push(content);
        self.sender.push(picture, SHARD_LEN, parity, 3).expect("nothing waits");
        while let Some(next) = self.sender.peek() {
            let mut out = vec![0; next.len];
            let head = self.sender.take(&Portable, self.now, &self.pictures, &mut out).expect("it is there");
            if loses(usize::from(head.shard)) {
                continue;
            }
            let (slots, now) = (&mut self.slots, self.now);
            if next.is_window {
                let before = *out.first_chunk().expect("its head is longer");
                let head = WindowHead { shard: head, before };
                self.receiver.on_window_shard(&Portable, slots, &head, &out[WindowHead::MORE_LEN..], now);
            } else {
                self.receiver.on_shard(&Portable, slots, &head, &out, now);
            }
            self.show();
        }
        self.now = self.now.plus_micros(PERIOD_US);
        self.show();
    }

    /// Shows what can be, taking the bytes of every other picture.
    fn show(&mut self) {
        while let Some(id) = self.receiver.advance(&mut self.slots, self.now, &PATIENCE) {
            let expected = &self.contents[id.0 as usize];
            let media = lent(&self.slots, id).expect("it was delivered");
            assert_eq!(media.payload, expected, "{id:?}");
            if id.0.is_multiple_of(2) {
                release(&mut self.slots, id);
            } else {
                let taken = swap(&mut self.slots, id, core::mem::take(&mut self.spare)).expect("it is lent");
                assert_eq!(&taken.buffer[taken.payload], expected, "{id:?}");
                self.spare = taken.buffer;
            }
            self.shown.push(id.0);
        }
    }

    /// Pictures without losses until both sides go over windows.
    fn settled(places: usize) -> Self {
        let mut pair = Self::new(places);
        for _ in 0..6 {
            pair.send(35, 4, |_| false);
        }
        pair
    }
}

#[test]
fn burst_in_one_picture_is_restored_from_the_parity_of_three_more() {
    // A desktop's five places and more.
    for places in [5, 8] {
        for first in [0, 10, 19, 22] {
            let mut pair = Pair::settled(places);
            // Sixteen of data, or of data and parity: all that four pictures' parity makes up for.
            pair.send(35, 4, |shard| (first..first + 16).contains(&shard));
            for _ in 0..6 {
                pair.send(35, 4, |_| false);
            }
            assert_eq!(pair.shown, (1..=13).collect::<Vec<_>>(), "{places} places, from {first}");
            assert_eq!((pair.receiver.lost, pair.receiver.repaired_count), (0, 1));
        }
    }
}

#[test]
fn burst_over_the_border_of_two_pictures_is_restored() {
    for places in [5, 8] {
        let mut pair = Pair::settled(places);
        pair.send(35, 4, |shard| shard >= 32);
        pair.send(35, 4, |shard| shard < 5);
        for _ in 0..6 {
            pair.send(35, 4, |_| false);
        }
        assert_eq!(pair.shown, (1..=14).collect::<Vec<_>>(), "{places} places");
    }
}

#[test]
fn small_picture_that_is_lost_whole_is_restored() {
    let mut pair = Pair::new(5);
    for _ in 0..6 {
        pair.send(3, 1, |_| false);
    }
    pair.send(3, 1, |_| true);
    for _ in 0..5 {
        pair.send(3, 1, |_| false);
    }
    assert_eq!(pair.shown, (1..=12).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_restored_is_given_up_in_time() {
    let mut pair = Pair::settled(5);
    pair.send(35, 4, |shard| shard < 17);
    for _ in 0..6 {
        pair.send(35, 4, |_| false);
    }
    assert_eq!(pair.shown, (1..=6).collect::<Vec<_>>());
    assert!(pair.receiver.repair_now().is_some(), "it asks to be led back");
}

#[test]
fn without_a_window_nothing_is_kept() {
    let mut pair = Pair::new(5);
    for _ in 0..6 {
        pair.send(200, 4, |_| false);
    }
    assert_eq!(pair.shown.len(), 6);
    assert!(pair.slots.iter().all(|slot| slot.state == State::Free));
}

proptest! {
    #[test]
    fn whatever_is_lost_what_is_shown_is_right(
        places in 2usize..9,
        sizes in vec((2usize..50, 0usize..9, vec(0usize..58, 0..14)), 1..24),
    ) {
        let mut pair = Pair::new(places);
        for (data_shards, parity, lost) in sizes {
            pair.send(data_shards, parity, |shard| lost.contains(&shard));
        }
        prop_assert!(pair.shown.is_sorted());
    }
}
