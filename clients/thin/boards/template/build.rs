//! Gives the linker the chip's memory map.

use std::path::PathBuf;
use std::{env, fs};

/// HERE: the chip's own memories. The client wants some 125 KiB of RAM for its variables and 64 KiB of stack (or 24, with a
/// deep stack elsewhere), and as much again as its pixels and two picture buffers take, of which pixels may lie in a
/// section of their own. What the settings are kept in is left out of `FLASH`.
const MEMORY: &str = "MEMORY {
  FLASH : ORIGIN = 0x08000000, LENGTH = 512K
  RAM : ORIGIN = 0x20000000, LENGTH = 512K
}
";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("memory.x"), MEMORY).expect("cargo's directory can be written");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WAVRY_HOST");
}
