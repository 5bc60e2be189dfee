//! Gives the linker the machine's memory map.

use std::path::PathBuf;
use std::{env, fs};

/// RAM from 0x6000_0000; the program, its data and its stack share the first 32 MiB.
const MEMORY: &str = "MEMORY { RAM : ORIGIN = 0x60000000, LENGTH = 32M }
REGION_ALIAS(\"VECTORS\", RAM);
REGION_ALIAS(\"CODE\", RAM);
REGION_ALIAS(\"DATA\", RAM);
REGION_ALIAS(\"STACKS\", RAM);
_sys_stack_size = 0x20000;
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
