//! Sends files to a host, and shows nothing.
//!
//! A host takes them from clients with the right *file send*, into the directory that it was told. What was broken off, by a
//! lost connection or by hand, goes on where it ended.

use core::time::Duration;
use std::io::Write;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use rift::{FileReason, Permissions};
use rift_files::{FileSender, Outcome, OutgoingFile, Progress, Reading};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::args::SendFiles;
use crate::errand::Errand;
use crate::error::ClientError;
use crate::link::{Link, Status};
use crate::{Place, signals};

/// How often it is looked how far the files are.
const LOOK: Duration = Duration::from_millis(50);
/// How often that is said.
const SAY_US: u64 = 250_000;

/// Files on their way, between the network's thread and who waits for them.
pub type SharedSender = Arc<Mutex<FileSender>>;

/// Sends the files of `options`, and says on `out` how far they are: at a terminal all the time, else what came of each.
///
/// # Errors
/// [`ClientError`], with words that say what to do; so when one of the files was not sent.
pub fn send(options: &SendFiles, out: &mut impl Write, is_terminal: bool) -> Result<(), ClientError> {
    let signals = signals().map_err(|error| ClientError::System("catch signals", error))?;
    let mut teller = Teller { out, is_terminal, told: Vec::new() };
    let Some(files) = read_all(options, &mut teller, &signals)? else { return Err(interrupted(options)) };
    let place = Place::of(Some(&options.host), options.host_id, options.enrol, &options.common)?;
    let host = place.host.clone();
    let target = place.target(&options.common, options.handshake, Permissions::FILE_SEND)?;
    let own = target.identity.public();
    let files: SharedSender = Arc::new(Mutex::new(FileSender::new(files)));
    let errand = Errand::begin(target, Some(Arc::clone(&files)))?;
    let mut said_at = errand.clock.now();
    while !lock(&files).is_over() && errand.link.latest().status != Status::Over {
        if wait(&errand.link, &signals) {
            break;
        }
        let is_due = errand.clock.now().micros_since(said_at) >= SAY_US;
        if is_due {
            said_at = errand.clock.now();
        }
        teller.tell(&lock(&files), is_due);
    }
    let outcome = errand.end();
    let files = lock(&files);
    teller.tell(&files, false);
    // What happened first is what is told.
    outcome?;
    let unsent = files.files().find(|(_, _, outcome)| *outcome != Some(Outcome::Sent));
    let Some((offer, _, outcome)) = unsent else { return Ok(()) };
    let what = outcome.map_or_else(|| UNFINISHED.to_owned(), |outcome| describe(outcome, &own.to_string()));
    Err(ClientError::NotSent { host, name: offer.name().to_owned(), what })
}

const UNFINISHED: &str = "it is not there yet. Send it again to go on where it ended";

fn interrupted(options: &SendFiles) -> ClientError {
    let name = options.files.first().map(|path| path.display().to_string()).unwrap_or_default();
    ClientError::NotSent { host: options.host.clone(), name, what: UNFINISHED.to_owned() }
}

fn lock(files: &SharedSender) -> std::sync::MutexGuard<'_, FileSender> {
    // Whoever panicked has ended the session; what it left says so.
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits a moment. Returns whether the program is to end.
fn wait(link: &Link, signals: &std::os::unix::net::UnixStream) -> bool {
    let look = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    let mut fds = [link.view_fd(), signals.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    // What it does not say is looked at anyway.
    let _ = poll(&mut fds, Some(&look));
    let ends = !fds[1].revents().is_empty();
    link.clear_view();
    ends
}

/// Hashes all files before the host is called; `None` when the program is to end before.
fn read_all(
    options: &SendFiles,
    teller: &mut Teller<'_, impl Write>,
    signals: &std::os::unix::net::UnixStream,
) -> Result<Option<Vec<OutgoingFile>>, ClientError> {
    let mut files = Vec::with_capacity(options.files.len());
    for path in &options.files {
        let mut reading = Reading::open(path)?;
        loop {
            let (at, size) = reading.progress();
            teller.line(&format!("reading {path:?}: {} of {}", bytes(at), bytes(size)));
            match reading.step()? {
                Ok(file) => break files.push(file),
                Err(rest) => reading = rest,
            }
            let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
            if poll(&mut fds, Some(&Timespec::default())).is_ok_and(|count| count > 0) {
                return Ok(None);
            }
        }
    }
    Ok(Some(files))
}

/// Says how far files are.
struct Teller<'a, W> {
    out: &'a mut W,
    is_terminal: bool,
    /// Of which files the end was told.
    told: Vec<bool>,
}

impl<W: Write> Teller<'_, W> {
    fn tell(&mut self, files: &FileSender, is_due: bool) {
        self.told.resize(files.files().count(), false);
        for (at, (offer, progress, outcome)) in files.files().enumerate() {
            let Some(outcome) = outcome else {
                if is_due {
                    self.line(&line(offer.name(), progress));
                }
                return;
            };
            if !core::mem::replace(&mut self.told[at], true) {
                self.finish(&conclusion(offer.name(), progress, outcome));
            }
        }
    }

    /// A line that the next takes the place of; nobody but a person needs it.
    fn line(&mut self, text: &str) {
        if self.is_terminal {
            // Nothing is left to be done if even this cannot be written.
            let _ = write!(self.out, "\r\x1b[K{text}");
            let _ = self.out.flush();
        }
    }

    fn finish(&mut self, text: &str) {
        let begin = if self.is_terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(self.out, "{begin}{text}");
    }
}

fn line(name: &str, Progress { at, size, .. }: Progress) -> String {
    format!("{name:?}: {} of {}, {} %", bytes(at), bytes(size), at * 100 / size.max(1))
}

fn conclusion(name: &str, Progress { resumed, size, .. }: Progress, outcome: Outcome) -> String {
    match outcome {
        Outcome::Sent if resumed > 0 => {
            format!("{name:?}: sent, {}, of which {} were there", bytes(size), bytes(resumed))
        }
        Outcome::Sent => format!("{name:?}: sent, {}", bytes(size)),
        Outcome::Refused(_) | Outcome::Changed | _ => format!("{name:?}: not sent"),
    }
}

/// Why a file was not sent, and what to do; `own` is this client's Wavry ID.
fn describe(outcome: Outcome, own: &str) -> String {
    match outcome {
        Outcome::Sent => "it is there".to_owned(),
        Outcome::Changed => "it changed while it was sent. Send it again when nobody writes it".to_owned(),
        Outcome::Refused(FileReason::NotPermitted) => format!(
            "the host does not let this client send files. If it is yours, run there:\n  \
             wavry-server allow {own} --permit file-send"
        ),
        Outcome::Refused(reason) => describe_reason(reason).to_owned(),
        _ => "the host does not take it".to_owned(),
    }
}

const fn describe_reason(reason: FileReason) -> &'static str {
    match reason {
        FileReason::Unwanted => {
            "the host takes no files. If it is yours, name a directory for them there: wavry-server --files DIR"
        }
        FileReason::TooLarge => {
            "it is larger than the host takes (wavry-server --files-size-max), or than its disk has room for"
        }
        FileReason::NotPermitted => "the host does not let this client send files",
        FileReason::Failed => "the host could not write it, or it was not read. The host's log may say more",
        FileReason::Damaged => "what arrived is not what was offered. Send it again",
        FileReason::Busy => "the host is receiving other files. Send it again in a while",
    }
}

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{} kB", count / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{} GB", count / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_what_to_do() {
        let reasons = [
            (FileReason::Unwanted, "--files DIR"),
            (FileReason::TooLarge, "--files-size-max"),
            (FileReason::NotPermitted, "allow OWN-ID --permit file-send"),
            (FileReason::Failed, "log"),
            (FileReason::Damaged, "again"),
            (FileReason::Busy, "in a while"),
        ];
        for (reason, hint) in reasons {
            let text = describe(Outcome::Refused(reason), "OWN-ID");
            assert!(text.contains(hint), "{reason:?}: {text}");
        }
    }

    #[test]
    fn progress_is_told_in_units_for_people_and_without_division_by_nothing() {
        let progress = Progress { at: 0, resumed: 0, size: 0 };
        assert_eq!(line("a\u{1b}b", progress), "\"a\\u{1b}b\": 0 bytes of 0 bytes, 0 %");
        let progress = Progress { at: 12_345_678, resumed: 5_000, size: 24_691_356 };
        assert_eq!(line("film.mkv", progress), "\"film.mkv\": 12 MB of 24 MB, 50 %");
        let text = conclusion("film.mkv", progress, Outcome::Sent);
        assert_eq!(text, "\"film.mkv\": sent, 24 MB, of which 5000 bytes were there");
    }
}
