//! The client for boards on QEMU's vexpress-a9 (ARM Versatile Express with a Cortex-A9 daughterboard).
//!
//! Screen (PL111), PS/2 keyboard and mouse (PL050), Ethernet (LAN9118), settings in the board's CFI flash, log over a
//! UART by defmt. What a real board has of its own comes from the emulator by semihosting: random bytes, and on the command
//! line the host it belongs to (`host=ADDRESS:PORT`, `id=WAVRY-ID`) and the gateway that
//! knows it (`gateway=ADDRESS:PORT/WAVRY-ID`, `token=TOKEN`).
//!
//! It has run in QEMU only. Caches and the MMU stay off, which silicon would be slow with.

#![no_std]
#![no_main]

mod deep_stack;
#[path = "../../emulated/mod.rs"]
mod emulated;
mod frame;
mod gateway;
mod hands;
mod machine;
mod memory;

use core::sync::atomic::{AtomicBool, Ordering};

use aarch32_rt::entry;
use embassy_executor::raw;
use embassy_net::StackResources;
use rift_embassy::{Addressing, Ipv4Addressing};
use static_cell::StaticCell;
use wavry_parts::Mapped;
use wavry_parts::cfi_flash::CfiFlash;
use wavry_parts::lan9118::Lan9118;
use wavry_thin::Parts;

use emulated::log::Watch;
use emulated::semihost::Emulator;
use emulated::{semihost, stack};
use frame::Frame;
use hands::Hands;

type AllParts = Parts<Frame, Hands, Emulator, CfiFlash<Mapped>, Watch>;

#[embassy_executor::task]
async fn network(mut runner: embassy_net::Runner<'static, Lan9118<Mapped>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn client(parts: AllParts, stack: embassy_net::Stack<'static>) {
    // SAFETY: this task runs once.
    let room = unsafe { memory::take() };
    let provision = semihost::provision().with_gateway(gateway::named());
    let fault = wavry_thin::run(parts, provision, stack, room).await;
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

#[entry]
fn main() -> ! {
    stack::paint();
    machine::start();
    defmt::info!("wavry-thin on vexpress-a9");
    // SAFETY: the program's one thread, once.
    let frame = unsafe { Frame::take() };
    let hands = Hands::start();
    let card = match Lan9118::new(machine::ethernet(), &machine::ETHERNET_WAKER) {
        Ok(card) => card,
        Err(no_chip) => defmt::panic!("no LAN9118 answers: {=u32:08x}", no_chip.0),
    };
    emulated::log::tell_memory(size_of::<Lan9118<Mapped>>() + size_of::<StackResources<SOCKETS>>());
    // Only now do all interrupt lines have their true level.
    machine::unmask_interrupts();

    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let configuration = rift_embassy::configuration(&Addressing { ipv4: Ipv4Addressing::Dhcp, ipv6: None });
    let seed = semihost::seed();
    let (stack, runner) = embassy_net::new(card, configuration, RESOURCES.init(StackResources::new()), seed);
    let (flash, observer) = (CfiFlash::new(machine::flash(), 0), Watch::new(None));
    let parts = Parts { surface: frame, input: hands, entropy: Emulator, flash, observer };
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    let spawner = executor.spawner();
    spawner.spawn(network(runner).expect("there is room for each task once"));
    spawner.spawn(client(parts, stack).expect("there is room for each task once"));
    loop {
        // SAFETY: the executor is polled here alone, and never from within itself.
        unsafe { executor.poll() };
        machine::sleep_unless(|| PENDED.swap(false, Ordering::SeqCst));
    }
}
