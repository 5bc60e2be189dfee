//! The viewing thread: decodes, presents, hears input.
//!
//! It waits for pictures and for the window at once, so a key never waits for a picture; while there is work, the
//! window is asked for events between decoding and presenting. Every picture is decoded, in order; when a newer one
//! has come meanwhile, the newer one is presented.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use rift::{Instant, StreamParameters};
use rift_hal::{Display, Pollable};
use rift_mio::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, info};

use crate::args::DisplayKind;
use crate::cursor::{HostCursor, Shape};
use crate::decode::PictureDecoder;
use crate::display::Screen;
use crate::error::ClientError;
use crate::input::{Heard, Input};
use crate::link::{Job, Latest, Link, Orders, Status};
use crate::overlay::{Lines, Shown};
use crate::png::KeptFrame;
use crate::report::{Counts, Summary};
use crate::stages::{Breakdown, Stages, Stamps};

/// The window opens when the pictures' size is known, but no later than this.
const WINDOW_US: u64 = 1_000_000;
/// The window's size before there is a picture.
const WINDOW_SIZE: (u16, u16) = (1280, 720);
/// A window that does not say everything by its descriptor is asked this often.
const ASK_US: u64 = 50_000;
/// However fast pictures come, one in so many is presented.
const SKIPPED_MAX: u32 = 3;

/// What the person asked for.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The host as it was typed.
    pub host: String,
    /// How to show it; `None` = no window.
    pub display: Option<DisplayKind>,
    /// The X display, if it was named.
    pub x_display: Option<String>,
    /// Characters go as text.
    pub text_input: bool,
    /// No input is sent.
    pub view_only: bool,
    /// Fill the screen.
    pub fullscreen: bool,
    /// Show the latencies from the start.
    pub overlay: bool,
    /// End after so many seconds of session.
    pub seconds: Option<u32>,
    /// End after so many pictures.
    pub frames: Option<u64>,
    /// Keep the last picture for this file.
    pub png: Option<PathBuf>,
    /// Write what was measured to this file.
    pub json: Option<PathBuf>,
}

/// The viewing thread's ends of all channels.
#[derive(Debug)]
pub struct Ends {
    /// What it shares with the network's thread.
    pub link: Arc<Link>,
    /// What it tells the network.
    pub orders: Orders,
    /// Pictures to decode.
    pub jobs: Receiver<Job>,
    /// Where their buffers go.
    pub spares: SyncSender<Vec<u8>>,
    /// Cursor shapes and the sessions they are of.
    pub shapes: Receiver<(u32, Shape)>,
    /// Readable when a signal asks the program to end.
    pub signals: UnixStream,
}

/// See the module.
pub struct View {
    wishes: Wishes,
    clock: Clock,
    link: Arc<Link>,
    jobs: Receiver<Job>,
    next: Option<Job>,
    spares: SyncSender<Vec<u8>>,
    signals: UnixStream,
    decoder: PictureDecoder,
    screen: Option<Screen>,
    input: Input,
    cursor: HostCursor,
    lines: Lines,
    stages: Stages,
    counts: Counts,
    kept: KeptFrame,
    parameters: Option<StreamParameters>,
    skipped: u32,
    started: Instant,
    ends: bool,
}

impl View {
    /// Everything but the window.
    ///
    /// # Errors
    /// There is no decoder.
    pub fn new(wishes: Wishes, clock: Clock, ends: Ends) -> Result<Self, ClientError> {
        Ok(Self {
            decoder: PictureDecoder::new()?,
            clock,
            link: ends.link,
            jobs: ends.jobs,
            next: None,
            spares: ends.spares,
            signals: ends.signals,
            screen: None,
            input: Input::new(ends.orders, wishes.text_input, wishes.view_only),
            cursor: HostCursor::new(ends.shapes),
            lines: Lines::new(wishes.overlay),
            stages: Stages::new(),
            counts: Counts::default(),
            kept: KeptFrame::default(),
            parameters: None,
            skipped: 0,
            started: clock.now(),
            ends: false,
            wishes,
        })
    }

    /// Runs until the person, a limit, a signal or the network ends it. The network is told to end.
    ///
    /// # Errors
    /// The window failed.
    pub fn run(&mut self) -> Result<(), ClientError> {
        let outcome = self.work();
        self.input.quit();
        outcome
    }

    fn work(&mut self) -> Result<(), ClientError> {
        while !self.ends {
            self.hear()?;
            self.cursor.update(&self.link, self.screen.as_mut())?;
            let due = self.tend()?;
            if let Some(job) = self.next.take() {
                self.show(job)?;
            } else if !self.ends {
                self.wait(due)?;
            }
        }
        Ok(())
    }

    /// Does what is due now and then, and takes the next picture if there is one. Returns when something is due again.
    fn tend(&mut self) -> Result<Option<Instant>, ClientError> {
        let now = self.clock.now();
        let latest = *self.link.latest();
        let (status, live_since) = (latest.status, latest.live_since);
        let limit = self.wishes.seconds.zip(live_since);
        let limit = limit.map(|(seconds, since)| since.plus_micros(u64::from(seconds) * 1_000_000));
        self.next = self.next.take().or_else(|| self.jobs.try_recv().ok());
        // What came before the end is still shown.
        let is_over = status == Status::Over && self.next.is_none();
        if is_over || limit.is_some_and(|limit| limit <= now) {
            self.ends = true;
            return Ok(None);
        }
        let window_due = self.started.plus_micros(WINDOW_US);
        let wants_window = self.wishes.display.is_some() && self.screen.is_none();
        let size = latest.parameters.map(|parameters| (parameters.width, parameters.height));
        if wants_window && (size.is_some() || window_due <= now) {
            self.open_window(size.unwrap_or(WINDOW_SIZE))?;
        }
        self.write_lines(now, &latest)?;
        let asks = self.screen.as_ref().is_some_and(Screen::must_be_asked);
        let due = [
            limit,
            (wants_window && self.screen.is_none()).then_some(window_due),
            asks.then(|| now.plus_micros(ASK_US)),
            self.screen.is_some().then(|| self.lines.due(&latest)),
        ];
        Ok(due.into_iter().flatten().min())
    }

    fn wait(&mut self, due: Option<Instant>) -> Result<(), ClientError> {
        let timeout = due.map(|due| {
            let left = due.until(self.clock.now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let window = self.screen.as_ref().map(Pollable::poll_fd);
        // Where there is no window, the link stands twice.
        let window = window.unwrap_or_else(|| self.link.view_fd());
        let mut fds = [
            PollFd::from_borrowed_fd(self.link.view_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(window, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ClientError::System("wait for events", error.into())),
        }
        self.ends |= !fds[2].revents().is_empty();
        if !fds[0].revents().is_empty() {
            self.link.clear_view();
        }
        Ok(())
    }

    /// Takes everything that happened at the window.
    fn hear(&mut self) -> Result<(), ClientError> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let heard = self.input.hear(screen)?;
        self.act(heard);
        Ok(())
    }

    fn act(&mut self, heard: Heard) {
        if heard.overlay {
            self.lines.toggle();
        }
        if let Some(knob) = heard.sound {
            info!("{}", self.link.sound().turn(knob));
        }
        self.ends |= heard.end;
    }

    /// Decodes a picture and presents it if it is the newest.
    fn show(&mut self, job: Job) -> Result<(), ClientError> {
        self.parameters = Some(job.parameters);
        if self.wishes.display.is_some() && self.screen.is_none() {
            self.open_window((job.parameters.width, job.parameters.height))?;
        }
        let decoded = self.decoder.decode(&job);
        let decoded_at = self.clock.now();
        let (id, host_times) = (job.id, job.host_times);
        let (first, whole) = (job.media.first_at, job.media.whole_at);
        // The channel has room for all buffers there are; one that comes back too late is let go of.
        let _ = self.spares.try_send(job.media.buffer);
        let (frame, wrong) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => {
                debug!(picture = id.0, "a picture is left out: {why}");
                self.counts.unusable += 1;
                self.input.want_repair();
                return Ok(());
            }
        };
        if let Some(wrong) = wrong {
            debug!(picture = id.0, "tiles are not as the host means them");
            self.link.set_wrong(wrong);
            self.input.report_tiles();
        }
        let Some(frame) = frame else { return Ok(()) };
        self.counts.decoded += 1;
        let mut heard = Heard::default();
        if let Some(screen) = &mut self.screen {
            heard = self.input.hear(screen)?;
            self.next = self.jobs.try_recv().ok();
            if self.next.is_some() && self.skipped < SKIPPED_MAX {
                self.skipped += 1;
                self.counts.skipped += 1;
                self.act(heard);
                return Ok(());
            }
            self.skipped = 0;
            match screen.present(&frame, None) {
                Err(error) if error.is_gone() => {
                    self.ends = true;
                    return Ok(());
                }
                outcome => outcome?,
            }
        }
        let presented_at = if self.screen.is_some() { self.clock.now() } else { decoded_at };
        if self.wishes.png.is_some() {
            self.kept.keep(&frame);
        }
        if let Some([captured, encoded, sent]) = host_times {
            let (decoded, presented) = (decoded_at, presented_at);
            let stamps = Stamps { captured, encoded, sent, first, whole, decoded, presented };
            self.stages.add(presented_at, Breakdown::of(&stamps));
        }
        self.count(presented_at);
        self.act(heard);
        Ok(())
    }

    fn count(&mut self, presented_at: Instant) {
        self.counts.presented += 1;
        self.counts.first_at.get_or_insert(presented_at);
        self.counts.last_at = Some(presented_at);
        self.ends |= self.wishes.frames.is_some_and(|limit| self.counts.presented >= limit);
    }

    fn open_window(&mut self, size: (u16, u16)) -> Result<(), ClientError> {
        let Some(kind) = self.wishes.display else { return Ok(()) };
        let title = format!("{} - Wavry", self.wishes.host);
        let screen = Screen::open(kind, self.wishes.x_display.as_deref(), &title, size)?;
        info!(display = screen.name(), "window open, {} x {}", size.0, size.1);
        let screen = self.screen.insert(screen);
        if self.wishes.fullscreen {
            self.input.fill_screen(screen)?;
        }
        Ok(())
    }

    fn write_lines(&mut self, now: Instant, latest: &Latest) -> Result<(), ClientError> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let shown = || {
            let (median, per_second) = self.stages.recent(now);
            Shown { median, per_second, parameters: self.parameters }
        };
        if let Some(text) = self.lines.write(now, &self.wishes.host, latest, shown) {
            screen.set_overlay(text)?;
        }
        Ok(())
    }

    /// Writes the files that were asked for, once the network's thread has ended. Returns a line for people.
    ///
    /// # Errors
    /// A file cannot be written, or no picture came to be written.
    pub fn conclude(&self) -> Result<String, ClientError> {
        let latest = *self.link.latest();
        let summary = Summary {
            host: &self.wishes.host,
            display: self.screen.as_ref().map_or("none", Screen::name),
            parameters: self.parameters,
            latest: &latest,
            ways: &self.link.ways(),
            counts: &self.counts,
            stages: &self.stages,
            now: self.clock.now(),
        };
        if let Some(path) = &self.wishes.json {
            let text = format!("{:#}\n", summary.to_json());
            std::fs::write(path, text)
                .map_err(|error| ClientError::Write(path.clone(), error.to_string()))?;
        }
        if let Some(path) = &self.wishes.png {
            if self.kept.is_empty() {
                return Err(ClientError::NoPicture(path.clone()));
            }
            self.kept.write(path).map_err(|error| ClientError::Write(path.clone(), error))?;
        }
        Ok(summary.to_text())
    }
}
