//! Sessions between drivers over loopback: one behaviour a test.

mod support;

use rift::limits::SESSIONS_MAX;
use rift::{
    CloseReason, Config, Event, Identity, InputEvent, Permissions, PictureId, Scancode, SessionIndex,
};
use rift_mio::{ClientDriver, SocketConfig};
use support::{Client, HANG, Host, admitted, client, client_identity, host_identity, session, turn_until};

fn send_picture(host: &Host, id: u32, bytes: Vec<u8>) {
    host.on_thread(move |application, driver| {
        let now = driver.clock().now();
        let picture = application.push(now, id, None, &bytes);
        for (_, _, session) in driver.sessions_mut() {
            session.send_picture(now, picture).expect("room");
        }
    });
}

fn expect_picture(client: &mut Client, id: u32, bytes: &[u8]) {
    turn_until(client, |session, event| {
        let Event::Picture(got) = event else { return false };
        assert_eq!(got, PictureId(id));
        assert!(session.media(got).expect("lent").payload == bytes, "the bytes are those sent");
        session.release_media(got);
        true
    });
}

fn picture_and_input_cross(address: &str) {
    let host = Host::start(address, None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    let bytes: Vec<u8> = (0..150_000u32).map(|value| (value * 7 / 3) as u8).collect();
    send_picture(&host, 1, bytes.clone());
    expect_picture(&mut client, 1, &bytes);
    let key = Scancode::new(30).expect("A");
    let inputs = [
        InputEvent::PointerAbsolute { x: 7, y: 9 },
        InputEvent::Key { key, pressed: true },
        InputEvent::Key { key, pressed: false },
    ];
    let now = client.clock().now();
    for input in inputs {
        client.session().send_input(now, input).expect("room");
    }
    while client.session().input_backlog() > 0 {
        client.turn(&mut |_, _| {}).expect("polling works");
    }
    for input in inputs {
        let (index, event) = host.expect(|event| matches!(event, Event::Input(_)));
        assert_eq!((index, event), (SessionIndex(0), Event::Input(input)));
    }
}

#[test]
fn picture_and_input_cross_ipv4() {
    picture_and_input_cross("127.0.0.1:0");
}

#[test]
fn picture_and_input_cross_ipv6() {
    picture_and_input_cross("[::1]:0");
}

#[test]
fn host_on_any_address_takes_both_families() {
    let host = Host::start("[::]:0", None);
    let port = host.address.port();
    let mut old = client(1, ([127, 0, 0, 1], port).into());
    admitted(&mut old);
    let mut new = client(2, (core::net::Ipv6Addr::LOCALHOST, port).into());
    admitted(&mut new);
    let from = host.on_thread(|_, driver| driver.sessions_mut().map(|entry| entry.1).collect::<Vec<_>>());
    assert_eq!(from, [old.local_addr(), new.local_addr()]);
}

#[test]
fn host_on_any_address_answers_from_the_one_that_was_asked() {
    let host = Host::start("0.0.0.0:0", None);
    // A connected client takes answers from this address only.
    let mut client = client(1, ([127, 0, 0, 77], host.address.port()).into());
    admitted(&mut client);
}

#[test]
fn second_viewer_sees_the_same_picture() {
    let host = Host::start("127.0.0.1:0", None);
    let (mut first, mut second) = (client(1, host.address), client(2, host.address));
    admitted(&mut first);
    admitted(&mut second);
    assert_eq!(host.on_thread(|_, driver| driver.session_count()), 2);
    let bytes: Vec<u8> = (0..40_000u32).map(|value| (value * 11 / 5) as u8).collect();
    send_picture(&host, 1, bytes.clone());
    expect_picture(&mut first, 1, &bytes);
    expect_picture(&mut second, 1, &bytes);
}

#[test]
fn client_that_comes_late_to_many_pictures_gets_each() {
    const PICTURES: u32 = 12;
    let host = Host::start("127.0.0.1:0", None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    for id in 1..=PICTURES {
        send_picture(&host, id, vec![id as u8; 1500]);
        while host.on_thread(|_, driver| driver.sessions_mut().any(|entry| entry.2.video_backlog_bytes() > 0))
        {
        }
    }
    let mut got = Vec::new();
    turn_until(&mut client, |session, event| {
        if let Event::Picture(id) = event {
            assert!(session.media(id).expect("lent").payload == [id.0 as u8; 1500]);
            session.release_media(id);
            got.push(id.0);
        }
        got.last() == Some(&PICTURES)
    });
    assert_eq!(got, (1..=PICTURES).collect::<Vec<_>>());
}

#[test]
fn idle_session_turns_rarely() {
    let host = Host::start("127.0.0.1:0", None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    let end = client.clock().now().plus_micros(1_500_000);
    let mut turns = 0;
    while client.clock().now() < end {
        client.turn(&mut |_, _| {}).expect("polling works");
        turns += 1;
    }
    println!("{turns} turns");
    // Each is for something; a driver that spins makes a hundred thousand.
    assert!(turns < 3000, "{turns} turns");
}

#[test]
fn refused_peer_is_told() {
    let host = Host::start("127.0.0.1:0", Some(client_identity(3).public()));
    let mut client = client(3, host.address);
    turn_until(&mut client, |_, event| {
        assert!(!matches!(event, Event::Admitted(_)));
        event == Event::Closed(CloseReason::Refused)
    });
    assert!(client.session().is_closed());
    assert_eq!(host.on_thread(|_, driver| (driver.session_count(), driver.stats().refused)), (0, 1));
}

#[test]
fn one_client_more_than_there_are_places_is_told_busy() {
    let host = Host::start("127.0.0.1:0", None);
    let most = u8::try_from(SESSIONS_MAX).expect("fewer than 156");
    // They need no more turns: their sessions are idle for some seconds before they end.
    let _clients: Vec<_> = (0..most)
        .map(|number| {
            let mut client = client(number, host.address);
            admitted(&mut client);
            client
        })
        .collect();
    let mut client = client(most, host.address);
    turn_until(&mut client, |_, event| event == Event::Closed(CloseReason::Busy));
    assert_eq!(
        host.on_thread(|_, driver| (driver.session_count(), driver.stats().refused)),
        (SESSIONS_MAX, 1)
    );
}

#[test]
fn host_with_another_key_does_not_answer() {
    let host = Host::start("127.0.0.1:0", None);
    let other = Identity::from_secret([77; 32]).public();
    let config = Config { handshake_us: 300_000, ..Config::default() };
    let session = session(1, other, 1, &config);
    let mut client: Client =
        ClientDriver::connect(&SocketConfig::default(), host.address, session).expect("loopback is there");
    turn_until(&mut client, |_, event| event == Event::Closed(CloseReason::Unanswered));
    assert_eq!(host.on_thread(|_, driver| driver.session_count()), 0);
}

#[test]
fn nobody_at_the_port_ends_as_unanswered_and_is_counted() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let config = Config { handshake_us: 300_000, ..Config::default() };
    let session = session(1, host_identity().public(), 1, &config);
    let mut client: Client =
        ClientDriver::connect(&SocketConfig::default(), address, session).expect("loopback is there");
    turn_until(&mut client, |_, event| event == Event::Closed(CloseReason::Unanswered));
    assert!(client.socket().stats().refused > 0, "{:?}", client.socket().stats());
}

#[test]
fn revoked_client_is_told_and_its_place_is_free_again() {
    let host = Host::start("127.0.0.1:0", None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    host.on_thread(|_, driver| {
        let now = driver.clock().now();
        driver.session_mut(SessionIndex(0)).expect("the only one").close(now, CloseReason::Revoked);
    });
    turn_until(&mut client, |_, event| event == Event::Closed(CloseReason::Revoked));
    host.expect(|event| matches!(event, Event::Closed(_)));
    let left = host.on_thread(|application, driver| (driver.session_count(), application.closed));
    assert_eq!(left, (0, 1));
}

#[test]
fn permissions_can_be_changed_between_turns() {
    let host = Host::start("127.0.0.1:0", None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    host.on_thread(|_, driver| {
        let now = driver.clock().now();
        driver.session_mut(SessionIndex(0)).expect("the only one").admit(now, Permissions::VIEW);
    });
    turn_until(&mut client, |_, event| event == Event::Admitted(Permissions::VIEW));
}

#[test]
fn waker_ends_the_wait_from_another_thread_and_before_it() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let config = Config { handshake_us: 600_000_000, ..Config::default() };
    let session = session(1, host_identity().public(), 1, &config);
    let mut client: Client =
        ClientDriver::connect(&SocketConfig::default(), silent.local_addr().expect("bound"), session)
            .expect("loopback is there");
    let waker = client.waker();
    let give_up = client.clock().now() + HANG;
    // Repetitions of the handshake end turns as well, but every second or two: a thousand of them would take long.
    for _ in 0..1000 {
        waker.wake();
        client.turn(&mut |_, _| {}).expect("polling works");
        assert!(client.clock().now() < give_up, "the turn ends");
    }
    let other = client.waker();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while gone.recv().is_ok() {
            other.wake();
        }
    });
    for _ in 0..1000 {
        go.send(()).expect("the thread lives");
        client.turn(&mut |_, _| {}).expect("polling works");
        assert!(client.clock().now() < give_up, "the turn ends");
    }
    drop(go);
    thread.join().expect("it did not panic");
}

#[test]
fn client_begins_again_with_the_same_driver() {
    let host = Host::start("127.0.0.1:0", None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    let waker = client.waker();
    let again = session(1, host_identity().public(), 2, &Config::default());
    let old = client.reconnect(host.address, again).expect("loopback is there");
    assert!(old.is_established());
    admitted(&mut client);
    waker.wake();
    client.turn(&mut |_, _| {}).expect("polling works");
}

#[test]
fn client_that_moves_to_another_socket_keeps_its_session() {
    let host = Host::start("127.0.0.1:0", None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    let mut addresses = vec![client.local_addr()];
    for id in 1..4 {
        let bytes = vec![u8::try_from(id).expect("small"); 40_000];
        send_picture(&host, id, bytes.clone());
        expect_picture(&mut client, id, &bytes);
        // The host gives ids to move to once the client was let in.
        while client.move_socket().is_err() {
            client.turn(&mut |_, _| {}).expect("polling works");
        }
        assert!(!addresses.contains(&client.local_addr()), "another port");
        // What waits to leave when the client says that its old path is dead is given up.
        turn_until(&mut client, |_, event| matches!(event, Event::PathProven(_)));
        addresses.push(client.local_addr());
        let key = Scancode::new(30).expect("A");
        let now = client.clock().now();
        client.session().send_input(now, InputEvent::Key { key, pressed: id % 2 == 1 }).expect("permitted");
    }
    let bytes = vec![9; 40_000];
    send_picture(&host, 4, bytes.clone());
    expect_picture(&mut client, 4, &bytes);
    host.on_thread(|_, driver| {
        assert_eq!(driver.session_count(), 1, "the same session");
        assert_eq!(driver.stats().sessions_opened, 1);
    });
}
