//! What is done without running.

use std::io::Write;
use std::path::Path;

use rift::wire::signal::EnrolmentToken;

use crate::args::Command;
use crate::config;
use crate::directory::{GatewayError, StateDirectory};
use crate::shell;
use crate::state::limits::TOKEN_S;
use crate::storage::{Operators, Sqlite, Storage, StorageError, operator_digest};

/// Does what is not running, and says so to `out`.
///
/// # Errors
/// [`GatewayError`].
pub fn carry_out(command: &Command, out: &mut impl Write) -> Result<(), GatewayError> {
    let said = match command {
        Command::Run(_) => return Ok(()),
        Command::Settings(said) => {
            let typed: Vec<_> = std::env::args_os().skip(1).collect();
            return Ok(config::show(&said.place, &typed, out)?);
        }
        Command::Id { place } => StateDirectory::of(place)?.identity()?.public().to_string(),
        Command::LeaseKey { place } => {
            let hex = |key: &[u8; 32]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let keys = StateDirectory::of(place)?.leases()?.keys();
            keys.iter().map(hex).collect::<Vec<_>>().join("\n")
        }
        Command::Token { place } => {
            let directory = StateDirectory::of(place)?;
            // The directory is made with the key.
            directory.identity()?;
            block_on(make_token(&directory))??.to_text().to_string()
        }
        Command::OperatorToken { place } => {
            let directory = StateDirectory::of(place)?;
            directory.identity()?;
            block_on(make_operator_token(&directory))??
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

/// Makes an operator's token, whose digest takes the place of the one before.
///
/// # Errors
/// The database's.
pub async fn make_operator_token(directory: &StateDirectory) -> Result<String, StorageError> {
    let token: String = shell::entropy().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut storage = Sqlite::open(&directory.database()).await?;
    storage.set_operator(&operator_digest(&token), shell::unix_us() / 1_000_000).await?;
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
