//! The top level is fixed, and the README is its map.

use std::collections::BTreeSet;

/// Every visible name that may stand at the top.
pub const TOP_LEVEL: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clients",
    "fuzz",
    "hil-tests",
    "hosts",
    "platform",
    "rift",
    "services",
];

/// Tool configuration, which hides.
pub const DOTFILES: [&str; 6] =
    [".cargo", ".ci", ".clippy.toml", ".editorconfig", ".gitignore", ".rustfmt.toml"];

/// Directories of the crates that are released: each has a CHANGELOG.md.
pub const RELEASED: [&str; 4] = ["clients/cli", "clients/viewer", "hosts/linux", "rift"];

/// Names at the top level that nobody agreed on, given the paths of all files.
#[must_use]
pub fn strangers<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = paths.filter_map(|path| path.split('/').next()).collect();
    names
        .into_iter()
        .filter(|name| !TOP_LEVEL.contains(name) && !DOTFILES.contains(name))
        .map(|name| {
            format!("`{name}` stands at the top level; it belongs into one of {}", TOP_LEVEL.join(", "))
        })
        .collect()
}

/// Directories of the layout and workspace members that the README does not name (`dir/` or `dir` in backticks).
#[must_use]
pub fn unmapped(readme: &str, directories: &BTreeSet<String>, members: &[String]) -> Vec<String> {
    let top = directories.iter().filter(|directory| TOP_LEVEL.contains(&directory.as_str()));
    let wanted: BTreeSet<&str> = top.chain(members).map(String::as_str).collect();
    wanted
        .into_iter()
        .filter(|name| !readme.contains(&format!("`{name}/`")) && !readme.contains(&format!("`{name}`")))
        .map(|name| format!("README.md does not map `{name}/`: give it a line"))
        .collect()
}

/// Crates that are released without telling what changed.
#[must_use]
pub fn without_changelog(paths: &BTreeSet<&str>) -> Vec<String> {
    RELEASED
        .iter()
        .filter(|crate_path| paths.contains(format!("{crate_path}/Cargo.toml").as_str()))
        .map(|crate_path| format!("{crate_path}/CHANGELOG.md"))
        .filter(|changelog| !paths.contains(changelog.as_str()))
        .map(|changelog| format!("{changelog} is missing: users read there what they could notice"))
        .collect()
}
