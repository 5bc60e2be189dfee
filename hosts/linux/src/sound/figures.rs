//! Figures of the sound, for operators: counters since the start, and how the device is.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rift_hal::AudioState;
use serde_json::{Value, json};

/// See the module. Threads add to them without waiting for another.
#[derive(Debug, Default)]
pub struct SoundFigures {
    /// Empty where no sound is shared.
    device: Mutex<String>,
    state: AtomicU8,
    listeners: AtomicU64,
    coded: AtomicU64,
    bytes: AtomicU64,
    sent: AtomicU64,
    left_out: AtomicU64,
    overruns: AtomicU64,
}

const STATES: [(AudioState, &str); 3] =
    [(AudioState::Stopped, "stopped"), (AudioState::Running, "running"), (AudioState::Lost, "lost")];

impl SoundFigures {
    /// What is heard, by name.
    pub fn set_device(&self, device: &str) {
        device.clone_into(&mut self.device.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How the device is.
    pub fn set_state(&self, state: AudioState) {
        let code = STATES.iter().position(|(one, _)| *one == state).unwrap_or(0);
        self.state.store(u8::try_from(code).unwrap_or(0), Ordering::Relaxed);
    }

    /// So many listen.
    pub fn set_listeners(&self, count: usize) {
        self.listeners.store(count as u64, Ordering::Relaxed);
    }

    /// The device has lost frames so often, because they were not taken in time.
    pub fn set_overruns(&self, count: u64) {
        self.overruns.store(count, Ordering::Relaxed);
    }

    /// A packet of so many bytes was coded.
    pub fn coded(&self, bytes: usize) {
        self.coded.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A packet was given to a session.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A packet had no room.
    pub fn left_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it; `null` where no sound is shared.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        if device.is_empty() {
            return Value::Null;
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "device": *device,
            "state": STATES[usize::from(self.state.load(Ordering::Relaxed))].1,
            "listeners": load(&self.listeners),
            "packets": load(&self.coded),
            "bytes": load(&self.bytes),
            "sent": load(&self.sent),
            "left_out": load(&self.left_out),
            "overruns": load(&self.overruns),
        })
    }

    /// All of it, in the text format that Prometheus reads; nothing where no sound is shared.
    #[must_use]
    pub fn exposition(&self) -> String {
        if self.device.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return String::new();
        }
        let is_running = self.state.load(Ordering::Relaxed) == 1;
        let lines = [
            ("wavry_sound_running", "1 while sound is captured.", "gauge", u64::from(is_running)),
            ("wavry_sound_listeners", "Viewers who listen now.", "gauge", self.load(&self.listeners)),
            ("wavry_sound_packets_total", "Packets of sound coded.", "counter", self.load(&self.coded)),
            ("wavry_sound_bytes_total", "Bytes of these.", "counter", self.load(&self.bytes)),
            ("wavry_sound_left_out_total", "Packets without room.", "counter", self.load(&self.left_out)),
            ("wavry_sound_overruns_total", "Times frames were lost.", "counter", self.load(&self.overruns)),
        ];
        lines
            .map(|(name, help, kind, value)| {
                format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
            })
            .concat()
    }

    fn load(&self, counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_where_sound_is_shared() {
        let figures = SoundFigures::default();
        assert!(figures.to_json().is_null() && figures.exposition().is_empty());
        figures.set_device("hw:Loopback,1");
        figures.set_state(AudioState::Lost);
        figures.coded(100);
        figures.coded(50);
        let json = figures.to_json();
        assert_eq!((&json["state"], &json["bytes"]), (&json!("lost"), &json!(150)));
        let text = figures.exposition();
        assert!(
            text.contains("wavry_sound_packets_total 2\n") && text.contains("wavry_sound_running 0\n"),
            "{text}"
        );
    }
}
