//! The client for boards on ST's STM32H735G-DK: a Cortex-M7 with Ethernet, a screen of 480 by 272 and a touch panel.
//!
//! It links and fits the chip. It has never run: nobody who wrote it has the board. Pins are those of ST's UM2679, clocks and
//! memory those of RM0468.
//!
//! The host it belongs to is named when it is built, in `WAVRY_HOST=ADDRESS:PORT`.

#![no_std]
#![no_main]

mod entropy;
mod machine;
mod memory;
mod screen;
mod settings;
mod touch;
mod watch;

use embassy_executor::{Executor, Spawner};
use embassy_net::StackResources;
use embassy_stm32::eth::{Ethernet, GenericPhy, Sma};
use embassy_stm32::peripherals;
use rift_embassy::{Addressing, Ipv4Addressing};
use static_cell::StaticCell;
use wavry_thin::{Parts, PinnedHost, Provision};

use entropy::Generator;
use machine::Machine;
use screen::Frame;
use settings::Sectors;
use touch::Panel;
use watch::Watch;

/// The network card, with the transceiver that is on the board.
pub type Card = Ethernet<'static, peripherals::ETH, GenericPhy<Sma<'static, peripherals::ETH_SMA>>>;

/// The client's socket, DHCP, and one to spare.
const SOCKETS: usize = 3;

#[embassy_executor::task]
async fn network(mut runner: embassy_net::Runner<'static, Card>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn client(
    parts: Parts<Frame, Panel, Generator, Sectors, Watch>,
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
    let Machine { card, surface, input, mut entropy, flash, observer } = machine::start();
    let mut seed = [0; 8];
    // Without entropy the stack picks its ports as it did the last time, and the client stops by itself.
    let _ = wavry_thin::Entropy::fill(&mut entropy, &mut seed);
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
    watch::tell_panic(info);
    // SAFETY: nothing else runs any more.
    let mut frame = unsafe { Frame::take() };
    wavry_thin::show_fault(&mut frame, format_args!("{}", info.message()));
    // The watchdog starts the board anew.
    loop {
        cortex_m::asm::wfe();
    }
}
