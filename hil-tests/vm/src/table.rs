//! What was seen, as text.

use core::fmt::Write as _;

use rift_v4l::CaptureState;

/// A fault must show within this time, µs.
pub const SHOWN_MAX_US: u64 = 1_000_000;
/// The picture must be back so soon after a fault has ended, µs.
pub const BACK_MAX_US: u64 = 2_000_000;

/// What was seen of a signal without faults, in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The signal's name.
    pub name: &'static str,
    /// The picture's size.
    pub size: (u32, u32),
    /// Frames of the card's pattern.
    pub frames: u32,
    /// Frames counted as lost.
    pub lost: u64,
    /// Other frames.
    pub strange: u32,
    /// The oldest frame when it was handed out, µs since the card took it.
    pub age_us_max: u64,
}

impl Rate {
    /// Whether nearly all frames of a 60 Hz signal came, and nothing else.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.frames >= FRAMES_MIN && self.strange == 0
    }
}

/// Of the 60 frames of a second: the emulated processor also draws them.
pub const FRAMES_MIN: u32 = 50;

/// The rates as text.
#[must_use]
pub fn rates(rates: &[Rate]) -> String {
    let mut text =
        format!("{:<12}{:>12}{:>10}{:>6}{:>13}\n", "signal", "picture", "frames/s", "lost", "oldest ms");
    for rate in rates {
        let size = format!("{}x{}", rate.size.0, rate.size.1);
        let age = rate.age_us_max as f64 / 1e3;
        let verdict = if rate.is_good() { "" } else { "  FAILED" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<12}{size:>12}{:>10}{:>6}{age:>13.1}{verdict}",
            rate.name, rate.frames, rate.lost
        );
    }
    text
}

/// Sixty frames, ten looks of the bench's own and as many attempts to recover.
pub const LOOKS_MAX: u64 = 100;

/// What was seen of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub fault: &'static str,
    /// The states the source was in, one after another.
    pub states: Vec<CaptureState>,
    /// How long after its begin it showed; `None` = never.
    pub shown_us: Option<u64>,
    /// How long after its end the first good picture came; `None` = never.
    pub back_us: Option<u64>,
    /// Frames counted as lost.
    pub lost: u64,
    /// Frames counted as faulty.
    pub discarded: u64,
    /// Frames handed out that were not the card's pattern, such as noise; and the last picture where it was missing.
    pub strange: u32,
    /// How many more or fewer descriptors there were afterwards.
    pub descriptors: usize,
    /// How often the source wanted to be looked at while the fault lasted.
    pub looks_per_second: u64,
    /// What the source said had failed, one after another.
    pub errors: Vec<String>,
}

impl Row {
    /// The bounds that do not hold.
    #[must_use]
    pub fn misses(&self) -> Vec<&'static str> {
        let late = |time: Option<u64>, max| time.is_none_or(|time| time > max);
        let checks = [
            (late(self.shown_us, SHOWN_MAX_US), "shown late or never"),
            (late(self.back_us, BACK_MAX_US), "back late or never"),
            (self.strange > 0, "showed what is not the signal's picture"),
            (self.descriptors > 0, "descriptors leak"),
            (self.looks_per_second > LOOKS_MAX, "busy although nothing happens"),
        ];
        checks.into_iter().filter_map(|(misses, what)| misses.then_some(what)).collect()
    }
}

/// The table, and below it what failed.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<36}{:>9}{:>9}{:>6}{:>7}{:>8}  {}\n",
        "fault", "shown ms", "back ms", "lost", "faulty", "wakes/s", "what the capture layer reported"
    );
    let milliseconds =
        |time: Option<u64>| time.map_or("never".to_owned(), |time| format!("{:.1}", time as f64 / 1e3));
    for row in rows {
        let states: Vec<String> = row.states.iter().map(|state| format!("{state:?}")).collect();
        let (shown, back) = (milliseconds(row.shown_us), milliseconds(row.back_us));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<36}{shown:>9}{back:>9}{:>6}{:>7}{:>8}  {}",
            row.fault,
            row.lost,
            row.discarded,
            row.looks_per_second,
            states.join(" > ")
        );
        for error in &row.errors {
            let _ = writeln!(text, "{:<77}{error}", "");
        }
    }
    for row in rows {
        for miss in row.misses() {
            let _ = writeln!(text, "FAILED: {}: {miss}", row.fault);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_do_not_hold_are_named() {
        let good = Row {
            fault: "a fault",
            states: vec![CaptureState::Streaming, CaptureState::NoSignal],
            shown_us: Some(SHOWN_MAX_US),
            back_us: Some(BACK_MAX_US),
            lost: 3,
            discarded: 0,
            strange: 0,
            descriptors: 0,
            looks_per_second: 100,
            errors: vec!["it broke".to_owned()],
        };
        assert!(good.misses().is_empty());
        let bad = Row {
            shown_us: None,
            back_us: Some(BACK_MAX_US + 1),
            strange: 1,
            descriptors: 1,
            looks_per_second: 1000,
            ..good
        };
        assert_eq!(bad.misses().len(), 5);
        let text = text(&[bad]);
        assert!(
            text.contains("Streaming > NoSignal")
                && text.contains("never")
                && text.contains("FAILED: a fault")
        );
    }
}
