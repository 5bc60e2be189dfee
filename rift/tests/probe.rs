//! Which relays are near (SPEC §18.9).

use core::net::SocketAddr;

use rift::paths::RelayProbe;
use rift::paths::relay::relay_id;
use rift::wire::bind::{BIND_ASK_LEN, BIND_LEN_MAX, BindBody, BindMessage};
use rift::wire::fleet::{RelayPlace, RelayPlaces};
use rift::{Identity, Instant};

const START: Instant = Instant::from_millis(500);

fn place(seed: u8) -> RelayPlace {
    let address = SocketAddr::from(([203, 0, 113, seed], 4749));
    RelayPlace { key: Identity::from_secret([seed; 32]).public(), address }
}

fn answer(question: &[u8]) -> Vec<u8> {
    let tag = BindMessage::parse(question).expect("a question").tag;
    let mut out = [0; BIND_LEN_MAX];
    let len = BindMessage { tag, body: BindBody::Nonce([7; 16]) }.emit(&mut out).expect("it fits");
    out[..len].to_vec()
}

/// Answers of each relay come after its own time; how many questions there were, and what was measured.
fn measure(delays_us: &[Option<u64>]) -> (usize, Vec<u16>) {
    let places: RelayPlaces = (1..).take(delays_us.len()).map(place).collect();
    let mut probe = RelayProbe::new(START, [9; 8], &places);
    let (mut now, mut asked, mut under_way) = (START, 0, Vec::new());
    let mut out = [0; BIND_ASK_LEN];
    while !probe.is_over(now) {
        while let Some((len, to)) = probe.poll_transmit(now, &mut out) {
            assert_eq!(len, BIND_ASK_LEN, "no answer is longer");
            asked += 1;
            let at = places.iter().position(|place| place.address == to).expect("a relay");
            if let Some(delay_us) = delays_us[at] {
                under_way.push((now.plus_micros(delay_us), to, answer(&out)));
            }
        }
        now = now.plus_micros(500);
        for (_, from, bytes) in under_way.extract_if(.., |(at, ..)| *at <= now) {
            assert!(!probe.handle_datagram(now, place(99).address, &bytes), "from elsewhere");
            assert!(probe.handle_datagram(now, from, &bytes));
            assert!(!probe.handle_datagram(now, from, &bytes), "once");
        }
        assert!(now <= START.plus_micros(1_300_000), "it ends");
    }
    for (time, place) in probe.times().iter().zip(&places) {
        assert_eq!(time.relay, relay_id(&place.key));
    }
    (asked, probe.times().iter().map(|time| time.rtt).collect())
}

/// SPEC §18.9: also a relay that is farther than the pause between two questions is measured right.
#[test]
fn relays_are_measured_by_their_round_trips() {
    let (asked, times) = measure(&[Some(8_000), Some(340_000), None, Some(500)]);
    assert_eq!((asked, times), (12, vec![80, 3_400, u16::MAX, 5]));
}

#[test]
fn answer_that_names_no_question_is_none() {
    let places: RelayPlaces = [place(1)].into_iter().collect();
    let mut probe = RelayProbe::new(START, [9; 8], &places);
    let mut out = [0; BIND_ASK_LEN];
    probe.poll_transmit(START, &mut out).expect("a question");
    let mut forged = answer(&out);
    forged[8] ^= 1;
    assert!(!probe.handle_datagram(START, place(1).address, &forged));
    assert!(!probe.handle_datagram(START, place(1).address, &out), "a question is no answer");
    assert_eq!(probe.times()[0].rtt, u16::MAX);
}
