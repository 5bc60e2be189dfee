//! Two versions of one crate: none in `rift`'s own tree, elsewhere only those a list gives a reason for.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspaces::Foreign;

/// Where the reasons are, relative to the root. One line each: `NAME COUNT REASON`.
pub const LIST: &str = "hil-tests/tidy/duplicates.txt";

/// Crates that are there in more than one version, with their versions in order.
#[must_use]
pub fn find(crates: &BTreeSet<Foreign>) -> BTreeMap<String, Vec<String>> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in crates {
        versions.entry(one.name.clone()).or_default().push(one.version.clone());
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

/// What the list lacks, and what it holds though nothing needs it any more: it may only shrink.
///
/// The list counts versions, it does not name them: a patch release of a duplicate is no news.
#[must_use]
pub fn compare(found: &BTreeMap<String, Vec<String>>, list: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut fields = line.splitn(3, ' ');
        let entry = (fields.next(), fields.next().and_then(|count| count.parse().ok()), fields.next());
        let (Some(name), Some(count), Some(_reason)) = entry else {
            wrong.push(format!("{LIST}: `{line}` is not `NAME COUNT REASON`"));
            continue;
        };
        listed.insert(name, count);
    }
    for (name, versions) in found {
        if listed.get(name.as_str()).is_none_or(|count| versions.len() > *count) {
            wrong.push(format!(
                "{name} is there as {}: align them, or give a reason in {LIST}",
                versions.join(", ")
            ));
        }
    }
    for (name, count) in listed {
        let needed = found.get(name).map_or(0, Vec::len);
        if needed < count {
            wrong.push(format!("{LIST}: {name} allows {count} versions, {needed} are needed: let it shrink"));
        }
    }
    wrong
}

/// Crates that two workspaces have in versions of their own. Arguments: a name for messages and its crates, each.
#[must_use]
pub fn disagreements(main: &BTreeSet<Foreign>, other_name: &str, other: &BTreeSet<Foreign>) -> Vec<String> {
    let names: BTreeSet<&str> = main.iter().map(|one| one.name.as_str()).collect();
    let known: BTreeSet<(&str, &str)> =
        main.iter().map(|one| (one.name.as_str(), one.version.as_str())).collect();
    // A workspace that needs the main one's version too only adds another beside it.
    let shared: BTreeSet<&str> = other
        .iter()
        .filter(|one| known.contains(&(one.name.as_str(), one.version.as_str())))
        .map(|one| one.name.as_str())
        .collect();
    let differing =
        other.iter().filter(|one| names.contains(one.name.as_str()) && !shared.contains(one.name.as_str()));
    differing
        .map(|one| {
            let Foreign { name, version, .. } = one;
            format!("{other_name} has {name} {version}, which the main workspace has in another version: align them")
        })
        .collect()
}
