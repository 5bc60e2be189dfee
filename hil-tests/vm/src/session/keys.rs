//! The kernel's side of the host's keyboard: whether what was pressed at the client arrives.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, bail, ensure};
use rift::{InputEvent, Instant, Scancode};
use rustix::fs::OFlags;

use super::viewer::Viewer;

/// What the host calls its keyboard.
const NAME: &str = "Wavry keyboard";
/// Input that takes longer than this is lost, µs.
const NEVER_US: u64 = 2_000_000;
/// Codes of `linux/input-event-codes.h`.
const EV_KEY: u16 = 1;
const F13: u16 = 183;
const LEFT_SHIFT: u16 = 42;
/// `struct input_event` of a 64-bit kernel: a time of 16 bytes, type, code, value.
const EVENT_LEN: usize = 24;

/// Reads the host's keyboard.
#[derive(Debug)]
pub struct Keys {
    device: File,
    down: BTreeSet<u16>,
}

impl Keys {
    /// Opens it.
    ///
    /// # Errors
    /// There is none.
    pub fn open() -> anyhow::Result<Self> {
        for entry in fs::read_dir("/sys/class/input").context("listing input devices")?.flatten() {
            let file_name = entry.file_name();
            let Some(node) = file_name.to_str().filter(|node| node.starts_with("event")) else { continue };
            let name = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
            if name.trim_end() == NAME {
                let flags = OFlags::NONBLOCK.bits().cast_signed();
                let path = format!("/dev/input/{node}");
                let device = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
                return Ok(Self { device, down: BTreeSet::new() });
            }
        }
        bail!("the host has made no keyboard")
    }

    /// Presses and releases a key at the client; how long both took to arrive, µs.
    ///
    /// # Errors
    /// They do not arrive, or the session is over.
    pub fn tap(&mut self, viewer: &mut Viewer) -> anyhow::Result<u64> {
        let key = Scancode::new(F13).context("F13 is a key")?;
        let begun = viewer.now();
        viewer.input(InputEvent::Key { key, pressed: true });
        viewer.input(InputEvent::Key { key, pressed: false });
        let end = begun.plus_micros(NEVER_US);
        let mut values = Vec::new();
        while values != [1, 0] {
            if viewer.now() >= end {
                bail!("of a key's press and release only {values:?} arrived");
            }
            viewer.turn(viewer.now().plus_micros(1000), false)?;
            self.read(|code, value| values.extend((code == F13).then_some(value)))?;
        }
        Ok(viewer.now().micros_since(begun))
    }

    /// Presses a key and leaves it down, and waits until it is down at the host.
    ///
    /// # Errors
    /// It does not arrive.
    pub fn hold(&mut self, viewer: &mut Viewer) -> anyhow::Result<()> {
        press(viewer)?;
        let end = viewer.now().plus_micros(NEVER_US);
        loop {
            self.read(|_, _| {})?;
            if !self.down.is_empty() {
                return Ok(());
            }
            if viewer.now() >= end {
                bail!("the key that was pressed did not arrive");
            }
            viewer.turn(viewer.now().plus_micros(1000), false)?;
        }
    }

    /// Waits until a key is down that somebody else presses.
    ///
    /// # Errors
    /// None is within `max_us`.
    pub fn until_down(&mut self, now: impl Fn() -> Instant, max_us: u64) -> anyhow::Result<()> {
        let begun = now();
        while self.down.is_empty() {
            self.read(|_, _| {})?;
            ensure!(now().micros_since(begun) <= max_us, "no key went down");
            crate::pause(core::time::Duration::from_millis(1));
        }
        Ok(())
    }

    /// How long after `begun` everything is up, µs. With a keyboard that is unplugged goes all it held: the kernel tells
    /// whoever reads it that the device is gone.
    ///
    /// # Errors
    /// Something stays down for longer than `max_us`.
    pub fn until_released(
        &mut self,
        begun: Instant,
        now: impl Fn() -> Instant,
        max_us: u64,
    ) -> anyhow::Result<u64> {
        loop {
            let is_gone = self.read(|_, _| {}).is_err();
            let passed_us = now().micros_since(begun);
            if is_gone || self.down.is_empty() {
                return Ok(passed_us);
            }
            if passed_us > max_us {
                bail!("{:?} are still down after {passed_us} µs", self.down);
            }
            crate::pause(core::time::Duration::from_millis(1));
        }
    }

    fn read(&mut self, mut note: impl FnMut(u16, i32)) -> anyhow::Result<()> {
        loop {
            let mut bytes = [0; EVENT_LEN * 32];
            let len = match self.device.read(&mut bytes) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for event in bytes[..len].chunks_exact(EVENT_LEN) {
                let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
                let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
                if half(16) != EV_KEY {
                    continue;
                }
                let code = half(18);
                if value == 0 {
                    self.down.remove(&code);
                } else {
                    self.down.insert(code);
                }
                note(code, value);
            }
        }
    }
}

/// Presses a key at the client.
///
/// # Errors
/// None.
pub fn press(viewer: &mut Viewer) -> anyhow::Result<()> {
    let key = Scancode::new(LEFT_SHIFT).context("Shift is a key")?;
    viewer.input(InputEvent::Key { key, pressed: true });
    Ok(())
}
