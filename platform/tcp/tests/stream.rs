//! Streams on this machine's loopback: what goes through, who gets none, and what each may take.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;

use rift::Identity;
use rift_tcp::{Dialer, Limits, Listener, TUNNELS_MAX};

/// A hang guard.
const GUARD: Duration = Duration::from_secs(60);

fn identity(seed: u8) -> Identity {
    Identity::from_secret([seed; 32])
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket
}

fn listener(service: &UdpSocket, limits: Limits) -> Listener {
    let any = "127.0.0.1:0".parse().unwrap();
    Listener::start(&identity(1), any, service.local_addr().unwrap(), limits).unwrap()
}

/// Until `look` says so.
fn wait(what: &str, mut look: impl FnMut() -> bool) {
    let (_never, nothing) = mpsc::channel::<()>();
    for _ in 0..6_000 {
        if look() {
            return;
        }
        let _ = nothing.recv_timeout(Duration::from_millis(10));
    }
    panic!("{what} did not happen");
}

/// One there and one back, begun again while the stream opens.
fn exchange(driver: &UdpSocket, service: &UdpSocket, lent: SocketAddr) -> SocketAddr {
    driver.send_to(b"hello", lent).unwrap();
    let mut bytes = [0; 64];
    let (len, from) = service.recv_from(&mut bytes).unwrap();
    assert_eq!(&bytes[..len], b"hello");
    service.send_to(b"welcome", from).unwrap();
    let (len, back) = driver.recv_from(&mut bytes).unwrap();
    assert_eq!((&bytes[..len], back), (&b"welcome"[..], lent));
    from
}

#[test]
fn datagrams_of_every_size_come_through_both_ways_and_each_stream_is_one_more_address() {
    let (service, driver, other) = (socket(), socket(), socket());
    let listener = listener(&service, Limits::default());
    let dialer = Dialer::new().unwrap();
    let lend = |driver: &UdpSocket| {
        let driver = driver.local_addr().unwrap();
        dialer.lend(driver, listener.local_addr(), &identity(1).public()).unwrap()
    };
    let (lent, lent_to_other) = (lend(&driver), lend(&other));
    assert_eq!(lent, lend(&driver), "the same for the same");
    let from = exchange(&driver, &service, lent);
    let other_from = exchange(&other, &service, lent_to_other);
    assert!(
        from != other_from && from.ip() == other_from.ip(),
        "two streams of one network: {from}, {other_from}"
    );
    assert!(from.ip().is_loopback() && from.ip() != driver.local_addr().unwrap().ip());
    let mut bytes = vec![0; 65_536];
    for len in (1..1500).step_by(53).chain([1500, 4096, 8952, 8961]) {
        let sent: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
        driver.send_to(&sent, lent).unwrap();
        let (came, peer) = service.recv_from(&mut bytes).unwrap();
        assert!(bytes[..came] == sent && peer == from, "{len} there");
        service.send_to(&sent, from).unwrap();
        let came = driver.recv(&mut bytes).unwrap();
        assert!(bytes[..came] == sent, "{len} back");
    }
    assert!(dialer.is_open(listener.local_addr()));
    let counts = listener.counts();
    assert_eq!((counts.open, counts.accepted, counts.refused), (2, 2, 0));
}

/// SPEC §18.10/1, §18.10/2.
#[test]
fn who_has_another_key_than_the_pinned_one_gets_no_byte_of_what_was_sent() {
    let (service, driver) = (socket(), socket());
    let listener = listener(&service, Limits::default());
    let dialer = Dialer::new().unwrap();
    let wrong = identity(2).public();
    let lent = dialer.lend(driver.local_addr().unwrap(), listener.local_addr(), &wrong).unwrap();
    driver.send_to(b"a secret", lent).unwrap();
    // Both ports, a pause, and again: each time the key is looked at first.
    wait("three tries", || listener.counts().accepted >= 3);
    assert!(!dialer.is_open(listener.local_addr()));
    service.set_nonblocking(true).unwrap();
    assert_eq!(service.recv(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let right = identity(1).public();
    let lent = dialer.lend(driver.local_addr().unwrap(), listener.local_addr(), &right).unwrap();
    service.set_nonblocking(false).unwrap();
    exchange(&driver, &service, lent);
}

#[test]
fn stream_that_is_lost_is_opened_again_by_the_next_datagram() {
    let (service, driver) = (socket(), socket());
    let first = listener(&service, Limits::default());
    let dialer = Dialer::new().unwrap();
    let address = first.local_addr();
    let lent = dialer.lend(driver.local_addr().unwrap(), address, &identity(1).public()).unwrap();
    exchange(&driver, &service, lent);
    drop(first);
    wait("its end is noticed", || !dialer.is_open(address));
    let service_address = service.local_addr().unwrap();
    let again = Listener::start(&identity(1), address, service_address, Limits::default()).unwrap();
    exchange(&driver, &service, lent);
    assert_eq!(again.counts().accepted, 1);
}

#[test]
fn strangers_of_one_network_take_no_more_than_their_share_and_have_to_prove_something() {
    let service = socket();
    let proof = Duration::from_secs(1);
    let limits = Limits { per_network: 3, proof, ..Limits::default() };
    let listener = listener(&service, limits);
    let mut streams: Vec<TcpStream> = Vec::new();
    for number in 0..5 {
        let mut stream = TcpStream::connect(listener.local_addr()).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        if number == 1 {
            // No TLS at all: the end of it at once.
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap_or_default();
        }
        streams.push(stream);
    }
    // The one that spoke something else made room for another.
    wait("two are refused or one", || listener.counts().refused >= 1);
    assert!(listener.counts().open <= 3);
    for stream in &mut streams {
        // Closed by the listener, sooner or later, without a word.
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)));
    }
    wait("all are gone", || listener.counts().open == 0);
    assert!(listener.counts().unproven >= 2);
    // Who has the key pinned, but is nobody whom the service answers, has no more time than they.
    let (driver, dialer) = (socket(), Dialer::new().unwrap());
    let key = identity(1).public();
    let lent = dialer.lend(driver.local_addr().unwrap(), listener.local_addr(), &key).unwrap();
    let before = listener.counts().unproven;
    driver.send_to(b"hello", lent).unwrap();
    wait("it is closed", || listener.counts().unproven > before);
}

/// Head-of-line answer: while nobody reads, what waits is bounded, and afterwards the newest is there soon, input first.
#[test]
fn stream_that_stalls_loses_old_pictures_and_no_memory() {
    let (service, driver) = (socket(), socket());
    let listener = listener(&service, Limits::default());
    let dialer = Dialer::new().unwrap();
    let lent =
        dialer.lend(driver.local_addr().unwrap(), listener.local_addr(), &identity(1).public()).unwrap();
    exchange(&driver, &service, lent);
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut bytes = [0; 2048];
        loop {
            let len = service.recv(&mut bytes).unwrap();
            if &bytes[..len] == b"the end" {
                return tell.send(()).unwrap();
            }
        }
    });
    // Far more than the line's buffers, as fast as it goes; then input until one comes through.
    for _ in 0..20_000 {
        driver.send_to(&[7; 1200], lent).unwrap();
    }
    wait("input comes through", || {
        driver.send_to(b"the end", lent).unwrap();
        told.try_recv().is_ok()
    });
    reader.join().unwrap();
}

#[test]
fn tunnels_are_bounded_and_the_longest_unused_goes() {
    let (driver, dialer) = (socket(), Dialer::new().unwrap());
    let driver = driver.local_addr().unwrap();
    let service = |number: usize| SocketAddr::from(([192, 0, 2, number as u8], 4748));
    let lend = |number| dialer.lend(driver, service(number), &identity(1).public()).unwrap();
    let first = lend(0);
    for number in 1..TUNNELS_MAX {
        lend(number);
    }
    assert_eq!(lend(0), first);
    lend(TUNNELS_MAX);
    assert_eq!(lend(0), first, "it was used after the others");
    assert!(dialer.lend(driver, service(0), &rift::PublicKey::from_bytes([0; 32])).is_err(), "no key");
}
