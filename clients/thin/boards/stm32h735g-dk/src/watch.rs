//! The log and the watchdog.

use embassy_stm32::pac;
use embassy_stm32::pac::iwdg::vals::Key;
use embassy_stm32::peripherals::IWDG1;
use embassy_stm32::wdg::IndependentWatchdog;
use wavry_thin::{Fault, Observer, Report};

#[cfg(feature = "log")]
use defmt_rtt as _;

/// More than erasing a sector of the flash memory takes.
const PATIENCE_US: u32 = 10_000_000;

/// Logs what the client reports, and keeps the watchdog from restarting the board.
pub struct Watch(());

impl Watch {
    /// Starts the watchdog: from now on somebody must say at least every ten seconds that the program lives.
    pub fn start(watchdog: embassy_stm32::Peri<'static, IWDG1>) -> Self {
        IndependentWatchdog::new(watchdog, PATIENCE_US).unleash();
        Self(())
    }
}

/// The program lives.
pub fn pet() {
    pac::IWDG1.kr().write(|register| register.set_key(Key::RESET));
}

impl Observer for Watch {
    #[cfg(feature = "log")]
    fn report(&mut self, report: Report<'_>) {
        use defmt::{Debug2Format, Display2Format};
        match report {
            Report::Identity(key, boots) => {
                defmt::info!("identity {} start {=u32}", Display2Format(&key), boots);
            }
            Report::Address(address) => defmt::info!("address {}", Display2Format(&address)),
            Report::Stage(stage) => defmt::info!("stage {}", Debug2Format(&stage)),
            Report::Paired(key) => defmt::info!("paired {}", Display2Format(&key)),
            Report::Successor(key) => defmt::info!("successor {}", Display2Format(&key)),
            Report::Refused(error) => defmt::warn!("picture refused: {}", Debug2Format(&error)),
            Report::Stats(stats) => defmt::info!(
                "figures: rtt {=u32} us, {=u64} bytes, {=u64} lost",
                stats.round_trip_us,
                stats.bytes_received,
                stats.pictures_lost
            ),
            // The PIN is on the screen, and nobody else's affair.
            Report::Pin(_) | Report::Picture { .. } | Report::Input(_) => {}
        }
    }

    #[cfg(not(feature = "log"))]
    fn report(&mut self, _: Report<'_>) {}

    fn alive(&mut self) {
        pet();
    }
}

/// The client has stopped for this.
pub fn tell_fault(fault: Fault) {
    #[cfg(feature = "log")]
    defmt::error!("fault: {}", defmt::Display2Format(&fault));
    #[cfg(not(feature = "log"))]
    let _ = fault;
}

/// The program has come to an end that it should not have.
pub fn tell_panic(info: &core::panic::PanicInfo<'_>) {
    #[cfg(feature = "log")]
    defmt::error!("panic: {}", defmt::Display2Format(info));
    #[cfg(not(feature = "log"))]
    let _ = info;
}
