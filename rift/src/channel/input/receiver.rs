//! The host's half of input: each event once, in order, and nothing stays pressed (SPEC §10).

use heapless::Deque;
use heapless::deque::DequeInner;

use crate::channel::input::devices::{Contact, Gamepad, GamepadAxis, GamepadButton, GamepadState};
use crate::channel::input::{Button, InputEvent};
use crate::channel::video::PictureId;
use crate::limits::{CONTACTS_MAX, GAMEPADS_MAX, INPUT_RECEIVED_MAX, KEYS_HELD_MAX};
use crate::profile::Profile;
use crate::time::Instant;
use crate::wire::input::{Held, InputMessage, InputShownMessage};

/// Acknowledgements are at least this far apart.
const ACKNOWLEDGE_SPACING_US: u64 = 3_000;
/// Silence of at least this long while something is held releases it (SPEC §10.4).
const SILENCE_US_MIN: u64 = 400_000;
/// And at most this long.
const SILENCE_US_MAX: u64 = 1_000_000;
/// Room for the release of everything that may be held, whatever waits: presses leave it free.
const RELEASES_MAX: usize = KEYS_HELD_MAX
    + Button::COUNT as usize
    + CONTACTS_MAX
    + GAMEPADS_MAX * (GamepadButton::COUNT as usize + GamepadAxis::COUNT as usize);
/// Events that may wait.
const QUEUE: usize = INPUT_RECEIVED_MAX + RELEASES_MAX;
/// Injections that wait for the first picture after them: several pictures may be on their way through the encoder.
const INJECTED_MAX: usize = 8;

/// Everything up to an event was injected.
#[derive(Clone, Copy, Debug)]
struct Injected {
    event: u64,
    received_at: Instant,
    at: Instant,
}

pub(crate) struct InputReceiver<P: Profile> {
    /// The number of the next event to take.
    expected: u64,
    queue: DequeInner<InputEvent, P::Room<InputEvent, QUEUE>>,
    /// What the application has been told is held.
    held: Held,
    heard_at: Instant,
    acknowledge: bool,
    acknowledged_at: Option<Instant>,
    /// When the newest event came.
    taken_at: Instant,
    /// One past the newest event that was injected.
    injected_end: u64,
    injected: Deque<Injected, INJECTED_MAX>,
    shown: Option<InputShownMessage>,
}

impl<P: Profile> InputReceiver<P> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            expected: 0,
            queue: P::queue::<_, QUEUE>(),
            held: Held::NOTHING,
            heard_at: now,
            acknowledge: false,
            acknowledged_at: None,
            taken_at: now,
            injected_end: 0,
            injected: Deque::new(),
            shown: None,
        }
    }

    /// Takes a message. `permitted` says whether an event may reach the application while this is held; others are taken
    /// and dropped.
    /// Returns how many events were new.
    pub(crate) fn on_message(
        &mut self,
        message: &InputMessage,
        received_at: Instant,
        permitted: impl Fn(&InputEvent, &Held) -> bool,
    ) -> usize {
        let first = self
            .expected
            .wrapping_add_signed(i64::from(message.first.wrapping_sub(self.expected as u32) as i32));
        if first > self.expected {
            // Impossible from an honest sender: every datagram starts with the first unacknowledged event.
            return 0;
        }
        self.heard_at = self.heard_at.max(received_at);
        self.acknowledge = true;
        let skip = usize::try_from(self.expected - first).unwrap_or(usize::MAX);
        let mut taken = 0;
        for event in message.events.iter().skip(skip) {
            // One key too many could not be released later (SPEC §10.6).
            if permitted(event, &self.held) && self.held.has_room_for(event) && !self.put(*event) {
                return taken;
            }
            self.expected += 1;
            self.taken_at = received_at;
            taken += 1;
        }
        if first + message.events.len() as u64 == self.expected {
            self.reconcile(&message.held, permitted);
        }
        taken
    }

    /// After silence released things, or an event was dropped: makes what is held what the client says.
    fn reconcile(&mut self, wanted: &Held, permitted: impl Fn(&InputEvent, &Held) -> bool) {
        if self.held == *wanted {
            return;
        }
        while let Some(&key) = self.held.keys().iter().find(|&&key| !wanted.has_key(key)) {
            self.release(InputEvent::Key { key, pressed: false });
        }
        for &key in wanted.keys() {
            let event = InputEvent::Key { key, pressed: true };
            if !self.held.has_key(key) && permitted(&event, &self.held) && !self.put(event) {
                return;
            }
        }
        // What is held of the keyboard matters to keys alone.
        let permitted = |event: &InputEvent| permitted(event, &Held::NOTHING);
        for button in (0..Button::COUNT).filter_map(Button::new) {
            let (is_held, pressed) = (self.held.has_button(button), wanted.has_button(button));
            let event = InputEvent::Button { button, pressed };
            if is_held && !pressed {
                self.release(event);
            } else if pressed && !is_held && permitted(&event) && !self.put(event) {
                return;
            }
        }
        for contact in Contact::all() {
            if !self.reconcile_contact(contact, wanted, &permitted) {
                return;
            }
        }
        for gamepad in Gamepad::all() {
            if !self.reconcile_gamepad(gamepad, wanted, &permitted) {
                return;
            }
        }
    }

    fn reconcile_gamepad(
        &mut self,
        gamepad: Gamepad,
        wanted: &Held,
        permitted: &impl Fn(&InputEvent) -> bool,
    ) -> bool {
        let (held, wanted) = (self.held.gamepad(gamepad), wanted.gamepad(gamepad));
        let (before, after) = (held.unwrap_or_default(), wanted.unwrap_or_default());
        if before != after && !self.change_gamepad(gamepad, before, after, permitted) {
            return false;
        }
        let event = match (self.held.gamepad(gamepad).is_some(), wanted.is_some()) {
            (true, false) => InputEvent::GamepadDisconnected(gamepad),
            (false, true) => InputEvent::GamepadConnected(gamepad),
            (true, true) | (false, false) => return true,
        };
        !permitted(&event) || self.put(event)
    }

    /// Makes the state of a gamepad another. What only lets go always has room.
    fn change_gamepad(
        &mut self,
        gamepad: Gamepad,
        before: GamepadState,
        after: GamepadState,
        permitted: &impl Fn(&InputEvent) -> bool,
    ) -> bool {
        for button in GamepadButton::all().filter(|&button| before.has(button) != after.has(button)) {
            let pressed = after.has(button);
            let event = InputEvent::GamepadButton { gamepad, button, pressed };
            if !pressed {
                self.release(event);
            } else if permitted(&event) && !self.put(event) {
                return false;
            }
        }
        for axis in GamepadAxis::all().filter(|&axis| before.axis(axis) != after.axis(axis)) {
            let value = after.axis(axis);
            let event = InputEvent::GamepadAxis { gamepad, axis, value };
            if value == 0 {
                self.release(event);
            } else if permitted(&event) && !self.put(event) {
                return false;
            }
        }
        true
    }

    fn reconcile_contact(
        &mut self,
        contact: Contact,
        wanted: &Held,
        permitted: &impl Fn(&InputEvent) -> bool,
    ) -> bool {
        let event = match (self.held.contact(contact), wanted.contact(contact)) {
            (Some(_), None) => {
                self.release(InputEvent::TouchUp(contact));
                return true;
            }
            (None, Some((x, y))) => InputEvent::TouchDown { contact, x, y },
            (Some(held), Some((x, y))) if held != (x, y) => InputEvent::TouchMove { contact, x, y },
            (Some(_), Some(_)) | (None, None) => return true,
        };
        !permitted(&event) || self.put(event)
    }

    /// Queues an event; `false` when too many wait.
    fn put(&mut self, event: InputEvent) -> bool {
        if !P::CARRIES_MEDIA || self.queue.iter().len() >= INPUT_RECEIVED_MAX {
            return false;
        }
        self.release(event);
        true
    }

    /// Queues the release of something held: for that there is always room.
    fn release(&mut self, event: InputEvent) {
        let pushed = self.queue.push_back(event);
        debug_assert!(pushed.is_ok(), "what waits and what is held never exceed the queue");
        self.held.apply(&event);
    }

    /// The next event for the application.
    pub(crate) fn pop(&mut self) -> Option<InputEvent> {
        self.queue.pop_front()
    }

    /// When silence will release what is held.
    pub(crate) fn silence_due(&self, round_trip_us: u64) -> Option<Instant> {
        let silence = (3 * round_trip_us).clamp(SILENCE_US_MIN, SILENCE_US_MAX);
        (!self.held.is_empty()).then(|| self.heard_at.plus_micros(silence))
    }

    /// Releases everything held (SPEC §6.4), however much waits for the application.
    pub(crate) fn release_all(&mut self) {
        while let Some(&key) = self.held.keys().first() {
            self.release(InputEvent::Key { key, pressed: false });
        }
        for button in self.held.buttons() {
            self.release(InputEvent::Button { button, pressed: false });
        }
        for contact in Contact::all() {
            if self.held.contact(contact).is_some() {
                self.release(InputEvent::TouchUp(contact));
            }
        }
        for gamepad in Gamepad::all() {
            let held = self.held.gamepad(gamepad).unwrap_or_default();
            let _ = self.change_gamepad(gamepad, held, GamepadState::AT_REST, &|_| true);
        }
    }

    /// The application has injected everything it was given.
    pub(crate) fn on_injected(&mut self, now: Instant) {
        if self.expected == self.injected_end || !self.queue.is_empty() {
            return;
        }
        self.injected_end = self.expected;
        if self.injected.is_full() {
            self.injected.pop_front();
        }
        let injected = Injected { event: self.expected - 1, received_at: self.taken_at, at: now };
        let pushed = self.injected.push_back(injected);
        debug_assert!(pushed.is_ok(), "room was made");
    }

    /// A picture has left. If it is the first captured after an injection, its viewer is told so.
    pub(crate) fn on_picture_left(&mut self, picture: PictureId, captured_at: Instant) {
        while let Some(first) = self.injected.front().filter(|first| first.at <= captured_at) {
            let after_us = first.at.micros_since(first.received_at);
            self.shown = Some(InputShownMessage {
                picture,
                event: first.event as u32,
                received_us: first.received_at.as_micros() as u32,
                injected_after_us: u32::try_from(after_us).unwrap_or(u32::MAX),
            });
            self.injected.pop_front();
        }
    }

    /// What the viewer is to be told of the input that a picture shows; once.
    pub(crate) const fn take_shown(&mut self) -> Option<InputShownMessage> {
        self.shown.take()
    }

    /// When an acknowledgement should leave.
    pub(crate) fn acknowledge_due(&self) -> Option<Instant> {
        self.acknowledge.then(|| {
            self.acknowledged_at.map_or(Instant::ZERO, |last| last.plus_micros(ACKNOWLEDGE_SPACING_US))
        })
    }

    /// The first event not yet taken, for an acknowledgement that leaves now.
    pub(crate) const fn acknowledge(&mut self, now: Instant) -> u32 {
        self.acknowledge = false;
        self.acknowledged_at = Some(now);
        self.expected as u32
    }
}
