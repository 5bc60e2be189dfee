//! Our relay and peers bound at it.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::process::Command;

use rift::crypto::Identity;
use rift::paths::Binding;
use rift::paths::relay::{Lease, LeaseTerms, relay_id};
use rift::wire::bind::{BIND_LEN_MAX, BindBody, BindMessage, LeaseSide};
use rift::wire::relay::Envelope;
use rift::{Class, Ecn, PathId, PublicKey, Transmit};
use rift_mio::{Clock, Destination};
use rift_paseto::Signer;
use wavry_relay::serve::public_key;
use wavry_relay::state::{LEASE_LEN, Limits, Relay, Tokens, Verdict};

use super::wires::{FAR, NEAR, Wires};
use super::{Contender, End, PAIRS, PAYLOAD, START};
use crate::clock::{spin_until, wait_until};
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::report::{Row, rounded};

const READY: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(2);
/// Seconds of Unix time at which no lease of a benchmark has ended.
const END_S: u64 = 4_000_000_000;

/// What sends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Kernel,
    Sockets,
}

/// Starts the relay where it belongs and binds all pairs at it.
pub(super) fn start(keeper: &Keeper, wires: &Wires, by: By) -> Result<Contender, Failure> {
    let name = match by {
        By::Kernel => "wavry",
        By::Sockets => "sockets",
    };
    let state = keeper.scratch().join(format!("relay-{name}"));
    std::fs::create_dir_all(&state)?;
    let key = public_key(&state)?;
    let signer = Signer::generate().map_err(|error| format!("no key for leases: {error:?}"))?;
    let trust: String = signer.public().iter().map(|byte| format!("{byte:02x}")).collect();
    let port_file = state.join("port");
    let mut command = Command::new(crate::pairs::program("wavry-relay")?);
    command.args(["--listen", "10.99.0.2:0", "--threads", "1", "--mbit-max", "60000", "--trust", &trust]);
    if by == By::Kernel {
        command.args(["--ebpf", "far"]);
    }
    command.arg("--state").arg(&state).arg("--port-file").arg(&port_file);
    let mut program = wires.inside(|| keeper.spawn("wavry-relay", &mut command, None))?;
    let port = wait_until(READY, || {
        (!program.has_ended()).then_some(())?;
        std::fs::read_to_string(&port_file).ok()?.strip_suffix('\n')?.parse().ok()
    });
    let Some(port) = port else { return Err(program.last_words().into()) };
    let relay = SocketAddr::from((FAR, port));
    let mut ends = Vec::new();
    for pair in 0..PAIRS {
        for (share, side) in
            shares(pair, relay, key, &signer)?.into_iter().zip([LeaseSide::Caller, LeaseSide::Callee])
        {
            ends.push(bind(share, side).ok_or_else(|| program.last_words())?);
        }
    }
    Ok(Contender { name, program: Some(program), ends })
}

fn shares(
    pair: usize,
    relay: SocketAddr,
    relay_key: PublicKey,
    signer: &Signer,
) -> Result<[Lease; 2], Failure> {
    let tag = tag(pair);
    let secrets = [secret(pair, 1), secret(pair, 2)];
    let peers = secrets.map(|secret| Identity::from_secret(secret).public());
    let terms =
        LeaseTerms { relay: relay_id(&relay_key), tag, peers, bitrate_bps: u32::MAX, expires_s: END_S };
    let token = signer.sign(&terms).map_err(|error| format!("cannot sign a lease: {error:?}"))?;
    Ok(secrets.map(|secret| Lease {
        relay,
        relay_key,
        tag,
        secret,
        expires_s: END_S,
        token: token.bytes().collect(),
    }))
}

/// Tags that look random, as a gateway's are.
pub(super) fn tag(pair: usize) -> [u8; 8] {
    (pair as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn secret(pair: usize, end: u8) -> [u8; 32] {
    let mut secret = [end; 32];
    secret[..8].copy_from_slice(&(pair as u64).to_be_bytes());
    secret
}

fn bind(share: Lease, side: LeaseSide) -> Option<End> {
    let clock = Clock::new();
    let mut socket = End::open(SocketAddr::from((NEAR, 0))).ok()?;
    let to = Destination { to: share.relay, source: None };
    let head = Envelope::head(share.tag).to_vec();
    let mut binding = Binding::new(share, side, clock.now())?;
    let mut out = [0; BIND_LEN_MAX];
    spin_until(ANSWER, || {
        let now = clock.now();
        if let Some(len) = binding.poll_transmit(now, &mut out) {
            let transmit =
                Transmit { path: PathId(0), len, segment: None, class: Class::Realtime, ecn: Ecn::NotEct };
            let _ = socket.send(to, &transmit, &out[..len]);
        }
        let _ = socket.receive(|received| {
            let _ = binding.handle_datagram(now, received.bytes);
        });
        binding.is_bound().then_some(())
    })?;
    Some(End { socket, to, head })
}

/// Any token is good here: what is measured comes after.
struct All(Vec<LeaseTerms>);

impl Tokens for All {
    fn verify(&self, token: &[u8], _: u64) -> Option<LeaseTerms> {
        self.0.iter().find(|terms| terms.tag[..] == *token).copied()
    }
}

/// What the relay's own part of a datagram costs with few and with many leases, and a lease's memory.
pub(super) fn state_rows() -> Vec<Row> {
    let few = look_up(10);
    let many = look_up(10_000);
    // A tenth for what the processor's cache no longer holds of 10 000 leases, beside sending it.
    let goal = few.map(|few| few + 350.0 / 10.0);
    let row = |case, metric, unit, ours: Option<f64>, goal: Option<f64>, n, note: &str| Row {
        bench: "relay",
        case,
        metric,
        unit,
        ours: ours.map(rounded),
        rivals: BTreeMap::new(),
        goal: goal.map(rounded),
        met: ours.is_some_and(|ours| goal.is_none_or(|goal| ours <= goal)),
        n,
        extras: BTreeMap::from([("note", note.into())]),
    };
    let note = "the decision alone, without sockets: leases in random order";
    let stranger = unknown();
    vec![
        row("leases10", "decide", "ns", few, None, DECISIONS, note),
        row("leases10000", "decide", "ns", many, goal, DECISIONS, note),
        row(
            "no_lease",
            "decide",
            "ns",
            stranger,
            Some(100.0),
            DECISIONS,
            "an envelope of a lease that is not there",
        ),
        row(
            "lease",
            "memory",
            "B",
            Some((LEASE_LEN + rift_ebpf::LEASE_LEN) as f64),
            Some(512.0),
            1,
            "beside the packets that all share; the kernel's part with it",
        ),
        row(
            "device",
            "memory",
            "B",
            Some(wavry_gateway::state::DEVICE_BYTES as f64),
            Some(16384.0),
            1,
            "at a gateway, beside 32 for each whom it lets be introduced; `bench gateway` weighs 2000",
        ),
    ]
}

const DECISIONS: usize = 200_000;

fn look_up(count: usize) -> Option<f64> {
    let identity = Identity::from_secret([9; 32]);
    // Keys are the same everywhere, which the decision does not look at.
    let peers = [1, 2].map(|seed| Identity::from_secret([seed; 32]).public());
    let terms =
        |pair| LeaseTerms { relay: [0; 16], tag: tag(pair), peers, bitrate_bps: u32::MAX, expires_s: END_S };
    let limits =
        Limits { leases: count, bitrate_bps_max: u32::MAX, tokens_per_s: u32::MAX, ..Limits::default() };
    let mut relay = Relay::new(Identity::from_secret([9; 32]), [3; 32], limits);
    for pair in 0..count {
        let tokens = All(vec![terms(pair)]);
        for (side, seed) in [(LeaseSide::Caller, 1), (LeaseSide::Callee, 2)] {
            let token = tag(pair).iter().copied().collect();
            let lease = Lease {
                relay: SocketAddr::from((FAR, 1)),
                relay_key: identity.public(),
                tag: tag(pair),
                secret: [seed; 32],
                expires_s: END_S,
                token,
            };
            converse(&mut relay, &tokens, Binding::new(lease, side, START)?, from(pair, seed))?;
        }
    }
    let mut chance = crate::clock::Chance::new(7);
    let packets: Vec<(SocketAddr, Vec<u8>)> = (0..4096)
        .map(|_| {
            let pair = chance.below(count as u64) as usize;
            let mut packet = Envelope::head(tag(pair)).to_vec();
            packet.resize(PAYLOAD, 0);
            (from(pair, 1), packet)
        })
        .collect();
    let mut forwarded = 0;
    let mut next = packets.iter().cycle();
    let mut now = START;
    let nanos = crate::core::measure::nanos_each(DECISIONS, || {
        let Some((from, packet)) = next.next() else { return };
        now = now.plus_micros(10);
        let verdict = relay.forward(now, *from, Ecn::NotEct, packet, packet.len());
        forwarded += usize::from(matches!(core::hint::black_box(verdict), Verdict::Forward(_)));
    });
    (forwarded == DECISIONS).then_some(nanos)
}

fn unknown() -> Option<f64> {
    let mut relay = Relay::new(Identity::from_secret([9; 32]), [3; 32], Limits::default());
    let mut packet = Envelope::head([0; 8]).to_vec();
    packet.resize(PAYLOAD, 0);
    let mut number = 0_u64;
    let nanos = crate::core::measure::nanos_each(DECISIONS, || {
        number += 1;
        packet[1..9].copy_from_slice(&number.to_be_bytes());
        core::hint::black_box(relay.forward(START, from(1, 1), Ecn::NotEct, &packet, packet.len()));
    });
    relay.is_empty().then_some(nanos)
}

fn from(pair: usize, end: u8) -> SocketAddr {
    SocketAddr::from(([10, end, (pair >> 8) as u8, pair as u8], 4000))
}

fn converse(relay: &mut Relay, tokens: &All, mut binding: Binding, from: SocketAddr) -> Option<()> {
    let (mut out, mut reply) = ([0; BIND_LEN_MAX], [0; BIND_LEN_MAX]);
    while !binding.is_bound() {
        let len = binding.poll_transmit(START, &mut out)?;
        let len = relay.handle_bind(START, 1, (from, None), &out[..len], tokens, &mut reply).ok()?;
        let is_refused = BindMessage::parse(&reply[..len])
            .is_some_and(|message| matches!(message.body, BindBody::Refused(_)));
        if is_refused {
            return None;
        }
        binding.handle_datagram(START, &reply[..len]);
    }
    Some(())
}
