//! One file of SQLite, made when there is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rift::PublicKey;
use rift::wire::signal::EnrolmentToken;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqlSafeStr};

use super::{Storage, StorageError, digest};
use crate::state::{DeviceRecord, GrantChange};

/// See the module.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: SqliteConnection,
}

/// Every version of the tables, oldest first; a released one never changes.
fn migrations() -> Migrator {
    let whole = |number, name: &'static str, sql: &'static str| {
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        whole(1, "devices", include_str!("../../migrations/0001_devices.sql")),
        whole(2, "operators", include_str!("../../migrations/0002_operators.sql")),
    ])
}

impl Sqlite {
    /// Opens the file at `path`, makes it if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StorageError`], when it is no database, or one of a later version.
    pub async fn open(path: &Path) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Everything is read once, at the start.
            .pragma("cache_size", "-256")
            .disable_statement_logging();
        let path = path.to_owned();
        let wrong = |source| StorageError::Database { path: path.clone(), source };
        // The library does not keep two programs from making the same table.
        let _lock = rift_keystore::lock_beside(&path)?;
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(wrong)?;
        let migrated = migrations().run(&mut connection).await;
        migrated.map_err(|source| StorageError::Migration { path: path.clone(), source })?;
        Ok(Self { path, connection })
    }

    /// Writes a copy of everything to a file that is not there yet; others may go on meanwhile.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub async fn back_up(&mut self, to: &Path) -> Result<(), StorageError> {
        let to = to.to_string_lossy().into_owned();
        sqlx::query("VACUUM INTO ?")
            .bind(to)
            .execute(&mut self.connection)
            .await
            .map_err(|source| StorageError::Database { path: self.path.clone(), source })?;
        Ok(())
    }

    async fn read_devices(&mut self) -> sqlx::Result<Vec<DeviceRecord>> {
        let mut devices = BTreeMap::new();
        for row in sqlx::query("SELECT key, name FROM devices").fetch_all(&mut self.connection).await? {
            let (key, name) = (key(&row, 0)?, row.try_get(1)?);
            devices.insert(key, DeviceRecord { key, name, grants: Vec::new() });
        }
        for row in sqlx::query("SELECT host, client FROM grants").fetch_all(&mut self.connection).await? {
            if let Some(device) = devices.get_mut(&key(&row, 0)?) {
                device.grants.push(key(&row, 1)?);
            }
        }
        Ok(devices.into_values().collect())
    }

    async fn spend(
        &mut self,
        token: &EnrolmentToken,
        key: &PublicKey,
        name: &str,
        now_s: i64,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.connection.begin().await?;
        let spent = sqlx::query("DELETE FROM tokens WHERE digest = ? AND expires_s > ?")
            .bind(&digest(token)[..])
            .bind(now_s)
            .execute(&mut *transaction)
            .await?;
        if spent.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO devices (key, name, enrolled_s) VALUES (?, ?, ?)
             ON CONFLICT (key) DO UPDATE SET name = excluded.name",
        )
        .bind(&key.as_bytes()[..])
        .bind(name)
        .bind(now_s)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn write_token(&mut self, token: &EnrolmentToken, now_s: i64, expires_s: i64) -> sqlx::Result<()> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query("DELETE FROM tokens WHERE expires_s <= ?").bind(now_s).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO tokens (digest, expires_s) VALUES (?, ?)")
            .bind(&digest(token)[..])
            .bind(expires_s)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    async fn write_grant(&mut self, change: &GrantChange) -> sqlx::Result<()> {
        let statement = if change.may {
            "INSERT INTO grants (host, client) VALUES (?, ?) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM grants WHERE host = ? AND client = ?"
        };
        sqlx::query(statement)
            .bind(&change.host.as_bytes()[..])
            .bind(&change.client.as_bytes()[..])
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    pub(super) const fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    pub(super) fn outcome<T>(&self, outcome: sqlx::Result<T>) -> Result<T, StorageError> {
        outcome.map_err(|source| StorageError::Database { path: self.path.clone(), source })
    }
}

impl Storage for Sqlite {
    async fn devices(&mut self) -> Result<Vec<DeviceRecord>, StorageError> {
        let outcome = self.read_devices().await;
        self.outcome(outcome)
    }

    async fn redeem(
        &mut self,
        token: &EnrolmentToken,
        key: &PublicKey,
        name: &str,
        now_s: u64,
    ) -> Result<bool, StorageError> {
        let outcome = self.spend(token, key, name, seconds(now_s)).await;
        self.outcome(outcome)
    }

    async fn add_token(
        &mut self,
        token: &EnrolmentToken,
        now_s: u64,
        expires_s: u64,
    ) -> Result<(), StorageError> {
        let outcome = self.write_token(token, seconds(now_s), seconds(expires_s)).await;
        self.outcome(outcome)
    }

    async fn grant(&mut self, change: &GrantChange) -> Result<(), StorageError> {
        let outcome = self.write_grant(change).await;
        self.outcome(outcome)
    }
}

/// SQLite's numbers have a sign; times beyond are never.
pub(super) fn seconds(unix_s: u64) -> i64 {
    i64::try_from(unix_s).unwrap_or(i64::MAX)
}

pub(super) fn key(row: &sqlx::sqlite::SqliteRow, column: usize) -> sqlx::Result<PublicKey> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| sqlx::Error::Decode("a key has 32 bytes".into()))?;
    Ok(PublicKey::from_bytes(bytes))
}
