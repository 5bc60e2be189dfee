//! Both ends of a session, joined by two small queues of datagrams in static memory: once for each suite, the whole of
//! its life.

mod making;
mod wire;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use rift::limits::REPLY_MAX;
use rift::{
    AddressToken, Callee, Channel, CloseReason, Codec, Config, Ecn, Endpoint, Event, Handshake, Identity,
    InputEvent, Instant, Memory, NoPictures, Noise, Opening, PathId, Permissions, PictureId, PictureInfo,
    PictureStore, Pictures, Rectangle, RectangleData, Route, Scancode, Session, SessionIndex, Storage,
    StreamParameters,
};

use making::Make;
use wire::Wire;

/// The memory of a thin client: no more than 96 KiB with its session, beside its picture buffers (SPEC §19.1).
type ThinStorage = Storage<&'static mut [u8], 256, 512, 2, 4096>;
const _: () = assert!(size_of::<ThinStorage>() + size_of::<Peer<Noise>>() <= 96 * 1024);

const PICTURE_LEN: usize = 40_000;
const BUFFER_LEN: usize = 80_000;
const PICTURES: u32 = 100;
const INPUT_EVENTS: usize = 200;
const STREAM_BYTES: usize = 10_000;
const STEP_US: u64 = 500;

/// What was carried, over all lives.
#[derive(Clone, Copy, Default)]
pub struct Report {
    /// Handshakes that ended in a session.
    pub handshakes: usize,
    /// Pictures delivered whole.
    pub pictures: usize,
    /// Input events that reached the host.
    pub input_events: usize,
    /// Stream bytes that reached the client.
    pub stream_bytes: usize,
    /// Times that the client went on from another address.
    pub moves: usize,
    /// Size of a session.
    pub session_bytes: usize,
    /// Size of its memory, picture buffers apart.
    pub memory_bytes: usize,
}

/// Hands out a static once: `StaticCell` in three lines.
macro_rules! take_static {
    ($type:ty, $value:expr) => {{
        static mut PLACE: $type = $value;
        // SAFETY: each expansion is reached once, from the only thread.
        unsafe { &mut *core::ptr::addr_of_mut!(PLACE) }
    }};
}

type Peer<H> = Session<&'static mut ThinStorage, H>;

/// What one life hands to the next.
struct Parts {
    now: Instant,
    client: &'static mut ThinStorage,
    host: &'static mut ThinStorage,
    pictures: Pictures<&'static mut [u8], 2>,
    coded: &'static mut [u8; PICTURE_LEN],
    to_host: &'static mut Wire,
    to_client: &'static mut Wire,
    report: Report,
}

struct World<H: Make> {
    now: Instant,
    client: Peer<H>,
    host: Option<Peer<H>>,
    host_memory: Option<&'static mut ThinStorage>,
    endpoint: Endpoint<H>,
    identity: Identity,
    pictures: Pictures<&'static mut [u8], 2>,
    coded: &'static mut [u8; PICTURE_LEN],
    to_host: &'static mut Wire,
    to_client: &'static mut Wire,
    report: Report,
    is_admitted: bool,
    is_live: bool,
    token: Option<AddressToken>,
    host_closed: Option<CloseReason>,
}

/// Runs the whole life of sessions of every suite that was built.
pub fn run() -> Result<Report, &'static str> {
    let client = take_static!(ThinStorage, Storage::new());
    let _ = client.lend(0, &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..]);
    let _ = client.lend(1, &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..]);
    let parts = Parts {
        now: Instant::from_millis(1),
        client,
        host: take_static!(ThinStorage, Storage::new()),
        pictures: Pictures::new([
            &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..],
            &mut take_static!([u8; BUFFER_LEN], [0; BUFFER_LEN])[..],
        ]),
        coded: take_static!([u8; PICTURE_LEN], [0; PICTURE_LEN]),
        to_host: take_static!(Wire, Wire::new()),
        to_client: take_static!(Wire, Wire::new()),
        report: Report { memory_bytes: size_of::<ThinStorage>(), ..Report::default() },
    };
    let parts = life::<Noise>(parts)?;
    #[cfg(feature = "experimental")]
    let parts = life::<rift::HybridNoise>(parts)?;
    Ok(parts.report)
}

/// A session by XX with everything in it, then one by IK, from another address at its end.
fn life<H: Make>(parts: Parts) -> Result<Parts, &'static str> {
    let mut world = World::<H>::new(parts);
    world.until(|world| world.is_admitted, "the client was not let in")?;
    world.report.handshakes += 1;
    world.send_pictures(PICTURES)?;
    world.send_input()?;
    world.send_stream()?;
    world.migrate()?;
    world.send_pictures(10)?;
    world.part()?;
    world.until(|world| world.client.is_closed(), "the client was not told that the host heard")?;
    let mut world = world.call_again()?;
    world.until(|world| world.is_admitted && world.is_live, "the caller was not let in")?;
    world.report.handshakes += 1;
    world.send_pictures(2)?;
    world.part()?;
    world.until(|world| world.client.is_closed(), "the caller was not told that the host heard")?;
    world.into_parts()
}

const fn config() -> Config {
    Config {
        datagram_len: 1200,
        datagram_len_max: 1200,
        datagram_len_taken: 1200,
        bitrate_bps_min: 500_000,
        bitrate_bps_start: 20_000_000,
        bitrate_bps_max: 100_000_000,
        idle_us: 5_000_000,
        handshake_us: 10_000_000,
        key_us: 300_000_000,
        wanted: Permissions::all(),
    }
}

fn client_identity() -> Identity {
    Identity::from_secret([1; 32])
}

/// Where a client is that sends on this path.
fn address(path: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, path)), 1)
}

impl<H: Make> World<H> {
    fn new(parts: Parts) -> Self {
        let Parts { now, client, host, pictures, coded, to_host, to_client, mut report } = parts;
        report.session_bytes = report.session_bytes.max(size_of::<Peer<H>>());
        let identity = Identity::from_secret([2; 32]);
        let handshake = H::initiator(&client_identity(), 3, H::opening(Opening::XX));
        Self {
            now,
            client: Session::connect(&config(), handshake, identity.public(), 77, client, PathId(0), now),
            host: None,
            host_memory: Some(host),
            endpoint: Endpoint::new(&identity.public(), [4; 32]),
            identity,
            pictures,
            coded,
            to_host,
            to_client,
            report,
            is_admitted: false,
            is_live: false,
            token: None,
            host_closed: None,
        }
    }

    fn into_parts(self) -> Result<Parts, &'static str> {
        self.to_host.clear();
        self.to_client.clear();
        Ok(Parts {
            now: self.now,
            client: self.client.into_memory(),
            host: self.host.map(Session::into_memory).ok_or("no host session")?,
            pictures: self.pictures,
            coded: self.coded,
            to_host: self.to_host,
            to_client: self.to_client,
            report: self.report,
        })
    }

    /// The client comes back by a call, with the token of its first session.
    fn call_again(self) -> Result<Self, &'static str> {
        let token = self.token.ok_or("no token was given")?;
        let handshake = H::initiator(&client_identity(), 6, H::opening(Opening::IK));
        let callee = Callee { host: self.identity.public(), counter: 1, token: Some(token) };
        let memory = self.client.into_memory();
        Ok(Self {
            client: Session::call(&config(), handshake, &callee, 78, memory, PathId(0), self.now),
            host_memory: self.host.map(Session::into_memory),
            host: None,
            is_admitted: false,
            is_live: false,
            host_closed: None,
            ..self
        })
    }

    /// The client says goodbye.
    fn part(&mut self) -> Result<(), &'static str> {
        self.client.close(self.now, CloseReason::Done);
        self.until(|world| world.host_closed == Some(CloseReason::Done), "the host was not told goodbye")
    }

    /// The client goes on from another address, and what was under way from the old one is lost.
    fn migrate(&mut self) -> Result<(), &'static str> {
        let entropy = [0x5a; 32];
        self.client.open_path(self.now, PathId(1), entropy).map_err(|_| "no path was opened")?;
        self.client.move_to(self.now, PathId(1)).map_err(|_| "the client did not move")?;
        self.to_host.clear();
        self.to_client.clear();
        let has_followed = |world: &Self| {
            let host = world.host.as_ref();
            host.is_some_and(|host| host.path() == PathId(1) && !host.uses_path(PathId(0)))
        };
        self.until(has_followed, "the host did not follow")?;
        self.report.moves += 1;
        Ok(())
    }

    fn send_pictures(&mut self, count: u32) -> Result<(), &'static str> {
        let begun = self.report.pictures as u32;
        let parameters =
            StreamParameters { width: 320, height: 240, rate_millihertz: 60_000, codec: Codec::H264 };
        let host = self.host.as_mut().ok_or("no host session")?;
        host.set_stream(PictureId(begun + 1), parameters).map_err(|_| "stream parameters were refused")?;
        for number in begun + 1..=begun + count {
            for (index, byte) in self.coded.iter_mut().enumerate() {
                *byte = (index as u32 * 31 + number) as u8;
            }
            let info = PictureInfo {
                id: PictureId(number),
                reference: (number > begun + 1).then(|| PictureId(number - 1)),
                captured_at: self.now,
                encoded_at: self.now,
            };
            let place = Rectangle::sized(320, 240);
            let rectangle = RectangleData { place, codec: Codec::H264, parts: &[&*self.coded] };
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
        let wanted = self.report.input_events + INPUT_EVENTS;
        for count in 0..INPUT_EVENTS {
            let event = InputEvent::Key { key, pressed: count % 2 == 0 };
            self.client.send_input(self.now, event).map_err(|_| "input was refused")?;
            self.step()?;
        }
        self.until(|world| world.report.input_events == wanted, "input did not arrive")
    }

    fn send_stream(&mut self) -> Result<(), &'static str> {
        let (mut written, mut read) = (0, 0);
        for _ in 0..20_000 {
            let host = self.host.as_mut().ok_or("no host session")?;
            let rest = [7; 512];
            let count = (STREAM_BYTES - written).min(rest.len());
            written += host
                .write(self.now, Channel::Control, &rest[..count])
                .map_err(|_| "the stream was refused")?;
            self.step()?;
            let mut out = [0; 512];
            read += self.client.read(Channel::Control, &mut out);
            if read == STREAM_BYTES {
                self.report.stream_bytes += read;
                return Ok(());
            }
        }
        Err("the stream is stuck")
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
        while let Some(mut datagram) = self.to_client.pop() {
            let (path, bytes) = (PathId(datagram.path), &mut datagram.bytes[..datagram.len]);
            let _ = self.client.handle_datagram(self.now, path, self.now, Ecn::NotEct, bytes);
        }
        while let Some(mut datagram) = self.to_host.pop() {
            self.host_receives(datagram.path, &mut datagram.bytes[..datagram.len])?;
        }
        self.client_events()?;
        self.host_events();
        Ok(())
    }

    fn host_receives(&mut self, path: u8, datagram: &mut [u8]) -> Result<(), &'static str> {
        let mut reply = [0; REPLY_MAX];
        let responder = |opening| H::responder(&self.identity, 5, opening);
        match self.endpoint.handle_datagram(self.now, address(path), datagram, responder, &mut reply) {
            Ok(Route::Reply(len)) => self.to_client.push(path, &reply[..len]),
            Ok(Route::Established(established)) => {
                let memory = self.host_memory.take().ok_or("a second session")?;
                if !self.endpoint.adopt(established.connection(), SessionIndex(0)) {
                    return Err("no room for a session");
                }
                let mut host =
                    Session::from_established(&config(), established, memory, PathId(path), self.now);
                host.admit(self.now, Permissions::default_control());
                self.host = Some(host);
                Ok(())
            }
            Ok(Route::Session(_)) => {
                let host = self.host.as_mut().ok_or("no host session")?;
                let _ = host.handle_datagram(self.now, PathId(path), self.now, Ecn::NotEct, datagram);
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
                Event::EntropyWanted => self.client.add_entropy(self.now, [0x11; 32]),
                Event::Picture(id) => {
                    let media = self.client.media(id).ok_or("a picture was announced and not lent")?;
                    let mut bytes = media.payload.iter().enumerate();
                    let is_right = media.payload.len() == PICTURE_LEN
                        && bytes.all(|(at, &byte)| byte == (at as u32 * 31 + id.0) as u8);
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
        if host.wants_connections() {
            self.endpoint.tend(SessionIndex(0), host);
        }
        if host.wants_entropy() {
            host.add_entropy(self.now, [0x22; 32]);
        }
        while let Some(event) = host.poll_event() {
            match event {
                Event::Live => {
                    self.is_live = true;
                    if let Some(peer) = host.peer() {
                        host.offer_token(self.endpoint.make_token(self.now, &peer, address(0)));
                    }
                }
                Event::Input(_) => self.report.input_events += 1,
                Event::Closed(reason) => self.host_closed = Some(reason),
                _ => {}
            }
        }
    }
}

fn drain<M: Memory, H: Handshake>(
    now: Instant,
    session: &mut Session<M, H>,
    pictures: &impl PictureStore,
    wire: &mut Wire,
) -> Result<(), &'static str> {
    let mut out = [0; wire::LEN];
    while let Some(transmit) = session.poll_transmit(now, pictures, &mut out) {
        let segment = transmit.segment.map_or(transmit.len, usize::from);
        for datagram in out[..transmit.len].chunks(segment) {
            wire.push(transmit.path.0, datagram)?;
        }
    }
    Ok(())
}
