//! The touch panel, asked a hundred times a second: a finger is the left button of a mouse.

use embassy_stm32::i2c::{I2c, Master};
use embassy_stm32::mode::Blocking;
use embassy_time::{Duration, Instant, Timer};
use rift::InputEvent;
use wavry_parts::ft5336::{ADDRESS, Finger, Touch};

use crate::screen::{HEIGHT, WIDTH};

const PERIOD: Duration = Duration::from_millis(10);

/// The panel.
pub struct Panel {
    bus: I2c<'static, Blocking, Master>,
    finger: Finger,
    /// What the last look brought, and was not given yet.
    events: [Option<InputEvent>; Finger::EVENTS_MAX],
    /// When to look again.
    due: Instant,
}

impl Panel {
    /// The panel on this bus.
    pub fn new(bus: I2c<'static, Blocking, Master>) -> Self {
        let finger = Finger::new((WIDTH, HEIGHT));
        Self { bus, finger, events: [None; Finger::EVENTS_MAX], due: Instant::now() }
    }

    /// Where a finger is now; nowhere when the panel does not answer.
    fn look(&mut self) -> Option<(u16, u16)> {
        let mut answer = [0; Touch::LEN];
        self.bus.blocking_write_read(ADDRESS, &[Touch::REGISTER], &mut answer).ok()?;
        // The panel is mounted on its side: it calls across what is down.
        Touch::parse(&answer).place.map(|(across, down)| (down, across))
    }
}

impl wavry_thin::InputSource for Panel {
    async fn next(&mut self) -> InputEvent {
        loop {
            if let Some(event) = self.events.iter_mut().find_map(Option::take) {
                return event;
            }
            Timer::at(self.due).await;
            self.due = Instant::now() + PERIOD;
            let place = self.look();
            self.events = self.finger.is_at(place);
        }
    }
}
