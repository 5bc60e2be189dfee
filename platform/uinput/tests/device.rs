//! The devices as the kernel shows them. Needs `/dev/uinput`; says so where there is none.

use std::fs;

use evdev::{EventSummary, KeyCode, RelativeAxisCode};
use rift::{Button, InputEvent, Scancode};
use rift_hal::InputSink;
use rift_uinput::{UinputError, UinputSink, check};

/// The devices, or a printed reason why there are none.
fn sink(name: &str) -> Option<UinputSink> {
    match UinputSink::create(name) {
        Ok(sink) => Some(sink),
        Err(error @ (UinputError::Missing | UinputError::NotPermitted)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Opens the kernel's side of the device of this name.
fn reader(name: &str) -> evdev::Device {
    for entry in fs::read_dir("/sys/class/input").expect("sysfs") {
        let entry = entry.expect("an entry");
        let file_name = entry.file_name();
        let Some(node) = file_name.to_str().filter(|node| node.starts_with("event")) else {
            continue;
        };
        let found = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
        if found.trim_end() == name {
            let path = format!("/dev/input/{node}");
            return evdev::Device::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
    panic!("the kernel shows no {name:?}");
}

/// What a device said since it was last asked, without the ends of reports.
fn said(device: &mut evdev::Device) -> Vec<EventSummary> {
    let events = device.fetch_events().expect("events are waiting");
    let said = events.map(|event| event.destructure());
    said.filter(|event| !matches!(event, EventSummary::Synchronization(..))).collect()
}

#[test]
fn check_agrees_with_create() {
    assert_eq!(check().is_ok(), UinputSink::create("wavry check").is_ok());
}

#[test]
fn devices_say_what_was_injected_and_release_what_they_hold() {
    let name = format!("wavry test {}", std::process::id());
    let Some(mut sink) = sink(&name) else { return };
    let mut keyboard = reader(&format!("{name} keyboard"));
    let mut mouse = reader(&format!("{name} mouse"));
    let mut pointer = reader(&format!("{name} pointer"));

    let key = Scancode::new(KeyCode::KEY_A.0).expect("a key");
    let events = [
        InputEvent::Key { key, pressed: true },
        InputEvent::PointerRelative { dx: 5, dy: -7 },
        InputEvent::Wheel { dx: 0, dy: 120 },
        InputEvent::PointerAbsolute { x: 1, y: 65535 },
        InputEvent::Button { button: Button::LEFT, pressed: true },
    ];
    for event in &events {
        sink.inject(event).expect("injected");
    }
    sink.release_all().expect("released");

    let pressed: Vec<_> =
        said(&mut keyboard)
            .into_iter()
            .filter_map(|event| {
                if let EventSummary::Key(_, code, value) = event { Some((code, value)) } else { None }
            })
            .collect();
    assert_eq!(pressed, [(KeyCode::KEY_A, 1), (KeyCode::KEY_A, 0)]);
    let turned = said(&mut mouse);
    let fine = |event: &EventSummary| {
        matches!(event, EventSummary::RelativeAxis(_, RelativeAxisCode::REL_WHEEL_HI_RES, 120))
    };
    assert!(turned.iter().any(fine), "{turned:?}");
    assert_eq!(said(&mut pointer).len(), 4, "two axes, a press, a release");
    assert_eq!(keyboard.get_key_state().expect("a state").iter().count(), 0);
}

#[test]
fn dropped_sink_takes_its_devices_along() {
    let name = format!("wavry drop {}", std::process::id());
    let Some(mut sink) = sink(&name) else { return };
    let mut keyboard = reader(&format!("{name} keyboard"));
    let key = Scancode::new(KeyCode::KEY_LEFTSHIFT.0).expect("a key");
    sink.inject(&InputEvent::Key { key, pressed: true }).expect("injected");
    assert_eq!(said(&mut keyboard).len(), 1, "pressed");
    drop(sink);
    // Whoever reads a device that is gone lets go of its keys; what was still to be read is lost with it.
    assert!(keyboard.fetch_events().is_err(), "the device is gone");
}

#[test]
fn long_names_are_cut_not_refused() {
    let Some(sink) = sink(&"é".repeat(200)) else {
        return;
    };
    drop(sink);
}
