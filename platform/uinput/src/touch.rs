//! A touch screen made through the kernel: contacts in slots (kernel documentation, `multi-touch-protocol`, type B).

use std::io;

use evdev::uinput::VirtualDevice;
use evdev::{
    AbsInfo, AbsoluteAxisCode, AttributeSet, BusType, EventType, InputEvent as KernelEvent, InputId, KeyCode,
    PropType, UinputAbsSetup,
};
use rift::Contact;

/// Names of contacts count up to here and begin again.
const NAME_MAX: i32 = 0xffff;
/// What says that a contact has ended.
const ENDED: i32 = -1;

/// A screen that is touched.
#[derive(Debug)]
pub(crate) struct Screen {
    device: VirtualDevice,
    /// Which contacts there are.
    contacts: u16,
    next_name: i32,
}

impl Screen {
    pub(crate) fn create(name: &str) -> io::Result<Self> {
        let place = AbsInfo::new(0, 0, u16::MAX.into(), 0, 0, 0);
        let axes = [
            (AbsoluteAxisCode::ABS_X, place),
            (AbsoluteAxisCode::ABS_Y, place),
            (AbsoluteAxisCode::ABS_MT_SLOT, AbsInfo::new(0, 0, i32::from(Contact::COUNT) - 1, 0, 0, 0)),
            (AbsoluteAxisCode::ABS_MT_TRACKING_ID, AbsInfo::new(0, 0, NAME_MAX, 0, 0, 0)),
            (AbsoluteAxisCode::ABS_MT_POSITION_X, place),
            (AbsoluteAxisCode::ABS_MT_POSITION_Y, place),
        ];
        let touch: AttributeSet<KeyCode> = [KeyCode::BTN_TOUCH].into_iter().collect();
        // Its places are those of the screen, not of a pad beside it.
        let properties: AttributeSet<PropType> = [PropType::DIRECT].into_iter().collect();
        let name = format!("{name} touch screen");
        let identity = InputId::new(BusType::BUS_VIRTUAL, 0, 4, 1);
        let mut builder = VirtualDevice::builder()?.name(&name).input_id(identity).with_keys(&touch)?;
        for (axis, info) in axes {
            builder = builder.with_absolute_axis(&UinputAbsSetup::new(axis, info))?;
        }
        let device = builder.with_properties(&properties)?.build()?;
        Ok(Self { device, contacts: 0, next_name: 0 })
    }

    /// A contact is at this place; it begins there if it was nowhere and `begins`.
    pub(crate) fn place(&mut self, contact: Contact, x: u16, y: u16, begins: bool) -> io::Result<()> {
        let is_new = self.contacts & bit(contact) == 0;
        if is_new && !begins {
            return Ok(());
        }
        let mut events = vec![absolute(AbsoluteAxisCode::ABS_MT_SLOT, contact.index().into())];
        if is_new {
            events.push(absolute(AbsoluteAxisCode::ABS_MT_TRACKING_ID, self.next_name));
        }
        events.push(absolute(AbsoluteAxisCode::ABS_MT_POSITION_X, x.into()));
        events.push(absolute(AbsoluteAxisCode::ABS_MT_POSITION_Y, y.into()));
        if self.contacts == 0 {
            events.push(KernelEvent::new(EventType::KEY.0, KeyCode::BTN_TOUCH.0, 1));
        }
        if is_new && self.contacts == 0 || self.contacts == bit(contact) {
            // Who knows one contact only follows the one that is alone.
            events.push(absolute(AbsoluteAxisCode::ABS_X, x.into()));
            events.push(absolute(AbsoluteAxisCode::ABS_Y, y.into()));
        }
        self.device.emit(&events)?;
        if is_new {
            self.contacts |= bit(contact);
            self.next_name = if self.next_name == NAME_MAX { 0 } else { self.next_name + 1 };
        }
        Ok(())
    }

    pub(crate) fn lift(&mut self, contact: Contact) -> io::Result<()> {
        if self.contacts & bit(contact) == 0 {
            return Ok(());
        }
        let left = self.contacts & !bit(contact);
        let mut events = vec![
            absolute(AbsoluteAxisCode::ABS_MT_SLOT, contact.index().into()),
            absolute(AbsoluteAxisCode::ABS_MT_TRACKING_ID, ENDED),
        ];
        if left == 0 {
            events.push(KernelEvent::new(EventType::KEY.0, KeyCode::BTN_TOUCH.0, 0));
        }
        self.device.emit(&events)?;
        self.contacts = left;
        Ok(())
    }

    pub(crate) fn lift_all(&mut self) -> io::Result<()> {
        Contact::all().try_for_each(|contact| self.lift(contact))
    }
}

fn absolute(axis: AbsoluteAxisCode, value: i32) -> KernelEvent {
    KernelEvent::new(EventType::ABSOLUTE.0, axis.0, value)
}

fn bit(contact: Contact) -> u16 {
    1 << contact.index()
}
