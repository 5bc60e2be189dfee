//! Two who pair, and somebody between them who has every datagram and the session's keys: loses, repeats, changes and
//! makes up what he likes, but does not know the PIN. Nobody is paired who has not tried the PIN that the other tried
//! (SPEC §8.5–§8.8).

use rift::crypto::Side;
use rift::limits::PAIRING_US;
use rift::wire::{FrameType, Frames};
use rift::{CloseReason, Config, Ecn, Event, Instant, Memory, NoPictures, PairingWindow, Pin, Session};

use crate::bytes::Bytes;
use crate::known::{CLIENT, HOST, Known};
use crate::messages;
use crate::pair::{Attacker, Client, Host, PATH, START, strangers};

/// Datagrams on their way at most: what the attacker does not let through is lost then.
const WIRE_MAX: usize = 32;
/// Messages of a pairing that the attacker remembers.
const SAID_MAX: usize = 16;
/// What a session may want at one instant.
const ROUNDS_MAX: usize = 64;
const STEPS_MAX: usize = 200;
const PINS: [&str; 2] = ["314159", "271828"];

/// What one side has done and been told.
#[derive(Debug, Default)]
struct Party {
    tried: Option<usize>,
    paired: bool,
    closed: Option<CloseReason>,
}

struct Table {
    client: Client,
    host: Host,
    /// The attacker's hold on the client and on the host.
    holds: [Attacker; 2],
    /// Client, host.
    parties: [Party; 2],
    /// Whether to the host, and the datagram.
    wire: Vec<(bool, Vec<u8>)>,
    said: Vec<Vec<u8>>,
    now: Instant,
}

/// Tells the story that the bytes decide; see the module.
pub fn run(data: &[u8]) {
    let _ = story(data);
}

/// The story, and what became of the client and of the host.
fn story(data: &[u8]) -> [Party; 2] {
    let (client, host) = strangers(&Config::default());
    let holds = [
        Attacker::of(Side::Initiator, client.connection()),
        Attacker::of(Side::Responder, host.connection()),
    ];
    let (parties, wire, said) = (Default::default(), Vec::new(), Vec::new());
    let mut table = Table { client, host, holds, parties, wire, said, now: START };
    let mut bytes = Bytes::new(data);
    table.settle();
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        table.step(&mut bytes);
        table.settle();
    }
    table.wait(PAIRING_US + 1_000_000);
    for (party, is_established) in
        table.parties.iter().zip([table.client.is_established(), table.host.is_established()])
    {
        assert!(!is_established && party.closed.is_some(), "a session for pairing ends: {party:?}");
    }
    table.parties
}

impl Table {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(9) {
            side @ 0..=1 => self.try_pin(side, bytes.below(2), bytes.u8()),
            2 => {
                if let Some(index) = self.pick(bytes) {
                    let (to_host, datagram) = self.wire.remove(index);
                    self.deliver(to_host, datagram);
                }
            }
            3 => {
                if let Some(index) = self.pick(bytes) {
                    let (to_host, datagram) = self.wire[index].clone();
                    self.deliver(to_host, datagram);
                }
            }
            4 => {
                if let Some(index) = self.pick(bytes) {
                    self.wire.remove(index);
                }
            }
            5 => {
                if let Some(index) = self.pick(bytes) {
                    let (to_host, mut datagram) = self.wire[index].clone();
                    let at = usize::from(bytes.u8()) % datagram.len();
                    datagram[at] ^= 1 << bytes.below(8);
                    self.deliver(to_host, datagram);
                }
            }
            6 => self.wait(u64::from(bytes.u8()) * 10_000),
            _ => self.make_up(bytes),
        }
    }

    fn pick(&self, bytes: &mut Bytes<'_>) -> Option<usize> {
        let index = usize::from(bytes.u8());
        (!self.wire.is_empty()).then(|| index % self.wire.len())
    }

    fn try_pin(&mut self, side: usize, pin: usize, entropy: u8) {
        let mut window = PairingWindow::new();
        window.open(self.now, Pin::parse(PINS[pin]).expect("digits")).expect("a new window opens");
        let guess = window.guess(self.now).expect("it is open");
        let outcome = if side == 0 {
            self.client.pair(self.now, &CLIENT, guess, [entropy; 32])
        } else {
            self.host.pair(self.now, &HOST, guess, [entropy; 32])
        };
        if outcome.is_ok() {
            assert_eq!(self.parties[side].tried, None, "a session tries once");
            self.parties[side].tried = Some(pin);
        }
    }

    /// Something sealed with the session's own keys: what was said before, changed perhaps, or anything.
    fn make_up(&mut self, bytes: &mut Bytes<'_>) {
        let to_host = bytes.flag();
        let mut code = FrameType::Pairing.code();
        let body = match bytes.below(4) {
            0 | 1 if !self.said.is_empty() => {
                let mut body = self.said[usize::from(bytes.u8()) % self.said.len()].clone();
                if bytes.flag() {
                    let at = bytes.below(body.len());
                    body[at] ^= bytes.u8();
                }
                body
            }
            2 => [&[bytes.u8() % 3], bytes.run(40)].concat(),
            _ => {
                code = bytes.u8() & 0x7f;
                bytes.run(64).to_vec()
            }
        };
        let mut frames = Vec::new();
        messages::last_frame(&mut frames, code, &body);
        let number = 100 + u64::from(bytes.u8());
        let datagram = self.holds[usize::from(to_host)].seal(number, &frames);
        self.deliver(to_host, datagram);
    }

    fn deliver(&mut self, to_host: bool, mut datagram: Vec<u8>) {
        let now = self.now;
        // Whether it is taken is the session's to say.
        let _ = if to_host {
            self.host.handle_datagram(now, PATH, now, Ecn::NotEct, &mut datagram)
        } else {
            self.client.handle_datagram(now, PATH, now, Ecn::NotEct, &mut datagram)
        };
    }

    /// Lets time pass, from one deadline to the next.
    fn wait(&mut self, micros: u64) {
        let end = self.now.plus_micros(micros);
        for _ in 0..100_000 {
            let dues = [self.client.poll_timeout(), self.host.poll_timeout()];
            let due = dues.into_iter().flatten().map(|(due, _)| due).min();
            let Some(due) = due.filter(|&due| due <= end) else { break };
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
            self.host.handle_timeout(self.now);
            self.settle();
        }
        self.now = self.now.max(end);
        self.settle();
    }

    fn settle(&mut self) {
        let Self { client, host, holds, wire, said, .. } = self;
        let [of_client, of_host] = holds;
        let events = [
            settle(client, self.now, of_client, |datagram, body| note(wire, said, true, datagram, body)),
            settle(host, self.now, of_host, |datagram, body| note(wire, said, false, datagram, body)),
        ];
        for (side, events) in events.into_iter().enumerate() {
            for event in events {
                self.on_event(side, &event);
            }
        }
        assert_eq!((self.client.permissions(), self.host.permissions()), (None, None), "nobody is let in");
    }

    fn on_event(&mut self, side: usize, event: &Event) {
        let other = self.parties[1 - side].tried;
        let party = &mut self.parties[side];
        assert!(party.closed.is_none(), "{event:?} after the last event");
        if let Event::Paired(peer) = event {
            assert_eq!(*peer, [HOST, CLIENT][side], "paired with somebody else");
            assert!(!party.paired, "paired twice");
            assert!(party.tried.is_some() && party.tried == other, "paired with who did not know the PIN");
            party.paired = true;
        } else if let Event::Closed(reason) = event {
            party.closed = Some(*reason);
        } else {
            let is_expected = matches!(event, Event::Authenticated(_) | Event::EntropyWanted)
                || side == 1 && *event == Event::PairingRequested;
            assert!(is_expected, "{event:?} in a session for pairing");
        }
    }
}

/// Notes what a session sent.
fn note(
    wire: &mut Vec<(bool, Vec<u8>)>,
    said: &mut Vec<Vec<u8>>,
    to_host: bool,
    datagram: &[u8],
    body: Option<&[u8]>,
) {
    if wire.len() < WIRE_MAX {
        wire.push((to_host, datagram.to_vec()));
    }
    if let Some(body) = body.filter(|_| said.len() < SAID_MAX) {
        said.push(body.to_vec());
    }
}

/// Runs a session's loop at one instant; what happened.
fn settle<M: Memory>(
    session: &mut Session<M, Known>,
    now: Instant,
    hold: &mut Attacker,
    mut sent: impl FnMut(&[u8], Option<&[u8]>),
) -> Vec<Event> {
    let (mut events, mut out) = (Vec::new(), [0; 4096]);
    for _ in 0..ROUNDS_MAX {
        let mut is_quiet = true;
        while let Some(transmit) = session.poll_transmit(now, &NoPictures, &mut out) {
            let datagram = out[..transmit.len].to_vec();
            if datagram[0] == 0x12 {
                sent(&datagram, None);
                continue;
            }
            let mut opened = datagram.clone();
            let mut body = None;
            for frame in Frames::new(hold.open(&mut opened)) {
                let may_be = matches!(
                    frame.frame_type,
                    FrameType::Padding
                        | FrameType::ClockRequest
                        | FrameType::ClockReply
                        | FrameType::Feedback
                        | FrameType::Close
                        | FrameType::Pairing
                );
                assert!(may_be, "{:?} in a session for pairing", frame.frame_type);
                body = body.or((frame.frame_type == FrameType::Pairing).then(|| frame.body.to_vec()));
            }
            sent(&datagram, body.as_deref());
            is_quiet = false;
        }
        while let Some(event) = session.poll_event() {
            events.push(event);
            is_quiet = false;
        }
        match session.poll_timeout() {
            Some((due, _)) if due <= now => session.handle_timeout(now),
            _ if is_quiet => return events,
            _ => {}
        }
    }
    panic!("{:?} stays due though everything was done", session.poll_timeout());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_go_to_the_end_of_a_pairing() {
        let mut seeds = crate::seeds::all().into_iter().filter(|(surface, _, _)| *surface == "pairing");
        let (_, name, agreed) = seeds.next().expect("a seed");
        assert!(story(&agreed).iter().all(|party| party.paired), "{name}");
        let (_, name, wrong) = seeds.next().expect("a seed");
        let ends = story(&wrong).map(|party| (party.paired, party.closed));
        assert_eq!(ends, [(false, Some(CloseReason::WrongPin)); 2], "{name}");
    }
}
