//! What becomes of memory that encoders gave back.
//!
//! It knows the C library's allocator and nothing of encoders. Invariant: what the process keeps of freed memory is
//! bounded by [`LARGE`] and [`KEPT`], whatever sizes of pictures it has seen.

#![expect(unsafe_code, reason = "the allocator is the C library's")]

/// A block of so many bytes goes back to the system as soon as it is freed: more than a picture of 800×600 takes, of
/// which libx264 keeps up to 17, and than an encoder has for coded bytes. Smaller ones are used again, because a change
/// between small modes need not fault every page in anew.
const LARGE: i32 = 5 << 18;

/// Freed blocks in a row kept for use again, in bytes: the pictures of an encoder whose blocks are not [`LARGE`].
const KEPT: i32 = 32 << 20;

/// Has this process give memory back that large pictures took, for as long as it runs. Returns whether it will;
/// `false` where the C library is not GNU's, whose allocator this sets. Call it before the first encoder is made.
///
/// By itself that allocator learns from the first large block that is freed to take such blocks out of a heap, which
/// then never shrinks below its uppermost block: a host that has shown 1920×1080 for a moment keeps 55 MB for good.
/// It is for the program to call because it concerns all of its memory (glibc, `mallopt(3)`, `M_MMAP_THRESHOLD`).
pub fn release_large_blocks() -> bool {
    set_thresholds()
}

#[cfg(target_env = "gnu")]
fn set_thresholds() -> bool {
    // SAFETY: takes two numbers, and the allocator's own lock.
    let is_large_set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) } == 1;
    // SAFETY: as above.
    let is_kept_set = unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) } == 1;
    is_large_set && is_kept_set
}

#[cfg(not(target_env = "gnu"))]
const fn set_thresholds() -> bool {
    false
}
