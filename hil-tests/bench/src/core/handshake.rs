//! A whole Noise XX and a whole IK, both sides on one core, beside snow's.

use core::hint::black_box;
use core::net::SocketAddr;

use rift::crypto::Mac1Key;
use rift::wire::handshake::{CALL_LEN, FirstFlight};
use rift::{Endpoint, Handshake, Identity, Instant, Noise, Opening, Pattern, Route};
use rift_snow::Snow;
use rift_x25519::NativeX25519;
use snow::Builder;

use super::measure::{self, Contender};
use super::rows::{Rivalry, row};
use crate::report::Row;

const OPERATIONS: usize = 4;
const BLOCKS: usize = 81;

/// A hello that may come from anybody must not cost more than this, in nanoseconds.
const BOGUS_MAX: f64 = 3_000.0;
const BOGUS: usize = 256;

/// Cases `handshake`, `handshake_ik` and `handshake_bogus`.
pub(super) fn run() -> Vec<Row> {
    vec![compare("handshake", Opening::XX), compare("handshake_ik", Opening::IK), bogus()]
}

/// What a host under load spends on a first flight of somebody who knows its key and nothing else: a MAC and a cookie.
fn bogus() -> Row {
    let host = Identity::from_secret([2; 32]);
    let mut endpoint = Endpoint::new(&host.public(), [9; 32]);
    let (mut reply, mut flight) = ([0; 256], [0; CALL_LEN]);
    let (now, from) = (Instant::from_millis(1), SocketAddr::from(([192, 0, 2, 1], 4747)));
    let key = Mac1Key::new(&host.public());
    let written = FirstFlight::emit(&mut flight, Opening::IK, &[7; 150], |text| key.mac1(text));
    let mut is_under_load = |endpoint: &mut Endpoint<Noise>| {
        let responder = |opening| Noise::responder(&host, [5; 32], opening);
        matches!(endpoint.handle_datagram(now, from, &flight, responder, &mut reply), Ok(Route::Reply(_)))
    };
    // Everything that the host grants at once is used up.
    let failed = written.is_none() || !(0..100).any(|_| is_under_load(&mut endpoint));
    let mut contenders: [Contender<'_>; 1] = [(
        "rift",
        Box::new(|| {
            let mut answered = !failed;
            let nanos = measure::nanos_each(BOGUS, || answered &= is_under_load(black_box(&mut endpoint)));
            answered.then_some(nanos)
        }),
    )];
    let figures = Rivalry::of(&measure::interleave(BLOCKS, &mut contenders));
    let note = "a call of 1200 bytes with a right mac1 and nothing behind it, answered with a cookie";
    row(("handshake_bogus", "time", "ns"), figures, Some(BOGUS_MAX), BLOCKS * BOGUS, note)
}

fn compare(name: &'static str, opening: Opening) -> Row {
    let identities = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
    let (client, host) = (&identities.0, &identities.1);
    let sides = |seed: u8| {
        let initiator = Noise::initiator(client, [seed; 32], opening);
        (initiator, Noise::responder(host, [seed ^ 0xff; 32], opening))
    };
    let native = |seed| {
        let (initiator, responder) = sides(seed);
        both_sides(initiator.multiplied_by::<NativeX25519>(), responder.multiplied_by::<NativeX25519>(), host)
    };
    let portable = |seed| {
        let (initiator, responder) = sides(seed);
        both_sides(initiator, responder, host)
    };
    let mut contenders: [Contender<'_>; 4] = [
        ("rift", Box::new(|| timed(native))),
        ("rift-portable", Box::new(|| timed(portable))),
        ("snow", Box::new(|| timed(|_| raw_snow(opening, host)))),
        (
            "rift-snow",
            Box::new(|| {
                timed(|seed| {
                    both_sides(
                        Snow::initiator(client, [seed; 32], opening),
                        Snow::responder(host, [seed ^ 0xff; 32], opening),
                        host,
                    )
                })
            }),
        ),
    ];
    let figures = Rivalry::of(&measure::interleave(BLOCKS, &mut contenders)).map(|nanos| nanos / 1e3);
    let goal = figures.rival("snow");
    let note = "all messages with 4-byte payloads, both sides, ephemeral keys made from given entropy, static \
                public keys known (snow derives them from the secret when it is built, and draws its own entropy); \
                rift multiplies as the programs do, rift-portable as boards do";
    row((name, "time", "us"), figures, goal, BLOCKS * OPERATIONS, note)
}

/// `None` when a handshake failed.
fn timed(mut handshake: impl FnMut(u8) -> Option<()>) -> Option<f64> {
    let (mut seed, mut failed) = (3, false);
    let nanos = measure::nanos_each(OPERATIONS, || {
        seed += 1;
        failed |= black_box(handshake(seed)).is_none();
    });
    (!failed).then_some(nanos)
}

const fn messages(pattern: Pattern) -> u8 {
    match pattern {
        Pattern::Xx => 3,
        Pattern::Ik => 2,
    }
}

fn both_sides<H: Handshake>(mut client: H, mut host: H, callee: &Identity) -> Option<()> {
    let (mut message, mut payload) = ([0; 256], [0; 64]);
    client.expect_peer(callee.public());
    for turn in 0..messages(client.pattern()) {
        let (from, to) = if turn % 2 == 0 { (&mut client, &mut host) } else { (&mut host, &mut client) };
        let len = from.write_message(&[turn; 4], &mut message).ok()?;
        to.read_message(&message[..len], &mut payload).ok()?;
    }
    let (one, other) = (client.finish()?, host.finish()?);
    (one.send == other.receive && one.receive == other.send).then_some(())
}

fn raw_snow(opening: Opening, callee: &Identity) -> Option<()> {
    let (prologue, callee) = (opening.prologue(), callee.public());
    let suite = match opening.pattern {
        Pattern::Xx => "Noise_XX_25519_ChaChaPoly_BLAKE2s",
        Pattern::Ik => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
    };
    let builder = || Builder::new(suite.parse().expect("snow knows this suite")).prologue(&prologue);
    let (client_key, host_key) = ([1; 32], [2; 32]);
    let mut client = builder().ok()?.local_private_key(&client_key).ok()?;
    if opening.pattern == Pattern::Ik {
        client = client.remote_public_key(callee.as_bytes()).ok()?;
    }
    let mut client = client.build_initiator().ok()?;
    let mut host = builder().ok()?.local_private_key(&host_key).ok()?.build_responder().ok()?;
    let (mut message, mut payload) = ([0; 256], [0; 64]);
    for turn in 0..messages(opening.pattern) {
        let (from, to) = if turn % 2 == 0 { (&mut client, &mut host) } else { (&mut host, &mut client) };
        let len = from.write_message(&[turn; 4], &mut message).ok()?;
        to.read_message(&message[..len], &mut payload).ok()?;
    }
    let both = (client.into_transport_mode().ok()?, host.into_transport_mode().ok()?);
    black_box(&both);
    Some(())
}
