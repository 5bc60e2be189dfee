//! How long a picture takes to leave, in virtual time.

use rift::Config;

use super::measure;
use super::peers::{Pair, Passed};
use super::rows::{Rivalry, row};
use crate::report::Row;

/// Packets of the picture, parity included.
pub(super) const PACKETS: u64 = 35;
const GRANT_BPS: u32 = 50_000_000;
const PICTURES: usize = 240;
const GOAL_MS: f64 = 8.0;
/// Bytes of a datagram around its shard.
const AROUND: usize = 34;

/// Case `picture35`.
pub(super) fn run() -> Vec<Row> {
    let config = Config {
        bitrate_bps_min: GRANT_BPS,
        bitrate_bps_start: GRANT_BPS,
        bitrate_bps_max: GRANT_BPS,
        ..Config::default()
    };
    let samples = leaving_times(&config).map(|(samples, _)| samples).unwrap_or_default();
    let note = "virtual time from the queueing of a picture to its last datagram, 60 such pictures a second at a grant \
                of 50 Mbit/s in 1200-byte datagrams";
    [("p50", 0.5), ("max", 1.0)]
        .into_iter()
        .map(|(metric, share)| {
            let figure = Rivalry::alone(measure::quantile(&samples, share));
            row(("picture35", metric, "ms"), figure, Some(GOAL_MS), samples.len(), note)
        })
        .collect()
}

/// Bytes of a picture that makes 35 datagrams once the parity has settled on a path that loses nothing.
pub(super) fn picture_len(config: &Config) -> Option<usize> {
    leaving_times(config).map(|(_, len)| len)
}

/// The times of all pictures that made 35 datagrams, and the bytes of the last of them.
fn leaving_times(config: &Config) -> Option<(Vec<f64>, usize)> {
    let mut pair = Pair::connected(config)?;
    let shard_len = usize::from(config.datagram_len) - AROUND;
    let mut shards = PACKETS;
    let mut samples = Vec::with_capacity(PICTURES);
    for _ in 0..PICTURES {
        let (picture, start) = (pair.push(shards as usize * shard_len)?, pair.now);
        pair.passed = Passed::default();
        pair.carry(picture)?;
        if pair.passed.media == PACKETS {
            samples.push(pair.passed.last_at.micros_since(start) as f64 / 1e3);
        } else {
            // The parity has changed: so many more or fewer of data.
            shards = (shards + PACKETS).checked_sub(pair.passed.media)?;
        }
    }
    // Only a few pictures may be spent on finding the size.
    (samples.len() * 10 > PICTURES * 9).then_some((samples, shards as usize * shard_len))
}
