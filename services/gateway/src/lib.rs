//! Wavry's gateway: devices that cannot find each other by themselves enrol with it, say that they are there, and are
//! introduced to each other (`rift/SPEC.md` §18).
//!
//! [`state`] is the gateway as a value: it does no I/O and reads no clock. [`storage`] is what it remembers for good.
//! [`shell`] joins them to a UDP socket, and [`health`] tells machines how it is. tokio drives it because sqlx, which
//! speaks to the database, needs it; axum serves HTTP on the same.
//!
//! What it can: introduce, or not; see who is there, from which address, and who looks for whom. What it cannot: enter a
//! host, read or change what two devices say to each other, or make a host let in somebody who is not on its list.

pub mod args;
pub mod config;
pub mod health;
pub mod leases;
pub mod shell;
pub mod state;
pub mod storage;

use std::io::Write;
use std::path::{Path, PathBuf};

use rift::wire::signal::EnrolmentToken;
use rift_keystore::KeystoreError;
use rift_paseto::Signer;

use args::{Command, Place};
use state::limits::TOKEN_S;
use storage::{Sqlite, Storage, StorageError};

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

    fn secret(&self) -> Result<[u8; 32], KeystoreError> {
        Ok(*rift_keystore::load_or_create_secret(&self.0.join(rift_keystore::SECRET_FILE_NAME))?)
    }

    /// What leases are signed with; made when there is none.
    ///
    /// # Errors
    /// The keystore's.
    pub fn signer(&self) -> Result<Signer, GatewayError> {
        let seed = rift_keystore::load_or_create_secret(&self.0.join(LEASE_KEY_NAME))?;
        Signer::from_seed(&seed).map_err(|_| GatewayError::LeaseKey)
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join(DATABASE_NAME)
    }
}

/// Does what is not running, and says so to `out`.
///
/// # Errors
/// [`GatewayError`].
pub fn carry_out(command: &Command, out: &mut impl Write) -> Result<(), GatewayError> {
    let said = match command {
        Command::Run(_) => return Ok(()),
        Command::Id { place } => StateDirectory::of(place)?.identity()?.public().to_string(),
        Command::LeaseKey { place } => {
            let key = StateDirectory::of(place)?.signer()?.public();
            key.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        Command::Token { place } => {
            let directory = StateDirectory::of(place)?;
            // The directory is made with the key.
            directory.identity()?;
            block_on(make_token(&directory))??.to_text().to_string()
        }
        Command::Backup { to, place } => {
            let database = StateDirectory::of(place)?.database();
            block_on(back_up(&database, to))??;
            format!("{} is in {}", database.display(), to.display())
        }
    };
    writeln!(out, "{said}").map_err(|source| GatewayError::Io { what: "cannot print", source })
}

/// Makes an enrolment token and remembers it.
///
/// # Errors
/// The database's.
pub async fn make_token(directory: &StateDirectory) -> Result<EnrolmentToken, StorageError> {
    let mut storage = Sqlite::open(&directory.database()).await?;
    let mut token = EnrolmentToken([0; EnrolmentToken::LEN]);
    token.0.copy_from_slice(&shell::entropy()[..EnrolmentToken::LEN]);
    let now_s = shell::unix_us() / 1_000_000;
    storage.add_token(&token, now_s, now_s + TOKEN_S).await?;
    Ok(token)
}

async fn back_up(database: &Path, to: &Path) -> Result<(), StorageError> {
    Sqlite::open(database).await?.back_up(to).await
}

/// Runs one thing to its end.
///
/// # Errors
/// [`GatewayError::Io`] when the system has no more threads or files.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, GatewayError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| GatewayError::Io { what: "cannot begin", source })?;
    Ok(runtime.block_on(future))
}
