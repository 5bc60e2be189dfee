//! The demo's course, with stand-ins for the programs it composes.

use core::time::Duration;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use wavry_rig::args::{Demo, Setup};
use wavry_rig::demo::{self, Programs};
use wavry_rig::display::Screen;
use wavry_rig::process::{Keeper, wait_until};

const HANG_GUARD: Duration = Duration::from_secs(20);

const PROBE: &str = "#!/bin/sh\necho '{\"psnr_db\":41.5}'\n";

/// Keeps whom it allows in its state; as a server, it says where it is and stays.
const SERVER: &str = r#"#!/bin/sh
words="$*"
while [ $# -gt 0 ]; do
  case $1 in --state) state=$2 ;; --port-file) port=$2 ;; esac
  shift
done
mkdir -p "$state"
case $words in
  allow*) echo "$words" >> "$state/allowed" ;;
  *) echo '127.0.0.1:47470 HOST-ID' > "$port"; exec sleep 1000 ;;
esac
"#;

/// Writes what it was told into its figures.
const CLIENT: &str = r#"#!/bin/sh
[ "$1" = id ] && echo CLIENT-ID && exit
words="$*"
while [ $# -gt 0 ]; do
  case $1 in --png) png=$2 ;; --json) json=$2 ;; esac
  shift
done
echo "$words" > "$json"; : > "$png"
"#;

const BROKEN: &str = "#!/bin/sh\n[ \"$1\" = id ] && exit\necho the cable is unplugged >&2; exit 1\n";

fn programs(directory: &Path, client: &str) -> Programs {
    for (name, script) in [("wavry-server", SERVER), ("wavry-client", client), ("wavry-probe", PROBE)] {
        let path = directory.join(name);
        std::fs::write(&path, script).expect("the scratch directory can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }
    Programs::at(directory.to_path_buf())
}

/// The demo starts virtual screens; without a server for them there is nothing to test.
fn screens() -> bool {
    let there = ["Xvfb", "xterm"].iter().all(|name| Command::new(name).arg("-help").output().is_ok());
    if !there {
        eprintln!("skipped: Xvfb or xterm is not installed (`cargo rig setup`)");
    }
    there
}

const OPTIONS: Demo = Demo { setup: Setup { yes: true, skip: true }, seconds: 3, headless: true, via: None };

#[test]
fn host_and_client_are_introduced_to_each_other() {
    if !screens() {
        return;
    }
    let keeper = Keeper::start().unwrap();
    let results = keeper.scratch().join("results");
    demo::play(&programs(keeper.scratch(), CLIENT), &OPTIONS, &results).unwrap();
    let told = std::fs::read_to_string(results.join("session.json")).unwrap();
    assert!(told.starts_with("connect 127.0.0.1:47470 --host-id HOST-ID --state "), "{told}");
    assert!(told.contains(" --seconds 3 "), "{told}");
    assert!(results.join("presented.png").is_file());
}

#[test]
fn client_that_fails_is_quoted() {
    if !screens() {
        return;
    }
    let keeper = Keeper::start().unwrap();
    let results = keeper.scratch().join("results");
    let failure = demo::play(&programs(keeper.scratch(), BROKEN), &OPTIONS, &results).unwrap_err();
    assert_eq!(failure.exit, 1);
    assert!(failure.message.contains("the cable is unplugged"), "{failure}");
}

#[test]
fn picture_that_is_not_the_screen_fails_the_demo() {
    if !screens() {
        return;
    }
    let keeper = Keeper::start().unwrap();
    let results = keeper.scratch().join("results");
    let programs = programs(keeper.scratch(), CLIENT);
    std::fs::write(keeper.scratch().join("wavry-probe"), PROBE.replace("41.5", "12.0")).unwrap();
    let failure = demo::play(&programs, &OPTIONS, &results).unwrap_err();
    assert!(failure.message.contains("PSNR 12.0 dB"), "{failure}");
}

#[test]
fn numbers_are_found_in_flat_json() {
    let json = r#"{"n":12, "p50_ms": 8.25,"total":-3e2,"text":"n"}"#;
    assert_eq!(demo::number_in(json, "n"), Some(12.0));
    assert_eq!(demo::number_in(json, "p50_ms"), Some(8.25));
    assert_eq!(demo::number_in(json, "total"), Some(-300.0));
    assert_eq!(demo::number_in(json, "absent"), None);
    assert_eq!(demo::number_in(json, "text"), None);
}

#[test]
fn virtual_screens_do_not_collide_and_end_with_their_guard() {
    if !screens() {
        return;
    }
    let keeper = Keeper::start().unwrap();
    let one = Screen::virtual_screen(&keeper, "one", 320, 200).unwrap();
    let two = Screen::virtual_screen(&keeper, "two", 320, 200).unwrap();
    assert_ne!(one.display, two.display);
    let socket = format!("/tmp/.X11-unix/X{}", one.display.trim_start_matches(':'));
    assert!(Path::new(&socket).exists());
    drop(one);
    assert!(wait_until(HANG_GUARD, || (!Path::new(&socket).exists()).then_some(())).is_some());
    assert!(two.is_virtual());
}
