//! The client for boards on QEMU's mps2-an500 (a Cortex-M7), as a microcontroller would run it: 256 KiB of flash, 192 KiB of
//! RAM, pixels and pictures in memory beside it. It has no screen and no keyboard: it tells a hash of what would show.
//!
//! Settings last as long as the emulator runs. It has run in QEMU only.

#![no_std]
#![no_main]

#[path = "../../cortex_m/deep_stack.rs"]
mod deep_stack;
#[path = "../../emulated/mod.rs"]
mod emulated;
mod machine;
mod memory;

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m_rt::entry;
use embassy_executor::raw;
use embassy_net::StackResources;
use rift_embassy::{Addressing, Ipv4Addressing};
use static_cell::StaticCell;
use wavry_parts::Mapped;
use wavry_parts::lan9118::Lan9118;
use wavry_thin::Parts;

use emulated::log::Watch;
use emulated::semihost::Emulator;
use emulated::{semihost, stack};
use memory::{Frame, NoHands, Volatile};

#[embassy_executor::task]
async fn network(mut runner: embassy_net::Runner<'static, Lan9118<Mapped>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn client(parts: Parts<Frame, NoHands, Emulator, Volatile, Watch>, stack: embassy_net::Stack<'static>) {
    // SAFETY: this task runs once.
    let room = unsafe { memory::take() };
    let fault = wavry_thin::run(parts, semihost::provision(), stack, room).await;
    defmt::error!("fault: {}", defmt::Display2Format(&fault));
}

/// The client's socket, DHCP, and one to spare.
const SOCKETS: usize = 3;

/// Whether the executor has something to do.
static PENDED: AtomicBool = AtomicBool::new(false);

#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    PENDED.store(true, Ordering::SeqCst);
}

/// Switches everything on. A function of its own: what it needs of the stack for that is free again afterwards.
#[inline(never)]
fn begin() -> &'static raw::Executor {
    machine::start();
    defmt::info!("wavry-thin on mps2-an500");
    let card = match Lan9118::new(machine::ethernet(), &machine::ETHERNET_WAKER) {
        Ok(card) => card,
        Err(no_chip) => defmt::panic!("no LAN9118 answers: {=u32:08x}", no_chip.0),
    };
    emulated::log::tell_memory(size_of::<Lan9118<Mapped>>() + size_of::<StackResources<SOCKETS>>());
    // Only now do all interrupt lines have their true level.
    machine::unmask_interrupts();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let addressing = Addressing { ipv4: Ipv4Addressing::Dhcp, ipv6: None };
    let configuration = rift_embassy::configuration(&addressing);
    let seed = semihost::seed();
    let (stack, runner) = embassy_net::new(card, configuration, RESOURCES.init(StackResources::new()), seed);
    // SAFETY: called once, as this is.
    let (surface, flash, deep) = unsafe { (Frame::take(), Volatile::take(), memory::deep_stack()) };
    let observer = Watch::new(Some(deep));
    let parts = Parts { surface, input: NoHands, entropy: Emulator, flash, observer };
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    let spawner = executor.spawner();
    spawner.spawn(network(runner).expect("there is room for each task once"));
    spawner.spawn(client(parts, stack).expect("there is room for each task once"));
    executor
}

#[entry]
fn main() -> ! {
    stack::paint();
    let executor = begin();
    loop {
        // SAFETY: the executor is polled here alone, and never from within itself.
        unsafe { executor.poll() };
        machine::sleep_unless(|| PENDED.swap(false, Ordering::SeqCst));
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("panic: {}", defmt::Display2Format(info));
    semihosting::process::exit(1)
}
