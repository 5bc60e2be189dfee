//! `wavry-probe`: see the library. Each command prints one line of JSON on standard output.

#![expect(clippy::print_stdout, reason = "the line on standard output is what it is for")]

use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;
use wavry_probe::Problem;
use wavry_probe::compare::{Different, Picture, different_in_rgb565, keys_down, pointer, psnr};
use wavry_probe::flash::{self, Options};
use wavry_probe::quantiles::quantile;

const HELP: &str = "\
wavry-probe flash --host DISPLAY --viewer DISPLAY [--x X] [--y Y] [--seconds N] [--seed N]
    flips a patch on the host's screen and times its appearance on the viewer's
wavry-probe compare --host DISPLAY --png FILE
    how alike the host's screen and a picture are, in dB
wavry-probe rgb565 --host DISPLAY --png FILE
    how many pixels of a picture differ from the upper left corner of the host's screen in 5, 6, 5 bits; those near the
    pointer, where a viewer draws the cursor, apart
wavry-probe keys --host DISPLAY
    the evdev codes of the keys that are down there";

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
    let mut options = (40i16, 40i16, 10u64, 1u64);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(HELP.to_owned()),
            Long("host") => host = Some(arguments.value()?.string()?),
            Long("viewer") => viewer = Some(arguments.value()?.string()?),
            Long("png") => png = Some(PathBuf::from(arguments.value()?)),
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
            report(&flash::measure(&Options { host, viewer, place: (x, y), length, seed })?)
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

fn report(outcome: &flash::Outcome) -> Result<String, Problem> {
    let at = |permille| quantile(&outcome.latencies_us, permille).map(|micros| micros as f64 / 1000.0);
    let (Some(p50), Some(p95), Some(p99)) = (at(500), at(950), at(990)) else {
        return Err("no flip was ever seen".into());
    };
    Ok(format!(
        "{{\"n\":{},\"missed\":{},\"p50_ms\":{p50:.2},\"p95_ms\":{p95:.2},\"p99_ms\":{p99:.2}}}",
        outcome.latencies_us.len(),
        outcome.missed
    ))
}
