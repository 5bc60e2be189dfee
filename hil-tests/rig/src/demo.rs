//! `demo`: a host shares a screen, a client shows it; keys are made for the occasion.
//!
//! The rig only composes programs: it starts them, tells them about each other and ends them. The last moments of the
//! session are still, so that the picture the client leaves is one that had time to become exact.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::args::{Demo, Via};
use crate::display::Screen;
use crate::meeting::{Meeting, check_path};
use crate::process::{Keeper, Running, pause, wait_until};
use crate::{Failure, cargo, say, setup};

const VIRTUAL_WIDTH: u32 = 1280;
const VIRTUAL_HEIGHT: u32 = 720;
/// How long the screen is still at the end of a session.
const STILL: Duration = Duration::from_millis(1500);
/// What a client may take to connect before the measuring begins; it is then that much shorter.
const CONNECTING: Duration = Duration::from_secs(2);
/// The least likeness of the client's last picture and the host's still screen.
const PSNR_DB_MIN: f64 = 35.0;
/// The client's figure to hold against the latency seen from outside: of the picture with the median total, the sum of
/// its stages from capture to presented, in microseconds.
const STAGE_SUM: &str = "total";
const START_LIMIT: Duration = Duration::from_secs(20);
/// What a client may take beyond the session's length: its start, its handshake, its files.
const CLIENT_SLACK: Duration = Duration::from_secs(30);

/// Sets up, builds and shows a session.
///
/// # Errors
/// Setup's own failures; exit code 1 when a program does not build, start or do its part, with its last words.
pub fn run(options: &Demo) -> Result<(), Failure> {
    setup::run(options.setup, &[&setup::BUILD])?;
    play(&Programs::build(options.via)?, options, &cargo::target_dir().join("demo"))
}

/// Shows a session with these programs; the picture and the figures go into the directory `results`.
///
/// # Errors
/// Exit code 1 when a program does not start or do its part, with its last words.
pub fn play(programs: &Programs, options: &Demo, results: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(results)
        .map_err(|error| Failure::failed(format!("cannot make {}: {error}", results.display())))?;
    let keeper = Keeper::start()?;
    let stage = Stage::set(&keeper, options)?;
    let meeting = options.via.map(|via| Meeting::start(&keeper, programs, via)).transpose()?;
    let host = Host::start(&keeper, programs, &stage.host_screen, meeting.as_ref())?;
    say::progress(format_args!(
        "demo: host {} at {} shares {}",
        host.id, host.address, stage.host_screen.display
    ));

    let picture = results.join("presented.png");
    let figures = results.join("session.json");
    let files = [picture.as_path(), &figures];
    let mut client = start_client(&keeper, programs, &stage, &host, meeting.as_ref(), options, &files)?;
    let length = Duration::from_secs(options.seconds.into());
    let flashes = match stage.measurable() {
        Some((host_screen, client_screen)) => {
            let seconds = length.saturating_sub(STILL + CONNECTING).as_secs().max(1);
            Some(programs.flash(host_screen, client_screen, seconds, &mut client)?)
        }
        None => {
            pause(length.saturating_sub(STILL));
            None
        }
    };
    stage.freeze()?;
    let status = client.wait(STILL + CLIENT_SLACK)?;
    if !status.success() {
        return Err(Failure::failed(format!("the client ended with {status}\n{}", client.last_words())));
    }
    if !picture.is_file() {
        return Err(Failure::failed(format!("the client left no picture\n{}", client.last_words())));
    }
    let summary = std::fs::read_to_string(&figures).unwrap_or_default();
    say::result(summary.trim_end());
    if let Some(via) = options.via {
        check_path(&summary, via)?;
    }
    say::result(format_args!("picture: {}\nfigures: {}", picture.display(), figures.display()));
    if let Some(flashes) = flashes {
        report_flashes(&flashes, &summary);
    }
    if stage.host_screen.is_virtual() {
        programs.check_likeness(&stage.host_screen, &picture)
    } else {
        Ok(())
    }
}

/// Says how the latency seen from outside and the one the session tells agree.
fn report_flashes(flashes: &str, summary: &str) {
    let figure = |name: &str| number_in(flashes, name).unwrap_or(f64::NAN);
    say::result(format_args!(
        "glass to glass, by pixels: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms over {} flashes, {} missed",
        figure("p50_ms"),
        figure("p95_ms"),
        figure("p99_ms"),
        figure("n"),
        figure("missed"),
    ));
    if let Some(sum_us) = number_in(summary, STAGE_SUM) {
        let (sum, apart) = (sum_us / 1000.0, (sum_us / 1000.0 - figure("p50_ms")).abs());
        say::result(format_args!("the session's own stages sum to p50 {sum:.1} ms: {apart:.1} ms apart"));
    }
}

/// The number that follows `"name":` in a JSON text; good for the flat objects that our own programs print.
#[must_use]
pub fn number_in(json: &str, name: &str) -> Option<f64> {
    let (_, after) = json.split_once(&format!("\"{name}\":"))?;
    let after = after.trim_start();
    let end = after.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(after.len());
    after.get(..end)?.parse().ok()
}

/// Where the built programs are.
#[derive(Debug)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Those that stand in this directory.
    #[must_use]
    pub const fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn build(via: Option<Via>) -> Result<Self, Failure> {
        say::progress("demo: building a release (minutes, the first time)");
        let services: &[_] = if via.is_some() { &["wavry-gateway", "wavry-relay"] } else { &[] };
        cargo::build_release(&[&["wavry-server", "wavry-client", "wavry-probe"], services].concat())?;
        Ok(Self::at(cargo::target_dir().join("release")))
    }

    /// Where one of them is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }

    /// Flips a patch on the host's screen and times it on the client's, for so many seconds.
    fn flash(
        &self,
        host: &Screen,
        viewer: &Screen,
        seconds: u64,
        client: &mut Running,
    ) -> Result<String, Failure> {
        let mut command = self.command("wavry-probe");
        command.args(["flash", "--host", &host.display, "--viewer", &viewer.display]);
        command.args(["--seconds", &seconds.to_string()]);
        // Over the terminal's margin, where nothing else is drawn.
        command.args(["--x", "4", "--y", "4"]);
        output_of(&mut command, "wavry-probe flash").map_err(|failure| {
            Failure::failed(format!("{}\nthe client's last words:\n{}", failure.message, client.last_words()))
        })
    }

    /// Holds the picture a client left against the host's screen.
    fn check_likeness(&self, host: &Screen, picture: &Path) -> Result<(), Failure> {
        let mut command = self.command("wavry-probe");
        command.args(["compare", "--host", &host.display, "--png"]).arg(picture);
        let line = output_of(&mut command, "wavry-probe compare")?;
        let db = number_in(&line, "psnr_db").unwrap_or(0.0);
        say::result(format_args!("the picture and the host's still screen: PSNR {db:.1} dB"));
        if db < PSNR_DB_MIN {
            return Err(Failure::failed(format!(
                "the client's picture is not the host's screen: PSNR {db:.1} dB, at least {PSNR_DB_MIN} wanted"
            )));
        }
        Ok(())
    }

    /// Runs a short command to its end, with its state in this directory; what it printed, trimmed.
    ///
    /// # Errors
    /// Exit code 1 when it fails, with its words.
    pub fn ask(&self, name: &str, arguments: &[&str], state: &Path) -> Result<String, Failure> {
        let mut command = self.command(name);
        command.args(arguments).arg("--state").arg(state);
        output_of(&mut command, &format!("{name} {}", arguments.join(" ")))
    }
}

fn output_of(command: &mut Command, what: &str) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::failed(format!("cannot run {what}: {error}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::failed(format!("{what} failed: {}", words.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The screens of a session and what moves on the host's.
#[derive(Debug)]
struct Stage {
    host_screen: Screen,
    /// `None` = the client runs headless.
    client_screen: Option<Screen>,
    stop: PathBuf,
    _application: Option<Running>,
}

impl Stage {
    fn set(keeper: &Keeper, options: &Demo) -> Result<Self, Failure> {
        let stop = keeper.scratch().join("stand-still");
        if let Some(host_screen) = Screen::current() {
            let client_screen = Screen::current().filter(|_| !options.headless);
            return Ok(Self { host_screen, client_screen, stop, _application: None });
        }
        let host_screen = Screen::virtual_screen(keeper, "host-screen", VIRTUAL_WIDTH, VIRTUAL_HEIGHT)?;
        let application = scrolling_terminal(keeper, &host_screen, &stop)?;
        let client_screen = (!options.headless)
            .then(|| Screen::virtual_screen(keeper, "client-screen", VIRTUAL_WIDTH, VIRTUAL_HEIGHT))
            .transpose()?;
        Ok(Self { host_screen, client_screen, stop, _application: Some(application) })
    }

    /// Both screens, when they are two and ours: only then is a pixel of the one found at the same place of the other.
    fn measurable(&self) -> Option<(&Screen, &Screen)> {
        let client_screen = self.client_screen.as_ref().filter(|screen| screen.is_virtual())?;
        self.host_screen.is_virtual().then_some((&self.host_screen, client_screen))
    }

    /// Stops what moves on a virtual host's screen; somebody's own screen is theirs.
    fn freeze(&self) -> Result<(), Failure> {
        std::fs::write(&self.stop, "")
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", self.stop.display())))
    }
}

/// A terminal that scrolls until the file appears, then keeps showing its last page.
fn scrolling_terminal(keeper: &Keeper, screen: &Screen, stop: &Path) -> Result<Running, Failure> {
    const SCROLL: &str = "n=0; while [ ! -e \"$0\" ]; do n=$((n+1)); \
        echo \"$n  the quick brown fox jumps over the lazy dog  $(date +%T)\"; sleep 0.02; done; exec sleep 86400";
    let mut command = Command::new("xterm");
    command.args(["-geometry", "205x53+20+10", "-e", "sh", "-c", SCROLL]).arg(stop);
    screen.aim(&mut command);
    keeper.spawn("terminal", &mut command, None)
}

/// The host's process and how to reach it.
#[derive(Debug)]
struct Host {
    address: String,
    id: String,
    state: PathBuf,
    _server: Running,
}

impl Host {
    fn start(
        keeper: &Keeper,
        programs: &Programs,
        screen: &Screen,
        meeting: Option<&Meeting>,
    ) -> Result<Self, Failure> {
        let state = keeper.scratch().join("host");
        let port_file = keeper.scratch().join("address");
        let mut command = match meeting {
            Some(meeting) => meeting.host(programs)?,
            None => {
                let mut command = programs.command("wavry-server");
                command.args(["--listen", "127.0.0.1:0"]);
                command
            }
        };
        command.arg("--source").arg(format!("x11:{}", screen.display));
        command.arg("--state").arg(&state).arg("--port-file").arg(&port_file);
        screen.aim(&mut command);
        let mut server = keeper.spawn("wavry-server", &mut command, None)?;
        let contents = wait_until(START_LIMIT, || {
            let contents = std::fs::read_to_string(&port_file).unwrap_or_default();
            if server.ended().is_some() { Some(None) } else { parse_port_file(&contents).map(Some) }
        });
        let (address, id) = contents.flatten().ok_or_else(|| {
            Failure::failed(format!("the host did not say where it listens\n{}", server.last_words()))
        })?;
        Ok(Self { address, id, state, _server: server })
    }
}

/// The host's address and Wavry ID, from a port file's two words; `None` until both are complete, newline included.
#[must_use]
pub fn parse_port_file(contents: &str) -> Option<(String, String)> {
    if !contents.ends_with('\n') {
        return None;
    }
    let mut words = contents.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

fn start_client(
    keeper: &Keeper,
    programs: &Programs,
    stage: &Stage,
    host: &Host,
    meeting: Option<&Meeting>,
    options: &Demo,
    results: &[&Path; 2],
) -> Result<Running, Failure> {
    let state = keeper.scratch().join("client");
    let id = programs.ask("wavry-client", &["id"], &state)?;
    programs.ask("wavry-server", &["allow", &id], &host.state)?;
    let [picture, figures] = results;
    for leftover in results {
        let _ = std::fs::remove_file(leftover);
    }
    let mut command = match meeting {
        Some(meeting) => meeting.client(programs, &host.state)?,
        None => {
            let mut command = programs.command("wavry-client");
            command.args(["connect", &host.address, "--host-id", &host.id]);
            command
        }
    };
    command.arg("--state").arg(&state);
    command.arg("--seconds").arg(options.seconds.to_string());
    command.arg("--png").arg(picture).arg("--json").arg(figures);
    if let Some(screen) = &stage.client_screen {
        screen.aim(&mut command);
        if screen.is_virtual() {
            command.arg("--fullscreen");
        }
    } else {
        command.arg("--headless");
    }
    keeper.spawn("wavry-client", &mut command, None)
}
