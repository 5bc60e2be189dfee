//! What a desktop makes of the devices: libinput's own tool, fed by udev, says what each is and what it does.

use core::time::Duration;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use anyhow::{Context as _, bail};
use rift::{Button, Contact, InputEvent, Scancode};
use rift_hal::InputSink;
use rift_uinput::UinputSink;

use crate::{pause, say};

/// Where the VM has libinput's tool and udev.
const TOOL: &str = "/bin/libinput-debug-events";
const DAEMON: &str = "/bin/systemd-udevd";
const NAME: &str = "Seat";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that ends with the check.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes the devices, uses each, and looks for it in what libinput says. Returns whether all was there.
///
/// # Errors
/// The tools do not start, or the devices cannot be made.
pub fn run() -> anyhow::Result<bool> {
    if !fs::exists(TOOL)? || !fs::exists(DAEMON)? {
        bail!("the VM has no {TOOL} and {DAEMON}");
    }
    let _daemon = Running(quiet(DAEMON, &[]).spawn().context("starting udev")?);
    pause(Duration::from_millis(300));
    let mut sink = UinputSink::create(NAME)?;
    settle()?;
    let mut tool = quiet(TOOL, &["--show-keycodes", "--udev", "seat0"])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting libinput")?;
    let output = tool.stdout.take().context("its output is piped")?;
    let _tool = Running(tool);
    let (lines, heard) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let mut all = Vec::new();
    let devices =
        [("keyboard", "cap:k"), ("mouse", "cap:p"), ("pointer", "cap:p"), ("touch screen", "cap:t")];
    let mut is_good = true;
    for (device, capability) in devices {
        let name = format!("{NAME} {device}");
        is_good &= expect(&heard, &mut all, &["DEVICE_ADDED", &name, capability])?;
    }
    let key = Scancode::new(30).context("A is a key")?;
    let contact = Contact::new(0).context("there is a contact")?;
    let left = |pressed| InputEvent::Button { button: Button::LEFT, pressed };
    let uses: [(&[InputEvent], &[&str]); 6] = [
        (
            &[InputEvent::Key { key, pressed: true }, InputEvent::Key { key, pressed: false }],
            &["KEYBOARD_KEY", "KEY_A", "pressed"],
        ),
        (&[InputEvent::PointerRelative { dx: 5, dy: 5 }], &["POINTER_MOTION "]),
        (&[InputEvent::PointerAbsolute { x: 9000, y: 9000 }], &["POINTER_MOTION_ABSOLUTE"]),
        (&[left(true), left(false)], &["POINTER_BUTTON", "BTN_LEFT", "pressed"]),
        (&[InputEvent::Wheel { dx: 0, dy: -120 }], &["POINTER_SCROLL_WHEEL"]),
        (
            &[InputEvent::TouchDown { contact, x: 30000, y: 30000 }, InputEvent::TouchUp(contact)],
            &["TOUCH_DOWN"],
        ),
    ];
    for (events, words) in uses {
        for event in events {
            sink.inject(event)?;
        }
        is_good &= expect(&heard, &mut all, words)?;
    }
    // Motions repeat; one line of each kind tells enough.
    let mut kinds = std::collections::BTreeSet::new();
    for line in &all {
        let kind = line.split_whitespace().nth(1).unwrap_or_default();
        if kind == "DEVICE_ADDED" || kinds.insert(kind) {
            say(&format!("  {}", line.trim_end()));
        }
    }
    say(&format!(
        "libinput sees a keyboard, two pointers and a touch screen, and what each does: {is_good}\n"
    ));
    Ok(is_good)
}

/// Whether a line with all these words comes, or has come.
fn expect(heard: &Receiver<String>, all: &mut Vec<String>, words: &[&str]) -> anyhow::Result<bool> {
    let is_it = |line: &String| words.iter().all(|word| line.contains(word));
    if all.iter().any(is_it) {
        return Ok(true);
    }
    loop {
        match heard.recv_timeout(PATIENCE) {
            Ok(line) => {
                let is_found = is_it(&line);
                all.push(line);
                if is_found {
                    return Ok(true);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                say(&format!("FAILED: libinput does not say {words:?}, but:\n{}", all.join("\n")));
                return Ok(false);
            }
            Err(RecvTimeoutError::Disconnected) => bail!("libinput ended: {}", all.join("\n")),
        }
    }
}

/// Has udev look at everything, and waits until it has.
fn settle() -> anyhow::Result<()> {
    for arguments in [&["trigger", "--subsystem-match=input", "--action=add"][..], &["settle"]] {
        let status = quiet("/bin/udevadm", arguments).status().context("asking udev")?;
        anyhow::ensure!(status.success(), "udevadm {arguments:?} ended with {status}");
    }
    Ok(())
}

fn quiet(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
