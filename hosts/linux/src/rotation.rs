//! The key that this host will have next: made beside the present one, vouched for in every session, then put in its
//! place (SPEC §8.9).

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rift::PublicKey;
use rift_keystore::KeystoreError;
use tracing::{info, warn};

/// The next key's file in the state directory.
pub const FILE_NAME: &str = "identity.next";

/// Makes the next key if there is none yet.
///
/// # Errors
/// [`KeystoreError`].
pub fn prepare(state: &Path) -> Result<PublicKey, KeystoreError> {
    Ok(rift_keystore::load_or_create(&state.join(FILE_NAME))?.public())
}

/// Puts the next key in the place of the present one, which is gone then. Returns who the host is from now on.
///
/// # Errors
/// [`KeystoreError::Missing`] when there is no next key; nothing has changed then, or with any other error.
pub fn switch(state: &Path) -> Result<PublicKey, KeystoreError> {
    let (next, present) = (state.join(FILE_NAME), state.join(rift_keystore::FILE_NAME));
    let key = rift_keystore::load(&next)?.public();
    let failed = |source| KeystoreError::Io { action: "write", path: present.clone(), source };
    std::fs::rename(&next, &present).map_err(failed)?;
    Ok(key)
}

/// The next key as a running host sees it.
#[derive(Debug)]
pub struct Heir {
    path: PathBuf,
    /// Tells one state of the file from another.
    seen: Option<(u64, i64, i64)>,
    key: Option<PublicKey>,
}

impl Heir {
    /// That of the state directory; not looked at yet.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { path: state.join(FILE_NAME), seen: None, key: None }
    }

    /// The key to vouch for.
    #[must_use]
    pub const fn key(&self) -> Option<PublicKey> {
        self.key
    }

    /// Looks whether there is one now.
    pub fn refresh(&mut self) {
        let version = match std::fs::metadata(&self.path) {
            Ok(data) => Some((data.ino(), data.ctime(), data.ctime_nsec())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // Told below, once, by whoever reads it.
            Err(_) => Some((0, 0, 0)),
        };
        if version == self.seen {
            return;
        }
        self.seen = version;
        self.key = None;
        if version.is_some() {
            match rift_keystore::load(&self.path) {
                Ok(identity) => {
                    let id = identity.public();
                    info!(%id, "vouching for the next key");
                    self.key = Some(id);
                }
                Err(error) => warn!(%error, "the next key cannot be vouched for"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_key_is_made_once_seen_by_a_running_host_and_takes_the_place_of_the_old() {
        let state = std::env::temp_dir().join(format!("wavry-rotation-{}", std::process::id()));
        let old = rift_keystore::load_or_create(&state.join(rift_keystore::FILE_NAME)).unwrap().public();
        let mut heir = Heir::new(&state);
        heir.refresh();
        assert_eq!(heir.key(), None);
        assert!(matches!(switch(&state), Err(KeystoreError::Missing(_))));
        let next = prepare(&state).unwrap();
        assert_eq!(prepare(&state).unwrap(), next);
        assert_ne!(next, old);
        heir.refresh();
        assert_eq!(heir.key(), Some(next));
        assert_eq!(switch(&state).unwrap(), next);
        assert_eq!(rift_keystore::load(&state.join(rift_keystore::FILE_NAME)).unwrap().public(), next);
        heir.refresh();
        assert_eq!(heir.key(), None);
        let _ = std::fs::remove_dir_all(&state);
    }
}
