//! Keyboard, mouse, touch panel.

use rift::InputEvent;
use wavry_thin::InputSource;

/// HERE: what is done at the board. Interrupts put bytes into a channel of embassy-sync, and this reads them
/// (`../qemu-vexpress-a9/src/hands.rs`), or this asks a device from time to time (`../stm32h735g-dk/src/touch.rs`).
/// `wavry-parts` reads PS/2 and touch controllers.
pub struct Hands;

impl InputSource for Hands {
    /// HERE: the next event. This is dropped and called anew many times: what was read and not given must not be lost by
    /// that.
    async fn next(&mut self) -> InputEvent {
        core::future::pending().await
    }
}
