//! `wavry-probe`: see the library. Each command prints one line of JSON on standard output.

#![expect(clippy::print_stdout, reason = "the line on standard output is what it is for")]

use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;
use wavry_probe::compare::{Different, Picture, different_in_rgb565, keys_down, pointer, psnr};
use wavry_probe::flash::{self, Options};
use wavry_probe::typing;
use wavry_probe::{HELP, Problem};

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("wavry-probe: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Problem> {
    let mut arguments = lexopt::Parser::from_env();
    let mut command = None;
    let (mut host, mut viewer, mut png) = (None, None, None);
    let (mut memory, mut offset, mut stride, mut samples) = (None, 0, 0, 200);
    let mut options = (40i16, 40i16, 10u64, 1u64);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(HELP.to_owned()),
            Long("host") => host = Some(arguments.value()?.string()?),
            Long("viewer") => viewer = Some(arguments.value()?.string()?),
            Long("png") => png = Some(PathBuf::from(arguments.value()?)),
            Long("memory") => memory = Some(PathBuf::from(arguments.value()?)),
            Long("offset") => offset = arguments.value()?.parse()?,
            Long("stride") => stride = arguments.value()?.parse()?,
            Long("samples") => samples = arguments.value()?.parse()?,
            Long("x") => options.0 = arguments.value()?.parse()?,
            Long("y") => options.1 = arguments.value()?.parse()?,
            Long("seconds") => options.2 = arguments.value()?.parse()?,
            Long("seed") => options.3 = arguments.value()?.parse()?,
            Value(value) if command.is_none() => command = Some(value.string()?),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    let host = host.ok_or("--host DISPLAY is needed")?;
    match command.as_deref() {
        Some("flash") => {
            let viewer = viewer.ok_or("--viewer DISPLAY is needed")?;
            let (x, y, seconds, seed) = options;
            let length = Duration::from_secs(seconds);
            flash::measure(&Options { host, viewer, place: (x, y), length, seed })?.report()
        }
        Some("typing") => {
            let memory = memory.ok_or("--memory FILE is needed")?;
            let (x, y, _, seed) = options;
            let pixels = (offset, stride);
            typing::measure(&typing::Options { host, memory, pixels, place: (x, y), samples, seed })?.report()
        }
        Some("compare") => {
            let picture = Picture::read_png(&png.ok_or("--png FILE is needed")?)?;
            let screen = Picture::of_screen(&host)?;
            let Some(db) = psnr(&screen, &picture) else {
                return Err(format!(
                    "the screen is {}x{} and the picture {}x{}",
                    screen.width, screen.height, picture.width, picture.height
                )
                .into());
            };
            Ok(format!("{{\"psnr_db\":{:.2}}}", db.min(99.0)))
        }
        Some("rgb565") => {
            let picture = Picture::read_png(&png.ok_or("--png FILE is needed")?)?;
            let different = different_in_rgb565(&Picture::of_screen(&host)?, &picture, pointer(&host)?);
            let Different { near_pointer, elsewhere } =
                different.ok_or("the picture is larger than the screen")?;
            Ok(format!("{{\"different\":{elsewhere},\"near_pointer\":{near_pointer}}}"))
        }
        Some("keys") => Ok(format!("{:?}", keys_down(&host)?)),
        _ => Err(format!("which command?\n{HELP}").into()),
    }
}
