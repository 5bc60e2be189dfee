//! On Linux links without the start-up files: the program brings its own entry, and of the C library only what copies
//! memory, writes and exits. A use of `alloc` or `std` anywhere below is then a build error.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-link-arg-bins=-nostartfiles");
        println!("cargo:rustc-link-arg-bins=-lc");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
