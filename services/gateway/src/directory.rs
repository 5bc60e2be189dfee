//! Where a gateway keeps what it is, and why it cannot.

use std::path::PathBuf;

use rift_keystore::KeystoreError;
use rift_settings::SettingsError;

use crate::args::Place;
use crate::leases::Leases;
use crate::shell;
use crate::storage::StorageError;

/// The database's name in the state directory.
pub const DATABASE_NAME: &str = "gateway.db";

/// The name of the file with the key that signs leases.
pub const LEASE_KEY_NAME: &str = "lease-key";

/// Why the gateway does not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// Its key.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// What it was told.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The key that signs leases.
    #[error("the key in the file `lease-key` is none")]
    LeaseKey,
    /// A socket.
    #[error("cannot serve {what} at {address}: {source}")]
    Bind {
        /// What was to be there.
        what: &'static str,
        /// Where.
        address: core::net::SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Anything else of the system's.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Where the gateway keeps its key, its secret and its database.
#[derive(Clone, Debug)]
pub struct StateDirectory(PathBuf);

impl StateDirectory {
    /// The one that was asked for, else the usual one.
    ///
    /// # Errors
    /// [`KeystoreError::NoHome`].
    pub fn of(place: &Place) -> Result<Self, KeystoreError> {
        let usual = || Ok::<_, KeystoreError>(rift_keystore::state_dir()?.with_file_name("wavry-gateway"));
        place.state.clone().map_or_else(usual, Ok).map(Self)
    }

    /// The gateway's identity; made when there is none, and the directory with it.
    ///
    /// # Errors
    /// The keystore's.
    pub fn identity(&self) -> Result<rift::Identity, KeystoreError> {
        rift_keystore::load_or_create(&self.0.join(rift_keystore::FILE_NAME))
    }

    pub(crate) fn secret(&self) -> Result<[u8; 32], KeystoreError> {
        Ok(*rift_keystore::load_or_create_secret(&self.0.join(rift_keystore::SECRET_FILE_NAME))?)
    }

    /// What leases are signed with; made when there is nothing.
    ///
    /// # Errors
    /// The keystore's.
    pub fn leases(&self) -> Result<Leases, GatewayError> {
        Leases::open(&self.0.join(LEASE_KEY_NAME), shell::unix_us() / 1_000_000)
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join(DATABASE_NAME)
    }
}
