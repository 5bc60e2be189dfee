//! The client's half of input: every datagram carries the whole state and all that is unacknowledged (SPEC §10).

use heapless::deque::DequeInner;

use crate::channel::input::InputEvent;
use crate::limits::{INPUT_PER_DATAGRAM_MAX, INPUT_TRACED_MAX, INPUT_UNACKNOWLEDGED_MAX};
use crate::profile::Profile;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::frame::{FrameType, emit};
use crate::wire::input::{Held, InputMessage};

/// Unacknowledged events are repeated this often; nothing waits for a retransmission timer.
const REPEAT_US: u64 = 10_000;
/// While anything is held the client speaks at least this often (SPEC §10.4).
const HEARTBEAT_US: u64 = 100_000;
/// Datagrams that bring nothing but motion are at least this far apart.
const MOTION_SPACING_US: u64 = 1_000;

pub(crate) struct InputSender<P: Profile> {
    /// The number of the first event in `unacknowledged`.
    first: u64,
    unacknowledged: DequeInner<InputEvent, P::Room<InputEvent, INPUT_UNACKNOWLEDGED_MAX>>,
    /// What was held before `first`.
    held_before: Held,
    /// What is held after the last event.
    held: Held,
    /// One past the newest event that has been in a datagram.
    sent_end: u64,
    /// A key, button or text among the unsent.
    urgent: bool,
    last_sent: Option<Instant>,
    /// When the newest events were created, by number, in our microseconds modulo 2³².
    created: P::Row<u32, INPUT_TRACED_MAX>,
}

impl<P: Profile> InputSender<P> {
    pub(crate) fn new() -> Self {
        Self {
            first: 0,
            unacknowledged: P::queue::<_, INPUT_UNACKNOWLEDGED_MAX>(),
            held_before: Held::NOTHING,
            held: Held::NOTHING,
            sent_end: 0,
            urgent: false,
            last_sent: None,
            created: P::row::<_, INPUT_TRACED_MAX>(0),
        }
    }

    pub(crate) const fn held(&self) -> &Held {
        &self.held
    }

    /// Events not yet acknowledged.
    pub(crate) fn backlog(&self) -> usize {
        self.unacknowledged.iter().len()
    }

    fn end(&self) -> u64 {
        self.first + self.unacknowledged.iter().len() as u64
    }

    /// Takes an event; `false` when there is no room and it may not be merged.
    pub(crate) fn push(&mut self, now: Instant, event: InputEvent) -> bool {
        if !self.held.has_room_for(&event) {
            return false;
        }
        if event.is_motion() && self.merge(&event) {
            self.held.apply(&event);
            return true;
        }
        if self.unacknowledged.push_back(event).is_err() {
            return false;
        }
        let place = slot(self.end() - 1);
        if let Some(created) = self.created.as_mut().get_mut(place) {
            *created = now.as_micros() as u32;
        }
        self.held.apply(&event);
        self.urgent |= !event.is_motion();
        true
    }

    /// Beyond a datagram's worth, motion joins the motion before it that has not left yet.
    fn merge(&mut self, event: &InputEvent) -> bool {
        if self.unacknowledged.iter().len() < INPUT_PER_DATAGRAM_MAX || self.end() <= self.sent_end + 1 {
            return false;
        }
        let unsent = (self.end() - self.sent_end - 1) as usize;
        if is_place(event) {
            return replace(self.unacknowledged.iter_mut().rev().take(unsent), event);
        }
        let Some(last) = self.unacknowledged.back_mut() else { return false };
        match (last, *event) {
            (InputEvent::PointerAbsolute { x, y }, InputEvent::PointerAbsolute { x: to_x, y: to_y }) => {
                (*x, *y) = (to_x, to_y);
                true
            }
            (InputEvent::PointerRelative { dx, dy }, InputEvent::PointerRelative { dx: by_x, dy: by_y })
            | (InputEvent::Wheel { dx, dy }, InputEvent::Wheel { dx: by_x, dy: by_y }) => {
                let (Some(sum_x), Some(sum_y)) = (dx.checked_add(by_x), dy.checked_add(by_y)) else {
                    return false;
                };
                (*dx, *dy) = (sum_x, sum_y);
                true
            }
            _ => false,
        }
    }

    /// When event `low` (its number modulo 2³²) was created; `None` when that is forgotten or has not been.
    pub(crate) fn created_at(&self, low: u32, now: Instant) -> Option<Instant> {
        let behind = u64::from((self.end() as u32).wrapping_sub(low));
        if behind == 0 || behind > INPUT_TRACED_MAX as u64 {
            return None;
        }
        let number = self.end().checked_sub(behind)?;
        let age_us = (now.as_micros() as u32).wrapping_sub(*self.created.as_ref().get(slot(number))?);
        Some(now.minus_micros(age_us.into()))
    }

    pub(crate) fn on_acknowledged(&mut self, next_low: u32) {
        let next = self.first.wrapping_add(u64::from(next_low.wrapping_sub(self.first as u32)));
        // An acknowledgement of what was never sent is a lie or a very old one.
        if next > self.sent_end {
            return;
        }
        while self.first < next {
            let Some(event) = self.unacknowledged.pop_front() else { return };
            self.held_before.apply(&event);
            self.first += 1;
        }
    }

    /// When a datagram with input should leave; [`Instant::ZERO`] = at once.
    pub(crate) fn due(&self) -> Option<Instant> {
        let after = |micros| self.last_sent.map_or(Instant::ZERO, |last| last.plus_micros(micros));
        let sendable_end = self.end().min(self.first + INPUT_PER_DATAGRAM_MAX as u64);
        if sendable_end > self.sent_end {
            return Some(if self.urgent { Instant::ZERO } else { after(MOTION_SPACING_US) });
        }
        if !self.unacknowledged.is_empty() {
            return Some(after(REPEAT_US));
        }
        if self.held.is_empty() { None } else { Some(after(HEARTBEAT_US)) }
    }

    /// Appends a datagram's worth if it fits.
    pub(crate) fn emit(&mut self, now: Instant, writer: &mut Writer<'_>) -> Option<()> {
        let count = self.unacknowledged.iter().len().min(INPUT_PER_DATAGRAM_MAX);
        let mut held = self.held_before.clone();
        for event in self.unacknowledged.iter().take(count) {
            held.apply(event);
        }
        emit(writer, FrameType::Input, |body| {
            InputMessage::emit(body, self.first as u32, &held, self.unacknowledged.iter().take(count))
        })?;
        self.sent_end = self.sent_end.max(self.first + count as u64);
        self.urgent = self.end() > self.sent_end;
        self.last_sent = Some(now);
        Some(())
    }
}

/// Where event `number`'s time of creation is kept.
const fn slot(number: u64) -> usize {
    (number % INPUT_TRACED_MAX as u64) as usize
}

/// Whether the event says where something is, and no other event before it matters for that.
const fn is_place(event: &InputEvent) -> bool {
    matches!(event, InputEvent::GamepadAxis { .. } | InputEvent::TouchMove { .. })
}

/// Puts a new place into the newest of these events that has an older one of the same thing. `backwards` are the
/// events that have not left yet, newest first; nothing is carried across one that is no motion.
fn replace<'e>(backwards: impl Iterator<Item = &'e mut InputEvent>, event: &InputEvent) -> bool {
    for old in backwards {
        let is_motion = old.is_motion();
        match (old, event) {
            (
                InputEvent::GamepadAxis { gamepad, axis, value },
                InputEvent::GamepadAxis { gamepad: of, axis: along, value: to },
            ) if gamepad == of && axis == along => {
                *value = *to;
                return true;
            }
            (
                InputEvent::TouchMove { contact, x, y },
                InputEvent::TouchMove { contact: of, x: to_x, y: to_y },
            ) if contact == of => {
                (*x, *y) = (*to_x, *to_y);
                return true;
            }
            _ if is_motion => {}
            _ => return false,
        }
    }
    false
}
