//! Inputs made of what honest sessions send, for a fuzzer to start from.

use rift::crypto::Side;
use rift::wire::file::{FileMessage, FileName, FileReason};
use rift::wire::handshake::Versions;
use rift::wire::path::Reset;
use rift::wire::{Frames, Kind};

use crate::bytes::Script;
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
    seeds.push(("session_peer", "client".into(), against_host(&packets)));
    seeds.push(("session_peer", "host".into(), against_client(&packets)));
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
    seeds.extend(crate::paths::seeds());
    seeds.extend(crate::relay::seeds());
    seeds.extend(crate::gateway::seeds());
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

/// Messages that no honest traffic here has in it.
fn singles() -> Vec<Seed> {
    let name = FileName::new("a file.txt").expect("it is a name");
    let digest = [7; 32];
    let files = [
        FileMessage::Offer { size: 9, digest, name },
        FileMessage::Accept { offset: 4 },
        FileMessage::Data(b"bytes"),
        FileMessage::Done,
        FileMessage::Cancel(FileReason::Damaged),
    ];
    let mut seeds: Vec<Seed> = Vec::new();
    for (index, message) in files.iter().enumerate() {
        let mut out = [0; 256];
        let len = message.emit(3, &mut out).expect("it fits");
        seeds.push(("wire", format!("file-{index}"), out[..len].to_vec()));
    }
    let reset = Reset { connection: 0x0102_0304, packet_number: 0x0005_0607, proof: [8; 16] };
    seeds.push(("wire", "reset".into(), reset.to_bytes().to_vec()));
    seeds.push(("wire", "versions".into(), Versions::to_bytes(&[9; 16]).to_vec()));
    seeds
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
