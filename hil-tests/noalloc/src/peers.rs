//! Both ends of a session, joined by two small queues of datagrams in static memory.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use rift::{
    AddressToken, Callee, Channel, CloseReason, Codec, Config, Ecn, Endpoint, Event, Identity, InputEvent,
    Instant, Memory, NoPictures, Noise, Opening, PathId, Permissions, PictureId, PictureInfo, PictureStore,
    Pictures, Rectangle, RectangleData, Route, Scancode, Session, SessionIndex, Storage, StreamParameters,
};

/// The memory of a thin client: no more than 96 KiB beside its picture buffers (SPEC, bounds).
type ThinStorage = Storage<&'static mut [u8], 256, 512, 2, 4096>;
const _: () = assert!(size_of::<ThinStorage>() <= 96 * 1024);

const PICTURE_LEN: usize = 40_000;
const BUFFER_LEN: usize = 80_000;
const PICTURES: u32 = 100;
const INPUT_EVENTS: usize = 200;
const STREAM_BYTES: usize = 10_000;
const STEP_US: u64 = 500;

/// What was carried.
pub struct Report {
    /// Pictures delivered whole.
    pub pictures: usize,
    /// Input events that reached the host.
    pub input_events: usize,
    /// Stream bytes that reached the client.
    pub stream_bytes: usize,
    /// Size of a session.
    pub session_bytes: usize,
    /// Size of its memory, picture buffers apart.
    pub memory_bytes: usize,
}

/// A queue of datagrams.
struct Wire {
    datagrams: [([u8; 1500], usize); 64],
    first: usize,
    len: usize,
}

impl Wire {
    const fn new() -> Self {
        Self { datagrams: [([0; 1500], 0); 64], first: 0, len: 0 }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.len == self.datagrams.len() {
            return Err("more datagrams than the pacer allows");
        }
        let (place, len) = &mut self.datagrams[(self.first + self.len) % 64];
        place[..bytes.len()].copy_from_slice(bytes);
        *len = bytes.len();
        self.len += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<([u8; 1500], usize)> {
        if self.len == 0 {
            return None;
        }
        let datagram = self.datagrams[self.first];
        self.first = (self.first + 1) % 64;
        self.len -= 1;
        Some(datagram)
    }
}

/// Hands out a static once: `StaticCell` in three lines.
macro_rules! take_static {
    ($type:ty, $value:expr) => {{
        static mut PLACE: $type = $value;
        // SAFETY: each expansion is reached once, from the only thread.
        unsafe { &mut *core::ptr::addr_of_mut!(PLACE) }
    }};
}

type Peer = Session<&'static mut ThinStorage, Noise>;

struct World {
    now: Instant,
    client: Peer,
    host: Option<Peer>,
    host_memory: Option<&'static mut ThinStorage>,
    endpoint: Endpoint<Noise>,
    identity: Identity,
    pictures: Pictures<&'static mut [u8], 2>,
    to_host: &'static mut Wire,
    to_client: &'static mut Wire,
    report: Report,
    is_admitted: bool,
    is_live: bool,
    token: Option<AddressToken>,
    host_closed: Option<CloseReason>,
}

/// Runs the whole life of a session.
pub fn run() -> Result<Report, &'static str> {
    let mut world = new_world();
    world.until(|world| world.is_admitted, "the client was not let in")?;
    let parameters =
        StreamParameters { width: 320, height: 240, rate_millihertz: 60_000, codec: Codec::H264 };
    let host = world.host.as_mut().ok_or("no host session")?;
    host.set_stream(PictureId(1), parameters).map_err(|_| "stream parameters were refused")?;
    world.send_pictures()?;
    world.send_input()?;
    world.send_stream()?;
    world.client.close(world.now, CloseReason::Done);
    world.until(|world| world.host_closed == Some(CloseReason::Done), "the host was not told goodbye")?;
    world.until(|world| world.client.is_closed(), "the client was not told that the host heard")?;
    call_again(world)
}

/// The client comes back by a call, with the token of its first session, and says goodbye.
fn call_again(world: World) -> Result<Report, &'static str> {
    let token = world.token.ok_or("no token was given")?;
    let config = Config { bitrate_bps_start: 20_000_000, ..Config::default() };
    let handshake = Noise::initiator(&Identity::from_secret([1; 32]), [6; 32], Opening::IK);
    let callee = Callee { host: world.identity.public(), counter: 1, token: Some(token) };
    let memory = world.client.into_memory();
    let mut world = World {
        client: Session::call(&config, handshake, &callee, 78, memory, PathId(0), world.now),
        host_memory: world.host.map(Session::into_memory),
        host: None,
        is_admitted: false,
        is_live: false,
        host_closed: None,
        ..world
    };
    let began = world.now;
    world.until(|world| world.is_admitted && world.is_live, "the caller was not let in")?;
    if world.now > began.plus_micros(4 * STEP_US) {
        return Err("a call takes one round trip");
    }
    world.client.close(world.now, CloseReason::Done);
    world.until(|world| world.host_closed == Some(CloseReason::Done), "the host was not told goodbye")?;
    Ok(world.report)
}

fn new_world() -> World {
    let client_memory = take_static!(ThinStorage, Storage::new());
    let host_memory = take_static!(ThinStorage, Storage::new());
    let _ = client_memory.lend(0, &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..]);
    let _ = client_memory.lend(1, &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..]);
    let (client, identity) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
    let now = Instant::from_millis(1);
    let config = Config { bitrate_bps_start: 20_000_000, ..Config::default() };
    let handshake = Noise::initiator(&client, [3; 32], Opening::XX);
    let report = Report {
        pictures: 0,
        input_events: 0,
        stream_bytes: 0,
        session_bytes: size_of::<Peer>(),
        memory_bytes: size_of::<ThinStorage>(),
    };
    World {
        now,
        client: Session::connect(&config, handshake, identity.public(), 77, client_memory, PathId(0), now),
        host: None,
        host_memory: Some(host_memory),
        endpoint: Endpoint::new(&identity.public(), [4; 32]),
        identity,
        pictures: Pictures::new([
            &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..],
            &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..],
        ]),
        to_host: take_static!(Wire, Wire::new()),
        to_client: take_static!(Wire, Wire::new()),
        report,
        is_admitted: false,
        is_live: false,
        token: None,
        host_closed: None,
    }
}

impl World {
    fn send_pictures(&mut self) -> Result<(), &'static str> {
        let coded = take_static!([u8; PICTURE_LEN], [0; PICTURE_LEN]);
        for number in 1..=PICTURES {
            for (index, byte) in coded.iter_mut().enumerate() {
                *byte = (index as u32 * 31 + number) as u8;
            }
            let info = PictureInfo {
                id: PictureId(number),
                reference: (number > 1).then(|| PictureId(number - 1)),
                captured_at: self.now,
                encoded_at: self.now,
            };
            let rectangle =
                RectangleData { place: Rectangle::sized(320, 240), codec: Codec::H264, parts: &[coded] };
            let picture = self.pictures.push(&info, &[rectangle]).map_err(|_| "the picture did not fit")?;
            let host = self.host.as_mut().ok_or("no host session")?;
            host.send_picture(self.now, picture).map_err(|_| "the picture was refused")?;
            let wanted = number as usize;
            self.until(|world| world.report.pictures == wanted, "a picture did not arrive")?;
        }
        Ok(())
    }

    fn send_input(&mut self) -> Result<(), &'static str> {
        let key = Scancode::new(30).ok_or("30 is a key")?;
        for count in 0..INPUT_EVENTS {
            let event = InputEvent::Key { key, pressed: count % 2 == 0 };
            self.client.send_input(self.now, event).map_err(|_| "input was refused")?;
            self.step()?;
        }
        self.until(|world| world.report.input_events == INPUT_EVENTS, "input did not arrive")
    }

    fn send_stream(&mut self) -> Result<(), &'static str> {
        let mut written = 0;
        while self.report.stream_bytes < STREAM_BYTES {
            let host = self.host.as_mut().ok_or("no host session")?;
            let rest = [7; 512];
            let count = (STREAM_BYTES - written).min(rest.len());
            written += host
                .write(self.now, Channel::Control, &rest[..count])
                .map_err(|_| "the stream was refused")?;
            self.step()?;
            let mut out = [0; 512];
            self.report.stream_bytes += self.client.read(Channel::Control, &mut out);
            if self.now > Instant::from_millis(60_000) {
                return Err("the stream is stuck");
            }
        }
        Ok(())
    }

    fn until(&mut self, mut done: impl FnMut(&Self) -> bool, or: &'static str) -> Result<(), &'static str> {
        for _ in 0..20_000 {
            if done(self) {
                return Ok(());
            }
            self.step()?;
        }
        Err(or)
    }

    fn step(&mut self) -> Result<(), &'static str> {
        self.now = self.now.plus_micros(STEP_US);
        self.client.handle_timeout(self.now);
        drain(self.now, &mut self.client, &NoPictures, self.to_host)?;
        if let Some(host) = &mut self.host {
            host.handle_timeout(self.now);
            drain(self.now, host, &self.pictures, self.to_client)?;
        }
        while let Some((mut bytes, len)) = self.to_client.pop() {
            let _ =
                self.client.handle_datagram(self.now, PathId(0), self.now, Ecn::NotEct, &mut bytes[..len]);
        }
        while let Some((mut bytes, len)) = self.to_host.pop() {
            self.host_receives(&mut bytes[..len])?;
        }
        self.client_events()?;
        self.host_events();
        Ok(())
    }

    fn host_receives(&mut self, datagram: &mut [u8]) -> Result<(), &'static str> {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
        let mut reply = [0; 160];
        let responder = |opening| Noise::responder(&self.identity, [5; 32], opening);
        match self.endpoint.handle_datagram(self.now, from, datagram, responder, &mut reply) {
            Ok(Route::Reply(len)) => self.to_client.push(&reply[..len]),
            Ok(Route::Established(established)) => {
                let memory = self.host_memory.take().ok_or("a second session")?;
                if !self.endpoint.adopt(established.connection(), SessionIndex(0)) {
                    return Err("no room for a session");
                }
                let config = Config { bitrate_bps_start: 20_000_000, ..Config::default() };
                let mut host = Session::from_established(&config, established, memory, PathId(0), self.now);
                host.admit(self.now, Permissions::default_control());
                self.host = Some(host);
                Ok(())
            }
            Ok(Route::Session(_)) => {
                let host = self.host.as_mut().ok_or("no host session")?;
                let _ = host.handle_datagram(self.now, PathId(0), self.now, Ecn::NotEct, datagram);
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn client_events(&mut self) -> Result<(), &'static str> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Admitted(_) => self.is_admitted = true,
                Event::AddressToken(token) => self.token = Some(token),
                Event::Picture(id) => {
                    let media = self.client.media(id).ok_or("a picture was announced and not lent")?;
                    let is_right = media.payload.len() == PICTURE_LEN
                        && media
                            .payload
                            .iter()
                            .enumerate()
                            .all(|(at, &byte)| byte == (at as u32 * 31 + id.0) as u8);
                    self.client.release_media(id);
                    if !is_right {
                        return Err("a picture arrived damaged");
                    }
                    self.report.pictures += 1;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn host_events(&mut self) {
        let Some(host) = &mut self.host else { return };
        while let Some(event) = host.poll_event() {
            match event {
                Event::Live => {
                    self.is_live = true;
                    if let Some(peer) = host.peer() {
                        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
                        host.offer_token(self.endpoint.make_token(self.now, &peer, from));
                    }
                }
                Event::Input(_) => self.report.input_events += 1,
                Event::Closed(reason) => self.host_closed = Some(reason),
                _ => {}
            }
        }
    }
}

fn drain<M: Memory>(
    now: Instant,
    session: &mut Session<M, Noise>,
    pictures: &impl PictureStore,
    wire: &mut Wire,
) -> Result<(), &'static str> {
    let mut out = [0; 1500];
    while let Some(transmit) = session.poll_transmit(now, pictures, &mut out) {
        let segment = transmit.segment.map_or(transmit.len, usize::from);
        for datagram in out[..transmit.len].chunks(segment) {
            wire.push(datagram)?;
        }
    }
    Ok(())
}
