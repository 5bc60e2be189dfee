//! The rig's own behaviour, as far as it can be seen without installing or building anything.

use core::time::Duration;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use wavry_rig::args::{self, Command as Parsed, Topic, VmTask};
use wavry_rig::process::{Keeper, wait_until};
use wavry_rig::stages::Stage;
use wavry_rig::totals::Totals;
use wavry_rig::{coverage, demo, setup};

const HANG_GUARD: Duration = Duration::from_secs(20);

fn parse(line: &str) -> Result<Parsed, wavry_rig::Failure> {
    args::parse(line.split_whitespace().map(OsString::from))
}

#[test]
fn misspelt_command_is_refused_with_the_nearest_one() {
    let failure = parse("tset").unwrap_err();
    assert_eq!(failure.exit, 2);
    assert!(failure.message.contains("did you mean `test`?"), "{failure}");
    let failure = parse("test clipy").unwrap_err();
    assert!(failure.message.contains("did you mean `clippy`?"), "{failure}");
    let failure = parse("paint").unwrap_err();
    assert!(
        failure.message.contains(
            "setup, test, demo, bench, vm, fuzz, board, flash, soak, sizes, sim, coverage, arm, mutate, dist, help"
        ),
        "{failure}"
    );
}

#[test]
fn every_command_has_its_help() {
    for (word, topic) in [
        ("setup", Topic::Setup),
        ("test", Topic::Test),
        ("demo", Topic::Demo),
        ("bench", Topic::Bench),
        ("vm", Topic::Vm),
        ("fuzz", Topic::Fuzz),
        ("board", Topic::Board),
        ("flash", Topic::Flash),
        ("soak", Topic::Soak),
        ("sizes", Topic::Sizes),
        ("sim", Topic::Sim),
        ("coverage", Topic::Coverage),
        ("arm", Topic::Arm),
        ("mutate", Topic::Mutate),
    ] {
        assert_eq!(parse(&format!("{word} --help")), Ok(Parsed::Help(topic)));
        assert_eq!(parse(&format!("help {word}")), Ok(Parsed::Help(topic)));
        assert!(args::help(topic).starts_with(&format!("cargo rig {word}")));
    }
    assert_eq!(parse(""), Ok(Parsed::Help(Topic::Rig)));
    assert_eq!(parse("--help"), Ok(Parsed::Help(Topic::Rig)));
    for stage in Stage::ALL {
        assert!(args::help(Topic::Test).contains(&format!("\n  {} ", stage.name())), "{}", stage.name());
    }
}

#[test]
fn values_out_of_range_or_missing_are_refused() {
    for line in
        ["demo --seconds 2", "demo --seconds x", "demo --seconds", "bench", "bench core", "setup --now"]
    {
        assert_eq!(parse(line).unwrap_err().exit, 2, "{line}");
    }
    for line in ["vm", "vm --test ls", "vm --rounds 0 --test", "vm --seconds 0 -- ls"] {
        assert_eq!(parse(line).unwrap_err().exit, 2, "{line}");
    }
    let Ok(Parsed::Vm(vm)) = parse("vm -m uinput -- ls --all /dev") else { panic!("no VM") };
    assert_eq!(
        (vm.task, vm.modules),
        (VmTask::Command("ls --all /dev".to_owned()), vec!["uinput".to_owned()])
    );
    for line in ["fuzz --minutes 0", "fuzz --minutes x", "fuzz --hours 2"] {
        assert_eq!(parse(line).unwrap_err().exit, 2, "{line}");
    }
    let Ok(Parsed::Fuzz(fuzz)) = parse("fuzz wire --minutes 5 fec") else { panic!("not a fuzz") };
    assert_eq!((fuzz.seconds, fuzz.surfaces), (300, vec!["wire".to_owned(), "fec".to_owned()]));
    for line in ["sim --seeds 0", "sim --minutes x", "sim seeds", "soak hostile --datagrams 0", "soak"] {
        assert_eq!(parse(line).unwrap_err().exit, 2, "{line}");
    }
    let Ok(Parsed::Trials(trials)) = parse("sim --seeds 1 --seed-base 77") else {
        panic!("not a simulation")
    };
    assert_eq!(trials.words, ["sim", "--seeds", "1", "--seed-base", "77"]);
    let Ok(Parsed::Trials(trials)) = parse("soak hostile --datagrams 5") else { panic!("not a flood") };
    assert_eq!(trials.words, ["hostile", "--datagrams", "5", "--seed", "1"]);
    let Ok(Parsed::Bench(bench)) = parse("bench glass --json rows --strict") else { panic!("not a bench") };
    assert!(bench.strict && bench.name == "glass");
}

#[test]
fn packages_that_are_removed_half_installed_or_unknown_are_missing() {
    let status = "clang ii \nnasm rc \nxvfb iHR\ncmake hi \n";
    assert_eq!(
        setup::missing(&["clang", "nasm", "xvfb", "cmake", "xterm"], status),
        ["nasm", "xvfb", "xterm"]
    );
    assert_eq!(
        setup::apt_line(&["nasm", "xvfb"]),
        "apt-get update && apt-get install --yes --no-install-recommends nasm xvfb"
    );
}

#[test]
fn totals_add_up_and_skips_are_not_passes() {
    let mut totals = Totals::default();
    let shown: Vec<&str> = [
        "running 3 tests",
        "test a ... ok",
        "successes:",
        "---- a stdout ----",
        "seed 7",
        "skipped: no /dev/uinput here",
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "failures:",
        "seed 9",
        "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    ]
    .into_iter()
    .filter(|line| totals.read(line))
    .collect();
    assert_eq!(totals.to_string(), "3 passed, 2 failed, 2 skipped");
    assert!(!shown.contains(&"seed 7") && shown.contains(&"seed 9"), "{shown:?}");
    assert!(shown.contains(&"skipped: no /dev/uinput here"));
}

#[test]
fn stages_deny_warnings_and_cover_the_workspace() {
    let line = |stage: Stage| stage.commands(&[])[0].join(" ");
    assert_eq!(line(Stage::Fmt), "fmt --check --all");
    assert_eq!(line(Stage::Clippy), "clippy --locked --all-targets --workspace -- --deny warnings");
    assert_eq!(line(Stage::Test), "test --locked --no-fail-fast --workspace -- --show-output");
    assert!(Stage::Test.commands(&["rift".to_owned()])[0].contains(&"--package=rift".to_owned()));
}

#[test]
fn half_written_port_file_is_not_an_address() {
    assert_eq!(demo::parse_port_file("127.0.0.1:47"), None);
    assert_eq!(demo::parse_port_file("127.0.0.1:4747\n"), None);
    assert_eq!(
        demo::parse_port_file("127.0.0.1:4747 ABC-DEF\n"),
        Some(("127.0.0.1:4747".to_owned(), "ABC-DEF".to_owned()))
    );
}

/// A shell that starts a child of its own and waits; prints both process ids.
const FAMILY: &str = "sleep 1000 & echo $$ $!; wait";

fn alive(id: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The state letter follows the name, which is in parentheses.
    state.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|letter| letter != 'Z')
}

fn family(output: impl std::io::Read) -> Vec<u32> {
    use std::io::BufRead as _;
    let mut line = String::new();
    std::io::BufReader::new(output).read_line(&mut line).expect("the shell prints a line");
    line.split_whitespace().map(|id| id.parse().expect("the shell prints process ids")).collect()
}

#[test]
fn a_dropped_guard_leaves_no_process_of_the_group() {
    let keeper = Keeper::start().unwrap();
    let mut shell = Command::new("sh");
    let mut running = keeper.spawn("family", shell.args(["-c", FAMILY]), Some(Stdio::piped())).unwrap();
    let ids = family(running.take_output().unwrap());
    assert!(ids.len() == 2 && ids.iter().all(|&id| alive(id)), "{ids:?}");
    drop(running);
    assert!(wait_until(HANG_GUARD, || ids.iter().all(|&id| !alive(id)).then_some(())).is_some(), "{ids:?}");
}

#[test]
fn a_rig_that_vanishes_leaves_neither_processes_nor_files() {
    // The guard is forgotten, as it is when the process is killed: only the closed pipe tells the keeper.
    let keeper = Keeper::start().unwrap();
    let scratch = keeper.scratch().to_path_buf();
    let mut shell = Command::new("sh");
    let mut running = keeper.spawn("family", shell.args(["-c", FAMILY]), Some(Stdio::piped())).unwrap();
    let ids = family(running.take_output().unwrap());
    core::mem::forget(running);
    drop(keeper);
    assert!(wait_until(HANG_GUARD, || ids.iter().all(|&id| !alive(id)).then_some(())).is_some(), "{ids:?}");
    assert!(!scratch.exists());
}

#[test]
fn a_program_that_cannot_start_is_named() {
    let keeper = Keeper::start().unwrap();
    let failure = keeper.spawn("ghost", &mut Command::new("wavry-no-such-program"), None).unwrap_err();
    assert!(
        failure.message.contains("ghost") && failure.message.contains("wavry-no-such-program"),
        "{failure}"
    );
}

#[test]
fn what_the_counters_counted_is_read_and_judged() {
    let lcov = "SF:/tree/rift/src/wire/a.rs\nFN:3,_one\nFN:3,_other\nFN:9,_idle\nFNDA:0,_one\nFNDA:2,_other\nFNDA:0,_idle\n\
                DA:3,2\nDA:4,0\nDA:4,1\nDA:9,0\nend_of_record\nSF:/tree/rift/src/b.rs\nDA:1,7\nend_of_record\n";
    let files = coverage::read(lcov, Path::new("/tree"));
    let wire = &files["rift/src/wire/a.rs"];
    assert_eq!(wire.lines, [(3, 2), (4, 1), (9, 0)].into());
    // Whatever instance of a generic one ran, it ran.
    assert_eq!(wire.functions, [(3, 2), (9, 0)].into());
    let (text, is_enough) = coverage::judge(&files);
    assert!(!is_enough && text.contains("never run: rift/src/wire/a.rs:9"), "{text}");
    assert!(!text.contains("a.rs:3") && text.contains(" 75.00 %"), "{text}");
    assert!(coverage::judge(&coverage::read("SF:/rift/src/wire/c.rs\nDA:1,1\n", Path::new("/"))).1);
}
