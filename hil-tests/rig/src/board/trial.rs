//! What a board must show that it can: a host's screen pixel for pixel, hands, and coming back whatever breaks.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::budget;
use super::found::{self, Network};
use super::lossy::Link;
use super::session::{Board, Host, LIMIT, Parts};
use crate::display::Screen;
use crate::process::{Running, pause, wait_until};
use crate::{Failure, cargo, demo, say};

/// The board's screen, and so the host's.
pub(super) const WIDTH: u32 = 800;
pub(super) const HEIGHT: u32 = 600;
/// What is typed at the board: QEMU's names of keys, and what they enter.
const TYPED: [(&str, &str); 12] = [
    ("w", "w"),
    ("shift-a", "A"),
    ("v", "v"),
    ("r", "r"),
    ("y", "y"),
    ("spc", " "),
    ("4", "4"),
    ("shift-1", "!"),
    ("minus", "-"),
    ("dot", "."),
    ("backspace", "\u{7f}"),
    ("ret", "\r"),
];
/// Where the mouse is moved to before it clicks, within the terminal, and how far in one step: less than the 127 counts of a
/// packet.
const MOUSE_TOUR: [(i32, i32); 3] = [(160, 140), (431, 77), (203, 150)];
const MOUSE_STEP: i32 = 100;
/// A link as bad as a home's Wi-Fi on a bad day: lost each way, and delayed each way.
const LOSS_PERMILLE: u64 = 50;
const DELAY: Duration = Duration::from_millis(40);

/// How often, and how long after each other, a screen is changed until its tiles are checked.
const ATTEMPTS: u32 = 12;
const BETWEEN: Duration = Duration::from_secs(5);
/// How long a key is held while the cable is pulled: longer than any silence a host takes for letting go.
const HELD: Duration = Duration::from_secs(5);
/// How often that is done.
const UNPLUGGED: u32 = 3;

/// A host's screen with a terminal, a board that shows it, and a link between them.
pub(super) struct Stage<'a, 'p> {
    pub(super) parts: &'a Parts<'p>,
    pub(super) screen: Screen,
    host: Host,
    pub(super) link: Link,
    pub(super) board: Board,
    /// What the terminal was given.
    typed: PathBuf,
    _terminal: Running,
}

impl<'a, 'p> Stage<'a, 'p> {
    pub(super) fn set(parts: &'a Parts<'p>, has_window: bool) -> Result<Self, Failure> {
        cargo::build_release(&["wavry-server", "wavry-probe"])?;
        let screen = Screen::virtual_screen(parts.keeper, "host-screen", WIDTH, HEIGHT)?;
        let typed = parts.keeper.scratch().join("typed");
        let terminal = terminal(parts, &screen, &typed, "green on black")?;
        let host = Host::start(parts.keeper, Network::Own, "127.0.0.1", &screen)?;
        let address: SocketAddr = host
            .address
            .parse()
            .map_err(|error| Failure::failed(format!("{} is no address: {error}", host.address)))?;
        let link = Link::start(address)?;
        let place = format!("host=10.0.2.2:{}", link.port);
        let mut words = vec![place];
        if !parts.is_whole {
            words.push(format!("id={}", host.id));
        }
        let mut board = Board::start(parts, Network::Own, &words, has_window)?;
        let identity = board.expect("identity ", 0)?;
        let id = identity.split_whitespace().next().unwrap_or_default();
        if parts.is_whole {
            let pin = board.expect("pin ", 0)?;
            host.pair(&pin)?;
            let paired = board.expect("paired ", 0)?;
            if paired != host.id {
                return Err(Failure::failed(format!("the board paired with {paired}, not with {}", host.id)));
            }
            say::result(
                "pairing: the PIN on the board's screen, typed at the host, made them known to each other",
            );
        } else {
            // It has no screen to show a PIN on.
            host.allow(id)?;
        }
        say::progress(format_args!("board: {id} is let in by {}", host.id));
        Ok(Self { parts, screen, host, link, board, typed, _terminal: terminal })
    }

    /// Waits until the board shows what the host's screen shows.
    pub(super) fn sees_the_screen(&mut self, what: &str) -> Result<(), Failure> {
        sees(&mut self.board, &self.screen, what)
    }

    /// Types at the board and waits until exactly that arrives.
    fn types(&mut self, what: &str) -> Result<(), Failure> {
        let before = fs::read(&self.typed).unwrap_or_default();
        for (key, _) in TYPED {
            self.board.tell(&format!("sendkey {key} 30"))?;
            pause(Duration::from_millis(120));
        }
        let wanted: String = TYPED.iter().map(|(_, text)| *text).collect();
        let wanted = [before, wanted.into_bytes()].concat();
        self.arrives(what, &wanted)
    }

    /// Moves the mouse about in the terminal and clicks: the terminal tells where and with which button.
    fn clicks(&mut self, what: &str) -> Result<(), Failure> {
        let before = fs::read(&self.typed).unwrap_or_default();
        for goal in MOUSE_TOUR {
            self.moves(what, goal)?;
        }
        for state in ["1", "0"] {
            self.board.tell(&format!("mouse_button {state}"))?;
            pause(Duration::from_millis(100));
        }
        let new = wait_until(LIMIT, || {
            let bytes = fs::read(&self.typed).ok()?;
            bytes.strip_prefix(&before[..]).filter(|new| new.len() >= 12).map(<[u8]>::to_vec)
        });
        let new = new.ok_or_else(|| Failure::failed(format!("{what}: no click arrives")))?;
        // `ESC [ M button column row`, pressed and released (xterm's control sequences, "Mouse Tracking").
        let is_click = new.len() == 12
            && new.starts_with(b"\x1b[M ")
            && new[6..].starts_with(b"\x1b[M#")
            && new[4..6] == new[10..12];
        if !is_click {
            return Err(Failure::failed(format!("{what}: the terminal got {new:?}")));
        }
        say::result(format_args!("{what}: pointer and click are exact"));
        Ok(())
    }

    /// Moves the mouse to a place, a step at a time. QEMU adds up what its queue of four packets has no room for and tells
    /// the rest only with the next event, so each step is waited for: then every one arrives whole.
    fn moves(&mut self, what: &str, goal: (i32, i32)) -> Result<(), Failure> {
        let mut place = pointer(&self.screen)?;
        while place != goal {
            let step = |from: i32, to: i32| (to - from).clamp(-MOUSE_STEP, MOUSE_STEP);
            let (dx, dy) = (step(place.0, goal.0), step(place.1, goal.1));
            let wanted = (place.0 + dx, place.1 + dy);
            self.board.tell(&format!("mouse_move {dx} {dy}"))?;
            let arrived = wait_until(LIMIT, || pointer(&self.screen).ok().filter(|at| *at == wanted));
            place = arrived.ok_or_else(|| {
                let at = pointer(&self.screen);
                Failure::failed(format!("{what}: from {place:?} by {dx}, {dy} the pointer came to {at:?}"))
            })?;
        }
        Ok(())
    }

    fn arrives(&self, what: &str, wanted: &[u8]) -> Result<(), Failure> {
        let _ = wait_until(LIMIT, || fs::read(&self.typed).ok().filter(|bytes| bytes.len() >= wanted.len()));
        let bytes = fs::read(&self.typed).unwrap_or_default();
        if bytes != wanted {
            let (got, wanted) = (String::from_utf8_lossy(&bytes), String::from_utf8_lossy(wanted));
            let held = probe(&["keys"], &self.screen, None);
            return Err(Failure::failed(format!(
                "{what}: the terminal got {got:?}, not {wanted:?}; keys held at the host: {held:?}\n{}",
                self.board.last_words()
            )));
        }
        say::result(format_args!("{what}: what was typed arrives exactly"));
        Ok(())
    }

    /// Another terminal in place of the first, so that the whole picture changes.
    pub(super) fn changes(&mut self, colours: &str) -> Result<(), Failure> {
        self._terminal.end();
        self._terminal = terminal(self.parts, &self.screen, &self.typed, colours)?;
        Ok(())
    }

    /// The host gets another key: the one that it vouched for while the board watched.
    fn follows_a_new_key(&mut self) -> Result<(), Failure> {
        let old = self.host.id.clone();
        self.host.rotate_key(false)?;
        let next = self.board.expect("successor ", 0)?;
        self.host.kill();
        self.host.rotate_key(true)?;
        self.changes("white on maroon")?;
        self.host.begin(self.parts.keeper, Network::Own, &self.screen)?;
        if self.host.id == old || self.host.id != next {
            return Err(Failure::failed(format!(
                "the host was {old}, vouched for {next} and is {}",
                self.host.id
            )));
        }
        self.sees_the_screen("the host has another key, and the board follows")
    }

    /// The cable is pulled while a key is held, and plugged in again.
    fn loses_its_cable(&mut self) -> Result<(), Failure> {
        self.board.tell(&format!("sendkey ctrl {}", HELD.as_millis()))?;
        let holds = |screen: &Screen| probe(&["keys"], screen, None);
        let held = wait_until(LIMIT, || holds(&self.screen).ok().filter(|keys| keys == "[29]"));
        if held.is_none() {
            return Err(Failure::failed(format!("the held key does not arrive: {:?}", holds(&self.screen))));
        }
        self.board.tell("set_link lan9118.0 off")?;
        let released =
            wait_until(Duration::from_secs(10), || holds(&self.screen).ok().filter(|keys| keys == "[]"));
        self.board.tell("set_link lan9118.0 on")?;
        if released.is_none() {
            return Err(Failure::failed("the key is stuck at the host after the cable was pulled"));
        }
        say::result("the cable is pulled: the host lets go of the key that was held");
        // With the cable back it is held there again, until it is let go of here.
        pause(HELD);
        if wait_until(LIMIT, || holds(&self.screen).ok().filter(|keys| keys == "[]")).is_none() {
            return Err(Failure::failed("the key is stuck at the host after it was let go of at the board"));
        }
        Ok(())
    }

    /// Tiles whose hash the host told so far: right, and wrong.
    pub(super) fn tiles(&self) -> (u32, u32) {
        let log = self.board.log();
        let line = log.lines().rfind(|line| line.contains("figures: ")).unwrap_or_default();
        let number = |after: &str| {
            let words = line.split_once(after).map_or("", |(before, _)| before);
            words.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        (number(" tiles right"), number(" wrong;"))
    }

    /// Changes the screen until more tiles were checked and found right, and none wrong: a host tells hashes with some
    /// pictures only.
    pub(super) fn checks_tiles(&mut self, what: &str, colours: &str) -> Result<(), Failure> {
        let before = self.tiles();
        let is_checked = (0..ATTEMPTS).any(|_| {
            let changed = self.changes(colours);
            changed.is_ok() && wait_until(BETWEEN, || (self.tiles().0 > before.0).then_some(())).is_some()
        });
        let (right, wrong) = self.tiles();
        if is_checked && wrong == 0 {
            say::result(format_args!(
                "{what}: {} tiles checked by their hashes, all right",
                right - before.0
            ));
            return Ok(());
        }
        let words = self.board.last_words();
        Err(Failure::failed(format!(
            "{what}: {right} tiles right, {wrong} wrong, {before:?} before\n{words}"
        )))
    }

    /// The last line of the board's log with this text.
    pub(super) fn log_line(&self, text: &str) -> Option<String> {
        self.board.log().lines().rfind(|line| line.contains(text)).map(str::to_owned)
    }

    /// How the session went, and what a microcontroller's memory is spent on.
    ///
    /// # Errors
    /// Exit code 1 when that is more than it may be.
    pub(super) fn figures(&self) -> Result<(), Failure> {
        for line in [self.log_line("figures: "), self.log_line("stack ")].into_iter().flatten() {
            say::result(line.trim());
        }
        let log = self.board.log();
        let (carried, lost) = self.link.counts();
        say::result(format_args!("the link carried {carried} datagrams and lost {lost}"));
        if !self.parts.is_whole {
            say::result(budget::report(&log, self.parts.ram)?);
        }
        Ok(())
    }
}

/// Waits until a board shows what a host's screen shows.
pub(super) fn sees(board: &mut Board, screen: &Screen, what: &str) -> Result<(), Failure> {
    let mut last = String::new();
    let same = wait_until(LIMIT, || {
        let outcome = board.shot().and_then(|shot| probe(&["rgb565"], screen, Some(&shot)));
        last = outcome.unwrap_or_else(|failure| failure.message);
        last.starts_with("{\"different\":0,").then(|| last.clone())
    });
    let Some(same) = same else {
        let kept = cargo::target_dir().join("board/wrong.png");
        if let Ok(shot) = board.shot() {
            let _ = fs::copy(shot, &kept);
        }
        let words = board.last_words();
        return Err(Failure::failed(format!("{what}: {last}, see {}\n{words}", kept.display())));
    };
    let cursor = demo::number_in(&same, "near_pointer").unwrap_or(0.0);
    say::result(format_args!(
        "{what}: every one of {} pixels is the host's, but {cursor} of the cursor",
        WIDTH * HEIGHT
    ));
    Ok(())
}

/// Opens the board's window beside a host with a terminal, until it is closed.
pub(super) fn show(parts: &Parts<'_>) -> Result<(), Failure> {
    let mut stage = Stage::set(parts, true)?;
    stage.board.wait()
}

/// Everything a board must be able to do.
///
/// # Errors
/// Exit code 1 with what it could not.
pub(super) fn run(parts: &Parts<'_>) -> Result<(), Failure> {
    let mut stage = Stage::set(parts, false)?;
    stage.sees_the_screen("first picture")?;
    stage.types("keyboard")?;
    stage.clicks("mouse")?;
    stage.changes("white on navy")?;
    stage.sees_the_screen("another picture")?;
    stage.link.set(LOSS_PERMILLE, DELAY);
    stage.types("keyboard over a bad link")?;
    stage.clicks("mouse over a bad link")?;
    stage.changes("yellow on maroon")?;
    stage.sees_the_screen("a picture over a bad link")?;
    stage.link.set(0, Duration::ZERO);
    (0..UNPLUGGED).try_for_each(|_| stage.loses_its_cable())?;
    stage.changes("black on white")?;
    stage.sees_the_screen("the cable is back")?;
    stage.types("keyboard with the cable back")?;
    stage.host.kill();
    stage.changes("cyan on black")?;
    stage.host.begin(parts.keeper, Network::Own, &stage.screen)?;
    stage.sees_the_screen("the host is back")?;
    stage.types("keyboard after all that")?;
    stage.clicks("mouse after all that")?;
    stage.follows_a_new_key()?;
    stage.types("keyboard for the host with another key")?;
    stage.figures()?;
    drop(stage);
    found::run(parts)
}

/// What a board without a screen must be able to do: every tile whose hash its host tells is right, whatever breaks.
///
/// # Errors
/// Exit code 1 with what it could not.
pub(super) fn run_blind(parts: &Parts<'_>) -> Result<(), Failure> {
    let mut stage = Stage::set(parts, false)?;
    stage.board.expect("stage Watching", 0)?;
    for (colours, loss, delay) in [
        ("white on navy", 0, Duration::ZERO),
        ("yellow on maroon", LOSS_PERMILLE, DELAY),
        ("black on white", 0, Duration::ZERO),
    ] {
        stage.link.set(loss, delay);
        stage.checks_tiles(colours, colours)?;
    }
    stage.host.kill();
    let from = stage.board.log().len();
    stage.host.begin(parts.keeper, Network::Own, &stage.screen)?;
    stage.board.expect("stage Watching", from)?;
    stage.checks_tiles("the host is back", "cyan on black")?;
    stage.figures()
}

/// A terminal that says a few lines, then gives away every byte that it is given: keys, and clicks as sequences. Returns when
/// it takes them: what is typed before a window is there goes nowhere.
pub(super) fn terminal(
    parts: &Parts<'_>,
    screen: &Screen,
    typed: &Path,
    colours: &str,
) -> Result<Running, Failure> {
    const SCRIPT: &str = "i=0; while [ $i -lt 28 ]; do i=$((i+1)); \
        echo \"$i  the quick brown fox jumps over the lazy dog  $1  0123456789\"; done; \
        printf '\\033[?1000h\\033[?25l'; stty raw -echo; : > \"$2\"; exec cat >> \"$0\"";
    let ready = parts.keeper.scratch().join("terminal-is-ready");
    let _ = fs::remove_file(&ready);
    let (foreground, background) = colours.split_once(" on ").unwrap_or(("white", "black"));
    let mut command = Command::new("xterm");
    // A cursor that blinks, or a pointer that hides, would be a change of its own.
    command.args([
        "-geometry",
        "120x40+10+10",
        "-fg",
        foreground,
        "-bg",
        background,
        "-xrm",
        "XTerm*cursorBlink: false",
        "-xrm",
        "XTerm*waitForMap: true",
    ]);
    command.args(["-e", "sh", "-c", SCRIPT]).arg(typed).arg(colours).arg(&ready);
    screen.aim(&mut command);
    let terminal = parts.keeper.spawn("terminal", &mut command, None)?;
    let is_ready = wait_until(LIMIT, || ready.exists().then_some(()));
    is_ready.ok_or_else(|| {
        Failure::failed(format!("the terminal does not come up\n{}", terminal.last_words()))
    })?;
    Ok(terminal)
}

/// The program that measures from outside, about a host's screen.
pub(super) fn probe_command(words: &[&str], screen: &Screen) -> Command {
    let mut command = Command::new(cargo::target_dir().join("release/wavry-probe"));
    command.args(words).args(["--host", &screen.display]);
    command
}

fn probe(words: &[&str], screen: &Screen, png: Option<&Path>) -> Result<String, Failure> {
    let mut command = probe_command(words, screen);
    if let Some(png) = png {
        command.arg("--png").arg(png);
    }
    answer(&mut command)
}

/// Where the pointer is on a screen.
fn pointer(screen: &Screen) -> Result<(i32, i32), Failure> {
    let mut command = Command::new("xdotool");
    command.args(["getmouselocation", "--shell"]);
    screen.aim(&mut command);
    let answer = answer(&mut command)?;
    let number = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
    match (number("X="), number("Y=")) {
        (Some(x), Some(y)) => Ok((x, y)),
        _ => Err(Failure::failed(format!("xdotool does not say where the pointer is: {answer}"))),
    }
}

/// What a program says.
pub(super) fn answer(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        Failure::failed(format!("cannot run {}: {error}", command.get_program().display()))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(Failure::failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
