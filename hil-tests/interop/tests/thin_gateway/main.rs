//! The client for boards and a real gateway, in virtual time: a board whose host is not found is introduced, opens the host's NAT,
//! and shows its screen; a gateway with another key, or one that leads to somebody else, gets it nowhere.

#[path = "../thin_parts/mod.rs"]
mod thin_parts;
mod town;

use core::cell::RefCell;
use core::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};

use rift::{Identity, Instant};
use rift_smoltcp::HostDriver;
use wavry_interop::Wire;
use wavry_interop::board::{PORT, network};
use wavry_interop::frames::other_end;
use wavry_interop::parties::host_identity;
use wavry_thin::{NoIntroduction, PinnedGateway, PinnedHost, Provision, Stage};

use thin_parts::board::{Board, Seen};
use thin_parts::sharer::Sharer;
use thin_parts::{Driver, HOST, STEP_US, Shared, live};
use town::{Behind, GATEWAY_PORT, TOKEN, Town, gateway_identity};

/// Embassy's clock is one to a process.
static CLOCK: Mutex<()> = Mutex::new(());

fn clock() -> MutexGuard<'static, ()> {
    CLOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A board, a host and a gateway that go by value while they are made take more than a test's usual stack where little is
/// optimised.
const STACK: usize = 16 << 20;

fn on_a_deep_stack(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(test).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A board, a host behind its NAT, and a gateway.
struct World {
    wire: Shared<Wire>,
    town: Shared<Town>,
    board: Board,
    host: (Driver<Behind>, Sharer),
    seen: Seen,
    seed: u64,
    now: Instant,
}

impl World {
    /// Of a board that thinks its host is there and its gateway this one.
    fn new(seed: u64, loss: f64, host: PinnedHost, gateway: PinnedGateway) -> Self {
        let now = rift_embassy::now().plus_micros(1_000);
        let (wire, [one, other]) = Wire::new(seed, loss, 4_000);
        wire.borrow_mut().advance(now);
        let town = Rc::new(RefCell::new(Town::new(other_end(&wire), seed, now)));
        let seen = Seen::new();
        let provision = Provision::of(Some(host)).with_gateway(Some(gateway));
        let board = Board::switch_on(&seen, one, provision, seed, now);
        let network = network(Behind::new(other, &town), HOST, PORT, seed, now);
        let driver = HostDriver::new(network, &host_identity().public(), [9; 32]);
        Self { wire, town, board, host: (driver, Sharer::new(seed)), seen, seed, now }
    }

    /// The host is killed and started again, and its NAT has forgotten everybody.
    fn restart_host(&mut self) {
        let behind = Behind::new(other_end(&self.wire), &self.town);
        let network = network(behind, HOST, PORT, self.seed, self.now);
        self.host.0 = HostDriver::new(network, &host_identity().public(), [9; 32]);
        let frame = core::mem::take(&mut self.host.1.frame);
        self.host.1 = Sharer::new(self.seed);
        self.host.1.frame = frame;
        self.host.1.draw();
        self.town.borrow_mut().opened.clear();
    }

    fn step(&mut self) {
        self.now = self.now.plus_micros(STEP_US);
        self.wire.borrow_mut().advance(self.now);
        let _ = self.host.0.turn(self.now, &mut self.host.1);
        self.town.borrow_mut().step(self.now);
        self.board.step(self.now);
    }

    /// Lets time pass until the board gets so far.
    fn wait_for(&mut self, stage: Stage) {
        self.wait_until(|stages| stages.contains(&stage));
    }

    fn wait_until(&mut self, is_there: impl Fn(&[Stage]) -> bool) {
        let begun = self.now;
        while !is_there(&self.seen.stages.borrow()) {
            self.step();
            let waited_us = self.now.micros_since(begun);
            assert!(waited_us < 60_000_000, "seed {}: {:?}", self.seed, self.seen.stages.borrow());
        }
    }

    /// Until what the host draws shows at the board.
    fn live(&mut self, what: &str) {
        let Self { wire, town, board, host, seen, now, .. } = self;
        live(board, host, seen, wire, now, what, &mut |now| town.borrow_mut().step(now));
    }
}

fn gateway() -> PinnedGateway {
    let address = SocketAddr::from((HOST.address, GATEWAY_PORT));
    PinnedGateway { address, key: gateway_identity().public(), token: Some(TOKEN) }
}

fn anywhere() -> PinnedHost {
    PinnedHost::anywhere(host_identity().public())
}

#[test]
fn board_is_introduced_to_a_host_that_is_not_where_it_was_and_comes_back() {
    on_a_deep_stack(introduced);
}

fn introduced() {
    let _clock = clock();
    let gone = SocketAddr::from((Ipv4Addr::new(10, 93, 0, 77), PORT));
    for (seed, loss, host) in [(1, 0.0, anywhere()), (2, 0.1, PinnedHost { address: gone, ..anywhere() })] {
        let mut world = World::new(seed, loss, host, gateway());
        // It enrols at once; nobody has said yet that it may meet the host.
        world.wait_for(Stage::NotIntroduced(NoIntroduction::NotFound));
        let (key, _) = world.seen.starts.borrow()[0];
        assert_eq!(world.town.borrow().enrolled, [key]);
        assert_eq!(world.town.borrow().gateway.counters().introductions, 0);
        world.town.borrow_mut().granted = Some(key);
        world.live("introduced");
        let introductions = world.town.borrow().gateway.counters().introductions;
        assert!(introductions > 0);

        world.restart_host();
        world.live("introduced again");
        assert!(world.town.borrow().gateway.counters().introductions > introductions);
        assert_eq!(world.town.borrow().enrolled, [key], "the token was good once");
    }
}

#[test]
fn gateway_with_another_key_is_told_nothing_and_said_to_be_another() {
    on_a_deep_stack(another_key);
}

fn another_key() {
    let _clock = clock();
    let other = PinnedGateway { key: Identity::from_secret([78; 32]).public(), ..gateway() };
    let mut world = World::new(3, 0.0, anywhere(), other);
    world.wait_for(Stage::NotIntroduced(NoIntroduction::OtherKey));
    let town = world.town.borrow();
    // The host's conversation is the only one that it has.
    assert_eq!((town.gateway.counters().sessions, town.enrolled.len()), (1, 0));
    assert!(!world.seen.stages.borrow().contains(&Stage::Connecting));
}

#[test]
fn who_has_not_the_hosts_key_is_not_let_in_by_an_introduction() {
    on_a_deep_stack(impostor);
}

fn impostor() {
    let _clock = clock();
    let mut world = World::new(4, 0.0, anywhere(), gateway());
    // The gateway leads to somebody who knows the host's public key, and no more.
    world.host.1.identity = Identity::from_secret([66; 32]);
    world.wait_for(Stage::NotIntroduced(NoIntroduction::NotFound));
    let (key, _) = world.seen.starts.borrow()[0];
    world.town.borrow_mut().granted = Some(key);
    // Both ways of calling are tried, twice.
    let is_over = |stage: &&Stage| matches!(stage, Stage::Pausing(_));
    world.wait_until(|stages| stages.iter().filter(is_over).count() >= 4);
    assert!(world.town.borrow().gateway.counters().introductions >= 4);
    assert!(world.host.0.stats().discarded > 0, "the checks led to him, and he was called");
    let stages = world.seen.stages.borrow();
    assert!(stages.contains(&Stage::Connecting) && !stages.contains(&Stage::Admitted), "{stages:?}");
    assert_eq!(world.host.0.stats().sessions_opened, 0);
}
