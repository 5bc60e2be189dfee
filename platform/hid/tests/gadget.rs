//! The gadget as the other machine sees it. In the VM that is the same machine: the kernel's `dummy_hcd` joins a port
//! that is a device with one that is a host. Where there is no such port, that is said.

use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use rift::{Button, InputEvent, Scancode};
use rift_hal::InputSink;
use rift_hid::{HidError, HidSink, check};

/// Event types and codes of `linux/input-event-codes.h`.
const KEY: u16 = 1;
const REL: u16 = 2;
const ABS: u16 = 3;
const WHEEL: u16 = 8;
const WHEEL_FINE: u16 = 11;
const ACROSS_FINE: u16 = 12;
/// `struct input_event` of a 64-bit kernel.
const EVENT_LEN: usize = 24;
/// Looks until something that should come counts as lost; each waits for 10 ms.
const LOOKS: u32 = 500;

/// The device, or a printed reason why there is none.
fn sink() -> Option<HidSink> {
    if let Err(error @ (HidError::Missing | HidError::NoPort)) = check() {
        eprintln!("skipped: {error}");
        return None;
    }
    Some(HidSink::create(None).expect("a gadget"))
}

/// The other machine's devices, once its usbhid has found all three.
fn readers() -> Vec<File> {
    for _ in 0..LOOKS {
        let nodes: Vec<String> = fs::read_dir("/sys/class/input")
            .expect("sysfs")
            .flatten()
            .filter(|entry| {
                let name = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
                entry.file_name().to_string_lossy().starts_with("event") && name.starts_with("Wavry Wavry")
            })
            .map(|entry| format!("/dev/input/{}", entry.file_name().to_string_lossy()))
            .collect();
        if nodes.len() == 3 {
            const NONBLOCK: i32 = 0o4000;
            let open = |node: &String| OpenOptions::new().read(true).custom_flags(NONBLOCK).open(node);
            return nodes.iter().map(|node| open(node).expect("it opens")).collect();
        }
        look();
    }
    panic!("the other machine sees no three devices");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the kernel finds devices when it likes; in the VM time is virtual"
)]
fn look() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Waits until the other machine has been told this: type, code, value.
fn hear(readers: &mut [File], heard: &mut Vec<(u16, u16, i32)>, wanted: (u16, u16, i32)) {
    for _ in 0..LOOKS {
        for reader in &mut *readers {
            let mut bytes = [0; EVENT_LEN * 64];
            let len = reader.read(&mut bytes).unwrap_or(0);
            for event in bytes[..len].chunks_exact(EVENT_LEN) {
                let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
                let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
                heard.push((half(16), half(18), value));
            }
        }
        if let Some(at) = heard.iter().position(|event| *event == wanted) {
            heard.drain(..=at);
            return;
        }
        look();
    }
    panic!("{wanted:?} was not heard, but {heard:?}");
}

#[test]
fn other_machine_sees_a_keyboard_and_two_pointers_and_nothing_stays_held() {
    let Some(mut sink) = sink() else { return };
    let mut readers = readers();
    let mut heard = Vec::new();
    let mut told = |sink: &mut HidSink, event: InputEvent, wanted| {
        // Until the other machine has set the device up it does not listen.
        let mut outcome = sink.inject(&event);
        for _ in 0..LOOKS {
            if !matches!(outcome, Err(HidError::Asleep)) {
                break;
            }
            look();
            outcome = sink.inject(&event);
        }
        outcome.expect("told");
        hear(&mut readers, &mut heard, wanted);
    };
    // A PC keyboard of 105 keys.
    let keys = (1..=83).chain(86..=88).chain(96..=100).chain(102..=111).chain([119, 125, 126, 127]);
    assert_eq!(keys.clone().count(), 105);
    for code in keys {
        let key = Scancode::new(code).expect("a key");
        told(&mut sink, InputEvent::Key { key, pressed: true }, (KEY, code, 1));
        told(&mut sink, InputEvent::Key { key, pressed: false }, (KEY, code, 0));
    }
    told(&mut sink, InputEvent::PointerRelative { dx: -7, dy: 300 }, (REL, 0, -7));
    for (button, code) in
        [Button::LEFT, Button::RIGHT, Button::MIDDLE, Button::SIDE, Button::EXTRA].into_iter().zip(0x110..)
    {
        told(&mut sink, InputEvent::Button { button, pressed: true }, (KEY, code, 1));
        told(&mut sink, InputEvent::Button { button, pressed: false }, (KEY, code, 0));
    }
    told(&mut sink, InputEvent::Wheel { dx: 0, dy: 240 }, (REL, WHEEL, 2));
    // Parts of a notch: the other machine has asked for them, and adds them up to notches itself.
    told(&mut sink, InputEvent::Wheel { dx: 0, dy: -30 }, (REL, WHEEL_FINE, -30));
    told(&mut sink, InputEvent::Wheel { dx: 45, dy: 0 }, (REL, ACROSS_FINE, 45));
    // The kernel tells only what has changed; both begin at 0.
    told(&mut sink, InputEvent::PointerAbsolute { x: 65535, y: 0 }, (ABS, 0, 32767));
    told(&mut sink, InputEvent::PointerAbsolute { x: 65535, y: 65535 }, (ABS, 1, 32767));
    told(&mut sink, InputEvent::PointerAbsolute { x: 0, y: 65535 }, (ABS, 0, 0));
    told(&mut sink, InputEvent::PointerAbsolute { x: 0, y: 0 }, (ABS, 1, 0));
    told(&mut sink, InputEvent::Wheel { dx: 0, dy: 15 }, (REL, WHEEL_FINE, 15));
    let key = Scancode::new(42).expect("Shift");
    told(&mut sink, InputEvent::Key { key, pressed: true }, (KEY, 42, 1));
    sink.release_all().expect("released");
    hear(&mut readers, &mut heard, (KEY, 42, 0));
    drop(sink);
    assert!(!fs::exists("/sys/kernel/config/usb_gadget/wavry").expect("configfs"), "it is unplugged");
}

#[test]
fn what_usb_cannot_tell_is_refused() {
    let Some(mut sink) = sink() else { return };
    let refusal = sink.inject(&InputEvent::Text('a')).expect_err("no keys for characters");
    assert!(matches!(refusal, HidError::Unsupported), "{refusal}");
}
