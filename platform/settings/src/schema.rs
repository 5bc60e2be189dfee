//! What a program can be told.

use clap::{Arg, ArgAction, Command};

/// What a program can be told: its keys and the tables they may stand in.
#[derive(Clone, Debug)]
pub struct Schema {
    name: &'static str,
    keys: Vec<Key>,
    /// Names in tables, and the keys they are.
    names: &'static [(&'static str, &'static str)],
}

/// One thing that can be told.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// The option; `None` for what only files say.
    arg: Option<Arg>,
    pub(crate) is_list: bool,
    /// Why it has to be a list in files, where a single text will not do.
    pub(crate) words: Option<&'static str>,
    pub(crate) is_switch: bool,
    pub(crate) is_secret: bool,
}

/// Options that no file sets: they are about files, or end the program.
const NOT_KEYS: [&str; 3] = ["config", "help", "version"];

impl Schema {
    /// The long options among `options`, of the program `wavry-NAME`. Those of several commands may be given together; the
    /// first of a name counts.
    #[must_use]
    pub fn new<'a>(name: &'static str, options: impl IntoIterator<Item = &'a Arg>) -> Self {
        let mut keys: Vec<Key> = Vec::new();
        for option in options {
            let Some(long) = option.get_long().filter(|long| !NOT_KEYS.contains(long)) else { continue };
            if keys.iter().any(|key| key.name == long) {
                continue;
            }
            let is_list = matches!(option.get_action(), ArgAction::Append);
            let is_switch = !option.get_action().takes_values();
            keys.push(Key {
                name: long.to_owned(),
                arg: Some(bare(option)),
                is_list,
                words: None,
                is_switch,
                is_secret: false,
            });
        }
        Self { name, keys, names: &[] }
    }

    /// Keys that may stand in tables as well: `("audio.device", "audio-device")`.
    #[must_use]
    pub fn with_names(self, names: &'static [(&'static str, &'static str)]) -> Self {
        Self { names, ..self }
    }

    /// Keys that are no options and stand in files alone. With a reason it is a list of words, and the reason why not a text;
    /// else a text. The program itself judges them: [`crate::Setting::wrong`].
    #[must_use]
    pub fn with_file_keys(mut self, keys: &[(&str, Option<&'static str>)]) -> Self {
        self.keys.extend(keys.iter().map(|&(name, words)| Key {
            name: name.to_owned(),
            arg: None,
            is_list: words.is_some(),
            words,
            is_switch: false,
            is_secret: false,
        }));
        self
    }

    /// Keys whose values are shown to nobody.
    #[must_use]
    pub fn with_secrets(mut self, secrets: &[&str]) -> Self {
        for key in &mut self.keys {
            key.is_secret |= secrets.contains(&key.name.as_str());
        }
        self
    }

    /// The program's name without `wavry-`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The names of all keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.name.as_str())
    }

    pub(crate) fn all(&self) -> &[Key] {
        &self.keys
    }

    /// The key that is called so in a file, as it is or in a table.
    pub(crate) fn find(&self, written: &str) -> Option<&Key> {
        let name = self.names.iter().find(|(name, _)| *name == written).map_or(written, |(_, key)| key);
        self.keys.iter().find(|key| key.name == name)
    }

    /// Whether there are tables of this name.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        let is_in = |full: &str| full.split_once('.').is_some_and(|(table, _)| table == name);
        self.names.iter().any(|(full, _)| is_in(full)) || self.keys().any(is_in)
    }

    /// The name most like one that there is not.
    pub(crate) fn nearest(&self, written: &str) -> String {
        let names = self.names.iter().map(|(name, _)| *name).chain(self.keys());
        let names: Vec<&str> = names.collect();
        // A table's own name may be the one that was misspelt.
        let tables = names.iter().filter_map(|name| Some(name.split_once('.')?.0));
        let nearest = names
            .iter()
            .copied()
            .chain(tables.filter(|_| !written.contains('.')))
            .min_by_key(|name| unlikeness(written, name));
        nearest.unwrap_or_default().to_owned()
    }

    /// The variable that says this key.
    pub(crate) fn variable(&self, key: &str) -> String {
        format!("{}{}", self.variables(), capitals(key))
    }

    /// How all variables of the program begin.
    pub(crate) fn variables(&self) -> String {
        format!("WAVRY_{}_", capitals(self.name))
    }
}

impl Key {
    /// What is wrong with this value, if anything is.
    pub(crate) fn wrong(&self, value: &str) -> Option<String> {
        let arg = self.arg.as_ref()?;
        if self.is_switch {
            let is_truth = matches!(value, "true" | "false");
            return (!is_truth).then(|| "give true or false".to_owned());
        }
        let command = Command::new("settings").no_binary_name(true).disable_help_flag(true).arg(arg);
        let error = command.try_get_matches_from([format!("--value={value}")]).err()?;
        let text = error.to_string().replace("--value ", &format!("`{}` ", self.name));
        let mut lines = text.lines().map(str::trim);
        let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let choices = lines.next().filter(|line| line.starts_with("[possible values"));
        Some(choices.map_or(first.clone(), |choices| format!("{first} {choices}")))
    }

    /// What it is where nobody says anything: the parser's own, or what the help says.
    pub(crate) fn default(&self) -> Option<(String, bool)> {
        let arg = self.arg.as_ref()?;
        let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !values.is_empty() {
            return Some((values.join(","), true));
        }
        let help = arg.get_help().map(ToString::to_string)?;
        let said = help.rsplit_once("[default: ")?.1.trim_end().strip_suffix(']')?;
        Some((said.to_owned(), false))
    }
}

/// An option by itself: what it takes, without what it has to do with others.
fn bare(option: &Arg) -> Arg {
    let mut bare = Arg::new("value").long("value").action(option.get_action().clone());
    bare = bare.value_parser(option.get_value_parser().clone());
    if let Some(count) = option.get_num_args() {
        bare = bare.num_args(count).require_equals(option.is_require_equals_set());
    }
    if let Some(delimiter) = option.get_value_delimiter() {
        bare = bare.value_delimiter(delimiter);
    }
    if let Some(names) = option.get_value_names() {
        bare = bare.value_names(names.iter().cloned());
    }
    if let Some(help) = option.get_help() {
        bare = bare.help(help.clone());
    }
    if option.get_action().takes_values() {
        bare = bare.default_values(option.get_default_values().iter().cloned());
    }
    bare
}

fn capitals(name: &str) -> String {
    name.replace(['-', '.'], "_").to_uppercase()
}

/// How unlike a word is to a name there is: the beginning of one is very like it.
fn unlikeness(one: &str, other: &str) -> usize {
    if other.starts_with(one) { 1 } else { strsim::damerau_levenshtein(one, other) }
}
