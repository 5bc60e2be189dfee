//! The client's choice among paths to one host (SPEC §18.5): direct where checks found a way, over a relay when none was
//! found in time, and back to direct when there is one again.
//!
//! It knows sessions and relays only by name: its driver does each [`Step`] and tells what came of it. Direct paths are
//! preferred whatever they cost; a relay, once open, stays beside them as the path to fall back to, because a session
//! goes over to a path that is kept ready without losing a picture's time.

use core::net::SocketAddr;

use super::candidate::Candidates;
use super::meeting::MeetingSecret;
use super::punch::{Nominated, Punch};
use crate::crypto::Side;
use crate::session::{Discard, Event, PathId};
use crate::time::Instant;

/// A relay opens beside the search for a direct path after this long.
const RELAY_US: u64 = 250_000;
/// A session that began on a direct path and was not answered in this time begins again over the relay.
const UNANSWERED_US: u64 = 1_000_000;
/// A relay is opened this long after a session was established directly, so that nothing of the first pictures is in its way.
const STANDBY_US: u64 = 1_000_000;
/// A path that the session had no room for yet is opened again after this long.
const AGAIN_US: u64 = 50_000;
/// Direct is tried again this long after it was given up, where it has worked in this session.
const RETRY_US: u64 = 5_000_000;
/// Where it never has, after twice as long each time, at most this.
const RETRY_US_MAX: u64 = 60_000_000;

/// Which way a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Straight to this address of the host.
    Direct(SocketAddr),
    /// Over the relay whose lease this client holds.
    Relay,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask to be introduced again; then [`Agent::meet`].
    Introduce,
    /// Call the host this way, whatever call is under way: the session that begins is the one that counts, and its first
    /// path is `PathId(0)`. Tell [`Agent::on_established`].
    Begin(Via),
    /// [`Session::open_path`](crate::Session::open_path). If that is refused, tell [`Agent::on_not_opened`].
    Open {
        /// The path's name.
        path: PathId,
        /// Where it leads.
        via: Via,
    },
    /// [`Session::use_path`](crate::Session::use_path).
    Use(PathId),
    /// [`Session::close_path`](crate::Session::close_path).
    Close(PathId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    /// A session was begun on it.
    Begun(Instant),
    /// Opened, and not answered yet.
    Opening,
    Proven,
    /// It was proven and fell silent; the session asks again.
    Doubtful,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    path: PathId,
    state: State,
    /// It is not opened before.
    due: Option<Instant>,
}

impl Leg {
    const fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.is_absent() && self.due.is_some_and(|due| due <= now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Direct,
    Relay,
}

/// The paths to one host; see the module.
#[derive(Debug)]
pub struct Agent {
    punch: Option<Punch>,
    /// Found and not acted upon yet.
    found: Option<Nominated>,
    direct: Leg,
    address: Option<SocketAddr>,
    relay: Leg,
    has_relay: bool,
    is_established: bool,
    /// The path that everything goes over, and where it leads.
    used: Option<(PathId, Via)>,
    /// A path that another one takes the place of.
    replaced: Option<PathId>,
    next_path: u8,
    retry_at: Option<Instant>,
    retry_us: u64,
    has_been_direct: bool,
    /// The direct path fell silent, and nobody was asked for another one yet.
    lost_direct: bool,
}

impl Agent {
    /// Knows no way yet: to be introduced.
    #[must_use]
    pub const fn new() -> Self {
        let absent = Leg { path: PathId(0), state: State::Absent, due: None };
        Self {
            punch: None,
            found: None,
            direct: absent,
            address: None,
            relay: absent,
            has_relay: false,
            is_established: false,
            used: None,
            replaced: None,
            next_path: 0,
            retry_at: None,
            retry_us: RETRY_US,
            has_been_direct: false,
            lost_direct: false,
        }
    }

    /// The two were introduced: `own` are this side's candidates as the host was told them, `peer` the host's. With
    /// `has_relay` both hold leases of one relay.
    pub fn meet(
        &mut self,
        now: Instant,
        secret: &MeetingSecret,
        own: &Candidates,
        peer: &Candidates,
        has_relay: bool,
    ) {
        self.punch = Some(Punch::new(now, Side::Initiator, secret, own, peer));
        self.retry_at = None;
        if has_relay && !self.has_relay && self.relay.is_absent() {
            self.relay.due = Some(now.plus_micros(RELAY_US));
        }
        self.has_relay = has_relay;
    }

    /// Takes a datagram of kind `28`.
    ///
    /// # Errors
    /// As [`Punch::handle_datagram`]; [`Discard::Unexpected`] when nobody was introduced.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        self.punch.as_mut().ok_or(Discard::Unexpected)?.handle_datagram(now, from, datagram)
    }

    /// Writes the next check or answer to `out` and tells its length and where it goes, if one is due.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.punch.as_mut()?.poll_transmit(now, out)
    }

    /// The session has been established on the path on which it was begun last.
    pub fn on_established(&mut self, now: Instant) {
        self.is_established = true;
        for leg in [&mut self.direct, &mut self.relay] {
            if let State::Begun(_) = leg.state {
                leg.state = State::Proven;
            }
        }
        self.used = self.via(PathId(0)).map(|via| (PathId(0), via));
        if self.is_direct() {
            self.has_been_direct = true;
            self.relay.due = Some(now.plus_micros(STANDBY_US));
        }
    }

    /// The session refused to open this path: it will be tried again soon.
    pub fn on_not_opened(&mut self, now: Instant, path: PathId) {
        if let Some(leg) = self.leg_mut(path) {
            (leg.state, leg.due) = (State::Absent, Some(now.plus_micros(AGAIN_US)));
        }
    }

    /// Something happened in the session, which now uses the path `used`. Events that are not about paths change nothing.
    pub fn on_event(&mut self, now: Instant, event: &Event, used: PathId) {
        let (path, state) = if let Event::PathProven(path) = event {
            (*path, State::Proven)
        } else if let Event::PathFailed(path) = event {
            (*path, State::Absent)
        } else if let Event::PathSilent(path) = event {
            // Without another one the session stays where it is, and asks.
            (*path, if *path == used { State::Proven } else { State::Doubtful })
        } else {
            return;
        };
        if let Some(via) = self.via(used) {
            self.used = Some((used, via));
        }
        let is_direct = self.direct.path == path && !self.direct.is_absent();
        let Some(leg) = self.leg_mut(path) else { return };
        (leg.state, leg.due) = (state, None);
        if let Event::PathProven(_) = event {
            return;
        }
        // Another way is looked for at once, and the relay is wanted now if it is not there yet.
        if is_direct {
            // What checks found before counts no more.
            (self.punch, self.found) = (None, None);
            self.retry_at = Some(now);
            self.lost_direct = true;
        }
        if self.has_relay && self.relay.is_absent() {
            self.relay.due = Some(now.plus_micros(if is_direct { 0 } else { RETRY_US }));
        }
    }

    /// What is to be done next, if anything; to be asked until there is nothing, after every other call.
    pub fn poll_step(&mut self, now: Instant) -> Option<Step> {
        self.look_at_punch(now);
        let step = self.step_to_direct(now).or_else(|| self.step_to_relay(now));
        if step.is_some() {
            return step;
        }
        if self.direct.state == State::Proven && !self.is_direct() {
            self.used = self.via(self.direct.path).map(|via| (self.direct.path, via));
            self.has_been_direct = true;
            (self.retry_at, self.retry_us) = (None, RETRY_US);
            return Some(Step::Use(self.direct.path));
        }
        if let Some(path) = self.replaced.filter(|&path| self.used.is_some_and(|(used, _)| used != path)) {
            self.replaced = None;
            return Some(Step::Close(path));
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            if !self.is_direct() || self.lost_direct {
                self.lost_direct = false;
                self.retry_at = Some(now.plus_micros(self.retry_us));
                if !self.has_been_direct {
                    self.retry_us = (self.retry_us * 2).min(RETRY_US_MAX);
                }
                return Some(Step::Introduce);
            }
        }
        None
    }

    /// When [`Self::poll_step`] or [`Self::poll_transmit`] may have something to say.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let punch = self.punch.as_ref().and_then(Punch::poll_timeout);
        let direct = self.found.and(self.direct.due);
        let relay = self.relay.due.filter(|_| self.has_relay && self.relay.is_absent());
        let relay = relay.map(|due| due.max(self.unanswered_at().unwrap_or(due)));
        [punch, direct, relay, self.retry_at].into_iter().flatten().min()
    }

    /// Where a path leads; `None` when it is none of this agent's.
    #[must_use]
    pub fn via(&self, path: PathId) -> Option<Via> {
        if self.direct.path == path && !self.direct.is_absent() {
            return self.address.map(Via::Direct);
        }
        (self.relay.path == path && !self.relay.is_absent()).then_some(Via::Relay)
    }

    /// Which way the session goes.
    #[must_use]
    pub fn in_use(&self) -> Option<Via> {
        self.used.map(|(_, via)| via)
    }

    /// The introduction that is being used.
    #[must_use]
    pub const fn punch(&self) -> Option<&Punch> {
        self.punch.as_ref()
    }

    fn is_direct(&self) -> bool {
        self.direct.state == State::Proven && self.used.is_some_and(|(used, _)| used == self.direct.path)
    }

    fn look_at_punch(&mut self, now: Instant) {
        let Some(punch) = &mut self.punch else { return };
        punch.handle_timeout(now);
        if let Some(nominated) = punch.nominated() {
            // The punch stays, to answer the other's checks, until there is another introduction.
            let is_there = self.address == Some(nominated.address)
                && matches!(self.direct.state, State::Begun(_) | State::Opening | State::Proven);
            if self.found.is_none() && !is_there {
                self.found = Some(nominated);
                self.direct.due.get_or_insert(now);
            }
        } else if punch.has_failed() {
            self.punch = None;
            if !self.is_direct() {
                self.retry_at.get_or_insert(now.plus_micros(self.retry_us));
            }
        }
    }

    fn step_to_direct(&mut self, now: Instant) -> Option<Step> {
        let found = self.found?;
        if self.direct.due.is_some_and(|due| due > now) {
            return None;
        }
        if !self.is_established {
            self.found = None;
            (self.relay.state, self.relay.due) = (State::Absent, Some(now.plus_micros(UNANSWERED_US)));
            return Some(self.begin(now, Which::Direct, Some(found.address)));
        }
        if self.is_direct() {
            // The one in use is silent, or will be: it goes once this one is used.
            self.replaced = Some(self.direct.path);
        } else if !self.direct.is_absent() {
            // It fell silent or was never answered; this one is known to be open.
            self.direct.state = State::Absent;
            return Some(Step::Close(self.direct.path));
        }
        self.found = None;
        Some(self.open(Which::Direct, Some(found.address)))
    }

    fn step_to_relay(&mut self, now: Instant) -> Option<Step> {
        if !self.has_relay || !self.relay.is_due(now) {
            return None;
        }
        if self.is_established {
            return Some(self.open(Which::Relay, None));
        }
        if self.unanswered_at().is_some_and(|at| at > now) {
            return None;
        }
        if !self.direct.is_absent() {
            self.direct.state = State::Absent;
            self.punch = None;
            self.retry_at = Some(now.plus_micros(self.retry_us));
        }
        Some(self.begin(now, Which::Relay, None))
    }

    /// When a session that began directly is given up in favour of the relay.
    const fn unanswered_at(&self) -> Option<Instant> {
        match self.direct.state {
            State::Begun(at) => Some(at.plus_micros(UNANSWERED_US)),
            State::Absent | State::Opening | State::Proven | State::Doubtful => None,
        }
    }

    fn begin(&mut self, now: Instant, which: Which, address: Option<SocketAddr>) -> Step {
        // The paths of a session that is given up have no names any more.
        self.next_path = 0;
        let (_, via) = self.name(which, address);
        self.leg(which).state = State::Begun(now);
        Step::Begin(via)
    }

    fn open(&mut self, which: Which, address: Option<SocketAddr>) -> Step {
        let (path, via) = self.name(which, address);
        self.leg(which).state = State::Opening;
        Step::Open { path, via }
    }

    /// A name that none of the paths has which are still remembered.
    fn name(&mut self, which: Which, address: Option<SocketAddr>) -> (PathId, Via) {
        let path = PathId(self.next_path);
        self.next_path = self.next_path.wrapping_add(1);
        let leg = self.leg(which);
        (leg.path, leg.due) = (path, None);
        match address {
            Some(address) => {
                self.address = Some(address);
                (path, Via::Direct(address))
            }
            None => (path, Via::Relay),
        }
    }

    const fn leg(&mut self, which: Which) -> &mut Leg {
        match which {
            Which::Direct => &mut self.direct,
            Which::Relay => &mut self.relay,
        }
    }

    fn leg_mut(&mut self, path: PathId) -> Option<&mut Leg> {
        [&mut self.direct, &mut self.relay].into_iter().find(|leg| leg.path == path && !leg.is_absent())
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}
