//! The files of the tree, as the repository tracks them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One tracked file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the root, with `/` between the parts.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl File {
    /// Its text; `None` for what is not UTF-8, such as pictures and fuzzing inputs.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        core::str::from_utf8(&self.bytes).ok()
    }

    /// Whether it is Rust.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// All tracked files that exist; in an unpacked archive, which tracks nothing, all files beside build output.
///
/// # Panics
/// A listed file cannot be read.
#[must_use]
pub fn files() -> Vec<File> {
    let root = root();
    let paths = tracked(&root).unwrap_or_else(|| walked(&root));
    paths
        .into_iter()
        .filter(|path| root.join(path).is_file())
        .map(|path| {
            let bytes = std::fs::read(root.join(&path)).expect("a listed file can be read");
            File { path, bytes }
        })
        .collect()
}

/// Directories that hold at least one of these files, each with all its parents, without trailing `/`.
#[must_use]
pub fn directories(files: &[File]) -> BTreeSet<String> {
    let parents = files.iter().flat_map(|file| Path::new(&file.path).ancestors().skip(1));
    parents.filter_map(Path::to_str).filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output().ok()?;
    let listing = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let paths: Vec<String> = listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    (!paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of the tree can be read").flatten() {
            let path = entry.path();
            if path.is_symlink() || entry.file_name() == "target" || entry.file_name() == ".git" {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Some(relative) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                paths.push(relative.to_owned());
            }
        }
    }
    paths.sort();
    paths
}
