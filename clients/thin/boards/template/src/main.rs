//! The client for boards on a board that is not there yet: a Cortex-M with floating point, and nothing else.
//!
//! It builds, links and would start; every device says that it is not there, so the client shows why it cannot go on and
//! stops. Whoever has a board copies this directory and replaces what is marked HERE, file by file; the guide is in
//! `../README.md`.
//!
//! The host it belongs to may be named when it is built, in `WAVRY_HOST=ADDRESS:PORT`; otherwise it finds one.

#![no_std]
#![no_main]

mod clock;
mod entropy;
mod hands;
mod memory;
mod network;
mod settings;
mod surface;
mod watch;

use embassy_executor::{Executor, Spawner};
use embassy_net::StackResources;
use rift_embassy::{Addressing, Ipv4Addressing};
use static_cell::StaticCell;
use wavry_thin::{Entropy as _, Parts, PinnedHost, Provision};

use entropy::Generator;
use hands::Hands;
use network::Card;
use settings::Blocks;
use surface::Frame;
use watch::Watch;

/// The client's socket, DHCP, and one to spare.
const SOCKETS: usize = 3;

#[embassy_executor::task]
async fn network(mut runner: embassy_net::Runner<'static, Card>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn client(
    parts: Parts<Frame, Hands, Generator, Blocks, Watch>,
    stack: embassy_net::Stack<'static>,
) -> ! {
    // SAFETY: this task runs once.
    let room = unsafe { memory::take() };
    let fault = wavry_thin::run(parts, provision(), stack, room).await;
    watch::tell_fault(fault);
    // It says why on the screen. To start again would write the flash memory each time.
    loop {
        watch::pet();
        embassy_time::Timer::after_secs(1).await;
    }
}

/// The host named when the program was built, if one was.
fn provision() -> Provision {
    let address = option_env!("WAVRY_HOST").and_then(|text| text.parse().ok());
    Provision::of(address.map(|address| PinnedHost { address, key: None, successor: None }))
}

fn begin(spawner: Spawner) {
    // HERE: clocks and pins, as the board has them; then its devices.
    clock::start();
    let observer = Watch::start();
    // SAFETY: this runs once, and before it nobody shows anything.
    let surface = unsafe { Frame::take() };
    let (input, mut entropy, flash, card) = (Hands, Generator, Blocks, Card);
    let mut seed = [0; 8];
    // Without entropy the stack picks its ports as it did the last time, and the client stops by itself.
    let _ = entropy.fill(&mut seed);
    let addressing = Addressing { ipv4: Ipv4Addressing::Dhcp, ipv6: None };
    let configuration = rift_embassy::configuration(&addressing);
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let resources = RESOURCES.init_with(StackResources::new);
    let (stack, runner) = embassy_net::new(card, configuration, resources, u64::from_le_bytes(seed));
    let parts = Parts { surface, input, entropy, flash, observer };
    spawner.spawn(network(runner).expect("there is room for each task once"));
    spawner.spawn(client(parts, stack).expect("there is room for each task once"));
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    EXECUTOR.init_with(Executor::new).run(begin)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: nothing else runs any more.
    let mut frame = unsafe { Frame::take() };
    wavry_thin::show_fault(&mut frame, format_args!("{}", info.message()));
    // The watchdog starts the board anew.
    loop {
        cortex_m::asm::wfe();
    }
}
