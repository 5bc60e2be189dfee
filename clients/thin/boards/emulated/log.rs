//! The log of boards in QEMU: defmt over a UART, and what the client reports.

use core::cell::UnsafeCell;

use defmt::Display2Format;
use wavry_thin::{Footprint, Observer, Report};

use super::stack;
use crate::deep_stack::DeepStack;
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
    /// Where what needs a deep stack runs, if not on the usual one.
    deep: Option<DeepStack>,
    pictures: u32,
    /// Tiles whose hash the host told, and that showed what it said or something else.
    right: u32,
    wrong: u32,
    figures: u32,
    /// Pictures since the last figures, and how long they took from their first datagram to drawn.
    drawn: u32,
    drawn_us: u64,
    drawn_us_max: u64,
}

impl Watch {
    pub const fn new(deep: Option<DeepStack>) -> Self {
        Self { deep, pictures: 0, right: 0, wrong: 0, figures: 0, drawn: 0, drawn_us: 0, drawn_us_max: 0 }
    }
}

/// Says what the memory of a program is spent on, beside its stack: `network` bytes are for the card and the stack above
/// it.
pub fn tell_memory(network: usize) {
    let Footprint { session, sockets } = Footprint::OF_CLIENT;
    defmt::info!("memory: session {=usize}, sockets {=usize}, network {=usize}", session, sockets, network);
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
            Report::Successor(key) => defmt::info!("successor {}", Display2Format(&key)),
            Report::Picture { id, len, checked, wrong, took_us } => {
                self.pictures += 1;
                self.right += checked - wrong;
                self.wrong += wrong;
                self.drawn += 1;
                self.drawn_us += took_us;
                self.drawn_us_max = self.drawn_us_max.max(took_us);
                defmt::debug!("picture {=u32}: {=usize} bytes, {=u64} us", id, len, took_us);
            }
            Report::Refused(error) => defmt::warn!("picture refused: {}", defmt::Debug2Format(&error)),
            Report::Stats(stats) => {
                self.figures += 1;
                defmt::info!(
                    "figures: {=u32} pictures, {=u32} tiles right, {=u32} wrong; drawn in {=u64} us on average, {=u64} at most; \
                     rtt {=u32} us, {=u64} bytes, {=u64} lost, {=u64} datagrams discarded",
                    self.pictures,
                    self.right,
                    self.wrong,
                    self.drawn_us / u64::from(self.drawn.max(1)),
                    self.drawn_us_max,
                    stats.round_trip_us,
                    stats.bytes_received,
                    stats.pictures_lost,
                    stats.discarded_malformed + stats.discarded_authentication + stats.discarded_replay
                );
                (self.drawn, self.drawn_us, self.drawn_us_max) = (0, 0, 0);
                if self.figures % STACK_EVERY == 1 {
                    let (used, size) = stack::used();
                    defmt::info!("stack {=usize} of {=usize}", used, size);
                }
            }
            Report::Input(_) => {}
        }
    }

    fn alive(&mut self) {}

    fn with_deep_stack(&mut self, work: &mut dyn FnMut()) {
        let Some(deep) = &mut self.deep else { return work() };
        deep.run(work);
        let (used, size) = deep.used();
        defmt::info!("deep {=usize} of {=usize}", used, size);
    }
}
