//! Compiles the kernel's part with clang. Without one there is an empty program, and `Forwarder::load` says so.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/forward.bpf.c";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CLANG");
    let object = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says it")).join("forward.bpf.o");
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo says it");
    let status = Command::new(&clang)
        .args(["-O2", "-g0", "-target", "bpfel", "-mcpu=v3", "-std=gnu11", "-Wall", "-Wextra", "-Werror"])
        // Where Debian has the kernel's headers of an architecture.
        .arg(format!("-I/usr/include/{architecture}-linux-gnu"))
        .args(["-c", SOURCE, "-o"])
        .arg(&object)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => panic!(
            "{} cannot compile {SOURCE}; are the kernel's headers there (linux-libc-dev)? CLANG= builds without it",
            clang.display()
        ),
        Err(error) => {
            println!("cargo::warning=relays are built without --ebpf: {}: {error}", clang.display());
            fs::write(&object, []).expect("the directory is cargo's");
        }
    }
}
