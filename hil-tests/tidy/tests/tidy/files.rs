//! Rules over the files of the tree.

use std::collections::BTreeSet;

use wavry_tidy::{layout, manifests, rules, source, text, threats, tree, workspaces};

use crate::none;

#[test]
fn the_top_level_is_as_agreed() {
    let files = tree::files();
    none(layout::strangers(files.iter().map(|file| file.path.as_str())));
}

#[test]
fn the_readme_maps_every_directory_and_member() {
    let files = tree::files();
    let readme =
        files.iter().find(|file| file.path == "README.md").and_then(|file| file.text()).unwrap_or_default();
    let members =
        workspaces::all().unwrap().iter().flat_map(workspaces::Workspace::members).collect::<Vec<_>>();
    none(layout::unmapped(readme, &tree::directories(&files), &members));
}

#[test]
fn every_released_crate_has_a_changelog() {
    let files = tree::files();
    none(layout::without_changelog(&files.iter().map(|file| file.path.as_str()).collect::<BTreeSet<_>>()));
}

#[test]
fn no_file_is_too_long() {
    none(tree::files().iter().filter_map(text::lengths).collect());
}

#[test]
fn files_end_with_a_newline_and_lines_without_blanks() {
    none(tree::files().iter().flat_map(text::blanks).collect());
}

#[test]
fn no_file_names_a_directory_of_one_machine() {
    none(tree::files().iter().flat_map(text::machine_paths).collect());
}

#[test]
fn unsafe_code_is_where_a_reason_is_listed() {
    none(tree::files().iter().flat_map(source::unsafe_code).collect());
}

#[test]
fn every_line_of_the_threat_model_ends_in_a_test_or_in_a_reason() {
    let files = tree::files();
    let specification = files.iter().find(|file| file.path == "rift/SPEC.md").and_then(|file| file.text());
    let tests = files.iter().flat_map(threats::tests).collect();
    none(threats::unproven(specification.unwrap_or_default(), &tests));
}

#[test]
fn rift_forbids_unsafe_code() {
    let files = tree::files();
    let head = files.iter().find(|file| file.path == "rift/src/lib.rs").and_then(|file| file.text());
    assert!(head.is_some_and(|text| text.lines().any(|line| line == source::FORBID)));
}

#[test]
fn members_inherit_and_versions_are_pinned() {
    let files = tree::files();
    let manifest = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.and_then(|file| file.text()).unwrap_or_default().to_owned()
    };
    let main = &workspaces::all().unwrap()[0];
    let paths = main.members().into_iter().map(|member| format!("{member}/Cargo.toml"));
    let mut found: Vec<String> = paths.flat_map(|path| manifests::member(&path, &manifest(&path))).collect();
    found.extend(manifests::unpinned(&manifest("Cargo.toml")));
    none(found);
}

#[test]
fn every_must_of_the_protocol_is_cited_by_a_test_and_in_code() {
    let files = tree::files();
    let spec = files.iter().find(|file| file.path == "rift/SPEC.md").and_then(|file| file.text());
    none(rules::uncited(spec.expect("the specification is there"), &files));
}
