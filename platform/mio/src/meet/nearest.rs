//! How far a gateway's relays are from here, measured once in each session with it (SPEC §18.9): it takes those that are near
//! to both when it introduces two.
//!
//! Who has the gateway shall not make a device send where he likes: one list is heeded in a session, of 8 places, each of
//! which is asked three times in 20 bytes.

use core::net::SocketAddr;

use rift::Instant;
use rift::paths::RelayProbe;
use rift::wire::bind::BIND_ASK_LEN;
use rift::wire::fleet::RelayPlaces;
use rift::wire::signal::Signal;

use super::Gateway;

/// Whoever wants to be introduced waits so long for what is measured, where there is a choice.
const WAIT_US: u64 = 150_000;

struct Measuring {
    places: RelayPlaces,
    probe: RelayProbe,
    began: Instant,
    /// The gateway was told something of it.
    is_told: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Nearest {
    measuring: Option<Measuring>,
    /// This session's list was heeded.
    is_heeded: bool,
}

impl Nearest {
    pub(super) const fn new() -> Self {
        Self { measuring: None, is_heeded: false }
    }

    /// Another session of the gateway's knows nothing of this one.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }

    /// The gateway told of relays.
    pub(super) fn begin(&mut self, now: Instant, gateway: &Gateway, places: RelayPlaces) {
        // A gateway that knows one has nothing to choose.
        if places.len() < 2 || core::mem::replace(&mut self.is_heeded, true) {
            return;
        }
        let [a, b, c, d, e, f, g, h, ..] = gateway.draw();
        let probe = RelayProbe::new(now, [a, b, c, d, e, f, g, h], &places);
        self.measuring = Some(Measuring { places, probe, began: now, is_told: false });
    }

    /// Whether that is one of them, while they are measured.
    pub(super) fn is_beside(&self, from: SocketAddr) -> bool {
        let places = self.measuring.iter().flat_map(|measuring| &measuring.places);
        places.into_iter().any(|place| place.address == from)
    }

    /// Takes what came from `from`; whether it was an answer to this.
    pub(super) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        let measuring = self.measuring.as_mut();
        measuring.is_some_and(|measuring| measuring.probe.handle_datagram(now, from, datagram))
    }

    /// Until when an introduction waits for it at most.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        let measuring = self.measuring.as_ref().filter(|measuring| !measuring.is_told)?;
        Some(measuring.began.plus_micros(WAIT_US))
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.measuring.as_ref().map(|measuring| {
            let due = measuring.probe.poll_timeout();
            if measuring.is_told { due } else { due.min(measuring.began.plus_micros(WAIT_US)) }
        })
    }

    /// Writes the next question into `out`; its length and where it goes.
    pub(super) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let room = out.first_chunk_mut::<BIND_ASK_LEN>()?;
        self.measuring.as_mut()?.probe.poll_transmit(now, room)
    }

    /// Tells the gateway what was measured: what there is after a short while, and all of it at the end. Returns whether an
    /// introduction should wait for it.
    pub(super) fn tell(&mut self, now: Instant, gateway: &mut Gateway) -> bool {
        let Some(measuring) = &mut self.measuring else { return false };
        let times = measuring.probe.times();
        let is_over = measuring.probe.is_over(now);
        let is_known = times.iter().all(|time| time.rtt != u16::MAX);
        if !is_over && (measuring.is_told || !is_known && now.micros_since(measuring.began) < WAIT_US) {
            return !measuring.is_told;
        }
        // A gateway that does not take it reckons with what it has.
        let _ = gateway.say(now, &Signal::Measured(times));
        measuring.is_told = true;
        if is_over {
            self.measuring = None;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use rift::wire::bind::{BindBody, BindMessage};
    use rift::wire::fleet::RelayPlace;
    use rift::{Identity, PublicKey};

    use super::super::GatewayPlace;
    use super::*;

    fn place(number: u8) -> RelayPlace {
        let key = Identity::from_secret([number; 32]).public();
        RelayPlace { key, address: ([192, 0, 2, number], 4749).into() }
    }

    fn gateway(key: PublicKey) -> Gateway {
        let place = GatewayPlace { key, address: ([192, 0, 2, 200], 4748).into() };
        Gateway::new(place, Identity::from_secret([9; 32]), None, 0, || [7; 32], Instant::ZERO)
    }

    /// Questions so far, each to whom.
    fn asked(nearest: &mut Nearest, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut out = [0; 64];
        core::iter::from_fn(|| {
            let (len, to) = nearest.poll_transmit(now, &mut out)?;
            Some((to, out[..len].to_vec()))
        })
        .collect()
    }

    #[test]
    fn one_list_of_a_session_is_heeded_and_who_is_introduced_waits_a_moment_for_it() {
        let mut gateway = gateway(place(1).key);
        let (mut nearest, start) = (Nearest::new(), Instant::from_millis(5));
        nearest.begin(start, &gateway, [place(1)].into_iter().collect());
        assert!(!nearest.tell(start, &mut gateway), "nothing is to be chosen from one");
        assert!(asked(&mut nearest, start).is_empty());
        nearest.begin(start, &gateway, [place(1), place(2)].into_iter().collect());
        nearest.begin(start, &gateway, [place(3), place(4)].into_iter().collect());
        let first = asked(&mut nearest, start);
        assert_eq!(first.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [1, 2].map(|n| place(n).address));
        assert!(nearest.tell(start, &mut gateway), "an introduction waits");
        for (to, question) in first {
            let asked = BindMessage::parse(&question).expect("a question");
            let mut answer = [0; 64];
            let len = BindMessage { tag: asked.tag, body: BindBody::Nonce([1; 16]) }.emit(&mut answer);
            let answer = &answer[..len.expect("it fits")];
            assert!(nearest.is_beside(to));
            assert!(!nearest.handle_datagram(start, place(5).address, answer), "somebody else's");
            assert!(nearest.handle_datagram(start.plus_micros(900), to, answer));
        }
        assert!(!nearest.tell(start.plus_micros(900), &mut gateway), "all have answered");
    }

    #[test]
    fn relays_that_do_not_answer_hold_nobody_up_for_long_and_are_asked_three_times() {
        let mut gateway = gateway(place(1).key);
        let (mut nearest, start) = (Nearest::new(), Instant::from_millis(5));
        nearest.begin(start, &gateway, [place(1), place(2)].into_iter().collect());
        let (mut now, mut questions) = (start, 0);
        while let Some(due) = nearest.poll_timeout().filter(|_| now < start.plus_micros(3_000_000)) {
            now = due.max(now.plus_micros(10_000));
            questions += asked(&mut nearest, now).len();
            let waits = nearest.tell(now, &mut gateway);
            assert!(!waits || now < start.plus_micros(WAIT_US), "{now:?}");
        }
        assert_eq!(questions, 6);
    }
}
