//! What is done without running.

use std::io::Write;

use anyhow::Result;
use rift::paths::relay::relay_id;

use crate::args::{self, Command, RunArgs};
use crate::serve;

/// Does it, and says so to `out`.
///
/// # Errors
/// The key cannot be read or made; the settings are wrong; `out` takes nothing.
pub fn carry_out(command: &Command, settings: &RunArgs, out: &mut impl Write) -> Result<()> {
    match command {
        Command::Id => {
            let key = serve::public_key(&settings.state)?;
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            writeln!(out, "id    {key}\nrelay {}\nkey   {}", hex(&relay_id(&key)), hex(key.as_bytes()))?;
        }
        Command::Settings => {
            let typed: Vec<_> = std::env::args_os().skip(1).collect();
            args::show(settings, &typed, out)?;
        }
    }
    Ok(())
}
