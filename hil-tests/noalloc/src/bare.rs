//! An entry where nothing is beneath: what a board's own start-up code would call.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

/// 1 = everything was carried, 2 = something was not, 3 = a panic.
static OUTCOME: AtomicU32 = AtomicU32::new(0);
/// Bytes of memory that the session of a side took.
static TAKEN: AtomicU32 = AtomicU32::new(0);

// SAFETY: no other symbol of this program has that name.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let outcome = crate::peers::run();
    let taken = outcome.map_or(0, |report| report.session_bytes + report.memory_bytes);
    TAKEN.store(taken as u32, Ordering::Relaxed);
    OUTCOME.store(if outcome.is_ok() { 1 } else { 2 }, Ordering::Relaxed);
    stop()
}

fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    OUTCOME.store(3, Ordering::Relaxed);
    stop()
}
