//! Rules broken on purpose: for each place in `rift` that cites a rule with a MUST, small changes of the code there.
//!
//! A change is one line's, as text: a comparison, a condition, a constant, a truth. Whether it compiles, and whether the
//! tests that cite the rule notice, is for [the program that tries them](../src/bin/mutate.rs) to find out.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules;
use crate::tree::File;

/// Lines below a citation inside a function that are taken to be what it speaks of.
const NEAR: usize = 6;
/// Constants up to this are counts, and are one more; larger ones are spans, and are twice as long.
const COUNT_MAX: u64 = 4096;
/// Text and what takes its place.
const SWAPS: [(&str, &str); 10] = [
    (" == ", " != "),
    (" != ", " == "),
    (" <= ", " < "),
    (" >= ", " > "),
    (" < ", " <= "),
    (" > ", " >= "),
    (" && ", " || "),
    (" || ", " && "),
    ("true", "false"),
    ("false", "true"),
];

/// One line changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mutant {
    /// The rule that is spoken of there.
    pub rule: String,
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub before: String,
    /// What stands there instead.
    pub after: String,
}

/// All changes at places that cite a rule that some test cites.
#[must_use]
pub fn all(spec: &str, files: &[File]) -> Vec<Mutant> {
    let proofs = rules::proofs(files);
    let is_proven = |rule: &str| !tests(&proofs, rule).is_empty();
    let rules: Vec<String> = rules::musts(spec).into_iter().map(|(rule, _)| rule).collect();
    let rules: BTreeSet<&str> = rules.iter().map(String::as_str).filter(|rule| is_proven(rule)).collect();
    let code = files.iter().filter(|file| file.is_rust() && file.path.starts_with("rift/src/"));
    let mut found = BTreeSet::new();
    for (file, text) in code.filter_map(|file| Some((file, file.text()?))) {
        let text = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((_, comment)) = line.split_once("//") else { continue };
            for rule in rules::cited(comment).into_iter().filter(|rule| rules.contains(rule.as_str())) {
                for near in spoken_of(&lines, at) {
                    found.extend(changes(lines[near]).into_iter().map(|after| Mutant {
                        rule: rule.clone(),
                        path: file.path.clone(),
                        line: near + 1,
                        before: lines[near].to_owned(),
                        after,
                    }));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// The tests that cite a rule or one of its MUSTs, as `path name`.
#[must_use]
pub fn tests(proofs: &BTreeMap<String, Vec<String>>, rule: &str) -> Vec<String> {
    let is_of = |cited: &str| cited.split('/').next() == Some(rule);
    let mut tests: Vec<String> =
        proofs.iter().filter(|(cited, _)| is_of(cited)).flat_map(|(_, tests)| tests.clone()).collect();
    tests.sort();
    tests.dedup();
    tests
}

/// `count` of them, as many rules as there are before any comes twice; `seed` decides which.
#[must_use]
pub fn sample(mutants: &[Mutant], count: usize, seed: u64) -> Vec<Mutant> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: usize| {
        // Marsaglia, "Xorshift RNGs" (2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap_or(0)
    };
    let mut of_rules: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        of_rules.entry(&mutant.rule).or_default().push(mutant);
    }
    let mut rules: Vec<Vec<&Mutant>> = of_rules.into_values().collect();
    for last in (1..rules.len()).rev() {
        rules.swap(last, draw(last + 1));
    }
    let mut drawn = Vec::new();
    while drawn.len() < count && rules.iter().any(|rule| !rule.is_empty()) {
        for rule in rules.iter_mut().filter(|rule| !rule.is_empty()) {
            if drawn.len() < count {
                drawn.push(rule.swap_remove(draw(rule.len())).clone());
            }
        }
    }
    drawn
}

/// Lines of code that a comment is about: the item below it, what follows inside a function, or its own line.
fn spoken_of(lines: &[&str], at: usize) -> Vec<usize> {
    let comment = lines[at].trim_start();
    if !comment.starts_with("//") {
        return vec![at];
    }
    // A module's own text is about more than can be pointed at.
    if comment.starts_with("//!") {
        return Vec::new();
    }
    let depth = |line: &str| line.len() - line.trim_start().len();
    let inside = depth(lines[at]);
    let below = (at + 1..lines.len()).filter(|&line| !lines[line].trim_start().starts_with("//"));
    if comment.starts_with("///") {
        let mut taken = Vec::new();
        for line in below {
            let is_end = depth(lines[line]) == inside && lines[line].trim_end().ends_with(['}', ';', ',']);
            taken.push(line);
            if is_end || lines[line].trim().is_empty() {
                break;
            }
        }
        return taken;
    }
    let near =
        below.take(NEAR).take_while(|&line| depth(lines[line]) >= inside && !lines[line].trim().is_empty());
    let mut taken = Vec::new();
    for line in near {
        taken.push(line);
        // What follows a block is another matter.
        if depth(lines[line]) == inside && lines[line].trim() == "}" {
            break;
        }
    }
    taken
}

/// What a line may be changed into.
#[must_use]
pub fn changes(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    // Attributes, types and words for people are no rules.
    if code.trim_start().starts_with('#') || code.contains('"') || code.contains("debug_assert") {
        return Vec::new();
    }
    let swapped = SWAPS.iter().filter_map(|(from, to)| {
        let at = word(code, from)?;
        Some(format!("{}{to}{}", &line[..at], &line[at + from.len()..]))
    });
    let mut changes: Vec<String> = swapped.collect();
    if let Some((head, condition)) = code.split_once("if ")
        && let Some(condition) = condition.trim_end().strip_suffix('{')
        && !condition.contains("let ")
        && head.trim_end().chars().all(|letter| !letter.is_alphanumeric() || head.contains("else"))
    {
        changes.push(format!("{head}if !({}) {{", condition.trim_end()));
    }
    changes.extend(constant(code));
    changes
}

/// Where a word first stands by itself.
fn word(code: &str, word: &str) -> Option<usize> {
    let is_part =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let mut places = code.match_indices(word).map(|(at, _)| at);
    places.find(|&at| {
        word.starts_with(' ')
            || !is_part(code[..at].chars().next_back()) && !is_part(code[at + word.len()..].chars().next())
    })
}

/// A constant's number, one more or twice as much.
fn constant(code: &str) -> Option<String> {
    let (head, value) = code.split_once("const ").and_then(|(_, rest)| rest.split_once(" = "))?;
    let number: u64 = value.trim_end().strip_suffix(';')?.replace('_', "").parse().ok()?;
    let other = if number <= COUNT_MAX { number + 1 } else { number * 2 };
    Some(code.replace(&format!("{head} = {}", value.trim_end()), &format!("{head} = {other};")))
}
