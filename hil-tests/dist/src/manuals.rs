//! Manual pages (section 1) and completions for bash, zsh and fish.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::{DistError, on};

/// Shells, and where their completions stand below the root of a system.
pub const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "usr/share/bash-completion/completions"),
    (Shell::Zsh, "usr/share/zsh/vendor-completions"),
    (Shell::Fish, "usr/share/fish/vendor_completions.d"),
];

/// The command lines of all programs.
#[must_use]
pub fn commands() -> Vec<Command> {
    vec![
        wavry_server::args::Cli::command(),
        wavry_client::args::Arguments::command(),
        wavry_gateway::args::Cli::command(),
        wavry_relay::args::Cli::command(),
        wavry_cli::args::Args::command(),
    ]
}

/// Writes all of them below `out`, where they stand in a system: one page for each program and one for each command of it.
///
/// # Errors
/// [`DistError::File`].
pub fn write(out: &Path) -> Result<(), DistError> {
    let pages = out.join("usr/share/man/man1");
    std::fs::create_dir_all(&pages).map_err(on(&pages))?;
    for mut command in commands() {
        clap_mangen::generate_to(command.clone(), &pages).map_err(on(&pages))?;
        let name = command.get_name().to_owned();
        for (shell, place) in SHELLS {
            let place = out.join(place);
            std::fs::create_dir_all(&place).map_err(on(&place))?;
            let file = clap_complete::generate_to(shell, &mut command, &name, &place).map_err(on(&place))?;
            if shell == Shell::Bash {
                // There, files are found by the program's name alone.
                std::fs::rename(&file, place.join(&name)).map_err(on(&file))?;
            }
        }
    }
    Ok(())
}
