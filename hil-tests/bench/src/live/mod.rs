//! `live`: a host and a client in network namespaces of their own, with a link between them whose rate changes under
//! their feet, and beside which somebody downloads.
//!
//! Sockets, drivers, timers and the kernel's TCP are real; pictures have the size that the grant asks for and no content.
//! The link is [`emulator`]. Everything runs in namespaces made for it, so nothing of the machine's network is touched.

mod emulator;
mod figures;
mod flow;
mod peers;

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use crate::args::Options;
use crate::clock::now;
use crate::failure::{Context as _, Failure};
use crate::report::Row;
use emulator::{Emulator, Link, Sample};

/// The word after which a role of this benchmark follows: it runs itself in other namespaces.
pub(crate) const ROLE: &str = "live-role";
const INSIDE: &str = "WAVRY_LIVE_INSIDE";
const HOST: &str = "10.77.0.1";
const CLIENT: &str = "10.77.0.2";
const PORT: u16 = 4747;
const DOWNLOAD_PORT: u16 = 4800;

/// When what happens, in s.
const DROP_AT: u64 = 10;
const RAISE_AT: u64 = 20;
const DROP_END: u64 = 32;
const DOWNLOAD_AT: u64 = 8;
const DOWNLOAD_FOR: u64 = 20;
const DOWNLOAD_END: u64 = 40;

/// What one run showed.
#[derive(Debug, Default)]
struct Run {
    samples: Vec<Sample>,
    /// When pictures were delivered, in s since the start, and their age then in ms.
    pictures: Vec<(f64, f64)>,
    /// How long after they were due paced packets had left, in µs.
    lateness_us: Vec<f64>,
    /// When what was granted, in s and bit/s.
    grants: Vec<(f64, f64)>,
}

/// Runs one of the roles, which are words of the command line behind [`ROLE`].
pub(crate) fn role(words: &[String]) -> Result<(), Failure> {
    let address = |word: &String| word.parse::<SocketAddr>().context(format_args!("{word} is no address"));
    match words {
        [role, at] if role == "host" => peers::host(address(at)?),
        [role, at] if role == "client" => peers::client(address(at)?),
        [role, at] if role == "receive" => flow::receive(address(at)?),
        [role, at, seconds] if role == "send" => {
            flow::send(address(at)?, Duration::from_secs(seconds.parse().context("a number of seconds")?))
        }
        _ => Err(format!("there is no role {words:?}").into()),
    }
}

/// Both scenes.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    if std::env::var_os(INSIDE).is_none() {
        return Err(enter());
    }
    let link = |rates: &[(u64, u64)]| Link {
        rates: rates.iter().map(|&(from, mbit)| (Duration::from_secs(from), mbit * 1_000_000)).collect(),
        delay: Duration::from_millis(10),
        queue: Duration::from_millis(300),
    };
    let drop = play(&link(&[(0, 30), (DROP_AT, 6), (RAISE_AT, 30)]), DROP_END, None)?;
    let download = play(&link(&[(0, 30)]), DOWNLOAD_END, Some(DOWNLOAD_AT))?;
    if let Some(directory) = &options.plots {
        std::fs::create_dir_all(directory).context(format_args!("cannot make {}", directory.display()))?;
        for (name, run) in [("live-drop", &drop), ("live-download", &download)] {
            let path = directory.join(format!("{name}.svg"));
            std::fs::write(&path, figures::svg(name, run))
                .context(format_args!("cannot write {}", path.display()))?;
        }
    }
    let mut rows = figures::drop_rows(&drop);
    rows.extend(figures::download_rows(&download));
    Ok(rows)
}

/// Becomes the same program, with the same words, where it may make networks. Says why it could not.
fn enter() -> Failure {
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--"]).arg(program).args(std::env::args_os().skip(1));
    let error = command.env(INSIDE, "1").exec();
    format!("no namespace of its own can be made, for want of unshare or the right to it: {error}").into()
}

/// A process that ends with what holds it.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A namespace, as long as it is held.
struct Namespace(Kept);

impl Namespace {
    fn new() -> Result<Self, Failure> {
        let mut command = Command::new("unshare");
        // Whoever holds it ends with this process, however that ends.
        let words = ["--net", "--", "setpriv", "--pdeathsig", "KILL", "--", "sleep", "600"];
        let child = command.args(words).stdin(Stdio::null()).spawn();
        Ok(Self(Kept(child.context("cannot make a network namespace")?)))
    }

    fn id(&self) -> String {
        self.0.0.id().to_string()
    }

    /// The beginning of a command line that runs something in it.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.id(), "--net", "--"]);
        command
    }

    /// Gives it a device that so far is ours, as its only way out.
    fn take(&self, device: &str, address: &str) -> Result<(), Failure> {
        shell(Command::new("ip").args(["link", "set", device, "netns", &self.id()]))?;
        shell(self.command().args(["ip", "address", "add", &format!("{address}/24"), "dev", device]))?;
        shell(self.command().args(["ip", "link", "set", device, "up"]))
    }

    fn run(&self, words: &[&str]) -> Result<Kept, Failure> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = self.command();
        command.arg(program).arg(ROLE).args(words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Ok(Kept(child.context(format_args!("cannot run {words:?} in its namespace"))?))
    }
}

fn shell(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output().context("cannot run ip")?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// Lines of a process: a word and numbers.
fn listen(kept: &mut Kept) -> JoinHandle<Vec<(String, Vec<f64>)>> {
    let output = kept.0.stdout.take();
    std::thread::spawn(move || {
        let lines =
            output.into_iter().flat_map(|output| BufReader::new(output).lines().map_while(Result::ok));
        lines
            .filter_map(|line| {
                let (word, numbers) = line.split_once(' ')?;
                let numbers = numbers.split_whitespace().filter_map(|number| number.parse().ok());
                Some((word.to_owned(), numbers.collect()))
            })
            .collect()
    })
}

/// One scene; a download begins at this second.
fn play(link: &Link, seconds: u64, download_at: Option<u64>) -> Result<Run, Failure> {
    for device in ["wavry0", "wavry1"] {
        shell(Command::new("ip").args(["tuntap", "add", device, "mode", "tun"]))?;
    }
    let mut emulator = Emulator::new("wavry0", "wavry1")?;
    let (host_side, client_side) = (Namespace::new()?, Namespace::new()?);
    // The namespaces are there once their processes have become what they are to be.
    crate::clock::pause(Duration::from_millis(300));
    host_side.take("wavry0", HOST)?;
    client_side.take("wavry1", CLIENT)?;
    let address = format!("{HOST}:{PORT}");
    let mut host = host_side.run(&["host", &address])?;
    let told = listen(&mut host);
    let mut client = client_side.run(&["client", &address])?;
    let seen = listen(&mut client);
    let (start, start_seconds) = (now(), peers::seconds());
    let samples = std::thread::scope(|scope| -> Result<Vec<Sample>, Failure> {
        let beside = download_at.map(|at| {
            let (host_side, client_side) = (&host_side, &client_side);
            scope.spawn(move || download(host_side, client_side, at))
        });
        let samples = emulator.carry(link, start, Duration::from_secs(seconds));
        if let Some(beside) = beside {
            beside.join().map_err(|_| "the download's thread ended badly")??;
        }
        Ok(samples)
    })?;
    drop((host, client));
    let (told, seen) = (told.join().unwrap_or_default(), seen.join().unwrap_or_default());
    let pairs = |lines: &[(String, Vec<f64>)], wanted: &str, scale: f64| {
        let lines = lines.iter().filter(|(word, _)| word == wanted);
        let pair = |numbers: &Vec<f64>| Some((numbers.first()? - start_seconds, numbers.get(1)? / scale));
        lines.filter_map(|(_, numbers)| pair(numbers)).collect::<Vec<_>>()
    };
    let late = told.iter().filter(|(word, _)| word == "late");
    Ok(Run {
        lateness_us: late.filter_map(|(_, numbers)| numbers.first().copied()).collect(),
        samples,
        pictures: pairs(&seen, "picture", 1e3),
        grants: pairs(&told, "grant", 1.0),
    })
}

fn download(host_side: &Namespace, client_side: &Namespace, at: u64) -> Result<(), Failure> {
    crate::clock::pause(Duration::from_secs(at));
    let address = format!("{CLIENT}:{DOWNLOAD_PORT}");
    let receiver = client_side.run(&["receive", &address])?;
    let mut sender = host_side.run(&["send", &address, &DOWNLOAD_FOR.to_string()])?;
    sender.0.wait().context("the download cannot be waited for")?;
    drop(receiver);
    Ok(())
}
