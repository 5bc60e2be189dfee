//! `input`: from an event at the viewer's window to a program on the host, and back to a pixel.
//!
//! Events are injected by XTEST on the viewer's screen, so that the viewer cannot tell them from a person's, and are
//! heard by a plain X client on the host's. One process does both, so one clock takes both times.

mod recorder;
mod tester;

use core::time::Duration;

use x11rb::protocol::xproto::{BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, KEY_PRESS_EVENT, KEY_RELEASE_EVENT};

use recorder::{Heard, Recorder, probe};
use tester::{KEYCODE, Tester};

use crate::args::{Options, Volume};
use crate::clock::{Chance, millis, now, pause};
use crate::contest::{Contest, Course, Held, Measured, Rule, Turn};
use crate::cost::Meter;
use crate::failure::Failure;
use crate::pairs::{Display, Kind, Pair, Stage};
use crate::report::Row;
use crate::x::{Eye, HEIGHT, WIDTH};

const USUAL: Volume = Volume { blocks: 5, n: 200 };
/// An event that is not heard within this time counts as lost, and as this long.
const EVENT_LIMIT: Duration = Duration::from_secs(1);
/// So many lost in a row, and the pair has failed.
const LOST_IN_A_ROW_MAX: usize = 5;
/// Between hearing an event and the next one.
const WAIT: (Duration, Duration) = (Duration::from_millis(15), Duration::from_millis(35));
/// How long a key or button is held at least.
const HOLD: Duration = Duration::from_millis(10);
/// How long a pair may take until a key comes through, from its start.
const FIRST_LIMIT: Duration = Duration::from_secs(20);
const FIRST_EVENT_LIMIT: Duration = Duration::from_millis(500);
const FIRST_EVENTS: usize = 3;
const WARM_UP_EVENTS: usize = 10;
/// How far from an edge the pointer stays.
const MARGIN: u16 = 100;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// A key is pressed.
    Key,
    /// The pointer moves.
    Motion,
    /// A button is pressed.
    Button,
    /// A key is pressed, a program on the host changes a patch, and the viewer shows it.
    Loop,
}

impl Case {
    const ALL: [Self; 4] = [Self::Key, Self::Motion, Self::Button, Self::Loop];

    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Motion => "motion",
            Self::Button => "button",
            Self::Loop => "loop",
        }
    }
}

/// Measures everybody and says how it went.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let stage = Stage::set()?;
    let mut bench = InputBench::open(&stage, options.volume(USUAL))?;
    let course = Course {
        bench: "input",
        ours: Kind::Ours(Display::X11),
        displays: Vec::new(),
        rivals: vec![Kind::X11vnc, Kind::X0tigervnc],
    };
    let cases = Case::ALL.map(Case::name);
    let contest = Contest::run(&course.kinds(), &cases, bench.volume, |kind, block| {
        if !options.wants(kind.name()) {
            return Err("left out by --only".into());
        }
        eprintln!("bench input: block {}, {}", block + 1, kind.name());
        bench.turn(kind)
    });
    let near = Rule::Near { rival: Kind::X11vnc.name(), plus: 2.0 };
    let held = |case: Case| match case {
        Case::Key | Case::Motion | Case::Button => {
            Held { case: case.name(), p50: Rule::Within { limit: 0.6 }, p95: Rule::Shown, p99: false }
        }
        Case::Loop => Held { case: case.name(), p50: near, p95: near, p99: false },
    };
    Ok(Case::ALL.iter().flat_map(|case| course.rows(&contest, held(*case))).collect())
}

/// What injects and what hears.
struct InputBench<'a> {
    stage: &'a Stage,
    recorder: Recorder,
    tester: Tester,
    eye: Eye,
    chance: Chance,
    volume: Volume,
}

impl<'a> InputBench<'a> {
    fn open(stage: &'a Stage, volume: Volume) -> Result<Self, Failure> {
        Ok(Self {
            stage,
            recorder: Recorder::start(&stage.host)?,
            tester: Tester::open(&stage.viewer)?,
            eye: Eye::open(&stage.viewer)?,
            chance: Chance::new(0x1a9),
            volume,
        })
    }

    /// One pair, from its start to its end, through every case.
    fn turn(&mut self, kind: Kind) -> Result<Turn, Failure> {
        let pair = kind.start(self.stage)?;
        let tell = |failure: Failure| -> Failure { format!("{failure}; {}", pair.last_words()).into() };
        self.wait_for_first_key().map_err(tell)?;
        let mut measure = |case| self.measure(case, &pair).map_err(tell);
        Ok(Case::ALL.into_iter().map(|case| (case.name(), measure(case))).collect())
    }

    fn measure(&mut self, case: Case, pair: &Pair) -> Result<Measured, Failure> {
        for _ in 0..WARM_UP_EVENTS {
            self.event(case, EVENT_LIMIT)?;
        }
        let mut measured = Measured::default();
        let [host, viewer] = pair.groups();
        let meter = Meter::start([host, viewer, self.stage.host.group(), self.stage.viewer.group()]);
        let mut lost_in_a_row = 0;
        for _ in 0..self.volume.n {
            let arrived = self.event(case, EVENT_LIMIT)?;
            measured.latency.push(millis(arrived.unwrap_or(EVENT_LIMIT)));
            lost_in_a_row = if arrived.is_none() { lost_in_a_row + 1 } else { 0 };
            measured.lost += usize::from(arrived.is_none());
            if lost_in_a_row > LOST_IN_A_ROW_MAX {
                return Err("nothing arrives any more".into());
            }
        }
        measured.cost = meter.read();
        Ok(measured)
    }

    /// The viewer's window has the keyboard and a key comes through, several times in a row.
    fn wait_for_first_key(&mut self) -> Result<(), Failure> {
        self.tester.take_window()?;
        let end = now() + FIRST_LIMIT;
        let mut heard = 0;
        while heard < FIRST_EVENTS {
            if now() > end {
                return Err("no key arrives on the host".into());
            }
            self.tester.focus()?;
            let arrived = self.event(Case::Key, FIRST_EVENT_LIMIT)?;
            heard = if arrived.is_some() { heard + 1 } else { 0 };
        }
        Ok(())
    }

    /// Does it once, after a pause, and how long it took; `None` = it did not arrive.
    fn event(&mut self, case: Case, limit: Duration) -> Result<Option<Duration>, Failure> {
        pause(self.chance.between(WAIT.0, WAIT.1));
        self.recorder.forget();
        match case {
            Case::Key => self.press(KEY_PRESS_EVENT, KEY_RELEASE_EVENT, KEYCODE, limit),
            Case::Button => self.press(BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, 1, limit),
            Case::Motion => {
                let (x, y) = (self.within(WIDTH)?, self.within(HEIGHT)?);
                let at = self.tester.move_to(x, y)?;
                let heard = self.recorder.wait_for(Heard::Motion { x, y }, limit);
                Ok(heard.map(|heard| heard - at))
            }
            Case::Loop => self.round(limit),
        }
    }

    fn within(&mut self, size: u16) -> Result<i16, Failure> {
        let at = self.chance.below(u64::from(size - 2 * MARGIN)) + u64::from(MARGIN);
        Ok(i16::try_from(at)?)
    }

    /// Presses and releases; the time is that of the press.
    fn press(
        &self,
        press: u8,
        release: u8,
        detail: u8,
        limit: Duration,
    ) -> Result<Option<Duration>, Failure> {
        let at = self.tester.inject(press, detail)?;
        let heard = self.recorder.wait_for(Heard::Press { kind: press, detail }, limit);
        pause(HOLD);
        self.tester.inject(release, detail)?;
        // The next press must find it released on the host as well.
        self.recorder.wait_for(Heard::Press { kind: release, detail }, limit);
        Ok(heard.map(|heard| heard - at))
    }

    /// A key press that the program on the host answers with another colour.
    fn round(&self, limit: Duration) -> Result<Option<Duration>, Failure> {
        let (old, new) = self.recorder.arm();
        let at = self.tester.inject(KEY_PRESS_EVENT, KEYCODE)?;
        let seen = self.eye.wait_for(probe(), old, new, limit)?;
        self.recorder.disarm();
        pause(HOLD);
        self.tester.inject(KEY_RELEASE_EVENT, KEYCODE)?;
        self.recorder.wait_for(Heard::Press { kind: KEY_RELEASE_EVENT, detail: KEYCODE }, limit);
        Ok(seen.map(|seen| seen - at))
    }
}
