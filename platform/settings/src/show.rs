//! What a program goes by, for a person.

use std::ffi::OsString;
use std::io::Write;

use clap::Arg;

use crate::error::SettingsError;
use crate::layers::{Loaded, said};
use crate::schema::Schema;

/// Writes each setting, its value and where it comes from, `typed` being the words of the command line: as TOML that could be
/// a file, with the origin as a comment. Of secrets only the origin is told.
///
/// # Errors
/// [`SettingsError::Show`].
pub fn show<'a>(
    schema: &Schema,
    loaded: &Loaded,
    options: impl IntoIterator<Item = &'a Arg>,
    typed: &[OsString],
    out: &mut impl Write,
) -> Result<(), SettingsError> {
    let mut all = loaded.clone();
    all.lay(said(options, typed).into_iter().filter(|said| schema.find(&said.key).is_some()).collect());
    let mut keys: Vec<_> = schema.all().iter().collect();
    // What stands in tables comes last, as TOML wants it.
    keys.sort_by_key(|key| key.name.contains('.'));
    for key in keys {
        let name = &key.name;
        match (all.find(name), key.default()) {
            (Some(setting), _) if key.is_secret => {
                writeln!(out, "# {name} is kept secret; said by {}", setting.origin)?
            }
            (Some(setting), _) => {
                let quoted: Vec<String> = setting.values.iter().map(|value| quote(value)).collect();
                let value = if key.is_list { format!("[{}]", quoted.join(", ")) } else { quoted.join(", ") };
                writeln!(out, "{name} = {value}  # {}", setting.origin)?;
            }
            (None, Some((value, true))) if !value.is_empty() => {
                writeln!(out, "{name} = {}  # the default", quote(&value))?;
            }
            (None, Some((said, false))) => writeln!(out, "# {name}: nothing is said; {said}")?,
            (None, Some(_) | None) => writeln!(out, "# {name}: nothing is said")?,
        }
    }
    Ok(())
}

/// A value as TOML.
fn quote(value: &str) -> String {
    let is_plain = matches!(value, "true" | "false")
        || value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    if is_plain { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}
