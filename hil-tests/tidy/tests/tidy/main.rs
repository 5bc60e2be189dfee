//! The rules, applied to this tree; and each rule, shown to catch what it is for.

mod dependencies;
mod files;
mod rules;

/// Fails with one line per violation.
#[track_caller]
fn none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}
