//! The machine: where its devices lie, its interrupts, its clock (ARM DUI 0447, DUI 0448).

use embassy_sync::waitqueue::AtomicWaker;
use wavry_parts::lan9118::Lan9118;
use wavry_parts::sp804::Clock;
use wavry_parts::{Mapped, Registers as _};

const FLASH: usize = 0x4000_0000;
const ETHERNET: usize = 0x4e00_0000;
const KEYBOARD: usize = 0x1000_6000;
const MOUSE: usize = 0x1000_7000;
const UART: usize = 0x1000_9000;
const TIMER: usize = 0x1001_1000;
const SCREEN: usize = 0x1002_0000;
const DISTRIBUTOR: usize = 0x1e00_1000;
const INTERFACE: usize = 0x1e00_0100;

/// Shared peripheral interrupts begin here at the interrupt controller.
const SHARED: u32 = 32;
const TIMER_LINE: u32 = SHARED + 2;
const KEYBOARD_LINE: u32 = SHARED + 12;
const MOUSE_LINE: u32 = SHARED + 13;
const ETHERNET_LINE: u32 = SHARED + 15;
const LINES: [u32; 4] = [TIMER_LINE, KEYBOARD_LINE, MOUSE_LINE, ETHERNET_LINE];
/// What the controller says when nobody asks for attention.
const SPURIOUS: u32 = 1023;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock::new());

/// Woken when the network card wants to be looked at.
pub static ETHERNET_WAKER: AtomicWaker = AtomicWaker::new();

/// The registers at one of the addresses above.
const fn registers(base: usize) -> Mapped {
    // SAFETY: only called with addresses of this machine's memory map.
    unsafe { Mapped::new(base) }
}

/// The network card.
pub const fn ethernet() -> Mapped {
    registers(ETHERNET)
}

/// The first flash memory.
pub const fn flash() -> Mapped {
    registers(FLASH)
}

/// The screen's controller.
pub const fn screen() -> Mapped {
    registers(SCREEN)
}

/// The keyboard's port.
pub const fn keyboard() -> Mapped {
    registers(KEYBOARD)
}

/// The mouse's port.
pub const fn mouse() -> Mapped {
    registers(MOUSE)
}

/// Sends a byte of the log, once the UART has room (PL011).
pub fn put(byte: u8) {
    const FLAGS: usize = 0x18;
    const FULL: u32 = 1 << 5;
    let uart = registers(UART);
    while uart.read(FLAGS) & FULL != 0 {}
    uart.write(0, byte.into());
}

/// The stack's lowest word, and the first one above it.
pub fn stack() -> (*mut u32, *const u32) {
    unsafe extern "C" {
        static mut _sys_stack_low_end: u32;
        static _sys_stack_high_end: u32;
    }
    (&raw mut _sys_stack_low_end, &raw const _sys_stack_high_end)
}

/// Points the processor at the vector table and starts the clock and the UART. Interrupts stay masked.
pub fn start() {
    unsafe extern "C" {
        static _vector_table: u32;
    }
    let table = &raw const _vector_table as u32;
    // SAFETY: the table is the linker's, and nothing interrupts yet.
    unsafe { core::arch::asm!("mcr p15, 0, {}, c12, c0, 0", in(reg) table) };
    // PL011: enabled, sender and receiver.
    registers(UART).write(0x30, 1 << 9 | 1 << 8 | 1);
    CLOCK.start(registers(TIMER), 1);
}

/// Lets the devices interrupt.
pub fn unmask_interrupts() {
    let distributor = registers(DISTRIBUTOR);
    distributor.write(0, 0);
    for line in LINES {
        let (word, bit) = (line as usize / 32 * 4, line % 32);
        distributor.write(0x100 + word, 1 << bit);
        let (word, shift) = (line as usize / 4 * 4, line % 4 * 8);
        let with = |offset: usize, byte: u32| {
            let old = distributor.read(offset + word) & !(0xff << shift);
            distributor.write(offset + word, old | byte << shift);
        };
        // The same priority for all; the only processor.
        with(0x400, 0x80);
        with(0x800, 1);
    }
    distributor.write(0, 1);
    let interface = registers(INTERFACE);
    interface.write(4, 0xff);
    interface.write(0, 1);
    // SAFETY: every line that is unmasked has its handler below.
    unsafe { aarch32_cpu::interrupt::enable() };
}

/// Sleeps until an interrupt, unless there is something to do.
pub fn sleep_unless(has_work: impl FnOnce() -> bool) {
    aarch32_cpu::interrupt::disable();
    if !has_work() {
        aarch32_cpu::asm::wfi();
    }
    // SAFETY: they were enabled before.
    unsafe { aarch32_cpu::interrupt::enable() };
}

#[aarch32_rt::irq]
fn on_interrupt() {
    let interface = registers(INTERFACE);
    let acknowledged = interface.read(0xc);
    match acknowledged & 0x3ff {
        TIMER_LINE => CLOCK.on_interrupt(),
        ETHERNET_LINE => Lan9118::on_interrupt(&ethernet(), &ETHERNET_WAKER),
        KEYBOARD_LINE => crate::hands::on_keyboard(),
        MOUSE_LINE => crate::hands::on_mouse(),
        SPURIOUS => return,
        _ => {}
    }
    interface.write(0x10, acknowledged);
}
