//! Every order in which the datagrams of a handshake can be lost, delayed, doubled and overtaken (SPEC §4.5, §4.6): one
//! session comes of it, of the right peers, whatever happens to the first four.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use rift::Permissions;
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{Fate, LinkConfig, Time};

const DELAY_MS: u64 = 10;
const FATED: usize = 4;

/// What may become of a datagram. A delayed one arrives behind two that were sent after it.
const FATES: [Fate; 4] = [
    Fate::Pass,
    Fate::Drop,
    Fate::Delay(Duration::from_millis(3 * DELAY_MS)),
    Fate::Duplicate(Duration::from_millis(5 * DELAY_MS / 2)),
];

fn every_order_gives_one_session(call: Option<u64>) {
    let mut longest = Duration::ZERO;
    for order in 0..FATES.len().pow(u32::try_from(FATED).expect("few")) {
        let link = LinkConfig { delay: Duration::from_millis(DELAY_MS), ..LinkConfig::default() };
        let mut pair = Pair::new(&PairConfig { call, ..PairConfig::new(7, link) });
        let count = Rc::new(Cell::new(0));
        pair.network.set_tamper(move |_, _| {
            let index = count.replace(count.get() + 1);
            if index < FATED {
                FATES[order / FATES.len().pow(index as u32) % FATES.len()]
            } else {
                Fate::Pass
            }
        });
        let client = pair.client;
        let came = pair.network.run_while(Time::from_secs(4), Duration::from_millis(1), |network| {
            network.host(client).client().session().permissions() == Some(Permissions::default_control())
        });
        assert!(came, "order {order:#06x} of {call:?}");
        longest = longest.max(pair.network.now() - Time::ZERO);
        pair.network.run_for(Duration::from_millis(300));
        assert_eq!(pair.host().guests.len(), 1, "order {order:#06x} of {call:?}");
        let guest = &pair.host().guests[0].session;
        assert!(guest.is_established() && guest.is_live(), "order {order:#06x} of {call:?}");
        assert_eq!(guest.peer(), Some(pair.client_identity.public()), "order {order:#06x} of {call:?}");
        assert_eq!(pair.client().closed(), None, "order {order:#06x} of {call:?}");
        assert!(pair.host().pending() <= 1, "order {order:#06x} of {call:?}");
    }
    // When all four are lost the fifth leaves 100, 150, 225 and 337 ms after one another: two round trips are left.
    assert!(longest < Duration::from_millis(812 + 4 * DELAY_MS + 10), "{longest:?}");
}

#[test]
fn every_order_of_an_xx_handshake_gives_one_session() {
    every_order_gives_one_session(None);
}

#[test]
fn every_order_of_a_call_gives_one_session() {
    every_order_gives_one_session(Some(1));
}
