//! Figures of a running host, for operators: counters and distributions of times.
//!
//! Every thread adds to them without waiting for another. They count since the start; whoever wants rates looks twice.
//! Nothing here tells who watches or what is shown.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};

use rift::{CaptureCondition, Instant};
use serde_json::{Value, json};

use crate::signal;

/// Upper ends of a distribution's classes, in microseconds: a picture at 60 Hz takes 16.7 ms, at 30 Hz 33.3.
const CLASSES_US: [u64; 14] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 12_000, 16_700, 25_000, 33_400, 50_000, 100_000, 250_000, 1_000_000,
];
const CONDITIONS: usize = CaptureCondition::ALL.len();

/// A distribution of times.
#[derive(Debug, Default)]
pub struct Times {
    /// One more class than ends: the last is of what is longer than all.
    counts: [AtomicU64; CLASSES_US.len() + 1],
    sum_us: AtomicU64,
}

impl Times {
    /// Adds one.
    pub fn add(&self, micros: u64) {
        let class = CLASSES_US.iter().position(|&end| micros <= end).unwrap_or(CLASSES_US.len());
        self.counts[class].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The end of the class below which this part (of 100) lies, in microseconds; `None` when it is the open one or
    /// there is nothing.
    #[must_use]
    pub fn percentile_us(&self, percent: u64) -> Option<u64> {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        let mut classes = CLASSES_US.iter().zip(&self.counts);
        classes
            .find(|(_, count)| {
                seen += count.load(Ordering::Relaxed);
                seen >= wanted && seen > 0
            })
            .map(|(&end, _)| end)
    }

    fn mean_us(&self) -> Option<u64> {
        self.sum_us.load(Ordering::Relaxed).checked_div(self.count())
    }

    fn to_json(&self) -> Value {
        json!({
            "count": self.count(),
            "mean": self.mean_us(),
            "p50_at_most": self.percentile_us(50),
            "p95_at_most": self.percentile_us(95),
        })
    }

    fn expose(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, help, "histogram");
        let mut sum = 0;
        for (end, count) in CLASSES_US.iter().zip(&self.counts) {
            sum += count.load(Ordering::Relaxed);
            line(text, &format!("{name}_bucket{{le=\"{}\"}}", seconds(*end)), sum);
        }
        line(text, &format!("{name}_bucket{{le=\"+Inf\"}}"), self.count());
        line(text, &format!("{name}_sum"), seconds(self.sum_us.load(Ordering::Relaxed)));
        line(text, &format!("{name}_count"), self.count());
    }
}

/// Why a frame or picture never came to a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The device says that it lost it.
    Device = 0,
    /// It was marked as faulty, too short, or no picture.
    Faulty = 1,
    /// The encoder failed at it.
    Encoder = 2,
    /// A viewer could not take it in time.
    Viewer = 3,
}

impl Cause {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Device, "device"),
        (Self::Faulty, "faulty"),
        (Self::Encoder, "encoder"),
        (Self::Viewer, "viewer"),
    ];
}

/// See the module.
#[derive(Debug, Default)]
pub struct Metrics {
    /// From the moment the device says a frame was taken until we had it.
    pub capture: Times,
    /// Converting it to what the encoder reads; pictures that need none are not counted.
    pub convert: Times,
    /// Encoding it, without converting.
    pub encode: Times,
    /// How much later than they were due paced datagrams left.
    pub departure: Times,
    pictures: AtomicU64,
    bytes: AtomicU64,
    copies: AtomicU64,
    drops: [AtomicU64; Cause::ALL.len()],
    viewers: AtomicU64,
    sessions: AtomicU64,
    /// How often each condition of the capture began, and how long it has lasted in all, in microseconds.
    entered: [AtomicU64; CONDITIONS],
    lasted_us: [AtomicU64; CONDITIONS],
    /// The condition now and since when, in one word: condition + 1 in the top byte; 0 = there is none.
    now: AtomicU64,
}

/// Bits of [`Metrics::now`] that hold the time.
const TIME_BITS: u32 = 56;

impl Metrics {
    /// A picture was encoded: when that began, when its pixels were in the encoder's form, and when it was done; its
    /// bytes; and whether its pixels were copied on the way to the encoder.
    pub fn encoded(&self, [begun, converted, encoded]: [Instant; 3], bytes: usize, is_copied: bool) {
        if is_copied {
            self.convert.add(converted.micros_since(begun));
        }
        self.encode.add(encoded.micros_since(converted));
        self.pictures.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.copies.fetch_add(is_copied.into(), Ordering::Relaxed);
    }

    /// One more was lost for this reason.
    pub fn dropped(&self, cause: Cause) {
        self.drops[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// So many were lost for this reason since the start.
    pub fn set_dropped(&self, cause: Cause, count: u64) {
        self.drops[cause as usize].store(count, Ordering::Relaxed);
    }

    /// A session began.
    pub fn session_began(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// So many are watching now.
    pub fn set_viewers(&self, count: usize) {
        self.viewers.store(count as u64, Ordering::Relaxed);
    }

    /// The capture is in another condition from now on.
    pub fn enter(&self, now: Instant, condition: CaptureCondition) {
        let word = u64::from(condition.code() + 1) << TIME_BITS | now.as_micros() & ((1 << TIME_BITS) - 1);
        let before = self.now.swap(word, Ordering::Relaxed);
        if let Some((before, since)) = condition_of(before) {
            self.lasted_us[before].fetch_add(now.micros_since(since), Ordering::Relaxed);
        }
        self.entered[usize::from(condition.code())].fetch_add(1, Ordering::Relaxed);
    }

    /// All of it, as one JSON object; times in microseconds.
    #[must_use]
    pub fn to_json(&self, now: Instant) -> Value {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let drops: serde_json::Map<_, _> = Cause::ALL
            .iter()
            .map(|&(cause, name)| (name.to_owned(), json!(load(&self.drops[cause as usize]))))
            .collect();
        let states: serde_json::Map<_, _> = CaptureCondition::ALL
            .into_iter()
            .filter(|condition| load(&self.entered[usize::from(condition.code())]) > 0)
            .map(|condition| {
                let index = usize::from(condition.code());
                let value = json!({ "entered": load(&self.entered[index]), "us": self.lasted(index, now) });
                (signal::name(condition).to_owned(), value)
            })
            .collect();
        json!({
            "pictures": load(&self.pictures),
            "bytes": load(&self.bytes),
            "copies": load(&self.copies),
            "viewers": load(&self.viewers),
            "sessions": load(&self.sessions),
            "drops": drops,
            "capture_states": states,
            "capture_us": self.capture.to_json(),
            "convert_us": self.convert.to_json(),
            "encode_us": self.encode.to_json(),
            "departure_us": self.departure.to_json(),
        })
    }

    /// All of it, in the text format that Prometheus reads (version 0.0.4).
    #[must_use]
    pub fn exposition(&self, now: Instant) -> String {
        let mut text = String::new();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.capture.expose(
            &mut text,
            "wavry_capture_seconds",
            "From a frame's own time until it was taken.",
        );
        self.convert.expose(&mut text, "wavry_convert_seconds", "Converting a frame for the encoder.");
        self.encode.expose(&mut text, "wavry_encode_seconds", "Encoding a picture.");
        self.departure.expose(
            &mut text,
            "wavry_departure_seconds",
            "Paced datagrams, later than they were due.",
        );
        for (name, help, kind, value) in [
            ("wavry_pictures_total", "Pictures encoded.", "counter", load(&self.pictures)),
            ("wavry_picture_bytes_total", "Bytes of encoded pictures.", "counter", load(&self.bytes)),
            ("wavry_copies_total", "Copies of pixels before encoding.", "counter", load(&self.copies)),
            ("wavry_sessions_total", "Sessions that began.", "counter", load(&self.sessions)),
            ("wavry_viewers", "Viewers now.", "gauge", load(&self.viewers)),
        ] {
            head(&mut text, name, help, kind);
            line(&mut text, name, value);
        }
        head(&mut text, "wavry_drops_total", "Frames and pictures that never came to a viewer.", "counter");
        for (cause, name) in Cause::ALL {
            let value = load(&self.drops[cause as usize]);
            line(&mut text, &format!("wavry_drops_total{{cause=\"{name}\"}}"), value);
        }
        self.expose_states(&mut text, now);
        text
    }

    fn expose_states(&self, text: &mut String, now: Instant) {
        let current = condition_of(self.now.load(Ordering::Relaxed)).map(|(index, _)| index);
        let labelled = |name: &str, index: usize| {
            format!("{name}{{state=\"{}\"}}", signal::name(CaptureCondition::ALL[index]))
        };
        head(text, "wavry_capture_state", "1 for the state that the capture is in.", "gauge");
        for index in 0..CONDITIONS {
            line(text, &labelled("wavry_capture_state", index), u8::from(current == Some(index)));
        }
        head(text, "wavry_capture_state_entered_total", "How often each state began.", "counter");
        for (index, entered) in self.entered.iter().enumerate() {
            line(
                text,
                &labelled("wavry_capture_state_entered_total", index),
                entered.load(Ordering::Relaxed),
            );
        }
        head(text, "wavry_capture_state_seconds_total", "How long each state has lasted.", "counter");
        for index in 0..CONDITIONS {
            let lasted = seconds(self.lasted(index, now));
            line(text, &labelled("wavry_capture_state_seconds_total", index), lasted);
        }
    }

    fn lasted(&self, index: usize, now: Instant) -> u64 {
        let current = condition_of(self.now.load(Ordering::Relaxed)).filter(|&(current, _)| current == index);
        self.lasted_us[index].load(Ordering::Relaxed)
            + current.map_or(0, |(_, since)| now.micros_since(since))
    }
}

fn condition_of(word: u64) -> Option<(usize, Instant)> {
    let index = usize::try_from(word >> TIME_BITS).ok()?.checked_sub(1)?;
    Some((index, Instant::from_micros(word & ((1 << TIME_BITS) - 1))))
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, value: impl core::fmt::Display) {
    let _ = writeln!(text, "{name} {value}");
}

/// Microseconds as a decimal number of seconds.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distribution_counts_each_time_once_and_sums_up() {
        let times = Times::default();
        for micros in [1, 250, 251, 16_700, 2_000_000] {
            times.add(micros);
        }
        assert_eq!(times.count(), 5);
        assert_eq!(times.percentile_us(40), Some(250));
        assert_eq!(times.percentile_us(60), Some(500));
        assert_eq!(times.percentile_us(100), None, "beyond every class");
        let mut text = String::new();
        times.expose(&mut text, "t", "Times.");
        for expected in ["t_bucket{le=\"0.00025\"} 2", "t_bucket{le=\"0.0167\"} 4", "t_bucket{le=\"+Inf\"} 5"]
        {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(text.contains("t_sum 2.017202\nt_count 5"), "{text}");
        assert_eq!(Times::default().percentile_us(50), None);
    }

    #[test]
    fn time_in_each_state_adds_up_to_the_whole() {
        let metrics = Metrics::default();
        let at = Instant::from_millis;
        metrics.enter(at(1000), CaptureCondition::Negotiating);
        metrics.enter(at(1100), CaptureCondition::Streaming);
        metrics.enter(at(5100), CaptureCondition::NoSignal);
        metrics.enter(at(6100), CaptureCondition::Streaming);
        let states = metrics.to_json(at(7100))["capture_states"].clone();
        assert_eq!(states["streaming"], json!({ "entered": 2, "us": 5_000_000 }));
        assert_eq!(states["negotiating"]["us"], 100_000);
        assert!(states.get("failed").is_none());
        let text = metrics.exposition(at(7100));
        for expected in [
            "wavry_capture_state{state=\"streaming\"} 1",
            "wavry_capture_state{state=\"no_signal\"} 0",
            "wavry_capture_state_seconds_total{state=\"no_signal\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }

    #[test]
    fn every_line_of_the_exposition_is_a_comment_or_a_name_and_a_number() {
        let metrics = Metrics::default();
        metrics.dropped(Cause::Viewer);
        metrics.encoded([Instant::ZERO; 3], 1000, true);
        let text = metrics.exposition(Instant::ZERO);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("two words");
            assert!(name.starts_with("wavry_"), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("wavry_drops_total{cause=\"viewer\"} 1"));
    }
}
