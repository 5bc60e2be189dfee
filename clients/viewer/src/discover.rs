//! Hosts on the local network: which are there, and which of them this client knows.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Write};

use rift::PublicKey;
use rift_mdns::{Found, MdnsError};
use serde_json::json;

/// How long a host has to be heard of.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host this client knows: what it is called, and who it is.
pub type Known = (String, PublicKey);

/// Who announces itself there, if it is somebody known.
#[must_use]
pub fn recognise<'a>(found: &Found, known: &'a [Known]) -> Option<&'a Known> {
    let tag = found.tag?;
    known.iter().find(|(_, key)| tag.is_of(key))
}

/// Listens for `seconds` and returns all hosts that announce themselves.
///
/// # Errors
/// Multicast DNS does not work here.
pub fn all(seconds: u32) -> Result<Vec<Found>, MdnsError> {
    rift_mdns::browse(Duration::from_secs(seconds.into()), &mut |_| true)
}

/// Looks for one host and returns its address and port. `None`: it does not announce itself here.
///
/// # Errors
/// Multicast DNS does not work here.
pub fn place(host: PublicKey) -> Result<Option<(String, u16)>, MdnsError> {
    let is_it = |found: &Found| found.tag.is_some_and(|tag| tag.is_of(&host)) && !found.addresses.is_empty();
    let found = rift_mdns::browse(PATIENCE, &mut |found| !is_it(found))?;
    let address = found.into_iter().find(is_it).and_then(|found| found.addresses.first().copied());
    Ok(address.map(|address| match address {
        // Such an address means nothing without the interface it is of.
        SocketAddr::V6(v6) if v6.scope_id() != 0 => (format!("{}%{}", v6.ip(), v6.scope_id()), v6.port()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => (address.ip().to_string(), address.port()),
    }))
}

/// Writes a table for people.
///
/// # Errors
/// `out`'s.
pub fn write_table(hosts: &[Found], known: &[Known], out: &mut impl Write) -> io::Result<()> {
    if hosts.is_empty() {
        return writeln!(
            out,
            "No host announces itself on this network. Is wavry-server running, not with --announce=false, and does the\n\
             firewall of both machines let UDP port 5353 in?"
        );
    }
    let rows: Vec<[String; 3]> = hosts.iter().map(|found| row(found, known)).collect();
    let heads = ["NAME", "KNOWN AS", "ADDRESS"].map(str::to_owned);
    let width =
        |column: usize| rows.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    for [name, known, address] in [&heads].into_iter().chain(&rows) {
        writeln!(out, "{name:first$}  {known:second$}  {address}")?;
    }
    Ok(())
}

fn row(found: &Found, known: &[Known]) -> [String; 3] {
    let who = recognise(found, known).map_or("-", |(name, _)| name);
    let addresses = found.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    [found.name.clone(), who.to_owned(), addresses]
}

/// Writes an array for programs.
///
/// # Errors
/// `out`'s.
pub fn write_json(hosts: &[Found], known: &[Known], out: &mut impl Write) -> io::Result<()> {
    let hosts = hosts.iter().map(|found| {
        let who = recognise(found, known);
        json!({
            "name": found.name,
            "known_as": who.map(|(name, _)| name),
            "id": who.map(|(_, key)| key.to_string()),
            "version": found.version,
            "addresses": found.addresses,
        })
    });
    writeln!(out, "{:#}", serde_json::Value::from_iter(hosts))
}

#[cfg(test)]
mod tests {
    use rift::Identity;
    use rift::crypto::DiscoveryTag;

    use super::*;

    fn host(name: &str, seed: u8) -> Found {
        let key = Identity::from_secret([seed; 32]).public();
        Found {
            name: name.to_owned(),
            addresses: vec!["192.0.2.7:4747".parse().expect("an address")],
            version: Some(1),
            tag: Some(DiscoveryTag::new(&key, [9; 8])),
        }
    }

    #[test]
    fn known_hosts_are_named_and_others_are_not() {
        let known = [("desk".to_owned(), Identity::from_secret([1; 32]).public())];
        let hosts = [host("wavry-1", 1), host("wavry-2", 2), Found { tag: None, ..host("wavry-3", 1) }];
        let mut table = Vec::new();
        write_table(&hosts, &known, &mut table).expect("there is room");
        let table = String::from_utf8(table).expect("text");
        let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(lines[1], ["wavry-1", "desk", "192.0.2.7:4747"]);
        assert_eq!([lines[2][1], lines[3][1]], ["-", "-"]);
        let mut text = Vec::new();
        write_json(&hosts, &known, &mut text).expect("there is room");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("what was just written");
        assert_eq!(json[0]["id"], known[0].1.to_string());
        assert!(json[1]["id"].is_null());
        assert_eq!(json[1]["addresses"][0], "192.0.2.7:4747");
    }

    #[test]
    fn an_empty_network_says_what_to_look_at() {
        let mut text = Vec::new();
        write_table(&[], &[], &mut text).expect("there is room");
        assert!(String::from_utf8_lossy(&text).contains("5353"));
    }
}
