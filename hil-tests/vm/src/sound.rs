//! Sound between a host's card and a client's, over a link that loses, with the kernel's loopback card at both ends.
//!
//! What is played into one side of the loopback (`snd-aloop`) the host hears at the other; what the client plays into a
//! second pair of its devices is heard here again. Both programs are the real ones, in two namespaces. Then the card is
//! pulled out and plugged in again.

use core::f64::consts::TAU;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, ensure};
use rift::Instant;
use rift_alsa::{AlsaSink, AlsaSource};
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioSink, AudioSource};
use rift_mio::Clock;

use crate::session::host::{Host, Place};
use crate::session::netem::tool;
use crate::session::program::Program;
use crate::{pause, say};

/// What somebody plays, what the host hears of it, what the client plays, and what is heard of that.
const PLAYED: &str = "hw:Loopback,0,0";
const CAPTURED: &str = "hw:Loopback,1,0";
const CLIENTS: &str = "hw:Loopback,0,1";
const HEARD: &str = "hw:Loopback,1,1";
const HOST: &str = "10.78.0.1";
const CLIENT: &str = "10.78.0.2/24";
/// What each direction does to a datagram.
const LINK: &str = "delay 20ms 5ms loss 2% rate 8mbit limit 200";
/// What is played, in Hz and of the full range.
const HERTZ: f64 = 997.0;
const LOUDNESS: f64 = 10_000.0;
/// The tone is heard for so long: a minute, and what it takes until the pitch is judged.
const HEARD_US: u64 = 62_000_000;
/// Sound must be heard so soon, and again so soon after its card is back, µs.
const BACK_MAX_US: u64 = 8_000_000;
/// The driver whose device is the loopback card, and that device.
const DRIVER: &str = "/sys/bus/platform/drivers/snd_aloop";
const DEVICE: &str = "snd_aloop.0";

/// Everything sound must prove, printed as it comes. Returns whether all of it holds.
///
/// # Errors
/// Something that is no finding about sound: a program does not start, there is no loopback card.
pub fn run() -> anyhow::Result<bool> {
    prepare()?;
    let place = Place::prepare(Path::new("/tmp/sound-host"), crate::session::client().public())?;
    let mut inside = Command::new("/usr/sbin/ip");
    inside.args(["netns", "exec", "sounding", "./wavry-server"]);
    let listen = format!("{HOST}:4747");
    let words = [
        "--source",
        "test",
        "--fps",
        "2",
        "--listen",
        &listen,
        "--input",
        "none",
        "--audio-device",
        CAPTURED,
    ];
    let mut host = Host::start_by(inside, &place, &words.map(str::to_owned))?;
    let client = Program::start(&place, HOST, &["--audio-device", CLIENTS])?;
    let tone = Tone::start(Clock::new())?;
    let mut ear = Ear::open();
    let is_good = minute(&mut ear, &tone)?;
    host.check()?;
    let is_back = replug(&mut ear, &host)?;
    let report = client.end()?;
    let sound = &report["sound"];
    let status = host.status()?;
    say(&format!("the client's own figures: {sound}\nthe host's: {}\n", status["sound"]));
    host.stop()?;
    Ok(is_good && is_back)
}

fn prepare() -> anyhow::Result<()> {
    ensure!(Path::new("/dev/snd/controlC0").exists(), "the loopback card has no devices");
    for line in [
        "netns add sounding",
        "link add here type veth peer name there",
        "link set there netns sounding",
        &format!("addr add {CLIENT} dev here"),
        "link set here up",
        &format!("-n sounding addr add {HOST}/24 dev there"),
        "-n sounding link set there up",
        "-n sounding link set lo up",
    ] {
        tool("/usr/sbin/ip", line)?;
    }
    tool("/usr/sbin/tc", &format!("qdisc add dev here root netem {LINK}"))?;
    tool("/usr/sbin/tc", &format!("-n sounding qdisc add dev there root netem {LINK}"))
}

/// A minute of the tone: its pitch, its gaps, its delay.
fn minute(ear: &mut Ear, tone: &Tone) -> anyhow::Result<bool> {
    ear.listen(BACK_MAX_US, |ear| ear.first_heard.is_some());
    let first = ear.first_heard.context("the tone is not heard at the client")?;
    ear.samples.clear();
    ear.listen(HEARD_US, |_| false);
    let (gaps, pitches) = (ear.gaps(), ear.pitches());
    let worst = pitches.iter().fold(0.0, |worst: f64, pitch| worst.max((pitch / HERTZ - 1.0).abs()));
    let seconds = ear.samples.len() / AUDIO_RATE as usize;
    say(&format!(
        "sound over netem {LINK}, both ways: {seconds} s heard, gaps at {gaps:.1?} s, the pitch of a second off by {:.4} % at most, \
         {} overruns here; first heard {:.1} ms after it was first played",
        worst * 100.0,
        ear.source.overruns(),
        first.micros_since(tone.began) as f64 / 1e3,
    ));
    let is_good = seconds >= 60 && gaps.len() <= 1 && worst < 1e-3 && pitches.len() >= 55;
    if !is_good {
        say("FAILED: sound falls short of a minute with one gap at most and a pitch within 0.1 %");
    }
    Ok(is_good)
}

/// The card is pulled out at both ends at once, and comes back.
fn replug(ear: &mut Ear, host: &Host) -> anyhow::Result<bool> {
    // It returns when everybody has let go of the card.
    let pulling = std::thread::spawn(|| fs::write(Path::new(DRIVER).join("unbind"), DEVICE));
    let state =
        |host: &Host| Ok::<_, anyhow::Error>(host.status()?["sound"]["state"].as_str() == Some("lost"));
    let clock = Clock::new();
    let begun = clock.now();
    while !state(host)? {
        ensure!(
            clock.now().micros_since(begun) < BACK_MAX_US,
            "the host does not notice that its card is gone"
        );
        ear.listen(20_000, |_| false);
    }
    let lost_us = clock.now().micros_since(begun);
    while !pulling.is_finished() {
        ensure!(clock.now().micros_since(begun) < 2 * BACK_MAX_US, "somebody holds the card");
        ear.listen(20_000, |_| false);
    }
    pulling.join().ok().context("pulling the card out")?.context("pulling the card out")?;
    ear.listen(1_000_000, |_| false);
    ear.first_heard = None;
    fs::write(Path::new(DRIVER).join("bind"), DEVICE).context("plugging the card in")?;
    let back = clock.now();
    ear.listen(2 * BACK_MAX_US, |ear| ear.first_heard.is_some());
    let heard = ear.first_heard.map(|at| at.micros_since(back));
    say(&format!(
        "card pulled out: the host says so after {:.0} ms; back: heard again {} after it",
        lost_us as f64 / 1e3,
        heard.map_or("never".to_owned(), |us| format!("{:.0} ms", us as f64 / 1e3)),
    ));
    let is_good = heard.is_some_and(|us| us < BACK_MAX_US);
    if !is_good {
        say("FAILED: sound is not back after its card");
    }
    Ok(is_good)
}

/// Plays the tone for ever, wherever the card goes.
struct Tone {
    began: Instant,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tone {
    fn start(clock: Clock) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let began = clock.now();
        let thread = std::thread::Builder::new().name("tone".into()).spawn(move || {
            let mut sink = AlsaSink::new(PLAYED);
            let (mut at, mut samples) = (0_u64, vec![0_i16; 4800 * AUDIO_CHANNELS]);
            while !stopped.load(Ordering::Relaxed) {
                // While the card is gone there is no room.
                let frames = sink.room(clock.now()).map_or(0, |room| room.frames).min(4800);
                for (frame, number) in samples.chunks_exact_mut(AUDIO_CHANNELS).take(frames).zip(at..) {
                    let turns = HERTZ * (number as f64 / f64::from(AUDIO_RATE));
                    frame.fill((LOUDNESS * (TAU * turns.fract()).sin()) as i16);
                }
                at += frames as u64;
                let _ = sink.write(clock.now(), &samples[..frames * AUDIO_CHANNELS]);
                sink.wait(Duration::from_millis(20));
            }
        })?;
        Ok(Self { began, stop, thread: Some(thread) })
    }
}

impl Drop for Tone {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Hears what the client plays.
struct Ear {
    source: AlsaSource,
    clock: Clock,
    /// The left channel.
    samples: Vec<i16>,
    /// When the tone was first heard since this was last forgotten.
    first_heard: Option<Instant>,
}

impl Ear {
    fn open() -> Self {
        Self { source: AlsaSource::new(HEARD), clock: Clock::new(), samples: Vec::new(), first_heard: None }
    }

    /// Listens until `is_done` or for so long.
    fn listen(&mut self, for_us: u64, is_done: impl Fn(&Self) -> bool) {
        let end = self.clock.now().plus_micros(for_us);
        let mut samples = [0; 960 * AUDIO_CHANNELS];
        while self.clock.now() < end && !is_done(self) {
            self.source.wait(Duration::from_millis(20));
            let now = self.clock.now();
            // While the card is gone there is nothing.
            let Ok(Some(recorded)) = self.source.read(now, &mut samples) else {
                pause(Duration::from_millis(1));
                continue;
            };
            let frames = samples.chunks_exact(AUDIO_CHANNELS).take(recorded.frames);
            let before = self.samples.len();
            self.samples.extend(frames.map(|frame| frame[0]));
            let loud = self.samples[before..].iter().position(|sample| sample.unsigned_abs() > 4_000);
            if let Some(at) = loud
                && self.first_heard.is_none()
            {
                let after_us = at as u64 * 1_000_000 / u64::from(AUDIO_RATE);
                self.first_heard = Some(recorded.captured_at.plus_micros(after_us));
            }
        }
    }

    /// When stretches of 3 ms and more begin in which the tone is hardly heard, three of its periods: in seconds.
    fn gaps(&self) -> Vec<f64> {
        let parts = self.samples.chunks_exact(48);
        let is_quiet: Vec<bool> = parts
            .map(|part| part.iter().all(|sample| f64::from(sample.unsigned_abs()) < LOUDNESS / 3.0))
            .collect();
        let begins = |parts: &[bool]| !parts[0] && parts[1..].iter().all(|&quiet| quiet);
        let at = is_quiet.windows(4).enumerate().filter(|(_, parts)| begins(parts));
        at.map(|(at, _)| at as f64 / 1e3).collect()
    }

    /// The pitch of each second that has no gap, in Hz.
    fn pitches(&self) -> Vec<f64> {
        let seconds = self.samples.chunks_exact(AUDIO_RATE as usize);
        let is_whole =
            |second: &&[i16]| second.chunks(96).all(|part| part.iter().any(|sample| *sample > 4_000));
        seconds.filter(is_whole).map(pitch).collect()
    }
}

/// By the tone's first and last way up through zero.
fn pitch(samples: &[i16]) -> f64 {
    let crossings: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0 && pair[1] >= 0)
        .map(|(at, pair)| at as f64 - f64::from(pair[0]) / f64::from(pair[1] - pair[0]))
        .collect();
    match crossings[..] {
        [first, .., last] => (crossings.len() - 1) as f64 * f64::from(AUDIO_RATE) / (last - first),
        _ => 0.0,
    }
}
