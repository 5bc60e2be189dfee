//! The host's sound: from the session to the loudspeaker, on a thread of its own.
//!
//! The network's thread hands packets over ([`Feed`]) and never waits; the sound's thread decodes and plays them
//! ([`player`], which is pure) whenever the device wants more. Neither pictures nor input wait for any of it: what has no
//! room is left out and counted. While nothing is to be heard the device is let go of, and the thread sleeps.

pub mod drift;
pub mod lateness;
pub mod player;
pub mod resample;
pub mod splice;
pub mod stats;
#[cfg(test)]
mod tests;
pub mod wave;

use core::convert::Infallible;
use core::str::FromStr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use rift::{Audio, Instant};
use rift_alsa::AlsaSink;
use rift_hal::{AUDIO_CHANNELS, AudioSink, AudioState};
use rift_mio::Clock;
use rift_opus::OpusDecoder;
use tracing::{info, warn};

use crate::error::ClientError;
use crate::link::Link;
use crate::session::ClientSession;
use player::{PACKET_LEN_MAX, Player};
use stats::PlayerStats;
use wave::WaveSink;

/// Packets that may wait for the sound's thread: half a second of packets of 10 ms.
const HEARD_MAX: usize = 48;
/// The thread's priority, as `nice` counts: what sound servers take.
const NICE: i32 = -11;
/// The thread looks at least this often while there is something to be heard.
const LOOK: Duration = Duration::from_millis(20);
/// Statistics are made public this often, in microseconds.
const PUBLISH_US: u64 = 250_000;
/// After so long without anything to be heard the device is let go of, in microseconds.
const LET_GO_US: u64 = 5_000_000;
/// Frames that a sink is given at once at most.
const FRAMES_MAX: usize = 4800;
/// A change of loudness takes so many frames: 10 ms.
const RAMP: f32 = 480.0;
/// Loudness as a key changes it, in percent.
const VOLUME_STEP: u32 = 10;
const VOLUME_MAX: u32 = 100;

/// Where sound is to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A device or a card that ALSA knows by this name.
    Alsa(String),
    /// A WAVE file at this path.
    File(PathBuf),
}

impl FromStr for Output {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text
            .strip_prefix("file:")
            .map_or_else(|| Self::Alsa(text.to_owned()), |path| Self::File(path.into())))
    }
}

/// What a person does to the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// Nothing is heard, or again what was.
    Mute,
    /// A tenth louder.
    Louder,
    /// A tenth less loud.
    Quieter,
}

/// How loud sound is to be.
#[derive(Debug)]
pub struct Controls {
    muted: AtomicBool,
    /// Percent.
    volume: AtomicU32,
}

impl Default for Controls {
    fn default() -> Self {
        Self { muted: AtomicBool::new(false), volume: AtomicU32::new(VOLUME_MAX) }
    }
}

impl Controls {
    /// Turns a knob. Returns what to say about it.
    pub fn turn(&self, knob: Knob) -> String {
        let volume = self.volume.load(Ordering::Relaxed);
        let wanted = match knob {
            Knob::Mute => {
                self.muted.fetch_xor(true, Ordering::Relaxed);
                volume
            }
            Knob::Louder => (volume + VOLUME_STEP).min(VOLUME_MAX),
            Knob::Quieter => volume.saturating_sub(VOLUME_STEP),
        };
        if knob != Knob::Mute {
            self.muted.store(false, Ordering::Relaxed);
        }
        self.volume.store(wanted, Ordering::Relaxed);
        if self.is_muted() { "sound muted".to_owned() } else { format!("sound at {wanted} %") }
    }

    /// Whether nothing is to be heard.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// The factor for samples: its square root is what was set, because ears hear powers.
    fn gain(&self) -> f32 {
        let volume = self.volume.load(Ordering::Relaxed) as f32 / VOLUME_MAX as f32;
        if self.is_muted() { 0.0 } else { volume * volume }
    }
}

/// What is told of the sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoundReport {
    /// What was heard and not.
    pub player: PlayerStats,
    /// How the device is.
    pub state: AudioState,
    /// How often the device had nothing to play.
    pub underruns: u64,
    /// Nothing is to be heard, as the person wanted.
    pub is_muted: bool,
}

/// On its way to the sound's thread.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are packets, and the channel takes its memory once"
)]
enum Heard {
    Packet {
        at: Instant,
        captured_at: Option<Instant>,
        behind: u8,
        along: u8,
        len: usize,
        bytes: [u8; PACKET_LEN_MAX],
    },
    Missing(u32),
    Nothing,
}

/// The network's end: it hands packets over. Once it is dropped the sound's thread ends.
#[derive(Debug)]
pub struct Feed {
    sender: SyncSender<Heard>,
    /// Packets that had no room.
    left_out: u32,
}

impl Feed {
    /// Hands over what has come.
    pub(crate) fn hear(&mut self, session: &mut ClientSession, now: Instant) {
        let mut bytes = [0; PACKET_LEN_MAX];
        while let Some(audio) = session.read_audio(now, &mut bytes) {
            match audio {
                Audio::Packet { captured_at, len, behind, along } => {
                    self.tell_left_out();
                    let packet = Heard::Packet { at: now, captured_at, behind, along, len, bytes };
                    if self.sender.try_send(packet).is_err() {
                        self.left_out += 1;
                    }
                }
                Audio::Gap { packets } => {
                    self.left_out += packets;
                    self.tell_left_out();
                }
            }
        }
    }

    /// Nothing more of what was handed over is to be heard.
    pub(crate) fn silence(&mut self) {
        self.left_out = 0;
        // Where there is no room, what waits is a moment of sound.
        let _ = self.sender.try_send(Heard::Nothing);
    }

    fn tell_left_out(&mut self) {
        if self.left_out > 0 && self.sender.try_send(Heard::Missing(self.left_out)).is_ok() {
            self.left_out = 0;
        }
    }
}

/// Starts the sound's thread.
///
/// # Errors
/// There is no decoder, no file or no thread. A device that is not there is waited for.
pub fn start(output: &Output, link: &Arc<Link>, clock: Clock) -> Result<(Feed, JoinHandle<()>), ClientError> {
    let (sender, heard) = sync_channel(HEARD_MAX);
    let decoder = OpusDecoder::new().map_err(|error| ClientError::Sound(error.to_string()))?;
    let player = Player::new(decoder);
    let link = Arc::clone(link);
    let builder = std::thread::Builder::new().name("sound".into());
    let thread = match output {
        Output::Alsa(name) => {
            let sink = AlsaSink::new(name);
            builder.spawn(move || Speaker::new(player, sink, link, clock).run(&heard))
        }
        Output::File(path) => {
            let sink = WaveSink::create(path)
                .map_err(|error| ClientError::Write(path.clone(), error.to_string()))?;
            builder.spawn(move || Speaker::new(player, sink, link, clock).run(&heard))
        }
    };
    let thread = thread.map_err(|error| ClientError::System("start a thread", error))?;
    Ok((Feed { sender, left_out: 0 }, thread))
}

/// The sound's thread.
struct Speaker<S> {
    player: Player<OpusDecoder>,
    sink: S,
    link: Arc<Link>,
    clock: Clock,
    samples: Vec<i16>,
    gain: f32,
    state: AudioState,
    idle_since: Option<Instant>,
    published_at: Instant,
}

impl<S: AudioSink> Speaker<S> {
    fn new(player: Player<OpusDecoder>, sink: S, link: Arc<Link>, clock: Clock) -> Self {
        Self {
            player,
            sink,
            link,
            clock,
            samples: vec![0; FRAMES_MAX * AUDIO_CHANNELS],
            gain: 0.0,
            state: AudioState::Stopped,
            idle_since: None,
            published_at: Instant::ZERO,
        }
    }

    /// Until nobody feeds it any more.
    fn run(mut self, heard: &Receiver<Heard>) {
        // Where the system lets it, it goes before whatever else computes here: it needs little, and in time.
        let _ = rustix::process::setpriority_process(None, NICE);
        while let Ok(first) = heard.recv() {
            self.take(&first);
            if self.player.is_idle() {
                // Nothing to be heard: the device is left to others.
                continue;
            }
            loop {
                match heard.try_recv() {
                    Ok(heard) => {
                        self.take(&heard);
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => return self.publish(),
                    Err(TryRecvError::Empty) => {}
                }
                let now = self.clock.now();
                self.play(now);
                if now.micros_since(self.published_at) >= PUBLISH_US
                    && let Some(mut latest) = self.link.latest_now()
                {
                    self.published_at = now;
                    latest.sound = self.report();
                }
                if self.is_over(now) {
                    break;
                }
                self.sink.wait(LOOK);
            }
            self.sink.stop();
            self.state = AudioState::Stopped;
            self.publish();
        }
    }

    fn take(&mut self, heard: &Heard) {
        match heard {
            Heard::Packet { at, captured_at, behind, along, len, bytes } => {
                self.player.ride(*behind, *along);
                self.player.push(*at, *captured_at, bytes.get(..*len).unwrap_or_default());
            }
            Heard::Missing(packets) => self.player.miss(*packets),
            Heard::Nothing => self.player.clear(),
        }
    }

    /// Gives the device what it wants.
    fn play(&mut self, now: Instant) {
        let room = match self.sink.room(now) {
            Ok(room) => room,
            Err(error) => return self.on_lost(&error),
        };
        self.note_state();
        let frames = room.frames.min(FRAMES_MAX);
        if frames == 0 {
            return;
        }
        let samples = &mut self.samples[..frames * AUDIO_CHANNELS];
        self.player.pull(now, room.delay_us, samples);
        let wanted = self.link.sound().gain();
        for frame in samples.chunks_exact_mut(AUDIO_CHANNELS) {
            self.gain += (wanted - self.gain).clamp(-1.0 / RAMP, 1.0 / RAMP);
            for sample in frame {
                *sample = (f32::from(*sample) * self.gain) as i16;
            }
        }
        if let Err(error) = self.sink.write(now, samples) {
            self.on_lost(&error);
        }
    }

    /// The device is gone: that is told once, however often it is tried again.
    fn on_lost(&mut self, error: &S::Error) {
        if self.state != AudioState::Lost {
            warn!("no sound: {error}; it is tried again by and by");
        }
        self.state = AudioState::Lost;
    }

    fn note_state(&mut self) {
        let state = self.sink.state();
        if state == AudioState::Running && self.state != state {
            info!("sound is played");
            self.state = state;
        }
    }

    /// Whether nothing has been heard for long.
    fn is_over(&mut self, now: Instant) -> bool {
        if !self.player.is_idle() {
            self.idle_since = None;
            return false;
        }
        let is_over = now.micros_since(*self.idle_since.get_or_insert(now)) >= LET_GO_US;
        if is_over {
            self.idle_since = None;
        }
        is_over
    }

    fn publish(&self) {
        self.link.latest().sound = self.report();
    }

    fn report(&self) -> SoundReport {
        SoundReport {
            player: *self.player.stats(),
            state: self.state,
            underruns: self.sink.underruns(),
            is_muted: self.link.sound().is_muted(),
        }
    }
}
