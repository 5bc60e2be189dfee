//! Keyboard and mouse.

use core::sync::atomic::{AtomicU32, Ordering};

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use rift::InputEvent;
use wavry_parts::Mapped;
use wavry_parts::pl050::Pl050;
use wavry_parts::ps2::{Keyboard, Mouse};
use wavry_thin::InputSource;

use crate::machine;

/// A byte of either device.
enum Byte {
    Keyboard(u8),
    Mouse(u8),
}

/// What has come and was not read yet: a second of a fast mouse.
static BYTES: Channel<CriticalSectionRawMutex, Byte, 512> = Channel::new();
/// Bytes for which there was no room.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Reads both devices.
pub struct Hands {
    keyboard: Keyboard,
    mouse: Mouse,
    /// What the last byte brought, and how much of it is given.
    events: [Option<InputEvent>; Mouse::EVENTS_MAX],
}

impl Hands {
    /// Wakes both devices; the mouse is asked for its wheel.
    pub fn start() -> Self {
        const ENABLE: u8 = 0xf4;
        const SET_RATE: u8 = 0xf3;
        const WHO: u8 = 0xf2;
        const WHEEL_MOUSE: u8 = 3;
        let keyboard = Pl050::new(machine::keyboard());
        if keyboard.command(ENABLE, 0).is_none() {
            defmt::warn!("no keyboard answers");
        }
        let mouse = Pl050::new(machine::mouse());
        for rate in [200, 100, 80] {
            let _ = mouse.command(SET_RATE, 0);
            let _ = mouse.command(rate, 0);
        }
        let has_wheel = mouse.command(WHO, 1) == Some(WHEEL_MOUSE);
        if mouse.command(ENABLE, 0).is_none() {
            defmt::warn!("no mouse answers");
        }
        Self { keyboard: Keyboard::new(), mouse: Mouse::new(has_wheel), events: [None; Mouse::EVENTS_MAX] }
    }
}

impl InputSource for Hands {
    async fn next(&mut self) -> InputEvent {
        loop {
            if let Some(event) = self.events.iter_mut().find_map(Option::take) {
                return event;
            }
            match BYTES.receive().await {
                Byte::Keyboard(byte) => {
                    let [first, second] = self.keyboard.push(byte);
                    self.events = [first, second, None, None, None];
                }
                Byte::Mouse(byte) => self.events = self.mouse.push(byte),
            }
            if LOST.swap(0, Ordering::Relaxed) > 0 {
                defmt::warn!("keyboard or mouse faster than the program");
            }
        }
    }
}

/// Reads what the keyboard has.
pub fn on_keyboard() {
    take(machine::keyboard(), Byte::Keyboard);
}

/// Reads what the mouse has.
pub fn on_mouse() {
    take(machine::mouse(), Byte::Mouse);
}

fn take(registers: Mapped, byte: fn(u8) -> Byte) {
    while let Some(read) = Pl050::pending(&registers) {
        if BYTES.try_send(byte(read)).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}
