//! What builds a board's program: Debian's compiler, `core` for the target, and what makes the log readable.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Model;
use crate::{Failure, cargo, say};

pub(crate) const COMPILER: &str = "/usr/bin/rustc";
pub(crate) const DOCUMENTER: &str = "/usr/bin/rustdoc";
const LINKER: &str = "/usr/bin/ld.lld-22";
/// What reads the frames of a board's log, and its version: that of the `defmt` in the boards' lock files.
const LOG_PRINTER: [&str; 2] = ["defmt-print", "1.2.0"];

/// Everything of boards that is kept from run to run.
pub(super) fn cache() -> PathBuf {
    cargo::target_dir().join("board")
}

/// Builds a board's program, with these arguments of cargo's beside the usual ones.
///
/// # Errors
/// Exit code 2 without the compiler; 1 when something does not build, cargo has said why.
pub(super) fn firmware(model: Model, arguments: &[&str]) -> Result<PathBuf, Failure> {
    say::progress(format_args!("board: building {} for {}", model.name, model.target));
    let directory = program(&model.directory(), model.target, arguments, "target")?;
    Ok(directory.join(format!("wavry-{}", model.name)))
}

/// Whether this machine has what programs for boards are built with.
pub(super) fn is_there() -> bool {
    Path::new(LINKER).exists()
        && Path::new("/usr/lib/rustlib/src/rust/library/core").exists()
        && version().is_ok()
}

/// Builds the program of a workspace, with these arguments of cargo's beside the usual ones, into a directory `built` of the cache. Gives the
/// directory that it then is in.
///
/// # Errors
/// As [`firmware`].
pub(super) fn program(
    directory: &Path,
    target: &str,
    arguments: &[&str],
    built: &str,
) -> Result<PathBuf, Failure> {
    // Cargo does not notice another `core`, so each has its own directory.
    let place = cache().join(version()?);
    let sysroot = place.join("sysroot");
    core_for(&sysroot, target)?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(directory).args(["build", "--release", "--locked", "--target", target]);
    command.args(arguments);
    let settings = [
        format!("build.rustc='{COMPILER}'"),
        format!("build.rustdoc='{DOCUMENTER}'"),
        format!("target.{target}.linker='{LINKER}'"),
        format!("target.{target}.rustflags=['--sysroot={}']", sysroot.display()),
    ];
    command.args(settings.iter().flat_map(|setting| ["--config", setting]));
    // What the caller sets for the project's own toolchain is not for this one.
    command.env_remove("RUSTFLAGS").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    let built = place.join(built);
    command.env("CARGO_TARGET_DIR", &built).env("DEFMT_LOG", "info");
    succeed(&mut command, "the board's program did not build")?;
    Ok(built.join(target).join("release"))
}

/// The compiler's version as a file's name.
fn version() -> Result<String, Failure> {
    let output = Command::new(COMPILER).arg("-V").output().map_err(|error| {
        Failure::unusable(format!("cannot run {COMPILER} ({error}): boards are built by Debian's rustc-web"))
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> =
        text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.').collect();
    Ok(words.join("-").trim_matches('-').to_owned())
}

/// Compiles `core` and `alloc` for a target, once. (`alloc` only because a sysroot is taken for whole; no program links
/// it.)
fn core_for(sysroot: &Path, target: &str) -> Result<(), Failure> {
    let libraries = sysroot.join("lib/rustlib").join(target).join("lib");
    let marker = libraries.join("complete");
    if marker.is_file() {
        return Ok(());
    }
    say::progress(format_args!("board: compiling core for {target}, once"));
    let _ = fs::remove_dir_all(&libraries);
    let seed = sysroot.join("seed");
    write(&seed.join("Cargo.toml"), SEED)?;
    write(&seed.join("src/lib.rs"), "#![no_std]\n")?;
    let built = seed.join("target");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&seed).args(["build", "--release", "-Zbuild-std=core,alloc", "--target", target]);
    // The compiler is a stable one; its own sources are built with what it keeps from others. Without bitcode no program
    // could be optimised as a whole.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", COMPILER).env("RUSTDOC", DOCUMENTER);
    command.env("RUSTFLAGS", "-Cembed-bitcode=yes").env("CARGO_TARGET_DIR", &built);
    command.env_remove("RUSTUP_TOOLCHAIN");
    succeed(&mut command, "core did not build")?;
    let made = built.join(target).join("release/deps");
    fs::create_dir_all(&libraries).map_err(|error| cannot("make", &libraries, &error))?;
    for entry in fs::read_dir(&made).map_err(|error| cannot("read", &made, &error))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = ["libcore-", "liballoc-", "libcompiler_builtins-"];
        if name.ends_with(".rlib") && wanted.iter().any(|start| name.starts_with(start)) {
            let copy = libraries.join(&name);
            fs::copy(entry.path(), &copy).map_err(|error| cannot("copy", &copy, &error))?;
        }
    }
    let _ = fs::remove_dir_all(&seed);
    fs::write(&marker, []).map_err(|error| cannot("write", &marker, &error))
}

const SEED: &str = "\
[package]
name = \"seed\"
version = \"0.0.0\"
edition = \"2024\"

[profile.release]
panic = \"abort\"
opt-level = 3
codegen-units = 1
debug = false

[workspace]
";

/// The program that makes a board's log readable, installed into the cache when it is not there.
pub(super) fn log_printer() -> Result<PathBuf, Failure> {
    let tools = cache().join("tools");
    let [name, version] = LOG_PRINTER;
    let program = tools.join("bin").join(name);
    if !program.is_file() {
        say::progress(format_args!("board: installing {name} into the target directory, once (minutes)"));
        let mut command = cargo::command();
        command.args(["install", "--locked", "--quiet", "--root"]).arg(&tools);
        command.arg(format!("{name}@={version}")).env("CARGO_TARGET_DIR", tools.join("target"));
        succeed(&mut command, "the log's reader could not be installed")?;
        let _ = fs::remove_dir_all(tools.join("target"));
    }
    Ok(program)
}

fn succeed(command: &mut Command, otherwise: &str) -> Result<(), Failure> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("{otherwise}; cargo's own words are above")))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).map_err(|error| cannot("make", directory, &error))?;
    fs::write(path, text).map_err(|error| cannot("write", path, &error))
}

fn cannot(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {action} {}: {error}", path.display()))
}
