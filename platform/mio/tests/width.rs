//! Datagrams are never fragmented, and become as long as the interface carries them: what it refuses is no loss.
//!
//! The loopback of this machine carries 65536 bytes, so the test runs itself in a network namespace whose loopback is
//! narrower.

mod support;

use rift::Config;
use support::{Host, admitted, client_with, in_namespace, turn_until};

/// Bytes of a packet that the link carries, less IPv4 and UDP headers.
const CARRIED: u16 = 1400 - 28;
const NARROW: &str = "ip link set lo up mtu 1400";

#[test]
fn interface_that_carries_less_is_noticed_without_a_loss() {
    in_namespace(NARROW);
}

#[test]
#[ignore = "run by interface_that_carries_less_is_noticed_without_a_loss in a namespace of its own"]
fn inside() {
    let config = Config { datagram_len_max: 8952, datagram_len_taken: 8952, ..Config::default() };
    let host = Host::start("127.0.0.1:0", None);
    host.on_thread(move |application, _| application.config = config);
    let mut client = client_with(1, host.address, &config);
    admitted(&mut client);
    let mut picture = 0;
    // Turns are what finds the width: a picture each keeps both sides awake.
    loop {
        picture += 1;
        let len = host.on_thread(move |application, driver| {
            let now = driver.clock().now();
            let picture = application.push(now, picture, None, &[7; 4_000]);
            let mut sessions = driver.sessions_mut();
            let (_, _, session) = sessions.next().expect("the client is here");
            let _ = session.send_picture(now, picture);
            session.datagram_len()
        });
        turn_until(&mut client, |session, event| {
            let rift::Event::Picture(id) = event else { return false };
            assert!(session.media(id).expect("lent").payload == [7; 4_000]);
            session.release_media(id);
            true
        });
        if len > CARRIED - 16 && client.session().datagram_len() > CARRIED - 16 {
            break;
        }
        assert!(len <= CARRIED && picture < 3_000, "{len} bytes after {picture} pictures");
    }
    let stats = host.on_thread(|_, driver| driver.socket().stats());
    let now = client.clock().now();
    let missing = client.session().stats(now).packets_missing;
    println!("{stats:?}, {picture} pictures");
    assert!(stats.too_large > 0, "longer ones were tried: {stats:?}");
    assert!(missing <= stats.too_large, "nothing else was lost: {missing}");
}
