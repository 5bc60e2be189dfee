//! The log of boards in QEMU: defmt over a UART, and what the client reports.

use core::cell::UnsafeCell;

use defmt::Display2Format;
use wavry_thin::{Observer, Report};

use super::stack;
use crate::machine;

/// Writes frames of defmt to the UART; waits for room in it.
#[defmt::global_logger]
struct Uart;

struct Encoding {
    encoder: UnsafeCell<defmt::Encoder>,
    restore: UnsafeCell<critical_section::RestoreState>,
}

// SAFETY: it is touched between `acquire` and `release` only, where nothing interrupts, on the only processor.
unsafe impl Sync for Encoding {}

static ENCODING: Encoding = Encoding {
    encoder: UnsafeCell::new(defmt::Encoder::new()),
    restore: UnsafeCell::new(critical_section::RestoreState::invalid()),
};

fn put(bytes: &[u8]) {
    bytes.iter().for_each(|&byte| machine::put(byte));
}

// SAFETY: a frame is begun with interrupts off and ended before they are on again, so frames do not mix.
unsafe impl defmt::Logger for Uart {
    fn acquire() {
        // SAFETY: released in `release`, which follows every `acquire`.
        let restore = unsafe { critical_section::acquire() };
        // SAFETY: nothing interrupts from here to `release`.
        unsafe { *ENCODING.restore.get() = restore };
        // SAFETY: as above.
        let encoder = unsafe { &mut *ENCODING.encoder.get() };
        encoder.start_frame(put);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: between `acquire` and `release`.
        let encoder = unsafe { &mut *ENCODING.encoder.get() };
        encoder.end_frame(put);
        // SAFETY: as above.
        let restore = unsafe { *ENCODING.restore.get() };
        // SAFETY: it is what `acquire` was given.
        unsafe { critical_section::release(restore) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: between `acquire` and `release`.
        let encoder = unsafe { &mut *ENCODING.encoder.get() };
        encoder.write(bytes, put);
    }
}

/// How many figures of a session go by between two looks at the stack.
const STACK_EVERY: u32 = 5;

/// Logs what the client reports. There is no watchdog in the emulator.
pub struct Watch {
    pictures: u32,
    /// Tiles whose hash the host told, and that showed what it said or something else.
    right: u32,
    wrong: u32,
    figures: u32,
}

impl Watch {
    pub const fn new() -> Self {
        Self { pictures: 0, right: 0, wrong: 0, figures: 0 }
    }
}

impl Observer for Watch {
    fn report(&mut self, report: Report<'_>) {
        match report {
            Report::Identity(key, boots) => {
                defmt::info!("identity {} start {=u32}", Display2Format(&key), boots)
            }
            Report::Address(address) => defmt::info!("address {}", Display2Format(&address)),
            Report::Stage(stage) => defmt::info!("stage {}", defmt::Debug2Format(&stage)),
            Report::Pin(pin) => defmt::info!("pin {=str}", pin),
            Report::Paired(key) => defmt::info!("paired {}", Display2Format(&key)),
            Report::Picture { id, len, checked, wrong, took_us } => {
                self.pictures += 1;
                self.right += checked - wrong;
                self.wrong += wrong;
                defmt::debug!("picture {=u32}: {=usize} bytes, {=u64} us", id, len, took_us);
            }
            Report::Refused(error) => defmt::warn!("picture refused: {}", defmt::Debug2Format(&error)),
            Report::Stats(stats) => {
                self.figures += 1;
                defmt::info!(
                    "figures: {=u32} pictures, {=u32} tiles right, {=u32} wrong; rtt {=u32} us, {=u64} bytes, {=u64} lost",
                    self.pictures,
                    self.right,
                    self.wrong,
                    stats.round_trip_us,
                    stats.bytes_received,
                    stats.pictures_lost
                );
                if self.figures % STACK_EVERY == 1 {
                    let (used, size) = stack::used();
                    defmt::info!("stack {=usize} of {=usize}", used, size);
                }
            }
            Report::Input(_) => {}
        }
    }

    fn alive(&mut self) {}
}
