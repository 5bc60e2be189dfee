//! The lines over the picture.

use core::fmt::Write as _;

use rift::{CaptureCondition, Instant, StreamParameters};
use rift_hal::AudioState;

use crate::audio::SoundReport;
use crate::capture;
use crate::link::{Latest, Status, Way};
use crate::stages::{Breakdown, NAMES};

/// What the overlay tells beside the network's part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// The picture with the median total of the last second.
    pub median: Option<Breakdown>,
    /// Pictures presented in the last second.
    pub per_second: usize,
    /// What the stream is.
    pub parameters: Option<StreamParameters>,
}

/// The host speaks at least once a second; silent for longer than this, it may be gone.
const SILENCE_US: u64 = 2_000_000;

/// What to say about the connection when there is no session, or the host is silent: `None` while all is well.
#[must_use]
pub fn status_text(latest: &Latest, host: &str, now: Instant) -> Option<String> {
    let seconds = |tenths: u64| format!("{}.{} s", tenths / 10, tenths % 10);
    match latest.status {
        Status::Connecting => Some(format!("connecting to {host} ...")),
        Status::Lost(retry_at) => {
            let left = retry_at.micros_since(now).div_ceil(100_000);
            Some(format!("lost {host}, retrying in {}", seconds(left)))
        }
        Status::Live => {
            let silence = now.micros_since(latest.heard_at);
            if silence > SILENCE_US {
                return Some(format!("no word from {host} for {}", seconds(silence / 100_000)));
            }
            latest.capture.now().and_then(|state| capture::card(state, now))
        }
        Status::Over => None,
    }
}

/// Latencies and losses. The stages shown are those of one picture, the one with the median total, so they sum.
#[must_use]
pub fn statistics_text(latest: &Latest, shown: &Shown) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write_statistics(&mut text, latest, shown);
    text
}

/// Statistics are written anew this often, in microseconds.
const STATISTICS_US: u64 = 500_000;
/// A countdown is.
const COUNTDOWN_US: u64 = 100_000;
/// A silent host is noticed.
const LOOK_US: u64 = 1_000_000;

/// When the lines are written, and what they were last.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Whether latencies are shown.
    statistics: bool,
    status: Option<(Status, Option<CaptureCondition>)>,
    due: Instant,
    text: String,
}

impl Lines {
    /// Nothing is written yet. `statistics`: latencies are shown from the start.
    #[must_use]
    pub const fn new(statistics: bool) -> Self {
        Self { statistics, status: None, due: Instant::ZERO, text: String::new() }
    }

    /// Shows or hides the latencies.
    pub const fn toggle(&mut self) {
        self.statistics = !self.statistics;
        self.due = Instant::ZERO;
    }

    /// When they should be written again.
    #[must_use]
    pub fn due(&self, latest: &Latest) -> Instant {
        if self.status == Some(key(latest)) { self.due } else { Instant::ZERO }
    }

    /// The lines, if they are due and others than before.
    pub fn write(
        &mut self,
        now: Instant,
        host: &str,
        latest: &Latest,
        shown: impl FnOnce() -> Shown,
    ) -> Option<&str> {
        if self.due(latest) > now {
            return None;
        }
        self.status = Some(key(latest));
        let mut text = status_text(latest, host, now).unwrap_or_default();
        let counts_down = !text.is_empty();
        self.due = now.plus_micros(match (counts_down, self.statistics) {
            (true, _) => COUNTDOWN_US,
            (false, true) => STATISTICS_US,
            (false, false) => LOOK_US,
        });
        let card_at = latest.capture.now().map(capture::shown_at).filter(|&at| at > now);
        self.due = card_at.map_or(self.due, |at| at.min(self.due));
        if self.statistics && latest.live_since.is_some() {
            if counts_down {
                text.push('\n');
            }
            text.push_str(&statistics_text(latest, &shown()));
        }
        if text == self.text {
            return None;
        }
        self.text = text;
        Some(&self.text)
    }
}

fn write_statistics(text: &mut String, latest: &Latest, shown: &Shown) -> core::fmt::Result {
    let stats = &latest.stats;
    if let Some(parameters) = shown.parameters {
        let rate = latest.bitrate_bps as f64 / 1e6;
        let (width, height) = (parameters.width, parameters.height);
        writeln!(
            text,
            "{width} x {height} {:?}  {} fps  {rate:.2} Mbit/s",
            parameters.codec, shown.per_second
        )?;
    }
    match shown.median {
        Some(median) => {
            for (name, micros) in NAMES.iter().zip(median.stages()) {
                writeln!(text, "{name:<9}{:>8} ms", millis(*micros))?;
            }
            writeln!(
                text,
                "{:<9}{:>8} ms  (host clock +-{} ms)",
                "total",
                millis(median.total()),
                millis(i64::from(stats.clock_error_us))
            )?;
        }
        None => writeln!(text, "no picture in the last second")?,
    }
    let traffic = &latest.traffic;
    writeln!(
        text,
        "rtt {} ms  packets lost {:.1} of 1000",
        millis(i64::from(stats.round_trip_us)),
        traffic.loss_permille()
    )?;
    writeln!(
        text,
        "pictures lost {}, repaired by parity {}",
        traffic.pictures_lost, traffic.pictures_repaired
    )?;
    write_sound(text, &latest.sound)?;
    if let Some(permissions) = latest.permissions {
        let words = permissions.words().collect::<Vec<_>>().join(", ");
        writeln!(text, "may {}", if words.is_empty() { "nothing" } else { &words })?;
    }
    write!(text, "path {}", latest.way.map_or_else(String::new, path))
}

/// Nothing while none was ever heard.
fn write_sound(text: &mut String, sound: &SoundReport) -> core::fmt::Result {
    let player = &sound.player;
    if player.packets == 0 && sound.state != AudioState::Lost {
        return Ok(());
    }
    let state = match (sound.state, sound.is_muted) {
        (AudioState::Lost, _) => "no device",
        (_, true) => "muted",
        (_, false) if player.is_playing => "playing",
        (_, false) => "silent",
    };
    writeln!(
        text,
        "sound {state}  {} ms  lost {}  gaps {}  drift {} ppm",
        millis(i64::from(player.latency_us)),
        player.lost,
        player.gaps,
        player.drift_ppm
    )
}

/// What the lines must be written anew for at once.
fn key(latest: &Latest) -> (Status, Option<CaptureCondition>) {
    (latest.status, latest.capture.now().map(|state| state.condition))
}

fn path(way: Way) -> String {
    format!("{}, {}", way.kind(), way.address)
}

/// Microseconds as milliseconds with all three places, so that what sums still does when it is read.
fn millis(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!("{sign}{}.{:03}", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureHistory;
    use crate::link::Traffic;
    use crate::stages::Stamps;
    use rift::{CaptureState, Codec, SignalDescription, Stats};

    fn latest() -> Latest {
        Latest {
            status: Status::Live,
            cursor: None,
            parameters: None,
            capture: CaptureHistory::default(),
            sound: SoundReport::default(),
            permissions: Some(rift::Permissions::view_only()),
            stats: Stats { round_trip_us: 1_234, clock_error_us: 99, ..Stats::default() },
            traffic: Traffic { packets_received: 999, packets_missing: 1, ..Traffic::default() },
            bitrate_bps: 12_340_000,
            heard_at: Instant::from_millis(1_000),
            way: Some(Way { is_relayed: false, is_streamed: false, address: ([127, 0, 0, 1], 4747).into() }),
            reconnects: 0,
            live_since: None,
        }
    }

    #[test]
    fn stages_shown_sum_to_the_total_shown() {
        let at = Instant::from_micros;
        let stamps = Stamps {
            captured: at(10_000),
            encoded: at(14_123),
            sent: at(14_456),
            first: at(14_401),
            whole: at(15_000),
            decoded: at(16_777),
            presented: at(18_001),
        };
        let shown = Shown { median: Some(Breakdown::of(&stamps)), per_second: 60, parameters: None };
        let text = statistics_text(&latest(), &shown);
        let value = |name: &str| -> i64 {
            let line = text.lines().find(|line| line.starts_with(name)).expect("the line is there");
            let number = line.split_whitespace().nth(1).expect("a number").replace('.', "");
            number.parse().expect("a number")
        };
        assert_eq!(NAMES.iter().map(|name| value(name)).sum::<i64>(), value("total"), "{text}");
        assert_eq!(value("total"), 8_001);
        assert_eq!(value("network"), -55);
    }

    #[test]
    fn everything_asked_for_is_told() {
        let parameters =
            StreamParameters { width: 1920, height: 1080, rate_millihertz: 60_000, codec: Codec::H264 };
        let shown = Shown { median: None, per_second: 59, parameters: Some(parameters) };
        let text = statistics_text(&latest(), &shown);
        for part in [
            "1920 x 1080 H264",
            "59 fps",
            "12.34 Mbit/s",
            "no picture",
            "rtt 1.234 ms",
            "lost 1.0 of 1000",
            "repaired by parity 0",
            "127.0.0.1:4747",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn path_is_told_by_its_kind() {
        let way = Way { is_relayed: true, is_streamed: false, address: ([192, 0, 2, 2], 4749).into() };
        let text = statistics_text(&Latest { way: Some(way), ..latest() }, &Shown::default());
        assert!(text.contains("path relay, 192.0.2.2:4749"), "{text}");
    }

    #[test]
    fn lines_are_written_only_when_they_change() {
        let mut lines = Lines::new(false);
        let (mut latest, at) = (latest(), Instant::from_millis);
        latest.status = Status::Connecting;
        assert_eq!(lines.write(at(1_000), "h", &latest, Shown::default), Some("connecting to h ..."));
        assert_eq!(lines.write(at(1_001), "h", &latest, Shown::default), None);
        latest.status = Status::Live;
        latest.live_since = Some(at(1_002));
        assert_eq!(lines.write(at(1_002), "h", &latest, Shown::default), Some(""));
        assert_eq!(lines.due(&latest), at(2_002), "it is looked at only now and then");
        lines.toggle();
        assert!(lines.write(at(1_003), "h", &latest, Shown::default).unwrap().contains("rtt"));
        assert_eq!(lines.due(&latest), at(1_503));
        lines.toggle();
        assert_eq!(lines.write(at(1_004), "h", &latest, Shown::default), Some(""));
    }

    #[test]
    fn lost_connection_counts_down() {
        let now = Instant::from_millis(1_000);
        let text = |status| status_text(&Latest { status, ..latest() }, "host", now);
        assert_eq!(text(Status::Live), None);
        assert_eq!(text(Status::Connecting).unwrap(), "connecting to host ...");
        let lost = Status::Lost(Instant::from_millis(2_240));
        assert_eq!(text(lost).unwrap(), "lost host, retrying in 1.3 s");
    }

    #[test]
    fn capture_without_a_signal_is_shown_over_the_picture_while_the_host_lives() {
        let at = Instant::from_millis;
        let mut latest = latest();
        latest.heard_at = at(5_000);
        let mut lines = Lines::new(false);
        assert_eq!(lines.write(at(5_000), "h", &latest, Shown::default), None);
        let signal = SignalDescription::new("HDMI");
        let mut enter = |condition, since| {
            latest.capture.enter(CaptureState { condition, since, signal });
            latest
        };
        let none = enter(CaptureCondition::NoSignal, at(5_000));
        assert_eq!(lines.write(at(5_010), "h", &none, Shown::default), None, "it may be over soon");
        assert_eq!(lines.due(&none), at(5_300));
        let card = lines.write(at(5_300), "h", &none, Shown::default).unwrap();
        assert_eq!(card, "HDMI: no signal since 0 s, cable or source asleep");
        let back = enter(CaptureCondition::Streaming, at(6_000));
        assert_eq!(lines.write(at(6_000), "h", &back, Shown::default), Some(""));
    }

    #[test]
    fn silence_is_told() {
        let text = |millis| status_text(&latest(), "host", Instant::from_millis(millis));
        assert_eq!(text(3_000), None);
        assert_eq!(text(3_450).unwrap(), "no word from host for 2.4 s");
    }
}
