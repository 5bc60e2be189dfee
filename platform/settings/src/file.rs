//! One file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::FILE_LEN_MAX;
use crate::error::SettingsError;
use crate::layers::{Origin, Setting};
use crate::schema::Schema;

/// What a file says; `None` if there is none.
pub(crate) fn read(schema: &Schema, path: &Path) -> Result<Option<Vec<Setting>>, SettingsError> {
    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    // A pipe would be waited for if it were opened.
    match std::fs::metadata(path) {
        // The home of somebody who has none may be a file, such as /dev/null.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
        Ok(about) if !about.is_file() => return Err(SettingsError::NotAFile { path: path.to_owned() }),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(SettingsError::Long { path: path.to_owned() });
    }
    let text = core::str::from_utf8(&bytes).map_err(|error| SettingsError::NotText {
        path: path.to_owned(),
        line: line(&bytes, error.valid_up_to()),
    })?;
    parse(schema, text, path).map(Some)
}

/// The line, from 1, of the byte at `offset`.
fn line(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

fn parse(schema: &Schema, text: &str, path: &Path) -> Result<Vec<Setting>, SettingsError> {
    let table = DeTable::parse(text).map_err(|error| SettingsError::Syntax {
        path: path.to_owned(),
        line: line(text.as_bytes(), error.span().map_or(0, |span| span.start)),
        what: error.message().replace('\n', ", "),
    })?;
    let at = |offset: usize| Origin::File { path: path.to_owned(), line: line(text.as_bytes(), offset) };
    let mut settings: Vec<Setting> = Vec::new();
    for (name, value) in written(schema, table.get_ref()) {
        let at = at(value.0);
        let Some(key) = schema.find(&name) else {
            return Err(SettingsError::Unknown { at, nearest: schema.nearest(&name), key: name });
        };
        let values = texts(value.1, key.is_list, key.words).map_err(|what| SettingsError::Value {
            at: at.clone(),
            key: name.clone(),
            what,
        })?;
        if let Some(what) = values.iter().find_map(|value| key.wrong(value)) {
            return Err(SettingsError::Value { at, key: name, what });
        }
        if let Some(before) = settings.iter().find(|setting| setting.key == key.name) {
            let before = if let Origin::File { line, .. } = before.origin { line } else { 0 };
            return Err(SettingsError::Twice { at, key: key.name.clone(), before });
        }
        settings.push(Setting { key: key.name.clone(), values, origin: at });
    }
    Ok(settings)
}

/// What is written, in the order of the lines: names, in tables with the table's before them, where they stand, and values.
fn written<'a>(schema: &Schema, table: &'a DeTable<'_>) -> Vec<(String, (usize, &'a Spanned<DeValue<'a>>))> {
    let mut all = Vec::new();
    for (name, value) in table {
        if let DeValue::Table(inner) = value.get_ref()
            && schema.has_table(name.get_ref())
        {
            for (inner_name, value) in inner {
                let full = format!("{}.{}", name.get_ref(), inner_name.get_ref());
                all.push((full, (inner_name.span().start, value)));
            }
        } else {
            all.push((name.get_ref().to_string(), (name.span().start, value)));
        }
    }
    all.sort_by_key(|(_, (offset, _))| *offset);
    all
}

fn texts(value: &Spanned<DeValue<'_>>, is_list: bool, words: Option<&str>) -> Result<Vec<String>, String> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        // As it is written, but for what makes it long: the option itself says what it takes.
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    };
    if let DeValue::Array(values) = value.get_ref()
        && is_list
    {
        let is_word = |value: &DeValue<'_>| words.is_none() || value.is_str();
        let each = |value: &Spanned<DeValue<'_>>| one(value.get_ref()).filter(|_| is_word(value.get_ref()));
        let values = values.iter().map(each).collect::<Option<Vec<_>>>();
        return values.ok_or_else(|| words.unwrap_or("give a list of texts").to_owned());
    }
    if let Some(words) = words {
        return Err(words.to_owned());
    }
    let wanted = if is_list {
        "give a text, or a list of texts"
    } else {
        "give a text, a whole number, true or false"
    };
    one(value.get_ref()).map(|one| vec![one]).ok_or_else(|| wanted.to_owned())
}
