//! What a capture device says of itself, in the words of the protocol and of the log.
//!
//! A device may change its mind many times a second; the log gets a bounded number of lines of it, and each tells how
//! many were left out before it.

use rift::{CaptureCondition, CaptureState, Instant, SignalDescription};
use rift_v4l::{CaptureState as Device, V4lError, V4lSource};
use tracing::{info, warn};

/// Lines that may come at once,
const LINES_MAX: u32 = 12;
/// and how long it takes until one more may, in microseconds: six a minute.
const LINE_US: u64 = 10_000_000;

/// What the source is doing now.
#[must_use]
pub fn state_of(source: &V4lSource) -> CaptureState {
    let condition = condition(source.state());
    CaptureState { condition, since: source.state_since(), signal: SignalDescription::new(&words(source)) }
}

/// The protocol's word for a state of a capture device.
#[must_use]
pub const fn condition(state: Device) -> CaptureCondition {
    match state {
        Device::NoDevice => CaptureCondition::NoDevice,
        Device::NoSignal => CaptureCondition::NoSignal,
        Device::NoLock => CaptureCondition::NoLock,
        Device::OutOfRange => CaptureCondition::OutOfRange,
        Device::Negotiating => CaptureCondition::Negotiating,
        Device::Streaming => CaptureCondition::Streaming,
        Device::Stalled => CaptureCondition::Stalled,
        Device::Failed | _ => CaptureCondition::Failed,
    }
}

/// A name of the condition for logs, status and metrics.
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

/// The input, then the signal or what is wrong.
fn words(source: &V4lSource) -> String {
    let input = source.input_name().unwrap_or_default();
    let more = match (source.state(), source.timings(), source.error()) {
        (Device::Failed, _, Some(V4lError::Busy(_))) => "in use by another program".to_owned(),
        (Device::Failed, _, Some(V4lError::NotPermitted(_))) => "no permission".to_owned(),
        (Device::Failed, _, Some(V4lError::NoFormat { .. })) => "no usable pixel format".to_owned(),
        (Device::Streaming, Some(timings), _) => {
            let rate = f64::from(timings.rate_millihertz) / 1000.0;
            let letter = if timings.is_interlaced { "i" } else { "" };
            format!("{}x{}{letter} at {rate:.2} Hz", timings.width, timings.height)
        }
        (Device::Streaming, None, _) => {
            let layout = source.layout();
            format!("{}x{}", layout.width, layout.height)
        }
        _ => String::new(),
    };
    match (input.is_empty(), more.is_empty()) {
        (false, false) => format!("{input}, {more}"),
        (true, false) => more,
        _ => input.to_owned(),
    }
}

/// Writes changes to the log, within bounds.
#[derive(Debug)]
pub struct SignalLog {
    known: Option<CaptureState>,
    /// Lines that may come now.
    lines: u32,
    refilled_at: Instant,
    left_out: u64,
}

impl SignalLog {
    /// Nothing is known yet.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { known: None, lines: LINES_MAX, refilled_at: now, left_out: 0 }
    }

    /// Takes note of a state. `Some`: it is another than before, and the number of changes left out is to be logged
    /// with it, or (`None` inside) nothing is.
    pub fn note(&mut self, now: Instant, state: &CaptureState) -> Option<Option<u64>> {
        let is_known = |known: &CaptureState| {
            (known.condition, known.signal.as_str()) == (state.condition, state.signal.as_str())
        };
        if self.known.as_ref().is_some_and(is_known) {
            return None;
        }
        self.known = Some(*state);
        let due = now.micros_since(self.refilled_at) / LINE_US;
        self.lines = self.lines.saturating_add(u32::try_from(due).unwrap_or(u32::MAX)).min(LINES_MAX);
        self.refilled_at = self.refilled_at.plus_micros(due * LINE_US);
        if self.lines == 0 {
            self.left_out += 1;
            return Some(None);
        }
        self.lines -= 1;
        Some(Some(core::mem::take(&mut self.left_out)))
    }

    /// As [`Self::note`], and writes the line. `error` is what the device said last. Returns whether it is a change.
    pub fn write(&mut self, now: Instant, state: &CaptureState, error: Option<&V4lError>) -> bool {
        let before = self.known;
        let Some(line) = self.note(now, state) else { return false };
        let Some(left_out) = line else { return true };
        let lasted_ms = before.map_or(0, |before| state.since.micros_since(before.since) / 1000);
        let before = before.map_or("none", |before| name(before.condition));
        let (to, signal) = (name(state.condition), state.signal.as_str());
        let error = error.map(ToString::to_string).unwrap_or_default();
        if matches!(state.condition, CaptureCondition::Streaming | CaptureCondition::Negotiating) {
            info!(before, lasted_ms, left_out, signal, "capture: {to}");
        } else {
            warn!(before, lasted_ms, left_out, signal, error, "capture: {to}");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(condition: CaptureCondition) -> CaptureState {
        CaptureState { condition, since: Instant::ZERO, signal: SignalDescription::NONE }
    }

    #[test]
    fn flapping_signal_is_logged_within_bounds_and_what_was_left_out_is_counted() {
        let mut log = SignalLog::new(Instant::ZERO);
        let conditions = [CaptureCondition::NoSignal, CaptureCondition::Negotiating];
        let mut lines = Vec::new();
        for turn in 0..6000_u64 {
            let now = Instant::from_millis(turn * 10);
            let state = state(conditions[usize::from(turn % 2 == 0)]);
            let line = log.note(now, &state).expect("every turn is a change");
            lines.extend(line);
        }
        assert_eq!(lines.len() as u64, u64::from(LINES_MAX) + 5, "a minute's worth");
        assert_eq!(lines[..12], [0; 12]);
        assert!(lines[12..].iter().all(|&left_out| left_out >= 900), "{lines:?}");
    }

    #[test]
    fn same_state_is_no_change() {
        let mut log = SignalLog::new(Instant::ZERO);
        let known = state(CaptureCondition::NoSignal);
        assert_eq!(log.note(Instant::ZERO, &known), Some(Some(0)));
        let later = CaptureState { since: Instant::from_millis(5), ..known };
        assert_eq!(log.note(Instant::from_millis(9), &later), None);
        let named = CaptureState { signal: SignalDescription::new("HDMI"), ..known };
        assert_eq!(log.note(Instant::from_millis(9), &named), Some(Some(0)));
    }
}
