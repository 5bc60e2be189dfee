//! The stacks of boards with the operating system's, over a TAP device in a network namespace, a tenth of all frames lost
//! each way.

use core::net::SocketAddr;
use core::time::Duration;

use rift_mio::Clock;
use wavry_interop::board::{PORT, Place};
use wavry_interop::system::{self, Party};
use wavry_interop::tap::{Tap, is_inside_namespace};
use wavry_interop::{EmbassyClient, EmbassyHost, Lossy, Node, SmoltcpClient, SmoltcpHost};

const LOSS: f64 = 0.1;
const HANG_US: u64 = 30_000_000;

/// A cable to the operating system, network 10.93.`net`.0/24; the system has number 1.
fn cable(net: u8) -> Lossy<Tap> {
    let tap = Tap::new(&format!("interop{net}"), &format!("10.93.{net}.1/24"));
    Lossy::new(tap.expect("a namespace of one's own allows it"), net.into(), LOSS)
}

fn run(what: &str, mut board: Box<dyn Node>, party: Party) {
    let clock = Clock::new();
    let begun = clock.now();
    while !board.is_done() && clock.now().micros_since(begun) < HANG_US {
        board.step(clock.now());
        system::pause(Duration::from_micros(300));
    }
    // The other side may still wait for the last goodbye.
    let until = clock.now().plus_micros(300_000);
    while clock.now() < until {
        board.step(clock.now());
        system::pause(Duration::from_micros(300));
    }
    board.verdict().unwrap_or_else(|wrong| panic!("{what}: the board: {wrong}"));
    party.verdict().unwrap_or_else(|wrong| panic!("{what}: the system: {wrong}"));
    eprintln!("{what}: {} ms", clock.now().micros_since(begun) / 1000);
}

/// One test, since embassy's clock is one to a process.
#[test]
fn every_board_stack_watches_and_steers_the_system_and_is_watched_by_it() {
    if !is_inside_namespace("every_board_stack_watches_and_steers_the_system_and_is_watched_by_it") {
        return;
    }
    let now = Clock::new().now();
    let system_at = |net: u8| SocketAddr::from(([10, 93, net, 1], PORT));
    let board_at = |net: u8| SocketAddr::from(([10, 93, net, 2], PORT));

    let frames = cable(1);
    let party = system::share(system_at(1), 1);
    run(
        "smoltcp client, mio host",
        Box::new(SmoltcpClient::new(frames, Place::new(1, 2), system_at(1), 1, now)),
        party,
    );

    let frames = cable(2);
    let party = system::share(system_at(2), 2);
    run(
        "embassy client, mio host",
        Box::new(EmbassyClient::new(frames, Place::new(2, 2), system_at(2), 2, now)),
        party,
    );

    let frames = cable(3);
    let host = SmoltcpHost::new(frames, Place::new(3, 2), 3, now);
    run("mio client, smoltcp host", Box::new(host), system::watch(board_at(3), 3));

    let frames = cable(4);
    let host = EmbassyHost::new(frames, Place::new(4, 2), 4, now);
    run("mio client, embassy host", Box::new(host), system::watch(board_at(4), 4));
}
