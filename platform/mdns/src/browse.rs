//! Looking for hosts.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::time::Duration;
use std::collections::BTreeMap;

use mdns_sd::{ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use rift::crypto::DiscoveryTag;
use rift::wire::text::is_shown;

use crate::{MdnsError, SERVICE, TAG_KEY, VERSION_KEY};

/// Hosts kept at most: anybody on the network can announce as many as they like.
const FOUND_MAX: usize = 256;
/// Addresses kept of each.
const ADDRESSES_MAX: usize = 16;
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// A host that announces itself. Nothing of it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The instance's name, without what could move a terminal's cursor.
    pub name: String,
    /// Where it is, IPv4 first, then by number.
    pub addresses: Vec<SocketAddr>,
    /// The newest version it speaks, if it says so.
    pub version: Option<u8>,
    /// Who it is, for those who know it; `None` when it shows no proper tag.
    pub tag: Option<DiscoveryTag>,
}

/// Listens for `patience` and returns the hosts that are there, by name. `on_found` is told of each as it comes, again when
/// more becomes known of it; when it says `false`, the search ends.
///
/// # Errors
/// [`MdnsError::Service`].
pub fn browse(patience: Duration, on_found: &mut dyn FnMut(&Found) -> bool) -> Result<Vec<Found>, MdnsError> {
    let daemon = ServiceDaemon::new()?;
    let events = daemon.browse(SERVICE)?;
    let mut found = BTreeMap::new();
    let deadline = deadline(patience);
    while let Ok(event) = events.recv_deadline(deadline) {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let host = read(&service);
                let is_enough = !on_found(&host);
                if found.len() < FOUND_MAX || found.contains_key(&service.fullname) {
                    found.insert(service.fullname, host);
                }
                if is_enough {
                    break;
                }
            }
            ServiceEvent::ServiceRemoved(_, full) => {
                found.remove(&full);
            }
            ServiceEvent::SearchStopped(_) => break,
            ServiceEvent::SearchStarted(_) | ServiceEvent::ServiceFound(..) | _ => {}
        }
    }
    if let Ok(over) = daemon.shutdown() {
        let _ = over.recv_timeout(GOODBYE);
    }
    Ok(found.into_values().collect())
}

#[expect(clippy::disallowed_methods, reason = "the network is listened to for a length of real time")]
fn deadline(patience: Duration) -> std::time::Instant {
    std::time::Instant::now() + patience
}

fn read(service: &ResolvedService) -> Found {
    let name = service.fullname.strip_suffix(SERVICE).unwrap_or(&service.fullname);
    let name = name.trim_end_matches('.').chars().filter(|&letter| is_shown(letter)).collect();
    let mut addresses: Vec<_> =
        service.addresses.iter().filter_map(|address| socket_address(address, service.port)).collect();
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.truncate(ADDRESSES_MAX);
    Found {
        name,
        addresses,
        version: service.get_property_val_str(VERSION_KEY).and_then(|version| version.parse().ok()),
        tag: service.get_property_val_str(TAG_KEY).and_then(DiscoveryTag::parse),
    }
}

/// Where to call; `None` for addresses at which no host can be.
fn socket_address(address: &ScopedIp, port: u16) -> Option<SocketAddr> {
    let ip = address.to_ip_addr();
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || port == 0 {
        return None;
    }
    match (ip, address) {
        (IpAddr::V6(ip), ScopedIp::V6(scoped)) if ip.is_unicast_link_local() => {
            Some(SocketAddrV6::new(ip, port, 0, scoped.scope_id().index).into())
        }
        (ip, _) => Some(SocketAddr::new(ip, port)),
    }
}
