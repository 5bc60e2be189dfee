//! The program as a person calls it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rift::PublicKey;

/// A state directory of this test's own, empty.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("wavry-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a scratch directory");
    path
}

fn wavry(state: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavry"));
    command.args(args).env("XDG_STATE_HOME", state).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn keygen_prints_the_id_that_id_prints() {
    let state = scratch("keygen");
    let made = wavry(&state, &["keygen"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let id = text(&made.stdout);
    assert!(id.trim().parse::<PublicKey>().is_ok(), "{id}");
    assert_eq!(text(&wavry(&state, &["id"]).stdout), id);
    let file = state.join("wavry/identity");
    let mode = fs::metadata(&file).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let named = wavry(&state, &["id", file.to_str().expect("text")]);
    assert_eq!(text(&named.stdout), id);
}

#[test]
fn keygen_never_replaces_a_key_unasked() {
    let state = scratch("force");
    let file = state.join("key");
    let file = file.to_str().expect("text");
    let first = wavry(&state, &["keygen", "--out", file]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let refused = wavry(&state, &["keygen", "--out", file]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert_eq!(wavry(&state, &["id", file]).stdout, first.stdout);
    let second = wavry(&state, &["keygen", "--out", file, "--force"]);
    assert!(second.status.success());
    assert_ne!(second.stdout, first.stdout);
}

#[test]
fn id_without_a_key_says_how_to_make_one() {
    let refused = wavry(&scratch("missing"), &["id"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("wavry keygen"), "{}", text(&refused.stderr));
}

#[test]
fn exposed_key_is_refused_and_the_doctor_says_so() {
    let state = scratch("exposed");
    assert!(wavry(&state, &["keygen"]).status.success());
    let file = state.join("wavry/identity");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changed");
    let refused = wavry(&state, &["id"]);
    assert!(text(&refused.stderr).contains("chmod 600"), "{}", text(&refused.stderr));
    let doctor = wavry(&state, &["doctor", "--port", "0"]);
    assert!(!doctor.status.success(), "an unusable key is bad");
    assert!(text(&doctor.stdout).contains("chmod 600"), "{}", text(&doctor.stdout));
}

#[test]
fn doctor_without_a_display_is_no_failure() {
    let doctor = wavry(&scratch("doctor"), &["doctor", "--port", "0"]);
    let said = text(&doctor.stdout);
    assert!(doctor.status.success(), "{said}");
    assert!(said.contains("no X11 display"), "{said}");
    assert!(said.contains("app:COMMAND"), "{said}");
}
