//! A socket that is full: nothing is lost, nothing spins, input goes on.
//!
//! On loopback a socket never fills up, so the test runs itself in a network namespace whose loopback is slow.

mod support;

use rift::{Event, InputEvent, Scancode};
use rift_mio::SocketConfig;
use support::{Driver, Host, admitted, client, host_identity, in_namespace, turn_until};

/// 3 Mbit/s, and a queue that drops nothing.
const SLOW: &str = "ip link set lo up && tc qdisc add dev lo root tbf rate 3mbit burst 10kb limit 30mb";

#[test]
fn full_socket_is_waited_for() {
    in_namespace(SLOW);
}

#[test]
#[ignore = "run by full_socket_is_waited_for in a namespace of its own"]
fn inside() {
    const PICTURES: u32 = 12;
    let config = SocketConfig { send_buffer: 16_384, ..SocketConfig::default() };
    let address = "127.0.0.1:0".parse().expect("an address");
    let driver = Driver::bind_with(&config, address, &host_identity().public(), [9; 32]).expect("free");
    let host = Host::run(driver, None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    let key = Scancode::new(30).expect("A");
    let now = client.clock().now();
    client.session().send_input(now, InputEvent::Key { key, pressed: true }).expect("room");
    let mut got = 0;
    for id in 1..=PICTURES {
        let sent = host.on_thread(move |application, driver| {
            let now = driver.clock().now();
            let picture = application.push(now, id, None, &[id as u8; 40_000]);
            driver.sessions_mut().all(|(_, _, session)| session.send_picture(now, picture).is_ok())
        });
        assert!(sent, "there is room for one");
        turn_until(&mut client, |session, event| {
            let Event::Picture(id) = event else { return false };
            assert!(session.media(id).expect("lent").payload == [id.0 as u8; 40_000]);
            session.release_media(id);
            got += 1;
            true
        });
    }
    host.expect(|event| *event == Event::Input(InputEvent::Key { key, pressed: true }));
    let stats = host.on_thread(|_, driver| driver.socket().stats());
    let now = client.clock().now();
    let session = client.session().stats(now);
    println!("{stats:?}\n{session:?}");
    assert_eq!(got, PICTURES);
    assert!(stats.blocked > 0, "the socket was full: {stats:?}");
    assert_eq!((stats.failed, stats.no_buffers, session.packets_missing), (0, 0, 0), "nothing was lost");
    // Each datagram that leaves makes room and wakes the driver, a few times where a batch needs the room of several. One
    // that does not wait tries a hundred times as often.
    assert!(stats.blocked < 10 * stats.datagrams_sent, "{stats:?}");
}
