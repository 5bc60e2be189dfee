//! Rules over what cargo knows.

use std::collections::BTreeSet;

use wavry_tidy::arrows::{self, GATEKEPT, PLAIN_BACKENDS, RIVALS, RIVALS_PLACE, WORLDLY};
use wavry_tidy::workspaces::{self, Foreign, Workspace};
use wavry_tidy::{duplicates, licences, tree};

use crate::none;

fn all() -> Vec<Workspace> {
    workspaces::all().expect("cargo metadata answers without the network after a build")
}

#[test]
fn every_arrow_is_in_the_architecture() {
    none(all().iter().flat_map(Workspace::arrows).filter_map(|arrow| arrows::wrong(&arrow)).collect());
}

#[test]
fn services_reach_no_media() {
    let main = &all()[0];
    let mut found = Vec::new();
    for service in main.members().into_iter().filter(|member| member.starts_with("services/")) {
        for reached in main.own_tree(&service) {
            let backend =
                reached.strip_prefix("platform/").is_some_and(|name| !PLAIN_BACKENDS.contains(&name));
            if backend {
                found.push(format!("{service} reaches {reached}"));
            }
        }
    }
    none(found);
}

#[test]
fn rivals_are_built_only_where_they_are_measured() {
    let mut found = Vec::new();
    for workspace in all().iter().filter(|workspace| workspace.name != RIVALS_PLACE) {
        let foreign = workspace.foreign();
        let rivals = foreign.iter().filter(|one| RIVALS.contains(&one.name.as_str()));
        found.extend(rivals.map(|one| format!("`{}/` builds {}", workspace.name, one.name)));
    }
    none(found);
}

#[test]
fn foreign_libraries_have_one_door() {
    let mut found = Vec::new();
    for workspace in all().iter().filter(|workspace| workspace.name != RIVALS_PLACE) {
        for member in workspace.members() {
            let asked = workspace.asked_for(&member);
            let wrong = GATEKEPT.iter().filter(|(name, door)| *door != member && asked.contains(*name));
            found.extend(
                wrong.map(|(name, door)| format!("{member} asks for {name}: that is {door}'s to do")),
            );
        }
    }
    none(found);
}

#[test]
fn every_licence_goes_together_with_ours() {
    let crates: BTreeSet<Foreign> = all().iter().flat_map(Workspace::foreign).collect();
    none(crates.iter().filter_map(|one| licences::wrong(&one.name, one.licence.as_deref())).collect());
}

/// What `ml-kem` forces upon `rift` where hybrid handshakes are built in: it is on the next major of its authors' traits.
/// `block-buffer` stands below those traits only because the gateway's database asks for more of them in the same build.
const FORCED: [&str; 4] = ["block-buffer", "crypto-common", "digest", "rand_core"];

#[test]
fn rift_has_nothing_twice() {
    let tree = all()[0].normal_tree("rift");
    assert!(tree.len() > 5, "the walk found {} crates below rift, which cannot be", tree.len());
    let mut found = duplicates::find(&tree);
    found.retain(|name, _| !FORCED.contains(&name.as_str()));
    none(
        found.iter().map(|(name, versions)| format!("rift has {name} as {}", versions.join(", "))).collect(),
    );
}

#[test]
fn rift_reaches_neither_clock_nor_entropy() {
    let tree = all()[0].normal_tree("rift");
    let worldly = tree.iter().filter(|one| WORLDLY.contains(&one.name.as_str()));
    none(worldly.map(|one| format!("{} {} is below rift", one.name, one.version)).collect());
}

#[test]
fn duplicates_have_a_reason_and_no_reason_is_stale() {
    let list = std::fs::read_to_string(tree::root().join(duplicates::LIST)).unwrap();
    none(duplicates::compare(&duplicates::find(&all()[0].foreign()), &list));
}

#[test]
fn shared_crates_have_one_version_in_every_workspace() {
    let all = all();
    let main = all[0].foreign();
    let others = all.iter().filter(|workspace| !workspace.name.is_empty());
    none(others.flat_map(|other| duplicates::disagreements(&main, &other.name, &shared(other))).collect());
}

/// What a workspace must have as the main one has it. Where rivals are, that is what it asks for itself and what
/// crates of ours are built of; what rivals bring along is theirs to choose.
fn shared(workspace: &Workspace) -> BTreeSet<Foreign> {
    if workspace.name != RIVALS_PLACE {
        return workspace.foreign();
    }
    let asked = workspace.asked_for(RIVALS_PLACE);
    let own = workspace.own_tree(RIVALS_PLACE);
    let below: BTreeSet<Foreign> = own.iter().flat_map(|member| workspace.normal_tree(member)).collect();
    assert!(below.len() > 5, "rivals are measured beside crates of ours, and those were not found");
    workspace.foreign().into_iter().filter(|one| below.contains(one) || asked.contains(&one.name)).collect()
}
