//! Each rule catches what it is for and lets pass what it should.

use std::collections::{BTreeMap, BTreeSet};

use wavry_tidy::tree::File;
use wavry_tidy::workspaces::{Arrow, Foreign, Use};
use wavry_tidy::{arrows, duplicates, layout, licences, manifests, mutants, rules, source, text, threats};

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
}

fn foreign(name: &str, version: &str) -> Foreign {
    Foreign { name: name.to_owned(), version: version.to_owned(), licence: None }
}

#[test]
fn top_level_takes_no_stranger() {
    assert_eq!(layout::strangers(["rift/src/lib.rs", ".ci/run", "Cargo.toml"].into_iter()), [""; 0]);
    assert_eq!(layout::strangers(["docs/a.md", "docs/b.md", "Makefile"].into_iter()).len(), 2);
}

#[test]
fn threat_without_a_test_or_a_reason_is_found() {
    let source = file("a.rs", "#[test]\nfn stranger_hears_nothing() {}\nfn helper_of_a_test() {}\n");
    let tests: BTreeSet<&str> = threats::tests(&source).into_iter().collect();
    assert_eq!(tests, BTreeSet::from(["stranger_hears_nothing"]));
    let model = |lines: &str| format!("before\n## 17 Attackers\n\n**17.1** *Who:*\n{lines}");
    let sound = "- hears\n  nothing (`stranger_hears_nothing`, see `a.rs`);\n- sees all: not defended, because\n  it is light.\n";
    assert_eq!(threats::unproven(&model(sound), &tests), [""; 0]);
    for line in
        ["- hears nothing", "- hears nothing (`stranger_hears_much`)", "- nothing (`helper_of_a_test`)"]
    {
        assert_eq!(threats::unproven(&model(line), &tests).len(), 1, "{line}");
    }
    assert_eq!(threats::unproven("no model", &tests).len(), 1);
}

#[test]
fn map_without_a_member_is_incomplete() {
    let directories: BTreeSet<String> = ["rift", "rift/src", "platform"].map(str::to_owned).into();
    let members = ["rift".to_owned(), "platform/mio".to_owned()];
    assert_eq!(layout::unmapped("`rift/` `platform/`", &directories, &members).len(), 1);
    assert_eq!(layout::unmapped("`rift/` `platform/` `platform/mio/`", &directories, &members), [""; 0]);
}

#[test]
fn arrows_follow_the_drawing() {
    let verdict = |from: &str, on: &str, kind| {
        arrows::wrong(&Arrow { from: from.to_owned(), on: on.to_owned(), kind }).is_none()
    };
    for (from, on) in [
        ("platform/hal", "rift"),
        ("platform/x11", "platform/hal"),
        ("platform/mio", "rift"),
        ("hosts/linux", "platform/x11"),
        ("clients/desktop", "hosts/linux"),
        ("services/relay", "platform/mio"),
        ("hil-tests/e2e", "hosts/linux"),
        ("fuzz", "platform/snow"),
        ("fuzz/targets", "fuzz"),
    ] {
        assert!(verdict(from, on, Use::Normal), "{from} → {on}");
    }
    for (from, on) in [
        ("rift", "platform/hal"),
        ("rift", "platform/sim"),
        ("platform/x11", "platform/minifb"),
        ("platform/mio", "platform/hal"),
        ("platform/sim", "platform/snow"),
        ("platform/hal", "platform/mio"),
        ("hosts/linux", "clients/viewer"),
        ("services/gateway", "platform/hal"),
        ("services/relay", "platform/x264"),
        ("hil-tests/rig", "rift"),
        ("hil-tests/e2e", "hil-tests/rig"),
        ("hil-tests/e2e", "fuzz"),
    ] {
        assert!(!verdict(from, on, Use::Normal), "{from} → {on}");
    }
    assert!(verdict("rift", "platform/sim", Use::Test) && verdict("rift", "platform/snow", Use::Test));
    assert!(!verdict("rift", "platform/mio", Use::Test));
}

#[test]
fn licence_expressions_are_evaluated_as_spdx_does() {
    for good in ["MIT", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-2.0-only OR MIT"] {
        assert_eq!(licences::evaluate(good), Some(true), "{good}");
    }
    assert_eq!(licences::evaluate("Apache-2.0 WITH LLVM-exception"), Some(true));
    for bad in
        ["GPL-2.0-only", "MIT AND OpenSSL", "Apache-2.0 WITH Commons-Clause", "OpenSSL OR SSPL-1.0 AND MIT"]
    {
        assert_eq!(licences::evaluate(bad), Some(false), "{bad}");
    }
    for malformed in ["", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0", "WITH x"] {
        assert_eq!(licences::evaluate(malformed), None, "{malformed}");
    }
    assert!(licences::wrong("x", None).is_some());
}

#[test]
fn list_of_duplicates_only_shrinks() {
    let found =
        duplicates::find(&[foreign("a", "1.0.0"), foreign("a", "2.0.0"), foreign("b", "1.0.0")].into());
    assert_eq!(found, BTreeMap::from([("a".to_owned(), vec!["1.0.0".to_owned(), "2.0.0".to_owned()])]));
    assert_eq!(duplicates::compare(&found, "# why\na 2 c needs the old one\n"), [""; 0]);
    assert_eq!(duplicates::compare(&found, "").len(), 1);
    assert_eq!(duplicates::compare(&found, "a 2\n").len(), 2, "a reason is needed");
    assert_eq!(duplicates::compare(&found, "a 3 reason\n").len(), 1);
    assert_eq!(duplicates::compare(&found, "a 2 reason\nb 2 reason\n").len(), 1);
}

#[test]
fn workspaces_that_drift_apart_are_told() {
    let main: BTreeSet<Foreign> = [foreign("a", "1.0.0"), foreign("b", "1.0.0")].into();
    let same = [foreign("a", "1.0.0"), foreign("a", "2.0.0"), foreign("c", "9.0.0")].into();
    assert_eq!(duplicates::disagreements(&main, "other", &same), [""; 0]);
    assert_eq!(duplicates::disagreements(&main, "other", &[foreign("b", "1.0.1")].into()).len(), 1);
}

#[test]
fn lengths_count_to_the_tests_only() {
    let body = "fn f() {}\n".repeat(text::FILE_LINES);
    assert_eq!(text::lengths(&file("a/src/b.rs", &format!("{body}#[cfg(test)]\nmod tests {{}}\n"))), None);
    assert!(text::lengths(&file("a/src/b.rs", &format!("{body}fn f() {{}}\n"))).is_some());
    assert!(text::lengths(&file("a/src/main.rs", &body)).is_some());
    assert_eq!(text::lengths(&file("a/b.md", &format!("{body}{body}"))), None);
}

#[test]
fn blanks_and_ends_are_seen() {
    assert_eq!(text::blanks(&file("a.rs", "fn f() {}\n")), [""; 0]);
    assert_eq!(text::blanks(&file("a.rs", "fn f() {} \n\tx")).len(), 3);
    assert_eq!(text::blanks(&file(".ci/run", "a \n")).len(), 1);
    assert_eq!(text::blanks(&file("a.snap", "a \n")), [""; 0]);
}

#[test]
fn machine_paths_are_told_from_parts_of_relative_ones() {
    let home = ["/ho", "me/"].concat();
    assert_eq!(text::machine_paths(&file("a.md", &format!("see {home}user"))).len(), 1);
    assert_eq!(text::machine_paths(&file("a.rs", &format!("\"{home}user\""))).len(), 1);
    assert_eq!(text::machine_paths(&file("a.md", &format!("web/pages{home}index.html"))), [""; 0]);
}

#[test]
fn unsafe_in_words_is_not_unsafe_in_code() {
    let innocent = "// unsafe\n/* unsafe /* unsafe */ unsafe */ let a = \"unsafe \\\" unsafe\";\n\
        let b = r#\"unsafe \" unsafe\"#; let c = '\"'; fn f<'a>() {} // unsafe\n#![deny(unsafe_code)]\n";
    assert_eq!(source::unsafe_code(&file("rift/src/a.rs", innocent)), [""; 0]);
    let guilty = "let c = '\"'; let q = '\\''; unsafe { f() } // \"";
    assert_eq!(source::unsafe_code(&file("rift/src/a.rs", guilty)).len(), 1);
    assert_eq!(source::unsafe_code(&file("platform/x11/src/a.rs", guilty)), [""; 0]);
    assert_eq!(source::unsafe_code(&file("platform/x11-more/src/a.rs", guilty)).len(), 1);
    assert_eq!(source::unsafe_code(&file("hosts/a.rs", "#![allow(unsafe_code, reason = \"x\")]")).len(), 1);
}

#[test]
fn manifests_that_decide_for_themselves_are_told() {
    let good = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n\
        [dependencies]\nrift.workspace = true\nsnow = { workspace = true, features = [\"std\"] } # why\n";
    assert_eq!(manifests::member("a", good), [""; 0]);
    let bad = good.replace("version.workspace = true\ne", "version = \"9.9.9\"\ne");
    assert_eq!(manifests::member("a", &bad).len(), 1);
    assert_eq!(manifests::member("a", &format!("{good}libc = \"0.2\"\n")).len(), 1);
    assert_eq!(manifests::member("a", &good.replace("[lints]\nworkspace = true\n", "")).len(), 1);
    let root = "[workspace.dependencies]\na = \"=1.0.0\"\nb = { version = \"1\" }\nc = { path = \"c\" }\n";
    assert_eq!(manifests::unpinned(root).len(), 1);
}

#[test]
fn must_without_a_test_or_code_is_told() {
    let spec =
        "**1.1** A peer MUST sing.\n**1.2** It MUST NOT whistle, and\nMUST bow. MAY dance.\n**1.3** No.\n";
    assert_eq!(rules::names(spec), ["1.1", "1.2/1", "1.2/2"]);
    assert_eq!(rules::cited("SPEC §1.1, §1.2/2. See §3, RFC 1 §7.2 and §7.3."), ["1.1", "1.2/2", "7.3"]);
    let code = file("rift/src/a.rs", "/// SPEC §1.1\nfn sing() {} // SPEC §1.2\n");
    let tests = "/// SPEC §1.1\n#[test]\nfn one() {}\n/// It bows: SPEC §1.2/2.\n#[test]\nfn two() {}\n";
    let tests = file("rift/tests/a.rs", tests);
    let found = rules::uncited(spec, &[code.clone(), tests.clone()]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("§1.2/1"), "{found:?}");
    let found = rules::uncited(spec, &[tests]);
    assert_eq!(found.len(), 3, "the code is missing: {found:?}");
}

#[test]
fn lines_are_changed_in_what_they_decide_and_in_nothing_else() {
    let changes = |line: &str| mutants::changes(line);
    assert_eq!(changes("    if left < right {"), ["    if left <= right {", "    if !(left < right) {"]);
    assert_eq!(changes("const MOST: usize = 64;"), ["const MOST: usize = 65;"]);
    assert_eq!(
        changes("pub(super) const SPAN_US: u64 = 600_000_000;"),
        ["pub(super) const SPAN_US: u64 = 1200000000;"]
    );
    assert_eq!(changes("is_true = true;"), ["is_true = false;"]);
    for nothing in
        ["    fn take(&mut self) -> bool {", "let name = \"a < b\";", "#[expect(x, y == z)]", "/// a < b"]
    {
        assert_eq!(changes(nothing), [""; 0], "{nothing}");
    }
}

#[test]
fn mutants_stand_where_a_proven_rule_is_cited() {
    let spec = "**4.2** A MUST here.\n\n**4.3** Another MUST.\n";
    let code = "//! A module (SPEC §4.2): a < b.\n\n/// The most (SPEC §4.2).\nconst MOST: u8 = 3;\n\n/// SPEC §4.3.\nconst NONE: u8 = 4;\n\nfn f(x: u8) {\n    // SPEC §4.2: no more.\n    if x > MOST {\n        return;\n    }\n    if x < MOST {}\n}\n";
    let test = "/// SPEC §4.2.\n#[test]\nfn more_than_the_most_is_refused() {}\n";
    let files = [file("rift/src/a.rs", code), file("rift/tests/b.rs", test)];
    let all = mutants::all(spec, &files);
    assert_eq!(all.iter().map(|mutant| mutant.line).collect::<Vec<_>>(), [4, 11, 11], "{all:?}");
    assert!(all.iter().all(|mutant| mutant.rule == "4.2" && mutant.path == "rift/src/a.rs"));
    assert_eq!(mutants::sample(&all, 9, 1).len(), 3);
    assert_eq!(mutants::sample(&all, 2, 1), mutants::sample(&all, 2, 1));
}
