//! One scheme on one line, packet by packet in virtual time.
//!
//! Every 1/60 s a picture of 35 packets leaves, spread over a part of the period, with its repair packets; those that
//! are asked for leave between them, twice as close. The client knows what should have come and when: a packet is
//! missing two packets' time and 0.3 ms after it should have come. What it asks for is said twice, 1 ms apart, on a way
//! back that loses as many packets independently.

use core::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::line::{Case, Line, Random};
use super::scheme::{Ask, Code, Path, Scheme};
use super::solver::{Equation, Field, Solver};

/// Packets of a picture.
pub(super) const DATA: u64 = 35;
/// From one picture to the next, in µs.
pub(super) const PERIOD_US: u64 = 16_667;
/// How late a packet may be beyond two packets' time, in µs.
const LATE_US: u64 = 300;
/// A request is said again after this, in µs.
const REPEAT_US: u64 = 1_000;
/// Delays are counted in steps of so many µs.
const STEP_US: u64 = 100;

/// What became of the pictures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) pictures: u64,
    /// Lost, or restored after the deadline.
    pub(crate) lost: u64,
    /// Packets of pictures, and all others on the same way.
    data: u64,
    extra: u64,
    /// Pictures by the time that restoring them and those before them took, in steps.
    delays: Vec<u64>,
}

impl Outcome {
    /// Takes another run of the same into account.
    pub(super) fn add(&mut self, other: &Self) {
        self.pictures += other.pictures;
        self.lost += other.lost;
        self.data += other.data;
        self.extra += other.extra;
        self.delays.resize(self.delays.len().max(other.delays.len()), 0);
        for (all, one) in self.delays.iter_mut().zip(&other.delays) {
            *all += one;
        }
    }

    /// Pictures lost, in percent.
    pub(super) fn residual(&self) -> f64 {
        100.0 * self.lost as f64 / self.pictures as f64
    }

    /// With 95 % confidence no more than this are, in percent (Wilson's bound).
    pub(super) fn residual_most(&self) -> f64 {
        const Z: f64 = 1.645;
        let (n, share) = (self.pictures as f64, self.lost as f64 / self.pictures as f64);
        let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        100.0 * (share + Z * Z / (2.0 * n) + spread) / (1.0 + Z * Z / n)
    }

    /// What is sent beside the pictures, in percent of them.
    pub(super) fn overhead(&self) -> f64 {
        100.0 * self.extra as f64 / self.data as f64
    }

    /// The delay that this share of the pictures shown does not exceed, in ms.
    pub(super) fn delay_ms(&self, share: f64) -> f64 {
        let shown: u64 = self.delays.iter().sum();
        let wanted = (shown as f64 * share).ceil() as u64;
        let mut seen = 0;
        let at = self.delays.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        (at.unwrap_or(0) as u64 * STEP_US) as f64 / 1000.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The client gets a repair packet.
    Repair(usize),
    /// The client gets a packet of a picture once more.
    Again { picture: u64, shards: u64 },
    /// The client looks at what it lacks.
    Look { picture: u64, is_parity: bool },
    /// The host gets a request: these packets again, or so much parity.
    Request { picture: u64, count: u64, shards: u64 },
    /// The host sends what was asked for.
    Answer { picture: u64, shards: u64 },
    /// It is too late for this picture.
    Deadline(u64),
}

#[derive(Debug)]
struct Picture {
    number: u64,
    begin: u64,
    deadline: u64,
    /// Packets that did not come, as bits.
    missing: u64,
    /// Parity of its own that may still come.
    parity_left: u64,
    /// Parity made of it so far.
    parity: u64,
    /// What was asked for, and until when it may come.
    asked: Vec<(u64, u64)>,
    is_shown: bool,
    is_over: bool,
}

struct Play<F: Field> {
    scheme: Scheme,
    path: Path,
    line: Line,
    back: Random,
    loss: f64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// Of these, all but deadlines.
    busy: usize,
    order: u64,
    equations: Vec<Equation>,
    pictures: VecDeque<Picture>,
    solver: Solver<F>,
    outcome: Outcome,
    shown_at: u64,
    /// From packet to packet, in µs.
    space: u64,
    answers_free: u64,
}

/// Plays so many pictures.
pub(super) fn play<F: Field>(case: &Case, path: Path, scheme: &Scheme, seed: u64, pictures: u64) -> Outcome {
    let mut play = Play::<F> {
        scheme: *scheme,
        path,
        line: Line::new(case, seed),
        back: Random::new(!seed),
        loss: case.loss,
        events: BinaryHeap::new(),
        busy: 0,
        order: 0,
        equations: Vec::new(),
        pictures: VecDeque::new(),
        solver: Solver::new(),
        outcome: Outcome::default(),
        shown_at: 0,
        space: 0,
        answers_free: 0,
    };
    let mut owed = 0.0;
    for number in 1..=pictures {
        owed += scheme.parity;
        let parity = match scheme.code {
            Code::None => 0,
            Code::Xor(block) => DATA.div_ceil(block),
            Code::Window { .. } => owed as u64,
        };
        owed -= (owed as u64) as f64;
        play.picture(number, parity);
    }
    play.until(u64::MAX);
    play.outcome
}

impl<F: Field> Play<F> {
    fn picture(&mut self, number: u64, parity: u64) {
        let begin = number * PERIOD_US;
        let spread = self.path.spread_us();
        let total = DATA + parity;
        self.space = spread / total;
        self.until(begin);
        self.outcome.pictures += 1;
        self.outcome.data += DATA;
        if self.is_idle(number) && self.line.good() >= total {
            self.line.skip(total);
            self.outcome.extra += parity;
            self.show(begin, 0);
            return;
        }
        let deadline = begin + PERIOD_US + self.path.rtt_us;
        self.pictures.push_back(Picture {
            number,
            begin,
            deadline,
            missing: 0,
            parity_left: parity,
            parity,
            asked: Vec::new(),
            is_shown: false,
            is_over: false,
        });
        self.push(deadline, Event::Deadline(number));
        let (mut data, mut sent) = (0, 0);
        for index in 0..total {
            let at = begin + spread * (index + 1) / total;
            self.until(at);
            let missing_at = at + self.path.rtt_us / 2 + self.margin();
            if let Some(equation) = self.next_repair(number, (data, sent, parity)) {
                sent += 1;
                self.send(at, equation);
                self.push(missing_at, Event::Look { picture: number, is_parity: true });
                continue;
            }
            if self.line.loses() {
                if let Some(picture) = self.find(number) {
                    picture.missing |= 1 << data;
                }
                self.push(missing_at, Event::Look { picture: number, is_parity: false });
            }
            data += 1;
        }
        if let Some(picture) = self.find(number).filter(|picture| picture.missing == 0) {
            picture.is_shown = true;
            self.show(begin, 0);
        }
    }

    /// The repair packet that is due after `data` packets and `sent` of `parity` repair packets, if one is.
    fn next_repair(&mut self, number: u64, (data, sent, parity): (u64, u64, u64)) -> Option<Equation> {
        if sent == parity {
            return None;
        }
        match self.scheme.code {
            Code::None => None,
            Code::Xor(block) => {
                let (first, end) = (sent * block, (sent * block + block).min(DATA));
                (data >= end).then_some(Equation { row: None, from: number, to: number, first, end })
            }
            Code::Window { back } => {
                if data < DATA {
                    return None;
                }
                let oldest = self.pictures.front().map_or(number, |picture| picture.number);
                let from = number.saturating_sub(back).max(oldest);
                Some(Equation { row: Some(sent), from, to: number, first: 0, end: data })
            }
        }
    }

    fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.busy += usize::from(!matches!(event, Event::Deadline(_)));
        self.events.push(Reverse((at, self.order, event)));
    }

    fn until(&mut self, time: u64) {
        while let Some(&Reverse((at, _, event))) = self.events.peek() {
            if at > time {
                return;
            }
            self.events.pop();
            self.busy -= usize::from(!matches!(event, Event::Deadline(_)));
            self.handle(at, event);
        }
    }

    /// Nothing is under way or missing that matters to this picture: then there is nothing to remember.
    fn is_idle(&mut self, number: u64) -> bool {
        let back = self.scheme.code.back();
        while self.pictures.front().is_some_and(|oldest| oldest.is_over && oldest.number + back < number) {
            self.pictures.pop_front();
        }
        let is_idle = self.busy == 0 && self.pictures.iter().all(|picture| picture.missing == 0);
        if is_idle {
            self.pictures.clear();
            self.solver.clear();
            self.equations.clear();
        }
        is_idle
    }

    fn find(&mut self, number: u64) -> Option<&mut Picture> {
        let oldest = self.pictures.front()?.number;
        self.pictures.get_mut(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }

    const fn margin(&self) -> u64 {
        2 * self.space + LATE_US
    }

    fn send(&mut self, at: u64, equation: Equation) {
        self.outcome.extra += 1;
        if !self.line.loses() {
            self.equations.push(equation);
            self.push(at + self.path.rtt_us / 2, Event::Repair(self.equations.len() - 1));
        }
    }

    fn handle(&mut self, at: u64, event: Event) {
        match event {
            Event::Repair(index) => {
                let oldest = self.pictures.front().map_or(u64::MAX, |picture| picture.number);
                let pictures = &self.pictures;
                let missing = |number: u64| {
                    let index = number.checked_sub(oldest).and_then(|index| usize::try_from(index).ok());
                    index.and_then(|index| pictures.get(index)).map_or(0, |picture| picture.missing)
                };
                let known = self.solver.add(&self.equations[index], missing);
                for (picture, shard) in known {
                    self.restore(at, picture, 1 << shard);
                }
            }
            Event::Again { picture, shards } => self.restore(at, picture, shards),
            Event::Look { picture, is_parity } => {
                if let Some(picture) = self.find(picture).filter(|_| is_parity) {
                    picture.parity_left -= 1;
                }
                self.look(at, picture);
            }
            Event::Request { picture, count, shards } => self.answer(at, picture, count, shards),
            Event::Answer { picture, shards: 0 } => {
                let row = self.find(picture).map(|picture| {
                    picture.parity += 1;
                    picture.parity - 1
                });
                let row = Some(row.unwrap_or_default());
                self.send(at, Equation { row, from: picture, to: picture, first: 0, end: DATA });
            }
            Event::Answer { picture, shards } => {
                self.outcome.extra += 1;
                if !self.line.loses() {
                    self.push(at + self.path.rtt_us / 2, Event::Again { picture, shards });
                }
            }
            Event::Deadline(number) => {
                if let Some(picture) = self.find(number) {
                    picture.is_over = true;
                    self.outcome.lost +=
                        u64::from(!self.find(number).is_some_and(|picture| picture.is_shown));
                }
                self.retire(number);
            }
        }
    }

    /// Pictures that no window reaches any more are forgotten.
    fn retire(&mut self, number: u64) {
        let kept = self.scheme.code.back() + 1;
        while self.pictures.front().is_some_and(|oldest| oldest.is_over && oldest.number + kept < number) {
            self.pictures.pop_front();
        }
        let oldest = self.pictures.front().map_or(number, |picture| picture.number);
        self.solver.forget_before(oldest);
    }

    fn restore(&mut self, at: u64, number: u64, shards: u64) {
        let whole_after = self.path.rtt_us / 2 + self.path.spread_us();
        let Some(picture) = self.find(number) else { return };
        if picture.missing & shards == 0 {
            return;
        }
        picture.missing &= !shards;
        let begin = picture.begin;
        let is_whole = picture.missing == 0;
        if let Some(picture) =
            self.find(number).filter(|picture| is_whole && !picture.is_shown && !picture.is_over)
        {
            picture.is_shown = true;
            self.show(begin, at.saturating_sub(begin + whole_after));
        }
    }

    /// Shows a picture that was whole so long after it would have been without losses; those after it wait for it.
    fn show(&mut self, begin: u64, late: u64) {
        let at = (begin + late).max(self.shown_at);
        self.shown_at = at;
        let step = ((at - begin) / STEP_US) as usize;
        if self.outcome.delays.len() <= step {
            self.outcome.delays.resize(step + 1, 0);
        }
        self.outcome.delays[step] += 1;
    }

    /// The client asks for what it lacks, if there is time.
    fn look(&mut self, at: u64, number: u64) {
        let (rtt, margin, space) = (self.path.rtt_us, self.margin(), self.space);
        let (ask, coming) = (self.scheme.ask, self.coming(number));
        let rank = self.solver.rank_of(number) as u64;
        let Some(picture) = self.find(number) else { return };
        if picture.is_over || picture.missing == 0 || at + rtt >= picture.deadline {
            return;
        }
        picture.asked.retain(|(_, until)| *until > at);
        let outstanding: u64 = picture.asked.iter().map(|(count, _)| count).sum();
        let lacking = u64::from(picture.missing.count_ones());
        let (count, shards) = match ask {
            Ask::No => return,
            Ask::Again if outstanding > 0 => return,
            Ask::Again => (lacking, picture.missing),
            Ask::Parity { more, plus } => {
                let lacking = lacking.saturating_sub(rank + coming + outstanding);
                if lacking == 0 {
                    return;
                }
                // As much more as is worth it when there is no time to ask again.
                let is_last = at + 2 * rtt + margin + lacking * space / 2 >= picture.deadline;
                let beyond = if is_last { (lacking as f64 * more).ceil() as u64 + plus } else { 0 };
                (lacking + beyond, 0)
            }
        };
        let until = at + rtt + margin + count * space / 2;
        picture.asked.push((count, until));
        self.push(until + 1, Event::Look { picture: number, is_parity: false });
        let heard = (0..2).find(|_| self.back.unit() >= self.loss);
        if let Some(turn) = heard {
            self.push(at + rtt / 2 + turn * REPEAT_US, Event::Request { picture: number, count, shards });
        }
    }

    /// Repair packets that help a picture and still come by themselves in time, as far as its client can tell.
    fn coming(&mut self, number: u64) -> u64 {
        let (path, parity, code) = (self.path, self.scheme.parity, self.scheme.code);
        let Some(picture) = self.find(number) else { return 0 };
        let later = |later: u64| {
            let begins = picture.begin + later * PERIOD_US + path.rtt_us / 2;
            let share = picture.deadline.saturating_sub(begins) as f64 / path.spread_us() as f64;
            if share >= 1.0 { parity as u64 } else { 0 }
        };
        picture.parity_left + (1..=code.back()).map(later).sum::<u64>()
    }

    fn answer(&mut self, at: u64, picture: u64, count: u64, shards: u64) {
        let mut leaves = at.max(self.answers_free);
        let mut left = shards;
        for _ in 0..count {
            let shard = left & left.wrapping_neg();
            left &= !shard;
            self.push(leaves, Event::Answer { picture, shards: shard });
            leaves += self.space / 2;
        }
        self.answers_free = leaves;
    }
}
