//! What a session does for the viewing thread: pictures, cursor and statistics one way, orders the other.
//!
//! Called by the network's thread between and during turns; it never blocks. Invariant: whatever the viewing thread
//! has no room for costs a picture, or stays at the host, and never holds up input.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};
use std::sync::{Arc, PoisonError};

use rift::{
    AddressToken, Channel, CloseReason, Event, Instant, Permissions, PictureId, PublicKey, Session,
    StreamParameters,
};
use rift_mio::DesktopStorage;
use rift_simd::Simd;
use tracing::{debug, info, warn};

use crate::audio::Feed;
use crate::capture;
use crate::clipboard::Clipboard;
use crate::cursor::{Shape, ShapeParser};
use crate::handshake::ChosenHandshake;
use crate::link::{Job, Link, Order, Status, Traffic};
use crate::send::SharedSender;

/// Statistics are made public this often.
const STATS_US: u64 = 250_000;
/// A goodbye that cannot leave is given up after this long.
const GOODBYE_US: u64 = 300_000;

/// Where it keeps what it holds.
pub type ClientMemory = Box<DesktopStorage<Simd>>;
/// A client's session on a desktop.
pub type ClientSession = Session<ClientMemory, ChosenHandshake>;

/// The network's ends of all channels.
#[derive(Debug)]
pub struct Ends {
    /// What it shares with the viewing thread.
    pub link: Arc<Link>,
    /// What it is told.
    pub orders: Receiver<Order>,
    /// Pictures for the decoder.
    pub jobs: SyncSender<Job>,
    /// Buffers that come back from there; as many as ever were.
    pub spares: Receiver<Vec<u8>>,
    /// Cursor shapes and the sessions they are of.
    pub shapes: SyncSender<(u32, Shape)>,
    /// The clipboard, if it is shared.
    pub clipboard: Option<Clipboard>,
    /// Where sound is handed over, if it is to be heard.
    pub sound: Option<Feed>,
    /// Files on their way to the host, if there are any.
    pub files: Option<SharedSender>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) link: Arc<Link>,
    pub(crate) orders: Receiver<Order>,
    jobs: SyncSender<Job>,
    spares: Receiver<Vec<u8>>,
    shapes: SyncSender<(u32, Shape)>,
    clipboard: Option<Clipboard>,
    sound: Option<Feed>,
    files: Option<SharedSender>,
    /// A buffer that was to carry a picture and did not.
    spare: Option<Vec<u8>>,
    /// Counts sessions.
    number: u32,
    parameters: Option<StreamParameters>,
    parser: ShapeParser,
    /// A shape the viewing thread had no room for yet.
    shape: Option<Shape>,
    /// Input the session had no room for yet.
    waiting: Option<Order>,
    pub(crate) admitted_at: Option<Instant>,
    /// What the host gave for the next call.
    pub(crate) token: Option<AddressToken>,
    /// The key that the host vouches for.
    pub(crate) successor: Option<PublicKey>,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) quits: bool,
    pub(crate) goodbye_until: Option<Instant>,
    /// Counters of the sessions before this one.
    past: Traffic,
    /// When statistics were last made public, and the bytes received by then.
    published: Option<(Instant, u64)>,
}

impl Service {
    pub(crate) fn new(ends: Ends) -> Self {
        Self {
            link: ends.link,
            orders: ends.orders,
            jobs: ends.jobs,
            spares: ends.spares,
            shapes: ends.shapes,
            clipboard: ends.clipboard,
            sound: ends.sound,
            files: ends.files,
            spare: None,
            number: 0,
            parameters: None,
            parser: ShapeParser::new(),
            shape: None,
            waiting: None,
            admitted_at: None,
            token: None,
            successor: None,
            closed: None,
            quits: false,
            goodbye_until: None,
            past: Traffic::default(),
            published: None,
        }
    }

    pub(crate) fn begin(&mut self) {
        self.number += 1;
        self.parameters = None;
        self.parser = ShapeParser::new();
        self.shape = None;
        if let Some(clipboard) = &mut self.clipboard {
            clipboard.begin();
        }
        if let Some(sound) = &mut self.sound {
            sound.silence();
        }
        if let Some(files) = &self.files {
            files.lock().unwrap_or_else(PoisonError::into_inner).begin();
        }
        if self.waiting.take().is_some() {
            self.link.order_done();
        }
        self.admitted_at = None;
        self.closed = None;
        self.goodbye_until = None;
        self.published = None;
    }

    pub(crate) fn end(&mut self, session: &mut ClientSession, now: Instant) {
        self.publish(session, now);
        self.past = self.past.plus(Traffic::of(&session.stats(now)));
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.link.latest().status = status;
        self.link.wake_view();
    }

    pub(crate) fn on_event(&mut self, session: &mut ClientSession, event: Event, now: Instant) {
        match event {
            Event::Picture(id) => self.on_picture(session, id, now),
            Event::StreamParameters(parameters) => {
                info!(?parameters, "the stream is {} x {}", parameters.width, parameters.height);
                self.parameters = Some(parameters);
                self.link.latest().parameters = Some(parameters);
                self.link.wake_view();
            }
            Event::Cursor(position) => {
                self.link.latest().cursor = Some((self.number, position));
                self.link.wake_view();
            }
            Event::CaptureState(state) => {
                let (to, signal) = (capture::name(state.condition), state.signal.as_str());
                info!(signal, "the host's capture: {to}");
                self.link.latest().capture.enter(state);
                self.link.wake_view();
            }
            Event::Authenticated(peer) => debug!(%peer, "the host has proven who it is"),
            Event::Admitted(permissions) => self.on_admitted(permissions, now),
            Event::Audio => {
                if let Some(sound) = &mut self.sound {
                    sound.hear(session, now);
                }
            }
            Event::Successor(key) => self.successor = Some(key),
            Event::AddressToken(token) => self.token = Some(token),
            Event::Closed(reason) => self.closed = Some(reason),
            Event::Readable(_) | Event::Writable(_) | Event::Input(_) | Event::RepairWanted { .. } | _ => {}
        }
    }

    fn on_admitted(&mut self, permissions: Permissions, now: Instant) {
        let words = permissions.words().collect::<Vec<_>>().join(",");
        info!(%words, "this client may {words}");
        self.link.latest().permissions = Some(permissions);
        if let Some(sound) = self.sound.as_mut().filter(|_| !permissions.contains(Permissions::AUDIO)) {
            sound.silence();
        }
        if self.admitted_at.replace(now).is_none() {
            let mut latest = self.link.latest();
            latest.status = Status::Live;
            if latest.live_since.is_none() {
                latest.live_since = Some(now);
            } else {
                latest.reconnects += 1;
            }
        }
        self.link.wake_view();
    }

    fn on_picture(&mut self, session: &mut ClientSession, id: PictureId, now: Instant) {
        let spare = self.spare.take().or_else(|| self.spares.try_recv().ok());
        let (Some(spare), Some(parameters)) = (spare, self.parameters) else {
            debug!(picture = id.0, "the decoder is too slow, a picture is left out");
            session.release_media(id);
            session.want_repair(now);
            return;
        };
        let media = match session.swap_media(id, spare) {
            Ok(media) => media,
            Err(spare) => {
                self.spare = Some(spare);
                return;
            }
        };
        let head = &media.head;
        let host_times = session.peer_time(head.captured_us, now).map(|captured| {
            let encoded_after = u64::from(head.encoded_after_us);
            // The shard that tells when it was sent may have been lost: then the way begins at the encoder.
            let sent_after = u64::from(head.sent_after_us).max(encoded_after);
            [captured, captured.plus_micros(encoded_after), captured.plus_micros(sent_after)]
        });
        let job = Job { session: self.number, id, parameters, media, host_times };
        match self.jobs.try_send(job) {
            Ok(()) => self.link.wake_view(),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                debug!(picture = id.0, "the decoder is too slow, a picture is left out");
                self.spare = Some(job.media.buffer);
                session.want_repair(now);
            }
        }
    }

    /// Does what was ordered, reads streams, tells statistics.
    pub(crate) fn after_turn(&mut self, session: &mut ClientSession, now: Instant) {
        self.obey(session, now);
        self.read_cursor(session);
        if let Some(clipboard) = &mut self.clipboard {
            clipboard.work(session, now);
        }
        if let Some(files) = &self.files {
            files.lock().unwrap_or_else(PoisonError::into_inner).work(now, session);
        }
        let mut ignored = [0; 512];
        while session.read(Channel::Control, &mut ignored) > 0 {}
        if self.published.is_none_or(|(at, _)| now.micros_since(at) >= STATS_US) {
            self.publish(session, now);
        }
    }

    fn obey(&mut self, session: &mut ClientSession, now: Instant) {
        loop {
            let order = match self.waiting.take().map_or_else(|| self.orders.try_recv(), Ok) {
                Ok(order) => order,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => Order::Quit,
            };
            if order == Order::Quit {
                self.quits = true;
                if self.goodbye_until.is_none() {
                    self.goodbye_until = Some(now.plus_micros(GOODBYE_US));
                    let _ = session.release_input(now);
                    session.close(now, CloseReason::Done);
                }
                return;
            }
            if !order.carry_out(&self.link, session, now) {
                self.waiting = Some(order);
                return;
            }
            self.link.order_done();
        }
    }

    fn read_cursor(&mut self, session: &mut ClientSession) {
        loop {
            if let Some(shape) = self.shape.take() {
                let sent = self.shapes.try_send((self.number, shape));
                if let Err(TrySendError::Full((_, shape)) | TrySendError::Disconnected((_, shape))) = sent {
                    // What is not read stays at the host.
                    self.shape = Some(shape);
                    return;
                }
                self.link.wake_view();
            }
            // Read so that no more than one shape can end in what was read: a pixel at a time at worst.
            let mut bytes = [0; 4096];
            let len = session.read(Channel::Cursor, &mut bytes);
            if len == 0 {
                return;
            }
            self.parse_cursor(&bytes[..len]);
        }
    }

    fn parse_cursor(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.parser.read(&mut bytes) {
                Ok(Some(shape)) => {
                    // Several small shapes can end in one read; of those the viewer could not take, the last counts.
                    if let Some(before) = self.shape.replace(shape)
                        && self.shapes.try_send((self.number, before)).is_ok()
                    {
                        self.link.wake_view();
                    }
                }
                Ok(None) => return,
                Err(error) => warn!("{error}"),
            }
        }
    }

    fn publish(&mut self, session: &ClientSession, now: Instant) {
        let stats = session.stats(now);
        let before = self.published.replace((now, stats.bytes_received));
        let mut latest = self.link.latest();
        if before.is_none_or(|(_, bytes)| bytes != stats.bytes_received) {
            latest.heard_at = now;
        }
        if let Some((at, bytes)) = before
            && now > at
        {
            let bits = (stats.bytes_received - bytes) * 8;
            latest.bitrate_bps = bits * 1_000_000 / now.micros_since(at);
        }
        latest.stats = stats;
        latest.traffic = self.past.plus(Traffic::of(&stats));
    }
}
