//! One member on a socket of this network namespace: `wavry-net ROLE ADDRESS [OTHER [SEED [SECONDS]]]`.
//!
//! Roles: `introducer` (OTHER: the relay), `forwarder`, `callee` and `caller` (OTHER: the gateway). A caller ends after so many
//! seconds and prints which way it went: `direct ADDRESS` or `relay`, then the milliseconds to its first picture and the
//! number of pictures.
//!
//! The programs themselves are `gateway ADDRESS STATE`, `relay ADDRESS STATE` and `doctor GATEWAY [RELAY]`, which
//! prints JSON. `mapped PORT` has the port opened by the router, until its input ends; it prints `open at ADDRESS by WAY` and
//! `got TEXT`.

use core::net::SocketAddrV4;
use core::time::Duration;
use std::io::Write;
use std::process::ExitCode;

use rift::paths::Via;
use rift_sim::internet::Member;
use wavry_net::{Clock, callee, caller, drive, forwarder, introducer, real};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("wavry-net: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    let address = |at: usize| -> Result<SocketAddrV4, String> {
        let word = words.get(at).ok_or("an address is missing")?;
        word.parse().map_err(|error| format!("{word}: {error}"))
    };
    let number = |at: usize| -> Result<u64, String> {
        let word = words.get(at).ok_or("a number is missing")?;
        word.parse().map_err(|error| format!("{word}: {error}"))
    };
    let word = |at: usize| words.get(at).ok_or("a word is missing");
    match words.first().map_or("", String::as_str) {
        "gateway" => return real::gateway(address(1)?, word(2)?.into()),
        "relay" => return real::relay(address(1)?, word(2)?.into()),
        "mapped" => return real::mapped(number(1)?),
        "doctor" => return real::doctor(word(1)?, words.get(2).map(String::as_str)),
        _ => {}
    }
    let (clock, own) = (Clock::new(), address(1)?);
    let began = clock.now();
    let mut end = None;
    let mut member = match words.first().map_or("", String::as_str) {
        "introducer" => introducer(own, address(2)?, number(3)?),
        "forwarder" => forwarder(own),
        "callee" => callee(own, address(2)?, number(3)?, began),
        "caller" => {
            end = Some(began + Duration::from_secs(number(4)?));
            caller(own, address(2)?, number(3)?, began)
        }
        role => return Err(format!("there is no role {role:?}")),
    };
    let is_over = |_: &Member| end.is_some_and(|end| clock.now() >= end);
    drive(own, &mut member, clock, is_over).map_err(|error| format!("{own}: {error}"))?;
    let Member::Caller(caller) = &member else { return Ok(()) };
    let shown = caller.client().map(|client| client.shown.as_slice()).unwrap_or_default();
    let first = shown.first().map_or(0, |shown| shown.at.since(began).as_millis());
    let way = match caller.agent().in_use() {
        Some(Via::Direct(address)) => format!("direct {address}"),
        Some(Via::Relay) => "relay -".to_owned(),
        None => "none -".to_owned(),
    };
    writeln!(std::io::stdout(), "{way} {first} {}", shown.len()).map_err(|error| error.to_string())
}
