//! What the host says of its capture device: the words for it, and how long each state has lasted.

use rift::{CaptureCondition, CaptureState, Instant};
use serde_json::{Value, json};

/// A state that is over sooner is not shown: cards are set anew in some tenths of a second, and a flash of words would
/// only disturb.
const SHOWN_AFTER_US: u64 = 300_000;
const CONDITIONS: usize = CaptureCondition::ALL.len();

/// The states a session's capture has been in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureHistory {
    now: Option<CaptureState>,
    entered: [u32; CONDITIONS],
    lasted_us: [u64; CONDITIONS],
}

impl CaptureHistory {
    /// The state now; `None`: the host has no capture device, or has not spoken of it.
    #[must_use]
    pub const fn now(&self) -> Option<&CaptureState> {
        self.now.as_ref()
    }

    /// The host says that its capture is in this state now.
    pub fn enter(&mut self, state: CaptureState) {
        let index = usize::from(state.condition.code());
        match &self.now {
            Some(before) if before.condition == state.condition => {}
            before => {
                if let Some(before) = before {
                    let lasted_us = state.since.micros_since(before.since);
                    self.lasted_us[usize::from(before.condition.code())] += lasted_us;
                }
                self.entered[index] += 1;
            }
        }
        self.now = Some(state);
    }

    /// For programs: the state now, and of each how often it began and how long it lasted.
    #[must_use]
    pub fn to_json(&self, now: Instant) -> Value {
        let Some(current) = &self.now else { return Value::Null };
        let running_us = now.micros_since(current.since);
        let states: serde_json::Map<_, _> = CaptureCondition::ALL
            .into_iter()
            .filter(|condition| self.entered[usize::from(condition.code())] > 0)
            .map(|condition| {
                let index = usize::from(condition.code());
                let running_us = if condition == current.condition { running_us } else { 0 };
                let us = self.lasted_us[index] + running_us;
                (name(condition).to_owned(), json!({ "entered": self.entered[index], "us": us }))
            })
            .collect();
        json!({
            "state": name(current.condition),
            "us": running_us,
            "signal": current.signal.as_str(),
            "states": states,
        })
    }
}

/// What to show over the last picture; `None` while pictures come.
#[must_use]
pub fn card(state: &CaptureState, now: Instant) -> Option<String> {
    let what = match state.condition {
        CaptureCondition::Streaming => return None,
        CaptureCondition::NoDevice => ("capture card gone", "unplugged, or its driver is not loaded"),
        CaptureCondition::NoSignal => ("no signal", "cable or source asleep"),
        CaptureCondition::NoLock => ("signal unstable", "bad cable, or the source is changing its mode"),
        CaptureCondition::OutOfRange => ("signal out of range", "the source's mode is beyond the card"),
        CaptureCondition::Negotiating => {
            ("waiting for the first frame", "the card is being set to its signal")
        }
        CaptureCondition::Stalled => ("no frames", "there is a signal, and the card gives no pictures of it"),
        CaptureCondition::Failed => ("capture card refuses", "it is tried again"),
    };
    if now < shown_at(state) {
        return None;
    }
    let (head, why) = what;
    let label = if state.signal.as_str().is_empty() { "capture" } else { state.signal.as_str() };
    Some(format!("{label}: {head} since {}, {why}", age(now.micros_since(state.since))))
}

/// When [`card`] begins to say something of this state.
#[must_use]
pub fn shown_at(state: &CaptureState) -> Instant {
    state.since.plus_micros(SHOWN_AFTER_US)
}

/// A name for programs and logs.
#[must_use]
pub const fn name(condition: CaptureCondition) -> &'static str {
    match condition {
        CaptureCondition::NoDevice => "no_device",
        CaptureCondition::NoSignal => "no_signal",
        CaptureCondition::NoLock => "no_lock",
        CaptureCondition::OutOfRange => "out_of_range",
        CaptureCondition::Negotiating => "negotiating",
        CaptureCondition::Streaming => "streaming",
        CaptureCondition::Stalled => "stalled",
        CaptureCondition::Failed => "failed",
    }
}

fn age(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use rift::SignalDescription;

    use super::*;

    fn state(condition: CaptureCondition, since_ms: u64, signal: &str) -> CaptureState {
        let signal = SignalDescription::new(signal);
        CaptureState { condition, since: Instant::from_millis(since_ms), signal }
    }

    #[test]
    fn card_says_what_is_wrong_since_when_and_why() {
        let none = state(CaptureCondition::NoSignal, 1000, "HDMI");
        let at = |ms| card(&none, Instant::from_millis(ms));
        assert_eq!(at(13_500).unwrap(), "HDMI: no signal since 12 s, cable or source asleep");
        assert_eq!(at(1000 + 83_000).unwrap(), "HDMI: no signal since 1 min 23 s, cable or source asleep");
        assert_eq!(at(1000 + 7_400_000).unwrap(), "HDMI: no signal since 2 h 3 min, cable or source asleep");
        assert_eq!(at(1299), None, "it may be over in a moment");
        assert_eq!(card(&state(CaptureCondition::Streaming, 0, "HDMI"), Instant::from_millis(9000)), None);
        let unnamed = card(&state(CaptureCondition::NoDevice, 0, ""), Instant::from_millis(9000)).unwrap();
        assert!(unnamed.starts_with("capture: capture card gone since 9 s"), "{unnamed}");
    }

    #[test]
    fn times_of_all_states_add_up() {
        let mut history = CaptureHistory::default();
        assert_eq!(history.to_json(Instant::ZERO), Value::Null);
        history.enter(state(CaptureCondition::Streaming, 1000, "a"));
        history.enter(state(CaptureCondition::Streaming, 1000, "b"));
        history.enter(state(CaptureCondition::NoSignal, 3000, ""));
        history.enter(state(CaptureCondition::Streaming, 4500, "b"));
        let json = history.to_json(Instant::from_millis(5000));
        assert_eq!(json["states"]["streaming"], json!({ "entered": 2, "us": 2_500_000 }));
        assert_eq!(json["states"]["no_signal"], json!({ "entered": 1, "us": 1_500_000 }));
        assert_eq!((&json["state"], &json["signal"]), (&json!("streaming"), &json!("b")));
    }
}
