//! Where the host is that a board calls next.
//!
//! A board that was told a place by its owner calls there and nowhere else. Any other looks for hosts on its network: one
//! that belongs to nobody yet calls each host that it finds in turn, until somebody types its PIN at one of them; one that
//! has a host looks for it anew each time both ways of calling it went unanswered where it was last. Nothing that is found
//! is believed: a handshake proves who answers, and only then is the place kept.

use core::net::SocketAddr;

use embassy_net::Stack;
use embassy_net::udp::UdpSocket;
use heapless::Vec;
use rift::PublicKey;

use crate::calling::Calls;
use crate::room::Provision;
use crate::settings::PinnedHost;

/// Places remembered from one search.
const PLACES_MAX: usize = 8;

/// Places where a host may be.
pub(crate) type Places = Vec<SocketAddr, PLACES_MAX>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Finder {
    may_search: bool,
    /// What the last search found.
    places: Places,
    /// How often one of them was chosen.
    turns: usize,
    /// Where the host is now, if not where it was.
    elsewhere: Option<SocketAddr>,
}

impl Finder {
    /// Whether this program can look for hosts at all.
    pub(crate) const CAN_SEARCH: bool = cfg!(feature = "discovery");

    pub(crate) fn new(provision: &Provision) -> Self {
        let is_told = provision.host.is_some_and(|host| host.has_place());
        Self { may_search: Self::CAN_SEARCH && !is_told, places: Vec::new(), turns: 0, elsewhere: None }
    }

    /// Whether to search before the next call.
    pub(crate) fn is_due(&self, known: Option<&PinnedHost>, calls: &Calls) -> bool {
        let is_lost =
            known.is_none_or(|host| host.key.is_none() || !host.has_place() || calls.is_round_in_vain());
        self.may_search && is_lost && !known.is_some_and(|host| host.key.is_none() && host.has_place())
    }

    /// The host, where it was last.
    pub(crate) fn known(&self, known: Option<PinnedHost>) -> Option<PinnedHost> {
        let known = known?;
        let address = self.elsewhere.unwrap_or(known.address);
        Some(PinnedHost { address, ..known }).filter(PinnedHost::has_place)
    }

    /// Whether nothing that was tried lately leads to this host.
    #[cfg(feature = "gateway")]
    pub(crate) fn is_at_a_loss(&self, host: &PinnedHost, calls: &Calls) -> bool {
        self.places.is_empty() && (self.known(Some(*host)).is_none() || calls.is_round_in_vain())
    }

    /// Whom to call after a search.
    pub(crate) fn choose(&mut self, known: Option<PinnedHost>) -> Option<PinnedHost> {
        let found = self.places.get(self.turns.checked_rem(self.places.len()).unwrap_or(0)).copied();
        self.turns = self.turns.wrapping_add(1);
        match known {
            // What is not found may still be where it was: a network need not carry what is sent to many.
            Some(host) if host.key.is_some() => {
                self.elsewhere = found;
                self.known(known)
            }
            _ => found.map(|address| PinnedHost { address, key: None, successor: None }),
        }
    }

    /// Looks for `known`, or for any host. `alive` is called twice a second.
    pub(crate) async fn search(
        &mut self,
        socket: &mut UdpSocket<'static>,
        stack: Stack<'static>,
        id: u16,
        known: Option<&PinnedHost>,
        alive: impl FnMut(),
    ) {
        let keys: Vec<PublicKey, 2> =
            known.iter().flat_map(|host| [host.key, host.successor]).flatten().collect();
        #[cfg(feature = "discovery")]
        {
            self.places = crate::discovery::search(socket, stack, id, &keys, alive).await;
        }
        #[cfg(not(feature = "discovery"))]
        let _ = (socket, stack, id, keys, alive);
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use rift::CloseReason;

    use super::*;

    fn place(last: u8) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 4747))
    }

    fn key() -> PublicKey {
        PublicKey::from_bytes([1; 32])
    }

    fn finder(places: &[SocketAddr]) -> Finder {
        let mut finder = Finder::new(&Provision::default());
        finder.places = places.iter().copied().collect();
        finder
    }

    /// Those of a board whose host never answers.
    fn calls_in_vain(count: u8) -> Calls {
        let mut calls = Calls::new(1);
        (0..count).for_each(|_| calls.ended(key(), CloseReason::Unanswered, None));
        calls
    }

    #[test]
    fn place_that_was_given_is_the_only_one() {
        let host = PinnedHost { address: place(1), key: Some(key()), successor: None };
        let finder = Finder::new(&Provision::of(Some(host)));
        assert!((0..9).all(|count| !finder.is_due(Some(&host), &calls_in_vain(count))));
        assert_eq!(finder.known(Some(host)), Some(host));
    }

    #[test]
    fn who_belongs_to_nobody_calls_all_that_are_there_in_turn() {
        let mut finder = finder(&[place(1), place(2)]);
        assert!(finder.is_due(None, &Calls::new(1)));
        let chosen = [(); 3].map(|()| finder.choose(None).map(|host| (host.address, host.key)));
        assert_eq!(chosen, [1, 2, 1].map(|last| Some((place(last), None))));
        finder.places.clear();
        assert_eq!(finder.choose(None), None);
    }

    #[test]
    fn host_is_looked_for_when_it_is_silent_and_called_where_it_was_when_it_is_not_found() {
        let host = PinnedHost { address: place(1), key: Some(key()), successor: None };
        let mut finder = finder(&[place(9)]);
        let due = [0, 1, 2, 3, 4].map(|count| finder.is_due(Some(&host), &calls_in_vain(count)));
        assert_eq!(due, [false, false, true, false, true]);
        let elsewhere = PinnedHost { address: place(9), ..host };
        assert_eq!(finder.choose(Some(host)), Some(elsewhere));
        assert_eq!(finder.known(Some(host)), Some(elsewhere), "for the other way of calling it");
        finder.places.clear();
        assert_eq!(finder.choose(Some(host)), Some(host));
        // Of one that only its key is known of there is no such place.
        let anywhere = PinnedHost::anywhere(key());
        assert!(finder.is_due(Some(&anywhere), &Calls::new(1)));
        assert_eq!(finder.choose(Some(anywhere)), None);
    }
}
