//! Rules about the bytes of a file: ends, blanks, lengths, words that belong to somebody's machine.

use crate::tree::File;

/// Lines a Rust file may have before its `#[cfg(test)]`.
pub const FILE_LINES: usize = 500;
/// Lines the `main.rs` of a program may have: the rest is its library's.
pub const MAIN_LINES: usize = 100;

/// Endings of files whose blanks are looked at; names without an ending are too.
const PROSE: [&str; 13] =
    ["rs", "toml", "lock", "md", "txt", "sh", "yml", "yaml", "json", "sql", "html", "css", "service"];

/// Absolute directories that exist on one machine only. In pieces, so that this file does not trip over itself.
const MACHINE: [[&str; 2]; 4] = [["/ro", "ot/"], ["/ho", "me/"], ["/wo", "rk/"], ["/Us", "ers/"]];

/// Files that are too long, with what to do.
#[must_use]
pub fn lengths(file: &File) -> Option<String> {
    let text = file.text().filter(|_| file.is_rust())?;
    let lines = text.lines().take_while(|line| !line.trim_start().starts_with("#[cfg(test)]")).count();
    let limit = if file.path.ends_with("src/main.rs") { MAIN_LINES } else { FILE_LINES };
    (lines > limit)
        .then(|| format!("{}: {lines} lines before its tests, {limit} may be: split it by topic", file.path))
}

/// A missing newline at the end, blanks at line ends, tabs in Rust.
#[must_use]
pub fn blanks(file: &File) -> Vec<String> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ending)| ending);
    let Some(text) = file.text().filter(|_| ending.is_none_or(|ending| PROSE.contains(&ending))) else {
        return Vec::new();
    };
    let path = &file.path;
    let mut found = Vec::new();
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(format!("{path}: no newline at the end"));
    }
    for (index, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            found.push(format!("{path}:{}: blanks at the end of the line", index + 1));
        }
        if file.is_rust() && line.contains('\t') {
            found.push(format!("{path}:{}: a tab; rustfmt writes spaces, in a string write \\t", index + 1));
        }
    }
    found
}

/// Paths that only one machine has.
#[must_use]
pub fn machine_paths(file: &File) -> Vec<String> {
    let Some(text) = file.text() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for path in MACHINE.map(|pieces| pieces.concat()) {
            if line.match_indices(&path).any(|(at, _)| starts_a_path(&line[..at])) {
                found.push(format!("{}:{}: `{path}` exists on one machine only", file.path, index + 1));
            }
        }
    }
    found
}

/// Whether a `/` after this is a path's first one: what stands before is no part of a relative path.
fn starts_a_path(before: &str) -> bool {
    !before.ends_with(|last: char| last.is_alphanumeric() || "._-*]})>$~".contains(last))
}
