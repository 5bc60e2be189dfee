//! Client and host behind NATs of every kind meet, directly where that can be, and never part (SPEC §18.5).

use core::time::Duration;

use rift::Instant;
use rift::paths::Via;
use rift_sim::internet::{NatConfig, World, WorldConfig};
use rift_sim::peer::{Repertoire, Typist};
use rift_sim::{Random, Time};

type Kind = (&'static str, fn() -> NatConfig);
const KINDS: [Kind; 4] = [
    ("full cone", NatConfig::full_cone),
    ("restricted", NatConfig::restricted),
    ("port-restricted", NatConfig::port_restricted),
    ("symmetric", NatConfig::symmetric),
];
const STEP: Duration = Duration::from_millis(5);

fn world(seed: u64, client: fn() -> NatConfig, host: fn() -> NatConfig) -> World {
    World::new(&WorldConfig::new(seed, Some(client()), Some(host())))
}

fn is_direct(world: &World) -> bool {
    matches!(world.caller().agent().in_use(), Some(Via::Direct(_)))
}

/// Runs until `done`, at most for `most`; tells how long it took.
fn until(world: &mut World, most: Duration, done: impl Fn(&World) -> bool) -> Option<Duration> {
    let from = world.network.now();
    while !done(world) {
        if world.network.now() >= from + most {
            return None;
        }
        world.network.run_for(STEP);
    }
    Some(world.network.now() - from)
}

fn meets(world: &mut World) -> Option<Duration> {
    until(world, Duration::from_secs(5), |world| world.first_picture().is_some())?;
    // What is found after the first picture counts as well.
    world.network.run_for(Duration::from_secs(4));
    world.first_picture()
}

#[test]
fn all_sixteen_pairs_of_nats_meet_and_thirteen_of_them_directly() {
    let mut times = Vec::new();
    let mut relayed = Vec::new();
    println!("{:16} {:16} path    first picture", "client", "host");
    for (client_name, client) in KINDS {
        for (host_name, host) in KINDS {
            let mut world = world(7, client, host);
            let time = meets(&mut world).unwrap_or_else(|| panic!("{client_name} – {host_name}: never met"));
            let path = if is_direct(&world) { "direct" } else { "relay" };
            println!("{client_name:16} {host_name:16} {path:7} {:4} ms", time.as_millis());
            if !is_direct(&world) {
                relayed.push([client_name, host_name]);
            }
            times.push(time);
        }
    }
    times.sort_unstable();
    let median = (times[7] + times[8]) / 2;
    println!(
        "direct: {} of 16; median {} ms, longest {} ms",
        16 - relayed.len(),
        median.as_millis(),
        times[15].as_millis()
    );
    let expected =
        [["port-restricted", "symmetric"], ["symmetric", "port-restricted"], ["symmetric", "symmetric"]];
    assert_eq!(relayed, expected);
    assert!(median <= Duration::from_secs(1), "{median:?}");
}

#[test]
fn direct_way_is_cut_and_mended_and_no_input_is_lost() {
    for seed in 1..5 {
        let mut world = world(seed, NatConfig::port_restricted, NatConfig::restricted);
        let start = world.began.plus_micros(1_500_000);
        world.set_typist(Typist::new(Random::new(seed), Repertoire::Presses, 2_000, 10_000, start));
        until(&mut world, Duration::from_secs(5), is_direct).expect("they meet");
        world.network.run_for(Duration::from_secs(4));
        assert!(is_direct(&world), "seed {seed}");

        let cut_at = world.network.now();
        world.cut_direct();
        let shown = world.caller().client().unwrap().shown.len();
        let went_over = until(&mut world, Duration::from_secs(5), |world| {
            !is_direct(world) && world.caller().client().unwrap().shown.len() > shown + 3
        });
        let went_over = went_over.unwrap_or_else(|| panic!("seed {seed}: nothing after the cut"));
        assert!(went_over <= Duration::from_secs(1), "seed {seed}: {went_over:?} to the relay");
        // Long enough for the session to give the direct path up.
        world.network.run_until(cut_at + Duration::from_secs(9) + Duration::from_millis(seed * 700));
        assert!(!is_direct(&world), "seed {seed}");

        world.change(rift_sim::internet::Internet::mend);
        let came_back = until(&mut world, Duration::from_secs(20), is_direct);
        let came_back = came_back.unwrap_or_else(|| panic!("seed {seed}: never direct again"));
        assert!(came_back <= Duration::from_secs(10), "seed {seed}: {came_back:?} until direct again");
        println!("seed {seed}: relay after {went_over:?}, direct again after {came_back:?}");

        until(&mut world, Duration::from_secs(30), |world| {
            let typist = world.caller().client().unwrap().typist.as_ref().unwrap();
            typist.sent().len() >= 2_000
        });
        world.network.run_for(Duration::from_secs(1));
        let client = world.caller().client().unwrap();
        let sent = client.typist.as_ref().unwrap().sent();
        let got: Vec<_> = world.callee().guests[0].input.iter().map(|&(_, event)| event).collect();
        assert!(sent.len() >= 2_000 && sent == got, "seed {seed}: {} of {} events", got.len(), sent.len());
        assert_eq!(world.callee().guests.len(), 1, "seed {seed}: the same session");
        assert!(client.refused.is_empty(), "seed {seed}: every picture could be decoded");
    }
}

#[test]
fn peers_behind_one_nat_meet_in_their_own_network() {
    let config = WorldConfig { is_shared: true, ..WorldConfig::new(3, Some(NatConfig::symmetric()), None) };
    let mut world = World::new(&config);
    meets(&mut world).expect("they meet");
    let Some(Via::Direct(address)) = world.caller().agent().in_use() else { panic!("directly") };
    assert_eq!(address, "192.168.1.3:4747".parse().unwrap());
}

#[test]
fn peers_behind_one_carrier_meet_by_its_hairpin_or_over_the_relay() {
    for (hairpin, expected) in [(true, true), (false, false)] {
        let carrier = NatConfig { hairpin, ..NatConfig::port_restricted() };
        let home = || Some(NatConfig::port_restricted());
        let config = WorldConfig { carrier: Some(carrier), ..WorldConfig::new(4, home(), home()) };
        let mut world = World::new(&config);
        meets(&mut world).expect("they meet");
        assert_eq!(is_direct(&world), expected, "hairpin: {hairpin}");
    }
}

#[test]
fn nat_that_forgets_after_thirty_seconds_and_one_with_few_ports_change_nothing() {
    let short = NatConfig { timeout_us: 30_000_000, ports: 4000..=4003, ..NatConfig::port_restricted() };
    let config = WorldConfig::new(5, Some(short.clone()), Some(short));
    let mut world = World::new(&config);
    meets(&mut world).expect("they meet");
    world.network.run_for(Duration::from_secs(100));
    assert!(is_direct(&world) && world.caller().client().unwrap().closed().is_none());
    // The relay, which nothing went over for so long, is still there to fall back to.
    world.cut_direct();
    let shown = world.caller().client().unwrap().shown.len();
    world.network.run_for(Duration::from_secs(1));
    assert!(!is_direct(&world) && world.caller().client().unwrap().shown.len() > shown + 3);
}

#[test]
fn symmetric_nat_without_ports_for_anybody_else_leaves_the_relay() {
    // One for the gateway, one for the relay; checks find none.
    let scarce = NatConfig { ports: 4000..=4001, ..NatConfig::symmetric() };
    let config = WorldConfig::new(6, Some(scarce), Some(NatConfig::restricted()));
    let mut world = World::new(&config);
    let met = meets(&mut world);
    let stats = world.stats();
    assert!(met.is_some() && stats.without_port > 0, "{met:?} {stats:?}");
}

#[test]
fn without_a_relay_and_without_a_way_there_is_no_session_and_no_flood() {
    let symmetric = || Some(NatConfig::symmetric());
    let config = WorldConfig { has_relay: false, ..WorldConfig::new(8, symmetric(), symmetric()) };
    let mut world = World::new(&config);
    world.network.run_until(Time::from_secs(62));
    assert!(world.caller().client().is_none());
    let sent = world.network.node_stats(world.caller).sent;
    // A minute holds introductions at 0, 8, 15, 27 and 50 s: at most 50 checks each, far fewer with two candidates.
    assert!(sent < 5 * 12 + 20, "{sent} datagrams");
}

#[test]
fn same_seed_meets_the_same_way() {
    let run = || {
        let mut world = world(9, NatConfig::symmetric, NatConfig::restricted);
        world.network.run_until(Time::from_secs(6));
        (world.network.trace_hash(), world.caller().ways.clone())
    };
    let (one, other): ((u64, Vec<(Instant, Via)>), _) = (run(), run());
    assert_eq!(one, other);
}
