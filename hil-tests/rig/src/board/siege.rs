//! One long session while somebody on the way sends whatever he likes in the host's name.

use core::time::Duration;

use super::session::Parts;
use super::trial::Stage;
use crate::process::{pause, wait_until};
use crate::{Failure, say};

/// How often the picture changes meanwhile.
const CHANGE_EVERY: Duration = Duration::from_secs(20);
/// Hostile datagrams come in this part of the time, so that the last minutes show what they left behind.
const BESIEGED: f64 = 0.85;
/// What the last hostile datagrams may take beyond their time on a busy machine.
const LATE: Duration = Duration::from_secs(120);

/// Holds one session for so many minutes under so many hostile datagrams: it stays the same session, and every tile that is
/// checked is right.
///
/// # Errors
/// Exit code 1 with what changed.
pub(super) fn run(parts: &Parts<'_>, minutes: u32, datagrams: u32) -> Result<(), Failure> {
    let mut stage = Stage::set(parts, false)?;
    stage.board.expect("stage Watching", 0)?;
    let from = stage.board.log().len();
    let seconds = f64::from(minutes) * 60.0;
    let per_second = (f64::from(datagrams) / (seconds * BESIEGED)).ceil();
    say::progress(format_args!("board: {minutes} minutes, {per_second} hostile datagrams a second"));
    stage.link.besiege(datagrams.into(), per_second as u64);
    let rounds = (seconds / CHANGE_EVERY.as_secs_f64()).ceil() as u32;
    for round in 0..rounds {
        stage.changes(COLOURS[round as usize % COLOURS.len()])?;
        pause(CHANGE_EVERY);
        unchanged(&stage, from)?;
    }
    if wait_until(LATE, || (stage.link.hostile_left() == 0).then_some(())).is_none() {
        return Err(Failure::failed(format!("{} hostile datagrams never left", stage.link.hostile_left())));
    }
    stage.checks_tiles("after all that", "white on navy")?;
    unchanged(&stage, from)?;
    say::result(format_args!(
        "{datagrams} hostile datagrams in {minutes} minutes: the session is the one it was"
    ));
    stage.figures()
}

const COLOURS: [&str; 4] = ["yellow on maroon", "black on white", "cyan on black", "green on black"];

/// No session ended or began since the first `from` bytes of the log, and no tile was wrong.
fn unchanged(stage: &Stage<'_, '_>, from: usize) -> Result<(), Failure> {
    let log = stage.board.log();
    let new = log.get(from..).unwrap_or_default();
    let (_, wrong) = stage.tiles();
    match new.lines().find(|line| line.contains("stage ") || line.contains("panic") || line.contains("fault"))
    {
        None if wrong == 0 => Ok(()),
        None => Err(Failure::failed(format!("{wrong} tiles were wrong\n{}", stage.board.last_words()))),
        Some(line) => Err(Failure::failed(format!(
            "the session is not the one it was: {}\n{}",
            line.trim(),
            stage.board.last_words()
        ))),
    }
}
