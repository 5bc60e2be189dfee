//! A socket with a thread of its own: it waits, takes what is there, and answers.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;

use rift::{Class, Ecn, PathId, Transmit};
use rift_mio::{Clock, DedicatedSocket, Destination, Socket, SocketConfig};

/// Only against hanging for ever.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(at: Ipv4Addr, wait: Duration) -> (DedicatedSocket, SocketAddr) {
    let socket = Socket::bind(&SocketConfig::default(), (at, 0).into()).expect("a socket");
    let address = (Ipv4Addr::LOCALHOST, socket.local_addr().port()).into();
    (DedicatedSocket::new(socket, wait).expect("options"), address)
}

fn peer(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.connect(to).expect("loopback");
    socket
}

#[test]
fn all_that_is_there_is_taken_in_one_turn_and_answered() {
    const COUNT: u8 = 40;
    let (mut socket, address) = open(Ipv4Addr::LOCALHOST, PATIENCE);
    let peer = peer(address);
    for number in 0..COUNT {
        peer.send(&[number; 100]).expect("room");
    }
    let mut taken = Vec::new();
    let batches = socket.wait_and_answer(|sender, received| {
        taken.extend(received.bytes.chunks(received.stride).map(|datagram| datagram[0]));
        assert_eq!(received.local, None, "there is but one");
        let (class, ecn) = (Class::Media, Ecn::NotEct);
        let transmit = Transmit { path: PathId(0), len: 1, segment: None, class, ecn };
        sender
            .send(Destination { to: received.from, source: received.local }, &transmit, b"!")
            .expect("room");
    });
    assert!(batches.expect("a socket") <= DedicatedSocket::BATCHES);
    assert_eq!(taken, (0..COUNT).collect::<Vec<_>>());
    let mut answer = [0; 8];
    assert_eq!(peer.recv(&mut answer).expect("an answer"), 1);
}

#[test]
fn turn_ends_when_nothing_comes() {
    let (mut socket, _) = open(Ipv4Addr::LOCALHOST, Duration::from_millis(1));
    assert_eq!(socket.wait_and_answer(|_, _| panic!("nobody sends")).expect("a socket"), 0);
    assert_eq!(socket.wait_shortly_and_answer(1, |_, _| panic!("nobody sends")).expect("a socket"), 0);
}

#[test]
fn arrivals_are_the_kernels_when_asked_for_even_of_what_came_before() {
    let (mut socket, address) = open(Ipv4Addr::UNSPECIFIED, PATIENCE);
    let (peer, clock) = (peer(address), Clock::new());
    peer.send(b"one").expect("room");
    let sent_before = clock.now();
    socket.tell_arrivals(true).expect("an option");
    let mut seen = None;
    let take = |received: rift_mio::Received<'_>| Some((received.received_at, received.local));
    socket.wait_shortly_and_answer(1_000, |_, received| seen = take(received)).expect("a socket");
    let (at, local) = seen.expect("it came");
    // A look at two clocks makes times earlier, never later, but for their rounding.
    assert!(at <= sent_before.plus_micros(100), "it had come by then");
    assert_eq!(local, Some(Ipv4Addr::LOCALHOST.into()), "one of several");
    socket.tell_arrivals(false).expect("an option");
    peer.send(b"two").expect("room");
    let before = clock.now();
    socket.wait_and_answer(|_, received| seen = take(received)).expect("a socket");
    assert!(seen.expect("it came").0 >= before, "the turn's own time");
}
