//! From the window to the host: keys, pointer, focus, and the client's own commands.

use rift::InputEvent;
use rift_hal::{Display, DisplayEvent, Key};
use tracing::info;

use crate::audio::Knob;
use crate::display::{DisplayError, Screen};
use crate::keys::{Hotkey, Keys};
use crate::link::{Order, Orders};

/// What was heard that concerns the viewing thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The latencies are to be shown or hidden.
    pub overlay: bool,
    /// The person is done.
    pub end: bool,
    /// The sound is to be otherwise.
    pub sound: Option<Knob>,
}

/// The input path of one window.
#[derive(Debug)]
pub struct Input {
    keys: Keys,
    orders: Orders,
    view_only: bool,
    grabbed: bool,
    fullscreen: bool,
}

impl Input {
    /// Input goes to `orders`, characters as text if `text_input`, or nowhere if `view_only`.
    #[must_use]
    pub fn new(orders: Orders, text_input: bool, view_only: bool) -> Self {
        Self { keys: Keys::new(text_input), orders, view_only, grabbed: false, fullscreen: false }
    }

    /// Takes everything that happened at the window and sends it on its way.
    ///
    /// # Errors
    /// The window's.
    pub fn hear(&mut self, screen: &mut Screen) -> Result<Heard, DisplayError> {
        let mut heard = Heard::default();
        while let Some(event) = screen.poll_event()? {
            match event {
                DisplayEvent::Key(key) => self.handle_key(&key, screen, &mut heard)?,
                DisplayEvent::Pointer(event) => self.handle_pointer(event),
                DisplayEvent::Focus(false) => self.handle_focus_lost(screen)?,
                DisplayEvent::Closed => heard.end = true,
                DisplayEvent::Focus(true) | DisplayEvent::Resized(..) | _ => {}
            }
        }
        self.orders.announce();
        Ok(heard)
    }

    /// Tells the network that a picture could not be used.
    pub fn want_repair(&mut self) {
        self.orders.give(Order::WantRepair);
        self.orders.announce();
    }

    /// Tells the network that tiles are to be reported.
    pub fn report_tiles(&mut self) {
        self.orders.give(Order::ReportTiles);
        self.orders.announce();
    }

    /// The window fills the screen from the start.
    ///
    /// # Errors
    /// The window's.
    pub fn fill_screen(&mut self, screen: &mut Screen) -> Result<(), DisplayError> {
        self.fullscreen = screen.set_fullscreen(true)?;
        if !self.fullscreen {
            info!("this window cannot fill the screen");
        }
        Ok(())
    }

    /// Releases everything and ends the network's thread.
    pub fn quit(&mut self) {
        self.release();
        self.orders.quit();
    }

    fn handle_key(&mut self, key: &Key, screen: &mut Screen, heard: &mut Heard) -> Result<(), DisplayError> {
        let (orders, view_only) = (&mut self.orders, self.view_only);
        let hotkey = self.keys.handle(key, |event| give(orders, view_only, event));
        match hotkey {
            None => {}
            Some(Hotkey::Overlay) => heard.overlay = !heard.overlay,
            Some(Hotkey::Quit) => heard.end = true,
            Some(Hotkey::Sound(knob)) => heard.sound = Some(knob),
            Some(Hotkey::Grab) => {
                let wanted = !self.grabbed;
                if screen.set_grab(wanted)? {
                    self.grabbed = wanted;
                } else {
                    info!("this window cannot take the pointer");
                }
            }
            Some(Hotkey::Fullscreen) => {
                let wanted = !self.fullscreen;
                if screen.set_fullscreen(wanted)? {
                    self.fullscreen = wanted;
                } else {
                    info!("this window cannot fill the screen");
                }
            }
        }
        Ok(())
    }

    fn handle_pointer(&mut self, event: InputEvent) {
        let (orders, view_only) = (&mut self.orders, self.view_only);
        if matches!(event, InputEvent::Button { pressed: true, .. } | InputEvent::Wheel { .. }) {
            self.keys.before_button(|event| give(orders, view_only, event));
        }
        give(orders, view_only, event);
    }

    fn handle_focus_lost(&mut self, screen: &mut Screen) -> Result<(), DisplayError> {
        self.release();
        if core::mem::take(&mut self.grabbed) {
            screen.set_grab(false)?;
        }
        Ok(())
    }

    fn release(&mut self) {
        let (orders, view_only) = (&mut self.orders, self.view_only);
        self.keys.forget(|event| give(orders, view_only, event));
        if !view_only {
            orders.give(Order::ReleaseInput);
        }
        self.orders.announce();
    }
}

fn give(orders: &mut Orders, view_only: bool, event: InputEvent) {
    if !view_only {
        orders.give(Order::Input(event));
    }
}
