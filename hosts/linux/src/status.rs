//! A running host tells how it is: to `wavry-server status` by a socket in its state directory, which only its user
//! may open, and to Prometheus by HTTP where somebody asked for that.
//!
//! One thread answers one question after another; whoever asks and then does not read is left after a second. Answers
//! hold no keys and no pictures.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rift::{CaptureState, Instant};
use rift_mio::{Clock, is_relayed};
use rift_v4l::Moment;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use crate::files::FileFigures;
use crate::metrics::Metrics;
use crate::process::Holdings;
use crate::signal;
use crate::sound::figures::SoundFigures;

/// The socket's name in the state directory.
const FILE_NAME: &str = "status.sock";
/// How long whoever asks may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a question that are read at most.
const QUESTION_MAX: u64 = 4096;

/// What a viewer is, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewerStatus {
    /// Its name on the list.
    pub name: String,
    /// Where it is; through a relay this is the way's own address.
    pub from: SocketAddr,
    /// Since when.
    pub since: Instant,
    /// Whether it steers.
    pub steers: bool,
    /// Its round trip, in microseconds.
    pub round_trip_us: u32,
    /// What congestion control grants it, in bits per second.
    pub bitrate_bps: u32,
    /// Bytes of the longest datagrams that are sent to it.
    pub datagram_len: u16,
}

/// What the host's threads know, laid open for the one that answers.
#[derive(Debug, Default)]
pub struct Board {
    /// The figures.
    pub metrics: Metrics,
    /// Those of the sound.
    pub sound: SoundFigures,
    /// Those of files.
    pub files: Arc<FileFigures>,
    source: Mutex<String>,
    capture: Mutex<Option<CaptureState>>,
    moment: Mutex<Option<Moment>>,
    viewers: Mutex<Vec<ViewerStatus>>,
    gateway: Mutex<Option<String>>,
}

impl Board {
    /// What is shared, by name.
    pub fn set_source(&self, source: &str) {
        source.clone_into(&mut lock(&self.source));
    }

    /// What the capture does now.
    pub fn set_capture(&self, capture: CaptureState) {
        *lock(&self.capture) = Some(capture);
    }

    /// Which moment of a frame the device's times tell, from which its latency is counted; `None`: it tells none.
    pub fn set_moment(&self, moment: Option<Moment>) {
        *lock(&self.moment) = moment;
    }

    /// Who watches now.
    pub fn set_viewers(&self, viewers: impl Iterator<Item = ViewerStatus>) {
        let mut known = lock(&self.viewers);
        known.clear();
        known.extend(viewers);
        self.metrics.set_viewers(known.len());
    }

    /// How the gateway is, in words; `None`: there is none.
    pub fn set_gateway(&self, gateway: Option<String>) {
        *lock(&self.gateway) = gateway;
    }

    /// All of it. Ages in seconds, since when is of no use to a reader with another clock.
    #[must_use]
    pub fn to_json(&self, now: Instant) -> Value {
        let age = |since: Instant| now.micros_since(since) as f64 / 1e6;
        let times = lock(&self.moment).map(|moment| match moment {
            Moment::Start => "frame_start",
            Moment::End => "frame_end",
        });
        let capture = lock(&self.capture).map(|capture| {
            let (state, signal) = (signal::name(capture.condition), capture.signal.as_str());
            json!({ "state": state, "for_s": age(capture.since), "signal": signal, "times": times })
        });
        let viewers: Vec<Value> = lock(&self.viewers)
            .iter()
            .map(|viewer| {
                json!({
                    "name": viewer.name,
                    "from": (!is_relayed(viewer.from)).then(|| viewer.from.to_string()),
                    "path": if is_relayed(viewer.from) { "relay" } else { "direct" },
                    "for_s": age(viewer.since),
                    "steers": viewer.steers,
                    "round_trip_us": viewer.round_trip_us,
                    "bitrate_bps": viewer.bitrate_bps,
                    "datagram_len": viewer.datagram_len,
                })
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "source": *lock(&self.source),
            "capture": capture,
            "viewers": viewers,
            "gateway": *lock(&self.gateway),
            "sound": self.sound.to_json(),
            "files": self.files.to_json(),
            "figures": self.metrics.to_json(now),
            "process": Holdings::look().to_json(),
        })
    }

    /// All of it, in the text format that Prometheus reads.
    #[must_use]
    pub fn exposition(&self, now: Instant) -> String {
        self.metrics.exposition(now) + &self.sound.exposition() + &Holdings::look().exposition()
    }

    /// A line for people.
    #[must_use]
    pub fn to_line(&self) -> String {
        let capture = lock(&self.capture).map(|capture| {
            format!(", {} {}", signal::name(capture.condition).replace('_', " "), capture.signal.as_str())
        });
        let viewers = lock(&self.viewers).len();
        let gateway = lock(&self.gateway).as_ref().map(|gateway| format!(", gateway {gateway}"));
        let (capture, gateway) = (capture.unwrap_or_default(), gateway.unwrap_or_default());
        format!("{}{}, {viewers} watching{gateway}", lock(&self.source), capture.trim_end())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Plain data: whoever panicked left a whole value.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that answers; it ends and takes its socket along when this is dropped.
#[derive(Debug)]
pub struct Answerer {
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    path: Option<PathBuf>,
}

impl Answerer {
    /// Answers at the socket in `state`, and at `http` if that is given. Where the socket cannot be made, that is
    /// logged, and `status` finds nobody.
    ///
    /// # Errors
    /// `http` cannot be listened at, or the system gave no thread.
    pub fn start(state: &Path, http: Option<SocketAddr>, board: Arc<Board>) -> io::Result<Self> {
        let path = state.join(FILE_NAME);
        let local = listen(&path)
            .inspect_err(|error| warn!(%error, path = %path.display(), "`status` will find nobody"))
            .ok();
        let web = http.map(TcpListener::bind).transpose()?;
        if let Some(address) = web.as_ref().and_then(|web| web.local_addr().ok()) {
            info!(%address, "metrics at http://{address}/metrics");
        }
        let path = local.is_some().then_some(path);
        let (quit, quitting) = UnixStream::pair()?;
        let thread = thread::Builder::new()
            .name("status".into())
            .spawn(move || serve(local.as_ref(), web.as_ref(), &quitting, &board))?;
        Ok(Self { quit: Some(quit), thread: Some(thread), path })
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.quit = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        if let Some(path) = &self.path {
            // Somebody may have removed it already.
            let _ = fs::remove_file(path);
        }
    }
}

/// Takes the place of a socket that a host left behind, not of one that still answers.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(ErrorKind::AddrInUse, "another host answers there"));
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        outcome => outcome,
    }?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn serve(local: Option<&UnixListener>, web: Option<&TcpListener>, quit: &UnixStream, board: &Board) {
    loop {
        // Where there is no such listener, its place is taken by another descriptor, whose answer is not looked at.
        let quit_fd = quit.as_fd();
        let local_fd = local.map_or(quit_fd, |local| local.as_fd());
        let web_fd = web.map_or(quit_fd, |web| web.as_fd());
        let mut fds = [quit_fd, local_fd, web_fd].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return warn!(%error, "`status` will find nobody any more"),
        }
        let [is_quit, is_local, is_web] = fds.map(|fd| !fd.revents().is_empty());
        if is_quit {
            return;
        }
        let outcome = match (local, web) {
            (Some(local), _) if is_local => local.accept().and_then(|(stream, _)| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                answer(&stream, |question| reply(question, board))
            }),
            (_, Some(web)) if is_web => web.accept().and_then(|(stream, _)| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                answer(&stream, |question| reply_http(question, board))
            }),
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            debug!(%error, "a question was not answered");
        }
    }
}

/// Reads a line and writes what `reply` makes of it.
fn answer<S>(stream: &S, reply: impl FnOnce(&str) -> String) -> io::Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let mut question = String::new();
    BufReader::new(stream.take(QUESTION_MAX)).read_line(&mut question)?;
    let mut stream = stream;
    stream.write_all(reply(question.trim_end()).as_bytes())
}

fn reply(question: &str, board: &Board) -> String {
    let now = Clock::new().now();
    match question {
        "metrics" => board.exposition(now),
        "line" => format!("{}\n", board.to_line()),
        _ => format!("{}\n", board.to_json(now)),
    }
}

fn reply_http(request: &str, board: &Board) -> String {
    let path = request.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    let (status, body) = match path {
        Some("/metrics") => ("200 OK", board.exposition(Clock::new().now())),
        Some(_) => ("404 Not Found", "there is /metrics\n".to_owned()),
        None => ("405 Method Not Allowed", "GET it\n".to_owned()),
    };
    format!(
        "HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Asks the host whose state directory this is.
///
/// # Errors
/// Nobody answers there.
pub fn ask(state: &Path, question: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(state.join(FILE_NAME))?;
    stream.set_read_timeout(Some(PATIENCE * 5))?;
    writeln!(stream, "{question}")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use rift::{CaptureCondition, SignalDescription};

    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wavry-status-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    #[test]
    fn host_is_asked_by_its_state_directory_and_by_http() {
        let state = place("ask");
        let board = Arc::new(Board::default());
        board.set_source("v4l:/dev/video0");
        let signal = SignalDescription::new("HDMI");
        let since = Clock::new().now();
        board.set_capture(CaptureState { condition: CaptureCondition::NoSignal, since, signal });
        // What a host that was killed leaves behind does not matter.
        drop(UnixListener::bind(state.join(FILE_NAME)).expect("a socket"));
        let answerer = Answerer::start(&state, None, Arc::clone(&board)).expect("it starts");
        let status: Value = serde_json::from_str(&ask(&state, "json").expect("an answer")).expect("JSON");
        assert_eq!(status["capture"]["state"], "no_signal");
        assert!(status["capture"]["times"].is_null());
        board.set_moment(Some(Moment::End));
        assert_eq!(board.to_json(since)["capture"]["times"], "frame_end");
        assert_eq!(status["source"], "v4l:/dev/video0");
        assert_eq!(status["files"]["received"], 0);
        assert!(status["process"]["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{status}");
        assert!(ask(&state, "metrics").expect("an answer").contains("\nprocess_open_fds "));
        assert!(ask(&state, "metrics").expect("an answer").contains("wavry_viewers 0"));
        assert!(ask(&state, "line").expect("an answer").contains("no signal HDMI"));
        let mode = fs::metadata(state.join(FILE_NAME)).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let page = reply_http("GET /metrics HTTP/1.1", &board);
        assert!(page.starts_with("HTTP/1.0 200 OK\r\n") && page.contains("wavry_pictures_total 0"), "{page}");
        assert!(
            reply_http("GET / HTTP/1.1", &board).contains("404") && reply_http("", &board).contains("405")
        );
        drop(answerer);
        assert!(ask(&state, "json").is_err(), "nobody is left");
        let _ = fs::remove_dir_all(&state);
    }

    #[test]
    fn second_host_does_not_take_the_socket_away() {
        let state = place("second");
        let first = Answerer::start(&state, None, Arc::default()).expect("it starts");
        let second = Answerer::start(&state, None, Arc::default()).expect("it starts without");
        assert!(second.path.is_none());
        drop(second);
        assert!(ask(&state, "json").is_ok());
        drop(first);
        let _ = fs::remove_dir_all(&state);
    }
}
