//! Rules about the threat model of the specification: each line ends in tests that exist, or says why there is none.

use std::collections::BTreeSet;

use crate::tree::File;

/// Where the threat model begins in the specification; it goes to the next heading.
const HEADING: &str = "## 17 Attackers";
/// What a line says that no test shows.
const UNDEFENDED: &str = "not defended, because";

/// The names of the tests in a file.
#[must_use]
pub fn tests(file: &File) -> Vec<&str> {
    let text = file.text().filter(|_| file.is_rust()).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    let mut names = Vec::new();
    while lines.by_ref().any(|line| line == "#[test]") {
        let function = lines.by_ref().find_map(|line| line.strip_prefix("fn "));
        names.extend(function.and_then(|rest| rest.split('(').next()));
    }
    names
}

/// Lines of the threat model that end in nothing, or in a test that does not exist.
#[must_use]
pub fn unproven(specification: &str, tests: &BTreeSet<&str>) -> Vec<String> {
    let Some((_, model)) = specification.split_once(HEADING) else {
        return vec![format!("the specification has no {HEADING:?}")];
    };
    let model = model.split_once("\n## ").map_or(model, |(model, _)| model);
    let mut found = Vec::new();
    for line in lines(model) {
        let named: Vec<&str> = line.split('`').skip(1).step_by(2).filter(|word| is_name(word)).collect();
        if named.is_empty() && !line.contains(UNDEFENDED) {
            found.push(format!("neither a test nor {UNDEFENDED:?}: {line}"));
        }
        let missing = named.iter().filter(|name| !tests.contains(*name));
        found.extend(missing.map(|name| format!("no test is called {name}: {line}")));
    }
    found
}

/// The entries of the model's lists, each in one piece.
fn lines(model: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in model.lines() {
        if let Some(entry) = line.strip_prefix("- ") {
            lines.push(entry.to_owned());
            is_open = true;
        } else if let (Some(entry), true, true) = (lines.last_mut(), is_open, line.starts_with("  ")) {
            entry.push(' ');
            entry.push_str(line.trim());
        } else {
            is_open = false;
        }
    }
    lines
}

/// Whether a quoted word is the name of a test, and not of a file or a field.
fn is_name(word: &str) -> bool {
    word.contains('_')
        && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}
