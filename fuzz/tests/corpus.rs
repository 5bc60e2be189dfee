//! Replays what fuzzing and real traffic have left.

use std::fs;
use std::path::{Path, PathBuf};

use wavry_fuzz::SURFACES;

const FILES_MAX: usize = 300;
const BYTES_MAX: u64 = 1 << 20;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(surface: &str) -> Vec<PathBuf> {
    let directory = corpus().join(surface);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a directory can be read").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_committed_input_keeps_every_promise() {
    for (name, run) in SURFACES {
        run(&[]);
        for path in inputs(name) {
            let data = fs::read(&path).unwrap();
            // A panic names the promise; this names the input.
            let kept = std::panic::catch_unwind(|| run(&data));
            assert!(kept.is_ok(), "broken by {}", path.display());
        }
    }
}

#[test]
fn committed_inputs_are_few_and_small() {
    let paths: Vec<PathBuf> = SURFACES.iter().flat_map(|(name, _)| inputs(name)).collect();
    let bytes: u64 = paths.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(paths.len() <= FILES_MAX && bytes <= BYTES_MAX, "{} files, {bytes} bytes", paths.len());
}

#[test]
fn every_surface_has_inputs_and_a_program_for_the_fuzzer() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/fuzz_targets");
    for (name, _) in SURFACES {
        assert!(!inputs(name).is_empty(), "corpus/{name} is empty");
        assert!(programs.join(format!("{name}.rs")).is_file(), "{name} has no program");
    }
    let count = fs::read_dir(programs).unwrap().count();
    assert_eq!(count, SURFACES.len(), "a program without a surface");
    let count = fs::read_dir(corpus()).unwrap().count();
    assert_eq!(count, SURFACES.len(), "a corpus without a surface");
}
