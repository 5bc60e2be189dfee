//! Rules about Cargo.toml: every crate inherits what the workspace decides, and every version is pinned once.

/// Keys of `[package]` that come from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// What a member's manifest decides for itself though it should inherit it. `path` is for the messages.
#[must_use]
pub fn member(path: &str, manifest: &str) -> Vec<String> {
    let mut found: Vec<String> = INHERITED
        .iter()
        .filter(|key| !has_line(manifest, "package", &format!("{key}.workspace = true")))
        .map(|key| format!("{path}: [package] lacks `{key}.workspace = true`"))
        .collect();
    if !has_line(manifest, "lints", "workspace = true") {
        found.push(format!("{path}: [lints] lacks `workspace = true`"));
    }
    for (section, line) in entries(manifest) {
        if section.ends_with("dependencies") && !inherits(line) {
            found.push(format!("{path}: `{line}`: pin it in [workspace.dependencies] and inherit it"));
        }
    }
    found
}

/// Entries of `[workspace.dependencies]` in the root's manifest that float: neither `=x.y.z` nor a path.
#[must_use]
pub fn unpinned(manifest: &str) -> Vec<String> {
    let entries = entries(manifest).filter(|(section, _)| *section == "workspace.dependencies");
    entries
        .filter(|(_, line)| !line.contains("path = ") && !line.contains("\"="))
        .map(|(_, line)| format!("Cargo.toml: `{line}` is not pinned: write `=x.y.z`"))
        .collect()
}

/// The name of a manifest's package.
#[must_use]
pub fn name(manifest: &str) -> Option<String> {
    let mut names = entries(manifest).filter(|(section, _)| *section == "package");
    names.find_map(|(_, line)| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned()))
}

fn inherits(line: &str) -> bool {
    let line: String = line.split_whitespace().collect();
    line.contains(".workspace=true") || line.contains("{workspace=true")
}

fn has_line(manifest: &str, section: &str, wanted: &str) -> bool {
    entries(manifest).any(|(at, line)| at == section && line == wanted)
}

/// `key = value` lines, each with the section it is in; continued lines of arrays are left out.
fn entries(manifest: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut section = "";
    manifest.lines().filter_map(move |line| {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if let Some(name) =
            line.strip_prefix('[').and_then(|rest| rest.split(']').next()).filter(|_| line.ends_with(']'))
        {
            section = name;
            return None;
        }
        (line.contains('=') && !line.starts_with(['#', '"'])).then_some((section, line))
    })
}
