//! The configuration file: a key is a long option of `run` and its value what would follow it; both are read by the same
//! parser, so they cannot differ. An unknown key is refused: a misspelt one would silently do nothing.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, FromArgMatches};

use crate::args::{Place, RunArgs};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is no TOML.
    #[error("the configuration {path} is no TOML: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no such key.
    #[error("the configuration {path} has the unknown key {key:?}; did you mean {nearest:?}?")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The known one most like it.
        nearest: String,
    },
    /// A value is not right for its key.
    #[error("the configuration {path} has a wrong value for {key:?}: {what}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
    },
}

/// What the configuration file says: `place.config` if it is given, else the default one if it exists.
///
/// # Errors
/// [`ConfigError`].
pub fn load(place: &Place) -> Result<RunArgs, ConfigError> {
    let default = || default_path(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
    let (path, is_asked_for) = match (&place.config, default()) {
        (Some(path), _) => (path.clone(), true),
        (None, Some(path)) => (path, false),
        (None, None) => return Ok(RunArgs::default()),
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_asked_for => Ok(RunArgs::default()),
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

/// Where the file is under these values of `XDG_CONFIG_HOME` and `HOME`; empty and relative ones are ignored.
#[must_use]
pub fn default_path(config_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(config_home).or_else(|| absolute(home).map(|home| home.join(".config")));
    base.map(|base| base.join("wavry/gateway.toml"))
}

/// Reads the text of a configuration; `path` is for messages.
///
/// # Errors
/// [`ConfigError::Syntax`], [`ConfigError::UnknownKey`], [`ConfigError::Value`].
pub fn parse(text: &str, path: &Path) -> Result<RunArgs, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        what: error.to_string(),
    })?;
    let command = RunArgs::augment_args(Command::new("gateway.toml").no_binary_name(true));
    let known: Vec<&str> =
        command.get_arguments().filter_map(clap::Arg::get_long).filter(|&key| key != "config").collect();
    let mut all = RunArgs::default();
    for (key, value) in &table {
        if !known.contains(&key.as_str()) {
            let nearest = known.iter().min_by_key(|known| distance(key, known));
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                key: key.clone(),
                nearest: (*nearest.expect("there are options")).to_owned(),
            });
        }
        let wrong = |what: &str| ConfigError::Value {
            path: path.to_owned(),
            key: key.clone(),
            what: what.to_owned(),
        };
        let values = value.as_array().map_or(core::slice::from_ref(value), Vec::as_slice);
        let words = values.iter().map(|value| value.as_str().map(|text| format!("--{key}={text}")));
        let words: Option<Vec<String>> = words.collect();
        let words = words.ok_or_else(|| wrong("give a text, or a list of texts"))?;
        let matches = command.clone().try_get_matches_from(words);
        let said = matches.and_then(|matches| RunArgs::from_arg_matches(&matches));
        all = said.map_err(|error| wrong(reason(&error.to_string())))?.or(all);
    }
    Ok(all)
}

/// The first line of the parser's message, without what only fits a command line.
fn reason(message: &str) -> &str {
    message.lines().next().unwrap_or(message).trim_start_matches("error: ")
}

/// Insertions, removals and replacements between two words (Levenshtein 1966).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (place, second) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(letter != second);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RunArgs, String> {
        parse(text, Path::new("gateway.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_the_long_options_and_the_command_line_wins() {
        let said =
            read("listen = \"[::1]:9\"\nhealth = \"127.0.0.1:1\"\nstate = \"/x\"\nlog = \"debug\"").unwrap();
        assert_eq!(said.listen, Some("[::1]:9".parse().unwrap()));
        assert_eq!(said.place.state.as_deref(), Some(Path::new("/x")));
        let flags = RunArgs { log: Some("warn".into()), ..RunArgs::default() };
        let both = flags.or(said);
        assert_eq!((both.log.as_deref(), both.listen), (Some("warn"), Some("[::1]:9".parse().unwrap())));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused_with_what_to_do() {
        for (text, hint) in [
            ("lisen = \"x\"", "\"listen\""),
            ("config = \"x\"", "unknown key"),
            ("listen = \"here\"", "listen"),
            ("listen = 1", "give a text"),
            ("listen", "no TOML"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
