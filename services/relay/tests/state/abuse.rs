//! What a crowd of strangers costs a relay.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rift::paths::Binding;
use rift::wire::bind::{BIND_ASK_LEN, BIND_LEN_MAX, BindBody, BindMessage, LeaseSide};
use wavry_relay::state::{Cause, Limits, Verdict};

use super::{START, World, address, key, lease, packet, to};

const SOURCES: u32 = 200_000;

/// Half of IPv4, half of IPv6; no two of one network.
fn source(number: u32) -> SocketAddr {
    if number.is_multiple_of(2) {
        SocketAddr::from((Ipv4Addr::from_bits(0x0b00_0000 + (number << 8)), 4000))
    } else {
        SocketAddr::from((Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number) << 72), 4000))
    }
}

fn ask() -> Vec<u8> {
    let mut out = [0; BIND_LEN_MAX];
    let len = BindMessage { tag: [1; 8], body: BindBody::Ask }.emit(&mut out).expect("it fits");
    out[..len].to_vec()
}

/// Each asks, shows a token that is none with the nonce it got, and sends a packet of the lease. SPEC §18.8.
#[test]
fn two_hundred_thousand_strangers_leave_nothing_and_keep_nobody_honest_out() {
    let limits = Limits { leases: 16, ..Limits::default() };
    let leases = [1, 2].map(|number| lease(&key(9), number, 20_000_000));
    let mut world = World::new(limits, &leases.each_ref().map(|(terms, _)| *terms));
    let [(_, shares), (_, late)] = leases;
    world.met(shares, [address(2), address(3)]);
    let (mut received, mut sent, mut worst) = (0, 0, 0.0_f64);
    let (mut late, mut bound) = (late.into_iter().zip([LeaseSide::Caller, LeaseSide::Callee]), 0);
    for number in 0..SOURCES {
        let from = source(number);
        let reply = world.bind(from, &ask()).expect("a nonce");
        let message = BindMessage::parse(&reply).expect("a message");
        let BindBody::Nonce(nonce) = message.body else { panic!("{message:?}") };
        let mut out = [0; BIND_LEN_MAX];
        let body = BindBody::Bind { side: LeaseSide::Caller, nonce, token: &[b'x'; 600] };
        let len = BindMessage { tag: [7; 8], body }.emit(&mut out).expect("it fits");
        // The nonce is of another lease's name: it is not even looked at.
        assert_eq!(world.bind(from, &out[..len]), Err(Cause::Unproven));
        let answered = reply.len();
        received += BIND_ASK_LEN + len + 100;
        sent += answered;
        worst = worst.max(answered as f64 / BIND_ASK_LEN as f64);
        assert_eq!(world.forward(from, &packet(1, 100, 7)), Verdict::Drop(Cause::Stranger));
        if number % 1_000 == 0 {
            assert_eq!(world.forward(address(2), &packet(1, 100, 7)), to(3), "honest peers go on");
        }
        if number == SOURCES / 2 || number == SOURCES - 1 {
            let (share, side) = late.next().expect("two");
            let mut binding = Binding::new(share, side, START).expect("a key");
            world.converse(&mut binding, address(20 + bound));
            assert!(binding.is_bound(), "an honest newcomer");
            bound += 1;
        }
    }
    assert_eq!((world.relay.len(), world.relay.waiting(), bound), (2, 0, 2), "nothing is left of them");
    assert!(worst <= 1.0 && sent < received, "{sent} bytes for {received}");
    println!(
        "{SOURCES} sources: {sent} bytes answered {received}, factor at most {worst:.2}; 2 leases, no packets kept"
    );
}

/// SPEC §18.8.
#[test]
fn network_that_shows_token_after_token_is_limited_and_others_are_not() {
    let (terms, [share, _]) = lease(&key(9), 1, 20_000_000);
    let mut world = World::new(Limits::default(), &[terms]);
    let (mut looked_at, mut refused) = (0, 0);
    for number in 0..5_000_u32 {
        let from = SocketAddr::from((Ipv4Addr::new(198, 51, 100, (number % 250) as u8), 4000));
        let nonce = world.bind(from, &ask()).expect("a nonce");
        let message = BindMessage::parse(&nonce).expect("a message");
        let BindBody::Nonce(nonce) = message.body else { panic!("{message:?}") };
        let mut out = [0; BIND_LEN_MAX];
        let body = BindBody::Bind { side: LeaseSide::Caller, nonce, token: &[b'x'; 600] };
        let len = BindMessage { tag: [1; 8], body }.emit(&mut out).expect("it fits");
        match world.bind(from, &out[..len]) {
            Ok(_) => looked_at += 1,
            Err(cause) => {
                assert_eq!(cause, Cause::TooOften);
                refused += 1;
            }
        }
    }
    assert_eq!((looked_at, refused), (1_000, 4_000));
    let mut binding = Binding::new(share, LeaseSide::Caller, START).expect("a key");
    world.converse(&mut binding, address(2));
    assert!(binding.is_bound(), "another network is not held up");
    println!("5000 tokens at once from one network: {looked_at} were verified");
}
