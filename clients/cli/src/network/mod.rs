//! What the network between this machine and others is like: [`examine`] asks, [`judge`] says what it means.
//!
//! Gateway, relay and any server of STUN are asked from one socket, so that what two of them see of it tells what the NAT does
//! with ports (the mapping tests of RFC 5780 §4.3, with two servers in place of one with two addresses). Whom a gateway's ID was
//! given of is also called over TLS on TCP, as a session would be where UDP is blocked, and tells its relays, which are
//! then asked as well. A host answers nobody whom it does not know: `wavry-client` tries it, by a session of some seconds that
//! only watches. Everything that is sent is bounded, and goes to those who were named, and to the relays of their gateway.

mod burst;
mod judge;
mod nat;
mod probe;
mod relays;
mod session;
mod stream;
mod tell;
mod width;

use core::net::SocketAddr;
use std::io;
use std::net::ToSocketAddrs;

use rift::PublicKey;
use rift_keystore::link::{HostLink, SCHEME};

use crate::args::NetworkArgs;
pub use judge::judge;
pub use nat::{Nat, nat};
pub use probe::{Answers, ask};
pub use session::HostFigures;
pub use stream::{Door, Doors};
pub use tell::tell;

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

/// Somebody who was asked, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What it is.
    pub role: Role,
    /// How it was named; a relay that its gateway told of has its address as a name.
    pub name: String,
    /// Its key, if that is known.
    pub key: Option<PublicKey>,
    /// What it answered; a name without an address has the resolver's words instead.
    pub answers: Result<Answers, String>,
    /// Whether it is reached by a stream, of those who take any.
    pub doors: Option<Doors>,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// Who was asked, and what came of it.
    pub asked: Vec<Asked>,
    /// Gateways of known keys that told of no relays, and why.
    pub silent: Vec<(String, String)>,
    /// The host, if one was named: what a session with it was like, or why there was none.
    pub host: Option<(String, Result<HostFigures, String>)>,
}

/// Asks everybody who was named, and the relays of their gateways.
///
/// # Errors
/// There is no socket.
pub fn examine(args: &NetworkArgs) -> io::Result<Examination> {
    let mut all = named(args);
    let silent = add_relays(&mut all)?;
    let places: Vec<_> = all.iter().filter_map(|(_, place)| place.as_ref().ok().copied()).collect();
    let answers = ask(&places)?;
    let doors = stream::knock(&all, &answers);
    let (mut answers, mut doors) = (answers.into_iter(), doors.into_iter());
    let asked = all.into_iter().filter_map(|(Named { role, name, key }, place)| {
        let answers = match place {
            Ok(_) => Ok(answers.next()?),
            Err(error) => Err(error),
        };
        Some(Asked { role, name, key, answers, doors: doors.next()? })
    });
    let asked = asked.collect();
    let host = args.host.as_ref().map(|host| (host.clone(), session::watch(host, args)));
    Ok(Examination { asked, silent, host })
}

/// Somebody who is to be asked.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    role: Role,
    name: String,
    key: Option<PublicKey>,
}

/// Somebody who is to be asked, and where he is, or why that is not known.
type Place = (Named, Result<SocketAddr, String>);

/// Whom the command line names: a link names its gateway.
fn named(args: &NetworkArgs) -> Vec<Place> {
    let link: Option<HostLink> =
        args.host.as_ref().filter(|host| host.starts_with(SCHEME)).and_then(|host| host.parse().ok());
    let gateway = link.and_then(|link| link.gateway);
    let gateway = gateway.map(|gateway| (Role::Gateway, format!("{}/{}", gateway.address, gateway.key)));
    let of =
        |role: Role, names: &[String]| names.iter().map(move |name| (role, name.clone())).collect::<Vec<_>>();
    let said = [(Role::Gateway, &args.gateway), (Role::Relay, &args.relay), (Role::Stun, &args.stun)];
    let said = said.into_iter().flat_map(|(role, names)| of(role, names));
    let mut all: Vec<Place> = Vec::new();
    for (role, text) in said.chain(gateway) {
        let (name, id) = text.split_once('/').map_or((text.as_str(), None), |(name, id)| (name, Some(id)));
        let key = id.map(str::parse::<PublicKey>).transpose();
        let place = match &key {
            Ok(_) => resolve(name, role.port()),
            Err(error) => Err(format!("what stands behind the / is no Wavry ID ({error})")),
        };
        let named = Named { role, name: name.to_owned(), key: key.unwrap_or_default() };
        let known = all.iter_mut().find(|(known, at)| known.role == role && at.is_ok() && *at == place);
        match known {
            // The one who is said with an ID counts.
            Some((known, _)) => known.key = known.key.or(named.key),
            None => all.push((named, place)),
        }
    }
    all
}

/// Asks gateways for their relays, and adds those that nobody has named. Who told of none, and why.
fn add_relays(all: &mut Vec<Place>) -> io::Result<Vec<(String, String)>> {
    let mut silent = Vec::new();
    for at in 0..all.len() {
        let (Named { role: Role::Gateway, name, key: Some(key) }, Ok(address)) = &all[at] else { continue };
        match relays::of(*address, *key)? {
            Ok(told) => {
                for place in told {
                    let is_it =
                        |(named, known): &Place| named.role == Role::Relay && *known == Ok(place.address);
                    if let Some((known, _)) = all.iter_mut().find(|place| is_it(place)) {
                        known.key = known.key.or(Some(place.key));
                    } else {
                        let name = place.address.to_string();
                        all.push((
                            Named { role: Role::Relay, name, key: Some(place.key) },
                            Ok(place.address),
                        ));
                    }
                }
            }
            Err(why) => silent.push((name.clone(), why)),
        }
    }
    Ok(silent)
}

/// The first address of a name, of IPv4 if it has one: that is where NATs are.
fn resolve(name: &str, port: u16) -> Result<SocketAddr, String> {
    let has_port =
        name.parse::<SocketAddr>().is_ok() || name.matches(':').count() == 1 || name.contains("]:");
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let found = if has_port { name.to_socket_addrs() } else { (bare, port).to_socket_addrs() };
    let mut all: Vec<_> = found.map_err(|error| error.to_string())?.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    all.first().copied().ok_or_else(|| "the name has no address".to_owned())
}
