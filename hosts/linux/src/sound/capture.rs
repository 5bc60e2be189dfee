//! The sound's thread: takes what the device hears, codes it, hands it on.
//!
//! It has the device only while somebody listens. Silence in which every sample is zero is not sent on for long: whoever
//! hears none of it loses nothing, and a network that carries little is not filled with it.

use core::time::Duration;
use std::io;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rift::Instant;
use rift_alsa::AlsaSource;
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioEncoder, AudioSource, AudioState, Recorded};
use rift_mio::{Clock, Waker};
use rift_opus::OpusEncoder;
use tracing::{info, warn};

use super::SoundSpec;
use super::tone::Tone;
use crate::status::Board;

/// The thread's priority, as `nice` counts: what sound servers take.
const NICE: i32 = -11;
/// The thread looks at its orders at least this often.
const LOOK: Duration = Duration::from_millis(20);
/// Frames taken at once at most.
const TAKEN_MAX: usize = 4800;
/// Frames of silence after which nothing more of it is sent: half a second.
const SILENCE_MAX: usize = 24_000;

/// What is to be coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundOrder {
    /// Somebody listens.
    pub is_wanted: bool,
    /// Bits per second to aim for.
    pub bitrate_bps: u32,
    /// Frames of a packet.
    pub frames: usize,
    /// Everything ends.
    pub stop: bool,
}

/// The newest order counts.
#[derive(Debug)]
pub struct SoundOrders {
    order: Mutex<SoundOrder>,
    changed: Condvar,
}

impl Default for SoundOrders {
    fn default() -> Self {
        let order =
            SoundOrder { is_wanted: false, bitrate_bps: super::BITRATE_BPS_MAX, frames: 480, stop: false };
        Self { order: Mutex::new(order), changed: Condvar::new() }
    }
}

impl SoundOrders {
    /// Gives an order; one that changes nothing wakes nobody.
    pub fn give(&self, order: SoundOrder) {
        let mut present = self.lock();
        if *present != order {
            *present = order;
            self.changed.notify_one();
        }
    }

    /// Everything ends.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    fn newest(&self) -> SoundOrder {
        *self.lock()
    }

    /// Waits until somebody listens or everything ends.
    fn wait(&self) -> SoundOrder {
        let idle = |order: &mut SoundOrder| !order.is_wanted && !order.stop;
        *self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, SoundOrder> {
        // Plain data: whoever panicked left a whole value.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A packet on its way to the network's thread.
#[derive(Debug)]
pub struct Packet {
    /// When its first frame was heard.
    pub captured_at: Instant,
    /// Its bytes and what follows them.
    pub bytes: [u8; PACKET_LEN_MAX],
    /// How many they are.
    pub len: usize,
}

/// Bytes of the longest packet: what fits a datagram; at 512 kbit/s 10 ms are 640.
pub const PACKET_LEN_MAX: usize = 1100;

/// The way to the network's thread.
#[derive(Debug)]
pub struct Outlet {
    /// Packets.
    pub packets: SyncSender<Packet>,
    /// What operators see.
    pub board: Arc<Board>,
    /// Wakes the network's thread.
    pub waker: Waker,
    /// The time.
    pub clock: Clock,
}

/// Starts the thread.
///
/// # Errors
/// The system's.
pub fn start(spec: SoundSpec, orders: Arc<SoundOrders>, outlet: Outlet) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("sound".into()).spawn(move || {
        // Where the system lets it, it goes before encoding pictures: it needs little, and in time.
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut order = orders.wait();
        while !order.stop {
            let outcome = match &spec {
                SoundSpec::Alsa(name) => listen(AlsaSource::new(name), &orders, &outlet),
                SoundSpec::Test => listen(Tone::new(), &orders, &outlet),
            };
            if let Err(error) = outcome {
                warn!(%error, "no sound is shared");
                return;
            }
            order = orders.wait();
        }
    })
}

/// Captures and codes for as long as somebody listens.
fn listen<S: AudioSource>(
    source: S,
    orders: &SoundOrders,
    outlet: &Outlet,
) -> Result<(), rift_opus::OpusError> {
    let mut listener = Listener {
        source,
        encoder: OpusEncoder::new()?,
        samples: Vec::with_capacity((TAKEN_MAX + 960) * AUDIO_CHANNELS),
        first_at: Instant::ZERO,
        silent: 0,
        outlet,
        state: AudioState::Stopped,
        bitrate_bps: 0,
    };
    loop {
        let order = orders.newest();
        if order.stop || !order.is_wanted {
            break;
        }
        listener.source.wait(LOOK);
        listener.turn(&order);
    }
    outlet.board.sound.set_state(AudioState::Stopped);
    Ok(())
}

struct Listener<'a, S> {
    source: S,
    encoder: OpusEncoder,
    /// Frames that were taken and not coded yet.
    samples: Vec<i16>,
    /// When the first of them was heard.
    first_at: Instant,
    /// Frames of silence at a stretch.
    silent: usize,
    outlet: &'a Outlet,
    state: AudioState,
    bitrate_bps: u32,
}

impl<S: AudioSource> Listener<'_, S> {
    fn turn(&mut self, order: &SoundOrder) {
        if order.bitrate_bps != self.bitrate_bps {
            self.bitrate_bps = order.bitrate_bps;
            self.encoder.set_bitrate(order.bitrate_bps);
        }
        let now = self.outlet.clock.now();
        let before = self.samples.len();
        self.samples.resize(before + TAKEN_MAX * AUDIO_CHANNELS, 0);
        let taken = self.source.read(now, &mut self.samples[before..]);
        let frames = taken.as_ref().ok().copied().flatten().map_or(0, |recorded| recorded.frames);
        self.samples.truncate(before + frames * AUDIO_CHANNELS);
        match taken {
            Ok(Some(recorded)) => self.note(&recorded, before),
            Ok(None) => {}
            Err(error) => {
                if self.state != AudioState::Lost {
                    warn!("no sound: {error}; it is tried again by and by");
                }
            }
        }
        self.note_state();
        let mut coded = 0;
        while self.samples.len() - coded >= order.frames * AUDIO_CHANNELS {
            self.code(coded, order.frames);
            coded += order.frames * AUDIO_CHANNELS;
        }
        self.samples.drain(..coded);
    }

    /// When the first frame was heard follows from when these were, which are behind those that were there `before`.
    fn note(&mut self, recorded: &Recorded, before: usize) {
        if !recorded.is_continuous {
            // What is missing is no longer than the device's buffer; those who listen find the sound late by as much.
            self.silent = 0;
        }
        self.first_at = recorded.captured_at.minus_micros(duration_us(before / AUDIO_CHANNELS));
    }

    fn note_state(&mut self) {
        self.outlet.board.sound.set_overruns(self.source.overruns());
        let state = self.source.state();
        if state != self.state {
            self.state = state;
            self.outlet.board.sound.set_state(state);
            if state == AudioState::Running {
                info!("sound is captured");
            }
        }
    }

    /// Codes the frames from the sample `from` on and hands them over.
    fn code(&mut self, from: usize, frames: usize) {
        let samples = &self.samples[from..from + frames * AUDIO_CHANNELS];
        let captured_at = self.first_at;
        self.first_at = captured_at.plus_micros(duration_us(frames));
        self.silent = if samples.iter().all(|&sample| sample == 0) { self.silent + frames } else { 0 };
        if self.silent > SILENCE_MAX {
            return;
        }
        let mut packet = Packet { captured_at, bytes: [0; PACKET_LEN_MAX], len: 0 };
        match self.encoder.encode(samples, &mut packet.bytes) {
            Ok(len) => packet.len = len,
            Err(error) => return warn!(%error, "sound was not coded"),
        }
        self.outlet.board.sound.coded(packet.len);
        if self.outlet.packets.try_send(packet).is_err() {
            self.outlet.board.sound.left_out();
        }
        self.outlet.waker.wake();
    }
}

fn duration_us(frames: usize) -> u64 {
    frames as u64 * 1_000_000 / u64::from(AUDIO_RATE)
}
