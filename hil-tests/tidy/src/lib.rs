//! House rules as tests: layout, arrows, lengths, licences, duplicates, unsafe code, words.
//!
//! Each module is one family of rules: a table of what is allowed, with reasons, and pure functions that return a
//! sentence for each violation. They read files and `cargo metadata --offline`; they know nothing of what the crates do.

pub mod arrows;
pub mod duplicates;
pub mod layout;
pub mod licences;
pub mod manifests;
pub mod mutants;
pub mod rules;
pub mod source;
pub mod text;
pub mod threats;
pub mod tree;
pub mod workspaces;
