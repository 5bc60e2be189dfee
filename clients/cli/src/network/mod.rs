//! Where this machine stands in the network: whether UDP passes, what its NAT does, how far gateways, relays and a host are.
//!
//! Gateways and relays are asked by STUN (RFC 8489) from one socket, so that what two of them see of it tells what the NAT does
//! with ports (the mapping tests of RFC 5780 §4.3, with two servers in place of one with two addresses). A host answers nobody
//! whom it does not know: `wavry-client` tries it, by a session of some seconds that only watches. Everything that is sent is
//! bounded, and goes to those who were named and nobody else.

mod judge;
mod probe;
mod session;

use std::io::{self, Write};
use std::net::ToSocketAddrs;

use serde_json::{Value, json};

use crate::args::NetworkArgs;
use crate::doctor::{Finding, Grade, report};
pub use judge::{Nat, judge, nat};
pub use probe::{Answers, ask};
pub use session::HostFigures;

/// What somebody is who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It introduces.
    Gateway,
    /// It forwards.
    Relay,
    /// Any server of STUN.
    Stun,
}

impl Role {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Relay => "relay",
            Self::Stun => "stun",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Gateway => rift_keystore::link::GATEWAY_PORT,
            Self::Relay => 4749,
            Self::Stun => 3478,
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// Who was asked, and what came of it; a name without an address has the resolver's words instead.
    pub asked: Vec<(Role, String, Result<Answers, String>)>,
    /// The host, if one was named: what a session with it was like, or why there was none.
    pub host: Option<(String, Result<HostFigures, String>)>,
}

/// Asks everybody who was named.
///
/// # Errors
/// There is no socket.
pub fn examine(args: &NetworkArgs) -> io::Result<Examination> {
    let named =
        |role: Role, names: &[String]| names.iter().map(move |name| (role, name.clone())).collect::<Vec<_>>();
    let all: Vec<_> = [(Role::Gateway, &args.gateway), (Role::Relay, &args.relay), (Role::Stun, &args.stun)]
        .into_iter()
        .flat_map(|(role, names)| named(role, names))
        .collect();
    let found: Vec<_> = all.iter().map(|(role, name)| resolve(name, role.port())).collect();
    let places: Vec<_> = found.iter().filter_map(|place| place.as_ref().ok().copied()).collect();
    let mut answers = ask(&places)?.into_iter();
    let asked = all.into_iter().zip(found).filter_map(|((role, name), place)| match place {
        Ok(_) => answers.next().map(|answers| (role, name, Ok(answers))),
        Err(error) => Some((role, name, Err(error))),
    });
    let asked = asked.collect();
    let host = args.host.as_ref().map(|host| (host.clone(), session::watch(host, args)));
    Ok(Examination { asked, host })
}

/// The first address of a name, of IPv4 if it has one: that is where NATs are.
fn resolve(name: &str, port: u16) -> Result<core::net::SocketAddr, String> {
    let has_port = name.parse::<core::net::SocketAddr>().is_ok()
        || name.matches(':').count() == 1
        || name.contains("]:");
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let found = if has_port { name.to_socket_addrs() } else { (bare, port).to_socket_addrs() };
    let mut all: Vec<_> = found.map_err(|error| error.to_string())?.collect();
    all.sort_by_key(core::net::SocketAddr::is_ipv6);
    all.first().copied().ok_or_else(|| "the name has no address".to_owned())
}

/// Writes what was found: for a person, or as JSON. Returns whether all is well enough for sessions.
///
/// # Errors
/// Those of `output`.
pub fn tell(examination: &Examination, as_json: bool, output: &mut dyn Write) -> io::Result<bool> {
    let findings = judge(examination);
    if as_json {
        writeln!(output, "{:#}", to_json(examination, &findings))?;
    } else {
        report(&findings, output)?;
    }
    Ok(findings.iter().all(|finding| finding.grade != Grade::Bad))
}

fn to_json(examination: &Examination, findings: &[Finding]) -> Value {
    let servers = examination.asked.iter().map(|(role, name, answers)| match answers {
        Err(error) => json!({ "role": role.name(), "name": name, "error": error }),
        Ok(answers) => json!({
            "role": role.name(),
            "name": name,
            "address": answers.server.to_string(),
            "reached": !answers.rtts_us.is_empty(),
            "asked": answers.sent,
            "answered": answers.rtts_us.len(),
            "rtt_us": {
                "min": answers.rtts_us.iter().min(),
                "median": answers.median_us(),
                "max": answers.rtts_us.iter().max(),
            },
            "seen_as": answers.seen.map(|address| address.to_string()),
            "path_mtu": answers.path_mtu,
        }),
    });
    let host = examination.host.as_ref().map(|(name, figures)| match figures {
        Err(error) => json!({ "name": name, "error": error }),
        Ok(figures) => json!({
            "name": name,
            "path": figures.path,
            "round_trip_us": figures.round_trip_us,
            "loss_permille": figures.loss_permille,
            "bitrate_bps": figures.bitrate_bps,
        }),
    });
    let grade = |grade| match grade {
        Grade::Good => "good",
        Grade::Limited => "limited",
        Grade::Bad => "bad",
    };
    let findings = findings.iter().map(|finding| {
        let Finding { topic, found, remedy, .. } = finding;
        json!({ "topic": topic, "grade": grade(finding.grade), "found": found, "remedy": remedy })
    });
    json!({
        "nat": nat(examination).map(Nat::name),
        "servers": servers.collect::<Vec<_>>(),
        "host": host,
        "findings": findings.collect::<Vec<_>>(),
    })
}
