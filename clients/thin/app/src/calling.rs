//! Whom a board calls next, and how.
//!
//! A host whose key is known is called by IK, which brings the first picture a round trip sooner; the token of its last
//! session saves the proof of the board's address. A host that does not answer may have forgotten the board's
//! counters, or have got the key that it had vouched for (SPEC §4.12, §8.9): the next attempts go by XX, then by that other
//! key, and so on around.
//!
//! A board has no clock that goes on without power, so its counters are the number of its start and that of the call:
//! the start was written down before, and no counter comes twice. The token is kept while the power is on: each is good for
//! one call, and would wear the flash memory out.

use rift::{AddressToken, Callee, CloseReason, Opening, PublicKey};

use crate::settings::PinnedHost;

/// One attempt at a host that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The key it must prove.
    pub(crate) key: PublicKey,
    /// By which handshake.
    pub(crate) opening: Opening,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Calls {
    boots: u32,
    calls: u32,
    token: Option<(PublicKey, AddressToken)>,
    /// Attempts in a row that nobody answered.
    unanswered: u8,
}

impl Calls {
    /// Those of start number `boots`, which has been written down.
    pub(crate) const fn new(boots: u32) -> Self {
        Self { boots, calls: 0, token: None, unanswered: 0 }
    }

    /// The next attempt; `None` when the host is still to be paired with.
    pub(crate) fn next(&self, host: &PinnedHost) -> Option<Attempt> {
        let key = host.key?;
        let keys = [key, host.successor.unwrap_or(key)];
        let opening = if self.unanswered.is_multiple_of(2) { Opening::IK } else { Opening::XX };
        Some(Attempt { key: keys[usize::from(self.unanswered / 2 % 2)], opening })
    }

    /// Whether a round of attempts, in both ways, went unanswered just now.
    pub(crate) const fn is_round_in_vain(&self) -> bool {
        self.unanswered > 0 && self.unanswered.is_multiple_of(2)
    }

    /// What a call by IK carries. Its counter and its token are spent by this.
    pub(crate) fn callee(&mut self, host: PublicKey) -> Callee {
        self.calls = self.calls.wrapping_add(1);
        let counter = u64::from(self.boots) << 32 | u64::from(self.calls);
        let token = self.token.take().filter(|(of, _)| *of == host).map(|(_, token)| token);
        Callee { host, counter, token }
    }

    /// An attempt at `host` ended; `token` is the newest that the host gave.
    pub(crate) fn ended(&mut self, host: PublicKey, reason: CloseReason, token: Option<AddressToken>) {
        if let Some(token) = token {
            self.token = Some((host, token));
        }
        let is_silent = reason == CloseReason::Unanswered;
        self.unanswered = if is_silent { self.unanswered.wrapping_add(1) } else { 0 };
    }
}

/// How long to wait before the next session: long where only a person can mend what is wrong.
pub(crate) fn patience_ms(reason: CloseReason) -> u64 {
    const STUBBORN: [CloseReason; 4] =
        [CloseReason::Refused, CloseReason::Revoked, CloseReason::WrongPeer, CloseReason::WrongPin];
    if STUBBORN.contains(&reason) {
        3_000
    } else if reason == CloseReason::Busy {
        2_000
    } else {
        250
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn host(successor: Option<PublicKey>) -> PinnedHost {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4747));
        PinnedHost { address, key: Some(key(1)), successor }
    }

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    /// The attempts at a host that never answers.
    fn attempts<const N: usize>(host: &PinnedHost) -> [(PublicKey, Opening); N] {
        let mut calls = Calls::new(1);
        core::array::from_fn(|_| {
            let attempt = calls.next(host).expect("it is paired");
            calls.ended(attempt.key, CloseReason::Unanswered, None);
            (attempt.key, attempt.opening)
        })
    }

    #[test]
    fn silent_host_is_called_in_every_way_that_may_reach_it() {
        let (ik, xx) = (Opening::IK, Opening::XX);
        assert_eq!(attempts(&host(None)), [(key(1), ik), (key(1), xx), (key(1), ik)]);
        let both = [(key(1), ik), (key(1), xx), (key(2), ik), (key(2), xx), (key(1), ik)];
        assert_eq!(attempts(&host(Some(key(2)))), both);
        let unpaired = PinnedHost { key: None, ..host(None) };
        assert_eq!(Calls::new(1).next(&unpaired), None);
    }

    #[test]
    fn counters_grow_from_call_to_call_and_from_start_to_start() {
        let mut counters = [0; 4];
        for (start, pair) in (1..).zip(counters.chunks_mut(2)) {
            let mut calls = Calls::new(start);
            pair.iter_mut().for_each(|counter| *counter = calls.callee(key(1)).counter);
        }
        assert!(counters.is_sorted_by(|one, next| one < next), "{counters:?}");
    }

    #[test]
    fn token_is_spent_once_and_at_its_own_host() {
        let token = AddressToken::from_bytes([7; 24]);
        let mut calls = Calls::new(1);
        calls.ended(key(1), CloseReason::Idle, Some(token));
        assert_eq!(calls.callee(key(1)).token, Some(token));
        assert_eq!(calls.callee(key(1)).token, None);
        calls.ended(key(1), CloseReason::Idle, Some(token));
        assert_eq!(calls.callee(key(2)).token, None);
    }
}
