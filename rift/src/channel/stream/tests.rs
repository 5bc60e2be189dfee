//! A stream against its model: what is read is what was written, from the front, whatever the network does between
//! (SPEC §14.1–§14.3).

extern crate std;

use std::vec::Vec;

use proptest::prelude::*;

use crate::profile::Full;

use super::Stream;
use crate::time::Instant;
use crate::wire::stream::{Channel, StreamAcknowledged, StreamPart};
use crate::wire::{Frame, FrameType, Frames, Writer};

const RING: usize = 512;
const TIMEOUT_US: u64 = 50_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Read(usize),
    /// Both sides send what is due, with room for so many bytes of parts.
    Send(usize),
    /// The datagram at this place arrives, to the peer or back, perhaps to come again.
    Deliver(usize, bool),
    /// It is lost; whether its sender is told.
    Lose(usize, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..400usize).prop_map(Step::Write),
        2 => (1..400usize).prop_map(Step::Read),
        4 => (1..200usize).prop_map(Step::Send),
        6 => (0..8usize, any::<bool>()).prop_map(|(which, again)| Step::Deliver(which, again)),
        2 => (0..8usize, any::<bool>()).prop_map(|(which, told)| Step::Lose(which, told)),
        1 => (0..60_000u64).prop_map(Step::Pass),
    ]
}

struct Play {
    sender: Stream<Full>,
    receiver: Stream<Full>,
    rings: [Vec<u8>; 2],
    now: Instant,
    on_way: Vec<Vec<u8>>,
    written: Vec<u8>,
    read: Vec<u8>,
}

impl Play {
    fn new() -> Self {
        Self {
            sender: Stream::new(),
            receiver: Stream::new(),
            rings: [std::vec![0; RING], std::vec![0; RING]],
            now: Instant::from_millis(1000),
            on_way: Vec::new(),
            written: Vec::new(),
            read: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(len) => {
                let bytes: Vec<u8> = (0..len).map(|at| ((self.written.len() + at) % 251) as u8).collect();
                let count = self.sender.write(&mut self.rings[0], &bytes);
                self.written.extend_from_slice(&bytes[..count]);
                assert!(self.sender.unacknowledged_len() <= RING, "no more than the ring holds");
            }
            Step::Read(len) => {
                let mut out = std::vec![0; len];
                let count = self.receiver.read(&self.rings[1], &mut out);
                self.read.extend_from_slice(&out[..count]);
                assert!(self.written.starts_with(&self.read), "each byte once, in order, as it was written");
            }
            Step::Send(part_max) => self.send(part_max),
            Step::Deliver(which, again) if which < self.on_way.len() => {
                let datagram = if again { self.on_way[which].clone() } else { self.on_way.remove(which) };
                self.deliver(&datagram);
            }
            Step::Lose(which, told) if which < self.on_way.len() => {
                let datagram = self.on_way.remove(which);
                if told && Frames::new(&datagram).any(|frame| frame.frame_type == FrameType::Stream) {
                    self.sender.on_lost(self.now, TIMEOUT_US / 2);
                }
            }
            Step::Deliver(..) | Step::Lose(..) => {}
            Step::Pass(micros) => self.now = self.now.plus_micros(micros),
        }
    }

    fn send(&mut self, part_max: usize) {
        for _ in 0..4 {
            let mut out = [0; 700];
            let mut writer = Writer::new(&mut out);
            let ring = &self.rings[0];
            if self.sender.is_due(self.now) {
                let emitted =
                    self.sender.emit(Channel::File, ring, self.now, TIMEOUT_US, part_max, &mut writer);
                assert!(emitted.is_some(), "what is due leaves");
            }
            let _ = self.receiver.emit_acknowledged(Channel::File, RING, &mut writer);
            let len = writer.len();
            if len > 0 {
                self.on_way.push(out[..len].to_vec());
            }
        }
        assert!(self.on_way.len() < 10_000);
    }

    fn deliver(&mut self, datagram: &[u8]) {
        for Frame { frame_type, body } in Frames::new(datagram) {
            if frame_type == FrameType::Stream {
                let part = StreamPart::parse(body).expect("an honest part");
                self.receiver.on_part(&mut self.rings[1], &part);
            } else {
                let message = StreamAcknowledged::parse(body).expect("an honest acknowledgement");
                self.sender.on_acknowledged(self.now, TIMEOUT_US, &message);
            }
            assert!(self.receiver.readable_len() <= RING, "no more than the ring holds");
        }
    }

    /// Nothing is lost any more: everything arrives, and nothing is due for ever.
    fn recover(&mut self) {
        for _ in 0..2000 {
            self.step(Step::Read(RING));
            self.send(200);
            if self.on_way.is_empty() {
                if self.read.len() == self.written.len() && self.sender.unacknowledged_len() == 0 {
                    return;
                }
                self.now = self.now.plus_micros(16 * TIMEOUT_US);
            }
            for datagram in core::mem::take(&mut self.on_way) {
                self.deliver(&datagram);
            }
        }
        panic!("stuck at {} of {} bytes", self.read.len(), self.written.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes_come_once_and_in_order_whatever_happens_to_datagrams(steps in prop::collection::vec(step(), 1..300)) {
        let mut play = Play::new();
        for step in steps {
            play.step(step);
        }
        play.recover();
        prop_assert_eq!(play.read, play.written);
    }

    #[test]
    fn lying_peer_moves_nothing_it_was_not_sent(
        lies in prop::collection::vec((any::<u32>(), any::<u32>(), prop::collection::vec(any::<(u32, u32)>(), 0..8)), 1..40),
        parts in prop::collection::vec((0..2000u32, 0..600usize), 0..40),
    ) {
        let mut play = Play::new();
        play.step(Step::Write(300));
        play.send(64);
        for (next, limit, beyond) in lies {
            let beyond = beyond.into_iter().collect();
            play.sender.on_acknowledged(play.now, TIMEOUT_US, &StreamAcknowledged { channel: Channel::File, next, limit, beyond });
            play.sender.on_lost(play.now, 1);
            play.send(64);
            play.now = play.now.plus_micros(1000);
            prop_assert!(play.sender.unacknowledged_len() <= RING);
        }
        for (offset, len) in parts {
            let data = std::vec![7; len];
            play.receiver.on_part(&mut play.rings[1], &StreamPart { channel: Channel::File, offset, data: &data });
            prop_assert!(play.receiver.readable_len() <= RING);
        }
    }
}

#[test]
fn lost_credit_is_asked_for_and_a_reader_who_sleeps_is_asked_seldom() {
    let mut play = Play::new();
    play.step(Step::Write(RING));
    let mut asked = 0;
    // Everything arrives but what comes back: the first 64 bytes are taken, nobody hears that more is welcome.
    for _ in 0..600 {
        play.send(200);
        let (to_receiver, back): (Vec<_>, Vec<_>) = core::mem::take(&mut play.on_way)
            .into_iter()
            .partition(|datagram| Frames::new(datagram).all(|frame| frame.frame_type == FrameType::Stream));
        asked += to_receiver.iter().filter(|datagram| datagram.len() < 10).count();
        to_receiver.iter().for_each(|datagram| play.deliver(datagram));
        // Only how far it has got, not how far it may go.
        for datagram in back {
            let body = Frames::new(&datagram).next().expect("one frame").body;
            let message = StreamAcknowledged::parse(body).expect("an honest acknowledgement");
            play.sender.on_acknowledged(play.now, TIMEOUT_US, &StreamAcknowledged { limit: 64, ..message });
        }
        play.now = play.now.plus_micros(10_000);
    }
    assert!((5..20).contains(&asked), "asked {asked} times in 6 s");
    play.recover();
    assert_eq!(play.read, play.written);
}

#[test]
fn only_what_is_missing_is_sent_again() {
    let mut play = Play::new();
    // The first acknowledgement opens the window.
    play.step(Step::Write(64));
    play.send(64);
    for datagram in core::mem::take(&mut play.on_way) {
        play.deliver(&datagram);
    }
    play.step(Step::Read(64));
    play.send(64);
    for datagram in core::mem::take(&mut play.on_way) {
        play.deliver(&datagram);
    }
    play.step(Step::Write(400));
    play.send(100);
    assert_eq!(play.on_way.len(), 4);
    play.on_way.remove(1);
    for datagram in core::mem::take(&mut play.on_way) {
        play.deliver(&datagram);
    }
    play.send(100);
    for datagram in core::mem::take(&mut play.on_way) {
        play.deliver(&datagram);
    }
    play.sender.on_lost(play.now, TIMEOUT_US);
    play.send(100);
    let parts: Vec<_> = play.on_way.iter().map(|datagram| datagram.len()).collect();
    assert_eq!(parts, [100 + StreamPart::HEAD_LEN + 2], "one part, not three");
    for datagram in core::mem::take(&mut play.on_way) {
        play.deliver(&datagram);
    }
    play.step(Step::Read(RING));
    assert_eq!(play.read, play.written);
}

#[test]
fn lost_part_is_sent_again_although_its_writer_never_pauses() {
    for told in [false, true] {
        let mut play = Play::new();
        // The window opens.
        for _ in 0..2 {
            play.step(Step::Write(30));
            play.step(Step::Send(30));
            play.on_way.drain(..).collect::<Vec<_>>().iter().for_each(|one| play.deliver(one));
            play.step(Step::Read(RING));
        }
        for round in 0..30 {
            play.step(Step::Write(10));
            play.send(10);
            let lost = round == 3 || (round == 5 && told);
            for datagram in core::mem::take(&mut play.on_way) {
                if !lost {
                    play.deliver(&datagram);
                }
            }
            if lost && told {
                play.sender.on_lost(play.now, TIMEOUT_US);
            }
            play.step(Step::Read(RING));
            // The next part leaves before the timer of this one runs out.
            play.step(Step::Pass(TIMEOUT_US * 4 / 5));
        }
        assert!(play.read.len() + 20 >= play.written.len(), "told {told}: stuck at {}", play.read.len());
    }
}
