//! Writes the inputs made of honest traffic into a corpus: `wavry-fuzz-seeds DIRECTORY`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("which directory? Try `wavry-fuzz-seeds fuzz/corpus`");
        return ExitCode::from(2);
    };
    match write(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write the seeds into {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &std::path::Path) -> io::Result<()> {
    for (surface, name, bytes) in wavry_fuzz::seeds::all() {
        let directory = directory.join(surface);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("seed-{name}.bin")), bytes)?;
    }
    Ok(())
}
