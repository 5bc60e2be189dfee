//! Packets through both cores: what one costs, and what stands around its payload.

use std::collections::BTreeMap;

use bytes::Bytes;
use rift::Config;

use super::measure::{self, Contender};
use super::peers::{Pair, Passed};
use super::rows::{Rivalry, row};
use super::{quic, tunnel};
use crate::report::Row;

/// Bytes of payload in a full packet.
const PAYLOAD: usize = 1200;
/// Rivals send as many packets at once as ours has in a millisecond at this grant.
const PER_STEP: usize = 15;
const BLOCKS: usize = 201;
/// Packets of one block.
const PACKETS: usize = 300;
/// High enough that pictures leave within their period, in bit/s.
const GRANT_BPS: u32 = 400_000_000;

/// Cases `send_receive` and `overhead`.
pub(super) fn run() -> Vec<Row> {
    vec![send_receive(), overhead()]
}

fn config(payload: usize, overhead: usize) -> Config {
    Config {
        datagram_len: u16::try_from(payload + overhead).unwrap_or(u16::MAX),
        bitrate_bps_min: GRANT_BPS,
        bitrate_bps_start: GRANT_BPS,
        bitrate_bps_max: GRANT_BPS,
        ..Config::default()
    }
}

fn send_receive() -> Row {
    let around = ours_around().unwrap_or(34);
    let mut ours = Pair::connected(&config(PAYLOAD, around));
    let mut quinn = quic::Pair::connected();
    let mut boringtun = tunnel::Pair::connected();
    let (payload, packet) = (Bytes::from(vec![0x5a; PAYLOAD]), tunnel::ip_packet(PAYLOAD as u16));
    let mut contenders: [Contender<'_>; 3] = [
        ("rift", Box::new(|| rift_block(ours.as_mut()?))),
        ("quinn", Box::new(|| quinn_block(quinn.as_mut()?, &payload))),
        (
            "boringtun",
            Box::new(|| {
                let pair = boringtun.as_mut()?;
                let mut is_fine = true;
                let nanos = measure::nanos_each(PACKETS, || is_fine &= pair.carry(&packet).is_some());
                is_fine.then_some(nanos)
            }),
        ),
    ];
    let figures = Rivalry::of(&measure::interleave(BLOCKS, &mut contenders));
    let note = "one thread, per packet of 1200 payload bytes. rift: a 300-shard picture queued, cut and sealed by the \
                host's session, opened and reassembled by the client's, with pacing, congestion control, clock and \
                feedback both ways at their real rate. quinn-proto: datagram frames, ChaCha20-Poly1305 by ring, \
                acknowledgements, congestion control, one copy into BytesMut as its driver makes. boringtun: encapsulate \
                and decapsulate, no feedback and no congestion control. Bare tunnel and session are not the same job";
    let goal = figures.rival("boringtun");
    row(("send_receive", "time", "ns"), figures, goal, BLOCKS * PACKETS, note)
}

/// A picture of 300 shards; copying it into the ring, which is done once for all viewers, is left out.
fn rift_block(pair: &mut Pair) -> Option<f64> {
    pair.passed = Passed::default();
    let picture = pair.push(PACKETS * PAYLOAD)?;
    let start = measure::processor_nanos();
    pair.carry(picture)?;
    let nanos = measure::processor_nanos() - start;
    (pair.passed.pictures == 1).then(|| nanos / pair.passed.media as f64)
}

fn quinn_block(pair: &mut quic::Pair, payload: &Bytes) -> Option<f64> {
    pair.received = 0;
    let start = measure::processor_nanos();
    for _ in 0..PACKETS / PER_STEP {
        for _ in 0..PER_STEP {
            pair.send(payload)?;
        }
        pair.step();
    }
    let nanos = measure::processor_nanos() - start;
    (pair.received == PACKETS as u64).then(|| nanos / PACKETS as f64)
}

fn overhead() -> Row {
    let quinn = quic::Pair::connected().and_then(|mut pair| {
        pair.longest = 0;
        pair.send(&Bytes::from(vec![0x5a; PAYLOAD]))?;
        pair.step();
        (pair.received == 1).then(|| (pair.longest - PAYLOAD) as f64)
    });
    let boringtun = tunnel::Pair::connected().and_then(|mut pair| {
        let len = pair.carry(&tunnel::ip_packet(PAYLOAD as u16))?;
        Some((len - PAYLOAD) as f64)
    });
    let figures = Rivalry {
        ours: ours_around().map(|bytes| bytes as f64),
        rivals: BTreeMap::from([("quinn", quinn), ("boringtun", boringtun)]),
    };
    let note = "bytes of UDP payload around a full shard's bytes, measured from the datagrams; quinn and boringtun \
                around 1200 bytes, without a shard header of their own";
    row(("overhead", "bytes", "B"), figures, Some(34.0), 1, note)
}

/// Bytes around the one full shard of a picture that just fills a datagram.
fn ours_around() -> Option<usize> {
    let first_len = |picture_len| {
        let mut pair = Pair::connected(&config(PAYLOAD, 0))?;
        let picture = pair.push(picture_len)?;
        pair.passed = Passed::default();
        pair.carry(picture)?;
        (pair.passed.pictures == 1).then_some(pair.passed.first_len)
    };
    let around = first_len(PAYLOAD / 2)?.checked_sub(PAYLOAD / 2)?;
    // One byte more would need a second shard.
    (first_len(PAYLOAD - around)? == PAYLOAD).then_some(around)
}
