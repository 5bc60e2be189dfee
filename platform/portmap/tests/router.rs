//! A port at routers that know PCP, NAT-PMP or nothing, in virtual time.

use core::net::{Ipv4Addr, SocketAddrV4};

use rift::Instant;
use rift_portmap::{LIFETIME_S, MESSAGE_MAX, Mapper};

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const NONCE: [u8; 12] = [7; 12];

/// A router of one of three kinds, or none.
#[derive(Clone, Copy, PartialEq)]
enum Router {
    Pcp,
    Pmp,
    Refuses,
    Silent,
}

impl Router {
    fn answer(self, request: &[u8]) -> Option<Vec<u8>> {
        let nothing = [0; 4];
        match (self, request.first()?) {
            (Self::Silent, _) => None,
            (Self::Pmp, 2) => Some(vec![0, 0x81, 0, 1, 0, 0, 0, 9]),
            (Self::Pmp, _) if request == [0, 0] => {
                Some([&[0, 0x80, 0, 0, 0, 0, 0, 9][..], &OUTSIDE.octets()].concat())
            }
            (Self::Pmp, _) => {
                let port = &request[4..6];
                let outside = 5_000_u16.to_be_bytes();
                Some([&[0, 0x81, 0, 0, 0, 0, 0, 9][..], port, &outside, &request[8..12]].concat())
            }
            (Self::Refuses, _) => Some([&[2, 0x81, 0, 2, 0, 0, 0, 60][..], &[0; 52]].concat()),
            (Self::Pcp, _) => {
                assert_eq!((request.len(), &request[8..24]), (60, &CLIENT.to_ipv6_mapped().octets()[..]));
                let head = [&[2, 0x81, 0, 0][..], &request[4..8], &nothing, &[0; 12]].concat();
                let outside = [&4_999_u16.to_be_bytes()[..], &OUTSIDE.to_ipv6_mapped().octets()].concat();
                Some([&head[..], &request[24..42], &outside].concat())
            }
        }
    }
}

/// Lets time pass; what was sent, and when.
fn run(mapper: &mut Mapper, router: Router, from_s: u64, to_s: u64) -> Vec<(u64, Vec<u8>)> {
    let (mut now, mut out, mut sent) = (Instant::from_millis(from_s * 1_000), [0; MESSAGE_MAX], Vec::new());
    while now < Instant::from_millis(to_s * 1_000) {
        while let Some(len) = mapper.poll_transmit(now, &mut out) {
            sent.push((now.as_micros() / 1_000, out[..len].to_vec()));
            if let Some(answer) = router.answer(&out[..len]) {
                mapper.handle_datagram(now.plus_micros(2_000), &answer);
            }
        }
        now = mapper.poll_timeout().max(now.plus_micros(2_000));
    }
    sent
}

#[test]
fn port_is_opened_kept_and_given_back() {
    for (router, outside, least) in [(Router::Pcp, 4_999, 1), (Router::Pmp, 5_000, 3)] {
        let mut mapper = Mapper::new(CLIENT, 4747, NONCE, Instant::ZERO);
        let sent = run(&mut mapper, router, 0, 5);
        assert_eq!(mapper.address(), Some(SocketAddrV4::new(OUTSIDE, outside)));
        assert_eq!(sent.len(), least, "{sent:?}");
        let hours = run(&mut mapper, router, 5, 4 * 3_600);
        assert!(hours.len() as u32 <= 3 * 4 * 3_600 / (LIFETIME_S / 2), "{}", hours.len());
        assert!(mapper.address().is_some(), "it is renewed before it ends");
        mapper.close(Instant::from_millis(20_000_000));
        let left = run(&mut mapper, router, 20_000, 30_000);
        let [(_, last)] = &left[..] else { panic!("{left:?}") };
        let lifetime = if router == Router::Pcp { &last[4..8] } else { &last[8..12] };
        assert_eq!((lifetime, mapper.address()), (&[0; 4][..], None), "given back");
    }
}

#[test]
fn silence_costs_seven_datagrams_in_ten_minutes() {
    let mut mapper = Mapper::new(CLIENT, 4747, NONCE, Instant::ZERO);
    let sent = run(&mut mapper, Router::Silent, 0, 590);
    assert_eq!(
        sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [0, 250, 750, 1_750, 3_750, 7_750, 15_750]
    );
    assert!(
        !run(&mut mapper, Router::Pcp, 590, 700).is_empty() && mapper.address().is_some(),
        "a new router"
    );
}

#[test]
fn port_that_is_not_renewed_ends_and_a_refusal_is_no_port() {
    let mut mapper = Mapper::new(CLIENT, 4747, NONCE, Instant::ZERO);
    run(&mut mapper, Router::Pcp, 0, 5);
    run(&mut mapper, Router::Silent, 5, u64::from(LIFETIME_S) + 5);
    assert_eq!(mapper.address(), None);
    let mut mapper = Mapper::new(CLIENT, 4747, NONCE, Instant::ZERO);
    let sent = run(&mut mapper, Router::Refuses, 0, 100);
    assert!(mapper.address().is_none() && sent.len() <= 3, "{sent:?}");
}

#[test]
fn answers_to_what_nobody_asked_and_addresses_behind_other_routers_change_nothing() {
    let (now, mut out) = (Instant::ZERO, [0; MESSAGE_MAX]);
    let mut mapper = Mapper::new(CLIENT, 4747, NONCE, now);
    let len = mapper.poll_transmit(now, &mut out).expect("it asks at once");
    let right = Router::Pcp.answer(&out[..len]).expect("an answer");
    for at in (24..36).chain([36, 40, 41, 0, 1, 3]) {
        let mut wrong = right.clone();
        wrong[at] ^= 0x20;
        mapper.clone().handle_datagram(now, &wrong);
        let mut asked = mapper.clone();
        asked.handle_datagram(now, &wrong);
        assert_eq!(asked.address(), None, "byte {at}");
    }
    for len in 0..right.len() {
        let mut asked = mapper.clone();
        asked.handle_datagram(now, &right[..len]);
        assert_eq!(asked.address(), None, "{len} bytes");
    }
    for behind in [[10, 0, 0, 1], [100, 64, 0, 1], [192, 168, 0, 1], [172, 31, 0, 1], [0, 0, 0, 0]] {
        let mut private = right.clone();
        private[56..60].copy_from_slice(&behind);
        let mut asked = mapper.clone();
        asked.handle_datagram(now, &private);
        assert_eq!(asked.address(), None, "{behind:?}");
    }
    mapper.handle_datagram(now, &right);
    assert!(mapper.address().is_some());
    let mut late = right.clone();
    late[42] ^= 1;
    mapper.handle_datagram(now, &late);
    assert_eq!(mapper.address(), Some(SocketAddrV4::new(OUTSIDE, 4_999)), "nothing is asked any more");
}
