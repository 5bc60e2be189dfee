//! What was measured, as JSON for programs.

use serde_json::{Value, json};

use rift::{Codec, Instant, StreamParameters};
use rift_hal::AUDIO_RATE;

use crate::audio::SoundReport;
use crate::link::{Latest, Way};
use crate::stages::{NAMES, Percentiles, Stages};

/// Pictures as the viewing thread counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Decoded.
    pub decoded: u64,
    /// Presented; without a window every decoded picture is.
    pub presented: u64,
    /// Decoded and not presented, because a newer one had come.
    pub skipped: u64,
    /// Not decoded: broken, or referring to one that was.
    pub unusable: u64,
    /// When the first one was presented.
    pub first_at: Option<Instant>,
    /// When the last one was.
    pub last_at: Option<Instant>,
}

impl Counts {
    /// Pictures presented a second, from the first to the last.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        match (self.first_at, self.last_at) {
            (Some(first), Some(last)) if last > first && self.presented > 1 => {
                (self.presented - 1) as f64 * 1e6 / last.micros_since(first) as f64
            }
            _ => 0.0,
        }
    }
}

/// All there is to tell about a run.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The host as it was typed.
    pub host: &'a str,
    /// How it was shown.
    pub display: &'a str,
    /// What the stream was last.
    pub parameters: Option<StreamParameters>,
    /// The network's part.
    pub latest: &'a Latest,
    /// The ways it went, and since when.
    pub ways: &'a [(Instant, Way)],
    /// The viewing thread's part.
    pub counts: &'a Counts,
    /// Where the time went.
    pub stages: &'a Stages,
    /// When it ended.
    pub now: Instant,
}

impl Summary<'_> {
    /// One JSON object. Times are microseconds, as their names say; `stages_us` and `total_us` are percentiles,
    /// `median_us` are the stages of the picture with the median total, which sum to it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let latest = self.latest;
        let (traffic, stats) = (&latest.traffic, &latest.stats);
        let seconds = latest.live_since.map_or(0.0, |since| self.now.micros_since(since) as f64 / 1e6);
        let per_second = |amount: u64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
        json!({
            "host": self.host,
            "remote": latest.way.map(|way| way.address.to_string()),
            "path": latest.way.map(|way| way.kind()),
            "paths": self.paths_json(),
            "display": self.display,
            "permissions": latest.permissions.map(|granted| granted.words().collect::<Vec<_>>()),
            "width": self.parameters.map(|parameters| parameters.width),
            "height": self.parameters.map(|parameters| parameters.height),
            "rate_millihertz": self.parameters.map(|parameters| parameters.rate_millihertz),
            "codec": self.parameters.map(|parameters| codec_name(parameters.codec)),
            "seconds": seconds,
            "reconnects": latest.reconnects,
            "fps": self.counts.per_second(),
            "pictures": {
                "delivered": traffic.pictures_delivered,
                "repaired": traffic.pictures_repaired,
                "lost": traffic.pictures_lost,
                "decoded": self.counts.decoded,
                "presented": self.counts.presented,
                "skipped": self.counts.skipped,
                "unusable": self.counts.unusable,
            },
            "capture": latest.capture.to_json(self.now),
            "sound": sound(&latest.sound),
            "packets": { "received": traffic.packets_received, "missing": traffic.packets_missing },
            "loss_permille": traffic.loss_permille(),
            "bytes_received": traffic.bytes_received,
            "bitrate_bps": per_second(traffic.bytes_received * 8),
            "round_trip_us": stats.round_trip_us,
            "clock_offset_us": stats.clock_offset_us,
            "clock_error_us": (stats.clock_error_us != u32::MAX).then_some(stats.clock_error_us),
            "measured": self.stages.len(),
            "stages_us": self.stages_json(),
            "total_us": percentiles(&self.stages.percentiles().1),
            "median_us": self.median_json(),
        })
    }

    /// Each way and, in seconds before the end, since when.
    fn paths_json(&self) -> Value {
        let ways = self.ways.iter().map(|(at, way)| {
            let ago_s = self.now.micros_since(*at) as f64 / 1e6;
            json!({ "path": way.kind(), "address": way.address.to_string(), "ago_s": ago_s })
        });
        ways.collect()
    }

    fn stages_json(&self) -> Value {
        let (stages, _) = self.stages.percentiles();
        NAMES.iter().zip(&stages).map(|(name, stage)| ((*name).to_owned(), percentiles(stage))).collect()
    }

    fn median_json(&self) -> Value {
        let Some(median) = self.stages.median() else { return Value::Null };
        let stages =
            NAMES.iter().zip(median.stages()).map(|(name, micros)| ((*name).to_owned(), json!(micros)));
        stages.chain([("total".to_owned(), json!(median.total()))]).collect()
    }

    /// A few lines for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let total = self.stages.percentiles().1;
        let millis = |micros: i64| micros as f64 / 1000.0;
        format!(
            "{} pictures shown of {} received, {:.1} a second; capture to presentation {:.2} / {:.2} / {:.2} ms \
             (p50 / p95 / p99)",
            self.counts.presented,
            self.latest.traffic.pictures_delivered,
            self.counts.per_second(),
            millis(total.p50),
            millis(total.p95),
            millis(total.p99),
        )
    }
}

fn percentiles(of: &Percentiles) -> Value {
    json!({ "p50": of.p50, "p95": of.p95, "p99": of.p99 })
}

/// `null` while nothing was heard.
fn sound(sound: &SoundReport) -> Value {
    let player = &sound.player;
    if player.packets == 0 && player.lost == 0 {
        return Value::Null;
    }
    json!({
        "packets": player.packets,
        "lost": player.lost,
        "concealed_us": player.concealed * 1_000_000 / u64::from(AUDIO_RATE),
        "gaps": player.gaps,
        "dropped": player.dropped,
        "spliced": player.spliced,
        "broken": player.broken,
        "underruns": sound.underruns,
        "latency_us": player.latency_us,
        "in_hand_us": player.in_hand_us,
        "wanted_us": player.wanted_us,
        "drift_ppm": player.drift_ppm,
    })
}

const fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264",
        Codec::Tiles => "tiles",
        Codec::Jpeg => "jpeg",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureHistory;
    use crate::link::{Status, Traffic};
    use crate::stages::{Breakdown, Stamps};
    use rift::Stats;

    #[test]
    fn summary_tells_stages_that_sum() {
        let mut stages = Stages::new();
        let at = Instant::from_micros;
        let stamps = Stamps {
            captured: at(0),
            encoded: at(100),
            sent: at(300),
            first: at(600),
            whole: at(1000),
            decoded: at(1500),
            presented: at(2100),
        };
        stages.add(at(2100), Breakdown::of(&stamps));
        let latest = Latest {
            status: Status::Over,
            cursor: None,
            parameters: None,
            capture: CaptureHistory::default(),
            sound: SoundReport::default(),
            permissions: Some(rift::Permissions::view_only()),
            stats: Stats { clock_error_us: u32::MAX, ..Stats::default() },
            traffic: Traffic { bytes_received: 250_000, ..Traffic::default() },
            bitrate_bps: 0,
            heard_at: Instant::ZERO,
            way: Some(Way { is_relayed: false, is_streamed: false, address: ([127, 0, 0, 1], 4747).into() }),
            reconnects: 1,
            live_since: Some(at(0)),
        };
        let counts = Counts {
            presented: 61,
            first_at: Some(at(0)),
            last_at: Some(at(1_000_000)),
            ..Counts::default()
        };
        let summary = Summary {
            host: "h",
            display: "none",
            parameters: None,
            latest: &latest,
            ways: &[(
                at(500_000),
                Way { is_relayed: true, is_streamed: false, address: ([127, 0, 0, 1], 4749).into() },
            )],
            counts: &counts,
            stages: &stages,
            now: at(2_000_000),
        };
        let json = summary.to_json();
        let sum: i64 = NAMES.iter().map(|name| json["median_us"][name].as_i64().unwrap()).sum();
        assert_eq!(json["median_us"]["total"], sum);
        assert_eq!(json["total_us"]["p95"], 2100);
        assert_eq!(json["stages_us"]["present"]["p50"], 600);
        assert_eq!(json["permissions"], json!(["view", "audio"]));
        assert_eq!((&json["path"], &json["paths"][0]["path"]), (&json!("direct"), &json!("relay")));
        assert_eq!(json["paths"][0]["ago_s"], 1.5);
        assert_eq!(json["bitrate_bps"], 1_000_000.0);
        assert_eq!(json["fps"], 60.0);
        assert!(json["clock_error_us"].is_null() && json["width"].is_null());
    }
}
