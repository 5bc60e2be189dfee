//! A second thread's shortcut to a session.

mod support;

use core::sync::atomic::{AtomicBool, Ordering};

use rift::{CloseReason, Event, InputEvent, Scancode};
use rift_mio::SharedClient;
use support::{HANG, Host, admitted, client};

#[test]
fn input_through_the_shortcut_arrives_once_and_in_order_beside_the_drivers_own() {
    const EVENTS: u16 = 100;
    let host = Host::start("127.0.0.1:0", None);
    let mut client = client(1, host.address);
    admitted(&mut client);
    let mut driver = SharedClient::new(client);
    let (shortcut, clock) = (driver.shortcut(), driver.clock());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                driver.turn(&mut |_, _| {}).expect("polling works");
            }
        });
        let give_up = clock.now() + HANG;
        for x in 0..EVENTS {
            let event = InputEvent::PointerAbsolute { x, y: 1 };
            let key = InputEvent::Key { key: Scancode::new(30).expect("A"), pressed: x % 2 == 0 };
            let mut is_sent = false;
            while !is_sent {
                assert!(clock.now() < give_up, "event {x} is taken");
                let sent = shortcut.try_command(|session, now| {
                    session.input_backlog() < 2
                        && session.send_input(now, event).is_ok()
                        && session.send_input(now, key).is_ok()
                });
                is_sent = sent.unwrap_or(false);
            }
        }
        for wanted in 0..EVENTS {
            let (_, event) =
                host.expect(|event| matches!(event, Event::Input(InputEvent::PointerAbsolute { .. })));
            assert_eq!(event, Event::Input(InputEvent::PointerAbsolute { x: wanted, y: 1 }));
        }
        over.store(true, Ordering::Release);
        shortcut.wake();
    });
    shortcut.try_command(|session, now| session.close(now, CloseReason::Done)).expect("nobody else is there");
    host.expect(|event| matches!(event, Event::Closed(CloseReason::Done)));
}
