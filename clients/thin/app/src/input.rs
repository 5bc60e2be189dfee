//! What is done at the board, on its way to the session.
//!
//! A key that was pressed is released: events go in order and wait when the session has no room. When more wait than can
//! be kept, single events are given up, and once there is room the host is told what is really held now. A session
//! that ends forgets what was told; what is still held down when the next begins is not pressed there, and its
//! release is not sent either.

use heapless::{Deque, Vec};
use rift::{Button, InputEvent, Scancode, SendError};

/// Events that wait for a session without room: a second of fast typing and a mouse.
const WAITING_MAX: usize = 64;
/// Keys remembered as held: what RIFT carries.
const HELD_MAX: usize = rift::limits::KEYS_HELD_MAX;

/// Where what is done at a board comes from.
pub trait InputSource {
    /// Waits for the next event. It is dropped and called anew many times; nothing may be lost by that.
    fn next(&mut self) -> impl Future<Output = InputEvent>;
}

/// What is held down.
#[derive(Clone, Debug, Default)]
struct Held {
    keys: Vec<Scancode, HELD_MAX>,
    buttons: u8,
}

impl Held {
    /// Takes note of an event. `false` when it is no news: a release of what is not held, a press of what is, or one key
    /// too many.
    fn note(&mut self, event: InputEvent) -> bool {
        if let InputEvent::Key { key, pressed } = event {
            let known = self.keys.iter().position(|&held| held == key);
            match (known, pressed) {
                (None, true) => self.keys.push(key).is_ok(),
                (Some(index), false) => {
                    self.keys.swap_remove(index);
                    true
                }
                (Some(_), true) | (None, false) => false,
            }
        } else if let InputEvent::Button { button, pressed } = event {
            let bit = 1 << button.index();
            let was = self.buttons & bit != 0;
            self.buttons = if pressed { self.buttons | bit } else { self.buttons & !bit };
            was != pressed
        } else {
            true
        }
    }

    fn has(&self, button: Button) -> bool {
        self.buttons & 1 << button.index() != 0
    }
}

/// Events between a board and its session; see the module.
#[derive(Debug, Default)]
pub struct InputQueue {
    /// What is held at the board.
    held: Held,
    /// What the session was told to be held.
    told: Held,
    waiting: Deque<InputEvent, WAITING_MAX>,
    /// Events were given up: what is held must be told.
    is_torn: bool,
    has_session: bool,
}

impl InputQueue {
    /// Nothing held.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            held: Held { keys: Vec::new(), buttons: 0 },
            told: Held { keys: Vec::new(), buttons: 0 },
            waiting: Deque::new(),
            is_torn: false,
            has_session: false,
        }
    }

    /// A session may be steered from now on. One that may already goes on as it was: only its rights are others.
    pub fn begin(&mut self) {
        if !self.has_session {
            self.end();
            self.has_session = true;
        }
    }

    /// There is no session any more: the host has released what was held.
    pub fn end(&mut self) {
        self.told = Held::default();
        self.waiting.clear();
        (self.is_torn, self.has_session) = (false, false);
    }

    /// Whether something waits for room.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_torn || !self.waiting.is_empty()
    }

    /// Something was done.
    pub fn push(&mut self, event: InputEvent) {
        if !self.held.note(event) || !self.has_session {
            return;
        }
        if self.waiting.push_back(event).is_err() {
            self.is_torn = true;
        }
    }

    /// Gives the session what waits, as far as it has room: `send` is [`rift::Session::send_input`].
    pub fn flush(&mut self, mut send: impl FnMut(InputEvent) -> Result<(), SendError>) {
        while let Some(&event) = self.waiting.front() {
            let is_state = matches!(event, InputEvent::Key { .. } | InputEvent::Button { .. });
            // A release of what this session never saw pressed is no news to it.
            let mut told = self.told.clone();
            if is_state && !told.note(event) {
                self.waiting.pop_front();
                continue;
            }
            match send(event) {
                Ok(()) => self.told = told,
                Err(SendError::Full) => return,
                // The host does not permit this; the next may be permitted.
                Err(_) => {}
            }
            self.waiting.pop_front();
        }
        if self.is_torn && self.mend(send) {
            self.is_torn = false;
        }
    }

    /// Tells what is really held; `false` when there is no room for all of it.
    fn mend(&mut self, mut send: impl FnMut(InputEvent) -> Result<(), SendError>) -> bool {
        let (held, told) = (self.held.clone(), self.told.clone());
        let released = told.keys.iter().filter(|key| !held.keys.contains(key));
        let pressed = held.keys.iter().filter(|key| !told.keys.contains(key));
        let keys = released.map(|&key| (key, false)).chain(pressed.map(|&key| (key, true)));
        let keys = keys.map(|(key, pressed)| InputEvent::Key { key, pressed });
        let buttons = (0..Button::COUNT).filter_map(Button::new);
        let buttons = buttons.filter(|&button| held.has(button) != told.has(button));
        let buttons = buttons.map(|button| InputEvent::Button { button, pressed: held.has(button) });
        for event in keys.chain(buttons) {
            match send(event) {
                Ok(()) => {
                    self.told.note(event);
                }
                Err(SendError::Full) => return false,
                Err(_) => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn key(code: u16, pressed: bool) -> InputEvent {
        InputEvent::Key { key: Scancode::new(code).expect("a key"), pressed }
    }

    /// What a session with so much room is given.
    fn given(queue: &mut InputQueue, mut room: usize) -> Vec<InputEvent> {
        let mut events = Vec::new();
        queue.flush(|event| {
            room = room.checked_sub(1).ok_or(SendError::Full)?;
            events.push(event);
            Ok(())
        });
        events
    }

    #[test]
    fn what_a_session_has_no_room_for_comes_later_and_in_order() {
        let mut queue = InputQueue::new();
        queue.begin();
        let typed: Vec<_> = (1..20).flat_map(|code| [key(code, true), key(code, false)]).collect();
        typed.iter().for_each(|&event| queue.push(event));
        let first = given(&mut queue, 5);
        assert!(first.len() == 5 && queue.is_waiting());
        assert_eq!([first, given(&mut queue, 100)].concat(), typed);
        assert!(!queue.is_waiting());
    }

    #[test]
    fn after_more_than_can_be_kept_what_is_held_is_told() {
        let mut queue = InputQueue::new();
        queue.begin();
        queue.push(key(1, true));
        assert_eq!(given(&mut queue, 9), [key(1, true)]);
        for code in 100..200 {
            queue.push(key(code, true));
            queue.push(key(code, false));
        }
        queue.push(key(1, false));
        queue.push(key(2, true));
        queue.push(InputEvent::Button { button: Button::LEFT, pressed: true });
        let (mut held, mut buttons) = (std::collections::BTreeSet::from([1]), 0);
        let events = [given(&mut queue, 65), given(&mut queue, 1), given(&mut queue, 100)].concat();
        for event in events {
            if let InputEvent::Key { key, pressed } = event {
                assert!(if pressed { held.insert(key.code()) } else { held.remove(&key.code()) });
            } else {
                buttons += 1;
            }
        }
        assert_eq!((held.into_iter().collect::<Vec<_>>(), buttons), ([2].to_vec(), 1));
        assert!(!queue.is_waiting() && given(&mut queue, 9).is_empty());
    }

    #[test]
    fn other_rights_in_a_session_lose_no_release_and_nothing_that_waits() {
        let mut queue = InputQueue::new();
        queue.begin();
        queue.push(key(1, true));
        assert_eq!(given(&mut queue, 9), [key(1, true)]);
        queue.push(key(2, true));
        queue.begin();
        queue.push(key(1, false));
        assert_eq!(given(&mut queue, 9), [key(2, true), key(1, false)]);
    }

    #[test]
    fn release_of_what_another_session_saw_pressed_is_not_sent() {
        let mut queue = InputQueue::new();
        queue.push(key(1, true));
        queue.begin();
        queue.push(key(2, true));
        assert_eq!(given(&mut queue, 9), [key(2, true)]);
        queue.end();
        queue.begin();
        [key(1, false), key(2, false), key(3, true), key(3, true)]
            .iter()
            .for_each(|&event| queue.push(event));
        assert_eq!(given(&mut queue, 9), [key(3, true)]);
    }
}
