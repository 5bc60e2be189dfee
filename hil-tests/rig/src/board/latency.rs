//! How long a character takes from the host's screen to the board's.

use super::session::Parts;
use super::trial::{Stage, probe_command};
use crate::process::pause;
use crate::{Failure, demo, say};

/// What a person does not notice, in milliseconds: half and all but one of twenty characters are there by then.
const P50_MS: f64 = 40.0;
const P95_MS: f64 = 80.0;
/// Where the characters are written: below the terminal.
const PLACE: (u32, u32) = (40, 560);
const STRIDE: u32 = super::trial::WIDTH * 2;
/// Where the board's RAM begins.
const RAM: u64 = 0x6000_0000;

/// Times so many characters.
///
/// # Errors
/// Exit code 1 when they take too long, or never come.
pub(super) fn run(parts: &Parts<'_>, samples: u32) -> Result<(), Failure> {
    let mut stage = Stage::set(parts, false)?;
    stage.sees_the_screen("first picture")?;
    // The host finds out what the link carries before the first character.
    pause(core::time::Duration::from_secs(3));
    let line = measure(&mut stage, samples)?;
    let number = |name| demo::number_in(&line, name).unwrap_or(f64::INFINITY);
    let (p50, p95, missed) = (number("p50_ms"), number("p95_ms"), number("missed"));
    let log = stage.board.log();
    let mut shares: Vec<f64> = log.lines().filter_map(average_ms).filter(|&share| share > 0.0).collect();
    shares.sort_by(f64::total_cmp);
    let share = shares.get(shares.len() / 2).copied().unwrap_or(f64::NAN);
    say::result(format_args!(
        "from damage to pixels, {samples} characters: p50 {p50} ms, p95 {p95} ms, {missed} never came; the emulated board's \
         own part, from a picture's first datagram to drawn, is {share:.1} ms"
    ));
    if p50 > P50_MS || p95 > P95_MS || missed > 0.0 {
        return Err(Failure::failed(format!(
            "that is too long: {P50_MS} and {P95_MS} ms are allowed, and every character must come"
        )));
    }
    stage.figures()
}

fn measure(stage: &mut Stage<'_, '_>, samples: u32) -> Result<String, Failure> {
    let address = stage.board.expect("screen at ", 0)?;
    let offset = u64::from_str_radix(address.trim_start_matches("0x"), 16)
        .ok()
        .and_then(|address| address.checked_sub(RAM))
        .ok_or_else(|| Failure::failed(format!("`{address}` is no address of the board's RAM")))?;
    let mut command = probe_command(&["typing"], &stage.screen);
    command.arg("--memory").arg(stage.board.ram());
    for (name, value) in [
        ("--offset", offset),
        ("--stride", STRIDE.into()),
        ("--x", PLACE.0.into()),
        ("--y", PLACE.1.into()),
        ("--samples", samples.into()),
    ] {
        command.args([name, &value.to_string()]);
    }
    super::trial::answer(&mut command)
}

/// Of a line of figures: how long drawing takes on average.
fn average_ms(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("drawn in ")?;
    let micros: f64 = rest.split(' ').next()?.parse().ok()?;
    Some(micros / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_is_read_from_the_boards_words() {
        let line = "1.5 INFO figures: 30 pictures, 2 tiles right, 0 wrong; drawn in 4200 us on average, 9000 at most";
        assert_eq!(average_ms(line), Some(4.2));
        assert_eq!(average_ms("figures: none"), None);
    }
}
