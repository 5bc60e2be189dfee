//! A host is called at once where somebody said that it may be, while a gateway is asked: whoever answers first is it, if it
//! has the key, and the places where it is not hear a call and nothing else.

mod support;

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use rift::paths::Via;
use rift::wire::Kind;
use rift::{Callee, Config, Event, Identity, Noise, Opening, PathId, Session};
use rift_mio::{
    ClientDriver, Clock, Finder, GatewayPlace, GatewayState, SharedClient, SocketConfig, UsedWay,
    desktop_memory,
};
use support::{Client, HANG, Host, client_identity, host_identity, turn_until};

/// Somebody who listens and says nothing.
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

/// The kinds of all datagrams that have come.
fn heard(socket: &UdpSocket) -> Vec<Option<Kind>> {
    socket.set_nonblocking(true).expect("a socket");
    let mut datagram = [0; 2048];
    let next = || socket.recv(&mut datagram).ok().map(|_| Kind::of(datagram[0]));
    core::iter::from_fn(next).collect()
}

fn finder(gateway: SocketAddr, places: &[SocketAddr]) -> Finder {
    let place = GatewayPlace { key: Identity::from_secret([77; 32]).public(), address: gateway };
    let (config, host) = (SocketConfig::default(), host_identity().public());
    let finder = Finder::new(&config, place, host, &client_identity(1), None).expect("a socket");
    finder.with_places(places)
}

/// Each call of a client has a greater counter than the one before.
fn call(finder: Finder, counter: u8) -> Client {
    let handshake = Noise::initiator(&client_identity(1), [counter; 32], Opening::IK);
    let callee = Callee { host: host_identity().public(), counter: counter.into(), token: None };
    let (memory, now) = (desktop_memory(true), Clock::new().now());
    let session = Session::call(&Config::default(), handshake, &callee, 8, memory, PathId(0), now);
    ClientDriver::introduced(finder, session)
}

#[test]
fn first_place_where_the_host_answers_is_the_way_and_the_others_hear_only_the_call() {
    let host = Host::start("127.0.0.1:0", None);
    let ((gateway, at_gateway), (stranger, elsewhere)) = (silent(), silent());
    let nobody = silent().1;
    for (places, counter) in
        [[elsewhere, nobody, host.address], [host.address, elsewhere, nobody]].into_iter().zip(1..)
    {
        let mut finder = finder(at_gateway, &places);
        assert!(finder.turn(HANG).expect("polling works"), "there is nothing to wait for");
        assert!(finder.asked().is_open && finder.state() == GatewayState::Calling);
        let mut client = call(finder, counter);
        turn_until(&mut client, |_, event| matches!(event, Event::Admitted(_)));
        for _ in 0..5 {
            client.turn(&mut |_, _| {}).expect("polling works");
        }
        let client = SharedClient::new(client);
        let way = UsedWay { via: Via::Direct(host.address), address: host.address, is_streamed: false };
        assert_eq!(client.way(), Some(way), "{places:?}");
        assert!(!client.asked().expect("there is a gateway").is_open);
        let strange = heard(&stranger);
        assert!((1..=4).contains(&strange.len()), "the call came, and no more: {strange:?}");
        assert!(!strange.contains(&Some(Kind::Data)), "nothing of the session: {strange:?}");
        assert!(!heard(&gateway).is_empty(), "the gateway is asked meanwhile");
    }
}

#[test]
fn places_where_the_host_is_not_leave_the_call_open() {
    let (gateway, elsewhere) = (silent().1, silent());
    let mut finder = finder(gateway, &[elsewhere.1]);
    assert!(finder.turn(HANG).expect("polling works"));
    let mut client = SharedClient::new(call(finder, 1));
    for _ in 0..6 {
        client.turn(&mut |_, event| panic!("nobody answers: {event:?}")).expect("polling works");
        assert_eq!(client.way(), None);
        assert!(client.asked().expect("there is a gateway").is_open);
    }
    assert!(!heard(&elsewhere.0).is_empty());
}

#[test]
fn no_places_are_no_call() {
    let mut finder = finder(silent().1, &[]);
    assert!(!finder.turn(Duration::ZERO).expect("polling works"));
}
