//! What a crowd of strangers costs a gateway, and what a device can do with texts.

use core::net::{Ipv4Addr, SocketAddr};

use rift::Identity;
use rift::wire::fleet::Beat;
use rift::wire::signal::{Signal, SignalReason};
use rift::wire::stun;
use wavry_gateway::state::DEVICE_BYTES;
use wavry_gateway::state::limits::STUN_BURST;

use crate::support::{House, TOKEN};

const SOURCES: u32 = 200_000;

fn source(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0x0b00_0000 + (number << 8)), 4000))
}

#[test]
fn two_hundred_thousand_strangers_open_nothing_and_keep_no_device_out() {
    let mut house = House::new();
    let at = house.add(1);
    house.say(at, &Signal::Enrol { token: TOKEN(1), name: "a device".try_into().expect("it fits") });
    let mut request = [0; 128];
    let padded = stun::write_request(&[3; 12], &mut request).expect("it fits");
    let (mut received, mut sent, mut longer) = (0, 0, 0);
    // A bare request of RFC 8489 is shorter than its answer; one of ours is not.
    let bare = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
    for number in 0..SOURCES {
        let datagram = match number % 3 {
            0 => bare.clone(),
            1 => request[..padded].to_vec(),
            _ => {
                let mut call = vec![0x10 + (number % 16) as u8; 1_200];
                call[1..5].copy_from_slice(&number.to_be_bytes());
                call
            }
        };
        received += datagram.len();
        for (to, answer) in house.throw(source(number), &datagram) {
            if to == source(number) {
                sent += answer.len();
                longer += u32::from(answer.len() > datagram.len());
            }
        }
    }
    assert!(longer <= STUN_BURST, "{longer} answers were longer than what they answer");
    assert!(sent <= received, "{sent} bytes answer {received}");
    assert_eq!(house.gateway.counters().sessions, 1, "the honest device's");
    let newcomer = house.add(2);
    assert!(matches!(house.heard(newcomer)[..], [Signal::Welcome { .. }]), "an honest newcomer");
    house.say(at, &Signal::LookUp { peer: house.key(newcomer) });
    assert!(matches!(house.heard(at)[..], [.., Signal::Found { is_present: false, .. }]), "devices go on");
    println!(
        "{SOURCES} sources: {sent} bytes answered {received}, {longer} longer than their requests; 1 session"
    );
}

#[test]
fn text_that_does_not_print_ends_the_session_and_markup_stays_text() {
    let mut house = House::new();
    let at = house.add(1);
    let name = "<script>1</script>'; DROP TABLE devices; --".try_into().expect("it fits");
    house.say(at, &Signal::Enrol { token: TOKEN(1), name });
    let views: Vec<_> = house.gateway.registry().device_views().collect();
    assert_eq!(views[0].name, "<script>1</script>'; DROP TABLE devices; --");
    let at = house.add(2);
    house.say(at, &Signal::Enrol { token: TOKEN(2), name: "two\nlines".try_into().expect("it fits") });
    assert!(house.is_closed(at), "a name with a line break is none");
    assert_eq!(house.gateway.counters().devices, 1);

    let key = Identity::from_secret([51; 32]).public();
    let mut house = House::with_relays(&[(key, Some(([203, 0, 113, 51], 4749).into()))]);
    let beat = |region: &str| {
        Signal::Beat(Beat {
            leases: 0,
            leases_max: 1,
            load_permille: 0,
            is_draining: false,
            address: "0.0.0.0:0".parse().expect("an address"),
            region: region.try_into().expect("it fits"),
            version: "1".try_into().expect("it fits"),
        })
    };
    let at = house.add(51);
    house.say(at, &beat("<b>'; --"));
    let region = |house: &House| {
        let relays = house.gateway.relays();
        relays[0].beat.as_ref().expect("it was heard").1.region.as_str().to_owned()
    };
    assert_eq!(region(&house), "<b>'; --");
    house.say(at, &beat("\u{1b}[2J"));
    assert!(house.is_closed(at), "a region that steers a terminal is none");
    assert_eq!(region(&house), "<b>'; --");
}

#[test]
fn device_that_asks_without_end_is_refused_and_others_are_not() {
    let mut house = House::new();
    for seed in 1..=2 {
        let at = house.add(seed);
        house.say(at, &Signal::Enrol { token: TOKEN(seed), name: "a device".try_into().expect("it fits") });
        house.heard(at);
    }
    let nobody = house.key(0);
    for _ in 0..100 {
        house.say(0, &Signal::LookUp { peer: nobody });
    }
    let said = house.heard(0);
    let refused = said
        .iter()
        .filter(|said| matches!(said, Signal::Refused { reason: SignalReason::TooOften, .. }))
        .count();
    assert!((75..=85).contains(&refused), "{refused} of 100 in two seconds");
    house.say(1, &Signal::LookUp { peer: nobody });
    assert!(matches!(house.heard(1)[..], [Signal::Found { .. }]));
}

/// A device that falls silent the moment its session has begun, with what it was told on its way: what is said again then is
/// little, at no time without end, and others are served meanwhile.
#[test]
fn device_that_falls_silent_at_once_is_told_little_and_keeps_nobody_waiting() {
    for live_ms in 1..=60 {
        let mut house = House::new();
        let at = house.call(1);
        house.run(live_ms);
        house.mute(at);
        let told = house.told(at);
        house.run(8_000);
        let again = house.told(at) - told;
        assert!(again <= 500, "{again} datagrams to a silent device, which was there for {live_ms} ms");
        assert_eq!(house.gateway.counters().sessions, 0, "{live_ms} ms: it is gone");
        let other = house.add(2);
        assert!(matches!(house.heard(other)[..], [Signal::Welcome { .. }]));
    }
}

/// The figure is for operators who reckon memory.
#[test]
fn memory_of_a_device_is_bounded() {
    println!("a device that is there takes {DEVICE_BYTES} bytes");
    // The experimental handshake is in a build of the whole workspace.
    let hybrid = if rift::limits::REPLY_MAX > 1000 { 5 << 9 } else { 0 };
    assert!(DEVICE_BYTES <= (16 << 10) + hybrid);
}
