//! Licences of what we link, as SPDX expressions.

/// Licences whose terms the AGPL, version 3, can be met together with.
pub const COMPATIBLE: [&str; 22] = [
    "0BSD",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "GPL-3.0-or-later",
    "IJG",
    "ISC",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "WTFPL",
    "Zlib",
];

/// Crates whose manifest does not tell: name, and what its files say.
pub const EXCEPTIONS: [(&str, &str); 0] = [];

/// Why a crate of this name with this expression cannot be used, if so.
#[must_use]
pub fn wrong(name: &str, expression: Option<&str>) -> Option<String> {
    if EXCEPTIONS.iter().any(|(exempt, _)| *exempt == name) {
        return None;
    }
    let Some(expression) = expression else {
        return Some(format!(
            "{name}: its manifest names no licence; read its files and list it with what they say"
        ));
    };
    match evaluate(expression) {
        Some(true) => None,
        Some(false) => Some(format!("{name}: `{expression}` is not known to go together with the AGPL")),
        None => Some(format!("{name}: `{expression}` is not a licence expression")),
    }
}

/// Whether the expression can be satisfied with compatible licences alone; `None` where it is malformed.
///
/// SPDX 2.3, annex D: `WITH` binds tightest, then `AND`, then `OR`. The slash of old manifests means `OR`.
#[must_use]
pub fn evaluate(expression: &str) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    let value = alternatives(&mut words)?;
    words.is_empty().then_some(value)
}

fn alternatives(words: &mut &[&str]) -> Option<bool> {
    let mut value = conjunction(words)?;
    while take(words, "OR") {
        value |= conjunction(words)?;
    }
    Some(value)
}

fn conjunction(words: &mut &[&str]) -> Option<bool> {
    let mut value = term(words)?;
    while take(words, "AND") {
        value &= term(words)?;
    }
    Some(value)
}

fn term(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let value = alternatives(words)?;
        return take(words, ")").then_some(value);
    }
    let name = next(words)?;
    if matches!(name, "OR" | "AND" | "WITH" | ")") {
        return None;
    }
    if take(words, "WITH") {
        let full = format!("{name} WITH {}", next(words)?);
        return Some(COMPATIBLE.contains(&full.as_str()));
    }
    Some(COMPATIBLE.contains(&name))
}

fn next<'a>(words: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    Some(first)
}

fn take(words: &mut &[&str], wanted: &str) -> bool {
    let found = words.first() == Some(&wanted);
    if found {
        *words = &words[1..];
    }
    found
}
