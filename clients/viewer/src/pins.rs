//! The hosts this client has paired with: what is typed to reach one, and the key it must then prove.
//!
//! One TOML file in the state directory, one `[[host]]` each; people may edit it. It is replaced whole, under a lock.

use std::path::{Path, PathBuf};

use rift::{PublicKey, Suite};
use rift_keystore::KeystoreError;
use rift_keystore::link::GatewayName;

use crate::error::ClientError;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "hosts.toml";
/// What a pin says of its handshakes, if anything.
const HYBRID: &str = "hybrid";
/// The list of gateways in the file.
const GATEWAY: &str = "gateway";
const HEADER: &str = "# Hosts this client has paired with. Written by `wavry-client pair`.\n";

/// Why the file could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinsError {
    /// The text is no list of hosts.
    #[error("{path} is no list of hosts: {what}; mend it or move it away")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It could not be read or written.
    #[error(transparent)]
    File(#[from] KeystoreError),
}

/// A host and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// `HOST:PORT` as it is reached.
    pub address: String,
    /// Who it is.
    pub id: PublicKey,
    /// Who it will be, on its own word: taken once.
    pub successor: Option<PublicKey>,
    /// Its handshakes are hybrid, since one was: a classical one would be somebody else's wish.
    pub suite: Suite,
}

/// All of them, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    hosts: Vec<Pin>,
    /// Gateways that have proven their keys: `HOST:PORT` and who is there.
    gateways: Vec<(String, PublicKey)>,
}

impl Pins {
    /// Reads a list from text; `path` is for messages.
    ///
    /// # Errors
    /// [`PinsError::Malformed`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, PinsError> {
        let malformed = |what: String| PinsError::Malformed { path: path.to_owned(), what };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| malformed(error.to_string()))?;
        let mut pins = Self::default();
        for (key, value) in &table {
            if key == GATEWAY {
                pins.gateways = gateways(value).map_err(&malformed)?;
                continue;
            }
            let hosts = value.as_array().filter(|_| key == "host");
            let hosts = hosts.ok_or_else(|| malformed(format!("{key:?} is not a list of hosts")))?;
            for entry in hosts {
                pins.put(pin(entry).map_err(&malformed)?);
            }
        }
        Ok(pins)
    }

    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let hosts = self.hosts.iter().map(|pin| {
            let fields = [("address", pin.address.clone()), ("id", pin.id.to_string())];
            let successor = pin.successor.map(|key| ("successor", key.to_string()));
            let suite = (pin.suite == Suite::Hybrid).then(|| ("suite", HYBRID.to_owned()));
            let fields = fields.into_iter().chain(successor).chain(suite);
            toml::Table::from_iter(fields.map(|(key, text)| (key.to_owned(), text.into())))
        });
        let hosts = hosts.map(toml::Value::from).collect::<Vec<_>>();
        let gateways = self.gateways.iter().map(|(address, id)| {
            let fields = [("address", address.clone()), ("id", id.to_string())];
            toml::Value::from(toml::Table::from_iter(fields.map(|(key, text)| (key.to_owned(), text.into()))))
        });
        let gateways = gateways.collect::<Vec<_>>();
        let lists = [("host", hosts), (GATEWAY, gateways)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let table = toml::Table::from_iter(lists.map(|(key, list)| (key.to_owned(), list.into())));
        if table.is_empty() { HEADER.to_owned() } else { format!("{HEADER}\n{table}") }
    }

    /// What is known of the host that is reached so.
    #[must_use]
    pub fn find(&self, host: &str, port: u16) -> Option<&Pin> {
        let address = address(host, port);
        self.hosts.iter().find(|pin| pin.address == address)
    }

    /// What handshakes with this host rest on, however it is reached.
    #[must_use]
    pub fn suite_of(&self, id: &PublicKey) -> Suite {
        let suites = self.hosts.iter().filter(|pin| pin.id == *id).map(|pin| pin.suite);
        suites.max().unwrap_or(Suite::Classical)
    }

    /// Whether a gateway may have the key that a link says.
    ///
    /// # Errors
    /// [`ClientError::OtherGateway`]: another one is known to be there.
    pub fn expect_gateway(&self, gateway: &GatewayName) -> Result<(), ClientError> {
        match self.gateways.iter().find(|(address, _)| *address == gateway.address.to_lowercase()) {
            Some(&(_, known)) if known != gateway.key => Err(ClientError::OtherGateway {
                address: gateway.address.clone(),
                said: gateway.key,
                known,
                path: FILE_NAME,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// A gateway has proven its key.
    pub fn keep_gateway(&mut self, address: &str, key: PublicKey) {
        let address = address.to_lowercase();
        if !self.gateways.iter().any(|(known, _)| *known == address) {
            self.gateways.push((address, key));
        }
    }

    /// The host that is reached so, and is `id`, vouches for another key.
    pub fn promise(&mut self, address: &str, id: PublicKey, successor: PublicKey) {
        let known = self.hosts.iter_mut().find(|pin| pin.address == address && pin.id == id);
        if let Some(pin) = known.filter(|_| successor != id) {
            pin.successor = Some(successor);
        }
    }

    /// The host that is reached so has proven the key it was to have: the old one counts no more.
    pub fn succeed(&mut self, address: &str, proven: PublicKey) {
        let known = self.hosts.iter_mut().find(|pin| pin.address == address && pin.successor == Some(proven));
        if let Some(pin) = known {
            (pin.id, pin.successor) = (proven, None);
        }
    }

    /// The host that is reached so, and is `id`, has finished a hybrid handshake.
    pub fn harden(&mut self, address: &str, id: PublicKey) {
        if let Some(pin) = self.hosts.iter_mut().find(|pin| pin.address == address && pin.id == id) {
            pin.suite = Suite::Hybrid;
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.hosts.iter()
    }

    /// What the file at `path` holds; one that does not exist is empty.
    fn read(text: Option<String>, path: &Path) -> Result<Self, PinsError> {
        text.map_or_else(|| Ok(Self::default()), |text| Self::parse(&text, path))
    }

    /// Keeps a host, in place of another that was reached the same way.
    pub fn put(&mut self, pin: Pin) {
        match self.hosts.iter_mut().find(|known| known.address == pin.address) {
            Some(known) => *known = pin,
            None => self.hosts.push(pin),
        }
    }
}

/// How a host is named in the file, whatever case it was typed in.
#[must_use]
pub fn address(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Reads the list in the state directory; one that does not exist is empty.
///
/// # Errors
/// [`PinsError`].
pub fn load(state: &Path) -> Result<Pins, PinsError> {
    let path = state.join(FILE_NAME);
    Pins::read(rift_keystore::read_text(&path)?, &path)
}

/// Changes the list in the state directory, all or nothing; one change at a time.
///
/// # Errors
/// [`PinsError`]; the file is then as before.
pub fn change(state: &Path, change: impl FnOnce(&mut Pins)) -> Result<(), PinsError> {
    let path = state.join(FILE_NAME);
    rift_keystore::change_text(&path, |text| {
        let mut pins = Pins::read(text, &path)?;
        change(&mut pins);
        Ok((pins.to_text(), ()))
    })
}

fn pin(entry: &toml::Value) -> Result<Pin, String> {
    let table = entry.as_table().ok_or("a host is a table")?;
    if let Some(key) =
        table.keys().find(|key| !["address", "id", "successor", "suite"].contains(&key.as_str()))
    {
        return Err(format!("a host has no {key:?}"));
    }
    let text = |key: &str| {
        let text = table.get(key).and_then(toml::Value::as_str);
        text.ok_or_else(|| format!("a host lacks its {key}"))
    };
    let key = |text: &str| text.parse().map_err(|error| format!("{text:?} is no Wavry ID: {error}"));
    let successor = table.contains_key("successor").then(|| text("successor").and_then(key)).transpose()?;
    let suite = match table.get("suite").map(|suite| suite.as_str()) {
        None => Suite::Classical,
        Some(Some(HYBRID)) => Suite::Hybrid,
        Some(_) => return Err(format!("the only suite that is written down is {HYBRID:?}")),
    };
    Ok(Pin { id: key(text("id")?)?, address: text("address")?.to_owned(), successor, suite })
}

fn gateways(value: &toml::Value) -> Result<Vec<(String, PublicKey)>, String> {
    let list = value.as_array().ok_or_else(|| "\"gateway\" is not a list of gateways".to_owned())?;
    let gateway = |entry: &toml::Value| {
        let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
        let (address, id) = text("address").zip(text("id")).ok_or("a gateway has an address and an id")?;
        let id = id.parse().map_err(|error| format!("{id:?} is no Wavry ID: {error}"))?;
        Ok((address.to_lowercase(), id))
    };
    list.iter().map(gateway).collect()
}

#[cfg(test)]
mod tests {
    use rift::Identity;

    use super::*;

    fn id(seed: u8) -> PublicKey {
        Identity::from_secret([seed; 32]).public()
    }

    #[test]
    fn hosts_are_found_by_how_they_are_reached_and_the_newest_key_counts() {
        let mut pins = Pins::default();
        for (host, port, seed) in [("Desk.example", 4747, 1), ("::1", 4747, 2), ("desk.example", 4747, 3)] {
            pins.put(Pin {
                address: address(host, port),
                id: id(seed),
                successor: None,
                suite: Suite::Classical,
            });
        }
        let again = Pins::parse(&pins.to_text(), Path::new("hosts.toml")).expect("its own text");
        assert_eq!(again, pins);
        assert_eq!(again.find("DESK.example", 4747).map(|pin| pin.id), Some(id(3)));
        assert_eq!(again.find("::1", 4747).map(|pin| pin.id), Some(id(2)));
        assert_eq!(again.find("desk.example", 4748), None);
        assert_eq!(Pins::parse(HEADER, Path::new("")).expect("empty"), Pins::default());
    }

    /// SPEC §4.19/2.
    #[test]
    fn pin_that_has_been_hybrid_stays_so() {
        let mut pins = Pins::default();
        pins.put(Pin { address: address("desk", 1), id: id(1), successor: None, suite: Suite::Classical });
        pins.harden("desk:1", id(9));
        assert_eq!(pins.find("desk", 1).expect("pinned").suite, Suite::Classical, "somebody else");
        pins.harden("desk:1", id(1));
        pins.promise("desk:1", id(1), id(2));
        pins = Pins::parse(&pins.to_text(), Path::new("")).expect("its own text");
        pins.succeed("desk:1", id(2));
        let pin = pins.find("desk", 1).expect("pinned");
        assert_eq!((pin.id, pin.suite), (id(2), Suite::Hybrid), "its next key too");
        let strange = pins.to_text().replace("hybrid", "classical");
        assert!(Pins::parse(&strange, Path::new("")).is_err(), "nobody writes that");
    }

    /// SPEC §8.9.
    #[test]
    fn successor_is_taken_once_and_only_on_the_word_of_the_key_that_is_pinned() {
        let mut pins = Pins::default();
        pins.put(Pin { address: address("desk", 1), id: id(1), successor: None, suite: Suite::Classical });
        pins.promise("desk:1", id(9), id(8));
        pins.promise("desk:1", id(1), id(1));
        assert_eq!(pins.find("desk", 1).expect("pinned").successor, None, "another host's word, or none");
        pins.promise("desk:1", id(1), id(2));
        pins = Pins::parse(&pins.to_text(), Path::new("")).expect("its own text");
        pins.succeed("desk:1", id(1));
        assert_eq!(pins.find("desk", 1).expect("pinned").successor, Some(id(2)), "still to come");
        pins.succeed("desk:1", id(2));
        let pin = pins.find("desk", 1).expect("pinned").clone();
        assert_eq!((pin.id, pin.successor), (id(2), None));
        pins.promise("desk:1", id(1), id(3));
        assert_eq!(pins.find("desk", 1), Some(&pin), "the old key vouches for nothing more");
    }

    #[test]
    fn gateway_that_is_known_has_the_key_it_had() {
        let mut pins = Pins::default();
        let gateway = |seed| GatewayName { address: "GW.example:4748".to_owned(), key: id(seed) };
        assert!(pins.expect_gateway(&gateway(1)).is_ok(), "a first meeting");
        pins.keep_gateway("gw.example:4748", id(1));
        pins.keep_gateway("gw.example:4748", id(2));
        let pins = Pins::parse(&pins.to_text(), Path::new("")).expect("its own text");
        assert!(pins.expect_gateway(&gateway(1)).is_ok());
        let message = pins.expect_gateway(&gateway(2)).expect_err("another one").to_string();
        for part in ["GW.example:4748", &id(1).to_string(), &id(2).to_string(), FILE_NAME] {
            assert!(message.contains(part), "{message}");
        }
        assert!(Pins::parse("[[gateway]]\nid = 1", Path::new("")).is_err());
    }

    #[test]
    fn malformed_lists_are_refused_by_what_is_wrong() {
        let good = id(1);
        for (text, what) in [
            ("host = 3".to_owned(), "not a list of hosts"),
            ("[[host]]\naddress = \"x:1\"".to_owned(), "lacks its id"),
            (format!("[[host]]\nid = \"{good}\""), "lacks its address"),
            ("[[host]]\naddress = \"x:1\"\nid = \"A\"".to_owned(), "no Wavry ID"),
            (format!("[[host]]\naddress = \"x:1\"\nid = \"{good}\"\nkey = 1"), "no \"key\""),
        ] {
            let message = Pins::parse(&text, Path::new("hosts.toml")).expect_err("malformed").to_string();
            assert!(message.contains(what), "{text:?}: {message}");
        }
    }
}
