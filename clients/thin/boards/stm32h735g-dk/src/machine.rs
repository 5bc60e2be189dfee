//! The machine: its clocks, and which pin of the chip leads where (ST UM2679, "STM32H735G-DK I/O assignment").

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use embassy_stm32::eth::{self, Ethernet, PacketQueue};
use embassy_stm32::flash::Flash;
use embassy_stm32::gpio::{AfType, Flex, Level, Output, OutputType, Speed};
use embassy_stm32::i2c::{self, I2c};
use embassy_stm32::ltdc::{self, Ltdc};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::time::Hertz;
use embassy_stm32::{Config, bind_interrupts, peripherals, uid};

use crate::Card;
use crate::entropy::Generator;
use crate::screen::Frame;
use crate::settings::Sectors;
use crate::touch::Panel;
use crate::watch::Watch;

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    LTDC => ltdc::InterruptHandler<peripherals::LTDC>;
    HASH_RNG => rng::InterruptHandler<peripherals::RNG>;
});

/// Frames on their way between the card and the stack each way.
const FRAMES: usize = 4;
#[unsafe(link_section = ".frames")]
static mut QUEUE: MaybeUninit<PacketQueue<FRAMES, FRAMES>> = MaybeUninit::uninit();

/// What the machine is made of.
pub struct Machine {
    pub card: Card,
    pub surface: Frame,
    pub input: Panel,
    pub entropy: Generator,
    pub flash: Sectors,
    pub observer: Watch,
}

/// From the crystal of 25 MHz: 520 MHz for the processor, half of that for its buses, 9.6 MHz for pixels.
fn clocks() -> Config {
    use embassy_stm32::rcc::{
        AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllDiv, PllMul, PllPreDiv, PllSource, SupplyConfig,
        Sysclk, VoltageScale,
    };
    let pll = |mul, divp, divq, divr| {
        let (source, prediv) = (PllSource::HSE, PllPreDiv::DIV5);
        Some(Pll { source, prediv, mul, divp: Some(divp), divq: Some(divq), divr: Some(divr) })
    };
    let mut config = Config::default();
    config.rcc.hse = Some(Hse { freq: Hertz(25_000_000), mode: HseMode::Oscillator });
    config.rcc.supply_config = SupplyConfig::DirectSMPS;
    config.rcc.voltage_scale = VoltageScale::Scale0;
    config.rcc.pll1 = pll(PllMul::MUL104, PllDiv::DIV1, PllDiv::DIV4, PllDiv::DIV2);
    config.rcc.pll3 = pll(PllMul::MUL160, PllDiv::DIV2, PllDiv::DIV2, PllDiv::DIV83);
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV2;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.apb3_pre = APBPrescaler::DIV2;
    config.rcc.apb4_pre = APBPrescaler::DIV2;
    config
}

/// Switches everything on. Called once.
pub fn start() -> Machine {
    let p = embassy_stm32::init(clocks());
    let observer = Watch::start(p.IWDG1);
    // SAFETY: this runs once.
    let queue = unsafe { &mut *addr_of_mut!(QUEUE) };
    PacketQueue::init(queue);
    // SAFETY: it was made in place just now.
    let queue = unsafe { queue.assume_init_mut() };
    let card = Ethernet::new(
        queue,
        p.ETH,
        Interrupts,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PB12,
        p.PB13,
        p.PB11,
        hardware_address(),
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    // Clock, two syncs; then blue, green, red from the lowest bit on.
    let mut controller = Ltdc::new_with_pins(
        p.LTDC, Interrupts, p.PG7, p.PC6, p.PA4, p.PG14, p.PD0, p.PD6, p.PA8, p.PE12, p.PA3, p.PB8, p.PB9,
        p.PB1, p.PB0, p.PA6, p.PE11, p.PH15, p.PH4, p.PC7, p.PD3, p.PE0, p.PH3, p.PH8, p.PH9, p.PH10, p.PH11,
        p.PE1, p.PE15,
    );
    // The driver knows no "data enable": alternate function 14 of its pin. It stays so when this is forgotten.
    let mut data_enable = Flex::new(p.PE13);
    data_enable.set_as_af_unchecked(14, AfType::output(OutputType::PushPull, Speed::VeryHigh));
    core::mem::forget(data_enable);
    // SAFETY: this runs once, and before it nobody shows anything.
    let mut surface = unsafe { Frame::take() };
    surface.start(&mut controller);
    // The controller goes on by itself; so do the panel's switch and its light.
    core::mem::forget(controller);
    core::mem::forget([
        Output::new(p.PD10, Level::High, Speed::Low),
        Output::new(p.PG15, Level::High, Speed::Low),
    ]);
    let mut bus = i2c::Config::default();
    bus.frequency = Hertz(400_000);
    Machine {
        card,
        surface,
        input: Panel::new(I2c::new_blocking(p.I2C4, p.PF14, p.PF15, bus)),
        entropy: Generator(Rng::new(p.RNG, Interrupts)),
        flash: Sectors(Flash::new_blocking(p.FLASH)),
        observer,
    }
}

/// An address of the board's own making (IEEE 802, "locally administered"), from the chip's number.
fn hardware_address() -> [u8; 6] {
    let mut address = [2, 0, 0, 0, 0, 0];
    for (index, byte) in uid::uid().iter().enumerate() {
        address[1 + index % 5] ^= byte.rotate_left(index as u32 / 5);
    }
    address
}
