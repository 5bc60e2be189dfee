//! Key files: kept once, private, whole.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use rift_keystore::{
    FILE_NAME, HEADER, KeystoreError, change_text, create, load, load_or_create, read_text, replace,
    state_dir_of,
};

/// A directory of this test's own, empty.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("keystore-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a scratch directory");
    path
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o7777
}

#[test]
fn key_is_made_once_private_and_read_again() {
    let path = scratch("once").join("deep/er").join(FILE_NAME);
    let first = load_or_create(&path).expect("made");
    let again = load_or_create(&path).expect("read");
    assert_eq!(first.public(), again.public());
    assert_eq!(first.secret_bytes(), again.secret_bytes());
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().expect("a parent")), 0o700);
    let names: Vec<_> = fs::read_dir(path.parent().expect("a parent")).expect("readable").collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
    let text = fs::read_to_string(&path).expect("text");
    assert_eq!(text.lines().next(), Some(HEADER));
    assert_eq!(text.len(), HEADER.len() + 1 + 64 + 1);
}

#[test]
fn text_is_changed_by_one_at_a_time() {
    let path = scratch("text").join("new/list.toml");
    assert_eq!(read_text(&path).expect("no file is no fault"), None);
    let add = |line: usize| {
        change_text(&path, |text| {
            let lines = text.unwrap_or_default();
            Ok::<_, KeystoreError>((format!("{lines}{line}\n"), lines.lines().count()))
        })
        .expect("changed")
    };
    let mut before: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..16).map(|line| scope.spawn(move || add(line))).collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect()
    });
    before.sort_unstable();
    assert_eq!(before, Vec::from_iter(0..16), "each found what the one before it left");
    let refused = change_text(&path, |_| Err::<(String, ()), _>(KeystoreError::NoHome));
    assert!(matches!(refused, Err(KeystoreError::NoHome)));
    assert_eq!(read_text(&path).expect("readable").expect("there").lines().count(), 16, "as before");
    fs::write(&path, b"\xff").expect("written");
    assert!(matches!(read_text(&path), Err(KeystoreError::Io { action: "read", .. })));
}

#[test]
fn two_keys_are_never_the_same() {
    let directory = scratch("two");
    let one = create(&directory.join("one"), false).expect("made");
    let two = create(&directory.join("two"), false).expect("made");
    assert_ne!(one.public(), two.public());
}

#[test]
fn key_is_replaced_only_by_force() {
    let path = scratch("force").join(FILE_NAME);
    let first = create(&path, false).expect("made").public();
    let refusal = create(&path, false).expect_err("it is there");
    assert!(matches!(refusal, KeystoreError::Exists(_)), "{refusal}");
    assert_eq!(load(&path).expect("read").public(), first);
    let second = create(&path, true).expect("replaced").public();
    assert_ne!(first, second);
    assert_eq!(load(&path).expect("read").public(), second);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn key_that_others_can_read_is_refused_with_the_command_that_helps() {
    let path = scratch("exposed").join(FILE_NAME);
    create(&path, false).expect("made");
    for mode in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("changed");
        let refusal = load_or_create(&path).expect_err("exposed");
        assert!(matches!(refusal, KeystoreError::Exposed { mode: found, .. } if found == mode), "{refusal}");
        assert!(refusal.to_string().contains(&format!("chmod 600 {}", path.display())), "{refusal}");
    }
}

#[test]
fn what_is_no_key_is_refused_and_left_alone() {
    let directory = scratch("malformed");
    let digits = "0123456789abcdef".repeat(4);
    let cases = [
        String::new(),
        HEADER.to_owned(),
        format!("{digits}\n"),
        format!("{HEADER}\n{}\n", &digits[1..]),
        format!("{HEADER}\n{digits}0\n"),
        format!("{HEADER}\n{digits}\n\n"),
        format!("{HEADER}\n{}g\n", &digits[1..]),
        format!("{HEADER}\n{}é\n", &digits[2..]),
        format!("{HEADER}\n{}", "0".repeat(100_000)),
    ];
    for (number, text) in cases.iter().enumerate() {
        let path = directory.join(number.to_string());
        replace(&path, text.as_bytes()).expect("written");
        let refusal = load_or_create(&path).expect_err("no key");
        assert!(matches!(refusal, KeystoreError::Malformed { .. }), "{text:?}: {refusal}");
        assert_eq!(&fs::read_to_string(&path).expect("still there"), text);
    }
    let refusal = load(&directory).expect_err("a directory");
    assert!(matches!(refusal, KeystoreError::Malformed { .. } | KeystoreError::Io { .. }), "{refusal}");
}

#[test]
fn file_without_its_last_line_end_is_still_a_key() {
    let path = scratch("end").join(FILE_NAME);
    let public = create(&path, false).expect("made").public();
    let text = fs::read_to_string(&path).expect("text");
    replace(&path, text.trim_end().as_bytes()).expect("written");
    assert_eq!(load(&path).expect("read").public(), public);
}

#[test]
fn programs_that_start_at_once_agree_on_one_key() {
    let path = scratch("race").join("state").join(FILE_NAME);
    let together = Barrier::new(8);
    let keys: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    load_or_create(&path).expect("made or read").public()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn missing_key_names_the_command_that_makes_one() {
    let path = scratch("missing").join(FILE_NAME);
    let refusal = load(&path).expect_err("missing");
    assert!(matches!(refusal, KeystoreError::Missing(_)));
    assert!(refusal.to_string().contains("wavry keygen"), "{refusal}");
}

#[test]
fn state_directory_follows_the_xdg_specification() {
    let text = |value: &str| Some(value.into());
    assert_eq!(state_dir_of(text("/s"), text("/h")), Some("/s/wavry".into()));
    assert_eq!(state_dir_of(None, text("/h")), Some("/h/.local/state/wavry".into()));
    assert_eq!(state_dir_of(text("relative"), text("/h")), Some("/h/.local/state/wavry".into()));
    assert_eq!(state_dir_of(text(""), text("")), None);
}

#[test]
fn other_secret_is_made_once_private_and_is_no_key() {
    let path = scratch("secret").join(rift_keystore::SECRET_FILE_NAME);
    let first = rift_keystore::load_or_create_secret(&path).expect("made");
    assert_eq!(rift_keystore::load_or_create_secret(&path).expect("read"), first);
    assert_eq!(mode(&path), 0o600);
    assert!(matches!(load(&path), Err(KeystoreError::Malformed { .. })), "a secret is not taken for a key");
}

#[test]
fn memory_of_a_host_is_kept_and_what_is_illegible_is_nothing() {
    use rift_keystore::memory::HostMemory;
    let host = rift::Identity::from_secret([7; 32]).public();
    let path = HostMemory::path(&scratch("hosts"), &host);
    assert_eq!(HostMemory::load(&path), HostMemory::default(), "nothing is there");
    let token = Some(rift::AddressToken::from_bytes(core::array::from_fn(|at| {
        u8::try_from(at * 10).expect("small")
    })));
    for memory in [HostMemory { counter: u64::MAX, token }, HostMemory { counter: 0, token: None }] {
        memory.keep(&path).expect("kept");
        assert_eq!(HostMemory::load(&path), memory);
        assert_eq!(mode(&path), 0o600);
    }
    for illegible in ["", "wavry host 1\n", "wavry host 1\n-5\n-\n", "wavry host 2\n5\n-\n"] {
        replace(&path, illegible.as_bytes()).expect("written");
        assert_eq!(HostMemory::load(&path), HostMemory::default(), "{illegible:?}");
    }
    replace(&path, b"wavry host 1\n5\nzz\n").expect("written");
    assert_eq!(
        HostMemory::load(&path),
        HostMemory { counter: 5, token: None },
        "a call without a token works"
    );
}

/// SPEC §4.12/1.
#[test]
fn counter_of_calls_grows_though_the_clock_goes_back() {
    let memory = rift_keystore::memory::HostMemory { counter: 1_000, token: None };
    assert_eq!(memory.next_counter(5_000), 5_000);
    assert_eq!(memory.next_counter(500), 1_001);
    assert_eq!(memory.next_counter(1_000), 1_001);
}
