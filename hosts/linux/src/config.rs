//! The configuration file, and what comes of it and the command line.
//!
//! A key is a long option of `run` and its value what would follow it; both are read by the same parser, so they
//! cannot differ. The table `[power]` alone has no options: what it names are programs with their arguments, which no
//! shell reads. An unknown key is refused: a misspelt one would silently do nothing.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, FromArgMatches};

use crate::args::{Place, RunArgs};
use crate::power::{ARGUMENTS_MAX, Hooks};

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
    base.map(|base| base.join("wavry/server.toml"))
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
    let command = RunArgs::augment_args(Command::new("server.toml").no_binary_name(true));
    let known: Vec<&str> =
        command.get_arguments().filter_map(clap::Arg::get_long).filter(|&key| key != "config").collect();
    let mut all = RunArgs::default();
    for (key, value) in &spread(table) {
        if key != POWER && !known.contains(&key.as_str()) {
            let nearest = known.iter().min_by_key(|known| unlikeness(key, known));
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
        let value = match value {
            toml::Value::Table(table) if key == POWER => {
                all.power = power(table).map_err(|what| wrong(&what))?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => {
                return Err(wrong("give a text, a whole number, true or false"));
            }
        };
        let matches = command.clone().try_get_matches_from([format!("--{key}={value}")]);
        let said = matches.and_then(|matches| RunArgs::from_arg_matches(&matches));
        all = said.map_err(|error| wrong(reason(&error.to_string())))?.or(all);
    }
    Ok(all)
}

/// What stands in the table `audio` is said of sound: `device` there is `audio-device`. In the table `gateway`, `address` is
/// `gateway`, `id` is `gateway-id`, and `enrol` is what it is anywhere.
fn spread(mut table: toml::Table) -> toml::Table {
    if let Some(toml::Value::Table(audio)) = table.get(AUDIO).cloned() {
        table.remove(AUDIO);
        table.extend(audio.into_iter().map(|(key, value)| (format!("{AUDIO}-{key}"), value)));
    }
    if let Some(toml::Value::Table(gateway)) = table.get(GATEWAY).cloned() {
        table.remove(GATEWAY);
        table.extend(gateway.into_iter().map(|(key, value)| match key.as_str() {
            "address" => (GATEWAY.to_owned(), value),
            "enrol" => (key, value),
            _ => (format!("{GATEWAY}-{key}"), value),
        }));
    }
    table
}

/// The tables' names.
const AUDIO: &str = "audio";
const GATEWAY: &str = "gateway";
const POWER: &str = "power";

/// What the table says of the machine behind the capture card; else what is wrong.
fn power(table: &toml::Table) -> Result<Hooks, String> {
    let program = |key: &str, value: &toml::Value| {
        let words = value.as_array().map(|words| words.iter().map(|word| word.as_str().map(str::to_owned)));
        let words: Option<Vec<String>> = words.and_then(Iterator::collect);
        let is_sound = |words: &Vec<String>| {
            (1..=ARGUMENTS_MAX).contains(&words.len()) && words.iter().all(|word| !word.contains('\0'))
        };
        words.filter(is_sound).filter(|words| !words[0].is_empty()).map(Some).ok_or_else(|| {
            format!(
                "`{key}` is a program and its arguments, {ARGUMENTS_MAX} words at most, as [\"gpioset\", \"gpiochip0\", \
                 \"17=1\"]; no shell reads them"
            )
        })
    };
    let mut hooks = Hooks::default();
    for (key, value) in table {
        match key.as_str() {
            "on" => hooks.on = program(key, value)?,
            "off" => hooks.off = program(key, value)?,
            "reset" => hooks.reset = program(key, value)?,
            "wake" => hooks.wake = Some(value.as_str().unwrap_or_default().parse()?),
            _ => return Err(format!("there is no `{key}` in it, only on, off, reset and wake")),
        }
    }
    Ok(hooks)
}

/// The first line of the parser's message, without what only fits a command line.
fn reason(message: &str) -> &str {
    message.lines().next().unwrap_or(message).trim_start_matches("error: ")
}

/// How unlike a word is to a name there is: the beginning of one is very like it.
fn unlikeness(one: &str, other: &str) -> usize {
    if other.starts_with(one) { 1 } else { distance(one, other) }
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
    use crate::sound::SoundSpec;
    use crate::source::Spec;

    fn read(text: &str) -> Result<RunArgs, String> {
        parse(text, Path::new("server.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_the_long_options() {
        let text = "source = \"app:xterm\"\nfps = 30\nview-only = true\nbitrate-max = \"20M\"\nlisten = \"[::1]:9\"\n\
                    state = \"/x\"\nhandshake = \"snow\"\ninput = \"none\"\napp-size = \"640x480\"\nlog = \"debug\"";
        let said = read(text).unwrap();
        assert_eq!(said.source, Some(Spec::App("xterm".into())));
        assert_eq!((said.fps, said.view_only, said.bitrate_max), (Some(30), Some(true), Some(20_000_000)));
        assert_eq!(said.place.state.as_deref(), Some(Path::new("/x")));
        assert_eq!(said.app_size, Some((640, 480)));
        assert!(read("").unwrap().source.is_none());
    }

    #[test]
    fn sound_has_a_table_of_its_own() {
        let said = read("[audio]\ndevice = \"hw:Loopback,1\"\nbitrate = \"96k\"").unwrap();
        assert_eq!(said.audio_device, Some(SoundSpec::Alsa("hw:Loopback,1".into())));
        assert_eq!(said.audio_bitrate, Some(96_000));
        assert!(read("audio-device = \"test\"").unwrap().audio_device == Some(SoundSpec::Test));
        assert!(read("[audio]\nrate = 1").unwrap_err().contains("audio-rate"));
        assert!(read("[audio]\nbitrate = \"1k\"").unwrap_err().contains("24k"));
    }

    #[test]
    fn gateway_has_a_table_of_its_own() {
        let id = rift::Identity::from_secret([7; 32]).public();
        let text = format!(
            "[gateway]\naddress = \"gw.example\"\nid = \"{id}\"\nenrol = \"00112233445566778899aabbccddeeff\""
        );
        let said = read(&text).unwrap();
        assert_eq!((said.gateway.as_deref(), said.gateway_id), (Some("gw.example:4748"), Some(id)));
        assert!(said.enrol.is_some());
        assert_eq!(read("gateway = \"gw.example:9\"").unwrap().gateway.as_deref(), Some("gw.example:9"));
        assert!(read("[gateway]\nkey = \"x\"").unwrap_err().contains("gateway-id"));
        assert!(read("[gateway]\nenrol = \"x\"").unwrap_err().contains("32 hexadecimal"));
    }

    #[test]
    fn unknown_key_suggests_the_nearest() {
        for (key, nearest) in
            [("sorce", "source"), ("bitrate", "bitrate-max"), ("view_only", "view-only"), ("fsp", "fps")]
        {
            let message = read(&format!("{key} = 1")).unwrap_err();
            assert!(message.contains(&format!("{nearest:?}")), "{message}");
        }
        assert!(read("config = \"x\"").is_err(), "a configuration names no other");
    }

    #[test]
    fn wrong_values_are_refused_by_key_and_reason() {
        for (text, hint) in [
            ("fps = 0", "fps"),
            ("fps = 1.5", "whole number"),
            ("source = \"nothing\"", "app:COMMAND"),
            ("handshake = \"tls\"", "handshake"),
            ("view-only = \"perhaps\"", "view-only"),
            ("fps", "no TOML"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn power_is_a_table_of_programs_with_their_arguments() {
        let text = "fps = 30\n[power]\non = [\"gpioset\", \"a b\", \"$(x)\"]\nwake = \"52:54:00:12:34:56\"";
        let said = read(text).unwrap();
        assert_eq!(said.fps, Some(30));
        assert_eq!(said.power.on, Some(vec!["gpioset".to_owned(), "a b".to_owned(), "$(x)".to_owned()]));
        assert!(said.power.wake.is_some() && said.power.off.is_none());
        for (line, hint) in [
            ("on = \"reboot now\"", "no shell"),
            ("on = []", "program"),
            ("on = [\"\"]", "program"),
            ("reset = [1]", "program"),
            ("press = [\"x\"]", "on, off, reset and wake"),
            ("wake = \"here\"", "six bytes"),
        ] {
            let message = read(&format!("[power]\n{line}")).unwrap_err();
            assert!(message.contains(hint) && message.contains("power"), "{line}: {message}");
        }
        assert!(read("power = 1").is_err());
        assert!(read("[powr]\non = [\"x\"]").is_err());
    }

    #[test]
    fn command_line_wins() {
        let flags = RunArgs { fps: Some(10), ..RunArgs::default() };
        let both = flags.or(read("fps = 30\nview-only = true").unwrap());
        assert_eq!((both.fps, both.view_only), (Some(10), Some(true)));
    }

    #[test]
    fn place_of_the_file_follows_the_base_directory_specification() {
        let path = |config: &str, home: &str| default_path(Some(config.into()), Some(home.into()));
        assert_eq!(path("/c", "/h"), Some("/c/wavry/server.toml".into()));
        assert_eq!(path("", "/h"), Some("/h/.config/wavry/server.toml".into()));
        assert_eq!(path("relative", ""), None);
    }
}
