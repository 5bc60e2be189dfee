//! Who is let in: a list of Wavry IDs in the state directory.
//!
//! The file is TOML, one `[[client]]` each with `id`, `name` and `permissions`; people may edit it. It is replaced
//! whole, under a lock, so neither a crash nor two commands at once lose an entry. A running server looks whether it
//! changed before it refuses anybody and several times a second.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rift::wire::text::is_plain;
use rift::{Permissions, PublicKey, Suite};
use rift_keystore::KeystoreError;

/// The list's name in the state directory.
pub const FILE_NAME: &str = "clients.toml";
/// What an entry says of its handshakes, if anything.
const HYBRID: &str = "hybrid";
/// Taken by whoever changes the list.
/// The longest name of a client, in characters.
pub const NAME_MAX: usize = 64;

/// Why the list could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllowError {
    /// The text is no list of clients.
    #[error("{path} is no list of clients: {what}; mend it or move it away")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The client is on the list.
    #[error("{id} is allowed already as {name:?}; `wavry-server revoke {id}` takes it off")]
    Duplicate {
        /// Who.
        id: PublicKey,
        /// Under which name.
        name: String,
    },
    /// The client is not on the list.
    #[error("{0} is not on the list; `wavry-server list` shows who is")]
    Unknown(PublicKey),
    /// A name that would not fit a line of a list.
    #[error("a name has 1 to {NAME_MAX} characters, none of them control characters")]
    Name,
    /// The list could not be read or written.
    #[error(transparent)]
    File(#[from] KeystoreError),
}

/// One who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Who.
    pub id: PublicKey,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// Its handshakes are hybrid, since one was: a classical one is refused.
    pub suite: Suite,
}

/// The list, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    clients: Vec<Client>,
}

impl AllowList {
    /// What the file at `path` holds; one that does not exist is empty.
    fn read(text: Option<String>, path: &Path) -> Result<Self, AllowError> {
        text.map_or_else(|| Ok(Self::default()), |text| Self::parse(&text, path))
    }

    /// Reads a list from text; `path` is for messages.
    ///
    /// # Errors
    /// [`AllowError::Malformed`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, AllowError> {
        let malformed = |what: String| AllowError::Malformed { path: path.to_owned(), what };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| malformed(error.to_string()))?;
        let mut list = Self::default();
        for (key, value) in &table {
            let clients = value.as_array().filter(|_| key == "client");
            let clients = clients.ok_or_else(|| malformed(format!("{key:?} is not a list of clients")))?;
            for entry in clients {
                let client = client(entry).map_err(&malformed)?;
                list.add(client).map_err(|error| malformed(error.to_string()))?;
            }
        }
        Ok(list)
    }

    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let clients = self.clients.iter().map(|client| {
            let permissions = client.permissions.words().map(toml::Value::from).collect::<Vec<_>>();
            let fields = [
                ("id".to_owned(), client.id.to_string().into()),
                ("name".to_owned(), client.name.clone().into()),
                ("permissions".to_owned(), permissions.into()),
            ];
            let suite = (client.suite == Suite::Hybrid).then(|| ("suite".to_owned(), HYBRID.into()));
            toml::Table::from_iter(fields.into_iter().chain(suite))
        });
        let clients = clients.map(toml::Value::from).collect::<Vec<_>>();
        if clients.is_empty() {
            return HEADER.to_owned();
        }
        format!("{HEADER}\n{}", toml::Table::from_iter([("client".to_owned(), clients.into())]))
    }

    /// Everybody, in the order of the file.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The entry of `id`.
    #[must_use]
    pub fn find(&self, id: &PublicKey) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == *id)
    }

    /// Puts one more on the list.
    ///
    /// # Errors
    /// [`AllowError::Duplicate`], [`AllowError::Name`].
    pub fn add(&mut self, client: Client) -> Result<(), AllowError> {
        if let Some(known) = self.find(&client.id) {
            return Err(AllowError::Duplicate { id: known.id, name: known.name.clone() });
        }
        self.put(client)
    }

    /// Puts one on the list in place of any entry of the same key.
    ///
    /// # Errors
    /// [`AllowError::Name`].
    pub fn put(&mut self, client: Client) -> Result<(), AllowError> {
        is_name(&client.name).then_some(()).ok_or(AllowError::Name)?;
        match self.clients.iter_mut().find(|known| known.id == client.id) {
            // What it proved once it is held to, whoever puts it on the list again.
            Some(known) => *known = Client { suite: known.suite.max(client.suite), ..client },
            None => self.clients.push(client),
        }
        Ok(())
    }

    /// The client has finished a hybrid handshake.
    ///
    /// # Errors
    /// [`AllowError::Unknown`].
    pub fn harden(&mut self, id: &PublicKey) -> Result<(), AllowError> {
        let client = self.clients.iter_mut().find(|client| client.id == *id);
        client.map(|client| client.suite = Suite::Hybrid).ok_or(AllowError::Unknown(*id))
    }

    /// Takes one off the list.
    ///
    /// # Errors
    /// [`AllowError::Unknown`].
    pub fn remove(&mut self, id: &PublicKey) -> Result<Client, AllowError> {
        let index = self.clients.iter().position(|client| client.id == *id);
        index.map(|index| self.clients.remove(index)).ok_or(AllowError::Unknown(*id))
    }
}

/// The list on disk, and what was last read of it.
#[derive(Debug)]
pub struct AllowFile {
    path: PathBuf,
    seen: Option<Version>,
    list: AllowList,
}

/// Tells one state of the file from another: every change makes a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl AllowFile {
    /// The list in this state directory, not yet read. It need not exist.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { path: state.join(FILE_NAME), seen: None, list: AllowList::default() }
    }

    /// What was last read.
    #[must_use]
    pub const fn list(&self) -> &AllowList {
        &self.list
    }

    /// Reads the file if it is another than last time. Returns whether the list changed.
    ///
    /// # Errors
    /// [`AllowError::Malformed`], [`AllowError::File`], once for each state of the file; the list stays as it was.
    pub fn refresh(&mut self) -> Result<bool, AllowError> {
        let version = self.version()?;
        if version == self.seen {
            return Ok(false);
        }
        self.seen = version;
        let list = AllowList::read(rift_keystore::read_text(&self.path)?, &self.path)?;
        let changed = list != self.list;
        self.list = list;
        Ok(changed)
    }

    /// The client has finished a hybrid handshake: from now on it is held to that. Waits for the disk: once for a client.
    ///
    /// # Errors
    /// As [`change`].
    pub fn harden(&mut self, id: &PublicKey) -> Result<(), AllowError> {
        let state = self.path.parent().unwrap_or(Path::new("."));
        change(state, |list| list.harden(id))?;
        self.list.harden(id)
    }

    fn version(&self) -> Result<Option<Version>, AllowError> {
        match std::fs::metadata(&self.path) {
            Ok(data) => {
                let changed = (data.ctime(), data.ctime_nsec());
                Ok(Some(Version { inode: data.ino(), len: data.len(), changed }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeystoreError::Io { action: "read", path: self.path.clone(), source }.into()),
        }
    }
}

/// Changes the list in the state directory `state`, all or nothing; one change at a time.
///
/// # Errors
/// What `change` says, and any [`AllowError`]; the file is then as before.
pub fn change<T>(
    state: &Path,
    change: impl FnOnce(&mut AllowList) -> Result<T, AllowError>,
) -> Result<T, AllowError> {
    let path = state.join(FILE_NAME);
    rift_keystore::change_text(&path, |text| {
        let mut list = AllowList::read(text, &path)?;
        let outcome = change(&mut list)?;
        Ok((list.to_text(), outcome))
    })
}

/// Reads the list in the state directory `state`; one that does not exist is empty.
///
/// # Errors
/// [`AllowError::Malformed`], [`AllowError::File`].
pub fn load(state: &Path) -> Result<AllowList, AllowError> {
    let path = state.join(FILE_NAME);
    AllowList::read(rift_keystore::read_text(&path)?, &path)
}

fn client(entry: &toml::Value) -> Result<Client, String> {
    let table = entry.as_table().ok_or("a client is a table")?;
    if let Some(key) =
        table.keys().find(|key| !["id", "name", "permissions", "suite"].contains(&key.as_str()))
    {
        return Err(format!("a client has no {key:?}"));
    }
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str);
    let id = text("id").ok_or("a client lacks its id")?;
    let id: PublicKey = id.parse().map_err(|error| format!("{id:?} is no Wavry ID: {error}"))?;
    let name = text("name").unwrap_or("client").to_owned();
    let permissions = match table.get("permissions") {
        None => Permissions::default_control(),
        Some(list) => permissions(list)?,
    };
    let suite = match table.get("suite").map(|suite| suite.as_str()) {
        None => Suite::Classical,
        Some(Some(HYBRID)) => Suite::Hybrid,
        Some(_) => return Err(format!("the only suite that is written down is {HYBRID:?}")),
    };
    Ok(Client { id, name, permissions, suite })
}

/// Whether a name fits a line of a list.
fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.chars().count()) && is_plain(name)
}

/// The permission of this word.
///
/// # Errors
/// That there is none, and which there are.
pub fn permission(word: &str) -> Result<Permissions, String> {
    Permissions::from_word(word).ok_or_else(|| {
        let all = Permissions::all().words().collect::<Vec<_>>().join(", ");
        format!("{word:?} is no permission; there are {all}")
    })
}

fn permissions(list: &toml::Value) -> Result<Permissions, String> {
    let list = list.as_array().ok_or("permissions are a list of words")?;
    let mut permissions = Permissions::empty();
    for word in list {
        let word = word.as_str().ok_or("permissions are a list of words")?;
        permissions |= permission(word)?;
    }
    Ok(permissions)
}

const HEADER: &str = "# Who may connect to this host. Written by `wavry-server allow` and `revoke`.\n";

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use rift::Identity;

    use super::*;

    fn id(seed: u8) -> PublicKey {
        Identity::from_secret([seed; 32]).public()
    }

    fn some(seed: u8) -> Client {
        let (name, permissions) = (format!("client {seed}"), Permissions::default_control());
        Client { id: id(seed), name, permissions, suite: Suite::Classical }
    }

    /// A directory of this test's own, gone with it.
    struct State(PathBuf);

    impl State {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name =
                format!("wavry-allow-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for State {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn client_that_was_hybrid_stays_so_whoever_puts_it_on_the_list_again() {
        let mut list = AllowList::default();
        list.add(some(1)).expect("new");
        list.harden(&id(1)).expect("it is there");
        assert!(list.harden(&id(2)).is_err());
        list = AllowList::parse(&list.to_text(), Path::new("")).expect("its own text");
        list.put(some(1)).expect("a name");
        assert_eq!(list.find(&id(1)).expect("still there").suite, Suite::Hybrid);
        assert!(AllowList::parse(&list.to_text().replace("hybrid", "none"), Path::new("")).is_err());
    }

    #[test]
    fn what_is_added_is_found_by_a_reader_and_gone_when_revoked() {
        let state = State::new();
        let mut reader = AllowFile::new(&state.0);
        assert!(!reader.refresh().unwrap());
        change(&state.0, |list| list.add(some(1))).unwrap();
        change(&state.0, |list| list.add(Client { permissions: Permissions::view_only(), ..some(2) }))
            .unwrap();
        assert!(reader.refresh().unwrap());
        assert!(!reader.refresh().unwrap());
        assert_eq!(reader.list().find(&id(1)), Some(&some(1)));
        assert_eq!(reader.list().find(&id(2)).unwrap().permissions, Permissions::view_only());
        assert_eq!(change(&state.0, |list| list.remove(&id(1))).unwrap(), some(1));
        assert!(reader.refresh().unwrap());
        assert_eq!(reader.list().find(&id(1)), None);
        assert_eq!(reader.list().clients().len(), 1);
    }

    #[test]
    fn duplicate_and_unknown_are_refused_and_change_nothing() {
        let state = State::new();
        change(&state.0, |list| list.add(some(1))).unwrap();
        let before = std::fs::read(state.0.join(FILE_NAME)).unwrap();
        let twice = change(&state.0, |list| list.add(Client { name: "other".into(), ..some(1) }));
        assert!(matches!(twice, Err(AllowError::Duplicate { .. })));
        assert!(matches!(change(&state.0, |list| list.remove(&id(9))), Err(AllowError::Unknown(_))));
        assert_eq!(std::fs::read(state.0.join(FILE_NAME)).unwrap(), before);
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept_and_every_reader_sees_a_whole_list() {
        let state = State::new();
        std::thread::scope(|scope| {
            for seed in 1..=16 {
                let directory = &state.0;
                scope.spawn(move || change(directory, |list| list.add(some(seed))).unwrap());
            }
            let mut reader = AllowFile::new(&state.0);
            while reader.list().clients().len() < 16 {
                reader.refresh().expect("a half-written list is never there");
                std::thread::yield_now();
            }
        });
        let leftovers = std::fs::read_dir(&state.0).unwrap().count();
        assert_eq!(leftovers, 2, "the list and the lock");
    }

    #[test]
    fn malformed_lists_are_refused_by_what_is_wrong_and_the_old_one_stays() {
        let state = State::new();
        change(&state.0, |list| list.add(some(1))).unwrap();
        let mut reader = AllowFile::new(&state.0);
        reader.refresh().unwrap();
        let good = id(2);
        for (text, what) in [
            ("client = 3".to_owned(), "not a list of clients"),
            ("[[client]]\nname = \"x\"".to_owned(), "lacks its id"),
            ("[[client]]\nid = \"ABC\"".to_owned(), "no Wavry ID"),
            (format!("[[client]]\nid = \"{good}\"\nmane = \"x\""), "no \"mane\""),
            (
                format!("[[client]]\nid = \"{good}\"\npermissions = [\"fly\"]"),
                "no permission; there are view",
            ),
            (format!("[[client]]\nid = \"{good}\"\n[[client]]\nid = \"{good}\""), "allowed already"),
            ("[[client".to_owned(), "parse error"),
        ] {
            std::fs::write(state.0.join(FILE_NAME), &text).unwrap();
            let message = reader.refresh().unwrap_err().to_string();
            assert!(message.contains(what), "{text:?}: {message}");
            assert!(!reader.refresh().unwrap(), "said once");
            assert!(reader.list().find(&id(1)).is_some());
        }
    }

    #[test]
    fn names_that_would_spoil_a_list_are_refused() {
        for name in ["", "two\nlines", &"x".repeat(NAME_MAX + 1)] {
            let refused = AllowList::default().add(Client { name: name.into(), ..some(1) });
            assert!(matches!(refused, Err(AllowError::Name)), "{name:?}");
        }
    }
}
