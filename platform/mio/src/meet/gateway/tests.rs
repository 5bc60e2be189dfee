//! A device's conversation with its gateway, in virtual time.

use core::cell::Cell;

use super::*;

/// Different each time, the same in each run.
fn draw() -> [u8; 32] {
    thread_local!(static DRAWN: Cell<u64> = const { Cell::new(0) });
    let drawn = DRAWN.replace(DRAWN.get() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 32];
    for (at, part) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *part = drawn.rotate_left(at as u32 * 17).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes();
    }
    bytes
}

fn gateway() -> Gateway {
    let key = Identity::from_secret([1; 32]).public();
    let place = GatewayPlace { key, address: ([192, 0, 2, 1], 4748).into() };
    Gateway::new(place, Identity::from_secret([2; 32]), None, 0, draw, Instant::ZERO)
}

/// Lets time pass until the gateway's state is told; STUN is answered, or nothing is. When it was, and when the gateway
/// is called again.
fn trouble(gateway: &mut Gateway, answers_stun: bool) -> (Instant, Trouble, Instant) {
    let (mut now, mut out) = (Instant::ZERO, [0; 2048]);
    loop {
        gateway.handle_timeout(now);
        while let Some((len, _)) = gateway.poll_transmit(now, &mut out) {
            let mut answer = [0; stun::ANSWER_LEN_MAX];
            let seen = ([198, 51, 100, 7], 5000).into();
            if let Some(len) = stun::answer(&out[..len], seen, &mut answer).filter(|_| answers_stun) {
                gateway.handle_datagram(now, Ecn::NotEct, &mut answer[..len]);
            }
        }
        if let GatewayState::Trouble(trouble) = gateway.state() {
            return (now, trouble, gateway.again_at.expect("it is called again"));
        }
        now = gateway.poll_timeout().expect("something is due").max(now.plus_micros(100));
    }
}

#[test]
fn silent_gateway_and_one_of_another_key_are_told_apart_within_seconds() {
    for (answers, expected) in [(false, Trouble::Silent), (true, Trouble::OtherKey)] {
        let (told_at, trouble, _) = trouble(&mut gateway(), answers);
        assert_eq!(trouble, expected);
        assert!(told_at <= Instant::from_millis(6_000), "{told_at:?}");
    }
}

/// Where everything for the gateway is sent, if streams are to be had, until it has been called by a stream and by UDP again.
/// STUN is answered after so many seconds.
#[test]
fn gateway_is_called_by_a_stream_where_udp_brings_no_answer_and_by_udp_once_stun_does() {
    let lent: SocketAddr = ([127, 0, 0, 1], 9).into();
    let place = gateway().place();
    let mut gateway = gateway();
    gateway.set_streams(
        Box::new(move |_, service, key| ((service, *key) == (place.address, place.key)).then_some(lent)),
        ([127, 0, 0, 1], 7).into(),
    );
    let (mut now, mut out) = (Instant::ZERO, [0; 2048]);
    let (mut streamed_at, mut back_at) = (None, None);
    let passes_at = Instant::from_millis(6_000);
    while back_at.is_none() && now < Instant::from_millis(20_000) {
        gateway.handle_timeout(now);
        while let Some((len, to)) = gateway.poll_transmit(now, &mut out) {
            let is_stun = Kind::of(out[0]) == Some(Kind::Stun);
            if to == lent {
                assert!(!is_stun && back_at.is_none() && gateway.is_from(lent));
                streamed_at.get_or_insert(now);
            } else if is_stun && now >= passes_at {
                let mut answer = [0; stun::ANSWER_LEN_MAX];
                let len = stun::answer(&out[..len], ([198, 51, 100, 7], 5000).into(), &mut answer);
                gateway.handle_datagram(now, Ecn::NotEct, &mut answer[..len.expect("a request")]);
            } else if !is_stun && streamed_at.is_some() {
                back_at = Some(now);
            }
        }
        now = gateway.poll_timeout().expect("something is due").max(now.plus_micros(100));
    }
    assert!(streamed_at.is_some_and(|at| at <= Instant::from_millis(3_000)), "{streamed_at:?}");
    assert!(back_at.is_some_and(|at| at >= passes_at), "{back_at:?}");
    assert!(!gateway.is_streamed() && gateway.is_from(place.address) && !gateway.is_from(lent));
}

#[test]
fn devices_that_lost_their_gateway_come_back_one_by_one() {
    let mut pauses: Vec<u64> = (0..400)
        .map(|_| {
            let (lost_at, _, again_at) = trouble(&mut gateway(), false);
            again_at.micros_since(lost_at)
        })
        .collect();
    pauses.sort_unstable();
    assert!(pauses[399] <= PAUSE_US, "{pauses:?}");
    let most = pauses.chunk_by(|one, other| one / 100_000 == other / 100_000).map(<[u64]>::len).max();
    assert!(most < Some(50), "{most:?} of 400 in a tenth of a second of two");
}

#[test]
fn names_of_devices_are_cut_to_what_prints_and_fits() {
    let token = EnrolmentToken([0; 16]);
    assert_eq!(Enrolment::new(token, "desk\n\u{7}").name, "desk");
    let long = Enrolment::new(token, &"ü".repeat(100)).name;
    assert!(long.len() <= 48 && long.chars().all(|letter| letter == 'ü'));
}
