//! Gives the linker the chip's memory map (ST RM0468, "Memory organization").

use std::path::PathBuf;
use std::{env, fs};

/// Variables and the stack lie in the fastest RAMs, which only the processor reaches, the stack where one that overflows leaves
/// the memory; pixels and pictures in the largest,
/// which the screen's controller reads; frames of the network in the one nearest to it. The last two sectors of the flash
/// memory hold the settings. What lies in a section of its own is not cleared at the start.
const MEMORY: &str = "MEMORY {
  FLASH : ORIGIN = 0x08000000, LENGTH = 768K
  ITCM : ORIGIN = 0x00000000, LENGTH = 64K
  RAM : ORIGIN = 0x20000000, LENGTH = 128K
  AXI : ORIGIN = 0x24000000, LENGTH = 320K
  SRAM : ORIGIN = 0x30000000, LENGTH = 32K
}
SECTIONS {
  .pixels (NOLOAD) : ALIGN(32) { *(.pixels .pixels.*) } > AXI
  .frames (NOLOAD) : ALIGN(32) { *(.frames .frames.*) } > SRAM
} INSERT AFTER .uninit;
_stack_start = ORIGIN(ITCM) + LENGTH(ITCM);
_stack_end = ORIGIN(ITCM);
";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("memory.x"), MEMORY).expect("cargo's directory can be written");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    if env::var_os("CARGO_FEATURE_LOG").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WAVRY_HOST");
}
