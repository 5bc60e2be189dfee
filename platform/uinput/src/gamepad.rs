//! A gamepad made through the kernel, and what programs want of its motors.
//!
//! A program that plays an effect waits in the kernel until this side has taken it, so whoever has gamepads must look
//! for wishes when their descriptor is readable.

use std::io;

use evdev::uinput::VirtualDevice;
use evdev::{
    AbsInfo, AbsoluteAxisCode, AttributeSet, BusType, EventSummary, EventType, FFEffectCode, FFEffectKind,
    InputEvent as KernelEvent, InputId, KeyCode, UInputCode, UinputAbsSetup,
};
use rift::{Gamepad, GamepadAxis, GamepadButton, Rumble};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Effects that programs may keep in one gamepad.
const EFFECTS: usize = 16;
/// The loudest, as `FF_GAIN` counts.
const GAIN_MAX: u32 = 0xffff;
/// An effect that says nothing of its length lasts until it is stopped; no longer than the protocol lets one last.
const MILLIS_MAX: u16 = Rumble::MILLIS_MAX;

/// A gamepad; unplugged when dropped.
#[derive(Debug)]
pub(crate) struct Pad {
    gamepad: Gamepad,
    pub(crate) device: VirtualDevice,
    buttons: u32,
    axes: [i16; GamepadAxis::COUNT as usize],
    motors: Motors,
}

impl Pad {
    /// Plugs it in, with nothing pressed.
    pub(crate) fn create(name: &str, gamepad: Gamepad) -> io::Result<Self> {
        let buttons: AttributeSet<KeyCode> =
            GamepadButton::all().map(|button| KeyCode(button.evdev_code())).collect();
        let effects: AttributeSet<FFEffectCode> =
            [FFEffectCode::FF_RUMBLE, FFEffectCode::FF_GAIN].into_iter().collect();
        let number = gamepad.index() + 1;
        let name = format!("{name} gamepad {number}");
        let identity = InputId::new(BusType::BUS_VIRTUAL, 0, 16 + u16::from(gamepad.index()), 1);
        let mut builder = VirtualDevice::builder()?.name(&name).input_id(identity).with_keys(&buttons)?;
        for axis in GamepadAxis::all() {
            let setup = UinputAbsSetup::new(AbsoluteAxisCode(axis.index().into()), range(axis));
            builder = builder.with_absolute_axis(&setup)?;
        }
        let device = builder.with_ff(&effects)?.with_ff_effects_max(EFFECTS as u32).build()?;
        let flags = fcntl_getfl(&device)?;
        fcntl_setfl(&device, flags | OFlags::NONBLOCK)?;
        let axes = [0; GamepadAxis::COUNT as usize];
        Ok(Self { gamepad, device, buttons: 0, axes, motors: Motors::new() })
    }

    /// A button that is already so says nothing.
    pub(crate) fn press(&mut self, button: GamepadButton, pressed: bool) -> io::Result<()> {
        let bit = 1 << button.index();
        if (self.buttons & bit != 0) == pressed {
            return Ok(());
        }
        self.device.emit(&[KernelEvent::new(EventType::KEY.0, button.evdev_code(), pressed.into())])?;
        self.buttons ^= bit;
        Ok(())
    }

    pub(crate) fn turn(&mut self, axis: GamepadAxis, value: i16) -> io::Result<()> {
        let value = value.max(i16::try_from(range(axis).minimum()).unwrap_or(i16::MIN));
        let known = &mut self.axes[usize::from(axis.index())];
        if *known == value {
            return Ok(());
        }
        self.device.emit(&[KernelEvent::new(EventType::ABSOLUTE.0, axis.index().into(), value.into())])?;
        *known = value;
        Ok(())
    }

    /// Lets go of all of it.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        let buttons = GamepadButton::all().try_for_each(|button| self.press(button, false));
        let axes = GamepadAxis::all().try_for_each(|axis| self.turn(axis, 0));
        buttons.and(axes)
    }

    /// Takes everything that programs asked of it; what the motors should do now, if that was said.
    pub(crate) fn take_wish(&mut self) -> io::Result<Option<Rumble>> {
        let mut wish = None;
        loop {
            let events: Vec<KernelEvent> = match self.device.fetch_events() {
                Ok(events) => events.collect(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            if events.is_empty() {
                break;
            }
            for event in events {
                wish = self.take_event(event)?.or(wish);
            }
        }
        Ok(wish.map(|(strong, weak, millis)| Rumble { gamepad: self.gamepad, strong, weak, millis }))
    }

    fn take_event(&mut self, event: KernelEvent) -> io::Result<Option<(u16, u16, u16)>> {
        let summary = event.destructure();
        if let EventSummary::ForceFeedback(_, code, value) = summary {
            return Ok(self.motors.play(code.0, value));
        }
        let EventSummary::UInput(event, code, _) = summary else { return Ok(None) };
        // Either ends, and the program goes on, when what is returned here is dropped.
        if code == UInputCode::UI_FF_UPLOAD {
            let mut upload = self.device.process_ff_upload(event)?;
            let effect = upload.effect();
            let motors = if let FFEffectKind::Rumble { strong_magnitude, weak_magnitude } = effect.kind {
                Some((strong_magnitude, weak_magnitude))
            } else {
                None
            };
            let is_kept = self.motors.keep(upload.effect_id(), motors, effect.replay.length);
            upload.set_retval(if is_kept { 0 } else { -i32::from(EINVAL) });
        } else if code == UInputCode::UI_FF_ERASE {
            let erased = self.device.process_ff_erase(event)?.effect_id();
            self.motors.forget(erased);
        }
        Ok(None)
    }
}

/// The kernel's number for an effect of a kind that was not offered.
const EINVAL: u8 = 22;

/// Sticks go both ways, triggers one.
fn range(axis: GamepadAxis) -> AbsInfo {
    let is_trigger = axis == GamepadAxis::LEFT_TRIGGER || axis == GamepadAxis::RIGHT_TRIGGER;
    let min = if is_trigger { 0 } else { i32::from(i16::MIN) };
    AbsInfo::new(0, min, i16::MAX.into(), 0, 0, 0)
}

/// The effects that programs have left in a gamepad: both motors and a length in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Motors {
    effects: [Option<(u16, u16, u16)>; EFFECTS],
    gain: u32,
}

impl Motors {
    const fn new() -> Self {
        Self { effects: [None; EFFECTS], gain: GAIN_MAX }
    }

    /// Keeps an effect; `false` for one that is no rumble or has no place.
    fn keep(&mut self, id: i16, motors: Option<(u16, u16)>, millis: u16) -> bool {
        let place = usize::try_from(id).ok().and_then(|id| self.effects.get_mut(id));
        let (Some(place), Some((strong, weak))) = (place, motors) else { return false };
        let millis = if millis == 0 { MILLIS_MAX } else { millis.min(MILLIS_MAX) };
        *place = Some((strong, weak, millis));
        true
    }

    fn forget(&mut self, id: u32) {
        if let Some(place) = usize::try_from(id).ok().and_then(|id| self.effects.get_mut(id)) {
            *place = None;
        }
    }

    /// What the motors do from now on; `None` if this changes nothing.
    fn play(&mut self, code: u16, value: i32) -> Option<(u16, u16, u16)> {
        if code == FFEffectCode::FF_GAIN.0 {
            self.gain = u32::try_from(value).unwrap_or(0).min(GAIN_MAX);
            return None;
        }
        let (strong, weak, millis) = (*self.effects.get(usize::from(code))?)?;
        if value == 0 {
            return Some((0, 0, 0));
        }
        let louder = |motor: u16| u16::try_from(u32::from(motor) * self.gain / GAIN_MAX).unwrap_or(u16::MAX);
        // Repetitions without a pause are one long effect.
        let times = u16::try_from(value).unwrap_or(u16::MAX);
        Some((louder(strong), louder(weak), millis.saturating_mul(times).min(MILLIS_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_played_as_loud_and_long_as_they_were_meant() {
        let mut motors = Motors::new();
        assert!(motors.keep(0, Some((0x8000, 0xffff)), 200) && motors.keep(15, Some((1, 2)), 0));
        assert!(!motors.keep(16, Some((1, 1)), 1) && !motors.keep(-1, Some((1, 1)), 1));
        assert!(!motors.keep(1, None, 1), "not a rumble");
        assert_eq!(motors.play(0, 1), Some((0x8000, 0xffff, 200)));
        assert_eq!(motors.play(0, 3), Some((0x8000, 0xffff, 600)));
        assert_eq!(motors.play(0, i32::MAX), Some((0x8000, 0xffff, MILLIS_MAX)));
        assert_eq!(motors.play(15, 1), Some((1, 2, MILLIS_MAX)));
        assert_eq!(motors.play(0, 0), Some((0, 0, 0)));
        assert_eq!(motors.play(FFEffectCode::FF_GAIN.0, 0x7fff), None);
        assert_eq!(motors.play(0, 1), Some((0x3fff, 0x7fff, 200)));
        motors.forget(0);
        assert_eq!(motors.play(0, 1), None);
    }
}
