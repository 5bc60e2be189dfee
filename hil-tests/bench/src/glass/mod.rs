//! `glass`: from drawing on the host's screen to the viewer's framebuffer.
//!
//! One process draws on one virtual screen and looks at the other, so one clock takes both times. No monitor and no
//! camera are in it: the figure is called draw-to-framebuffer.

mod quality;
mod scene;

use core::time::Duration;
use std::collections::BTreeMap;

use x11rb::rust_connection::RustConnection;

pub(crate) use quality::Quality;
use scene::{Case, Scene};

use crate::args::{Options, Volume};
use crate::clock::{Chance, millis, now, pause, pause_until};
use crate::contest::{Contest, Course, Held, Measured, Rule, Turn};
use crate::cost::Meter;
use crate::failure::Failure;
use crate::pairs::{Display, Kind, Pair, Stage};
use crate::report::{Row, rounded};
use crate::x::{Eye, fill_screen, park_pointer};

/// Blocks, and flips in each: together enough for a 99th percentile.
const USUAL: Volume = Volume { blocks: 5, n: 400 };
/// A flip that is not seen within this time counts as lost, and as this long.
const FLIP_LIMIT: Duration = Duration::from_secs(2);
/// So many lost in a row, and the pair has failed.
const LOST_IN_A_ROW_MAX: usize = 5;
/// Between seeing a flip and the next one: longer than a period at 60 Hz, so that it falls anywhere in one.
const WAIT: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(60));
/// How long a pair may take until it follows what is drawn, from its start.
const SIGHT_LIMIT: Duration = Duration::from_secs(20);
/// Flips in a row that must be seen before measuring, and so many more that are seen but not counted.
const SIGHT_FLIPS: usize = 3;
const WARM_UP_FLIPS: usize = 10;
/// When a screen that is still again is looked at.
const STILL_AFTER: Duration = Duration::from_millis(300);
const STILL_SAMPLES: usize = 5;
/// What a screen that stands still must have reached by then, dB of luma.
const STILL_PSNR_MIN: f64 = 45.0;

/// Measures everybody and says how it went.
pub(crate) fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let stage = Stage::set()?;
    let mut studio = Studio::open(&stage, options.volume(USUAL))?;
    let course = Course {
        bench: "glass",
        ours: Kind::Ours(Display::X11),
        displays: vec![Kind::Ours(Display::Minifb), Kind::Ours(Display::MinifbPlain)],
        rivals: vec![Kind::X11vnc, Kind::X0tigervnc, Kind::Gstreamer],
    };
    let cases = Case::ALL.map(Case::name);
    let contest = Contest::run(&course.kinds(), &cases, studio.volume, |kind, block| {
        if !options.wants(kind.name()) {
            return Err("left out by --only".into());
        }
        eprintln!("bench glass: block {}, {}", block + 1, kind.name());
        studio.turn(kind)
    });
    let near = Rule::Near { rival: Kind::X11vnc.name(), plus: 2.0 };
    let (far, ahead) = (Rule::Ahead { factor: 1.7 }, Rule::Ahead { factor: 1.0 });
    let held = |case: Case| match case {
        Case::Flat => Held { case: case.name(), p50: near, p95: near, p99: true },
        Case::Page | Case::Scroll => Held { case: case.name(), p50: far, p95: ahead, p99: true },
    };
    let mut rows: Vec<Row> = Case::ALL.iter().flat_map(|case| course.rows(&contest, held(*case))).collect();
    rows.extend(still_rows(&course, &contest));
    Ok(rows)
}

/// How a screen looks `STILL_AFTER` its last change: a page of black text has a goal; coloured text, whose chroma a
/// subsampled picture cannot hold, is shown beside it.
fn still_rows(course: &Course, contest: &Contest) -> [Row; 2] {
    let goal = Some(STILL_PSNR_MIN);
    [
        still_row(course, contest, ("psnr_300ms", &[Case::Page]), goal),
        still_row(course, contest, ("psnr_300ms_coloured", &[Case::Flat, Case::Scroll]), None),
    ]
}

/// The worst picture that anybody showed in these cases.
fn still_row(
    course: &Course,
    contest: &Contest,
    (metric, cases): (&'static str, &[Case]),
    goal: Option<f64>,
) -> Row {
    let samples = |kind: Kind| {
        let entries = cases.iter().filter_map(move |case| contest.entry(case.name(), kind));
        entries.flat_map(|entry| &entry.quality)
    };
    let worst = |kind| samples(kind).map(|quality| quality.psnr_luma).reduce(f64::min).map(rounded);
    let ours = worst(course.ours);
    let rivals: BTreeMap<&'static str, Option<f64>> =
        course.rivals.iter().map(|&kind| (kind.name(), worst(kind))).collect();
    let mut why: Vec<String> = rivals
        .iter()
        .filter(|(_, figure)| figure.is_none())
        .map(|(name, _)| format!("{name} gives no figure"))
        .collect();
    match (ours, goal) {
        (None, _) => why.push("we give no figure".to_owned()),
        (Some(ours), Some(goal)) if ours < goal => why.push(format!("{ours:.2} is less than {goal:.2}")),
        (Some(_), _) => {}
    }
    let mut extras = course.circumstances(contest, &why);
    extras.insert("rule", "luma of the worst picture, at least the goal; 99 stands for an exact one".into());
    Row {
        bench: course.bench,
        case: "still",
        metric,
        unit: "dB",
        ours,
        rivals,
        goal,
        met: why.is_empty(),
        n: samples(course.ours).count(),
        extras,
    }
}

/// What draws and what looks.
struct Studio<'a> {
    stage: &'a Stage,
    scene: Scene,
    host_eye: Eye,
    viewer_eye: Eye,
    viewer: RustConnection,
    chance: Chance,
    volume: Volume,
}

impl<'a> Studio<'a> {
    fn open(stage: &'a Stage, volume: Volume) -> Result<Self, Failure> {
        let viewer = stage.viewer.connect()?;
        park_pointer(&viewer)?;
        Ok(Self {
            stage,
            scene: Scene::open(&stage.host)?,
            host_eye: Eye::open(&stage.host)?,
            viewer_eye: Eye::open(&stage.viewer)?,
            viewer,
            chance: Chance::new(0x5eed),
            volume,
        })
    }

    /// One pair, from its start to its end, through every case.
    fn turn(&mut self, kind: Kind) -> Result<Turn, Failure> {
        let pair = kind.start(self.stage)?;
        let mut measure = |case| self.measure(case, &pair).map_err(|failure| tell(&failure, &pair));
        Ok(Case::ALL.into_iter().map(|case| (case.name(), measure(case))).collect())
    }

    fn measure(&mut self, case: Case, pair: &Pair) -> Result<Measured, Failure> {
        fill_screen(&self.viewer)?;
        self.scene.show(case)?;
        self.wait_for_sight()?;
        for _ in 0..WARM_UP_FLIPS {
            pause(self.chance.between(WAIT.0, WAIT.1));
            self.flip()?;
        }
        let mut measured = Measured::default();
        let [host, viewer] = pair.groups();
        let meter = Meter::start([host, viewer, self.stage.host.group(), self.stage.viewer.group()]);
        let mut lost_in_a_row = 0;
        for _ in 0..self.volume.n {
            pause(self.chance.between(WAIT.0, WAIT.1));
            let seen = self.flip()?;
            measured.latency.push(millis(seen.unwrap_or(FLIP_LIMIT)));
            lost_in_a_row = if seen.is_none() { lost_in_a_row + 1 } else { 0 };
            measured.lost += usize::from(seen.is_none());
            if lost_in_a_row > LOST_IN_A_ROW_MAX {
                return Err("nothing arrives any more".into());
            }
        }
        measured.cost = meter.read();
        for _ in 0..STILL_SAMPLES {
            measured.quality.push(self.look(case)?);
        }
        Ok(measured)
    }

    /// Flips, and how long it took until that was seen; `None` = it was not.
    fn flip(&mut self) -> Result<Option<Duration>, Failure> {
        let flip = self.scene.flip()?;
        let seen = self.viewer_eye.wait_for(self.scene.probe(), flip.old, flip.new, FLIP_LIMIT)?;
        Ok(seen.map(|seen| seen - flip.at))
    }

    fn wait_for_sight(&mut self) -> Result<(), Failure> {
        let end = now() + SIGHT_LIMIT;
        let mut seen = 0;
        while seen < SIGHT_FLIPS {
            if now() > end {
                return Err("the viewer does not show what is drawn on the host".into());
            }
            seen = if self.flip()?.is_some() { seen + 1 } else { 0 };
            pause(WAIT.1);
        }
        Ok(())
    }

    /// How good it looks: text while it moves, everything once it has been still for a moment.
    fn look(&mut self, case: Case) -> Result<Quality, Failure> {
        pause(WAIT.1);
        let moving = match case {
            Case::Scroll => Some((self.viewer_eye.image()?, self.host_eye.image()?)),
            Case::Flat | Case::Page => None,
        };
        let hold = self.scene.hold_still();
        let flip = self.scene.flip()?;
        pause_until(flip.at + STILL_AFTER);
        let shown = self.viewer_eye.image()?;
        let drawn = self.host_eye.image()?;
        drop(hold);
        let mut quality = Quality::of(&shown, &drawn, case.text_area());
        if let Some((shown, drawn)) = moving {
            quality.sharpness_moving = Quality::of(&shown, &drawn, case.text_area()).sharpness;
        }
        Ok(quality)
    }
}

/// A failure, with what both ends said last.
fn tell(failure: &Failure, pair: &Pair) -> Failure {
    format!("{failure}; {}", pair.last_words()).into()
}
