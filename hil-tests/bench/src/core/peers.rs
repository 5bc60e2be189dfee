//! Two sessions of ours in one thread: virtual time, datagrams handed over in memory.

use core::net::{Ipv4Addr, SocketAddr};

use rift::{
    Class, Codec, Config, Ecn, Endpoint, Event, Identity, Instant, NoPictures, Noise, Opening, PathId,
    Permissions, PictureId, PictureInfo, PictureRef, Pictures, Rectangle, RectangleData, Route, Session,
    SessionIndex, StreamParameters,
};
use rift_aead::Native;
use rift_mio::{DesktopStorage, PICTURE_BUFFER_LEN, desktop_memory};
use rift_simd::Simd;

/// One side.
pub(super) type Peer = Session<Box<DesktopStorage<Simd>>, Native<Noise>>;

/// From picture to picture, in µs: 60 Hz.
const PERIOD_US: u64 = 16_667;
/// Bytes before the coded ones in a picture of one rectangle.
pub(super) const PICTURE_HEAD_LEN: usize = 34;
/// No step of virtual time is longer than this, in µs.
const STEP_US_MAX: u64 = 1_000;

/// What passed from host to client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// Datagrams with shards.
    pub(super) media: u64,
    /// Their bytes.
    pub(super) media_bytes: u64,
    /// Bytes of the first of them.
    pub(super) first_len: usize,
    /// Pictures delivered.
    pub(super) pictures: u64,
    /// When the last shard left.
    pub(super) last_at: Instant,
}

/// A client, its host, and the time.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) client: Peer,
    pub(super) host: Peer,
    pictures: Pictures<Vec<u8>, 4>,
    coded: Vec<u8>,
    next: u32,
    out: Vec<u8>,
    /// Since it was last taken.
    pub(super) passed: Passed,
}

impl Pair {
    /// Connected, admitted, and ready for pictures; `None` when that fails.
    pub(super) fn connected(config: &Config) -> Option<Self> {
        let identities = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
        let now = Instant::from_millis(1);
        let handshake = Native(Noise::initiator(&identities.0, [3; 32], Opening::XX));
        let public = identities.1.public();
        let mut client =
            Session::connect(config, handshake, public, 77, desktop_memory(true), PathId(0), now);
        let host = shake_hands(config, &mut client, &identities.1, now)?;
        let mut pair = Self {
            now,
            client,
            host,
            pictures: Pictures::new(core::array::from_fn(|_| vec![0; PICTURE_BUFFER_LEN])),
            coded: (0..PICTURE_BUFFER_LEN as u32).map(|value| (value * 7 / 8) as u8).collect(),
            next: 1,
            out: vec![0; 65_536],
            passed: Passed::default(),
        };
        pair.host.admit(now, Permissions::default_control());
        pair.run_until(now.plus_micros(20_000));
        let parameters =
            StreamParameters { width: 1920, height: 1080, rate_millihertz: 60_000, codec: Codec::H264 };
        pair.host.set_stream(PictureId(1), parameters).ok()?;
        pair.run_until(pair.now.plus_micros(20_000));
        Some(pair)
    }

    /// Puts a picture of `len` bytes, its head included, into the ring.
    pub(super) fn push(&mut self, len: usize) -> Option<PictureRef> {
        let reference = (self.next > 1).then(|| PictureId(self.next - 1));
        let (captured_at, encoded_at) = (self.now, self.now);
        let info = PictureInfo { id: PictureId(self.next), reference, captured_at, encoded_at };
        let parts = [self.coded.get(..len.checked_sub(PICTURE_HEAD_LEN)?)?];
        let rectangle =
            RectangleData { place: Rectangle::sized(1920, 1080), codec: Codec::H264, parts: &parts };
        let picture = self.pictures.push(&info, &[rectangle]).ok()?;
        self.next += 1;
        (picture.len() == len).then_some(picture)
    }

    /// Queues a pushed picture and lets both sides run for one period of pictures.
    pub(super) fn carry(&mut self, picture: PictureRef) -> Option<()> {
        self.host.send_picture(self.now, picture).ok()?;
        self.run_until(self.now.plus_micros(PERIOD_US));
        Some(())
    }

    /// Runs both sides; whatever is due happens at its time.
    pub(super) fn run_until(&mut self, end: Instant) {
        loop {
            self.exchange();
            if self.now >= end {
                return;
            }
            let wakes = [self.client.poll_timeout(), self.host.poll_timeout()];
            let next = wakes.into_iter().flatten().map(|(due, _)| due).min().unwrap_or(end);
            let soonest = self.now.plus_micros(1);
            self.now = next.max(soonest).min(self.now.plus_micros(STEP_US_MAX)).min(end);
            self.client.handle_timeout(self.now);
            self.host.handle_timeout(self.now);
        }
    }

    fn exchange(&mut self) {
        let now = self.now;
        while let Some(transmit) = self.host.poll_transmit(now, &self.pictures, &mut self.out) {
            let stride = transmit.segment.map_or(transmit.len, usize::from);
            if transmit.class == Class::Media {
                if self.passed.media == 0 {
                    self.passed.first_len = stride;
                }
                self.passed.media += transmit.len.div_ceil(stride) as u64;
                self.passed.media_bytes += transmit.len as u64;
                self.passed.last_at = now;
            }
            let batch = &mut self.out[..transmit.len];
            self.client.handle_datagrams(now, PathId(0), now, transmit.ecn, batch, stride);
        }
        while let Some(event) = self.client.poll_event() {
            if let Event::Picture(id) = event {
                self.client.release_media(id);
                self.passed.pictures += 1;
            }
        }
        while let Some(transmit) = self.client.poll_transmit(now, &NoPictures, &mut self.out) {
            let datagram = &mut self.out[..transmit.len];
            // A discard would show in the pictures that do not arrive.
            let _ = self.host.handle_datagram(now, PathId(0), now, transmit.ecn, datagram);
        }
        while self.host.poll_event().is_some() {}
    }
}

/// The host's session.
fn shake_hands(config: &Config, client: &mut Peer, host: &Identity, now: Instant) -> Option<Peer> {
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut endpoint = Endpoint::new(&host.public(), [4; 32]);
    let (mut out, mut reply) = ([0; 2048], [0; 256]);
    for _ in 0..4 {
        while let Some(transmit) = client.poll_transmit(now, &NoPictures, &mut out) {
            let responder = |opening| Native(Noise::responder(host, [5; 32], opening));
            match endpoint.handle_datagram(now, from, &out[..transmit.len], responder, &mut reply) {
                Ok(Route::Established(established)) => {
                    let _ = endpoint.adopt(established.connection(), SessionIndex(0));
                    let memory = desktop_memory(false);
                    return Some(Session::from_established(config, established, memory, PathId(0), now));
                }
                Ok(Route::Reply(len)) => {
                    client.handle_datagram(now, PathId(0), now, Ecn::NotEct, &mut reply[..len]).ok()?;
                }
                Ok(Route::Session(_)) | Err(_) => {}
            }
        }
    }
    None
}
