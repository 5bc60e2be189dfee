//! What SQLite remembers of operators: what they decided, and what was done.

use rift::PublicKey;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::sqlite::{Sqlite, key, seconds};
use super::{AuditLine, Decisions, Operators, StorageError};
use crate::state::Order;

/// Lines of the audit that are kept: months of a large household, or who did what in an attack.
const AUDIT_MAX: i64 = 10_000;
/// Lines that are read at once.
const AUDIT_SHOWN: i64 = 200;

impl Operators for Sqlite {
    async fn decisions(&mut self) -> Result<Decisions, StorageError> {
        let outcome = read_decisions(self.connection()).await;
        self.outcome(outcome)
    }

    async fn is_operator(&mut self, digest: &[u8; 32]) -> Result<bool, StorageError> {
        let outcome = is_operator(self.connection(), digest).await;
        self.outcome(outcome)
    }

    async fn has_operator(&mut self) -> Result<bool, StorageError> {
        let rows = sqlx::query("SELECT 1 FROM operators LIMIT 1").fetch_optional(self.connection()).await;
        self.outcome(rows.map(|row| row.is_some()))
    }

    async fn set_operator(&mut self, digest: &[u8; 32], now_s: u64) -> Result<(), StorageError> {
        let outcome = set_operator(self.connection(), digest, seconds(now_s)).await;
        self.outcome(outcome)
    }

    async fn order(&mut self, order: &Order, now_s: u64) -> Result<(), StorageError> {
        let outcome = write_order(self.connection(), order, seconds(now_s)).await;
        self.outcome(outcome)
    }

    async fn note(&mut self, line: &AuditLine) -> Result<(), StorageError> {
        let outcome = note(self.connection(), line).await;
        self.outcome(outcome)
    }

    async fn audit(&mut self) -> Result<Vec<AuditLine>, StorageError> {
        let outcome = read_audit(self.connection()).await;
        self.outcome(outcome)
    }
}

async fn read_decisions(connection: &mut SqliteConnection) -> sqlx::Result<Decisions> {
    let mut decisions = Decisions::default();
    for row in sqlx::query("SELECT key FROM bans").fetch_all(&mut *connection).await? {
        decisions.banned.insert(key(&row, 0)?);
    }
    for row in sqlx::query("SELECT id FROM drained_relays").fetch_all(&mut *connection).await? {
        let id: Vec<u8> = row.try_get(0)?;
        let id = id.try_into().map_err(|_| sqlx::Error::Decode("a relay's name has 16 bytes".into()))?;
        decisions.drained.push(id);
    }
    Ok(decisions)
}

async fn is_operator(connection: &mut SqliteConnection, digest: &[u8; 32]) -> sqlx::Result<bool> {
    use subtle::ConstantTimeEq;
    let mut is_one = subtle::Choice::from(0);
    for row in sqlx::query("SELECT digest FROM operators").fetch_all(connection).await? {
        let known: Vec<u8> = row.try_get(0)?;
        is_one |= known.ct_eq(&digest[..]);
    }
    Ok(is_one.into())
}

async fn set_operator(connection: &mut SqliteConnection, digest: &[u8; 32], now_s: i64) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("DELETE FROM operators").execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO operators (digest, made_s) VALUES (?, ?)")
        .bind(&digest[..])
        .bind(now_s)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn write_order(connection: &mut SqliteConnection, order: &Order, now_s: i64) -> sqlx::Result<()> {
    let bytes = |key: &PublicKey| key.as_bytes().to_vec();
    let mut transaction = connection.begin().await?;
    let query = match order {
        Order::Revoke(key) => {
            let grants = sqlx::query("DELETE FROM grants WHERE client = ?").bind(bytes(key));
            grants.execute(&mut *transaction).await?;
            sqlx::query("DELETE FROM devices WHERE key = ?").bind(bytes(key))
        }
        Order::Ban(key, true) => {
            sqlx::query("INSERT INTO bans (key, banned_s) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(bytes(key))
                .bind(now_s)
        }
        Order::Ban(key, false) => sqlx::query("DELETE FROM bans WHERE key = ?").bind(bytes(key)),
        Order::Grant(change) => {
            let statement = if change.may {
                "INSERT INTO grants (host, client) VALUES (?, ?) ON CONFLICT DO NOTHING"
            } else {
                "DELETE FROM grants WHERE host = ? AND client = ?"
            };
            sqlx::query(statement).bind(bytes(&change.host)).bind(bytes(&change.client))
        }
        Order::DrainRelay(id, true) => {
            sqlx::query("INSERT INTO drained_relays (id) VALUES (?) ON CONFLICT DO NOTHING").bind(id.to_vec())
        }
        Order::DrainRelay(id, false) => {
            sqlx::query("DELETE FROM drained_relays WHERE id = ?").bind(id.to_vec())
        }
        // It ends with the process that was told so.
        Order::Drain(_) => return Ok(()),
    };
    query.execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn note(connection: &mut SqliteConnection, line: &AuditLine) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO audit (at_s, actor, action, subject) VALUES (?, ?, ?, ?)")
        .bind(seconds(line.at_s))
        .bind(&line.actor)
        .bind(&line.action)
        .bind(&line.subject)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?")
        .bind(AUDIT_MAX)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn read_audit(connection: &mut SqliteConnection) -> sqlx::Result<Vec<AuditLine>> {
    let query = sqlx::query("SELECT at_s, actor, action, subject FROM audit ORDER BY number DESC LIMIT ?");
    let rows = query.bind(AUDIT_SHOWN).fetch_all(connection).await?;
    let line = |row: &sqlx::sqlite::SqliteRow| {
        let at_s: i64 = row.try_get(0)?;
        let at_s = u64::try_from(at_s).unwrap_or(0);
        Ok(AuditLine { at_s, actor: row.try_get(1)?, action: row.try_get(2)?, subject: row.try_get(3)? })
    };
    rows.iter().map(line).collect()
}
