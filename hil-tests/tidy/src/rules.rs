//! Every MUST of `rift/SPEC.md` is cited by a test, and every rule with one in code.
//!
//! A rule is cited as `SPEC §4.7`; where it has several MUSTs a test says which: `SPEC §4.12/2` is the second. A test
//! cites in the comment above it, so that whoever changes a rule finds what proves it, and `cargo rig mutate` too.

use std::collections::BTreeMap;

use crate::tree::File;

/// MUSTs that nothing here can prove, with the reason.
pub const UNPROVEN: [(&str, &str); 0] = [];

/// The rules of a specification and how many MUSTs each has, in their order; those without any are left out.
#[must_use]
pub fn musts(spec: &str) -> Vec<(String, usize)> {
    let mut rules: Vec<(String, usize)> = Vec::new();
    for line in spec.lines() {
        if let Some(number) = line.strip_prefix("**").and_then(|rest| rest.split_once("**")) {
            rules.push((number.0.to_owned(), 0));
        }
        if let Some((_, count)) = rules.last_mut() {
            *count +=
                line.split(|letter: char| !letter.is_alphanumeric()).filter(|word| *word == "MUST").count();
        }
    }
    rules.retain(|(rule, count)| *count > 0 && rule.starts_with(|first: char| first.is_ascii_digit()));
    rules
}

/// What each MUST is called: its rule, and its place where there are several.
#[must_use]
pub fn names(spec: &str) -> Vec<String> {
    let each = |(rule, count): (String, usize)| match count {
        1 => vec![rule],
        _ => (1..=count).map(|place| format!("{rule}/{place}")).collect(),
    };
    musts(spec).into_iter().flat_map(each).collect()
}

/// What a text cites of the specification: `4.7`, `4.12/2`.
#[must_use]
pub fn cited(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let pieces = text.split('§').zip(text.split('§').skip(1));
    for (_, piece) in pieces.filter(|(before, _)| !is_elsewhere(before)) {
        let end = piece.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | '/'));
        let number = piece[..end.unwrap_or(piece.len())].trim_end_matches(['.', '/']);
        if number.contains('.') {
            found.push(number.to_owned());
        }
    }
    found
}

/// Whether what stands before a section's sign names another text than the specification: an RFC, a draft, a standard.
fn is_elsewhere(before: &str) -> bool {
    let mut words = before.split_whitespace().rev();
    let (last, but_one) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    last.ends_with("draft") || but_one.ends_with("RFC") || but_one.ends_with("FIPS")
}

/// The tests of a file, each with what the comment above it cites.
#[must_use]
pub fn tests(text: &str) -> Vec<(String, Vec<String>)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_above = |line: &str| line.starts_with("//") || line.starts_with("#[");
    let marks = (0..lines.len()).filter(|&at| lines[at] == "#[test]");
    let named = marks.filter_map(|at| {
        let begin = (0..at).rev().take_while(|&above| is_above(lines[above])).last().unwrap_or(at);
        let named = lines[at..].iter().find_map(|line| line.strip_prefix("fn "))?;
        let name = named.split(['(', '<']).next()?;
        Some((name.to_owned(), cited(&lines[begin..at].join("\n"))))
    });
    named.collect()
}

/// The tests that cite each MUST, as `path name`.
#[must_use]
pub fn proofs(files: &[File]) -> BTreeMap<String, Vec<String>> {
    let mut proofs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for (name, cited) in file.text().map(tests).unwrap_or_default() {
            for rule in cited {
                proofs.entry(rule).or_default().push(format!("{} {name}", file.path));
            }
        }
    }
    proofs
}

/// MUSTs that no test cites, rules with one that no code cites, and citations of what is not there.
#[must_use]
pub fn uncited(spec: &str, files: &[File]) -> Vec<String> {
    let (names, proofs) = (names(spec), proofs(files));
    let mut found = Vec::new();
    for name in &names {
        let is_excused = UNPROVEN.iter().any(|(unproven, _)| unproven == name);
        match (proofs.contains_key(name), is_excused) {
            (false, false) => {
                found.push(format!(
                    "no test cites SPEC §{name}: write `/// SPEC §{name}` above the one that proves it"
                ));
            }
            (true, true) => {
                found.push(format!("SPEC §{name} is proven: take it off the list of what is not"))
            }
            (true, false) | (false, true) => {}
        }
    }
    let in_code: Vec<String> = files.iter().filter(|file| is_code(file)).flat_map(code_citations).collect();
    for (rule, _) in musts(spec) {
        if !in_code.contains(&rule) {
            found.push(format!("no code cites SPEC §{rule}: write it where the rule is applied"));
        }
    }
    for (cited, tests) in proofs.iter().filter(|(cited, _)| cited.contains('/') && !names.contains(cited)) {
        found.push(format!("{}: SPEC §{cited} is not there", tests.join(", ")));
    }
    found
}

fn is_code(file: &File) -> bool {
    let programs = ["rift/src/", "platform/", "hosts/", "clients/", "services/"];
    file.is_rust()
        && programs.iter().any(|place| file.path.starts_with(place))
        && !file.path.contains("/tests/")
}

fn code_citations(file: &File) -> Vec<String> {
    let text = file.text().unwrap_or_default();
    let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    cited(code).into_iter().map(|rule| rule.split('/').next().unwrap_or_default().to_owned()).collect()
}
