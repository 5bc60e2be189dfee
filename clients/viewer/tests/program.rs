//! The program from outside: its exit codes and what it prints.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::PathBuf;
use std::process::{Command, Output};

fn run(arguments: &[&str], config: Option<&str>) -> (Output, PathBuf) {
    let name = format!("wavry-client-program-{}-{:p}", std::process::id(), arguments);
    let home = std::env::temp_dir().join(name);
    std::fs::create_dir_all(home.join("config/wavry")).unwrap();
    if let Some(config) = config {
        std::fs::write(home.join("config/wavry/client.toml"), config).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavry-client"));
    command
        .args(arguments)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_STATE_HOME", home.join("state"));
    (command.output().unwrap(), home)
}

fn check(arguments: &[&str], config: Option<&str>, code: i32, words: &[&str]) {
    let (output, home) = run(arguments, config);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    std::fs::remove_dir_all(home).unwrap();
}

const ID: &str = "0000000-0000000-0000000-0000000-0000000-0000000-0000000-0000000";

#[test]
fn help_and_version_succeed() {
    check(&["--help"], None, 0, &["connect", "id"]);
    check(&["connect", "--help"], None, 0, &["--host-id", "minifb-plain", "--headless"]);
    check(&["--version"], None, 0, &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn wrong_command_lines_exit_with_2() {
    check(&[], None, 2, &["Usage"]);
    check(&["connect", "host"], None, 2, &["--host-id"]);
    check(&["connect", "host", "--host-id", "nonsense"], None, 2, &["Wavry ID"]);
    check(&["connect", "host", "--host-id", ID], None, 2, &["mistyped"]);
    check(&["connect", "host", "--frames", "0"], None, 2, &["--frames"]);
}

#[test]
fn wrong_settings_exit_with_2_and_name_the_nearest() {
    check(&["id"], Some("fulscreen = true"), 2, &["client.toml", "`fulscreen`", "`fullscreen`"]);
    check(&["id", "--config", "/nowhere.toml"], None, 2, &["/nowhere.toml"]);
}

#[test]
fn identity_is_made_once_and_stays() {
    let (first, home) = run(&["id"], Some("log = \"error\""));
    assert!(first.status.success());
    let id = String::from_utf8(first.stdout).unwrap();
    id.trim().parse::<rift::PublicKey>().unwrap();
    let state = home.join("state/wavry");
    let (second, other) = run(&["id", "--state", state.to_str().unwrap()], None);
    assert_eq!(String::from_utf8(second.stdout).unwrap(), id);
    for directory in [home, other] {
        let _ = std::fs::remove_dir_all(directory);
    }
}

#[test]
fn unknown_host_exits_with_1() {
    let identity = rift::Identity::from_secret([1; 32]).public().to_string();
    let arguments = ["connect", "nowhere.invalid", "--host-id", &identity, "--headless"];
    check(&arguments, None, 1, &["nowhere.invalid"]);
}
