//! What the host wants of the gamepads' motors: the newest wish for each counts (SPEC §10.8).

use super::devices::{Gamepad, Rumble};
use crate::limits::GAMEPADS_MAX;

/// The newest wish for each gamepad, with the number of the change, modulo 256.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rumbles {
    wishes: [Option<(Rumble, u8)>; GAMEPADS_MAX],
    /// Wishes the application has not been told of.
    news: [bool; GAMEPADS_MAX],
}

impl Rumbles {
    pub(crate) const fn new() -> Self {
        Self { wishes: [None; GAMEPADS_MAX], news: [false; GAMEPADS_MAX] }
    }

    /// Host: notes a wish.
    pub(crate) fn set(&mut self, rumble: Rumble) {
        let wish = &mut self.wishes[usize::from(rumble.gamepad.index())];
        let change = wish.map_or(0, |(_, change)| change.wrapping_add(1));
        *wish = Some((Rumble { millis: rumble.millis.min(Rumble::MILLIS_MAX), ..rumble }, change));
    }

    /// Every wish there is.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = (Rumble, u8)> {
        self.wishes.iter().copied().flatten()
    }

    /// Client: takes a wish from the host; a repetition is none.
    pub(crate) fn on_wish(&mut self, rumble: Rumble, change: u8) {
        let index = usize::from(rumble.gamepad.index());
        if self.wishes[index].is_none_or(|(_, known)| known != change) {
            self.wishes[index] = Some((rumble, change));
            self.news[index] = true;
        }
    }

    /// Client: a wish to tell the application of.
    pub(crate) fn take_news(&mut self) -> Option<Rumble> {
        let gamepad =
            Gamepad::all().find(|gamepad| core::mem::take(&mut self.news[usize::from(gamepad.index())]))?;
        self.wishes[usize::from(gamepad.index())].map(|(rumble, _)| rumble)
    }
}
