//! What configuration files and the environment say becomes options, put in front of what was typed: both are checked in one
//! place and what was typed wins. Which files, and what over what: `rift_settings`.

use std::ffi::OsString;
use std::io::Write;

use clap::{Arg, Command, CommandFactory};
use rift_settings::{Loaded, Places, Schema, SettingsError};

use crate::args::Arguments;

const NAME: &str = "client";

/// The options of all commands: a file may set what only some of them know.
fn options(all: &Command) -> impl Iterator<Item = &Arg> {
    all.get_subcommands().flat_map(Command::get_arguments)
}

fn schema(all: &Command) -> Schema {
    Schema::new(NAME, options(all)).with_secrets(&["enrol"])
}

/// `words`, a whole command line, with what files and the environment say put before the options typed.
///
/// # Errors
/// [`SettingsError`].
pub fn merge(
    words: Vec<OsString>,
    places: &Places,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<OsString>, SettingsError> {
    let all = Arguments::command();
    // Options belong behind the command; where none is typed, or none that there is, the parser says so.
    let Some(command) = words.get(1).and_then(|word| all.find_subcommand(word.to_str()?)) else {
        return Ok(words);
    };
    let asked = rift_settings::asked(&words);
    let loaded = rift_settings::load(&schema(&all), places, asked.as_deref(), environment)?;
    let mut merged: Vec<OsString> = words.iter().take(2).cloned().collect();
    merged.extend(loaded.words(command.get_arguments(), &words));
    merged.extend(words.into_iter().skip(2));
    Ok(merged)
}

/// Writes each setting and where it comes from; `typed` are the words of the command line.
///
/// # Errors
/// [`SettingsError`].
pub fn show(typed: &[OsString], out: &mut impl Write) -> Result<(), SettingsError> {
    let all = Arguments::command();
    let schema = schema(&all);
    let asked = rift_settings::asked(typed);
    let loaded: Loaded =
        rift_settings::load(&schema, &Places::here(NAME), asked.as_deref(), std::env::vars_os())?;
    rift_settings::show(&schema, &loaded, options(&all), typed, out)
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// What the options become of a machine's file with this text.
    fn read(text: &str, command: &str) -> Result<Vec<String>, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("wavry-client-config-{}-{number}", std::process::id()));
        std::fs::create_dir_all(root.join("etc/wavry")).unwrap();
        std::fs::write(root.join("etc/wavry/client.toml"), text).unwrap();
        let words = ["wavry-client", command].map(OsString::from).to_vec();
        let outcome = merge(words, &Places::of(NAME, &root, None, None), []);
        let _ = std::fs::remove_dir_all(&root);
        let words = outcome.map_err(|error| error.to_string())?;
        Ok(words.into_iter().skip(2).map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn settings_become_options() {
        let text = "display = \"x11\"\nfullscreen = true\nview-only = false\nseconds = 9\n";
        let mut words = read(text, "connect").unwrap();
        words.sort();
        assert_eq!(words, ["--display=x11", "--fullscreen", "--seconds=9"]);
        assert!(read(text, "id").unwrap().is_empty(), "`id` knows none of these");
    }

    #[test]
    fn unknown_setting_is_refused_with_the_nearest() {
        let error = read("text-imput = true", "connect").unwrap_err();
        assert!(error.contains("`text-imput`") && error.contains("`text-input`"), "{error}");
        assert!(read("config = \"x\"", "connect").unwrap_err().contains("no setting `config`"));
    }

    #[test]
    fn wrong_values_are_refused() {
        for text in ["fullscreen = 1", "seconds = true", "display = [\"x11\"]", "display = "] {
            assert!(read(text, "connect").is_err(), "{text}");
        }
    }
}
