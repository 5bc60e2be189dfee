//! Both peers send checks to each other's candidates at the same time, so that each one's NAT takes what the other sends
//! for an answer (SPEC §18.4; RFC 8445 calls it connectivity checks). One introduction, either side of it.
//!
//! Invariant: at most [`CHECKS_MAX`] checks and as many answers leave, whatever comes; a datagram without the meeting's
//! MAC changes nothing.

use core::net::SocketAddr;

use heapless::{Deque, Vec};

use super::candidate::{Candidate, CandidateKind, Candidates};
use super::meeting::{Meeting, MeetingSecret};
use crate::crypto::Side;
use crate::limits::{CANDIDATES_MAX, CHECKS_MAX};
use crate::session::Discard;
use crate::time::Instant;
use crate::wire::check::Check;

/// Addresses that a punch knows: the candidates, and some that only checks showed.
const PAIRS_MAX: usize = CANDIDATES_MAX + 8;
/// When an address that has not answered is checked, in µs after the first time. The peer hears of the introduction up
/// to a round trip to the gateway earlier or later, and NATs take the first check for granted only after that.
const ROUNDS_US: [u64; 6] = [0, 60_000, 150_000, 350_000, 800_000, 1_600_000];
/// Two checks are at least so far apart.
const PACE_US: u64 = 4_000;
/// A check is awaited for so long after the last one left.
const PATIENCE_US: u64 = 1_000_000;
/// What the first answer waits for better ones: half its round trip, within these bounds.
const SETTLE_US: core::ops::RangeInclusive<u64> = 5_000..=30_000;
/// Once an address has answered, others are checked no more often than this.
const ROUNDS_BESIDE: usize = 2;
/// Answers that wait to leave.
const ANSWERS_WAITING: usize = 8;

/// The address on which the peers reach each other best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nominated {
    /// The peer's, seen from here.
    pub address: SocketAddr,
    /// What it is.
    pub kind: CandidateKind,
    /// The shortest round trip of its checks, in microseconds.
    pub round_trip_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    candidate: Candidate,
    /// Rounds in which it was checked.
    rounds: u8,
    due: Option<Instant>,
    round_trip_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    /// Every answer has come that is worth waiting for: the others' checks are answered, and no own ones leave.
    Settled,
    Failed,
}

/// One introduction; see the module.
#[derive(Clone)]
pub struct Punch {
    side: Side,
    meeting: Meeting,
    began: Instant,
    pairs: Vec<Pair, PAIRS_MAX>,
    /// Which pair each check was for, and when it left; its place is its number.
    sent: Vec<(u8, Instant), CHECKS_MAX>,
    answers: Deque<(SocketAddr, u64), ANSWERS_WAITING>,
    answered: usize,
    /// No check leaves before.
    next_at: Instant,
    settles_at: Option<Instant>,
    outcome: Outcome,
    seen: Option<SocketAddr>,
}

impl Punch {
    /// Begins at once. `own` are this side's candidates as the peer was told them; of `peer`, private addresses are
    /// checked only if both may be in one network ([`Candidates::shares_network`]).
    #[must_use]
    pub fn new(
        now: Instant,
        side: Side,
        secret: &MeetingSecret,
        own: &Candidates,
        peer: &Candidates,
    ) -> Self {
        let is_near = own.shares_network(peer);
        let mut pairs: Vec<Pair, PAIRS_MAX> = peer
            .iter()
            .filter(|candidate| is_near || !candidate.is_private())
            .map(|&candidate| Pair { candidate, rounds: 0, due: Some(now), round_trip_us: None })
            .collect();
        pairs.sort_unstable_by_key(|pair| pair.candidate.kind);
        Self {
            side,
            meeting: Meeting::new(secret),
            began: now,
            pairs,
            sent: Vec::new(),
            answers: Deque::new(),
            answered: 0,
            next_at: now,
            settles_at: None,
            outcome: Outcome::Open,
            seen: None,
        }
    }

    /// Takes a datagram of kind `28`.
    ///
    /// # Errors
    /// [`Discard::Authentication`] when it is none of this meeting's; [`Discard::Unexpected`] when it comes from this
    /// side itself or answers nothing that was sent there; [`Discard::NoRoom`].
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        let check = self.meeting.read(datagram).ok_or(Discard::Authentication)?;
        if check.from_callee == (self.side == Side::Responder) {
            return Err(Discard::Unexpected);
        }
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        match check.seen {
            Some(seen) => self.on_answer(now, from, check.number, seen),
            None => self.on_check(now, from, check.number),
        }
    }

    fn on_check(&mut self, now: Instant, from: SocketAddr, number: u64) -> Result<(), Discard> {
        if self.answered == CHECKS_MAX {
            return Err(Discard::NoRoom);
        }
        self.answers.push_back((from, number)).map_err(|_| Discard::NoRoom)?;
        self.answered += 1;
        let known = self.pairs.iter_mut().find(|pair| pair.candidate.address == from);
        if let Some(pair) = known {
            // The way is open in one direction: what is sent now probably comes through.
            if pair.round_trip_us.is_none() && usize::from(pair.rounds) < ROUNDS_US.len() {
                pair.due = Some(now);
            }
        } else if let Ok(candidate) = Candidate::new(CandidateKind::PeerReflexive, from) {
            let pair = Pair { candidate, rounds: 0, due: Some(now), round_trip_us: None };
            // Without room for it the peer is still answered.
            let _ = self.pairs.push(pair);
        }
        Ok(())
    }

    fn on_answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        number: u64,
        seen: SocketAddr,
    ) -> Result<(), Discard> {
        let at = usize::try_from(number).map_err(|_| Discard::Unexpected)?;
        let &(pair, sent_at) = self.sent.get(at).ok_or(Discard::Unexpected)?;
        let pair = self.pairs.get_mut(usize::from(pair)).ok_or(Discard::Unexpected)?;
        if pair.candidate.address != from {
            return Err(Discard::Unexpected);
        }
        let round_trip_us = now.micros_since(sent_at);
        let best = pair.round_trip_us.map_or(round_trip_us, |known| known.min(round_trip_us));
        (pair.round_trip_us, pair.due) = (Some(best), None);
        self.seen = Some(seen);
        let settle_us = (round_trip_us / 2).clamp(*SETTLE_US.start(), *SETTLE_US.end());
        self.settles_at.get_or_insert(now.plus_micros(settle_us));
        self.handle_timeout(now);
        Ok(())
    }

    /// The time has come that [`Self::poll_timeout`] told. May be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outcome != Outcome::Open {
            return;
        }
        let is_best =
            |pair: &Pair| pair.candidate.kind == CandidateKind::Host && pair.round_trip_us.is_some();
        let is_waiting = !self.sent.is_full() && self.pairs.iter().any(|pair| pair.due.is_some());
        if let Some(at) = self.settles_at {
            if at <= now || self.pairs.iter().any(is_best) {
                self.outcome = Outcome::Settled;
            }
        } else if !is_waiting && self.gives_up_at() <= now {
            self.outcome = Outcome::Failed;
        }
    }

    /// Writes the next answer or check to `out` and tells its length and where it goes, if one is due.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let place = out.first_chunk_mut::<{ Check::LEN }>()?;
        let check = Check {
            from_callee: self.side == Side::Responder,
            meeting: self.meeting.id(),
            number: 0,
            seen: None,
            mac: [0; 16],
        };
        if let Some((to, number)) = self.answers.pop_front() {
            *place = self.meeting.write(Check { number, seen: Some(to), ..check });
            return Some((Check::LEN, to));
        }
        self.handle_timeout(now);
        if self.next_at > now || self.sent.is_full() || self.outcome != Outcome::Open {
            return None;
        }
        let is_due = |pair: &Pair| pair.due.is_some_and(|due| due <= now);
        let at = self.pairs.iter().position(is_due)?;
        let number = self.sent.len() as u64;
        self.sent.push((u8::try_from(at).ok()?, now)).ok()?;
        self.next_at = now.plus_micros(PACE_US);
        let is_answered = self.settles_at.is_some();
        let pair = &mut self.pairs[at];
        pair.rounds += 1;
        let most = if is_answered { ROUNDS_BESIDE } else { ROUNDS_US.len() };
        let next = ROUNDS_US.get(usize::from(pair.rounds)).filter(|_| usize::from(pair.rounds) < most);
        pair.due = next.map(|&after_us| self.began.plus_micros(after_us).max(now.plus_micros(PACE_US)));
        let to = pair.candidate.address;
        *place = self.meeting.write(Check { number, ..check });
        Some((Check::LEN, to))
    }

    /// When a check or an answer is due, or the outcome will be known. `None` = there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.answers.is_empty() {
            return Some(Instant::ZERO);
        }
        if self.outcome != Outcome::Open {
            return None;
        }
        let due = self.pairs.iter().filter_map(|pair| pair.due).min().filter(|_| !self.sent.is_full());
        let check = due.map(|due| due.max(self.next_at));
        let end = self.settles_at.or_else(|| check.is_none().then(|| self.gives_up_at()));
        [check, end].into_iter().flatten().min()
    }

    /// The best address, once it is known which that is.
    #[must_use]
    pub fn nominated(&self) -> Option<Nominated> {
        if self.outcome != Outcome::Settled {
            return None;
        }
        let proven = self.pairs.iter().filter_map(|pair| {
            let Candidate { kind, address } = pair.candidate;
            pair.round_trip_us.map(|round_trip_us| Nominated { address, kind, round_trip_us })
        });
        proven.min_by_key(|proven| proven.round_trip_us + proven.kind.penalty_us())
    }

    /// Whether no address answered and none will: nothing is known until a check of the other's comes after all.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }

    fn gives_up_at(&self) -> Instant {
        self.sent.last().map_or(self.began, |&(_, at)| at).plus_micros(PATIENCE_US)
    }

    /// Where the peer sees this side, by its newest answer.
    #[must_use]
    pub const fn seen(&self) -> Option<SocketAddr> {
        self.seen
    }

    /// Checks that have left.
    #[must_use]
    pub fn checks_sent(&self) -> usize {
        self.sent.len()
    }
}

impl core::fmt::Debug for Punch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Punch")
            .field("side", &self.side)
            .field("pairs", &self.pairs)
            .field("sent", &self.sent.len())
            .finish_non_exhaustive()
    }
}
