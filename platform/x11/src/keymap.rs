//! The keyboard layout of a server, read through XKB: which character a key enters, and which key enters a
//! character. Follows the X Keyboard Extension's protocol specification, sections 7.2 (key types) and 7.3
//! (groups). Compose sequences are not its affair.

use x11rb::protocol::xkb::{self, KeySymMap, KeyType, MapPart};
use x11rb::protocol::xproto::{ConnectionExt, Keycode, Keysym, ModMask};
use x11rb::rust_connection::RustConnection;
use xkeysym::key;

use crate::Error;
use crate::connection::require;

/// The keyboard everything typed goes through, in XKB's numbering.
pub(crate) const CORE_KEYBOARD: u16 = 0x100;

/// Keys that act only while held; one of these is taken to hold a modifier down, never a locking key.
const HELD_MODIFIERS: [Keysym; 10] = [
    key::Shift_L,
    key::Shift_R,
    key::ISO_Level3_Shift,
    key::Mode_switch,
    key::ISO_Level5_Shift,
    key::Control_L,
    key::Control_R,
    key::Alt_L,
    key::Super_L,
    key::Meta_L,
];

/// How to enter a symbol: a key, and the state of the modifiers that decide its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stroke {
    /// The key.
    pub(crate) keycode: Keycode,
    /// Modifiers that must be on.
    pub(crate) on: u8,
    /// Modifiers that decide; those not in `on` must be off.
    pub(crate) decisive: u8,
}

/// A layout.
pub(crate) struct Keymap {
    first: Keycode,
    types: Vec<KeyType>,
    keys: Vec<KeySymMap>,
    /// Keys of each modifier, by its bit.
    modifiers: [Vec<Keycode>; 8],
}

/// Tells the server that this connection speaks XKB.
pub(crate) fn announce(connection: &RustConnection) -> Result<(), Error> {
    require(connection, xkb::X11_EXTENSION_NAME)?;
    xkb::use_extension(connection, 1, 0)?.reply()?;
    let parts = MapPart::KEY_TYPES | MapPart::KEY_SYMS | MapPart::MODIFIER_MAP;
    let events = xkb::EventType::MAP_NOTIFY | xkb::EventType::NEW_KEYBOARD_NOTIFY;
    let none = xkb::EventType::from(0u16);
    let details = xkb::SelectEventsAux::new();
    xkb::select_events(connection, CORE_KEYBOARD, none, events, parts, parts, &details)?.check()?;
    Ok(())
}

impl Keymap {
    /// Reads the layout in force.
    pub(crate) fn load(connection: &RustConnection) -> Result<Self, Error> {
        let parts = MapPart::KEY_TYPES | MapPart::KEY_SYMS;
        let none = MapPart::from(0u16);
        let vmods = xkb::VMod::from(0u16);
        let map = xkb::get_map(
            connection,
            CORE_KEYBOARD,
            parts,
            none,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            vmods,
            0,
            0,
            0,
            0,
            0,
            0,
        )?
        .reply()?;
        let modifier_map = connection.get_modifier_mapping()?.reply()?;
        let per_modifier = usize::from(modifier_map.keycodes_per_modifier());
        let modifiers = core::array::from_fn(|bit| {
            let keys = modifier_map.keycodes.get(bit * per_modifier..(bit + 1) * per_modifier);
            keys.unwrap_or(&[]).iter().copied().filter(|key| *key != 0).collect()
        });
        Ok(Self {
            first: map.first_key_sym,
            types: map.map.types_rtrn.unwrap_or_default(),
            keys: map.map.syms_rtrn.unwrap_or_default(),
            modifiers,
        })
    }

    /// The symbol of a key in a group with these modifiers on; `None` when it has none.
    pub(crate) fn symbol(&self, keycode: Keycode, group: u8, modifiers: u8) -> Option<Keysym> {
        let key = self.key(keycode)?;
        let group = effective_group(key, group)?;
        let kind = self.types.get(usize::from(*key.kt_index.get(group)?))?;
        let on = modifiers & mask(kind.mods_mask);
        let entry = kind.map.iter().find(|entry| entry.active && mask(entry.mods_mask) == on);
        let level = entry.map_or(0, |entry| entry.level);
        symbol_at(key, group, level)
    }

    /// Ways to enter `symbol` in `group`, simplest first, without the keys of `except`.
    pub(crate) fn strokes(&self, symbol: Keysym, group: u8, except: &[Keycode]) -> Vec<Stroke> {
        let mut strokes = Vec::new();
        for (keycode, key) in (self.first..=Keycode::MAX).zip(&self.keys) {
            if except.contains(&keycode) || !key.syms.contains(&symbol) {
                continue;
            }
            let Some(group) = effective_group(key, group) else {
                continue;
            };
            let Some(kind) = self.types.get(usize::from(key.kt_index[group])) else {
                continue;
            };
            let decisive = mask(kind.mods_mask);
            if symbol_at(key, group, 0) == Some(symbol) {
                strokes.push(Stroke { keycode, on: 0, decisive });
            }
            let entries = kind.map.iter().filter(|entry| entry.active);
            for entry in entries.filter(|entry| symbol_at(key, group, entry.level) == Some(symbol)) {
                strokes.push(Stroke { keycode, on: mask(entry.mods_mask), decisive });
            }
        }
        strokes.sort_by_key(|stroke| (stroke.on.count_ones(), stroke.keycode));
        strokes
    }

    /// A key that holds modifier `bit` down as long as it is held.
    pub(crate) fn modifier_key(&self, bit: u8) -> Option<Keycode> {
        let keys = self.modifiers.get(usize::from(bit))?;
        let rank = |keycode: &Keycode| {
            let symbol = self.symbol(*keycode, 0, 0);
            symbol.and_then(|symbol| HELD_MODIFIERS.iter().position(|held| *held == symbol))
        };
        keys.iter().copied().filter(|key| rank(key).is_some()).min_by_key(rank)
    }

    /// The modifiers that `keycode` acts on.
    pub(crate) fn modifiers_of(&self, keycode: Keycode) -> u8 {
        let bits = self.modifiers.iter().zip(0u8..);
        bits.filter(|(keys, _)| keys.contains(&keycode)).fold(0, |mask, (_, bit)| mask | 1 << bit)
    }

    /// The modifiers that any key with one of these symbols acts on.
    pub(crate) fn modifiers_with(&self, symbols: &[Keysym]) -> u8 {
        let is_one = |key: &Keycode| self.symbol(*key, 0, 0).is_some_and(|symbol| symbols.contains(&symbol));
        let bits = self.modifiers.iter().zip(0u8..);
        bits.filter(|(keys, _)| keys.iter().any(is_one)).fold(0, |mask, (_, bit)| mask | 1 << bit)
    }

    /// Whether these modifiers have a say in the level of a key.
    pub(crate) fn is_decided_by(&self, keycode: Keycode, group: u8, modifiers: u8) -> bool {
        let Some(key) = self.key(keycode) else { return false };
        let group = effective_group(key, group).and_then(|group| key.kt_index.get(group));
        let kind = group.and_then(|kind| self.types.get(usize::from(*kind)));
        kind.is_some_and(|kind| mask(kind.mods_mask) & modifiers != 0)
    }

    /// Keys without any symbol and without a modifier, highest first.
    pub(crate) fn spare_keys(&self) -> impl Iterator<Item = Keycode> {
        let keys = (self.first..=Keycode::MAX).zip(&self.keys).rev();
        keys.filter(|(keycode, key)| {
            key.syms.iter().all(|symbol| *symbol == 0) && self.modifiers_of(*keycode) == 0
        })
        .map(|(keycode, _)| keycode)
    }

    fn key(&self, keycode: Keycode) -> Option<&KeySymMap> {
        self.keys.get(usize::from(keycode.checked_sub(self.first)?))
    }
}

/// The group a key uses when `group` is in force: wrapped, clamped or redirected, as it says itself.
fn effective_group(key: &KeySymMap, group: u8) -> Option<usize> {
    let count = key.group_info & 0x0f;
    if count == 0 {
        return None;
    }
    if group < count {
        return Some(group.into());
    }
    Some(usize::from(match key.group_info & 0xc0 {
        0x40 => count - 1,
        0x80 => Some((key.group_info >> 4) & 3).filter(|redirect| *redirect < count).unwrap_or(0),
        _ => group % count,
    }))
}

fn symbol_at(key: &KeySymMap, group: usize, level: u8) -> Option<Keysym> {
    if level >= key.width {
        return None;
    }
    let symbol = key.syms.get(group * usize::from(key.width) + usize::from(level)).copied()?;
    (symbol != 0).then_some(symbol)
}

/// The eight real modifiers.
fn mask(modifiers: ModMask) -> u8 {
    u16::from(modifiers).to_le_bytes()[0]
}
