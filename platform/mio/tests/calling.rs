//! Calls to a pinned host over loopback: in, live, a token for the next time, and a host that restarts in between
//! (SPEC §4.11–§4.14).

mod support;

use rift::{
    AddressToken, Callee, Config, Event, InputEvent, Noise, Opening, PathId, PictureId, Scancode, Session,
};
use rift_mio::{ClientDriver, Clock, SocketConfig, desktop_memory};
use support::{Client, Driver, Host, client_identity, host_identity, turn_until};

const SECRET: [u8; 32] = [9; 32];

fn caller(host: &Host, counter: u64, token: Option<AddressToken>) -> Client {
    let ephemeral = [u8::try_from(counter).expect("small"); 32];
    let handshake = Noise::initiator(&client_identity(1), ephemeral, Opening::IK);
    let callee = Callee { host: host_identity().public(), counter, token };
    let connection = u32::try_from(counter).expect("small") + 7;
    let (memory, now) = (desktop_memory(true), Clock::new().now());
    let session = Session::call(&Config::default(), handshake, &callee, connection, memory, PathId(0), now);
    ClientDriver::connect(&SocketConfig::default(), host.address, session).expect("loopback is there")
}

/// Turns until the host has given a token.
fn token(client: &mut Client) -> AddressToken {
    let mut token = None;
    turn_until(client, |_, event| {
        if let Event::AddressToken(given) = event {
            token = Some(given);
        }
        token.is_some()
    });
    token.expect("it was given")
}

/// A picture that is there before the caller is shown to it in full, and its key presses arrive.
fn is_served(host: &Host, client: &mut Client, id: u32) {
    host.expect(|event| *event == Event::Live);
    let bytes = vec![u8::try_from(id).expect("small"); 50_000];
    let pushed = bytes.clone();
    host.on_thread(move |application, driver| {
        let now = driver.clock().now();
        let picture = application.push(now, id, None, &pushed);
        for (_, _, session) in driver.sessions_mut() {
            // Who left a moment ago may still be there.
            let _ = session.send_picture(now, picture);
        }
    });
    turn_until(client, |session, event| {
        let Event::Picture(got) = event else { return false };
        assert_eq!((got, session.media(got).expect("lent").payload), (PictureId(id), &bytes[..]));
        session.release_media(got);
        true
    });
    let (now, key) = (client.clock().now(), Scancode::new(30).expect("A"));
    client.session().send_input(now, InputEvent::Key { key, pressed: true }).expect("room");
    while client.session().input_backlog() > 0 {
        client.turn(&mut |_, _| {}).expect("polling works");
    }
    host.expect(|event| matches!(event, Event::Input(_)));
}

#[test]
fn caller_is_served_and_comes_back_with_its_token() {
    let host = Host::start("127.0.0.1:0", None);
    let mut first = caller(&host, 1, None);
    let given = token(&mut first);
    is_served(&host, &mut first, 1);
    let mut second = caller(&host, 2, Some(given));
    let next = token(&mut second);
    assert_ne!(given, next, "each is for one call");
    is_served(&host, &mut second, 2);
}

#[test]
fn restarted_host_knows_its_caller_again() {
    let before = Host::start("127.0.0.1:0", None);
    let given = token(&mut caller(&before, 1, None));
    let address = before.address;
    drop(before);
    let driver = Driver::bind(address, &host_identity().public(), SECRET).expect("the port is free again");
    let after = Host::run(driver, None);
    let mut again = caller(&after, 2, Some(given));
    token(&mut again);
    is_served(&after, &mut again, 1);
}
