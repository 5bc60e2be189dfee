//! Input events and the state they lead to (SPEC §10).

use heapless::Vec;

use super::{Reader, Writer};
use crate::channel::input::{Button, InputEvent, Scancode};
use crate::limits::{INPUT_PER_DATAGRAM_MAX, KEYS_HELD_MAX};

/// Everything that is held down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    keys: Vec<Scancode, KEYS_HELD_MAX>,
    buttons: u8,
}

impl Held {
    /// Nothing is held.
    pub const NOTHING: Self = Self { keys: Vec::new(), buttons: 0 };

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.buttons == 0
    }

    /// The keys, in the order in which they went down.
    #[must_use]
    pub fn keys(&self) -> &[Scancode] {
        &self.keys
    }

    /// Whether `key` is down.
    #[must_use]
    pub fn has_key(&self, key: Scancode) -> bool {
        self.keys.contains(&key)
    }

    /// Whether `button` is down.
    #[must_use]
    pub fn has_button(&self, button: Button) -> bool {
        self.buttons & mask(button) != 0
    }

    /// The buttons that are down.
    pub fn buttons(&self) -> impl Iterator<Item = Button> + use<> {
        let held = self.buttons;
        (0..Button::COUNT).filter_map(Button::new).filter(move |&button| held & mask(button) != 0)
    }

    /// Whether the event could be recorded: false for one key too many.
    #[must_use]
    pub fn has_room_for(&self, event: &InputEvent) -> bool {
        match *event {
            InputEvent::Key { key, pressed: true } => !self.keys.is_full() || self.has_key(key),
            InputEvent::Key { pressed: false, .. }
            | InputEvent::Button { .. }
            | InputEvent::Text(_)
            | InputEvent::PointerAbsolute { .. }
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. } => true,
        }
    }

    /// Records what `event` presses or releases. One key too many is not recorded; [`Self::has_room_for`] tells.
    pub fn apply(&mut self, event: &InputEvent) {
        match *event {
            InputEvent::Key { key, pressed: true } => {
                if !self.has_key(key) {
                    let _ = self.keys.push(key);
                }
            }
            InputEvent::Key { key, pressed: false } => self.keys.retain(|&held| held != key),
            InputEvent::Button { button, pressed: true } => self.buttons |= mask(button),
            InputEvent::Button { button, pressed: false } => self.buttons &= !mask(button),
            InputEvent::Text(_)
            | InputEvent::PointerAbsolute { .. }
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. } => {}
        }
    }
}

fn mask(button: Button) -> u8 {
    1u8.wrapping_shl(u32::from(button.index()))
}

/// The complete pressed state and the events not yet acknowledged.
///
/// ```text
/// 0              4         5       6          6+2n
/// +--------------+---------+-------+----------+--------...
/// | first event  | buttons | n     | n keys   | events, each a code and its fields
/// | low 32       | held    | keys  | 2 each   |
/// +--------------+---------+-------+----------+--------...
/// 1 key down (code 2) · 2 key up (2) · 3 text (scalar value 4) · 4 button down (1) · 5 button up (1)
/// 6 pointer at (x 2, y 2) · 7 pointer by (dx 2, dy 2) · 8 wheel by (dx 2, dy 2)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputMessage {
    /// The number of the first event; with none, the number the next one will have.
    pub first: u32,
    /// What is held after the last of the events.
    pub held: Held,
    /// The events, in order.
    pub events: Vec<InputEvent, INPUT_PER_DATAGRAM_MAX>,
}

impl InputMessage {
    /// Reads a body; `None` when it holds anything impossible.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let first = reader.u32()?;
        let buttons = reader.u8()?;
        let count = usize::from(reader.u8()?);
        let mut keys = Vec::new();
        for _ in 0..count {
            let key = Scancode::new(reader.u16()?)?;
            if keys.contains(&key) {
                return None;
            }
            keys.push(key).ok()?;
        }
        let mut events = Vec::new();
        while !reader.is_empty() {
            events.push(read_event(&mut reader)?).ok()?;
        }
        Some(Self { first, held: Held { keys, buttons }, events })
    }

    /// Writes a message without building one; `events` beyond what fits a datagram are the caller's mistake.
    pub(crate) fn emit<'e>(
        writer: &mut Writer<'_>,
        first: u32,
        held: &Held,
        events: impl Iterator<Item = &'e InputEvent>,
    ) -> Option<()> {
        writer.u32(first)?;
        writer.u8(held.buttons)?;
        writer.u8(u8::try_from(held.keys.len()).ok()?)?;
        for key in &held.keys {
            writer.u16(key.code())?;
        }
        for event in events {
            write_event(writer, event)?;
        }
        Some(())
    }
}

fn read_event(reader: &mut Reader<'_>) -> Option<InputEvent> {
    Some(match reader.u8()? {
        code @ 1..=2 => InputEvent::Key { key: Scancode::new(reader.u16()?)?, pressed: code == 1 },
        3 => InputEvent::Text(char::from_u32(reader.u32()?)?),
        code @ 4..=5 => InputEvent::Button { button: Button::new(reader.u8()?)?, pressed: code == 4 },
        6 => InputEvent::PointerAbsolute { x: reader.u16()?, y: reader.u16()? },
        7 => InputEvent::PointerRelative { dx: reader.i16()?, dy: reader.i16()? },
        8 => InputEvent::Wheel { dx: reader.i16()?, dy: reader.i16()? },
        _ => return None,
    })
}

fn write_event(writer: &mut Writer<'_>, event: &InputEvent) -> Option<()> {
    match *event {
        InputEvent::Key { key, pressed } => {
            writer.u8(if pressed { 1 } else { 2 })?;
            writer.u16(key.code())
        }
        InputEvent::Text(character) => {
            writer.u8(3)?;
            writer.u32(character.into())
        }
        InputEvent::Button { button, pressed } => {
            writer.u8(if pressed { 4 } else { 5 })?;
            writer.u8(button.index())
        }
        InputEvent::PointerAbsolute { x, y } => {
            writer.u8(6)?;
            writer.u16(x)?;
            writer.u16(y)
        }
        InputEvent::PointerRelative { dx, dy } => {
            writer.u8(7)?;
            writer.i16(dx)?;
            writer.i16(dy)
        }
        InputEvent::Wheel { dx, dy } => {
            writer.u8(8)?;
            writer.i16(dx)?;
            writer.i16(dy)
        }
    }
}

/// Which input has been taken.
///
/// ```text
/// 0             4
/// +-------------+
/// | next event  |
/// +-------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputAcknowledged {
    /// The first event not yet taken, low 32 bits.
    pub next: u32,
}

impl InputAcknowledged {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let next = Reader::new(body).u32()?;
        Some(Self { next })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.next)
    }
}
