//! The program's allocator: the system's, counted.
//!
//! Counting every thread together shows whether a steady state allocates at all; counting one thread shows what a
//! piece of work on it keeps.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::alloc::System;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Allocations of all threads since the program began.
pub(super) fn total() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Bytes that this thread has allocated and not freed.
pub(super) fn live_here() -> i64 {
    LIVE.get()
}

struct Counted;

impl Counted {
    fn note(allocated: usize, freed: usize) {
        // A thread that is ending has no place for its count any more.
        let _ = LIVE.try_with(|live| {
            live.set(live.get().wrapping_add_unsigned(allocated as u64).wrapping_sub_unsigned(freed as u64));
        });
        if allocated > 0 {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call is handed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::note(0, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::note(new_size, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;
