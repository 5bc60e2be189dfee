//! The machine: where its devices lie, its interrupts, its clock (ARM DAI 0400, Application Note AN500).

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m_rt::exception;
use embassy_sync::waitqueue::AtomicWaker;
use wavry_parts::lan9118::Lan9118;
use wavry_parts::sp804::Clock;
use wavry_parts::{Mapped, Registers as _};

const TIMER: usize = 0x4000_2000;
const UART: usize = 0x4000_4000;
const ETHERNET: usize = 0xa000_0000;
/// The interrupt controller's enable register (ARMv7-M, B3.4.4).
const ENABLE: usize = 0xe000_e100;

const TIMER_LINE: i16 = 10;
const ETHERNET_LINE: i16 = 13;
/// What the timers are fed, in MHz.
const TICKS_PER_US: u32 = 25;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock::new());

/// Woken when the network card wants to be looked at.
pub static ETHERNET_WAKER: AtomicWaker = AtomicWaker::new();
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// The registers at one of the addresses above.
const fn registers(base: usize) -> Mapped {
    // SAFETY: only called with addresses of this machine's memory map.
    unsafe { Mapped::new(base) }
}

/// The network card.
pub const fn ethernet() -> Mapped {
    registers(ETHERNET)
}

/// Sends a byte of the log, once the UART has room (CMSDK APB UART).
pub fn put(byte: u8) {
    const STATE: usize = 4;
    const FULL: u32 = 1;
    let uart = registers(UART);
    while IS_STARTED.load(Ordering::Relaxed) && uart.read(STATE) & FULL != 0 {}
    uart.write(0, byte.into());
}

/// The stack's lowest word, and the first one above it.
pub fn stack() -> (*mut u32, *const u32) {
    unsafe extern "C" {
        static mut _stack_end: u32;
        static _stack_start: u32;
    }
    (&raw mut _stack_end, &raw const _stack_start)
}

/// Starts the clock and the UART. Interrupts stay masked.
pub fn start() {
    let uart = registers(UART);
    // The least divisor there is; sender on.
    uart.write(0x10, 16);
    uart.write(8, 1);
    IS_STARTED.store(true, Ordering::Relaxed);
    CLOCK.start(registers(TIMER), TICKS_PER_US);
}

/// Lets the devices interrupt.
pub fn unmask_interrupts() {
    registers(ENABLE).write(0, 1 << TIMER_LINE | 1 << ETHERNET_LINE);
}

/// Sleeps until an interrupt, unless there is something to do.
pub fn sleep_unless(has_work: impl FnOnce() -> bool) {
    cortex_m::interrupt::disable();
    if !has_work() {
        cortex_m::asm::wfi();
    }
    // SAFETY: they were enabled before.
    unsafe { cortex_m::interrupt::enable() };
}

/// Every interrupt of a device comes here: there are only two.
#[exception]
unsafe fn DefaultHandler(line: i16) {
    match line {
        TIMER_LINE => CLOCK.on_interrupt(),
        ETHERNET_LINE => Lan9118::on_interrupt(&ethernet(), &ETHERNET_WAKER),
        _ => {}
    }
}
