//! Files over files, and what is over them.

use core::fmt;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, FromArgMatches};

use crate::DROP_INS_MAX;
use crate::error::SettingsError;
use crate::file;
use crate::schema::Schema;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// By a variable of the environment.
    Environment(String),
    /// By whoever started the program.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(out, "{}:{line}", path.display()),
            Self::Environment(name) => write!(out, "the variable {name}"),
            Self::CommandLine => write!(out, "the command line"),
        }
    }
}

/// What was said of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key: an option's long name.
    pub key: String,
    /// Its values: one, or as many as a list has.
    pub values: Vec<String>,
    /// Who says so.
    pub origin: Origin,
}

impl Setting {
    /// The error that says what is wrong with it, where, for what only the program can judge.
    #[must_use]
    pub fn wrong(&self, what: impl Into<String>) -> SettingsError {
        SettingsError::Value { at: self.origin.clone(), key: self.key.clone(), what: what.into() }
    }

    /// Its value, where it has one.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.values.first().map(String::as_str)
    }
}

/// Where files are looked for, from the lowest to the highest layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// A distribution's file.
    pub vendor: PathBuf,
    /// The machine's file.
    pub machine: PathBuf,
    /// The directory of files over the machine's.
    pub drop_ins: PathBuf,
    /// The person's file; `None` for one without a home.
    pub person: Option<PathBuf>,
}

impl Places {
    /// Those of this machine and this person, for the program `wavry-NAME`.
    #[must_use]
    pub fn here(name: &str) -> Self {
        Self::of(name, Path::new("/"), std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"))
    }

    /// The usual ones of the program `wavry-NAME` below `root` (`/`), with these values of `XDG_CONFIG_HOME` and `HOME`, of
    /// which empty and relative ones are ignored, as the XDG base directory specification says.
    #[must_use]
    pub fn of(name: &str, root: &Path, config_home: Option<OsString>, home: Option<OsString>) -> Self {
        let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute(config_home).or_else(|| absolute(home).map(|home| home.join(".config")));
        let file = format!("{name}.toml");
        Self {
            vendor: root.join("usr/share/wavry").join(&file),
            machine: root.join("etc/wavry").join(&file),
            drop_ins: root.join("etc/wavry").join(format!("{name}.d")),
            person: base.map(|base| base.join("wavry").join(file)),
        }
    }
}

/// What files and the environment say, each key once, by its highest layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    settings: Vec<Setting>,
}

/// What files and the environment say. With `asked`, the file after `--config`, that one is read and no other.
///
/// # Errors
/// [`SettingsError`].
pub fn load(
    schema: &Schema,
    places: &Places,
    asked: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, SettingsError> {
    let mut loaded = Loaded::default();
    let (variables, named) = variables(schema, environment)?;
    match asked.or(named.as_deref()) {
        Some(path) => {
            let source = || std::io::ErrorKind::NotFound.into();
            let said = file::read(schema, path)?;
            loaded.lay(said.ok_or_else(|| SettingsError::Read { path: path.to_owned(), source: source() })?);
        }
        None => {
            let mut paths = vec![places.vendor.clone(), places.machine.clone()];
            paths.extend(drop_ins(&places.drop_ins)?);
            paths.extend(places.person.clone());
            for path in paths {
                loaded.lay(file::read(schema, &path)?.unwrap_or_default());
            }
        }
    }
    loaded.lay(variables);
    Ok(loaded)
}

/// The files of a directory that end in `.toml` and do not hide, by their names.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let failed = |source| SettingsError::Read { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == NotADirectory && !directory.exists() => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let hides = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|ending| ending == "toml") && !hides {
            paths.push(path);
        }
        if paths.len() > DROP_INS_MAX {
            return Err(SettingsError::Many { path: directory.to_owned() });
        }
    }
    paths.sort();
    Ok(paths)
}

/// What the environment says, and which file it names.
fn variables(
    schema: &Schema,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Setting>, Option<PathBuf>), SettingsError> {
    let (mut settings, mut named, mut log) = (Vec::new(), None, None);
    let ours = schema.variables();
    let mut all: Vec<_> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(&ours) || name == LOG)
        .collect();
    all.sort();
    for (name, value) in all {
        if name[..] == *schema.variable("config") {
            named = Some(PathBuf::from(value));
            continue;
        }
        let origin = Origin::Environment(name.clone());
        let key = if name == LOG {
            schema.find("log")
        } else {
            schema.all().iter().find(|key| key.words.is_none() && schema.variable(&key.name) == name)
        };
        let Some(key) = key else {
            if name == LOG {
                continue;
            }
            let written = name[ours.len()..].to_lowercase().replace('_', "-");
            let nearest = schema.variable(&schema.nearest(&written));
            return Err(SettingsError::Unknown { at: origin, key: name, nearest });
        };
        let wrong = |what| SettingsError::Value { at: origin.clone(), key: key.name.clone(), what };
        let Ok(text) = value.into_string() else { return Err(wrong("it is no UTF-8".to_owned())) };
        let values: Vec<String> = if key.is_list {
            text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
        } else {
            vec![text]
        };
        if let Some(what) = values.iter().find_map(|value| key.wrong(value)) {
            return Err(wrong(what));
        }
        let setting = Setting { key: key.name.clone(), values, origin };
        if name == LOG { log = Some(setting) } else { settings.push(setting) }
    }
    // What is said of this program alone counts more.
    settings.extend(log.filter(|log| !settings.iter().any(|setting| setting.key == log.key)));
    Ok((settings, named))
}

/// What every program of a machine logs.
const LOG: &str = "WAVRY_LOG";

impl Loaded {
    /// What was said, each key once.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// What was said of this key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// Lays these over what is there.
    pub(crate) fn lay(&mut self, settings: Vec<Setting>) {
        for setting in settings {
            self.settings.retain(|before| before.key != setting.key);
            self.settings.push(setting);
        }
    }

    /// The words that say this to the program's own parser: of the options among `options`, but for those that `typed`, the
    /// words of the command line, says itself.
    #[must_use]
    pub fn words<'a>(&self, options: impl IntoIterator<Item = &'a Arg>, typed: &[OsString]) -> Vec<OsString> {
        let options: Vec<&Arg> = options.into_iter().collect();
        let typed = said(options.iter().copied(), typed);
        let mut words = Vec::new();
        for Setting { key, values, .. } in &self.settings {
            let option = options.iter().find(|option| option.get_long() == Some(key));
            let Some(option) = option.filter(|_| !typed.iter().any(|setting| setting.key == *key)) else {
                continue;
            };
            let is_switch = !option.get_action().takes_values();
            words.extend(values.iter().filter(|value| !is_switch || *value == "true").map(|value| {
                OsString::from(if is_switch { format!("--{key}") } else { format!("--{key}={value}") })
            }));
        }
        words
    }

    /// What was said, as `command`'s own parser takes it: its options are the fields of `A`.
    ///
    /// # Errors
    /// [`SettingsError::Together`], where each may be said and all together may not.
    pub fn parse<A: FromArgMatches>(&self, command: Command) -> Result<A, SettingsError> {
        let words = self.words(command.get_arguments(), &[]);
        let said = command.no_binary_name(true).try_get_matches_from(words);
        let said = said.and_then(|matches| A::from_arg_matches(&matches));
        said.map_err(|error| SettingsError::Together { what: error.to_string() })
    }
}

/// What the words of a command line say of these options.
pub(crate) fn said<'a>(options: impl IntoIterator<Item = &'a Arg>, words: &[OsString]) -> Vec<Setting> {
    let options: Vec<&Arg> = options.into_iter().collect();
    let mut settings: Vec<Setting> = Vec::new();
    let mut words = words.iter().map(|word| word.to_string_lossy()).peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let Some(word) = word.strip_prefix("--") else { continue };
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let Some(option) = options.iter().find(|option| option.get_long() == Some(name)) else { continue };
        let wants = option.get_action().takes_values() && !option.is_require_equals_set();
        let value = match value {
            Some(value) => value.to_owned(),
            None if wants => words.next().map(|word| word.into_owned()).unwrap_or_default(),
            None => "true".to_owned(),
        };
        let is_list = matches!(option.get_action(), clap::ArgAction::Append);
        match settings.iter_mut().find(|setting| setting.key == name) {
            Some(setting) if is_list => setting.values.push(value),
            Some(setting) => setting.values = vec![value],
            None => settings.push(Setting {
                key: name.to_owned(),
                values: vec![value],
                origin: Origin::CommandLine,
            }),
        }
    }
    settings
}

/// The file after `--config` in the words of a command line.
#[must_use]
pub fn asked(words: &[OsString]) -> Option<PathBuf> {
    let option = Arg::new("config").long("config").action(clap::ArgAction::Set);
    let found = said([&option], words);
    found.into_iter().next().and_then(|mut setting| setting.values.pop()).map(PathBuf::from)
}
