//! Inputs made of what honest sessions send, for a fuzzer to start from.

use rift::crypto::Side;
use rift::wire::bind::{BIND_LEN_MAX, BindBody, BindMessage, BindReason, LeaseSide};
use rift::wire::file::{FileMessage, FileName, FileReason};
use rift::wire::handshake::Versions;
use rift::wire::path::Reset;
use rift::wire::{Frames, Kind};

use crate::bytes::Script;
use crate::messages::{self, Body};
use crate::pair::Attacker;
use crate::session_hostile::traffic;

/// An input: the surface it is for, its name, its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// All of them; the same each time.
#[must_use]
pub fn all() -> Vec<Seed> {
    let datagrams = traffic();
    let mut seeds: Vec<Seed> = Vec::new();
    // The frames of each packet, by direction: opened once, in order.
    let mut ears = [Attacker::of(Side::Initiator, 0), Attacker::of(Side::Responder, 0)];
    let mut packets = Vec::new();
    for (to_host, datagram) in &datagrams {
        let kind = datagram.first().and_then(|&first| Kind::of(first));
        if kind == Some(Kind::Data) {
            // Who attacks a client hears what the client sends.
            let ear = &mut ears[usize::from(!to_host)];
            packets.push((*to_host, ear.open(&mut datagram.clone()).to_vec()));
        } else if let Some(kind) = kind {
            seeds.push(("wire", format!("{kind:?}").to_lowercase(), datagram.clone()));
        }
    }
    for (index, (_, text)) in packets.iter().enumerate().step_by(2) {
        seeds.push(("wire", format!("packet-{index}"), text.clone()));
    }
    let against = [("client", against_host(&packets)), ("host", against_client(&packets))];
    for (name, bytes) in against {
        // The same to sessions that carry signalling alone.
        let signalling = [&[0x6b], &bytes[1..]].concat();
        seeds.push(("session_peer", name.into(), bytes));
        seeds.push(("session_peer", format!("{name}-signalling"), signalling));
    }
    seeds.push(("session_hostile", "datagrams".into(), hostile(&datagrams)));
    seeds.push(("endpoint", "calls".into(), calls(0)));
    seeds.push(("endpoint", "real-calls".into(), calls(1)));
    seeds.push(("endpoint", "pinned-calls".into(), pinned_calls(0)));
    seeds.push(("endpoint", "real-pinned-calls".into(), pinned_calls(1)));
    seeds.extend([noise(), call(), losses(), shards(), conversation()]);
    seeds.extend([(0, "agreed"), (1, "wrong-pin")].map(|(pin, name)| pairing(pin, name)));
    seeds.extend(tiles());
    seeds.extend(moves());
    seeds.extend(singles());
    seeds.extend([overtaken(), blocked()]);
    seeds.extend(hybrids());
    seeds.extend(crate::claims::seeds());
    seeds.extend(crate::control::seeds());
    seeds.extend(crate::dns::seeds());
    seeds.extend(crate::windows::seeds());
    seeds.extend(crate::life::seeds());
    seeds.extend(crate::paths::seeds());
    seeds.extend(crate::relay::seeds());
    seeds.extend(crate::gateway::seeds());
    seeds.extend(crate::upnp::seeds());
    seeds
}

/// A packet whose frames are given as they are.
fn packet(mut script: Script, text: &[u8]) -> Script {
    let frames: Vec<_> = Frames::new(text).take(8).collect();
    let last = u8::try_from(frames.len().saturating_sub(1)).unwrap_or(7);
    script = script.u8(0).u8(last);
    for frame in frames {
        script = script.u8(0).u8(frame.frame_type.code()).run(frame.body);
    }
    script
}

fn against_host(packets: &[(bool, Vec<u8>)]) -> Vec<u8> {
    // Admit, name the stream, queue a picture; then what a client sends, with time passing.
    let mut script = Script::default().u8(1).u8(1).u8(9).u8(0).u8(10).u8(0).u8(0).u8(0xea).u8(0x60);
    script = script.u8(11).u8(7).u8(4).u8(0).u8(255);
    for (_, text) in packets.iter().filter(|(to_host, _)| *to_host) {
        script = packet(script, text).u8(8).u8(50);
    }
    script.into_bytes()
}

fn against_client(packets: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut script = Script::default().u8(1).u8(0);
    for (_, text) in packets.iter().filter(|(to_host, _)| !to_host) {
        script = packet(script, text).u8(9).u8(20);
    }
    script.into_bytes()
}

fn hostile(datagrams: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut script = Script::default();
    for (to_host, datagram) in datagrams.iter().step_by(4) {
        script = script.u8(1).u8((*to_host).into()).u8(0).run(&datagram[..datagram.len().min(200)]);
        script = script.u8(1).u8((*to_host).into()).u8(2).u8(9).u8(1).u8(0).u8(5).u8(0x80);
    }
    script.into_bytes()
}

/// Three clients call, repeat themselves and confirm; packets follow.
fn calls(is_real: u8) -> Vec<u8> {
    let mut script = Script::default().u8(is_real);
    for client in 0..3 {
        script = script.u8(3).u8(1).u8(2).u8(3).u8(client).u8(client);
        script = script.u8(4).u8(client).u8(0).u8(client);
        script = script.u8(1).u8(0).u8(100);
        script = script.u8(5).u8(client).u8(0).u8(client);
        script = script.u8(7).u8(client).u8(0).u8(1).run(&[7; 30]).u8(client);
    }
    script.u8(2).u8(0).run(&[9; 40]).u8(3).u8(8).u8(1).into_bytes()
}

/// Clients that know the host call with growing counters, again with the same one, and send packets.
fn pinned_calls(is_real: u8) -> Vec<u8> {
    let mut script = Script::default().u8(is_real);
    for client in 0..3 {
        for counter in [client, client + 10, client] {
            script =
                script.u8(9).u8(counter).run(&[0x2f, 4, 0, 0, 0, 1]).u8(1).u8(2).u8(3).u8(4).u8(0).u8(client);
        }
        script = script.u8(4).u8(client).u8(0).u8(client).u8(1).u8(0).u8(100);
        script = script.u8(7).u8(client).u8(0).u8(1).run(&[7; 30]).u8(client);
    }
    script.u8(2).u8(1).run(&[9; 150]).u8(3).u8(8).u8(1).into_bytes()
}

/// Hybrid handshakes with damage on the way.
fn hybrids() -> Vec<Seed> {
    let handshake = |shape: u8| {
        (0..3).fold(Script::default().u8(1).u8(shape), |script, round| {
            let script = script.run(b"payload").u8(0).u8(1).u8(round);
            if round == 1 { script } else { script.u8(0).u8(90).u8(if round == 0 { 0 } else { 1 }) }
        })
    };
    let named = [("hybrid-xx", 0xc0), ("hybrid-ik", 0xc8)];
    named.map(|(name, shape)| ("noise_differential", name.into(), handshake(shape).into_bytes())).into()
}

/// A whole handshake with a known host.
fn call() -> Seed {
    let mut script = Script::default().u8(1).u8(8).run(b"prologue");
    for (writer, reader) in [(0, 1), (1, 0)] {
        script = script.u8(writer).u8(1).run(b"payload").u8(0).u8(reader).u8(7).u8(0).u8(7).u8(0);
    }
    ("noise_differential", "call".into(), script.into_bytes())
}

/// Pictures of honest encoders, and screens for one.
fn tiles() -> Vec<Seed> {
    let scripts: [&[u8]; 3] =
        [&[0, 0, 99, 70, 1, 5], &[5, 5, 60, 60, 2, 9, 30, 20, 40, 40, 0, 1], &[9, 9, 20, 30, 3, 7]];
    let picture = |script: &&[u8]| {
        let picture = crate::tiles::sample(120, 80, script);
        let (head, rest) = picture.split_first().expect("a picture has a head");
        Script::default().u8(0).u8(119).u8(158).u8(*head).run(rest).into_bytes()
    };
    let pictures = scripts.iter().map(picture).enumerate();
    let mut seeds: Vec<Seed> =
        pictures.map(|(index, bytes)| ("tiles", format!("picture-{index}"), bytes)).collect();
    for kind in [2, 3] {
        let mut script = Script::default().u8(kind).u8(150).u8(200);
        for step in 0..6 {
            script = script.u8(step * 9).u8(step * 5).u8(90).u8(60).u8(step).u8(step + 3);
            // Repairs, little room and few bytes among them.
            script = script.u8([0, 1, 6, 4, 40, 1][usize::from(step)]);
            if step == 2 {
                script = script.u8(4).u8(0);
            }
            if step == 2 || step == 3 {
                script = script.u8(2).u8(0);
            }
        }
        seeds.push(("tiles", format!("screens-{kind}"), script.into_bytes()));
    }
    seeds
}

/// A whole handshake.
fn noise() -> Seed {
    let mut script = Script::default().u8(1).u8(0).run(b"prologue");
    for (writer, reader) in [(0, 1), (1, 0), (0, 1)] {
        script = script.u8(writer).u8(1).run(b"payload").u8(0).u8(reader).u8(7).u8(0).u8(7).u8(0);
    }
    ("noise_differential", "handshake".into(), script.into_bytes())
}

/// Two who pair with the same PIN, or not; datagrams are lost now and then, and the client's share is said again.
fn pairing(host_pin: u8, name: &str) -> Seed {
    let pass = |script: Script| {
        let script = script.u8(6).u8(5).u8(4).u8(0).u8(6).u8(5);
        (0..12).fold(script, |script, _| script.u8(2).u8(0))
    };
    let script = pass(pass(Script::default().u8(0).u8(0).u8(5)));
    let script = script.u8(1).u8(host_pin).u8(6);
    let script = (0..4).fold(script, |script, _| pass(script).u8(7).u8(1).u8(0).u8(0).u8(0).u8(3));
    ("pairing", name.into(), script.into_bytes())
}

/// Several blocks, a burst of losses.
fn losses() -> Seed {
    let script = Script::default().u8(23).u8(112).u8(1).u8(29).u8(40).u8(1).u8(0);
    ("fec", "burst".into(), script.u8(9).u8(0).u8(7).u8(33).into_bytes())
}

/// Pictures whole, in order and not, with a loss that parity mends.
fn shards() -> Seed {
    let mut script = Script::default();
    for id in 0..6 {
        script = script.u8(id).u8(6).u8(9).u8(4).u8(0).u8(200).u8(10).u8(2).u8(id).u8(9).u8(4);
    }
    ("reassembly", "pictures".into(), script.into_bytes())
}

/// Every channel in use, some datagrams lost, repeated and late.
fn conversation() -> Seed {
    let mut script = Script::default();
    for round in 0..24 {
        script = script.u8(14).u8(round).u8(200).u8(100).u8(9).u8(round).u8(round / 2).u8(1).u8(44);
        script = script.u8(15).u8(round).u8(1).u8(1).u8(11).u8(3).u8(b'a' + round).u8(11).u8(8).u8(round);
        script = script.u8(0).u8(round).u8(6).u8(0).u8(5).u8(5).u8(5).u8(7).u8(3).u8(8).u8(40);
        script = script.u8(10).u8(round).u8(1).u8(0).u8(13).u8(round).u8(round);
    }
    ("streams", "conversation".into(), script.into_bytes())
}

/// Parts of streams that overtake each other, or come without those before.
fn overtaken() -> Seed {
    let mut script = Script::default().u8(8).u8(200).u8(5).u8(5).u8(5).u8(5);
    for round in 0..24 {
        for part in 0..4 {
            script = script.u8(9).u8(round & 1).u8(round / 2).u8(0).u8(60 + part);
        }
        script = if round % 3 == 0 { script.u8(7).u8(0) } else { script.u8(0).u8(1) };
        script = (0..5).fold(script, |script, at| script.u8(0).u8(2 - at % 3)).u8(8).u8(round * 10);
        script = script.u8(5).u8(5).u8(10).u8((round & 1) * 4 + round / 2 % 4).u8(0).u8(90);
    }
    ("streams", "overtaken".into(), script.into_bytes())
}

/// Nobody reads: no more may be written, it is asked for room, and the answers are lost.
fn blocked() -> Seed {
    let mut script = Script::default().u8(8).u8(200).u8(5).u8(5).u8(5).u8(5);
    for round in 0..30 {
        script = script.u8(9).u8(0).u8(round % 4).u8(2).u8(0).u8(5).u8(5).u8(5).u8(8).u8(255).u8(8).u8(255);
        if round % 7 == 6 {
            script = script.u8(10).u8(round % 4).u8(2).u8(188).u8(7).u8(0).u8(7).u8(0);
        }
    }
    ("streams", "blocked".into(), script.into_bytes())
}

/// Messages that no honest traffic here has in it.
fn singles() -> Vec<Seed> {
    let name = FileName::new("a file.txt").expect("it is a name");
    let digest = [7; 32];
    let files = [
        FileMessage::Offer { size: 9, digest, name },
        FileMessage::Accept { offset: 4 },
        FileMessage::Data(b"bytes"),
        FileMessage::Done,
        FileMessage::Cancel(FileReason::Unwanted),
        FileMessage::Cancel(FileReason::TooLarge),
        FileMessage::Cancel(FileReason::NotPermitted),
        FileMessage::Cancel(FileReason::Failed),
        FileMessage::Cancel(FileReason::Damaged),
        FileMessage::Cancel(FileReason::Busy),
    ];
    let mut said = Vec::new();
    for message in files {
        let mut out = [0; 256];
        let len = message.emit(3, &mut out).expect("it fits");
        said.extend_from_slice(&out[..len]);
    }
    let mut seeds: Vec<Seed> = vec![("wire", "files".into(), said)];
    let reset = Reset { connection: 0x0102_0304, packet_number: 0x0005_0607, proof: [8; 16] };
    seeds.push(("wire", "reset".into(), reset.to_bytes().to_vec()));
    seeds.push(("wire", "frames".into(), frames()));
    seeds.push(("wire", "held".into(), held()));
    seeds.push(("wire", "clipboard".into(), [&[1, 0, 0, 0, 4][..], b"text"].concat()));
    let bodies = [
        BindBody::Ask,
        BindBody::Nonce([3; 16]),
        BindBody::Bind { side: LeaseSide::Caller, nonce: [3; 16], token: b"token" },
        BindBody::Bound { side: LeaseSide::Callee, left_s: 9, nonce: [3; 8] },
        BindBody::Refused(BindReason::Full),
        BindBody::Refused(BindReason::Other(9)),
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        let mut out = [0; BIND_LEN_MAX];
        let len = BindMessage { tag: [2; 8], body }.emit(&mut out).expect("it fits");
        seeds.push(("wire", format!("bind-{index}"), out[..len].to_vec()));
    }
    seeds.push(("wire", "versions".into(), Versions::to_bytes(&[9; 16]).to_vec()));
    seeds
}

/// A packet with a frame of every type that its length may be told of, and one of a later version.
fn frames() -> Vec<u8> {
    let body = Body::default;
    let frames = [
        (0x01, body().u32(1)),
        (0x02, body().u32(1).u64(2).u32(3)),
        (0x03, body().u8(0).u32(1).u32(2).u16(3).u16(0x8001).u16(0).u16(0xe002)),
        (0x04, body().u16(2)),
        (0x05, body().u32(0xffff)),
        (0x06, body().u8(0).bytes(&[9; 32])),
        (0x06, body().u8(1).bytes(&[9; 32])),
        (0x07, body().bytes(&[9; 24])),
        (0x09, body().u32(1)),
        (0x0a, body().u8(1).u8(2).u16(3).u16(4).u16(5000)),
        (0x0b, body().u32(1).u32(2).u32(3).u32(4)),
        (0x0c, body().u16(1).u16(2).u8(1).u32(3)),
        (0x10, body().u32(1).u16(64).u16(48).u32(60_000).u8(1)),
        (0x11, body().u32(1).u32(2)),
        (0x12, body().u32(1)),
        (0x13, body().u8(0).u16(1).u32(2)),
        (0x13, body().u8(2).u16(2).u32(2)),
        (0x13, body().u8(5).u16(3).u32(2).bytes(b"1920x1080")),
        (0x13, body().u8(7).u16(4).u32(2)),
        (0x15, body().u8(2).u8(1).u8(2).u8(3).u16(1).u16(16384).u32(9)),
        (0x16, body().u32(1).bytes(&[7; 9])),
        (0x17, body().u32(1).u8(2)),
        (0x18, body().u8(3).u32(1).bytes(b"bytes")),
        (0x19, body().u8(1).u32(1).u32(9).u32(3).u32(5)),
        (0x20, body().u16(1).u32(2).u8(1).u32(3).u16(4).bytes(b"1234own")),
        (0x24, body().bytes(&[1; 16])),
        (0x25, body().bytes(&[1; 16])),
        (0x26, body().u16(1).u32(2).u32(3).bytes(&[4; 16])),
        (0x27, body().u16(1).u16(0).u16(0xffff).u16(1).u16(0xffff).u16(2)),
        (0x28, body().u16(1452)),
        (0x29, body().bytes(&[0; 9])),
        (0x2c, body().u32(1).bytes(&[5; 32])),
        (0x2d, body().u32(1).bytes(&[5; 48])),
        (0x2e, body().bytes(&[6; 32])),
        (0x2f, body().u32(7)),
        // Nobody knows it yet, and it may be passed over.
        (0x3e, body().bytes(&[1; 200])),
        (0x14, messages::shard(1, 0, 1, 0, 5).bytes(b"shard")),
    ];
    let mut packet = Vec::new();
    for (code, body) in frames {
        messages::frame(&mut packet, code, &body.0);
    }
    packet
}

/// An input frame's body with everything held, and an event of each kind.
fn held() -> Vec<u8> {
    let body = (1..=9).fold(Body::default().u32(7).u8(5).u8(9), Body::u16);
    let body = (0..4).fold(body.u8(0x1f), |body, pad| (0..6).fold(body.u32(1 << pad), Body::u16));
    let body = (0..10).fold(body.u16(0x03ff), |body, place| body.u16(place).u16(9));
    let body = body.u8(1).u16(30).u8(2).u16(30).u8(3).u32(0x61).u8(4).u8(0).u8(5).u8(0).u8(6).u16(1).u16(2);
    let body = body.u8(7).u16(1).u16(2).u8(8).u16(1).u16(2).u8(9).u8(1).u8(10).u8(1).u8(11).u8(1).u8(2);
    body.u8(12).u8(1).u8(2).u8(13).u8(1).u8(2).u16(3).u8(14).u8(1).u32(9).u8(15).u8(1).u32(8).u8(16).u8(1).0
}

/// A client that opens paths, moves, is moved, copied, and comes back to where it was.
fn moves() -> Vec<Seed> {
    // So many datagrams arrive, in order, and time passes.
    let go = |script: Script, rounds: u8| {
        (0..rounds).fold(script, |script, _| (0..6).fold(script.u8(8).u8(40), |script, _| script.u8(4)))
    };
    let begin = |renews: u8| go(Script::default().u8(renews).u8(15).u8(0), 6);
    let opened = |script: Script, address: u8| go(script.u8(9).u8(address).u8(15).u8(1).u8(9).u8(0), 8);
    let stories = [
        // Make before break, and back.
        go(opened(go(opened(begin(0), 1).u8(10).u8(1), 8).u8(15).u8(0), 2).u8(10).u8(2), 8),
        // The address is gone, the client knows.
        go(opened(begin(1), 2).u8(14).u8(0).u8(11).u8(1).u8(15).u8(0), 12),
        // A NAT forgets it, twice, and somebody copies what comes.
        go(go(begin(0).u8(13).u8(1), 6).u8(6).u8(0).u8(15).u8(0).u8(13).u8(2).u8(6).u8(1), 10),
        // It moves to where nothing passes, and back; a path is closed.
        go(go(opened(opened(begin(1), 3), 1).u8(14).u8(3).u8(11).u8(1), 6).u8(11).u8(2).u8(12).u8(0), 10),
        // The path in use falls silent while another one is kept.
        go(opened(begin(0), 1).u8(14).u8(0).u8(15).u8(1).u8(12).u8(0), 20),
    ];
    let named = ["break", "gone", "rebound", "nowhere", "silent"].into_iter().zip(stories);
    named.map(|(name, script)| ("migration", name.into(), script.into_bytes())).collect()
}
