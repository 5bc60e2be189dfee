//! Plays a host's flight record again: the same history through a controller, this one or a changed one.

use rift::delta::{self, Delta, PacketReport};
use rift::flight::FlightEntry;
use rift::{Budget, Config};

/// What came of playing a record again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// What was granted after each entry that decides: as many as the record has.
    pub grants: Vec<Budget>,
    /// The first entry of the record whose grant was another then, by its place.
    pub diverged_at: Option<usize>,
}

/// Plays the record of a host with these limits. A controller like the one that was recorded decides as it did.
#[must_use]
pub fn replay(config: &Config, record: &[FlightEntry]) -> Replay {
    let begin = |bitrate_bps_start: u32| {
        Delta::new(&delta::Config {
            bitrate_bps_min: config.bitrate_bps_min,
            bitrate_bps_start,
            bitrate_bps_max: config.bitrate_bps_max,
        })
    };
    let mut delta = begin(config.bitrate_bps_start);
    let mut replay = Replay::default();
    let mut reports: Vec<PacketReport> = Vec::new();
    for (place, entry) in record.iter().enumerate() {
        match *entry {
            FlightEntry::Sent { at, bytes, is_reported } => {
                if is_reported {
                    delta.on_sent(at, bytes.into());
                }
            }
            FlightEntry::Received { .. } => {}
            FlightEntry::Report(report) => reports.push(report),
            FlightEntry::Feedback { at, round_trip_us } => {
                delta.on_feedback(at, round_trip_us, reports.drain(..));
            }
            FlightEntry::Silence { at } => delta.handle_timeout(at),
            FlightEntry::Forgotten { bytes } => delta.on_forgotten(bytes.into()),
            FlightEntry::Restarted { bitrate_bps } => delta = begin(bitrate_bps),
            FlightEntry::PictureRate { millihertz } => delta.set_picture_rate(millihertz),
            FlightEntry::Answered { is_answered } => delta.set_answered(is_answered),
            FlightEntry::Window { pictures } => delta.set_window(pictures),
            FlightEntry::Grant { .. } => {
                let budget = delta.budget();
                if FlightEntry::of_budget(&budget) != *entry && replay.diverged_at.is_none() {
                    replay.diverged_at = Some(place);
                }
                replay.grants.push(budget);
            }
        }
    }
    replay
}
