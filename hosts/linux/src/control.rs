//! How a command reaches a host that runs: a socket in the state directory, which only its owner can enter.
//!
//! A command sends one line and reads lines until the host is done; it withdraws by hanging up. A thread takes the
//! line; what follows is the network's, which owns nearly everything a command could change. Only a card's input is the
//! capture thread's, and is handed on at once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use core::time::Duration;

use rift_mio::Waker;
use rustix::event::{PollFd, PollFlags, poll};
use tracing::warn;

use crate::lane::LaneOrders;
use crate::pairing::PairOrder;

/// The directory of the socket in the state directory, mode 0700.
const DIRECTORY: &str = "control";
/// The socket's name.
const NAME: &str = "socket";
/// A command that does not say what it wants in this time is not heard.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest line.
const LINE_LEN_MAX: u64 = 1024;
/// What a line begins with that asks for an input of the card, by its number.
const INPUT: &str = "input\t";
/// Commands that may wait for the network.
const REQUESTS_MAX: usize = 4;

/// What a command wants, and where the answers go.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub order: PairOrder,
    /// Who.
    pub asker: Asker,
}

/// Who gave an order.
#[derive(Debug)]
pub enum Asker {
    /// A command at the other end of a socket.
    Command(UnixStream),
    /// Whoever started the host, at its own terminal.
    Terminal,
}

/// Something said to who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// It goes on.
    Progress(&'a str),
    /// It is done.
    Done(&'a str),
    /// It has failed.
    Failed(&'a str),
}

impl Asker {
    /// Says it; a command that does not listen misses it.
    pub fn say(&mut self, word: Word<'_>) {
        let (sign, text) = match word {
            Word::Progress(text) => (' ', text),
            Word::Done(text) => ('+', text),
            Word::Failed(text) => ('-', text),
        };
        // Nothing waits for whoever reads too slowly or has gone.
        let _ = match self {
            Self::Command(stream) => stream.write_all(format!("{sign}{text}\n").as_bytes()),
            Self::Terminal => writeln!(io::stdout().lock(), "{text}"),
        };
    }

    /// Whether it has hung up.
    pub fn is_gone(&mut self) -> bool {
        match self {
            Self::Command(stream) => match stream.read(&mut [0; 64]) {
                Ok(len) => len == 0,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            },
            Self::Terminal => false,
        }
    }
}

/// The host's end. Dropping it ends its thread and removes the socket.
#[derive(Debug)]
pub struct Control {
    place: PathBuf,
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Listens in the state directory `state`; `waker` wakes the network for each request, `capture` is told of inputs.
    ///
    /// # Errors
    /// The system's; [`ErrorKind::AddrInUse`] when another host listens there.
    pub fn start(
        state: &Path,
        waker: Waker,
        capture: Arc<LaneOrders>,
    ) -> io::Result<(Self, Receiver<Request>)> {
        let place = state.join(DIRECTORY);
        rift_keystore::directory(&place).map_err(io::Error::other)?;
        if reach(&place).is_ok() {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another host runs with this state directory"));
        }
        match std::fs::remove_file(place.join(NAME)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let directory = File::open(&place)?;
        let listener = UnixListener::bind(short(&directory))?;
        listener.set_nonblocking(true)?;
        let (requests, taken) = sync_channel(REQUESTS_MAX);
        let (quit, quitting) = UnixStream::pair()?;
        let thread = thread::Builder::new()
            .name("control".into())
            .spawn(move || listen(&listener, &quitting, &Way { requests, waker, capture }))?;
        Ok((Self { place, quit: Some(quit), thread: Some(thread) }, taken))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.quit = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(self.place.join(NAME));
    }
}

/// The line that asks for this input of the card.
#[must_use]
pub fn input_line(index: u32) -> String {
    format!("{INPUT}{index}\n")
}

/// Gives a line to the host that runs with the state directory `state` and writes what it says to `out`. Returns
/// whether it was done; `None` when no host runs there.
///
/// # Errors
/// The socket's and the writer's.
pub fn ask(state: &Path, line: &str, out: &mut impl Write) -> io::Result<Option<bool>> {
    let mut stream = match reach(&state.join(DIRECTORY)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        reached => reached?,
    };
    stream.write_all(line.as_bytes())?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let mut letters = line.chars();
        let sign = letters.next();
        writeln!(out, "{}", letters.as_str())?;
        out.flush()?;
        match sign {
            Some('+') => return Ok(Some(true)),
            Some('-') => return Ok(Some(false)),
            Some(_) | None => {}
        }
    }
    writeln!(out, "the host ended")?;
    Ok(Some(false))
}

/// Whether a host runs with the state directory `state`.
#[must_use]
pub fn is_running(state: &Path) -> bool {
    reach(&state.join(DIRECTORY)).is_ok()
}

fn reach(place: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(short(&File::open(place)?))
}

/// A name for the socket that is short enough for an address, however long the directory's is.
fn short(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()))
}

/// Where orders go.
struct Way {
    requests: SyncSender<Request>,
    waker: Waker,
    capture: Arc<LaneOrders>,
}

fn listen(listener: &UnixListener, quit: &UnixStream, way: &Way) {
    loop {
        let (listener_fd, quit_fd) = (listener.as_fd(), quit.as_fd());
        let mut fds = [listener_fd, quit_fd].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        if poll(&mut fds, None).is_err() {
            continue;
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        let Ok((stream, _)) = listener.accept() else { continue };
        match hear(stream, &way.capture) {
            Ok(None) => {}
            Ok(Some(request)) => {
                // The network is gone, or so busy that whoever asked may ask again.
                let _ = way.requests.try_send(request);
                way.waker.wake();
            }
            Err(error) => warn!(%error, "a command was not understood"),
        }
    }
}

/// `None`: it is done already.
fn hear(stream: UnixStream, capture: &LaneOrders) -> io::Result<Option<Request>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE_LEN_MAX)).read_line(&mut line)?;
    stream.set_nonblocking(true)?;
    let mut asker = Asker::Command(stream);
    let index = line.trim_end().strip_prefix(INPUT).and_then(|index| index.parse().ok());
    if let Some(index) = index {
        let is_told = capture.select_input(index);
        asker.say(if is_told {
            Word::Done("the card is told; `wavry-server status` says what comes of it")
        } else {
            Word::Failed("what this host shares is no capture card and has no inputs")
        });
        return Ok(None);
    }
    match PairOrder::from_line(&line) {
        Ok(order) => Ok(Some(Request { order, asker })),
        Err(what) => {
            asker.say(Word::Failed(&what));
            Err(io::Error::new(ErrorKind::InvalidData, what))
        }
    }
}
