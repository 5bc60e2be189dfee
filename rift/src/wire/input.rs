//! Input events and the state they lead to (SPEC §10).

use heapless::Vec;

use super::{Reader, Writer};
use crate::channel::input::devices::{Contact, Gamepad, GamepadAxis, GamepadButton, GamepadState, Rumble};
use crate::channel::input::{Button, InputEvent, Scancode};
use crate::channel::video::PictureId;
use crate::limits::{CONTACTS_MAX, GAMEPADS_MAX, INPUT_PER_DATAGRAM_MAX, KEYS_HELD_MAX};

/// Everything that is held down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    keys: Vec<Scancode, KEYS_HELD_MAX>,
    buttons: u8,
    gamepads: [Option<GamepadState>; GAMEPADS_MAX],
    contacts: [Option<(u16, u16)>; CONTACTS_MAX],
}

impl Held {
    /// Nothing is held.
    pub const NOTHING: Self =
        Self { keys: Vec::new(), buttons: 0, gamepads: [None; GAMEPADS_MAX], contacts: [None; CONTACTS_MAX] };

    /// Whether nothing is held; a gamepad at rest is not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.buttons == 0
            && self.contacts.iter().all(Option::is_none)
            && self.gamepads.iter().all(|state| state.is_none_or(|state| state == GamepadState::AT_REST))
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

    /// What is pressed and moved on a gamepad; `None` while it is not plugged in.
    #[must_use]
    pub fn gamepad(&self, gamepad: Gamepad) -> Option<GamepadState> {
        self.gamepads.get(usize::from(gamepad.index())).copied().flatten()
    }

    /// Where a contact is; `None` while it does not touch.
    #[must_use]
    pub fn contact(&self, contact: Contact) -> Option<(u16, u16)> {
        self.contacts.get(usize::from(contact.index())).copied().flatten()
    }

    /// Whether the event can be recorded: false for one key too many and for a contact that moves without touching.
    #[must_use]
    pub fn has_room_for(&self, event: &InputEvent) -> bool {
        match *event {
            InputEvent::Key { key, pressed: true } => !self.keys.is_full() || self.has_key(key),
            InputEvent::TouchMove { contact, .. } => self.contact(contact).is_some(),
            InputEvent::Key { pressed: false, .. }
            | InputEvent::Button { .. }
            | InputEvent::Text(_)
            | InputEvent::PointerAbsolute { .. }
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. }
            | InputEvent::GamepadConnected(_)
            | InputEvent::GamepadDisconnected(_)
            | InputEvent::GamepadButton { .. }
            | InputEvent::GamepadAxis { .. }
            | InputEvent::TouchDown { .. }
            | InputEvent::TouchUp(_) => true,
        }
    }

    /// Records what `event` presses, moves or releases. What [`Self::has_room_for`] denies is not recorded.
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
            InputEvent::GamepadConnected(gamepad) => {
                self.change_gamepad(gamepad, |_| {});
            }
            InputEvent::GamepadDisconnected(gamepad) => {
                if let Some(state) = self.gamepads.get_mut(usize::from(gamepad.index())) {
                    *state = None;
                }
            }
            InputEvent::GamepadButton { gamepad, button, pressed } => {
                self.change_gamepad(gamepad, |state| state.press(button, pressed));
            }
            InputEvent::GamepadAxis { gamepad, axis, value } => {
                self.change_gamepad(gamepad, |state| state.set_axis(axis, value));
            }
            InputEvent::TouchDown { contact, x, y } => self.set_contact(contact, Some((x, y))),
            InputEvent::TouchMove { contact, x, y } => {
                if self.contact(contact).is_some() {
                    self.set_contact(contact, Some((x, y)));
                }
            }
            InputEvent::TouchUp(contact) => self.set_contact(contact, None),
            InputEvent::Text(_)
            | InputEvent::PointerAbsolute { .. }
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. } => {}
        }
    }

    fn change_gamepad(&mut self, gamepad: Gamepad, change: impl FnOnce(&mut GamepadState)) {
        if let Some(state) = self.gamepads.get_mut(usize::from(gamepad.index())) {
            change(state.get_or_insert_default());
        }
    }

    fn set_contact(&mut self, contact: Contact, place: Option<(u16, u16)>) {
        if let Some(held) = self.contacts.get_mut(usize::from(contact.index())) {
            *held = place;
        }
    }

    fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let mut held = Self { buttons: reader.u8()?, ..Self::NOTHING };
        let count = usize::from(reader.u8()?);
        for _ in 0..count {
            let key = Scancode::new(reader.u16()?)?;
            if held.keys.contains(&key) {
                return None;
            }
            held.keys.push(key).ok()?;
        }
        let devices = reader.u8()?;
        if devices & !(GAMEPADS | HAS_CONTACTS) != 0 {
            return None;
        }
        for (index, state) in held.gamepads.iter_mut().enumerate() {
            if has_bit(devices.into(), index) {
                *state = Some(read_gamepad(reader)?);
            }
        }
        if devices & HAS_CONTACTS == 0 {
            return Some(held);
        }
        let contacts = reader.u16()?;
        if contacts.checked_shr(u32::from(Contact::COUNT))? != 0 {
            return None;
        }
        for (index, place) in held.contacts.iter_mut().enumerate() {
            if has_bit(contacts, index) {
                *place = Some((reader.u16()?, reader.u16()?));
            }
        }
        Some(held)
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u8(self.buttons)?;
        writer.u8(u8::try_from(self.keys.len()).ok()?)?;
        for key in &self.keys {
            writer.u16(key.code())?;
        }
        let contacts = bits(self.contacts.iter().map(Option::is_some));
        let has_contacts = if contacts == 0 { 0 } else { HAS_CONTACTS };
        let gamepads = bits(self.gamepads.iter().map(Option::is_some));
        writer.u8(u8::try_from(gamepads).ok()? | has_contacts)?;
        for state in self.gamepads.iter().flatten() {
            writer.u32(state.buttons)?;
            for axis in state.axes {
                writer.i16(axis)?;
            }
        }
        if contacts == 0 {
            return Some(());
        }
        writer.u16(contacts)?;
        for (x, y) in self.contacts.iter().flatten() {
            writer.u16(*x)?;
            writer.u16(*y)?;
        }
        Some(())
    }
}

/// Which gamepads are told of.
const GAMEPADS: u8 = 0x0f;
/// Contacts are told of.
const HAS_CONTACTS: u8 = 0x10;

fn mask(button: Button) -> u8 {
    1u8.wrapping_shl(u32::from(button.index()))
}

fn has_bit(mask: u16, index: usize) -> bool {
    u32::try_from(index).ok().and_then(|index| mask.checked_shr(index)).is_some_and(|rest| rest & 1 == 1)
}

fn bits(set: impl Iterator<Item = bool>) -> u16 {
    set.zip(0u32..).fold(0, |mask, (is_set, index)| mask | u16::from(is_set).wrapping_shl(index))
}

fn read_gamepad(reader: &mut Reader<'_>) -> Option<GamepadState> {
    let buttons = reader.u32()?;
    if buttons.checked_shr(u32::from(GamepadButton::COUNT))? != 0 {
        return None;
    }
    let mut state = GamepadState { buttons, ..GamepadState::AT_REST };
    for axis in &mut state.axes {
        *axis = reader.i16()?;
    }
    Some(state)
}

/// The complete pressed state and the events not yet acknowledged.
///
/// ```text
/// 0              4         5       6          6+2n      7+2n
/// +--------------+---------+-------+----------+---------+-----------+----------+--------...
/// | first event  | buttons | n     | n keys   | devices | gamepads  | contacts | events, each a code
/// | low 32       | held    | keys  | 2 each   |         | 16 each   |          | and its fields
/// +--------------+---------+-------+----------+---------+-----------+----------+--------...
/// devices: bits 0–3 = gamepads told of, bit 4 = contacts are told of; the others 0
/// gamepad: buttons 4 (bit n = button n), six axes 2 each
/// contacts: which 2 (bit n = contact n), then x 2, y 2 of each
/// 1 key down (code 2) · 2 key up (2) · 3 text (scalar value 4) · 4 button down (1) · 5 button up (1)
/// 6 pointer at (x 2, y 2) · 7 pointer by (dx 2, dy 2) · 8 wheel by (dx 2, dy 2)
/// 9 gamepad plugged (gamepad 1) · 10 gamepad pulled (1) · 11 gamepad button down (gamepad 1, button 1)
/// 12 gamepad button up (1, 1) · 13 gamepad axis at (gamepad 1, axis 1, value 2)
/// 14 contact down (contact 1, x 2, y 2) · 15 contact at (1, x 2, y 2) · 16 contact up (1)
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
        let held = Held::parse(&mut reader)?;
        let mut events = Vec::new();
        while !reader.is_empty() {
            events.push(read_event(&mut reader)?).ok()?;
        }
        Some(Self { first, held, events })
    }

    /// Writes a message without building one; `events` beyond what fits a datagram are the caller's mistake.
    pub(crate) fn emit<'e>(
        writer: &mut Writer<'_>,
        first: u32,
        held: &Held,
        events: impl Iterator<Item = &'e InputEvent>,
    ) -> Option<()> {
        writer.u32(first)?;
        held.emit(writer)?;
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
        9 => InputEvent::GamepadConnected(Gamepad::new(reader.u8()?)?),
        10 => InputEvent::GamepadDisconnected(Gamepad::new(reader.u8()?)?),
        code @ 11..=12 => InputEvent::GamepadButton {
            gamepad: Gamepad::new(reader.u8()?)?,
            button: GamepadButton::new(reader.u8()?)?,
            pressed: code == 11,
        },
        13 => InputEvent::GamepadAxis {
            gamepad: Gamepad::new(reader.u8()?)?,
            axis: GamepadAxis::new(reader.u8()?)?,
            value: reader.i16()?,
        },
        14 => {
            InputEvent::TouchDown { contact: Contact::new(reader.u8()?)?, x: reader.u16()?, y: reader.u16()? }
        }
        15 => {
            InputEvent::TouchMove { contact: Contact::new(reader.u8()?)?, x: reader.u16()?, y: reader.u16()? }
        }
        16 => InputEvent::TouchUp(Contact::new(reader.u8()?)?),
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
            writer.bytes(&[if pressed { 4 } else { 5 }, button.index()])
        }
        InputEvent::PointerAbsolute { x, y } => write_place(writer, &[6], x, y),
        InputEvent::PointerRelative { dx, dy } => {
            write_place(writer, &[7], dx.cast_unsigned(), dy.cast_unsigned())
        }
        InputEvent::Wheel { dx, dy } => write_place(writer, &[8], dx.cast_unsigned(), dy.cast_unsigned()),
        InputEvent::GamepadConnected(gamepad) => writer.bytes(&[9, gamepad.index()]),
        InputEvent::GamepadDisconnected(gamepad) => writer.bytes(&[10, gamepad.index()]),
        InputEvent::GamepadButton { gamepad, button, pressed } => {
            writer.bytes(&[if pressed { 11 } else { 12 }, gamepad.index(), button.index()])
        }
        InputEvent::GamepadAxis { gamepad, axis, value } => {
            writer.bytes(&[13, gamepad.index(), axis.index()])?;
            writer.i16(value)
        }
        InputEvent::TouchDown { contact, x, y } => write_place(writer, &[14, contact.index()], x, y),
        InputEvent::TouchMove { contact, x, y } => write_place(writer, &[15, contact.index()], x, y),
        InputEvent::TouchUp(contact) => writer.bytes(&[16, contact.index()]),
    }
}

fn write_place(writer: &mut Writer<'_>, head: &[u8], x: u16, y: u16) -> Option<()> {
    writer.bytes(head)?;
    writer.u16(x)?;
    writer.u16(y)
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

/// What the gamepads' motors should do: the newest wish for each gamepad.
///
/// ```text
/// 0          1           2          4        6        8
/// +----------+-----------+----------+--------+--------+--- and so on
/// | gamepad  | change    | strong   | weak   | for ms |
/// |          | mod 256   |          |        |        |
/// +----------+-----------+----------+--------+--------+---
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RumbleMessage<'a> {
    wishes: &'a [u8],
}

impl<'a> RumbleMessage<'a> {
    const WISH_LEN: usize = 8;

    /// Reads a body; `None` when it is empty or holds anything impossible.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let message = Self { wishes: body };
        let is_whole = body.len().checked_rem(Self::WISH_LEN) == Some(0) && !body.is_empty();
        let count = body.len().checked_div(Self::WISH_LEN)?;
        (is_whole && count <= GAMEPADS_MAX && message.wishes().count() == count).then_some(message)
    }

    /// Each wish and the number of that change.
    pub fn wishes(&self) -> impl Iterator<Item = (Rumble, u8)> + use<'a> {
        let mut reader = Reader::new(self.wishes);
        core::iter::from_fn(move || {
            let (gamepad, change) = (Gamepad::new(reader.u8()?)?, reader.u8()?);
            let (strong, weak, millis) = (reader.u16()?, reader.u16()?, reader.u16()?);
            let rumble = Rumble { gamepad, strong, weak, millis };
            (millis <= Rumble::MILLIS_MAX).then_some((rumble, change))
        })
    }

    pub(crate) fn emit(writer: &mut Writer<'_>, wishes: impl Iterator<Item = (Rumble, u8)>) -> Option<()> {
        for (rumble, change) in wishes {
            writer.bytes(&[rumble.gamepad.index(), change])?;
            writer.u16(rumble.strong)?;
            writer.u16(rumble.weak)?;
            writer.u16(rumble.millis)?;
        }
        Some(())
    }
}

/// Which input had been injected before a picture was captured.
///
/// ```text
/// 0             4              8                 12                16
/// +-------------+--------------+-----------------+-----------------+
/// | picture     | newest event | received, host  | injected, µs    |
/// |             | low 32       | µs, low 32      | after received  |
/// +-------------+--------------+-----------------+-----------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputShownMessage {
    /// The first picture that was captured after the injection.
    pub picture: PictureId,
    /// The newest event that was injected by then.
    pub event: u32,
    /// When it arrived, in the host's microseconds, modulo 2³².
    pub received_us: u32,
    /// How long after that it was injected, in microseconds.
    pub injected_after_us: u32,
}

impl InputShownMessage {
    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self {
            picture: PictureId(reader.u32()?),
            event: reader.u32()?,
            received_us: reader.u32()?,
            injected_after_us: reader.u32()?,
        })
    }

    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.picture.0)?;
        writer.u32(self.event)?;
        writer.u32(self.received_us)?;
        writer.u32(self.injected_after_us)
    }
}
