//! Each layer over the one below it, with files in a root of this test's own; and files that nobody meant well.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use core::sync::atomic::{AtomicU32, Ordering};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, value_parser};
use rift_settings::{DROP_INS_MAX, FILE_LEN_MAX, Loaded, Origin, Places, Schema, SettingsError, load, show};

fn command() -> Command {
    Command::new("program").args([
        Arg::new("fps").long("fps").value_parser(value_parser!(u32).range(1..=240)),
        Arg::new("name").long("name").help("What it is called [default: nobody]"),
        Arg::new("gateway-id").long("gateway-id"),
        Arg::new("trust").long("trust").action(ArgAction::Append).value_delimiter(','),
        Arg::new("log").long("log").default_value("info"),
        Arg::new("wide").long("wide").action(ArgAction::SetTrue),
        Arg::new("kind").long("kind").value_parser(["one", "other"]),
        Arg::new("enrol").long("enrol"),
        Arg::new("config").long("config"),
    ])
}

fn schema() -> Schema {
    Schema::new("relay", command().get_arguments())
        .with_names(&[("gateway.id", "gateway-id")])
        .with_file_keys(&[("power.on", Some("no shell reads it: give words")), ("power.wake", None)])
        .with_secrets(&["enrol"])
}

/// A root of this test's own, gone with it.
struct Root(PathBuf);

impl Root {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wavry-settings-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        for directory in ["usr/share/wavry", "etc/wavry/relay.d", "person/wavry"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        Self(path)
    }

    fn places(&self) -> Places {
        Places::of("relay", &self.0, Some(self.0.join("person").into()), None)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
        let environment = environment.iter().map(|&(name, value)| (name.into(), value.into()));
        load(&schema(), &self.places(), None, environment)
    }

    /// The message of a file with this text.
    fn wrong(&self, text: impl AsRef<[u8]>) -> String {
        self.write("etc/wavry/relay.toml", text);
        self.load(&[]).unwrap_err().to_string()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn words(loaded: &Loaded, typed: &[&str]) -> Vec<String> {
    let typed: Vec<OsString> = typed.iter().map(Into::into).collect();
    let mut words: Vec<_> = loaded.words(command().get_arguments(), &typed);
    words.sort();
    words.into_iter().map(|word| word.into_string().unwrap()).collect()
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let root = Root::new();
    let files = [
        "usr/share/wavry/relay.toml",
        "etc/wavry/relay.toml",
        "etc/wavry/relay.d/10-first.toml",
        "etc/wavry/relay.d/20-second.toml",
        "person/wavry/relay.toml",
    ];
    assert!(root.load(&[]).unwrap().settings().is_empty(), "no file is no mistake");
    for (layer, name) in files.into_iter().enumerate() {
        let fps = layer + 1;
        let path = root.write(name, format!("# the layer\nfps = {fps}\nname = \"n{fps}\"\n"));
        let loaded = root.load(&[]).unwrap();
        assert_eq!(words(&loaded, &[]), [format!("--fps={fps}"), format!("--name=n{fps}")]);
        assert_eq!(loaded.find("fps").unwrap().origin, Origin::File { path, line: 2 });
    }
    let loaded = root.load(&[("WAVRY_RELAY_FPS", "99"), ("WAVRY_SERVER_FPS", "1"), ("HOME", "/x")]).unwrap();
    assert_eq!(words(&loaded, &[]), ["--fps=99", "--name=n5"]);
    assert_eq!(loaded.find("fps").unwrap().origin, Origin::Environment("WAVRY_RELAY_FPS".to_owned()));
    assert_eq!(words(&loaded, &["--fps", "7"]), ["--name=n5"], "what is typed is not said twice");
    assert_eq!(words(&loaded, &["--fps=7", "--name=--fps"]), [""; 0]);
}

#[test]
fn lower_layers_say_what_higher_ones_do_not_and_lists_are_replaced_whole() {
    let root = Root::new();
    root.write("usr/share/wavry/relay.toml", "trust = [\"a\", \"b\"]\nwide = true\nfps = 3\n");
    root.write(
        "etc/wavry/relay.toml",
        "trust = [\"c\"]\n[gateway]\nid = \"g\"\n[power]\non = [\"a\", \"b c\"]\n",
    );
    let loaded = root.load(&[]).unwrap();
    assert_eq!(words(&loaded, &[]), ["--fps=3", "--gateway-id=g", "--trust=c", "--wide"]);
    assert_eq!(loaded.find("power.on").unwrap().values, ["a", "b c"]);
    root.write("person/wavry/relay.toml", "trust = []\nwide = false\n");
    assert_eq!(words(&root.load(&[]).unwrap(), &[]), ["--fps=3", "--gateway-id=g"]);
    let loaded = root.load(&[("WAVRY_RELAY_TRUST", "d, e,"), ("WAVRY_RELAY_WIDE", "true")]).unwrap();
    assert_eq!(words(&loaded, &[]), ["--fps=3", "--gateway-id=g", "--trust=d", "--trust=e", "--wide"]);
}

#[test]
fn file_that_is_asked_for_takes_the_place_of_all_others() {
    let root = Root::new();
    root.write("etc/wavry/relay.toml", "fps = 3\n");
    let own = root.write("own.toml", "name = \"own\"\n");
    let asked = rift_settings::asked(&["x".into(), "--config".into(), own.clone().into()]);
    assert_eq!(asked.as_deref(), Some(&*own));
    let loaded = load(&schema(), &root.places(), asked.as_deref(), []).unwrap();
    assert_eq!(words(&loaded, &[]), ["--name=own"]);
    let loaded = root.load(&[("WAVRY_RELAY_CONFIG", own.to_str().unwrap())]).unwrap();
    assert_eq!(words(&loaded, &[]), ["--name=own"]);
    // The kernel gives no byte of it to anybody.
    let failed = load(&schema(), &root.places(), Some(Path::new("/proc/self/mem")), []).unwrap_err();
    assert!(failed.to_string().contains("let this user read it"), "{failed}");
    let missing = load(&schema(), &root.places(), Some(Path::new("/nowhere.toml")), []).unwrap_err();
    assert!(missing.to_string().contains("/nowhere.toml"), "{missing}");
    assert_eq!(rift_settings::asked(&["--".into(), "--config=x".into()]), None);
}

#[test]
fn log_is_told_to_all_programs_and_to_one() {
    let root = Root::new();
    let loaded = root.load(&[("WAVRY_LOG", "warn")]).unwrap();
    assert_eq!(words(&loaded, &[]), ["--log=warn"]);
    let loaded = root.load(&[("WAVRY_LOG", "warn"), ("WAVRY_RELAY_LOG", "debug")]).unwrap();
    assert_eq!(words(&loaded, &[]), ["--log=debug"]);
}

#[test]
fn mistakes_are_told_by_file_line_key_and_what_to_do() {
    let root = Root::new();
    for (text, hints) in [
        ("\nfsp = 1", &[":2", "`fsp`", "did you mean `fps`"][..]),
        ("trusted = []", &[":1", "`trusted`", "`trust`"]),
        ("[gateway]\nif = \"x\"", &[":2", "`gateway.if`", "`gateway.id`"]),
        ("[gatway]\nid = \"x\"", &[":1", "`gatway`", "`gateway`"]),
        ("fps = 0", &[":1", "`fps`", "1..=240"]),
        ("fps = \"many\"", &["`fps`", "digit"]),
        ("fps = 1.5", &["`fps`", "whole number"]),
        ("fps = 1979-05-27", &["`fps`", "whole number"]),
        ("fps = [1]", &["`fps`", "whole number"]),
        ("kind = \"third\"", &["`kind`", "one, other"]),
        ("wide = 1", &["`wide`", "true or false"]),
        ("trust = [[\"x\"]]", &["`trust`", "list of texts"]),
        ("[power]\non = \"reboot now\"", &[":2", "`power.on`", "no shell"]),
        ("[power]\non = [\"a\", 1]", &[":2", "`power.on`", "no shell"]),
        ("config = \"x\"", &["no setting `config`"]),
        ("name = \"a\"\n\nfps = ", &[":3", "no TOML"]),
        ("fps = 1\nfps = 2", &[":2", "no TOML", "duplicate"]),
        ("gateway-id = \"a\"\n[gateway]\nid = \"b\"", &[":3", "`gateway-id`", "line 1"]),
    ] {
        let message = root.wrong(text);
        for hint in hints.iter().chain(&["relay.toml"]) {
            assert!(message.contains(hint), "{text:?} lacks {hint:?}: {message}");
        }
    }
}

#[test]
fn variables_are_checked_as_files_are() {
    let root = Root::new();
    for (name, value, hint) in [
        ("WAVRY_RELAY_FSP", "1", "WAVRY_RELAY_FPS"),
        ("WAVRY_RELAY_FPS", "0", "1..=240"),
        ("WAVRY_RELAY_POWER_ON", "reboot", "no setting"),
    ] {
        let message = root.load(&[(name, value)]).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(hint), "{message}");
    }
    let bytes = OsString::from_vec(vec![0xff, 0xfe]);
    let error = load(&schema(), &root.places(), None, [("WAVRY_RELAY_NAME".into(), bytes)]).unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[test]
fn files_that_nobody_meant_well_are_told_and_not_waited_for() {
    let root = Root::new();
    assert!(root.wrong(b"name = \"a\"\nname = \"\xff\"").contains(":2: this is no UTF-8"));
    let long = usize::try_from(FILE_LEN_MAX).unwrap() + 1;
    assert!(root.wrong("#".repeat(long)).contains("more than"));
    assert!(
        root.wrong("a = ".to_owned() + &"[".repeat(50_000)).contains("no TOML"),
        "no stack is enough for that"
    );
    root.write("etc/wavry/relay.toml", "");
    std::fs::create_dir(root.0.join("person/wavry/relay.toml")).unwrap();
    assert!(root.load(&[]).unwrap_err().to_string().contains("is no file"));
    std::fs::remove_dir(root.0.join("person/wavry/relay.toml")).unwrap();
    let pipe = root.0.join("etc/wavry/relay.d/pipe.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(root.load(&[]).unwrap_err().to_string().contains("is no file"));
    std::fs::remove_file(pipe).unwrap();
    for number in 0..=DROP_INS_MAX {
        root.write(&format!("etc/wavry/relay.d/{number}.toml"), "");
    }
    assert!(root.load(&[]).unwrap_err().to_string().contains("more than 64 files"));
}

#[test]
fn what_is_no_configuration_is_left_alone() {
    let root = Root::new();
    root.write("etc/wavry/relay.d/README", "no TOML at all");
    root.write("etc/wavry/relay.d/.hidden.toml", "no TOML at all");
    root.write("etc/wavry/relay.d/old.toml.bak", "no TOML at all");
    assert!(root.load(&[]).unwrap().settings().is_empty());
    // Somebody without a home has a file in its place.
    let places = Places::of("relay", &root.0, None, Some("/dev/null".into()));
    assert!(load(&schema(), &places, None, []).is_ok());
    for (config, home, expected) in [
        ("/c", "/h", Some("/c/wavry/relay.toml")),
        ("", "/h", Some("/h/.config/wavry/relay.toml")),
        ("relative", "", None),
    ] {
        let places = Places::of("relay", Path::new("/"), Some(config.into()), Some(home.into()));
        assert_eq!(places.person, expected.map(PathBuf::from));
    }
}

#[test]
fn unreadable_file_is_an_error_and_no_empty_one() {
    let root = Root::new();
    let path = root.write("etc/wavry/relay.toml", "fps = 3\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        println!("skipped: this user reads every file");
        return;
    }
    let message = root.load(&[]).unwrap_err().to_string();
    assert!(message.contains("relay.toml") && message.contains("let this user read it"), "{message}");
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let root = Root::new();
    root.write(
        "etc/wavry/relay.toml",
        "fps = 3\nenrol = \"hush\"\ntrust = [\"a\\\"b\"]\n[power]\nwake = \"here\"\n",
    );
    let loaded = root.load(&[("WAVRY_RELAY_KIND", "one")]).unwrap();
    let typed: Vec<OsString> = ["--fps", "9", "--enrol=hush"].iter().map(Into::into).collect();
    let mut out = Vec::new();
    show(&schema(), &loaded, command().get_arguments(), &typed, &mut out).unwrap();
    let shown = String::from_utf8(out).unwrap();
    for line in [
        "fps = 9  # the command line",
        "kind = \"one\"  # the variable WAVRY_RELAY_KIND",
        "log = \"info\"  # the default",
        "# name: nothing is said; nobody",
        "# enrol is kept secret; said by the command line",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in:\n{shown}");
    }
    assert!(shown.contains("relay.toml:3") && !shown.contains("hush"), "{shown}");
    // What is shown says the same as a file.
    root.write("etc/wavry/relay.toml", &shown);
    let again = root.load(&[]).unwrap();
    assert_eq!(again.find("trust").unwrap().values, ["a\"b"]);
    assert_eq!(again.find("power.wake").unwrap().values, ["here"]);
}
