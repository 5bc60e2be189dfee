//! Somebody at a keyboard who never tires.

use rift::wire::input::Held;
use rift::{
    Button, Contact, Gamepad, GamepadAxis, GamepadButton, GamepadState, InputEvent, Instant, Scancode,
    SendError,
};

use crate::random::Random;

/// Keys held at once at most.
const KEYS_HELD_MAX: usize = 6;

/// What a typist does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repertoire {
    /// Keys, buttons and text: nothing that may be merged.
    Presses,
    /// The same, and pointer and wheel in between.
    Everything,
    /// Gamepads and a touch screen.
    Devices,
}

/// Makes input events at a steady pace; a refused one is tried again.
#[derive(Clone, Debug)]
pub struct Typist {
    random: Random,
    repertoire: Repertoire,
    period_us: u64,
    left: u64,
    next: Instant,
    keys: Vec<Scancode>,
    buttons: [bool; Button::COUNT as usize],
    /// What is held on gamepads and the touch screen.
    devices: Held,
    waiting: Option<InputEvent>,
    sent: Vec<InputEvent>,
    sent_at: Vec<Instant>,
}

impl Typist {
    /// `count` events, one each `period_us`, from `start` on; at the end everything held is released.
    #[must_use]
    pub const fn new(
        random: Random,
        repertoire: Repertoire,
        count: u64,
        period_us: u64,
        start: Instant,
    ) -> Self {
        Self {
            random,
            repertoire,
            period_us,
            left: count,
            next: start,
            keys: Vec::new(),
            buttons: [false; Button::COUNT as usize],
            devices: Held::NOTHING,
            waiting: None,
            sent: Vec::new(),
            sent_at: Vec::new(),
        }
    }

    /// Every event a session took, in order.
    #[must_use]
    pub fn sent(&self) -> &[InputEvent] {
        &self.sent
    }

    /// When the session took each of them.
    #[must_use]
    pub fn sent_at(&self) -> &[Instant] {
        &self.sent_at
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let holds_nothing = self.keys.is_empty() && !self.buttons.contains(&true) && self.devices.is_empty();
        self.left == 0 && self.waiting.is_none() && holds_nothing
    }

    /// Nothing more than to release what is held.
    pub const fn stop(&mut self) {
        self.left = 0;
    }

    /// When there is something to do.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        (!self.is_done()).then_some(self.next)
    }

    /// Does what is due, through `send`.
    pub fn work(&mut self, now: Instant, mut send: impl FnMut(InputEvent) -> Result<(), SendError>) {
        while !self.is_done() && self.next <= now {
            let event = match self.waiting.take() {
                Some(event) => event,
                None => self.invent(),
            };
            if send(event).is_ok() {
                self.sent.push(event);
                self.sent_at.push(now);
            } else {
                self.waiting = Some(event);
            }
            self.next = self.next.max(now.minus_micros(self.period_us)).plus_micros(self.period_us);
        }
    }

    fn invent(&mut self) -> InputEvent {
        if self.left == 0 {
            return self.release();
        }
        self.left -= 1;
        let kinds = match self.repertoire {
            Repertoire::Presses => 5,
            Repertoire::Everything => 16,
            Repertoire::Devices => {
                let event = self.device();
                self.devices.apply(&event);
                return event;
            }
        };
        match self.random.below(kinds) {
            0 | 1 => self.key(),
            2 | 3 => self.button(),
            4 => InputEvent::Text(self.character()),
            5..=12 => InputEvent::PointerRelative { dx: self.step(), dy: self.step() },
            13 => InputEvent::Wheel { dx: 0, dy: self.step() },
            _ => InputEvent::PointerAbsolute { x: self.place(), y: self.place() },
        }
    }

    fn key(&mut self) -> InputEvent {
        let full = self.keys.len() == KEYS_HELD_MAX;
        if full || (!self.keys.is_empty() && self.random.chance(0.5)) {
            let held = usize::try_from(self.random.below(self.keys.len() as u64)).unwrap_or(0);
            return InputEvent::Key { key: self.keys.remove(held), pressed: false };
        }
        loop {
            // Codes of letters and digits; SysRq, which needs a right of its own, is not among them.
            let code = u16::try_from(self.random.below(80)).unwrap_or(0) + 1;
            if let Some(key) = Scancode::new(code).filter(|key| !self.keys.contains(key)) {
                self.keys.push(key);
                return InputEvent::Key { key, pressed: true };
            }
        }
    }

    fn button(&mut self) -> InputEvent {
        let index = u8::try_from(self.random.below(u64::from(Button::COUNT))).unwrap_or(0);
        let held = &mut self.buttons[usize::from(index)];
        *held = !*held;
        let pressed = *held;
        InputEvent::Button { button: Button::new(index).expect("below the number of buttons"), pressed }
    }

    fn release(&mut self) -> InputEvent {
        if let Some(event) = self.release_device() {
            self.devices.apply(&event);
            return event;
        }
        if let Some(key) = self.keys.pop() {
            return InputEvent::Key { key, pressed: false };
        }
        let index =
            self.buttons.iter().position(|&held| held).expect("a typist who is not done holds something");
        self.buttons[index] = false;
        let button = u8::try_from(index).ok().and_then(Button::new).expect("below the number of buttons");
        InputEvent::Button { button, pressed: false }
    }

    fn device(&mut self) -> InputEvent {
        let gamepad = Gamepad::new(self.below(Gamepad::COUNT)).expect("below the count");
        let contact = Contact::new(self.below(Contact::COUNT)).expect("below the count");
        let button = GamepadButton::new(self.below(GamepadButton::COUNT)).expect("below the count");
        let axis = GamepadAxis::new(self.below(GamepadAxis::COUNT)).expect("below the count");
        let held = self.devices.gamepad(gamepad).unwrap_or_default();
        let (x, y) = (self.place(), self.place());
        match (self.below(20), self.devices.contact(contact)) {
            (0, _) => InputEvent::GamepadConnected(gamepad),
            (1, _) => InputEvent::GamepadDisconnected(gamepad),
            (2..=5, _) => InputEvent::GamepadButton { gamepad, button, pressed: !held.has(button) },
            (6..=12, _) => InputEvent::GamepadAxis { gamepad, axis, value: x.cast_signed() },
            (_, None) => InputEvent::TouchDown { contact, x, y },
            (13..=14, Some(_)) => InputEvent::TouchUp(contact),
            (_, Some(_)) => InputEvent::TouchMove { contact, x, y },
        }
    }

    fn release_device(&self) -> Option<InputEvent> {
        if let Some(contact) = Contact::all().find(|contact| self.devices.contact(*contact).is_some()) {
            return Some(InputEvent::TouchUp(contact));
        }
        let is_at_rest = |gamepad: &Gamepad| {
            self.devices.gamepad(*gamepad).is_none_or(|state| state == GamepadState::AT_REST)
        };
        Gamepad::all().find(|gamepad| !is_at_rest(gamepad)).map(InputEvent::GamepadDisconnected)
    }

    fn below(&mut self, count: u8) -> u8 {
        u8::try_from(self.random.below(count.into())).unwrap_or(0)
    }

    fn character(&mut self) -> char {
        const CHARACTERS: [char; 8] = ['a', 'Z', '7', 'ß', 'é', 'Ж', '漢', '🦀'];
        CHARACTERS[usize::try_from(self.random.below(8)).unwrap_or(0)]
    }

    fn step(&mut self) -> i16 {
        i16::try_from(self.random.below(41)).unwrap_or(0) - 20
    }

    fn place(&mut self) -> u16 {
        u16::try_from(self.random.below(65_536)).unwrap_or(u16::MAX)
    }
}
