//! What the application and the network see of the session that is attacked, held against what was promised.

use std::collections::BTreeSet;

use rift::crypto::Side;
use rift::wire::{Frame, FrameType};
use rift::{Channel, Event, InputEvent, Instant, Memory, Permissions, PictureId, PictureStore, Session};

use crate::known::Known;
use crate::pair::Attacker;
use crate::wire;

/// Events one call may leave: what all queues hold, and the pictures.
const EVENTS_MAX: usize = 256 + 64;
/// Datagrams at one instant: a batch of shards and what is small.
const DATAGRAMS_MAX: usize = 256;
/// Rounds after which everything due at an instant must be done.
const ROUNDS_MAX: usize = 16;

/// The invariants and what they need to remember.
#[derive(Debug)]
pub(super) struct Watch {
    side: Side,
    /// Bytes of a stream's ring.
    window: usize,
    permissions: Option<Permissions>,
    keys: BTreeSet<u16>,
    buttons: BTreeSet<u8>,
    devices: crate::streams::Devices,
    is_closed: bool,
    has_parameters: bool,
    announced: Vec<PictureId>,
    lent: Vec<PictureId>,
    shown: PictureId,
    /// Whether the application forgets to give pictures back.
    pub(super) hold_pictures: bool,
    closing: bool,
}

impl Watch {
    pub(super) const fn new(side: Side, window: usize) -> Self {
        Self {
            side,
            window,
            permissions: None,
            keys: BTreeSet::new(),
            buttons: BTreeSet::new(),
            devices: crate::streams::Devices::new(),
            is_closed: false,
            has_parameters: false,
            announced: Vec::new(),
            lent: Vec::new(),
            shown: PictureId(0),
            hold_pictures: false,
            closing: false,
        }
    }

    /// The host's application lets the peer in, or changes its mind.
    pub(super) const fn admit(&mut self, permissions: Permissions, is_established: bool) {
        if is_established {
            self.permissions = Some(permissions);
        }
    }

    /// The application ends the session.
    pub(super) const fn closed_here(&mut self) {
        self.closing = true;
    }

    /// Runs the session's loop at one instant, as a driver does.
    pub(super) fn settle<M: Memory>(
        &mut self,
        session: &mut Session<M, Known>,
        now: Instant,
        pictures: &impl PictureStore,
        attacker: &mut Attacker,
    ) {
        let mut out = [0; 4096];
        let mut datagrams = 0;
        for _ in 0..ROUNDS_MAX {
            while let Some(sent) = session.poll_transmit(now, pictures, &mut out) {
                let segment = sent.segment.map_or(sent.len, usize::from);
                for datagram in out[..sent.len].chunks_mut(segment) {
                    datagrams += 1;
                    assert!(datagram.len() <= 1452, "a datagram of {} bytes", datagram.len());
                    self.on_datagram(datagram, attacker);
                }
                assert!(datagrams <= DATAGRAMS_MAX, "{datagrams} datagrams at once");
            }
            let mut events = 0;
            while let Some(event) = session.poll_event() {
                events += 1;
                assert!(events <= EVENTS_MAX, "{events} events at once");
                self.on_event(&event);
            }
            if session.wants_entropy() {
                session.add_entropy(now, [7; 32]);
            }
            match session.poll_timeout() {
                Some((due, _)) if due <= now => session.handle_timeout(now),
                _ => return,
            }
        }
        panic!("{:?} stays due though everything was done", session.poll_timeout());
    }

    fn on_datagram(&self, datagram: &mut [u8], attacker: &mut Attacker) {
        // A confirmation that nobody answers, and the initiation with it (SPEC §4.5).
        if matches!(datagram.first(), Some(0x10 | 0x12)) {
            return;
        }
        let text = attacker.open(datagram);
        let mut frames = rift::wire::Frames::new(text);
        for frame in frames.by_ref() {
            wire::must_be_sound(&frame);
            self.must_be_allowed(&frame);
        }
        assert!(!frames.is_malformed(), "a session sends whole frames");
    }

    /// What a session sends, it may (SPEC §6.1, §7.4, §8.3).
    fn must_be_allowed(&self, frame: &Frame<'_>) {
        let is_host = self.side == Side::Responder;
        let is_viewed = self.permissions.is_some_and(|granted| granted.contains(Permissions::VIEW));
        let fine = match frame.frame_type {
            FrameType::Padding
            | FrameType::ClockRequest
            | FrameType::ClockReply
            | FrameType::Feedback
            | FrameType::Close
            | FrameType::StreamAcknowledged => true,
            FrameType::PathChallenge | FrameType::PathResponse | FrameType::NewConnection => true,
            // These sessions take no longer datagrams than every path carries.
            FrameType::DatagramLimit | FrameType::MtuProbe => false,
            FrameType::PathsInUse => !is_host,
            FrameType::KeyRequest => !is_host,
            FrameType::KeyReply => is_host,
            FrameType::Admitted | FrameType::Successor => is_host && self.permissions.is_some(),
            FrameType::AddressToken => is_host,
            // Said in handshakes only.
            FrameType::Request => false,
            FrameType::Input => !is_host && self.permissions.is_some(),
            // Pictures may overtake the admission (SPEC §6.1).
            FrameType::Repair | FrameType::Capabilities => !is_host,
            FrameType::TileReport | FrameType::MoreParity | FrameType::Window => {
                !is_host && self.permissions.is_some()
            }
            FrameType::InputAcknowledged => is_host && self.permissions.is_some(),
            FrameType::Rumble => {
                is_host && self.permissions.is_some_and(|granted| granted.contains(Permissions::GAMEPAD))
            }
            FrameType::Cursor
            | FrameType::InputShown
            | FrameType::StreamParameters
            | FrameType::VideoPosition
            | FrameType::CaptureState
            | FrameType::Shard
            | FrameType::WindowShard => is_host && is_viewed,
            FrameType::Audio => {
                let right = if is_host { Permissions::AUDIO } else { Permissions::MICROPHONE };
                self.permissions.is_some_and(|granted| granted.contains(right))
            }
            FrameType::Stream => self.permissions.is_some(),
            // These sessions are of the usual kind (SPEC §8.5).
            FrameType::Pairing => false,
        };
        assert!(fine, "a session of {:?} sent {:?}, granted {:?}", self.side, frame, self.permissions);
    }

    fn on_event(&mut self, event: &Event) {
        assert!(!self.is_closed, "{event:?} after the last event");
        let is_host = self.side == Side::Responder;
        if let Event::Input(event) = event {
            assert!(is_host, "a client takes no input");
            self.on_input(event);
        } else if let Event::Admitted(permissions) = event {
            assert!(!is_host, "nobody admits a host");
            self.permissions = Some(*permissions);
        } else if let Event::StreamParameters(parameters) = event {
            assert!(!is_host && parameters.width <= 16384 && parameters.height <= 16384, "SPEC §11.2");
            assert!(parameters.width > 0 && parameters.height > 0, "SPEC §11.2");
            self.has_parameters = true;
        } else if let Event::Picture(id) = event {
            assert!(!is_host && self.has_parameters, "no picture before its parameters (SPEC §11.2)");
            assert!(*id > self.shown, "pictures come in order");
            self.shown = *id;
            self.announced.push(*id);
        } else if let Event::RepairWanted { .. } = event {
            assert!(is_host && self.permissions.is_some(), "only an admitted client wants a repair");
        } else if let Event::Cursor(_) = event {
            assert!(!is_host, "a client has no cursor to tell of");
        } else if let Event::Readable(_) = event {
            assert!(self.permissions.is_some(), "no stream before admission (SPEC §6.1)");
        } else if let Event::Closed(_) = event {
            self.is_closed = true;
            self.must_hold_nothing();
        }
    }

    fn on_input(&mut self, event: &InputEvent) {
        let granted = self.permissions.expect("no input before admission (SPEC §6.1)");
        if let InputEvent::Key { key, pressed } = event {
            assert!(!pressed || granted.allow(event), "{event:?} with {granted:?}");
            if *pressed {
                self.keys.insert(key.code());
            } else {
                assert!(self.keys.remove(&key.code()) || granted.allow(event), "{event:?} with {granted:?}");
            }
        } else if let InputEvent::Button { button, pressed } = event {
            assert!(!pressed || granted.allow(event), "{event:?} with {granted:?}");
            if *pressed {
                self.buttons.insert(button.index());
            } else {
                let was_held = self.buttons.remove(&button.index());
                assert!(was_held || granted.allow(event), "{event:?} with {granted:?}");
            }
        } else {
            let was_held = !self.devices.is_empty();
            crate::streams::hold(&mut self.devices, event);
            let lets_go = was_held && crate::streams::lets_go(event);
            assert!(lets_go || granted.allow(event), "{event:?} with {granted:?}");
        }
        assert!(self.keys.len() <= 32, "at most 32 keys are held (SPEC §10.6)");
    }

    fn must_hold_nothing(&self) {
        let (keys, buttons) = (&self.keys, &self.buttons);
        assert!(keys.is_empty() && buttons.is_empty(), "left pressed: {keys:?} {buttons:?} (SPEC §6.4)");
        assert!(self.devices.is_empty(), "left pressed: {:?} (SPEC §6.4)", self.devices);
    }

    /// The application has had every chance to hear that the session is over.
    pub(super) fn must_be_over(&self) {
        assert!(self.is_closed, "the application was told that the session is over");
        self.must_hold_nothing();
    }

    /// The client's application takes its pictures.
    pub(super) fn look_at_pictures<M: Memory>(&mut self, client: &mut Session<M, Known>, now: Instant) {
        for id in core::mem::take(&mut self.announced) {
            let media = client.media(id).expect("an announced picture is lent");
            let sum: usize = media.head.rectangles.iter().map(|one| one.len as usize).sum();
            assert_eq!(sum, media.payload.len(), "a picture's rectangles are its bytes");
            assert!(media.first_at <= media.whole_at && media.whole_at <= now, "times pass");
            let _ = client.peer_time(media.head.captured_us, now);
            if self.hold_pictures {
                self.lent.push(id);
            } else {
                client.release_media(id);
                assert!(client.media(id).is_none(), "a picture given back is gone");
            }
        }
        let _ = client.clock_relation(now);
        let mut heard = 0;
        while client.read_audio(now, &mut [0; 64]).is_some() {
            heard += 1;
            assert!(heard <= 2 * 16 + 1, "a player's reading ends");
        }
        for channel in Channel::ALL {
            assert!(client.readable(channel) <= self.window, "a stream's window is its ring");
        }
    }

    /// The client's application gives back what it held.
    pub(super) fn return_pictures<M: Memory>(&mut self, client: &mut Session<M, Known>) {
        for id in self.lent.drain(..) {
            assert!(client.media(id).is_some(), "a lent picture stays lent");
            client.release_media(id);
        }
    }
}
