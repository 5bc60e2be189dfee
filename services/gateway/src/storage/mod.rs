//! What a gateway remembers for good, behind a trait: one file of SQLite here, another database where there are several
//! gateways.

mod sqlite;

use blake2::{Blake2s256, Digest};
use rift::PublicKey;
use rift::wire::signal::EnrolmentToken;

use crate::state::{DeviceRecord, GrantChange};

pub use sqlite::Sqlite;

/// Why storage did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The database said so.
    #[error("the gateway's database {path}: {source}")]
    Database {
        /// Its file.
        path: std::path::PathBuf,
        /// What it said.
        source: sqlx::Error,
    },
    /// Its tables could not be brought up to date.
    #[error("the tables of {path} are not this version's: {source}")]
    Migration {
        /// Its file.
        path: std::path::PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
}

/// Remembers. Each call is whole or has not happened, also when the machine loses power in it.
#[expect(async_fn_in_trait, reason = "a gateway has one thread, and nobody else calls these")]
pub trait Storage {
    /// All devices.
    async fn devices(&mut self) -> Result<Vec<DeviceRecord>, StorageError>;

    /// Enrols a device if the token is good at Unix time `now_s`, and spends the token. Whether it did. A device that has
    /// enrolled already keeps its grants and gets the name.
    async fn redeem(
        &mut self,
        token: &EnrolmentToken,
        key: &PublicKey,
        name: &str,
        now_s: u64,
    ) -> Result<bool, StorageError>;

    /// Remembers a token until Unix time `expires_s`, and forgets those that have run out by `now_s`.
    async fn add_token(
        &mut self,
        token: &EnrolmentToken,
        now_s: u64,
        expires_s: u64,
    ) -> Result<(), StorageError>;

    /// Remembers whom a host lets be introduced to it.
    async fn grant(&mut self, change: &GrantChange) -> Result<(), StorageError>;
}

/// What is kept of a token.
fn digest(token: &EnrolmentToken) -> [u8; 32] {
    Blake2s256::new().chain_update(b"wavry enrolment").chain_update(token.0).finalize().into()
}
