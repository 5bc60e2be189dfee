//! A host with its driver, and clients, over loopback; pictures and input are looked at, not made.

mod files;

use core::sync::atomic::{AtomicU32, Ordering};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use rift::{Callee, Codec, InputEvent, Opening, PathId, PictureInfo, Rectangle, Scancode, SendError};
use rift_mio::{ClientDriver, Clock, SocketConfig};
use rift_x264::Reduction;

use super::*;
use crate::allow::{self, Client};
use crate::input::Command;
use crate::orders::{Coded, Order};

/// Nothing here takes this long: a test that does has failed.
const GUARD_US: u64 = 20_000_000;
const PERIOD_US: u64 = 16_667;
const KEY: Permissions = Permissions::KEYBOARD;

struct Rig {
    viewers: Viewers,
    driver: Driver,
    host: PublicKey,
    orders: Arc<LaneOrders>,
    pictures: SyncSender<Captured>,
    injected: Receiver<Command>,
    state: PathBuf,
    next: u32,
}

impl Rig {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wavry-viewers-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let state = std::env::temp_dir().join(name);
        let identity = Identity::from_secret([1; 32]);
        let driver = Driver::bind(([127, 0, 0, 1], 0).into(), &identity.public(), [2; 32]).unwrap();
        let orders = Arc::new(LaneOrders::new(Order::idle(1_000_000, PERIOD_US)).unwrap());
        let (pictures, captured) = sync_channel(4);
        let (spare, _) = sync_channel(4);
        let feed = Feed {
            orders: Arc::clone(&orders),
            captured,
            spare,
            cursor: Arc::default(),
            capture: Arc::default(),
            board: Arc::default(),
        };
        let (injector, injected) = Injector::observed(64);
        let policy = Policy {
            identity: identity.clone(),
            handshake: Implementation::Rift,
            view_only: false,
            session: Config::default(),
            period_us: PERIOD_US,
            shares_screen: false,
            resizes: true,
        };
        let viewers =
            Viewers::new(policy, AllowFile::new(&state), Desk::new(state.clone(), None), feed, injector);
        Self { viewers, driver, host: identity.public(), orders, pictures, injected, state, next: 1 }
    }

    fn allow(&self, seed: u8, permissions: Permissions) {
        let id = Identity::from_secret([seed; 32]).public();
        let client = Client { id, name: format!("client {seed}"), permissions, suite: Suite::Classical };
        allow::change(&self.state, |list| list.put(client)).unwrap();
    }

    fn revoke(&self, seed: u8) {
        let id = Identity::from_secret([seed; 32]).public();
        allow::change(&self.state, |list| list.remove(&id)).unwrap();
    }

    fn connect(&self, seed: u8) -> Guest {
        self.connect_wanting(seed, Config::default().wanted)
    }

    fn connect_wanting(&self, seed: u8, wanted: Permissions) -> Guest {
        let identity = Identity::from_secret([seed; 32]);
        let mut ephemeral = [0; 32];
        getrandom::fill(&mut ephemeral).unwrap();
        let handshake = rift::Noise::initiator(&identity, ephemeral, Opening::XX);
        let connection = u32::from_ne_bytes([ephemeral[0] ^ 1, ephemeral[1], ephemeral[2], ephemeral[3]]);
        let (memory, now) = (desktop_memory(true), Clock::new().now());
        let config = Config { wanted, ..Config::default() };
        let session = Session::connect(&config, handshake, self.host, connection, memory, PathId(0), now);
        let driver =
            ClientDriver::connect(&SocketConfig::default(), self.driver.local_addr(), session).unwrap();
        Guest::new(driver)
    }

    /// Turns everybody until `done`.
    fn until(&mut self, guests: &mut [&mut Guest], mut done: impl FnMut(&Self, &mut [&mut Guest]) -> bool) {
        let clock = Clock::new();
        let end = clock.now().plus_micros(GUARD_US);
        while !done(self, guests) {
            assert!(clock.now() < end, "nothing more happens");
            for guest in &mut *guests {
                guest.turn();
            }
            self.driver.waker().wake();
            self.driver.turn(&mut self.viewers).unwrap();
            let now = clock.now();
            self.viewers.refresh(now, &mut self.driver);
            self.viewers.work(now, &mut self.driver);
        }
    }

    /// Has the capture thread make a picture.
    fn capture(&mut self, reference: Option<u32>) -> PictureId {
        let stream = (self.next == 1).then_some((64, None));
        self.capture_as(reference, stream)
    }

    /// The same, with a side and how much smaller than its source it is, if that is new.
    fn capture_as(&mut self, reference: Option<u32>, stream: Option<(u16, Option<Reduction>)>) -> PictureId {
        let id = PictureId(self.next);
        let now = Clock::new().now();
        let info = PictureInfo { id, reference: reference.map(PictureId), captured_at: now, encoded_at: now };
        let parameters = stream.map(|(side, _)| StreamParameters {
            width: side,
            height: side,
            rate_millihertz: 60_000,
            codec: Codec::H264,
        });
        let coded = Coded {
            lane: Lane::H264,
            info,
            place: Rectangle::sized(64, 64),
            photos: Vec::new(),
            bytes: vec![7; 3000],
            parameters,
            reduction: stream.and_then(|(_, reduction)| reduction),
            is_change: true,
        };
        self.pictures.send(Captured::Picture(coded)).unwrap();
        self.next += 1;
        id
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

struct Guest {
    driver: ClientDriver<SessionMemory, rift::Noise>,
    rights: Vec<Permissions>,
    pictures: Vec<PictureId>,
    capture: Option<CaptureState>,
    cursor: Option<(u16, u16)>,
    closed: Option<CloseReason>,
}

impl Guest {
    fn new(driver: ClientDriver<SessionMemory, rift::Noise>) -> Self {
        Self { driver, rights: Vec::new(), pictures: Vec::new(), capture: None, cursor: None, closed: None }
    }

    fn turn(&mut self) {
        let Self { driver, rights, pictures, capture, cursor, closed } = self;
        driver.waker().wake();
        driver
            .turn(&mut |session, event| match event {
                Event::Admitted(permissions) => rights.push(permissions),
                Event::Picture(id) => {
                    pictures.push(id);
                    session.release_media(id);
                }
                Event::CaptureState(state) => *capture = Some(state),
                Event::Cursor(position) => *cursor = Some((position.x, position.y)),
                Event::Closed(reason) => *closed = Some(reason),
                Event::Authenticated(_)
                | Event::StreamParameters(_)
                | Event::Input(_)
                | Event::Readable(_)
                | Event::Writable(_)
                | Event::RepairWanted { .. }
                | _ => {}
            })
            .unwrap();
    }

    fn steers(&self) -> Option<bool> {
        self.rights.last().map(|rights| rights.contains(KEY))
    }
}

#[test]
fn stranger_is_refused_until_allowed_and_revoking_ends_the_session() {
    let mut rig = Rig::new();
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].closed.is_some());
    assert_eq!((guest.closed, guest.rights.len()), (Some(CloseReason::Refused), 0));
    rig.allow(5, Permissions::default_control());
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].steers().is_some());
    assert_eq!(guest.rights, [Permissions::default_control()]);
    rig.revoke(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].closed.is_some());
    assert_eq!(guest.closed, Some(CloseReason::Revoked));
    assert!(rig.injected.try_iter().any(|command| command == Command::ReleaseAll));
}

/// SPEC §4.19.
#[test]
fn client_that_begins_hybrid_is_held_to_it_however_short_it_has_been_on_the_list() {
    let mut rig = Rig::new();
    let id = Identity::from_secret([3; 32]).public();
    rig.allow(3, Permissions::VIEW);
    let address = rig.driver.local_addr();
    let mut established = |suite| rig.viewers.established_by(Instant::ZERO, suite, id, address);
    assert!(matches!(established(Suite::Hybrid), Decision::Admit { .. }));
    assert!(matches!(established(Suite::Classical), Decision::Refuse(CloseReason::Refused)));
    let mut kept = AllowFile::new(&rig.state);
    assert!(kept.refresh().unwrap());
    assert_eq!(kept.list().find(&id).map(|client| client.suite), Some(Suite::Hybrid));
}

#[test]
fn revoking_counts_also_when_a_stranger_made_the_list_be_read() {
    let mut rig = Rig::new();
    rig.allow(5, Permissions::default_control());
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].steers().is_some());
    rig.revoke(5);
    let peer = Identity::from_secret([9; 32]).public();
    let from = rig.driver.local_addr();
    let decision = rig.viewers.established(Clock::new().now(), peer, from);
    assert!(matches!(decision, Decision::Refuse(CloseReason::Refused)));
    rig.until(&mut [&mut guest], |_, guests| guests[0].closed == Some(CloseReason::Revoked));
}

#[test]
fn first_steers_and_the_next_takes_over_when_it_leaves() {
    let mut rig = Rig::new();
    rig.allow(4, Permissions::view_only());
    rig.allow(5, Permissions::default_control());
    rig.allow(6, Permissions::default_control());
    let (mut watcher, mut first, mut second) = (rig.connect(4), rig.connect(5), rig.connect(6));
    rig.until(&mut [&mut watcher], |_, guests| guests[0].steers().is_some());
    rig.until(&mut [&mut watcher, &mut first], |_, guests| guests[1].steers().is_some());
    rig.until(&mut [&mut watcher, &mut first, &mut second], |_, guests| guests[2].steers().is_some());
    assert_eq!([&watcher, &first, &second].map(Guest::steers), [Some(false), Some(true), Some(false)]);
    let key = InputEvent::Key { key: Scancode::new(30).unwrap(), pressed: true };
    let now = Clock::new().now();
    assert_eq!(second.driver.session().send_input(now, key), Err(SendError::NotPermitted));
    first.driver.session().send_input(now, key).unwrap();
    let mut seen = Vec::new();
    rig.until(&mut [&mut watcher, &mut first, &mut second], |rig, _| {
        seen.extend(rig.injected.try_iter());
        !seen.is_empty()
    });
    assert_eq!(seen, [Command::Inject(key, Permissions::default_control())]);
    first.driver.session().close(now, CloseReason::Done);
    rig.until(&mut [&mut watcher, &mut first, &mut second], |_, guests| guests[2].steers() == Some(true));
    let released = rig.injected.try_iter().collect::<Vec<_>>();
    assert!(released.contains(&Command::ReleaseAll), "{released:?}");
    assert_eq!(watcher.steers(), Some(false));
}

#[test]
fn client_that_comes_back_takes_the_steering_from_its_former_self() {
    let mut rig = Rig::new();
    rig.allow(5, Permissions::default_control());
    let mut former = rig.connect(5);
    rig.until(&mut [&mut former], |_, guests| guests[0].steers() == Some(true));
    let mut again = rig.connect(5);
    rig.until(&mut [&mut former, &mut again], |_, guests| {
        guests[1].steers() == Some(true) && guests[0].steers() == Some(false)
    });
}

/// SPEC §4.13/1.
#[test]
fn recording_of_a_call_takes_the_steering_from_nobody_and_the_client_behind_it_does() {
    let mut rig = Rig::new();
    rig.allow(2, Permissions::default_control());
    let mut former = rig.connect(2);
    rig.until(&mut [&mut former], |_, guests| guests[0].steers() == Some(true));
    // The client's call reaches the host, and nothing that the client says after it.
    let identity = Identity::from_secret([2; 32]);
    let handshake = rift::Noise::initiator(&identity, [9; 32], Opening::IK);
    let callee = Callee { host: rig.host, counter: 1, token: None };
    let (memory, now) = (desktop_memory(true), Clock::new().now());
    let mut session = Session::call(&Config::default(), handshake, &callee, 5, memory, PathId(0), now);
    let mut call = [0; 1500];
    let len = session.poll_transmit(now, &rift::NoPictures, &mut call).unwrap().len;
    let recorder = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    recorder.send_to(&call[..len], rig.driver.local_addr()).unwrap();
    rig.until(&mut [&mut former], |rig, _| rig.viewers.viewers.len() == 2);
    let key = Scancode::new(30).unwrap();
    let press = InputEvent::Key { key, pressed: true };
    former.driver.session().send_input(Clock::new().now(), press).unwrap();
    rig.until(
        &mut [&mut former],
        |rig, _| matches!(rig.injected.try_recv(), Ok(Command::Inject(event, _)) if event == press),
    );
    assert_eq!(former.steers(), Some(true));
    // Once the client is heard it takes over from its former self.
    let driver = ClientDriver::connect(&SocketConfig::default(), rig.driver.local_addr(), session).unwrap();
    let mut guest = Guest::new(driver);
    rig.until(&mut [&mut former, &mut guest], |_, guests| {
        guests[0].steers() == Some(false) && guests[1].steers() == Some(true)
    });
}

#[test]
fn who_comes_later_gets_its_first_picture_by_a_key_picture_and_costs_the_other_none() {
    let mut rig = Rig::new();
    rig.allow(5, Permissions::default_control());
    rig.allow(6, Permissions::view_only());
    let mut first = rig.connect(5);
    rig.until(&mut [&mut first], |rig, guests| {
        guests[0].steers().is_some()
            && rig.orders.of(Lane::H264).peek().is_watched
            && rig.orders.of(Lane::H264).peek().key_wanted
    });
    let order = rig.orders.of(Lane::H264).take();
    assert!(order.open && !order.anyone_has_picture);
    let one = rig.capture(None);
    let two = rig.capture(Some(1));
    rig.until(&mut [&mut first], |_, guests| guests[0].pictures == [one, two]);
    assert!(!rig.orders.of(Lane::H264).take().key_wanted);
    let mut second = rig.connect(6);
    rig.until(&mut [&mut first, &mut second], |rig, _| rig.orders.of(Lane::H264).peek().key_wanted);
    assert!(rig.orders.of(Lane::H264).take().anyone_has_picture);
    let three = rig.capture(Some(2));
    let four = rig.capture(None);
    let five = rig.capture(Some(4));
    rig.until(&mut [&mut first, &mut second], |_, guests| guests[1].pictures.contains(&five));
    assert_eq!(second.pictures, [four, five]);
    rig.until(&mut [&mut first, &mut second], |_, guests| guests[0].pictures.contains(&five));
    assert_eq!(first.pictures, [one, two, three, four, five]);
}

#[test]
fn state_of_the_capture_reaches_everybody_and_who_comes_later() {
    let mut rig = Rig::new();
    rig.allow(5, Permissions::default_control());
    rig.allow(6, Permissions::view_only());
    let mut first = rig.connect(5);
    rig.until(&mut [&mut first], |_, guests| guests[0].steers().is_some());
    let signal = rift::SignalDescription::new("HDMI");
    let condition = rift::CaptureCondition::NoSignal;
    let state = CaptureState { condition, since: Clock::new().now(), signal };
    *rig.viewers.feed.capture.lock().unwrap() = Some(state);
    let has = |guest: &Guest| guest.capture.is_some_and(|state| state.condition == condition);
    rig.until(&mut [&mut first], |_, guests| has(guests[0]));
    let mut second = rig.connect(6);
    rig.until(&mut [&mut first, &mut second], |_, guests| has(guests[1]));
    assert_eq!(second.capture.map(|state| state.signal), Some(signal));
}

/// SPEC §13.1.
#[test]
fn cursor_is_told_in_pixels_of_the_pictures_that_are_shown() {
    let mut rig = Rig::new();
    rig.allow(5, Permissions::default_control());
    let mut guest = rig.connect(5);
    *rig.viewers.feed.cursor.lock().unwrap() = Some(CursorState { x: 40, y: 21, visible: true, shape: None });
    rig.until(&mut [&mut guest], |_, guests| guests[0].cursor == Some((40, 21)));
    rig.capture(None);
    rig.capture_as(None, Some((32, Some(Reduction::Half))));
    rig.until(&mut [&mut guest], |_, guests| guests[0].cursor == Some((20, 10)));
    // Who comes meanwhile is told the same.
    rig.allow(6, Permissions::default_control());
    let mut other = rig.connect(6);
    rig.until(&mut [&mut guest, &mut other], |_, guests| guests[1].cursor == Some((20, 10)));
    rig.capture_as(None, Some((64, None)));
    rig.until(&mut [&mut guest, &mut other], |_, guests| {
        guests.iter().all(|guest| guest.cursor == Some((40, 21)))
    });
}

#[test]
fn end_of_the_host_is_told_to_everybody() {
    let mut rig = Rig::new();
    rig.allow(5, Permissions::default_control());
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].steers().is_some());
    rig.viewers.close_all(Clock::new().now(), &mut rig.driver, CloseReason::SourceGone);
    rig.until(&mut [&mut guest], |_, guests| guests[0].closed.is_some());
    assert_eq!(guest.closed, Some(CloseReason::SourceGone));
    rig.until(&mut [], |rig, _| rig.driver.session_count() == 0);
}

/// SPEC §8.8.
#[test]
fn nobody_sees_a_screen_on_which_a_pin_may_show() {
    use std::io::Read as _;
    let mut rig = Rig::new();
    rig.viewers.policy.shares_screen = true;
    rig.allow(5, Permissions::view_only());
    let order = |while_watched| {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let permissions = Permissions::default_control();
        let order =
            crate::pairing::PairOrder { pin: None, permissions, name: "laptop".into(), while_watched };
        (here, Request { order, asker: crate::control::Asker::Command(there) })
    };
    // While a PIN shows, who would watch is told to come later.
    let (mut at_terminal, request) = order(false);
    rig.viewers.desk.open(Clock::new().now(), request, 0);
    let mut said = [0; 64];
    let len = at_terminal.read(&mut said).unwrap();
    assert!(said[..len].starts_with(b" PIN: "), "{:?}", String::from_utf8_lossy(&said[..len]));
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| guests[0].closed.is_some());
    assert_eq!((guest.closed, guest.rights.len()), (Some(CloseReason::Busy), 0));
    // Hanging up ends it.
    drop(at_terminal);
    rig.until(&mut [], |rig, _| !rig.viewers.desk.hides_the_screen());
    let mut guest = rig.connect(5);
    rig.until(&mut [&mut guest], |_, guests| !guests[0].rights.is_empty());
    // While somebody watches, no PIN is shown, unless the terminal is elsewhere.
    let (mut at_terminal, request) = order(false);
    rig.viewers.desk.open(Clock::new().now(), request, 1);
    let mut refusal = String::new();
    at_terminal.read_to_string(&mut refusal).unwrap();
    assert!(refusal.starts_with('-') && refusal.contains("--while-watched"), "{refusal}");
    let (_at_terminal, request) = order(true);
    rig.viewers.desk.open(Clock::new().now(), request, 1);
    assert!(!rig.viewers.desk.hides_the_screen());
}
