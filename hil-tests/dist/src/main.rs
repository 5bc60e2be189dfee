//! `wavry-dist PROGRAMS OUT`: manual pages, completions and Debian packages of the programs in the directory PROGRAMS, into OUT.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use wavry_dist::{DistError, manuals, package};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [programs, out] = &words[..] else {
        eprintln!("wavry-dist: say where the programs are and where to put the packages");
        return ExitCode::from(2);
    };
    match make(Path::new(programs), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wavry-dist: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(programs: &Path, out: &Path) -> Result<(), DistError> {
    let manual = out.join("manual");
    manuals::write(&manual)?;
    for package in &package::PACKAGES {
        let made = package.build(programs, &manual, out)?;
        // A reader that went away has read enough.
        let _ = writeln!(std::io::stdout(), "{}", made.display());
    }
    Ok(())
}
