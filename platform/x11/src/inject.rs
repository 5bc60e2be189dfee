//! Input by XTEST.
//!
//! Keys go by keycode, so the host's layout decides what they mean. Text goes by character: by a key of the
//! layout in force when one enters it, else by a spare key that is given that character. A program reads the
//! keyboard map only when it handles the key, perhaps much later, so spare keys keep their characters as long
//! as possible and the one unused for longest is the next to change.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use rift::{Button, InputEvent, Scancode};
use rift_hal::InputSink;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{self, ChangeWindowAttributesAux, ConnectionExt, EventMask, Keycode, Keysym};
use x11rb::protocol::{Event, xkb, xtest};
use x11rb::rust_connection::RustConnection;
use xkeysym::key;

use crate::Error;
use crate::connection::{connect, require};
use crate::keymap::{self, CORE_KEYBOARD, Keymap, Stroke};

/// Wheel units of one click (evdev's high-resolution unit).
const NOTCH: i32 = 120;
/// Characters beyond the layout that can be on keys at once; more means more waiting programs read right.
const SPARES_MAX: usize = 16;
/// An X keycode is the evdev code plus this.
const KEYCODE_BASE: u16 = 8;
/// The symbol of a character by its Unicode number is that number with this.
const UNICODE: Keysym = 0x0100_0000;

/// Injects input into an X server.
pub struct X11Sink {
    connection: RustConnection,
    root: xproto::Window,
    size: (u16, u16),
    keymap: Keymap,
    stale: bool,
    keys: BTreeSet<Keycode>,
    buttons: u8,
    wheel: (i32, i32),
    spares: Vec<Spare>,
    uses: u64,
}

/// A key without a place in the layout, lent to a character.
struct Spare {
    keycode: Keycode,
    symbol: Keysym,
    used: u64,
}

impl X11Sink {
    /// Injects into the default screen of `display` (`None` = the environment's `DISPLAY`). What a sink before this one has
    /// left held is let go: a program that is killed releases nothing, and its server goes on repeating.
    ///
    /// # Errors
    /// No server, or no XTEST or XKB extension.
    pub fn open(display: Option<&str>) -> Result<Self, Error> {
        let (connection, screen) = connect(display)?;
        require(&connection, xtest::X11_EXTENSION_NAME)?;
        keymap::announce(&connection)?;
        let events = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(screen.root, &events)?.check()?;
        let geometry = connection.get_geometry(screen.root)?.reply()?;
        let sink = Self {
            keymap: Keymap::load(&connection)?,
            connection,
            root: screen.root,
            size: (geometry.width, geometry.height),
            stale: false,
            keys: BTreeSet::new(),
            buttons: 0,
            wheel: (0, 0),
            spares: Vec::new(),
            uses: 0,
        };
        sink.let_go()?;
        Ok(sink)
    }

    /// Releases what the devices of XTEST hold. They are every program's, and their own: what is held on a real keyboard
    /// stays held, and the release of what is not held is no event.
    fn let_go(&self) -> Result<(), Error> {
        let held = self.connection.query_keymap()?.reply()?.keys;
        for keycode in (0..=u8::MAX).filter(|&code| held[usize::from(code / 8)] & 1 << (code % 8) != 0) {
            self.fake_key(keycode, false)?;
        }
        for button in (0..Button::COUNT).filter_map(Button::new) {
            self.fake_button(x_button(button), false)?;
        }
        self.connection.flush()?;
        Ok(())
    }

    /// Whether this event can be injected and flushed now without waiting for the server: it needs no answer, and the
    /// connection has room. A server that somebody else has stopped takes nothing for as long as it likes.
    #[must_use]
    pub fn is_ready_for(&self, event: &InputEvent) -> bool {
        let mut room = [PollFd::from_borrowed_fd(self.connection.stream().as_fd(), PollFlags::OUT)];
        !matches!(event, InputEvent::Text(_)) && poll(&mut room, Some(&Timespec::default())) == Ok(1)
    }

    /// Takes every event that has arrived: the screen's size and the layout may be others now.
    fn drain(&mut self) -> Result<(), Error> {
        while let Some(event) = self.connection.poll_for_event()? {
            if let Event::ConfigureNotify(event) = &event {
                if event.window == self.root {
                    self.size = (event.width, event.height);
                }
            } else if matches!(
                event,
                Event::MappingNotify(_) | Event::XkbMapNotify(_) | Event::XkbNewKeyboardNotify(_)
            ) {
                self.stale = true;
            }
        }
        Ok(())
    }

    fn fake(&self, kind: u8, detail: u8, x: i16, y: i16) -> Result<(), Error> {
        xtest::fake_input(&self.connection, kind, detail, 0, self.root, x, y, 0)?.ignore_error();
        Ok(())
    }

    fn fake_key(&self, keycode: Keycode, pressed: bool) -> Result<(), Error> {
        let kind = if pressed { xproto::KEY_PRESS_EVENT } else { xproto::KEY_RELEASE_EVENT };
        self.fake(kind, keycode, 0, 0)
    }

    fn fake_button(&self, button: u8, pressed: bool) -> Result<(), Error> {
        let kind = if pressed { xproto::BUTTON_PRESS_EVENT } else { xproto::BUTTON_RELEASE_EVENT };
        self.fake(kind, button, 0, 0)
    }

    fn key(&mut self, scancode: Scancode, pressed: bool) -> Result<(), Error> {
        let keycode =
            u8::try_from(scancode.code() + KEYCODE_BASE).map_err(|_| Error::Key(scancode.code()))?;
        self.fake_key(keycode, pressed)?;
        if pressed {
            self.keys.insert(keycode);
        } else {
            self.keys.remove(&keycode);
        }
        Ok(())
    }

    fn button(&mut self, button: Button, pressed: bool) -> Result<(), Error> {
        self.fake_button(x_button(button), pressed)?;
        let bit = 1 << button.index();
        self.buttons = if pressed { self.buttons | bit } else { self.buttons & !bit };
        Ok(())
    }

    fn pointer(&mut self, x: u16, y: u16) -> Result<(), Error> {
        let (x, y) = (unscale(x, self.size.0), unscale(y, self.size.1));
        self.fake(xproto::MOTION_NOTIFY_EVENT, 0, x, y)
    }

    fn turn_wheel(&mut self, dx: i16, dy: i16) -> Result<(), Error> {
        let across = notches(&mut self.wheel.0, dx);
        let up = notches(&mut self.wheel.1, dy);
        self.click(if up > 0 { 4 } else { 5 }, up.unsigned_abs())?;
        self.click(if across > 0 { 7 } else { 6 }, across.unsigned_abs())
    }

    fn click(&self, button: u8, times: u32) -> Result<(), Error> {
        for _ in 0..times {
            self.fake_button(button, true)?;
            self.fake_button(button, false)?;
        }
        Ok(())
    }

    /// Enters one character, whatever modifiers are on.
    fn text(&mut self, character: char) -> Result<(), Error> {
        self.drain()?;
        if core::mem::take(&mut self.stale) {
            self.reload()?;
        }
        let symbol = symbol_of(character);
        let state = xkb::get_state(&self.connection, CORE_KEYBOARD)?.reply()?;
        let [on, _] = u16::from(state.mods).to_le_bytes();
        let [locked, _] = u16::from(state.locked_mods).to_le_bytes();
        let reserved: Vec<Keycode> = self.spares.iter().map(|spare| spare.keycode).collect();
        // Some layouts name a character by its number even where it has a symbol of its own.
        let numbered = UNICODE | u32::from(character);
        let mut strokes = [symbol, numbered]
            .into_iter()
            .flat_map(|symbol| self.keymap.strokes(symbol, state.group.into(), &reserved));
        let stroke = strokes.find(|stroke| self.is_possible(stroke, on, locked));
        let stroke = match stroke {
            Some(stroke) => stroke,
            None => Stroke { keycode: self.spare_for(symbol, character)?, on: 0, decisive: 0 },
        };
        self.strike(stroke, on, locked)
    }

    /// Whether a stroke can be made: locked modifiers stay, and each missing one needs a key to hold.
    fn is_possible(&self, stroke: &Stroke, on: u8, locked: u8) -> bool {
        if locked & stroke.decisive & !stroke.on != 0 {
            return false;
        }
        let missing = stroke.on & !(on & (locked | stroke.on));
        bits(missing).all(|bit| self.keymap.modifier_key(bit).is_some())
    }

    /// Lets go of held modifiers that would spoil the stroke, makes it, and holds them again.
    fn strike(&self, stroke: Stroke, on: u8, locked: u8) -> Result<(), Error> {
        let keep = locked | stroke.on;
        let spoils = |key: &Keycode| self.keymap.modifiers_of(*key) & !keep != 0;
        let released: Vec<Keycode> = self.keys.iter().copied().filter(spoils).collect();
        let missing: Vec<Keycode> =
            bits(stroke.on & !on).filter_map(|bit| self.keymap.modifier_key(bit)).collect();
        for key in &released {
            self.fake_key(*key, false)?;
        }
        for key in &missing {
            self.fake_key(*key, true)?;
        }
        self.fake_key(stroke.keycode, true)?;
        self.fake_key(stroke.keycode, false)?;
        for key in missing.iter().rev() {
            self.fake_key(*key, false)?;
        }
        for key in &released {
            self.fake_key(*key, true)?;
        }
        Ok(())
    }

    /// The spare key that enters `symbol`, given to it now unless it has it already.
    fn spare_for(&mut self, symbol: Keysym, character: char) -> Result<Keycode, Error> {
        self.uses += 1;
        let used = self.uses;
        if let Some(spare) = self.spares.iter_mut().find(|spare| spare.symbol == symbol) {
            spare.used = used;
            return Ok(spare.keycode);
        }
        let taken = |keycode: &Keycode| {
            self.keys.contains(keycode) || self.spares.iter().any(|spare| spare.keycode == *keycode)
        };
        let fresh = self.keymap.spare_keys().find(|keycode| !taken(keycode));
        let keycode = match fresh {
            Some(keycode) if self.spares.len() < SPARES_MAX => {
                self.spares.push(Spare { keycode, symbol, used });
                keycode
            }
            Some(_) | None => {
                let oldest = self.spares.iter_mut().min_by_key(|spare| spare.used);
                let oldest = oldest.ok_or(Error::Character(character))?;
                (oldest.symbol, oldest.used) = (symbol, used);
                oldest.keycode
            }
        };
        self.connection.change_keyboard_mapping(1, keycode, 2, &[symbol, symbol])?.ignore_error();
        Ok(keycode)
    }

    /// Reads the layout anew. A new layout has taken the spare keys back, or has put symbols of its own there.
    fn reload(&mut self) -> Result<(), Error> {
        self.keymap = Keymap::load(&self.connection)?;
        let keymap = &self.keymap;
        self.spares.retain(|spare| keymap.symbol(spare.keycode, 0, 0) == Some(spare.symbol));
        Ok(())
    }

    /// Takes the characters from the spare keys.
    fn restore_spares(&mut self) -> Result<(), Error> {
        for spare in self.spares.drain(..) {
            self.connection.change_keyboard_mapping(1, spare.keycode, 2, &[0, 0])?.ignore_error();
        }
        Ok(())
    }
}

impl InputSink for X11Sink {
    type Error = Error;

    fn inject(&mut self, event: &InputEvent) -> Result<(), Error> {
        match *event {
            InputEvent::Key { key, pressed } => self.key(key, pressed),
            InputEvent::Text(character) => self.text(character),
            InputEvent::Button { button, pressed } => self.button(button, pressed),
            InputEvent::PointerAbsolute { x, y } => {
                self.drain()?;
                self.pointer(x, y)
            }
            InputEvent::PointerRelative { dx, dy } => self.fake(xproto::MOTION_NOTIFY_EVENT, 1, dx, dy),
            InputEvent::Wheel { dx, dy } => self.turn_wheel(dx, dy),
            // XTEST has no gamepads and no fingers.
            InputEvent::GamepadConnected(_)
            | InputEvent::GamepadDisconnected(_)
            | InputEvent::GamepadButton { .. }
            | InputEvent::GamepadAxis { .. }
            | InputEvent::TouchDown { .. }
            | InputEvent::TouchMove { .. }
            | InputEvent::TouchUp(_)
            | _ => Err(Error::Event),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.connection.flush()?;
        self.drain()
    }

    fn release_all(&mut self) -> Result<(), Error> {
        for keycode in core::mem::take(&mut self.keys) {
            self.fake_key(keycode, false)?;
        }
        for bit in bits(core::mem::take(&mut self.buttons)) {
            let button = Button::new(bit).expect("only known buttons are in the set");
            self.fake_button(x_button(button), false)?;
        }
        self.wheel = (0, 0);
        self.flush()
    }
}

impl Drop for X11Sink {
    fn drop(&mut self) {
        // A broken connection has released nothing, but there is nobody left to tell.
        let _ = self.release_all();
        let _ = self.restore_spares();
        let _ = self.connection.get_input_focus().map(|cookie| cookie.reply());
    }
}

/// The X server's number of a button: 1 left, 2 middle, 3 right, 4 to 7 the wheel, 8 and on the others.
const fn x_button(button: Button) -> u8 {
    match button.index() {
        0 => 1,
        1 => 3,
        2 => 2,
        index => index + 5,
    }
}

/// The pixel of `0..limit` at `place` of 65535.
fn unscale(place: u16, limit: u16) -> i16 {
    let last = u32::from(limit.saturating_sub(1));
    let pixel = (u32::from(place) * last + 32767) / 65535;
    i16::try_from(pixel).unwrap_or(i16::MAX)
}

/// Adds a turn and takes whole clicks out. A turn the other way forgets what was left.
fn notches(rest: &mut i32, turn: i16) -> i32 {
    let turn = i32::from(turn);
    if *rest * turn < 0 {
        *rest = 0;
    }
    *rest += turn;
    let clicks = *rest / NOTCH;
    *rest -= clicks * NOTCH;
    clicks
}

fn symbol_of(character: char) -> Keysym {
    match character {
        '\n' | '\r' => key::Return,
        '\t' => key::Tab,
        '\u{8}' => key::BackSpace,
        '\u{1b}' => key::Escape,
        '\u{7f}' => key::Delete,
        other => xkeysym::Keysym::from_char(other).raw(),
    }
}

fn bits(mask: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| mask & 1 << bit != 0)
}
