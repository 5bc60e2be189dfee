//! The machine: which Debian packages are needed, which are missing, and how they come here.
//!
//! The lists below are the only place that names packages. This module refuses to guess on systems without dpkg: it
//! says what would be needed and leaves the rest to their owners.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use crate::args::Setup;
use crate::{Failure, say};

/// Packages that are needed for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The purpose, as shown to people.
    pub purpose: &'static str,
    /// Debian package names.
    pub packages: &'static [&'static str],
}

/// To build everything and to run the tests and the demo.
pub const BUILD: Group = Group {
    purpose: "build and tests",
    packages: &[
        // compilers and binding generators
        "build-essential",
        "clang",
        "libclang-dev",
        "cmake",
        "nasm",
        "pkg-config",
        // codecs
        "libx264-dev",
        "libavcodec-dev",
        "libavutil-dev",
        // sound
        "libasound2-dev",
        "libopus-dev",
        // loaded at run time by the window
        "libx11-6",
        "libxcursor1",
        "libxkbcommon0",
        "libwayland-client0",
        "libwayland-cursor0",
        // virtual screens and what lives on them
        "xvfb",
        "xauth",
        "xterm",
        "openbox",
        "xdotool",
        "x11-utils",
        "x11-xkb-utils",
        "x11-xserver-utils",
        // bad links between namespaces, in the VM
        "iproute2",
        // STUN as others speak it
        "coturn",
        // NATs between namespaces
        "nftables",
        // A router that opens ports upon request: the daemon alone, which nothing starts (`miniupnpd` would bring a service).
        "miniupnpd-nftables",
        // The operators' page of the gateway is tried in a browser.
        "chromium",
        "chromium-driver",
        "procps",
    ],
};

/// Rivals, to measure beside.
pub const BENCH: Group = Group {
    purpose: "rivals for benchmarks",
    packages: &[
        "x11vnc",
        "tigervnc-viewer",
        "tigervnc-scraping-server",
        "tigervnc-common",
        "gstreamer1.0-tools",
        "gstreamer1.0-x",
        "gstreamer1.0-plugins-base",
        "gstreamer1.0-plugins-good",
        "gstreamer1.0-plugins-bad",
        "gstreamer1.0-plugins-ugly",
        "gstreamer1.0-libav",
        // the relay's, and the wires between
        "coturn",
        "ethtool",
        "iproute2",
    ],
};

/// To build programs of boards: a compiler that stands beside any other, its sources, a linker.
pub const BOARD: Group =
    Group { purpose: "programs of boards", packages: &["rustc-web", "rust-web-src", "lld-22"] };

/// To compile for 64-bit ARM and to run what was compiled.
pub const ARM: Group = Group {
    purpose: "programs for ARM",
    packages: &[
        "rustc-web",
        "rust-web-src",
        "gcc-aarch64-linux-gnu",
        "libc6-dev-arm64-cross",
        "qemu-user-static",
    ],
};

/// To read what the compiler's counters counted: the LLVM that it has itself.
pub const COVERAGE: Group = Group { purpose: "coverage", packages: &["llvm-22"] };

/// Who runs the rig, as far as installing is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installer {
    /// Already root.
    Root,
    /// Through sudo, which may ask for a password on the terminal.
    Sudo,
    /// Somebody else has to do it.
    Nobody,
}

/// Makes sure that the packages of these groups and the toolchain's components are there.
///
/// # Errors
/// Exit code 2 when only the machine's owner can go on (no apt, no right to install, declined, a component is missing);
/// 1 when apt-get failed.
pub fn run(options: Setup, groups: &[&Group]) -> Result<(), Failure> {
    if options.skip {
        say::progress("setup: skipped, the machine is taken as it is");
        return Ok(());
    }
    for group in groups {
        install_group(options, group)?;
    }
    components()
}

fn install_group(options: Setup, group: &Group) -> Result<(), Failure> {
    let wanted = group.packages;
    let answer = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Abbrev}\n"])
        .args(wanted)
        .stderr(Stdio::null())
        .output()
        .map_err(|error| {
            Failure::unusable(format!(
                "cannot ask dpkg-query what is installed ({error}). On a system without Debian packages, install what \
                 corresponds to these and pass --no-setup:\n  {}",
                wanted.join(" ")
            ))
        })?;
    let missing = missing(wanted, &String::from_utf8_lossy(&answer.stdout));
    if missing.is_empty() {
        say::progress(format_args!(
            "setup: all {} packages for {} are installed",
            wanted.len(),
            group.purpose
        ));
        return Ok(());
    }
    say::progress(format_args!("setup: missing for {}: {}", group.purpose, missing.join(" ")));
    let installer = installer();
    if installer == Installer::Nobody {
        return Err(by_hand("there is neither root nor sudo to install packages", &missing));
    }
    let terminal = io::stdin().is_terminal();
    if terminal && !options.yes && !agreed(&missing) {
        return Err(by_hand("declined", &missing));
    }
    apt(installer, terminal, &missing)
}

/// Fetches the archive's lists of packages.
///
/// # Errors
/// Exit code 2 when this user may not, with the line to run; 1 when it did not succeed.
pub(crate) fn update_lists() -> Result<(), Failure> {
    let installer = installer();
    if installer == Installer::Nobody {
        return Err(Failure::unusable(
            "apt's lists of packages are missing or old. As root, run:\n  apt-get update",
        ));
    }
    say::progress("setup: apt-get update");
    if apt_get(installer, io::stdin().is_terminal(), &["update"])? {
        return Ok(());
    }
    Err(Failure::failed("apt-get update did not succeed; its own words are above"))
}

/// Those of `wanted` that are not fully installed, by dpkg-query's lines `NAME STATUS`.
#[must_use]
pub fn missing<'a>(wanted: &[&'a str], status: &str) -> Vec<&'a str> {
    let installed: Vec<&str> = status
        .lines()
        .filter_map(|line| line.split_once(' '))
        // Second letter = state, third = error flag; the first is only what somebody wishes for ("hi" is installed).
        .filter(|(_, status)| status.as_bytes().get(1) == Some(&b'i') && status.trim_end().len() == 2)
        .map(|(name, _)| name)
        .collect();
    wanted.iter().copied().filter(|name| !installed.contains(name)).collect()
}

/// The line a person would type to install these.
#[must_use]
pub fn apt_line(packages: &[&str]) -> String {
    format!("apt-get update && apt-get install --yes --no-install-recommends {}", packages.join(" "))
}

fn by_hand(why: &str, packages: &[&str]) -> Failure {
    Failure::unusable(format!("{why}. As root, run:\n  {}", apt_line(packages)))
}

fn installer() -> Installer {
    let user = Command::new("id").arg("-u").output();
    if user.is_ok_and(|user| user.stdout.trim_ascii() == b"0") {
        return Installer::Root;
    }
    let sudo = Command::new("sudo").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if sudo.is_ok_and(|status| status.success()) { Installer::Sudo } else { Installer::Nobody }
}

fn agreed(packages: &[&str]) -> bool {
    eprint!("Run `{}` now? [y/N] ", apt_line(packages));
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn apt(installer: Installer, terminal: bool, packages: &[&str]) -> Result<(), Failure> {
    say::progress("setup: apt-get update");
    if !apt_get(installer, terminal, &["update"])? {
        say::progress("setup: apt-get update failed; trying with the package lists that are here");
    }
    say::progress(format_args!("setup: apt-get install ({} packages)", packages.len()));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    if apt_get(installer, terminal, &arguments)? {
        say::progress("setup: installed");
        return Ok(());
    }
    if installer == Installer::Sudo {
        return Err(by_hand("sudo apt-get install did not succeed", packages));
    }
    Err(Failure::failed(format!(
        "apt-get install failed; its own words are above. To try again by hand:\n  {}",
        apt_line(packages)
    )))
}

fn apt_get(installer: Installer, terminal: bool, arguments: &[&str]) -> Result<bool, Failure> {
    let mut command = match installer {
        Installer::Root | Installer::Nobody => Command::new("apt-get"),
        Installer::Sudo => {
            let mut sudo = Command::new("sudo");
            if !terminal {
                sudo.arg("-n");
            }
            sudo.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            sudo
        }
    };
    let status = command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(arguments)
        .stdin(if terminal { Stdio::inherit() } else { Stdio::null() })
        .status()
        .map_err(|error| Failure::unusable(format!("cannot run apt-get: {error}")))?;
    Ok(status.success())
}

/// clippy and rustfmt come with the toolchain, not with Debian.
fn components() -> Result<(), Failure> {
    let missing: Vec<&str> = [("clippy", "clippy"), ("fmt", "rustfmt")]
        .into_iter()
        .filter(|(subcommand, _)| !crate::cargo::answers(&[subcommand, "--version"]))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        say::progress("setup: cargo, clippy and rustfmt are there");
        return Ok(());
    }
    Err(Failure::unusable(format!(
        "the Rust toolchain lacks {}. With rustup:\n  rustup component add {}\nwithout it, install the package your \
         toolchain's maker offers",
        missing.join(" and "),
        missing.join(" ")
    )))
}
