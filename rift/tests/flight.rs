//! A session's flight record: nothing but sizes, times and decisions, and enough to decide the same again (SPEC §12.6).

use core::time::Duration;

use proptest::prelude::*;
use rift::delta::{Outcome, PacketReport};
use rift::flight::FlightEntry;
use rift::{Config, Instant};
use rift_sim::flight::replay;
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{Jitter, LinkConfig, Loss, QueueLimit, Rate, Time};

fn flight(seed: u64) -> (Config, Vec<FlightEntry>) {
    let link = LinkConfig {
        rate: Rate::Schedule(vec![
            (Time::ZERO, 8_000_000),
            (Time::from_secs(8), 2_000_000),
            (Time::from_secs(16), 12_000_000),
        ]),
        queue: QueueLimit::Time(Duration::from_millis(200)),
        delay: Duration::from_millis(15),
        jitter: Some(Jitter { deviation: Duration::from_millis(1), reorders: true }),
        loss: Loss::Random(0.01),
        blackouts: vec![Time::from_secs(12)..Time::from_millis(12_700)],
        ..LinkConfig::default()
    };
    let session = Config { bitrate_bps_start: 2_000_000, bitrate_bps_max: 10_000_000, ..Config::default() };
    let config = PairConfig { session, pictures_per_second: 60, ..PairConfig::new(seed, link) };
    let mut pair = Pair::new(&config);
    pair.network.act(pair.host, |peer, _| peer.host_mut().records_flights = true);
    pair.network.run_until(Time::from_secs(25));
    let flight = pair.host().guests[0].flight.borrow().clone();
    (session, flight)
}

#[test]
fn record_played_again_decides_the_same() {
    for seed in 1..4 {
        let (config, record) = flight(seed);
        let again = replay(&config, &record);
        assert_eq!(again.diverged_at, None, "seed {seed}: of {} entries", record.len());
        assert!(again.grants.len() > 500, "seed {seed}: {} grants", again.grants.len());
        let rates = || again.grants.iter().map(|grant| grant.pacing_bps);
        assert!(
            rates().max() > rates().min().map(|least| least * 2),
            "seed {seed}: there was something to decide"
        );
        let silences = record.iter().filter(|entry| matches!(entry, FlightEntry::Silence { .. })).count();
        assert!(silences > 0, "seed {seed}: the dark spell is in it");
    }
}

#[test]
fn record_through_other_limits_decides_otherwise() {
    let (config, record) = flight(1);
    let other = Config { bitrate_bps_max: config.bitrate_bps_max / 4, ..config };
    assert!(replay(&other, &record).diverged_at.is_some());
}

#[test]
fn same_seed_gives_the_same_record_and_it_survives_a_file() {
    let ((_, one), (_, other)) = (flight(2), flight(2));
    assert!(one == other, "byte for byte");
    let file: Vec<u8> = one.iter().flat_map(FlightEntry::to_bytes).collect();
    let (chunks, rest) = file.as_chunks();
    assert!(rest.is_empty() && chunks.iter().filter_map(FlightEntry::parse).eq(one));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_survives_a_file(
        times: (u64, u64),
        numbers: (u32, u32),
        bytes: u16,
        flag: bool,
        strange: [u8; FlightEntry::LEN],
    ) {
        let at = Instant::from_micros(times.0);
        let report = |outcome| FlightEntry::Report(PacketReport { sent_at: at, bytes, outcome });
        for entry in [
            FlightEntry::Sent { at, bytes, is_reported: flag },
            FlightEntry::Received { at, bytes },
            report(Outcome::Lost),
            report(Outcome::Arrived { at_us: times.1, ce: flag }),
            FlightEntry::Feedback { at, round_trip_us: numbers.0 },
            FlightEntry::Silence { at },
            FlightEntry::Forgotten { bytes },
            FlightEntry::Restarted { bitrate_bps: numbers.0 },
            FlightEntry::Window { pictures: numbers.0 as u8 },
            FlightEntry::PictureRate { millihertz: numbers.0 },
            FlightEntry::Answered { is_answered: flag },
            FlightEntry::Grant { bitrate_bps: numbers.0, pacing_bps: numbers.1, parity_permille: bytes },
        ] {
            prop_assert_eq!(FlightEntry::parse(&entry.to_bytes()), Some(entry));
        }
        let _ = FlightEntry::parse(&strange);
    }
}
