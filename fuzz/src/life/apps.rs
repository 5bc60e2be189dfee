//! What the two applications do, and what they have to hear of each other.

use rift::paths::SignalLine;
use rift::wire::signal::{Signal, SignalReason};
use rift::{
    AddressToken, Audio, Capabilities, CaptureCondition, CaptureState, Channel, CloseReason, Codec, Colours,
    CursorPosition, Event, Gamepad, Identity, InputEvent, InputTrace, Instant, Permissions, PictureId,
    PictureInfo, Pictures, PublicKey, Rectangle, RectangleData, Rumble, SendError, SignalDescription,
    StreamParameters,
};

use super::{Client, Host};
use crate::bytes::{Bytes, Noise};
use crate::session_peer::event;

/// Streams but that of control, which carries signals here.
const STREAMS: [Channel; 3] = [Channel::Cursor, Channel::Clipboard, Channel::File];
/// Bytes written to each at most.
const STREAM_BYTES_MAX: usize = 12_000;
/// Letters that are typed at most.
const TYPED_MAX: usize = 400;
const RATE_MILLIHERTZ: u32 = 60_000;

#[derive(Default)]
struct Flow {
    written: Vec<u8>,
    read: Vec<u8>,
}

/// One direction of what is said and heard.
#[derive(Default)]
struct Way {
    flows: [Flow; STREAMS.len()],
    line: SignalLine,
    said: u16,
    heard: u16,
    sounds: u32,
    /// The number of the next packet of sound, once one was heard.
    awaited: Option<u32>,
}

/// Both applications; see the module.
#[derive(Default)]
pub(super) struct Apps {
    /// To the host and to the client.
    ways: [Way; 2],
    typed: Vec<char>,
    taken: Vec<char>,
    newest: PictureId,
    /// The newest picture the session took.
    queued: PictureId,
    shown: PictureId,
    wants_key: bool,
    holds: Option<PictureId>,
    traces: Vec<InputTrace>,
    told: Vec<Capabilities>,
    reports: Vec<(PictureId, Vec<u8>)>,
    states: Vec<CaptureState>,
    wishes: Vec<Rumble>,
    keys: Vec<PublicKey>,
    /// Whether all was permitted all the time.
    was_limited: bool,
    closed: [Option<CloseReason>; 2],
}

impl Apps {
    pub(super) const fn closed(&self) -> [Option<CloseReason>; 2] {
        self.closed
    }

    /// A host's session begins: it lets its client in.
    pub(super) fn begin(&mut self, now: Instant, host: &mut Host) {
        *self = Self { told: core::mem::take(&mut self.told), wants_key: true, ..Self::default() };
        host.admit(now, Permissions::all());
        let parameters =
            StreamParameters { width: 64, height: 48, rate_millihertz: RATE_MILLIHERTZ, codec: Codec::H264 };
        host.set_stream(PictureId(1), parameters).expect("established");
    }

    pub(super) fn permit(&mut self, now: Instant, host: &mut Host, permissions: Permissions) {
        host.admit(now, permissions);
        self.was_limited |= permissions != Permissions::all();
    }

    pub(super) fn type_one(&mut self, now: Instant, client: &mut Client) {
        let letter = char::from(b'a' + u8::try_from(self.typed.len() % 26).expect("a letter"));
        if self.typed.len() < TYPED_MAX && client.send_input(now, InputEvent::Text(letter)).is_ok() {
            self.typed.push(letter);
        }
    }

    /// The client's application does something.
    pub(super) fn client(&mut self, now: Instant, client: &mut Client, bytes: &mut Bytes<'_>) {
        match bytes.below(11) {
            0 => self.type_one(now, client),
            1 => {
                let event = event(bytes);
                if !matches!(event, InputEvent::Text(_)) {
                    let _ = client.send_input(now, event);
                }
            }
            2 => drop(client.release_input(now)),
            3 => self.describe(client, bytes),
            4 => {
                let (after, wrong) = (PictureId(bytes.u8().into()), bytes.run(250).to_vec());
                let result = client.report_tiles(after, &wrong);
                assert!(!wrong.is_empty() || result.is_err(), "an empty report says nothing");
                self.reports.push((after, wrong));
            }
            5 => self.sound(0, bytes.u8(), |packet| client.send_audio(now, packet)),
            6 => client.want_repair(now),
            7 => {
                let (stream, len) = (bytes.below(STREAMS.len()), usize::from(bytes.u16()) % 1500);
                self.write(0, stream, len, |channel, content| client.write(now, channel, content));
            }
            8 => {
                self.say(0);
                self.ways[0].line.write(now, client);
            }
            9 => self.give_back(client),
            _ if bytes.u8() < 16 => client.close(now, CloseReason::Done),
            _ => drop(client.send_cursor(now, CursorPosition::default())),
        }
    }

    /// The client says what it can show; not everything may be said.
    fn describe(&mut self, client: &mut Client, bytes: &mut Bytes<'_>) {
        let all = [Codec::Tiles, Codec::H264, Codec::Jpeg, Codec::Tiles];
        let mut told = Capabilities::of(&all[..bytes.below(5)]);
        assert!(told.codecs.iter().all(|&codec| told.can(codec)), "it can what it says");
        let shape = bytes.u8();
        told.colours = Colours { rgb888: shape & 1 == 0, rgb565: shape & 2 == 0 };
        (told.width_max, told.picture_len_max) = (bytes.u16(), bytes.u32());
        if client.set_capabilities(told.clone()).is_ok() {
            assert_eq!(client.capabilities(), Some(&told), "what was said");
            self.told.push(told);
        }
    }

    fn give_back(&mut self, client: &mut Client) {
        if let Some(id) = self.holds.take() {
            let taken =
                client.swap_media(id, vec![0; super::PICTURE_MAX]).expect("a lent picture stays lent");
            assert_eq!(taken.buffer.len(), super::PICTURE_MAX, "a buffer for a buffer");
            assert!(client.media(id).is_none(), "it was taken");
        }
    }

    /// The host's application does something.
    pub(super) fn host(
        &mut self,
        now: Instant,
        host: &mut Host,
        pictures: &mut Pictures<Vec<u8>, 4>,
        token: AddressToken,
        bytes: &mut Bytes<'_>,
    ) {
        // What has ended takes nothing more.
        if self.closed[0].is_some() {
            return;
        }
        match bytes.below(13) {
            0 => self.show(now, host, pictures, usize::from(bytes.u16()) % 11_000),
            1 => {
                let gamepad = Gamepad::new(bytes.u8() % 4).expect("one of four");
                let rumble = Rumble { gamepad, strong: bytes.u16(), weak: 7, millis: bytes.u16() };
                if host.send_rumble(now, rumble).is_ok() {
                    self.wishes.push(Rumble { millis: rumble.millis.min(Rumble::MILLIS_MAX), ..rumble });
                }
            }
            2 => {
                let condition = CaptureCondition::of(bytes.u8() % 8).expect("one of eight");
                let signal = SignalDescription::new(&String::from_utf8_lossy(bytes.run(60)));
                let state = CaptureState { condition, since: now, signal };
                host.send_capture_state(now, state).expect("established");
                assert_eq!(host.capture_state(), Some(state), "what was said");
                self.states.push(state);
            }
            3 => self.sound(1, bytes.u8(), |packet| host.send_audio(now, packet)),
            4 => host.input_injected(now),
            5 => {
                let (stream, len) = (bytes.below(STREAMS.len()), usize::from(bytes.u16()) % 1500);
                self.write(1, stream, len, |channel, content| host.write(now, channel, content));
            }
            6 => {
                let all = Permissions::all();
                let permissions =
                    if bytes.flag() { all } else { Permissions::from_bits_truncate(bytes.u32()) };
                self.permit(now, host, permissions);
            }
            7 => host.offer_token(token),
            8 => {
                let key = Identity::from_secret([bytes.u8() % 4; 32]).public();
                host.announce_successor(key).expect("it was let in");
                self.keys.push(key);
            }
            9 => {
                let cursor = CursorPosition { x: bytes.u16(), y: 1, visible: bytes.flag(), shape: 0 };
                host.send_cursor(now, cursor).expect("established");
            }
            10 => {
                self.say(1);
                self.ways[1].line.write(now, host);
            }
            11 => self.rate(host, bytes.u32() % 250_000),
            _ if bytes.u8() < 32 => host.close(now, CloseReason::Other(bytes.u8().into())),
            _ => drop(host.release_input(now)),
        }
    }

    fn rate(&mut self, host: &mut Host, rate_millihertz: u32) {
        let parameters = StreamParameters { width: 64, height: 48, rate_millihertz, codec: Codec::Tiles };
        let _ = host.set_stream(PictureId(self.newest.0 + 1), parameters);
    }

    fn show(&mut self, now: Instant, host: &mut Host, pictures: &mut Pictures<Vec<u8>, 4>, len: usize) {
        let id = PictureId(self.newest.0 + 1);
        let reference = (!self.wants_key && self.newest.0 > 0).then_some(self.newest);
        let content = Noise::new(id.0.into()).bytes(len);
        let rectangle =
            RectangleData { place: Rectangle::sized(64, 48), codec: Codec::H264, parts: &[&content] };
        let info = PictureInfo {
            id,
            reference,
            captured_at: now.minus_micros(4_000),
            encoded_at: now.minus_micros(900),
        };
        let picture = pictures.push(&info, &[rectangle]).expect("it fits");
        assert!(picture.id() == id && !picture.is_empty(), "a picture is what was pushed");
        self.newest = id;
        self.wants_key = host.send_picture(now, picture).is_err();
        if !self.wants_key {
            self.queued = id;
        }
    }

    /// A packet of sound tells its number, and is as long as it likes.
    fn sound(&mut self, way: usize, len: u8, send: impl FnOnce(&[u8]) -> Result<(), SendError>) {
        let way = &mut self.ways[way];
        let mut packet = way.sounds.to_be_bytes().to_vec();
        packet.resize(4 + usize::from(len) * 2, 0x33);
        way.sounds += u32::from(send(&packet).is_ok());
    }

    fn say(&mut self, way: usize) {
        let way = &mut self.ways[way];
        let signal = Signal::Refused { request: way.said + 1, reason: SignalReason::Other(9) };
        way.said += u16::from(way.line.say(&signal).is_ok());
    }

    fn write(
        &mut self,
        way: usize,
        stream: usize,
        len: usize,
        write: impl FnOnce(Channel, &[u8]) -> Result<usize, SendError>,
    ) {
        let flow = &mut self.ways[way].flows[stream];
        let len = len.min(STREAM_BYTES_MAX.saturating_sub(flow.written.len()));
        let content = Noise::new(flow.written.len() as u64 + 1).bytes(len);
        if let Ok(count) = write(STREAMS[stream], &content) {
            flow.written.extend_from_slice(&content[..count]);
        }
    }

    /// What applications do all the time, as far as `busy` says so.
    pub(super) fn work(
        &mut self,
        now: Instant,
        busy: u8,
        client: &mut Client,
        host: &mut Host,
        pictures: &mut Pictures<Vec<u8>, 4>,
    ) {
        let tick = now.as_micros() / 4_000;
        if busy & 1 != 0 && tick.is_multiple_of(4) {
            self.show(now, host, pictures, 300 + usize::from(busy >> 4) * 300);
        }
        if tick.is_multiple_of(32) {
            self.give_back(client);
        }
        if busy & 2 != 0 && tick.is_multiple_of(3) {
            self.sound(1, 20, |packet| host.send_audio(now, packet));
            self.sound(0, 9, |packet| client.send_audio(now, packet));
        }
        if busy & 4 != 0 && tick.is_multiple_of(5) {
            self.type_one(now, client);
            host.input_injected(now);
        }
        if busy & 8 != 0 && tick.is_multiple_of(7) {
            self.write(0, 2, 1400, |channel, content| client.write(now, channel, content));
            self.write(1, 1, 1400, |channel, content| host.write(now, channel, content));
            assert!(client.unacknowledged(Channel::File) <= 2048, "a stream's window is its ring");
        }
    }

    /// Both applications read from streams.
    pub(super) fn read(&mut self, client: &mut Client, host: &mut Host, len: usize) {
        let [to_host, to_client] = &mut self.ways;
        for (index, channel) in STREAMS.into_iter().enumerate() {
            take(&mut to_host.flows[index], len, |out| host.read(channel, out));
            take(&mut to_client.flows[index], len, |out| client.read(channel, out));
        }
        while let Some(signal) = to_host.line.hear(host) {
            to_host.heard = next_heard(&signal, to_host.heard);
        }
        while let Some(signal) = to_client.line.hear(client) {
            to_client.heard = next_heard(&signal, to_client.heard);
        }
        assert!(!to_host.line.is_broken() && !to_client.line.is_broken(), "honest signals break nothing");
    }

    /// What the client's application is told. Gives a token for the next call.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else there is to hear is looked at elsewhere")]
    pub(super) fn hear_client(&mut self, now: Instant, client: &mut Client) -> Option<AddressToken> {
        let mut token = None;
        while let Some(event) = client.poll_event() {
            assert!(self.closed[1].is_none(), "{event:?} after the last event");
            match event {
                Event::Picture(id) => self.look(now, client, id),
                Event::AddressToken(given) => token = Some(given),
                Event::Audio => self.listen(1, |out| client.read_audio(now, out)),
                Event::Rumble(rumble) => assert!(self.wishes.contains(&rumble), "nobody wished {rumble:?}"),
                Event::InputShown(trace) => self.traces.push(trace),
                Event::CaptureState(state) => {
                    let is_said = |said: &&CaptureState| {
                        (said.condition, said.signal) == (state.condition, state.signal)
                    };
                    assert!(self.states.iter().any(|said| is_said(&said)), "nobody said {state:?}");
                    assert!(state.since <= now && client.capture_state() == Some(state), "{state:?}");
                }
                Event::Successor(key) => assert!(self.keys.contains(&key), "nobody vouched for {key}"),
                Event::Writable(Channel::Control) => self.ways[0].line.write(now, client),
                Event::Admitted(_) => {
                    self.ways[0].line.write(now, client);
                    assert_eq!(client.peer(), Some(crate::known::HOST), "who let it in");
                }
                Event::Closed(reason) => self.closed[1] = Some(reason),
                _ => {}
            }
        }
        self.listen(1, |out| client.read_audio(now, out));
        let stats = client.stats(now);
        assert!(stats.pictures_delivered >= u64::from(stats.pictures_repaired > 0), "{stats:?}");
        token
    }

    /// What the host's application is told.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what else there is to hear is looked at elsewhere")]
    pub(super) fn hear_host(&mut self, now: Instant, host: &mut Host) {
        while let Some(event) = host.poll_event() {
            assert!(self.closed[0].is_none(), "{event:?} after the last event");
            match event {
                Event::Input(InputEvent::Text(letter)) => self.taken.push(letter),
                Event::RepairWanted { .. } => self.wants_key = true,
                Event::Audio => self.listen(0, |out| host.read_audio(now, out)),
                Event::Capabilities => {
                    let told = host.capabilities().expect("it was told");
                    assert!(self.told.contains(told), "nobody said {told:?}");
                }
                Event::TileReport => {
                    let (after, wrong) = host.tile_report().expect("there is one");
                    let is_said =
                        |(said, whole): &(PictureId, Vec<u8>)| *said == after && whole.starts_with(wrong);
                    assert!(self.reports.iter().any(is_said), "nobody reported {wrong:?}");
                }
                Event::Writable(Channel::Control) => self.ways[1].line.write(now, host),
                Event::Closed(reason) => self.closed[0] = Some(reason),
                _ => {}
            }
        }
        self.listen(0, |out| host.read_audio(now, out));
        let (budget, stats) = (host.budget(), host.stats(now));
        assert!(
            budget.bitrate_bps <= stats.bitrate_bps && stats.bitrate_bps <= budget.pacing_bps,
            "{budget:?}"
        );
        let mut typed = self.typed.iter();
        assert!(self.taken.iter().all(|letter| typed.any(|one| one == letter)), "letters come in order");
        assert!(self.was_limited || self.typed.starts_with(&self.taken), "text comes once and in order");
    }

    /// Every packet of sound comes once and in order, or is told to be missing.
    fn listen(&mut self, way: usize, mut read: impl FnMut(&mut [u8]) -> Option<Audio>) {
        let way = &mut self.ways[way];
        let mut out = [0; 600];
        while let Some(audio) = read(&mut out) {
            match audio {
                Audio::Packet { len, behind, along, .. } => {
                    let number = u32::from_be_bytes(out[..4].try_into().expect("4 bytes"));
                    assert!(out[4..len].iter().all(|&byte| byte == 0x33), "sound arrives as it was");
                    assert!(
                        way.awaited.is_none_or(|awaited| awaited == number),
                        "{number} is heard out of turn"
                    );
                    assert!(number < way.sounds && behind <= 3 && along <= 3, "{number} of {}", way.sounds);
                    way.awaited = Some(number + 1);
                }
                Audio::Gap { packets } => way.awaited = way.awaited.map(|awaited| awaited + packets),
            }
        }
    }

    /// A picture is shown, and what is known of its way adds up.
    fn look(&mut self, now: Instant, client: &mut Client, id: PictureId) {
        assert!(id > self.shown && id <= self.queued, "pictures come in order");
        self.shown = id;
        let media = client.media(id).expect("an announced picture is lent");
        let content = Noise::new(id.0.into()).bytes(media.payload.len());
        assert!(media.payload == content, "a picture arrives as it was sent");
        let (head, first_at, whole_at) = (media.head.clone(), media.first_at, media.whole_at);
        if let Some(picture) = client.picture_trace(now, &head, first_at, whole_at) {
            let (decoded, presented) = (now.plus_micros(2_000), now.plus_micros(9_000));
            let total = |from: Instant| presented.as_micros().cast_signed() - from.as_micros().cast_signed();
            let (stages, sum) = picture.stages(decoded, presented);
            assert!(stages.iter().sum::<i64>() == sum && sum == total(picture.captured_at), "{picture:?}");
            for trace in self.traces.iter().filter(|trace| trace.picture == id) {
                let (stages, sum) = trace.stages(&picture, decoded, presented);
                assert!(stages.iter().sum::<i64>() == sum && sum == total(trace.created_at), "{trace:?}");
            }
        }
        if id.0.is_multiple_of(5) && self.holds.is_none() {
            self.holds = Some(id);
        } else {
            client.release_media(id);
        }
    }

    /// All was well for long enough.
    pub(super) fn must_have_arrived(&self) {
        assert!(
            self.was_limited || self.typed == self.taken,
            "{:?} typed, {:?} taken",
            self.typed,
            self.taken
        );
        assert_eq!(self.typed.last(), self.taken.last(), "the last letter arrives");
        for way in self.ways.iter().filter(|_| !self.was_limited) {
            assert_eq!(way.said, way.heard, "signals are heard");
            let is_stuck = |flow: &Flow| flow.written.len() != flow.read.len();
            assert!(!way.flows.iter().any(is_stuck), "a stream is stuck");
        }
    }
}

/// Reads from a stream what was written to it.
fn take(flow: &mut Flow, len: usize, read: impl FnOnce(&mut [u8]) -> usize) {
    let mut out = vec![0; len];
    let count = read(&mut out);
    flow.read.extend_from_slice(&out[..count]);
    assert!(flow.written.starts_with(&flow.read), "a stream's bytes come once and in order");
}

fn next_heard(signal: &Signal, heard: u16) -> u16 {
    let Signal::Refused { request, .. } = signal else { panic!("nobody said {signal:?}") };
    assert_eq!(*request, heard + 1, "signals come once and in order");
    *request
}
