//! The stacks of boards with each other, in virtual time, over a cable that loses a tenth of all frames each way; in
//! some sessions the client moves to another address.

use core::net::{IpAddr, SocketAddr};

use rift::Instant;
use wavry_interop::board::{PORT, Place};
use wavry_interop::{EmbassyClient, EmbassyHost, End, Node, SmoltcpClient, SmoltcpHost, Wire};

const STEP_US: u64 = 250;
const DELAY_US: u64 = 4_000;
const HANG_US: u64 = 60_000_000;
const CLIENT: Place = Place::new(0, 1);
/// Where a client goes in the middle of a session, and when.
const ELSEWHERE: Place = Place::new(0, 3);
const MOVE_AT_US: u64 = 300_000;
const HOST: Place = Place::new(0, 2);

type HostMaker = fn(End, u64, Instant) -> Box<dyn Node>;
type ClientMaker = fn(End, SocketAddr, u64, Instant) -> Box<dyn Node>;

const CLIENTS: [(&str, ClientMaker); 2] = [
    ("smoltcp", |end, host, seed, now| Box::new(SmoltcpClient::new(end, CLIENT, host, seed, now))),
    ("embassy", |end, host, seed, now| Box::new(EmbassyClient::new(end, CLIENT, host, seed, now))),
];
const HOSTS: [(&str, HostMaker); 2] = [
    ("smoltcp", |end, seed, now| Box::new(SmoltcpHost::new(end, HOST, seed, now))),
    ("embassy", |end, seed, now| Box::new(EmbassyHost::new(end, HOST, seed, now))),
];

/// One test, since embassy's clock is one to a process.
#[test]
fn every_board_stack_watches_and_steers_every_other_over_a_lossy_cable() {
    let mut now = Instant::from_millis(1);
    for (client_name, make_client) in CLIENTS {
        for (host_name, make_host) in HOSTS {
            for (seed, address, loss, moves) in [
                (1, HOST.address.into(), 0.0, false),
                (2, HOST.address.into(), 0.1, false),
                (3, IpAddr::V6(HOST.address_v6), 0.1, false),
                (4, HOST.address.into(), 0.1, true),
                (5, IpAddr::V6(HOST.address_v6), 0.1, true),
            ] {
                let remote = SocketAddr::new(address, PORT);
                let what = format!(
                    "{client_name} client, {host_name} host {remote}, seed {seed}, loss {loss}, moves {moves}"
                );
                let (wire, [one, other]) = Wire::new(seed, loss, DELAY_US);
                wire.borrow_mut().advance(now);
                let (mut client, mut host) =
                    (make_client(one, remote, seed, now), make_host(other, seed, now));
                let (begun, mut is_moved) = (now, false);
                while !(client.is_done() && host.is_done()) {
                    now = now.plus_micros(STEP_US);
                    wire.borrow_mut().advance(now);
                    if moves && !is_moved && now.micros_since(begun) > MOVE_AT_US {
                        assert!(!client.is_done(), "{what}: it moves in the middle of the session");
                        client.move_to(ELSEWHERE);
                        is_moved = true;
                    }
                    client.step(now);
                    host.step(now);
                    if now.micros_since(begun) > HANG_US {
                        break;
                    }
                }
                client.verdict().unwrap_or_else(|wrong| panic!("{what}: the client: {wrong}"));
                host.verdict().unwrap_or_else(|wrong| panic!("{what}: the host: {wrong}"));
                eprintln!("{what}: {} ms", now.micros_since(begun) / 1000);
            }
        }
    }
}
