//! What a gateway remembers for good, behind a trait: one file of SQLite here, another database where there are several
//! gateways.

mod operators;
mod sqlite;

use std::collections::BTreeSet;

use blake2::{Blake2s256, Digest};
use rift::PublicKey;
use rift::paths::relay::RELAY_ID_LEN;
use rift::wire::signal::EnrolmentToken;

use crate::state::{DeviceRecord, GrantChange, Order};

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
    /// It could not be kept from others while it was opened.
    #[error(transparent)]
    Lock(#[from] rift_keystore::KeystoreError),
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

/// What operators have decided, as a gateway has to know it from its start.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// Who is let in no more.
    pub banned: BTreeSet<PublicKey>,
    /// Relays that get no more leases.
    pub drained: Vec<[u8; RELAY_ID_LEN]>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// When, as Unix time in seconds.
    pub at_s: u64,
    /// By whom: `operator`, or a device's Wavry ID.
    pub actor: String,
    /// What.
    pub action: String,
    /// To whom or what.
    pub subject: String,
}

/// Remembers what operators do. Each call is whole or has not happened.
#[expect(async_fn_in_trait, reason = "a gateway has one thread, and nobody else calls these")]
pub trait Operators {
    /// What they have decided.
    async fn decisions(&mut self) -> Result<Decisions, StorageError>;

    /// Whether a token with this digest is an operator's; in a time that does not depend on how much of it is right.
    async fn is_operator(&mut self, digest: &[u8; 32]) -> Result<bool, StorageError>;

    /// Whether there is a token at all.
    async fn has_operator(&mut self) -> Result<bool, StorageError>;

    /// From now on a token with this digest is the operator's, and no other.
    async fn set_operator(&mut self, digest: &[u8; 32], now_s: u64) -> Result<(), StorageError>;

    /// Remembers a decision.
    async fn order(&mut self, order: &Order, now_s: u64) -> Result<(), StorageError>;

    /// Writes a line into the audit, whose oldest lines go when there are too many.
    async fn note(&mut self, line: &AuditLine) -> Result<(), StorageError>;

    /// The newest lines of the audit, the newest first.
    async fn audit(&mut self) -> Result<Vec<AuditLine>, StorageError>;
}

/// What is kept of an operator's token.
#[must_use]
pub fn operator_digest(token: &str) -> [u8; 32] {
    Blake2s256::new().chain_update(b"wavry operator").chain_update(token).finalize().into()
}

/// What is kept of a token.
fn digest(token: &EnrolmentToken) -> [u8; 32] {
    Blake2s256::new().chain_update(b"wavry enrolment").chain_update(token.0).finalize().into()
}
