//! The sound of what is shared: captured and coded on a thread of its own ([`capture`]), sent to everybody who may hear.
//!
//! This part belongs to the network's thread and waits for nothing; packets come through a bounded channel, and what has no
//! room there is left out. Nobody listens, nothing is captured. One coding serves all who listen, at the least of their rates.

pub mod capture;
pub mod figures;
pub mod tone;

use core::convert::Infallible;
use core::fmt;
use core::str::FromStr;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rift::{Instant, Permissions, SessionIndex};
use rift_mio::{Clock, Waker};
use tracing::info;

use crate::status::Board;
use crate::viewers::Driver;
use capture::{Packet, SoundOrder, SoundOrders};

/// Packets that may wait for the network's thread: a sixth of a second. Those that then are too many at once are gaps, told by
/// the session.
const PACKETS_MAX: usize = 32;
/// Who listens, and what their networks take, is looked at this often, in microseconds.
const ORDER_US: u64 = 20_000;
/// Sound may have this part of what a viewer's network takes; a packet that is lost is sent again along with others.
const SHARE: u32 = 16;
/// Bits per second that sound is coded at, at least: speech is still understood.
const BITRATE_BPS_MIN: u32 = 24_000;
/// And at most, unless somebody says otherwise: music in stereo is hardly told from the original.
pub const BITRATE_BPS_MAX: u32 = 128_000;
/// Where a viewer's network takes this much, packets are of 5 ms instead of 10: less delay for more headers. The first is
/// where that begins, the second where it ends again.
const SHORT_BPS: [u32; 2] = [12_000_000, 8_000_000];
/// But only where none of them has lost 5 of 1000 packets for 10 s: what rides along with one packet is the packets before it, so
/// that longer ones are carried farther; and two short ones that leave together are lost together.
const LOSSY_PERMILLE: u16 = 5;
const LOSSY_US: u64 = 10_000_000;
/// Frames of a packet.
const FRAMES: [usize; 2] = [480, 240];

/// What is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoundSpec {
    /// A device or a card that ALSA knows by this name.
    Alsa(String),
    /// A tone.
    Test,
}

impl FromStr for SoundSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "test" { Self::Test } else { Self::Alsa(text.to_owned()) })
    }
}

impl fmt::Display for SoundSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alsa(name) => f.write_str(name),
            Self::Test => f.write_str("test"),
        }
    }
}

/// See the module. Without a device it does nothing.
#[derive(Debug, Default)]
pub struct SharedSound(Option<Sharing>);

#[derive(Debug)]
struct Sharing {
    orders: Arc<SoundOrders>,
    packets: Receiver<Packet>,
    bitrate_bps_max: u32,
    /// Packets are short now.
    is_short: bool,
    /// When somebody's network lost many.
    lossy_at: Option<Instant>,
    listeners: usize,
    ordered_at: Instant,
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl SharedSound {
    /// Shares what `spec` hears, if there is one, at no more than `bitrate_bps_max`. `waker` tells the network's thread that
    /// there is a packet.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start(
        spec: Option<SoundSpec>,
        bitrate_bps_max: u32,
        board: &Arc<Board>,
        waker: Waker,
    ) -> io::Result<Self> {
        let Some(spec) = spec else { return Ok(Self::default()) };
        info!(device = %spec, "sound is shared with those who may hear it");
        board.sound.set_device(&spec.to_string());
        let orders = Arc::new(SoundOrders::default());
        let (sender, packets) = sync_channel(PACKETS_MAX);
        let outlet =
            capture::Outlet { packets: sender, board: Arc::clone(board), waker, clock: Clock::new() };
        let thread = capture::start(spec, Arc::clone(&orders), outlet)?;
        Ok(Self(Some(Sharing {
            orders,
            packets,
            bitrate_bps_max,
            is_short: false,
            lossy_at: None,
            listeners: 0,
            ordered_at: Instant::ZERO,
            board: Arc::clone(board),
            thread: Some(thread),
        })))
    }

    /// Sends what was coded, and says now and then what is to be coded. `is_live`: somebody is there, and no recording of a
    /// call.
    pub(crate) fn work(&mut self, now: Instant, driver: &mut Driver, is_live: impl Fn(SessionIndex) -> bool) {
        let Some(sharing) = &mut self.0 else { return };
        while let Ok(packet) = sharing.packets.try_recv() {
            sharing.send(driver, &is_live, &packet);
        }
        if now.micros_since(sharing.ordered_at) >= ORDER_US {
            sharing.ordered_at = now;
            sharing.order(now, driver, is_live);
        }
    }
}

impl Sharing {
    fn send(&self, driver: &mut Driver, is_live: &impl Fn(SessionIndex) -> bool, packet: &Packet) {
        let bytes = packet.bytes.get(..packet.len).unwrap_or_default();
        for (index, _, session) in driver.sessions_mut() {
            // Who may not hear, or is not there any more, needs nothing.
            if is_live(index) && session.send_audio(packet.captured_at, bytes).is_ok() {
                self.board.sound.sent();
            }
        }
    }

    fn order(&mut self, now: Instant, driver: &mut Driver, is_live: impl Fn(SessionIndex) -> bool) {
        let (mut listeners, mut rate_bps) = (0, u32::MAX);
        for (index, _, session) in driver.sessions_mut() {
            let may_hear = session.permissions().is_some_and(|granted| granted.contains(Permissions::AUDIO));
            if may_hear && is_live(index) && !session.is_closed() {
                listeners += 1;
                rate_bps = rate_bps.min(session.budget().pacing_bps);
                if session.stats(now).loss_permille >= LOSSY_PERMILLE {
                    self.lossy_at = Some(now);
                }
            }
        }
        if listeners != self.listeners {
            self.listeners = listeners;
            self.board.sound.set_listeners(listeners);
        }
        let is_lossy = self.lossy_at.is_some_and(|at| now.micros_since(at) < LOSSY_US);
        self.is_short = !is_lossy && rate_bps >= SHORT_BPS[usize::from(self.is_short)];
        self.orders.give(SoundOrder {
            is_wanted: listeners > 0,
            bitrate_bps: (rate_bps / SHARE).max(BITRATE_BPS_MIN).min(self.bitrate_bps_max),
            frames: FRAMES[usize::from(self.is_short)],
            stop: false,
        });
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.orders.stop();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
