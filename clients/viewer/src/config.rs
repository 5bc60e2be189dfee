//! client.toml: settings that stand before those of the command line.
//!
//! Its keys are the long options. They become options themselves, put in front of what was typed, so both are checked
//! in one place and what was typed wins.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use crate::args::Arguments;

/// The file's name in the configuration directory.
pub const FILE_NAME: &str = "client.toml";

/// Options that a file cannot set: they are about the file, or end the program.
const NOT_IN_FILE: [&str; 3] = ["config", "help", "version"];

/// Why a configuration file was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is not TOML.
    #[error("{0} is not TOML: {1}")]
    Syntax(PathBuf, toml::de::Error),
    /// A key that no option has.
    #[error("{path}: there is no setting `{key}`; did you mean `{nearest}`?")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The option whose name is nearest.
        nearest: String,
    },
    /// A value that an option cannot have.
    #[error("{path}: `{key}` takes {expected}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it takes.
        expected: &'static str,
    },
}

/// `$XDG_CONFIG_HOME/wavry/client.toml`, else `$HOME/.config/wavry/client.toml`, under these values of both. Empty
/// and relative values are ignored, as the XDG base directory specification says.
#[must_use]
pub fn default_path(config_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(config_home)
        .or_else(|| absolute(home).map(|home| home.join(".config")))
        .map(|base| base.join("wavry").join(FILE_NAME))
}

/// The file that `words`, a command line, names with `--config`, if it does.
#[must_use]
pub fn named(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter();
    let mut found = None;
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--" {
            break;
        }
        if text == "--config" {
            found = words.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix("--config=") {
            found = Some(PathBuf::from(path));
        }
    }
    found
}

/// `words`, a whole command line, with the settings of the file at `path` put before the options typed. The file may
/// be missing when nobody named it.
///
/// # Errors
/// [`ConfigError`].
pub fn merge(words: Vec<OsString>, path: &Path, required: bool) -> Result<Vec<OsString>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return Ok(words),
        outcome => outcome.map_err(|error| ConfigError::Read(path.to_owned(), error))?,
    };
    // Options belong behind the subcommand; where none is typed, the parser says so.
    let Some(command) = words.get(1).cloned() else { return Ok(words) };
    let options = options(path, &text, &command.to_string_lossy())?;
    let mut merged: Vec<OsString> = words.iter().take(2).cloned().collect();
    merged.extend(options.into_iter().map(OsString::from));
    merged.extend(words.into_iter().skip(2));
    Ok(merged)
}

/// The options that the file's `text` stands for, those that the subcommand `command` knows.
///
/// # Errors
/// [`ConfigError`], with `path` as the file's name.
pub fn options(path: &Path, text: &str, command: &str) -> Result<Vec<String>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error| ConfigError::Syntax(path.to_owned(), error))?;
    let all = Arguments::command();
    let names = |of: &clap::Command| -> Vec<String> {
        let longs = of.get_arguments().filter_map(clap::Arg::get_long);
        longs.filter(|name| !NOT_IN_FILE.contains(name)).map(str::to_owned).collect()
    };
    let mut known: Vec<String> = all.get_subcommands().flat_map(&names).collect();
    known.sort();
    known.dedup();
    let here = all.find_subcommand(command).map(&names).unwrap_or_default();
    let mut options = Vec::new();
    for (key, value) in table {
        if !known.contains(&key) {
            let nearest = known.iter().min_by_key(|name| distance(name, &key)).cloned().unwrap_or_default();
            return Err(ConfigError::Unknown { path: path.to_owned(), key, nearest });
        }
        let wrong = |key, expected| Err(ConfigError::Value { path: path.to_owned(), key, expected });
        let is_switch = all
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .find(|argument| argument.get_long() == Some(&key))
            .is_some_and(|argument| !argument.get_action().takes_values());
        let word = match (value, is_switch) {
            (toml::Value::Boolean(on), true) => on.then(|| format!("--{key}")),
            (_, true) => return wrong(key, "true or false"),
            (toml::Value::String(text), false) => Some(format!("--{key}={text}")),
            (toml::Value::Integer(number), false) => Some(format!("--{key}={number}")),
            (_, false) => return wrong(key, "a text or a number"),
        };
        options.extend(word.filter(|_| here.contains(&key)));
    }
    Ok(options)
}

/// Letters to insert, remove or replace to get from one word to the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, &against) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != against);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, ConfigError> {
        options(Path::new("client.toml"), text, "connect")
    }

    #[test]
    fn settings_become_options() {
        let text = "display = \"x11\"\nfullscreen = true\nview-only = false\nseconds = 9\n";
        assert_eq!(read(text).unwrap(), ["--display=x11", "--fullscreen", "--seconds=9"]);
        assert!(options(Path::new("c"), text, "id").unwrap().is_empty(), "`id` knows none of these");
    }

    #[test]
    fn unknown_setting_is_refused_with_the_nearest() {
        let error = read("text-imput = true").unwrap_err().to_string();
        assert!(error.contains("`text-imput`") && error.contains("`text-input`"), "{error}");
        assert!(matches!(read("config = \"x\""), Err(ConfigError::Unknown { .. })));
    }

    #[test]
    fn wrong_values_are_refused() {
        for text in ["fullscreen = 1", "seconds = true", "display = [\"x11\"]", "display = "] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        for (one, other, edits) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(distance(one, other), edits);
            assert_eq!(distance(other, one), edits);
        }
    }

    #[test]
    fn file_is_found_where_xdg_says() {
        let path = |one: &str, other: &str| default_path(Some(one.into()), Some(other.into()));
        assert_eq!(path("/c", "/h"), Some("/c/wavry/client.toml".into()));
        assert_eq!(path("c", "/h"), Some("/h/.config/wavry/client.toml".into()));
        assert_eq!(path("", "h"), None);
        let words: Vec<OsString> = ["w", "connect", "--config", "a", "--config=b"].map(Into::into).into();
        assert_eq!(named(&words), Some("b".into()));
    }
}
