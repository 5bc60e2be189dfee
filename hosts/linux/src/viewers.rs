//! Everybody who watches: who gets in, who steers, and what each is sent.
//!
//! All of it happens on the network's thread, in the driver's turns and between them. Nothing here waits, and in the
//! steady state nothing allocates.

mod devices;
mod lanes;
mod shares;
#[cfg(test)]
mod tests;
mod viewer;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use rift::{
    CaptureState, Channel, CloseReason, Config, Event, Identity, Instant, Opening, Permissions, PictureId,
    Pictures, PublicKey, Session, SessionIndex, StreamParameters, Suite,
};
use rift_mio::{Decision, DesktopStorage, HostApplication, HostDriver, desktop_memory};
use rift_simd::Simd;
use tracing::{debug, error, info, warn};

use crate::allow::AllowFile;
use crate::clipboard::SharedClipboard;
use crate::control::Request;
use crate::files::SharedFiles;
use crate::gateway::Membership;
use crate::governor::Load;
use crate::handshake::{Implementation, Responder};
use crate::input::Injector;
use crate::ladders::Ladders;
use crate::lane::{Lane, LaneOrders};
use crate::orders::{Captured, CursorState};
use crate::pairing::Desk;
use crate::rotation::Heir;
use crate::sound::SharedSound;
use crate::status::Board;

use lanes::{KNOWN_MAX, KnownViewer};
use viewer::{Viewer, show_cursor, start_bitrate_bps, tell_capture};

/// The memory of one session.
pub type SessionMemory = Box<DesktopStorage<Simd>>;
/// One viewer's session.
pub type ViewerSession = Session<SessionMemory, Responder>;
/// What drives them all.
pub type Driver = HostDriver<SessionMemory, Responder>;

/// Pictures kept for sending: more than any viewer may have queued.
pub const PICTURES: usize = 8;
/// Bytes of the largest coded picture.
pub const PICTURE_LEN_MAX: usize = 1 << 20;
/// Viewers at most.
pub const VIEWERS_MAX: usize = 16;
/// The list of clients is looked at this often, in microseconds.
const REFRESH_US: u64 = 150_000;
/// Session memories kept for the next viewer.
const SPARE_MEMORIES: usize = 2;
/// A viewer that fell behind is led back at most once in this long, in microseconds.
const CATCH_UP_US: u64 = 100_000;

const STEERING: Permissions = Permissions::POINTER
    .union(Permissions::KEYBOARD)
    .union(Permissions::SYSTEM_KEYS)
    .union(Permissions::GAMEPAD)
    .union(Permissions::TOUCH);

/// What the host is and how it treats everybody.
#[derive(Debug)]
pub struct Policy {
    /// Who it is.
    pub identity: Identity,
    /// Who answers handshakes.
    pub handshake: Implementation,
    /// Whether nobody steers.
    pub view_only: bool,
    /// How sessions are set up.
    pub session: Config,
    /// From one picture to the next at least, in microseconds.
    pub period_us: u64,
    /// Whether what is shared is a screen that people at this machine use.
    pub shares_screen: bool,
    /// Whether pictures are made smaller for networks that cannot carry all their pixels.
    pub resizes: bool,
}

/// The ways from and to the thread that captures.
#[derive(Debug)]
pub struct Feed {
    /// What is to be done.
    pub orders: Arc<LaneOrders>,
    /// Coded pictures.
    pub captured: Receiver<Captured>,
    /// Buffers go back here.
    pub spare: SyncSender<Vec<u8>>,
    /// The newest cursor.
    pub cursor: Arc<Mutex<Option<CursorState>>>,
    /// The newest state of the capture.
    pub capture: Arc<Mutex<Option<CaptureState>>>,
    /// What operators see.
    pub board: Arc<Board>,
}

/// See the module.
#[derive(Debug)]
pub struct Viewers {
    policy: Policy,
    allow: AllowFile,
    desk: Desk,
    heir: Heir,
    feed: Feed,
    injector: Injector,
    clipboard: SharedClipboard,
    sound: SharedSound,
    files: SharedFiles,
    pictures: Pictures<Vec<u8>, PICTURES>,
    viewers: BTreeMap<SessionIndex, Viewer>,
    /// Who steers.
    steering: Option<SessionIndex>,
    arrivals: u64,
    memories: Vec<SessionMemory>,
    /// What pictures are now, in each lane.
    streams: [Option<StreamParameters>; Lane::ALL.len()],
    /// What clients who were here could show.
    known: Vec<KnownViewer>,
    newest: PictureId,
    cursor: CursorState,
    /// What the capture is doing, where it is a device's.
    capture: Option<CaptureState>,
    loads: Vec<Load>,
    /// How often and how large pictures are made, in each lane.
    ladders: [Ladders; Lane::ALL.len()],
    ended: Option<String>,
    refreshed_at: Instant,
    /// The list was read again since it was last held against those who are here.
    is_list_newer: bool,
    /// By what clients find the host who know no way to it.
    gateway: Option<Membership>,
}

impl Viewers {
    /// Nobody yet.
    #[must_use]
    pub fn new(policy: Policy, allow: AllowFile, desk: Desk, feed: Feed, injector: Injector) -> Self {
        let ladders = Lane::ALL.map(|lane| Ladders::new(policy.resizes && lane == Lane::H264));
        Self {
            policy,
            allow,
            heir: Heir::new(desk.state()),
            desk,
            feed,
            injector,
            clipboard: SharedClipboard::default(),
            sound: SharedSound::default(),
            files: SharedFiles::default(),
            pictures: Pictures::new(core::array::from_fn(|_| vec![0; PICTURE_LEN_MAX])),
            viewers: BTreeMap::new(),
            steering: None,
            arrivals: 0,
            memories: Vec::with_capacity(SPARE_MEMORIES),
            streams: [None; Lane::ALL.len()],
            known: Vec::with_capacity(KNOWN_MAX),
            newest: PictureId(0),
            cursor: CursorState::default(),
            capture: None,
            loads: Vec::with_capacity(VIEWERS_MAX),
            ladders,
            ended: None,
            refreshed_at: Instant::ZERO,
            is_list_newer: false,
            gateway: None,
        }
    }

    /// Why capturing ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Looks now and then whether the allow-list changed, and ends the sessions of those who are no longer on it.
    pub fn refresh(&mut self, now: Instant, driver: &mut Driver) {
        if now.micros_since(self.refreshed_at) < REFRESH_US {
            return;
        }
        self.refreshed_at = now;
        if let Some(gateway) = &mut self.gateway {
            // Its own key stands for everybody while it pairs (SPEC §18.11).
            let own = self.desk.is_pairing().then(|| self.policy.identity.public());
            let clients = self.allow.list().clients().iter().map(|client| client.id);
            gateway.work(now, driver, own.into_iter().chain(clients));
        }
        self.show_operators(now, driver);
        self.heir.refresh();
        if !self.reread() && !self.is_list_newer {
            return;
        }
        self.is_list_newer = false;
        for (index, viewer) in &mut self.viewers {
            let Some(session) = driver.session_mut(*index) else { continue };
            match self.allow.list().find(&viewer.client.id) {
                Some(client) => viewer.client = client.clone(),
                None => {
                    viewer.farewell = Some(CloseReason::Revoked);
                    session.close(now, CloseReason::Revoked);
                }
            }
        }
    }

    /// Begins to pair with a new client, on behalf of who started this host.
    pub fn pair(&mut self, now: Instant, request: Request) {
        self.desk.open(now, request, 0);
    }

    /// Ends every session.
    pub fn close_all(&mut self, now: Instant, driver: &mut Driver, reason: CloseReason) {
        for (index, _, session) in driver.sessions_mut() {
            if let Some(viewer) = self.viewers.get_mut(&index) {
                viewer.farewell = Some(reason);
            }
            session.close(now, reason);
        }
        self.injector.release_all();
    }

    /// Everything between two turns of the driver: rights, pictures, the cursor, the next order.
    pub fn work(&mut self, now: Instant, driver: &mut Driver) {
        self.desk.work(now, driver, if self.policy.shares_screen { self.viewers.len() } else { 0 });
        self.settle_rights(now, driver);
        self.settle_lanes(now, driver);
        while let Ok(captured) = self.feed.captured.try_recv() {
            match captured {
                Captured::Picture(coded) => self.deliver(now, driver, coded),
                Captured::Ended(reason) => self.ended = Some(reason),
            }
        }
        let cursor = self.feed.cursor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cursor) = cursor {
            self.cursor = cursor;
            for (index, _, session) in driver.sessions_mut() {
                if let Some(viewer) = self.viewers.get_mut(&index) {
                    show_cursor(now, session, viewer, &self.cursor, &self.ladders);
                }
            }
        }
        self.tell_devices(now, driver);
        self.work_shares(now, driver);
        // Input was injected as it came.
        driver.sessions_mut().for_each(|(_, _, session)| session.input_injected(now));
        self.order(now, driver);
    }

    /// Reads the list if it changed. Returns whether it did.
    fn reread(&mut self) -> bool {
        self.allow.refresh().unwrap_or_else(|error| {
            error!(%error, "the list of clients stays as it was");
            false
        })
    }

    /// Gives the steering to whoever has been there longest and may, and tells everybody what they may do.
    fn settle_rights(&mut self, now: Instant, driver: &mut Driver) {
        // Who may be a recording takes the steering from nobody.
        let may_steer = |viewer: &Viewer| viewer.is_live && viewer.may_steer();
        let holds = self.steering.and_then(|index| self.viewers.get(&index)).is_some_and(may_steer);
        if !holds {
            if self.steering.take().is_some() {
                self.injector.release_all();
            }
            let able = self.viewers.iter().filter(|(_, viewer)| may_steer(viewer));
            self.steering = able.min_by_key(|(_, viewer)| viewer.arrival).map(|(&index, _)| index);
        }
        for (index, _, session) in driver.sessions_mut() {
            let Some(viewer) = self.viewers.get(&index).filter(|viewer| viewer.is_live) else { continue };
            let rights = self.rights(viewer.client.permissions, self.steering == Some(index));
            let rights = rights & session.wanted();
            if let Some(key) = self.heir.key() {
                // Once it is in, and once for each key; before, there is nothing to be said.
                let _ = session.announce_successor(key);
            }
            if session.permissions() != Some(rights) {
                session.admit(now, rights);
                info!(client = %viewer.client.name, steers = rights.may_steer(), "rights changed");
            }
        }
    }

    /// What one with these permissions may do now.
    fn rights(&self, granted: Permissions, steers: bool) -> Permissions {
        if steers && !self.policy.view_only && self.injector.has_sink() {
            granted
        } else {
            granted.difference(STEERING)
        }
    }

    fn begin(&mut self, now: Instant, index: SessionIndex, from: SocketAddr, session: &mut ViewerSession) {
        if session.is_stranger() {
            return self.desk.begin(index);
        }
        let client = session.peer().and_then(|peer| self.allow.list().find(&peer)).cloned();
        let Some(client) = client else {
            // It was taken off the list since its handshake.
            return session.close(now, CloseReason::Revoked);
        };
        info!(client = %client.name, id = %client.id, %from, "session began");
        let mut viewer = Viewer::new(client, session.wanted(), self.arrivals, now);
        self.arrivals += 1;
        show_cursor(now, session, &mut viewer, &self.cursor, &self.ladders);
        if let Some(capture) = self.capture {
            tell_capture(now, session, capture);
        }
        self.feed.board.metrics.session_began();
        self.viewers.insert(index, viewer);
        self.enter_known_lane(now, index, session);
        self.choose_lane(now, index, session);
    }

    /// A client is there for certain, and not a recording of its call.
    fn on_live(&mut self, index: SessionIndex) {
        let Some(viewer) = self.viewers.get_mut(&index) else { return };
        viewer.is_live = true;
        // Who asks only to watch, or to send a file, takes the steering from nobody.
        let (id, true) = (viewer.client.id, viewer.may_steer()) else { return };
        // Who comes back, after a lost connection perhaps, takes over from its former self.
        let former = self.steering.and_then(|steering| self.viewers.get(&steering));
        if former.is_some_and(|former| former.client.id == id) {
            self.steering = Some(index);
            self.injector.release_all();
        } else if self.steering.is_none() {
            self.steering = Some(index);
        }
    }

    fn end(&mut self, now: Instant, index: SessionIndex, session: &ViewerSession, reason: CloseReason) {
        if self.desk.end(index, reason) {
            return;
        }
        self.clipboard.end(index);
        self.files.end(index);
        let Some(viewer) = self.viewers.remove(&index) else { return };
        if self.steering == Some(index) {
            self.steering = None;
            self.injector.release_all();
        }
        let stats = session.stats(now);
        info!(
            client = %viewer.client.name,
            reason = ?viewer.farewell.unwrap_or(reason),
            is_ours = viewer.farewell.is_some(),
            seconds = now.micros_since(viewer.since) / 1_000_000,
            pictures = stats.pictures_queued,
            bytes_sent = stats.bytes_sent,
            packets_lost = stats.packets_lost,
            input_events = stats.input_events,
            round_trip_us = stats.round_trip_us,
            "session ended"
        );
    }
}

impl HostApplication<SessionMemory, Responder> for Viewers {
    type Pictures = Pictures<Vec<u8>, PICTURES>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Responder {
        let mut entropy = [0; 96];
        // Without entropy nothing here is safe, and the kernel always has it once it has booted.
        getrandom::fill(&mut entropy).expect("the kernel gives random bytes");
        Responder::new(self.policy.handshake, &self.policy.identity, &entropy, opening)
    }

    fn established(&mut self, _now: Instant, peer: PublicKey, from: SocketAddr) -> Decision<SessionMemory> {
        let Some(client) = self.allow.list().find(&peer) else {
            warn!(id = %peer, %from, "refused: not on the list; to let it in: wavry-server allow {peer}");
            return Decision::Refuse(CloseReason::Refused);
        };
        if self.policy.shares_screen && self.desk.hides_the_screen() {
            warn!(id = %peer, %from, "refused: a PIN may show on the screen");
            return Decision::Refuse(CloseReason::Busy);
        }
        if self.viewers.len() >= VIEWERS_MAX {
            warn!(id = %peer, %from, "refused: {VIEWERS_MAX} viewers are there already");
            return Decision::Refuse(CloseReason::Busy);
        }
        let permissions = self.rights(client.permissions, self.steering.is_none());
        let memory = self.memories.pop().unwrap_or_else(|| desktop_memory(false));
        let max = self.policy.session.bitrate_bps_max;
        let config = Config { bitrate_bps_start: start_bitrate_bps(from).min(max), ..self.policy.session };
        Decision::Admit { config, memory, permissions }
    }

    fn established_by(
        &mut self,
        now: Instant,
        suite: Suite,
        peer: PublicKey,
        from: SocketAddr,
    ) -> Decision<SessionMemory> {
        // It may have been put on the list a moment ago, by a command or by pairing.
        self.is_list_newer |= self.reread();
        // SPEC §4.19.
        let known = self.allow.list().find(&peer).map_or(suite, |client| client.suite);
        if suite < known {
            warn!(id = %peer, %from, "refused: its handshakes were hybrid, and this one is not");
            return Decision::Refuse(CloseReason::Refused);
        }
        if suite > known
            && let Err(error) = self.allow.harden(&peer)
        {
            warn!(%error, id = %peer, "that the client is hybrid was not kept");
        }
        self.established(now, peer, from)
    }

    fn stranger(
        &mut self,
        now: Instant,
        peer: PublicKey,
        from: SocketAddr,
    ) -> Option<(Config, SessionMemory)> {
        info!(id = %peer, %from, "somebody wants to pair");
        if !self.desk.has_room(now) {
            return None;
        }
        Some((self.policy.session, self.memories.pop().unwrap_or_else(|| desktop_memory(false))))
    }

    fn event(
        &mut self,
        now: Instant,
        index: SessionIndex,
        from: SocketAddr,
        session: &mut ViewerSession,
        event: Event,
    ) {
        match event {
            Event::Authenticated(_) => self.begin(now, index, from, session),
            Event::Live => self.on_live(index),
            Event::Input(event) => {
                let permissions = session.permissions().unwrap_or(Permissions::empty());
                self.injector.inject(event, permissions);
            }
            Event::RepairWanted { after } => {
                if let Some(viewer) = self.viewers.get_mut(&index) {
                    viewer.asked_at = Some(now);
                    viewer.has_picture &= after.is_some();
                    debug!(client = %viewer.client.name, after = after.map(|id| id.0), "repair wanted");
                    if let Some(lane) = viewer.lane {
                        self.feed.orders.of(lane).change(|order| order.want(after));
                    }
                }
            }
            Event::Capabilities => self.choose_lane(now, index, session),
            Event::TileReport => self.mend_tiles(index, session),
            Event::Writable(Channel::Cursor) => {
                if let Some(viewer) = self.viewers.get_mut(&index) {
                    viewer.shapes.send(now, session);
                }
            }
            Event::Readable(Channel::Clipboard) | Event::Writable(Channel::Clipboard) => {
                self.clipboard.on_event(now, index, session, &event);
            }
            Event::Readable(Channel::File) | Event::Writable(Channel::File) => {
                self.files.on_event(index, &event)
            }
            Event::PairingRequested => self.desk.try_pin(now, session, &self.policy.identity),
            Event::Paired(peer) => self.desk.paired(peer),
            Event::Closed(reason) => self.end(now, index, session, reason),
            // A host gets none of these, or has no use for them.
            Event::Admitted(_)
            | Event::StreamParameters(_)
            | Event::Picture(_)
            | Event::Cursor(_)
            | Event::Readable(_)
            | Event::Writable(_)
            | _ => {}
        }
    }

    fn closed(&mut self, _index: SessionIndex, memory: SessionMemory) {
        if self.memories.len() < SPARE_MEMORIES {
            self.memories.push(memory);
        }
    }
}
