//! Hosts and clients, the programs themselves, whose gateway is in the wrong hands (SPEC §17.6): it has the key that they know
//! and says what it likes. It gets nobody in and learns nothing, makes nobody send more than is bounded, and people are told.
//!
//! Loopback is no place where peers meet, so each test runs itself in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod rogue;

use std::process::Command;

use rift::paths::Candidates;
use rift::wire::fleet::RelayPlace;
use rift::wire::signal::Signal;
use rift::{Identity, PublicKey};
use wavry_e2e::HANG_GUARD;
use wavry_e2e::process::{Guarded, clock};
use wavry_e2e::programs::{Client, Host};

use rogue::{ADDRESS, Bystander, Rogue, candidates, draw};

/// A network of this machine alone.
const NETWORK: &str = "ip link set lo up && ip link add lan type veth peer name other && ip link set other up \
                       && ip link set lan up && ip address add 192.0.2.1/24 dev lan";

/// Checks that one introduction may cause (SPEC §18.4).
const CHECKS: usize = 50;
/// Introductions that a host heeds at once, and one more each half second.
const INTRODUCTIONS: usize = 16;

/// Runs a test of [`inside`] in such a network, or says why not. What it told.
fn in_a_network(name: &str) -> String {
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]);
        command
    };
    if !namespace(NETWORK).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network namespace, for want of unshare, ip or the right to it");
        return String::new();
    }
    let script = format!("{NETWORK} && exec \"$PROGRAM\" --ignored --exact --nocapture inside::{name}");
    let output = namespace(&script).env("PROGRAM", std::env::current_exe().unwrap()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{words}");
    told
}

#[test]
fn impostor_whom_the_gateway_introduces_as_the_host_is_refused_and_the_person_told() {
    println!("{}", in_a_network("impostor"));
}

#[test]
fn impostor_is_shown_no_pin() {
    println!("{}", in_a_network("impostor_who_pairs"));
}

#[test]
fn client_that_the_gateway_introduces_against_the_hosts_list_is_not_let_in() {
    println!("{}", in_a_network("unlisted"));
}

#[test]
fn introductions_nobody_asked_for_lead_nowhere() {
    println!("{}", in_a_network("unasked"));
}

#[test]
fn client_sends_fifty_checks_for_each_of_its_own_requests_however_often_it_is_introduced() {
    println!("{}", in_a_network("flooded_client"));
}

#[test]
fn host_heeds_so_many_introductions_and_goes_on() {
    println!("{}", in_a_network("flooded_host"));
}

#[test]
fn relays_without_number_are_asked_three_times_and_broken_messages_end_the_conversation_only() {
    println!("{}", in_a_network("relays"));
}

#[test]
fn gateway_that_has_not_its_key_is_told_nothing_and_the_person_told() {
    println!("{}", in_a_network("other_gateway"));
}

/// The key that an ID names.
fn key(id: &str) -> PublicKey {
    id.parse().unwrap()
}

/// Lets everybody do what is due until it is so.
fn until(rogues: &mut [&mut Rogue], mut is_so: impl FnMut(&mut [&mut Rogue]) -> bool) {
    let began = clock();
    while !is_so(rogues) {
        assert!(began.elapsed() < HANG_GUARD, "it hangs");
        for rogue in rogues.iter_mut() {
            rogue.turn();
        }
    }
}

/// Lets time pass.
fn pass(rogue: &mut Rogue, millis: u64, mut each: impl FnMut()) {
    let end = rogue.now().plus_micros(millis * 1_000);
    until(&mut [rogue], |rogues| {
        each();
        rogues[0].now() >= end
    });
}

/// What a client was told, and whether it did what it was asked.
fn outcome(mut process: Guarded) -> (String, bool) {
    let is_done = process.wait().success();
    let words = process.words();
    (words, is_done)
}

/// A host at this gateway, once it has said there where it is.
fn host_at(gateway: &mut Rogue) -> (Host, Candidates) {
    let options = gateway.options();
    let options = options.iter().map(String::as_str).collect::<Vec<_>>();
    let host = Host::start_at(&format!("{ADDRESS}:0"), "test", &options);
    let mut place = None;
    until(&mut [gateway], |rogues| {
        while let Some((_, signal)) = rogues[0].hear() {
            if let Signal::Present { is_host: true, candidates } = signal {
                place = Some(candidates);
            }
        }
        place.is_some()
    });
    (host, place.unwrap())
}

/// The gateway does what it should until the client has ended.
fn introduce_truly(gateway: &mut Rogue, host: &Host, place: &Candidates, client: &mut Guarded) {
    let id = key(&host.id);
    until(&mut [gateway], |rogues| {
        let gateway = &mut *rogues[0];
        while let Some((who, signal)) = gateway.hear() {
            if let Signal::Introduce { request, candidates, .. } = signal {
                let secret = draw();
                gateway.say(id, Rogue::introduction(0, who, secret, candidates));
                gateway.say(who, Rogue::introduction(request, id, secret, place.clone()));
            }
        }
        client.ended().is_some()
    });
}

/// The gateway leads whoever asks for the host to somebody else, who waits for them, until the client has ended.
fn introduce_falsely(gateway: &mut Rogue, host: PublicKey, impostor: &mut Rogue, client: &mut Guarded) {
    until(&mut [gateway, impostor], |rogues| {
        let [gateway, impostor] = rogues else { unreachable!("there are two") };
        while let Some((who, signal)) = gateway.hear() {
            if let Signal::Introduce { request, candidates: theirs, .. } = signal {
                let secret = draw();
                impostor.expect(secret, &theirs);
                gateway.say(who, Rogue::introduction(request, host, secret, candidates([impostor.address])));
            }
        }
        client.ended().is_some()
    });
}

/// Run by the tests above, each in a namespace of its own.
mod inside {
    use super::*;

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn impostor() {
        let (mut gateway, host) = (Rogue::gateway(), Identity::from_secret(draw()).public());
        let mut impostor = Rogue::new(host, Identity::from_secret(draw()));
        let client = Client::new();
        let mut process = client.connect_by(&gateway.link(&host.to_string()), &[]);
        introduce_falsely(&mut gateway, host, &mut impostor, &mut process);
        let (words, is_done) = outcome(process);
        assert!(!is_done && words.contains("does not prove to be the host"), "{words}");
        assert!(words.contains(&host.to_string()) && words.contains("wavry-server link"), "{words}");
        assert_eq!(impostor.believed, 0, "nothing was said to him");
        assert!(gateway.believed > 0);
    }

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn impostor_who_pairs() {
        let (mut gateway, host) = (Rogue::gateway(), Identity::from_secret(draw()).public());
        let mut impostor = Rogue::new(host, Identity::from_secret(draw()));
        let client = Client::new();
        let mut process = client.pair(&gateway.link(&host.to_string()), "123456\n", &[]);
        introduce_falsely(&mut gateway, host, &mut impostor, &mut process);
        let (words, is_done) = outcome(process);
        assert!(!is_done && words.contains("does not prove to be the host"), "{words}");
        assert!(impostor.hear().is_none() && !words.contains("wrong PIN"), "{words}");
    }

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn unlisted() {
        let mut gateway = Rogue::gateway();
        let (host, place) = host_at(&mut gateway);
        let client = Client::new();
        let mut process = client.connect_by(&gateway.link(&host.id), &["--frames", "3"]);
        introduce_truly(&mut gateway, &host, &place, &mut process);
        let (words, is_done) = outcome(process);
        assert!(!is_done && words.contains("does not let this client in"), "{words}");
        assert!(!host.command(&["list"]).contains(&client.id));
        // The same with the host's consent: it was this that was lacking.
        host.command(&["allow", &client.id]);
        let mut process = client.connect_by(&gateway.link(&host.id), &["--frames", "3"]);
        introduce_truly(&mut gateway, &host, &place, &mut process);
        assert!(outcome(process).1);
    }

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn unasked() {
        let (mut gateway, host) = (Rogue::gateway(), Identity::from_secret(draw()).public());
        let mut bystander = Bystander::new();
        let at = candidates([bystander.address]);
        let client = Client::new();
        let mut process = client.connect_by(&gateway.link(&host.to_string()), &[]);
        let other = Identity::from_secret(draw()).public();
        until(&mut [&mut gateway], |rogues| {
            let gateway = &mut *rogues[0];
            while let Some((who, signal)) = gateway.hear() {
                let Signal::Introduce { request, .. } = signal else { continue };
                // Somebody else, the wrong way round, and in answer to what was not asked.
                gateway.say(who, Rogue::introduction(request, other, draw(), at.clone()));
                gateway.say(who, Rogue::introduction(0, host, draw(), at.clone()));
                gateway.say(who, Rogue::introduction(request + 1, host, draw(), at.clone()));
            }
            process.ended().is_some()
        });
        bystander.look();
        let (words, is_done) = outcome(process);
        assert!(!is_done && words.contains("does not answer when it is asked"), "{words}");
        assert_eq!(bystander.datagrams, 0, "nobody was called");
    }

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn flooded_client() {
        let (mut gateway, host) = (Rogue::gateway(), Identity::from_secret(draw()).public());
        let mut bystanders = [(); 4].map(|()| Bystander::new());
        let at = candidates(bystanders.each_ref().map(|one| one.address));
        let client = Client::new();
        let mut process = client.connect_by(&gateway.link(&host.to_string()), &[]);
        let (mut requests, mut introductions) = (0, 0);
        until(&mut [&mut gateway], |rogues| {
            let gateway = &mut *rogues[0];
            while let Some((who, signal)) = gateway.hear() {
                let Signal::Introduce { request, .. } = signal else { continue };
                let same = draw();
                for number in 0..200 {
                    let secret = if number % 2 == 0 { same } else { draw() };
                    gateway.say(who, Rogue::introduction(request, host, secret, at.clone()));
                }
                (requests, introductions) = (requests + 1, introductions + 200);
            }
            bystanders.iter_mut().for_each(Bystander::look);
            process.ended().is_some()
        });
        let (words, is_done) = outcome(process);
        assert!(!is_done && words.contains("nothing that it sent reached the host"), "{words}");
        let checks: usize = bystanders.iter().map(|one| one.datagrams).sum();
        println!("{introductions} introductions for {requests} requests: {checks} checks");
        assert!((1..=CHECKS * requests).contains(&checks), "{checks} for {requests} requests");
    }

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn flooded_host() {
        let mut gateway = Rogue::gateway();
        let (host, place) = host_at(&mut gateway);
        let mut bystanders = [(); 4].map(|()| Bystander::new());
        let at = candidates(bystanders.each_ref().map(|one| one.address));
        let (began, same) = (clock(), draw());
        for number in 0..1_000 {
            let secret = if number % 2 == 0 { same } else { draw() };
            let stranger = Identity::from_secret(draw()).public();
            gateway.say(key(&host.id), Rogue::introduction(0, stranger, secret, at.clone()));
        }
        until(&mut [&mut gateway], |rogues| {
            bystanders.iter_mut().for_each(Bystander::look);
            rogues[0].is_said()
        });
        // The last checks leave two seconds after the last introduction.
        pass(&mut gateway, 3_000, || bystanders.iter_mut().for_each(Bystander::look));
        let heeded = INTRODUCTIONS + 2 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 1);
        let checks: usize = bystanders.iter().map(|one| one.datagrams).sum();
        let bytes: usize = bystanders.iter().map(|one| one.bytes).sum();
        println!("1000 introductions: {checks} checks of {bytes} bytes, at most {heeded} heeded");
        assert!((1..=CHECKS * heeded).contains(&checks), "{checks}");
        assert!(bytes <= 52 * checks, "{bytes}");

        let client = Client::allowed_by(&host);
        let mut process = client.connect_by(&gateway.link(&host.id), &["--frames", "3"]);
        introduce_truly(&mut gateway, &host, &place, &mut process);
        assert!(outcome(process).1, "who is on the list comes in as before");
    }

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn relays() {
        let mut gateway = Rogue::gateway();
        let (mut host, _) = host_at(&mut gateway);
        let mut bystanders = [(); 8].map(|()| Bystander::new());
        let relay_key = Identity::from_secret(draw()).public();
        let places = bystanders.each_ref().map(|one| RelayPlace { key: relay_key, address: one.address });
        for _ in 0..200 {
            gateway.say(key(&host.id), Signal::Relays(places.into_iter().collect()));
        }
        until(&mut [&mut gateway], |rogues| rogues[0].is_said());
        pass(&mut gateway, 3_000, || bystanders.iter_mut().for_each(Bystander::look));
        for one in &bystanders {
            assert!((1..=3).contains(&one.datagrams), "{} questions", one.datagrams);
        }
        // A list of more than there may be breaks the conversation, which begins anew.
        let believed = gateway.believed;
        gateway.say_bytes(key(&host.id), &[0x86, 0, 200, 200]);
        gateway.say_bytes(key(&host.id), &[0xff; 199]);
        until(&mut [&mut gateway], |rogues| rogues[0].believed > believed);
        assert!(host.server.ended().is_none() && host.command(&["list"]).len() < 1 << 20);
    }

    #[test]
    #[ignore = "run in a namespace of its own"]
    fn other_gateway() {
        let (known, host) = (Identity::from_secret(draw()), Identity::from_secret(draw()).public());
        let mut gateway = Rogue::new(known.public(), Identity::from_secret(draw()));
        let client = Client::new();
        let mut process = client.connect_by(&gateway.link(&host.to_string()), &[]);
        until(&mut [&mut gateway], |_| process.ended().is_some());
        let (words, is_done) = outcome(process);
        assert!(!is_done && words.contains("has not the key that the link says"), "{words}");
        assert!(gateway.believed == 0 && gateway.hear().is_none(), "it heard nothing");
    }
}
