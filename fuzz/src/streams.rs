//! Two honest sessions over a network that loses, repeats and reorders at will: streams, input, states and pictures
//! arrive as they were sent, each once and in order, and nothing is stuck when the network is well again
//! (SPEC §7.3, §10, §11.6, §14).

use std::collections::BTreeMap;

use rift::{
    Button, Channel, Codec, Config, CursorPosition, Ecn, Event, InputEvent, Instant, NoPictures, Permissions,
    PictureId, PictureInfo, Pictures, Rectangle, RectangleData, StreamParameters,
};

use crate::bytes::{Bytes, Noise};
use crate::pair::{self, Client, Host, PATH, START};
use crate::session_peer::event;

const STEPS_MAX: usize = 500;
/// Bytes written to each stream at most.
const STREAM_BYTES_MAX: usize = 6000;
/// Datagrams on the way at most; beyond that the oldest is lost.
const ON_WAY_MAX: usize = 64;
/// Rounds after which everything due at an instant must be done.
const STALLS_MAX: usize = 16;
/// How long the network is well in the end.
const RECOVERY_US: u64 = 12_000_000;

/// Plays two peers over a bad network; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let config = Config { idle_us: u32::MAX, ..Config::default() };
    let (client, mut host) = pair::connected(&config);
    host.admit(START, granted());
    let parameters = StreamParameters { width: 64, height: 48, rate_millihertz: 60_000, codec: Codec::H264 };
    host.set_stream(PictureId(1), parameters).expect("established");
    let mut play = Play::new(client, host);
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        play.step(&mut bytes);
        play.settle();
    }
    play.recover();
    play.must_have_arrived();
}

const fn granted() -> Permissions {
    Permissions::all()
}

/// One direction of one stream.
#[derive(Default)]
struct Flow {
    written: Vec<u8>,
    read: Vec<u8>,
}

/// What input comes to: what must be the same at both ends, whatever was merged or said twice.
#[derive(Debug, Default, PartialEq, Eq)]
struct Effect {
    /// Everything but motion, as it happened.
    text: Vec<char>,
    keys: Vec<u16>,
    buttons: u8,
    place: Option<(u16, u16)>,
    moved: (i64, i64),
    turned: (i64, i64),
    devices: Devices,
}

impl Effect {
    fn apply(&mut self, event: &InputEvent) {
        if let InputEvent::Text(character) = event {
            self.text.push(*character);
        } else if let InputEvent::Key { key, pressed } = event {
            self.keys.retain(|code| *code != key.code());
            if *pressed {
                self.keys.push(key.code());
                self.keys.sort_unstable();
            }
        } else if let InputEvent::Button { button, pressed } = event {
            let bit = 1 << button.index();
            self.buttons = if *pressed { self.buttons | bit } else { self.buttons & !bit };
        } else if let InputEvent::PointerAbsolute { x, y } = event {
            self.place = Some((*x, *y));
        } else if let InputEvent::PointerRelative { dx, dy } = event {
            self.moved = (self.moved.0 + i64::from(*dx), self.moved.1 + i64::from(*dy));
        } else if let InputEvent::Wheel { dx, dy } = event {
            self.turned = (self.turned.0 + i64::from(*dx), self.turned.1 + i64::from(*dy));
        } else {
            hold(&mut self.devices, event);
        }
    }
}

/// What is pressed or moved on gamepads and touch screens: what it is, and where.
pub(crate) type Devices = BTreeMap<(&'static str, u8, u8), (i32, i32)>;

/// Takes note of what an event of a gamepad or a touch screen does.
pub(crate) fn hold(devices: &mut Devices, event: &InputEvent) {
    if let InputEvent::GamepadDisconnected(gamepad) = event {
        devices.retain(|(kind, index, _), _| *kind == "contact" || *index != gamepad.index());
    } else if let InputEvent::GamepadButton { gamepad, button, pressed } = event {
        let what = ("button", gamepad.index(), button.index());
        if *pressed {
            devices.insert(what, (1, 0))
        } else {
            devices.remove(&what)
        };
    } else if let InputEvent::GamepadAxis { gamepad, axis, value } = event {
        let what = ("axis", gamepad.index(), axis.index());
        if *value != 0 {
            devices.insert(what, ((*value).into(), 0))
        } else {
            devices.remove(&what)
        };
    } else if let InputEvent::TouchDown { contact, x, y } | InputEvent::TouchMove { contact, x, y } = event {
        devices.insert(("contact", contact.index(), 0), ((*x).into(), (*y).into()));
    } else if let InputEvent::TouchUp(contact) = event {
        devices.remove(&("contact", contact.index(), 0));
    }
}

/// Whether an event only lets something go.
pub(crate) const fn lets_go(event: &InputEvent) -> bool {
    matches!(
        event,
        InputEvent::GamepadButton { pressed: false, .. }
            | InputEvent::GamepadAxis { value: 0, .. }
            | InputEvent::TouchUp(_)
    )
}

struct Play {
    client: Client,
    host: Host,
    pictures: Pictures<Vec<u8>, 4>,
    now: Instant,
    /// To the host (`true`) or to the client.
    on_way: Vec<(bool, Vec<u8>)>,
    /// To the host and to the client, each with all channels.
    flows: [[Flow; Channel::ALL.len()]; 2],
    done: Effect,
    injected: Effect,
    cursor: (CursorPosition, CursorPosition),
    newest: PictureId,
    /// The newest picture the session took.
    queued: PictureId,
    shown: PictureId,
    wants_key: bool,
    permissions: Permissions,
}

impl Play {
    fn new(client: Client, host: Host) -> Self {
        Self {
            client,
            host,
            pictures: Pictures::new([0; 4].map(|_: u8| vec![0; 8000])),
            now: START,
            on_way: Vec::new(),
            flows: core::array::from_fn(|_| core::array::from_fn(|_| Flow::default())),
            done: Effect::default(),
            injected: Effect::default(),
            cursor: <(CursorPosition, CursorPosition)>::default(),
            newest: PictureId(0),
            queued: PictureId(0),
            shown: PictureId(0),
            wants_key: true,
            permissions: granted(),
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(16) {
            0..=4 => self.deliver(usize::from(bytes.u8()), false),
            5 => self.deliver(0, false),
            6 => self.deliver(usize::from(bytes.u8()), true),
            7 if !self.on_way.is_empty() => {
                let index = usize::from(bytes.u8()) % self.on_way.len();
                self.on_way.remove(index);
            }
            7 | 8 => self.pass(u64::from(bytes.u8()) * 100),
            9 => self.write(bytes),
            10 => self.read(bytes.below(2 * Channel::ALL.len()), usize::from(bytes.u16()) % 700),
            11 | 12 => {
                let event = event(bytes);
                if self.client.send_input(self.now, event).is_ok() {
                    self.done.apply(&event);
                }
            }
            13 => self.point(bytes),
            14 => self.show(usize::from(bytes.u16()) % 7900, bytes.u8() < 32),
            _ => {
                let cursor = CursorPosition {
                    x: bytes.u8().into(),
                    y: 1,
                    visible: bytes.flag(),
                    shape: bytes.u8().into(),
                };
                self.host.send_cursor(self.now, cursor).expect("established");
                self.cursor.0 = cursor;
            }
        }
    }

    fn pass(&mut self, micros: u64) {
        self.now = self.now.plus_micros(micros);
        self.client.handle_timeout(self.now);
        self.host.handle_timeout(self.now);
    }

    /// A datagram arrives, perhaps to arrive again.
    fn deliver(&mut self, index: usize, again: bool) {
        if self.on_way.is_empty() {
            return;
        }
        let index = index % self.on_way.len();
        let (to_host, mut datagram) =
            if again { self.on_way[index].clone() } else { self.on_way.remove(index) };
        let result = if to_host {
            self.host.handle_datagram(self.now, PATH, self.now, Ecn::Ect1, &mut datagram)
        } else {
            self.client.handle_datagram(self.now, PATH, self.now, Ecn::Ect1, &mut datagram)
        };
        let is_fine = !matches!(result, Err(rift::Discard::Malformed | rift::Discard::Authentication));
        assert!(is_fine, "an honest datagram is {result:?}");
    }

    fn write(&mut self, bytes: &mut Bytes<'_>) {
        let (direction, channel) = (bytes.below(2), bytes.below(Channel::ALL.len()));
        let flow = &mut self.flows[direction][channel];
        let room = STREAM_BYTES_MAX.saturating_sub(flow.written.len());
        let len = (usize::from(bytes.u16()) % 700).min(room);
        let content = Noise::new(flow.written.len() as u64 + 1).bytes(len);
        let channel = Channel::ALL[channel];
        let written = if direction == 0 {
            self.client.write(self.now, channel, &content)
        } else {
            self.host.write(self.now, channel, &content)
        };
        // The client may not write before it knows that it was let in.
        if let Ok(count) = written {
            flow.written.extend_from_slice(&content[..count]);
        }
    }

    fn read(&mut self, which: usize, len: usize) {
        let (direction, channel) = (which / Channel::ALL.len(), which % Channel::ALL.len());
        let mut out = [0; 700];
        let out = &mut out[..len];
        let count = if direction == 0 {
            self.host.read(Channel::ALL[channel], out)
        } else {
            self.client.read(Channel::ALL[channel], out)
        };
        let flow = &mut self.flows[direction][channel];
        flow.read.extend_from_slice(&out[..count]);
        assert!(flow.written.starts_with(&flow.read), "a stream's bytes come once and in order");
    }

    /// Motion, as fast as a mouse reports it.
    fn point(&mut self, bytes: &mut Bytes<'_>) {
        for _ in 0..bytes.u8() {
            let event = InputEvent::PointerRelative { dx: 3, dy: -2 };
            if self.client.send_input(self.now, event).is_ok() {
                self.done.apply(&event);
            }
        }
        let event = InputEvent::Button { button: Button::LEFT, pressed: bytes.flag() };
        if self.client.send_input(self.now, event).is_ok() {
            self.done.apply(&event);
        }
    }

    fn show(&mut self, len: usize, is_key: bool) {
        let id = PictureId(self.newest.0 + 1);
        let reference = (!is_key && !self.wants_key && self.newest.0 > 0).then_some(self.newest);
        let content = Noise::new(id.0.into()).bytes(len);
        let rectangle =
            RectangleData { place: Rectangle::sized(64, 48), codec: Codec::H264, parts: &[&content] };
        let info = PictureInfo { id, reference, captured_at: self.now, encoded_at: self.now };
        let picture = self.pictures.push(&info, &[rectangle]).expect("it fits");
        self.newest = id;
        self.wants_key = self.host.send_picture(self.now, picture).is_err();
        if !self.wants_key {
            self.queued = id;
        }
    }

    /// Lets both sides send and say what is due now.
    fn settle(&mut self) {
        let mut out = [0; 4096];
        while let Some(sent) = self.client.poll_transmit(self.now, &NoPictures, &mut out) {
            self.on_way.push((true, out[..sent.len].to_vec()));
        }
        while let Some(sent) = self.host.poll_transmit(self.now, &self.pictures, &mut out) {
            let segment = sent.segment.map_or(sent.len, usize::from);
            self.on_way.extend(out[..sent.len].chunks(segment).map(|one| (false, one.to_vec())));
        }
        let excess = self.on_way.len().saturating_sub(ON_WAY_MAX);
        self.on_way.drain(..excess);
        while let Some(event) = self.host.poll_event() {
            if let Event::Input(event) = event {
                self.injected.apply(&event);
            } else if let Event::RepairWanted { .. } = event {
                self.wants_key = true;
            } else {
                assert!(!matches!(event, Event::Closed(_)), "nobody closed it");
            }
        }
        assert!(self.done.text.starts_with(&self.injected.text), "text comes once and in order");
        while let Some(event) = self.client.poll_event() {
            if let Event::Picture(id) = event {
                self.look(id);
            } else if let Event::Cursor(cursor) = event {
                self.cursor.1 = cursor;
            } else {
                assert!(!matches!(event, Event::Closed(_)), "nobody closed it");
            }
        }
    }

    fn look(&mut self, id: PictureId) {
        assert!(id > self.shown && id <= self.queued, "pictures come in order");
        self.shown = id;
        let media = self.client.media(id).expect("an announced picture is lent");
        let content = Noise::new(id.0.into()).bytes(media.payload.len());
        assert!(media.payload == content, "a picture arrives as it was sent");
        self.client.release_media(id);
    }

    /// The network is well: everything arrives in order after a millisecond, and applications read.
    fn recover(&mut self) {
        let end = self.now.plus_micros(RECOVERY_US);
        let (mut has_shown, mut stalls) = (false, 0);
        while self.now < end {
            self.settle();
            for which in 0..2 * Channel::ALL.len() {
                self.read(which, 700);
            }
            if !self.on_way.is_empty() {
                self.pass(1000);
                for (to_host, datagram) in core::mem::take(&mut self.on_way) {
                    self.on_way.insert(0, (to_host, datagram));
                    self.deliver(0, false);
                }
                continue;
            }
            let timers = [self.client.poll_timeout(), self.host.poll_timeout()];
            let due = timers.into_iter().flatten().map(|(due, _)| due).min().expect("sessions live");
            // Half-way everything old is settled; then one more picture must come through.
            if !has_shown && self.now.plus_micros(RECOVERY_US / 2) >= end {
                has_shown = true;
                self.show(2000, true);
            }
            stalls = if due > self.now { 0 } else { stalls + 1 };
            assert!(stalls < STALLS_MAX, "{timers:?} is due for ever");
            // Pacing rounds to microseconds: it may be due now and yet let nothing leave.
            let least = u64::from(self.host.video_backlog_bytes() > 0);
            self.pass(due.micros_since(self.now).max(least));
        }
    }

    fn must_have_arrived(&self) {
        for flow in self.flows.iter().flatten() {
            assert_eq!(flow.written.len(), flow.read.len(), "a stream is stuck");
        }
        assert_eq!(self.done, self.injected, "what was done and what was injected");
        assert_eq!(self.client.input_backlog(), 0, "input is acknowledged");
        assert_eq!(self.cursor.0, self.cursor.1, "the cursor is where it was left");
        assert_eq!(self.client.permissions(), Some(self.permissions), "permissions arrive");
        assert_eq!(self.shown, self.queued, "the last picture is shown");
    }
}
