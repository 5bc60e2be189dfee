//! What cargo knows: crates, their dependencies, versions and licences, of the main workspace and of the excluded ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use crate::tree;

/// The platform whose dependencies are looked at: what is built and shipped.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// One workspace, resolved.
#[derive(Debug)]
pub struct Workspace {
    /// Its directory relative to the root; empty for the main one.
    pub name: String,
    metadata: Metadata,
}

/// A crate somebody else made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The licence expression of its manifest.
    pub licence: Option<String>,
}

/// How one crate of ours uses another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// What is shipped contains it.
    Normal,
    /// The build script runs it.
    Build,
    /// Only tests, examples and benches know it.
    Test,
}

/// An arrow between two crates of ours, by their directories relative to the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// Who depends.
    pub from: String,
    /// On whom.
    pub on: String,
    /// For what.
    pub kind: Use,
}

/// The main workspace and those of the excluded ones that exist.
///
/// # Errors
/// For each that cannot be read: a sentence, which names the workspace (what it needs was never downloaded, say).
pub fn all() -> Result<Vec<Workspace>, Vec<String>> {
    let main = read("").map_err(|error| vec![error])?;
    let listed = main.metadata.workspace_metadata.get("excluded").and_then(|list| list.as_array().cloned());
    let excluded: Vec<String> =
        listed.unwrap_or_default().iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let mut workspaces = vec![main];
    let mut unread = Vec::new();
    for name in excluded.iter().filter(|name| tree::root().join(name).join("Cargo.toml").is_file()) {
        match read(name) {
            Ok(workspace) => workspaces.push(workspace),
            // Only the strict run downloads them first; elsewhere a fresh clone may lack them.
            Err(error) if std::env::var_os("WAVRY_TIDY").is_none() => eprintln!("skipped: {error}"),
            Err(error) => unread.push(error),
        }
    }
    if unread.is_empty() { Ok(workspaces) } else { Err(unread) }
}

fn read(name: &str) -> Result<Workspace, String> {
    let metadata = MetadataCommand::new()
        .manifest_path(tree::root().join(name).join("Cargo.toml"))
        .other_options(["--offline", "--locked", "--filter-platform", PLATFORM].map(str::to_owned).to_vec())
        .exec()
        .map_err(|error| format!("cargo metadata of `{name}/Cargo.toml`, offline and locked: {error}"))?;
    Ok(Workspace { name: name.to_owned(), metadata })
}

impl Workspace {
    /// Directories of its own crates, relative to the root.
    #[must_use]
    pub fn members(&self) -> Vec<String> {
        self.metadata.workspace_packages().iter().filter_map(|package| self.directory(&package.id)).collect()
    }

    /// Everything it builds that comes from elsewhere.
    #[must_use]
    pub fn foreign(&self) -> BTreeSet<Foreign> {
        self.nodes().into_iter().filter_map(|id| self.foreign_crate(id)).collect()
    }

    /// What ends up in `member`'s binary from elsewhere: its normal dependencies and theirs.
    #[must_use]
    pub fn normal_tree(&self, member: &str) -> BTreeSet<Foreign> {
        self.reached(member).into_iter().filter_map(|id| self.foreign_crate(id)).collect()
    }

    /// Crates of ours that end up in `member`'s binary, itself excluded, by directory.
    #[must_use]
    pub fn own_tree(&self, member: &str) -> BTreeSet<String> {
        let reached = self.reached(member).into_iter().filter_map(|id| self.directory(id));
        reached.filter(|directory| directory != member).collect()
    }

    /// All arrows from its members to crates of ours.
    #[must_use]
    pub fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for node in self.metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            let Some(from) = self.directory(&node.id) else {
                continue;
            };
            for dependency in &node.deps {
                let Some(on) = self.directory(&dependency.pkg) else {
                    continue;
                };
                for info in &dependency.dep_kinds {
                    let kind = if info.kind == DependencyKind::Development {
                        Use::Test
                    } else if info.kind == DependencyKind::Build {
                        Use::Build
                    } else {
                        Use::Normal
                    };
                    arrows.insert(Arrow { from: from.clone(), on: on.clone(), kind });
                }
            }
        }
        arrows
    }

    /// Names of foreign crates that `member` itself asks for, whatever for.
    #[must_use]
    pub fn asked_for(&self, member: &str) -> BTreeSet<String> {
        let packages = self.metadata.workspace_packages();
        let package = packages.iter().find(|package| self.directory(&package.id).as_deref() == Some(member));
        package
            .iter()
            .flat_map(|package| &package.dependencies)
            .filter(|dependency| dependency.path.is_none())
            .map(|dependency| dependency.name.clone())
            .collect()
    }

    fn nodes(&self) -> Vec<&PackageId> {
        self.metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| &node.id).collect()
    }

    fn reached(&self, member: &str) -> Vec<&PackageId> {
        let nodes = self.metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
        let nodes: BTreeMap<&PackageId, _> = nodes.map(|node| (&node.id, node)).collect();
        let start = nodes.keys().copied().find(|id| self.directory(id).as_deref() == Some(member));
        let mut open: Vec<&PackageId> = start.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let dependencies = nodes.get(id).into_iter().flat_map(|node| &node.deps);
            let normal = dependencies.filter(|dependency| {
                dependency.dep_kinds.iter().any(|info| info.kind == DependencyKind::Normal)
            });
            open.extend(normal.map(|dependency| &dependency.pkg));
        }
        seen.into_iter().collect()
    }

    fn foreign_crate(&self, id: &PackageId) -> Option<Foreign> {
        let package = &self.metadata[id];
        package.source.as_ref()?;
        Some(Foreign {
            name: package.name.to_string(),
            version: package.version.to_string(),
            licence: package.license.clone(),
        })
    }

    /// Where a crate of ours lives, relative to the root; `None` for a foreign one.
    fn directory(&self, id: &PackageId) -> Option<String> {
        let package = &self.metadata[id];
        if package.source.is_some() {
            return None;
        }
        let directory = package.manifest_path.parent().map(|path| path.as_std_path())?;
        directory.strip_prefix(tree::root()).ok().and_then(Path::to_str).map(str::to_owned)
    }
}
