//! Gives the linker the machine's memory map.

use std::path::PathBuf;
use std::{env, fs};

/// What a microcontroller has: 256 KiB of flash, 192 KiB of RAM. Pixels and pictures lie in memory beside it, which is not
/// cleared at the start.
const MEMORY: &str = "MEMORY {
  FLASH : ORIGIN = 0x00000000, LENGTH = 256K
  RAM : ORIGIN = 0x20000000, LENGTH = 192K
  EXTERNAL : ORIGIN = 0x60000000, LENGTH = 16M
}
SECTIONS {
  .external (NOLOAD) : ALIGN(8) { *(.external .external.*) } > EXTERNAL
} INSERT AFTER .uninit;
_stack_end = ADDR(.uninit) + SIZEOF(.uninit);
";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("memory.x"), MEMORY).expect("cargo's directory can be written");
    println!("cargo:rustc-link-search={}", out.display());
    for script in ["link.x", "defmt.x"] {
        println!("cargo:rustc-link-arg=-T{script}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
