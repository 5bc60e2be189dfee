//! Two peers over a perfect wire: what a session is for, one behaviour a test.

use core::net::SocketAddr;

use rift::{
    Channel, CloseReason, Codec, Config, CursorPosition, Ecn, Endpoint, Event, Identity, InputEvent, Instant,
    NoPictures, Noise, Opening, PathId, Permissions, PictureId, PictureInfo, Pictures, Rectangle,
    RectangleData, Route, Scancode, Session, SessionIndex, Storage, StreamParameters,
};

type Memory = Box<Storage<Vec<u8>, 1024, 1024, 4, 4096>>;
type Peer = Session<Memory, Noise>;

const CLIENT_ADDRESS: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 1);
const ONE_WAY_US: u64 = 1_000;

fn memory() -> Memory {
    let mut storage = Box::new(Storage::new());
    for index in 0..4 {
        let _ = storage.lend(index, vec![0; 400_000]);
    }
    storage
}

struct Pair {
    now: Instant,
    client: Peer,
    host: Option<Peer>,
    endpoint: Endpoint<Noise>,
    host_identity: Identity,
    pictures: Pictures<Vec<u8>, 4>,
    /// Datagrams on their way: when they arrive, whether to the host, the bytes.
    wire: Vec<(Instant, bool, Vec<u8>)>,
    client_events: Vec<Event>,
    host_events: Vec<Event>,
}

impl Pair {
    fn new() -> Self {
        let (client_identity, host_identity) =
            (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
        let now = Instant::from_millis(1);
        let handshake = Noise::initiator(&client_identity, [3; 32], Opening::XX);
        let client = Session::connect(
            &Config::default(),
            handshake,
            host_identity.public(),
            0x1234_5678,
            memory(),
            PathId(0),
            now,
        );
        Self {
            now,
            client,
            host: None,
            endpoint: Endpoint::new(&host_identity.public(), [9; 32]),
            host_identity,
            pictures: Pictures::new([const { Vec::new() }; 4].map(|_: Vec<u8>| vec![0; 300_000])),
            wire: Vec::new(),
            client_events: Vec::new(),
            host_events: Vec::new(),
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.run(20_000);
        let now = pair.now;
        pair.host().admit(now, Permissions::default_control());
        pair.run(20_000);
        pair
    }

    fn host(&mut self) -> &mut Peer {
        self.host.as_mut().expect("the handshake is done")
    }

    fn run(&mut self, micros: u64) {
        let end = self.now.plus_micros(micros);
        let mut out = vec![0; 65_536];
        loop {
            self.exchange(&mut out);
            let wakes = [self.client.poll_timeout(), self.host.as_ref().and_then(Session::poll_timeout)];
            let wake = wakes.into_iter().flatten().map(|(due, _)| due);
            let next = wake.chain(self.wire.iter().map(|entry| entry.0)).min().unwrap_or(Instant::FAR_FUTURE);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next).max(self.now.plus_micros(1));
            self.client.handle_timeout(self.now);
            if let Some(host) = &mut self.host {
                host.handle_timeout(self.now);
            }
        }
    }

    fn exchange(&mut self, out: &mut [u8]) {
        let arrive = self.now.plus_micros(ONE_WAY_US);
        while let Some(transmit) = self.client.poll_transmit(self.now, &NoPictures, out) {
            self.wire.push((arrive, true, out[..transmit.len].to_vec()));
        }
        if let Some(host) = &mut self.host {
            while let Some(transmit) = host.poll_transmit(self.now, &self.pictures, out) {
                let segment = transmit.segment.map_or(transmit.len, usize::from);
                for datagram in out[..transmit.len].chunks(segment) {
                    self.wire.push((arrive, false, datagram.to_vec()));
                }
            }
        }
        let now = self.now;
        let (due, later) = core::mem::take(&mut self.wire).into_iter().partition(|entry| entry.0 <= now);
        self.wire = later;
        let due: Vec<_> = due;
        for (_, to_host, mut datagram) in due {
            if to_host {
                self.host_receives(&mut datagram);
            } else {
                let _ = self.client.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut datagram);
            }
        }
        while let Some(event) = self.client.poll_event() {
            self.client_events.push(event);
        }
        while let Some(event) = self.host.as_mut().and_then(Session::poll_event) {
            self.host_events.push(event);
        }
    }

    fn host_receives(&mut self, datagram: &mut [u8]) {
        let mut reply = [0; 256];
        let identity = &self.host_identity;
        let responder = |opening| Noise::responder(identity, [4; 32], opening);
        match self.endpoint.handle_datagram(self.now, CLIENT_ADDRESS, datagram, responder, &mut reply) {
            Ok(Route::Session(_)) => {
                let now = self.now;
                let _ = self.host().handle_datagram(now, PathId(0), now, Ecn::NotEct, datagram);
            }
            Ok(Route::Reply(len)) => {
                self.wire.push((self.now.plus_micros(ONE_WAY_US), false, reply[..len].to_vec()));
            }
            Ok(Route::Established(established)) => {
                assert!(self.endpoint.adopt(established.connection(), SessionIndex(0)));
                let config = Config::default();
                self.host =
                    Some(Session::from_established(&config, established, memory(), PathId(0), self.now));
            }
            Err(_) => {}
        }
    }

    fn start_stream(&mut self) {
        let parameters =
            StreamParameters { width: 640, height: 360, rate_millihertz: 60_000, codec: Codec::H264 };
        self.host().set_stream(PictureId(1), parameters).expect("connected");
    }

    fn send(&mut self, id: u32, reference: Option<u32>, bytes: &[u8]) -> Result<(), rift::SendError> {
        let info = PictureInfo {
            id: PictureId(id),
            reference: reference.map(PictureId),
            captured_at: self.now,
            encoded_at: self.now,
        };
        let rectangle =
            RectangleData { place: Rectangle::sized(640, 360), codec: Codec::H264, parts: &[bytes] };
        let picture = self.pictures.push(&info, &[rectangle]).expect("it fits");
        let now = self.now;
        self.host().send_picture(now, picture)
    }
}

#[test]
fn handshake_proves_both_keys_and_admission_opens_the_session() {
    let pair = Pair::connected();
    assert_eq!(pair.client_events[0], Event::Authenticated(pair.host_identity.public()));
    assert!(pair.client_events.contains(&Event::Admitted(Permissions::default_control())));
    let client = Identity::from_secret([1; 32]).public();
    assert_eq!(pair.host_events[0], Event::Authenticated(client));
    assert!(pair.host_events.contains(&Event::RepairWanted { after: None }));
}

#[test]
fn picture_arrives_whole_with_its_times() {
    let mut pair = Pair::connected();
    pair.start_stream();
    let bytes: Vec<u8> = (0..100_000u32).map(|value| (value * 7 / 3) as u8).collect();
    pair.send(1, None, &bytes).expect("room");
    pair.run(400_000);
    assert!(pair.client_events.contains(&Event::Picture(PictureId(1))));
    let media = pair.client.media(PictureId(1)).expect("lent");
    assert_eq!(media.payload, bytes);
    assert!(media.head.sent_after_us > 0);
    let captured = pair.client.peer_time(media.head.captured_us, pair.now).expect("clocks are aligned");
    assert!(captured < media.first_at);
    pair.client.release_media(PictureId(1));
    assert!(pair.client.media(PictureId(1)).is_none());
}

#[test]
fn picture_is_traded_for_an_empty_buffer() {
    let mut pair = Pair::connected();
    pair.start_stream();
    for id in 1..=20u32 {
        pair.send(id, id.checked_sub(1).filter(|&before| before > 0), &[id as u8; 5000]).expect("room");
        pair.run(20_000);
        let taken = pair.client.swap_media(PictureId(id), vec![0; 400_000]).expect("delivered");
        assert_eq!(&taken.buffer[taken.payload], &[id as u8; 5000][..]);
    }
    assert_eq!(pair.client.stats(pair.now).pictures_lost, 0);
}

#[test]
fn input_reaches_the_host_once_and_in_order() {
    let mut pair = Pair::connected();
    let key = Scancode::new(30).expect("A");
    let events = [
        InputEvent::PointerAbsolute { x: 100, y: 65535 },
        InputEvent::Key { key, pressed: true },
        InputEvent::Wheel { dx: 0, dy: -120 },
        InputEvent::Key { key, pressed: false },
        InputEvent::Text('ß'),
    ];
    for event in events {
        pair.client.send_input(pair.now, event).expect("room");
    }
    pair.run(50_000);
    let got: Vec<_> = pair
        .host_events
        .iter()
        .filter_map(|event| if let Event::Input(input) = event { Some(*input) } else { None })
        .collect();
    assert_eq!(got, events);
    assert_eq!(pair.client.input_backlog(), 0);
}

#[test]
fn stream_carries_more_than_its_window() {
    let mut pair = Pair::connected();
    let message: Vec<u8> = (0..50_000u32).map(|value| (value % 251) as u8).collect();
    let (mut written, mut got) = (0, Vec::new());
    while got.len() < message.len() {
        let now = pair.now;
        written += pair.host().write(now, Channel::Control, &message[written..]).expect("admitted");
        pair.run(5_000);
        let mut out = [0; 3000];
        let count = pair.client.read(Channel::Control, &mut out);
        got.extend_from_slice(&out[..count]);
        assert!(pair.now < Instant::from_millis(10_000), "stuck at {}", got.len());
    }
    assert_eq!(got, message);
}

#[test]
fn cursor_position_follows() {
    let mut pair = Pair::connected();
    for step in 0..50u16 {
        let now = pair.now;
        let cursor = CursorPosition { x: step, y: 2 * step, visible: true, shape: 1 };
        pair.host().send_cursor(now, cursor).expect("connected");
        pair.run(2_000);
    }
    let last = pair
        .client_events
        .iter()
        .rev()
        .find_map(|event| if let Event::Cursor(cursor) = event { Some(*cursor) } else { None });
    assert_eq!(last.map(|cursor| (cursor.x, cursor.y)), Some((49, 98)));
}

#[test]
fn goodbye_reaches_the_peer_and_releases_what_was_held() {
    let mut pair = Pair::connected();
    let key = Scancode::new(42).expect("left shift");
    pair.client.send_input(pair.now, InputEvent::Key { key, pressed: true }).expect("room");
    pair.run(10_000);
    pair.client.close(pair.now, CloseReason::Done);
    pair.run(10_000);
    assert!(pair.host_events.ends_with(&[
        Event::Input(InputEvent::Key { key, pressed: false }),
        Event::Closed(CloseReason::Done)
    ]));
    assert_eq!(pair.client_events.last(), Some(&Event::Closed(CloseReason::Local)));
    assert!(pair.client.is_closed());
}

#[test]
fn silent_client_releases_what_it_held_and_then_the_session_ends() {
    let mut pair = Pair::connected();
    let key = Scancode::new(30).expect("A");
    pair.client.send_input(pair.now, InputEvent::Key { key, pressed: true }).expect("room");
    pair.run(10_000);
    // The client goes away without a word: only the host is driven.
    let silent_from = pair.now;
    let mut released_at = None;
    while pair.host_events.last() != Some(&Event::Closed(CloseReason::Idle)) {
        pair.now = pair.now.plus_micros(10_000);
        let (now, mut out) = (pair.now, vec![0; 65_536]);
        pair.host().handle_timeout(now);
        while pair.host.as_mut().expect("there").poll_transmit(now, &NoPictures, &mut out).is_some() {}
        while let Some(event) = pair.host().poll_event() {
            if event == Event::Input(InputEvent::Key { key, pressed: false }) {
                released_at = Some(now);
            }
            pair.host_events.push(event);
        }
        assert!(pair.now < Instant::from_millis(20_000), "still open");
    }
    let released_at = released_at.expect("released");
    assert!(released_at.micros_since(silent_from) <= 1_000_000);
}

#[test]
fn refusal_that_was_lost_is_told_again() {
    let (client, host) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
    let now = Instant::from_millis(1);
    let handshake = Noise::initiator(&client, [3; 32], Opening::XX);
    let mut client: Peer =
        Session::connect(&Config::default(), handshake, host.public(), 7, memory(), PathId(0), now);
    let mut endpoint = Endpoint::new(&host.public(), [9; 32]);
    let (mut out, mut reply) = (vec![0; 2000], [0; 256]);
    let responder = |opening| Noise::responder(&host, [4; 32], opening);
    let sent = client.poll_transmit(now, &NoPictures, &mut out).expect("a first flight");
    let route = endpoint.handle_datagram(now, CLIENT_ADDRESS, &out[..sent.len], responder, &mut reply);
    let Ok(Route::Reply(len)) = route else { panic!("{route:?}") };
    client.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut reply[..len]).expect("a response");

    let mut confirm = |client: &mut Peer, now: Instant, reply: &mut [u8]| {
        let sent = client.poll_transmit(now, &NoPictures, &mut out).expect("a confirmation");
        let responder = |opening| Noise::responder(&host, [5; 32], opening);
        match endpoint.handle_datagram(now, CLIENT_ADDRESS, &out[..sent.len], responder, reply) {
            Ok(Route::Established(stranger)) => endpoint.refuse(stranger, CloseReason::Refused, reply),
            Ok(Route::Reply(len)) => len,
            other => panic!("{other:?}"),
        }
    };
    let lost = confirm(&mut client, now, &mut reply);
    assert!((1..=64).contains(&lost));
    let later = now.plus_micros(500_000);
    let len = confirm(&mut client, later, &mut reply);
    client.handle_datagram(later, PathId(0), later, Ecn::NotEct, &mut reply[..len]).expect("a refusal");
    let events: Vec<Event> = core::iter::from_fn(|| client.poll_event()).collect();
    assert_eq!(events.last(), Some(&Event::Closed(CloseReason::Refused)));
}
