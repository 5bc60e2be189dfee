//! Arguments: words become a [`Command`] once, here; nothing behind this module sees an unparsed word.

mod help;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::Failure;
use crate::board::arguments;
pub use crate::board::arguments::{Board, BoardTask, Flash};
use crate::stages::Stage;
use crate::trials::Trials;

/// A topic `help` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// All commands.
    Rig,
    /// `setup`.
    Setup,
    /// `test`.
    Test,
    /// `demo`.
    Demo,
    /// `bench`.
    Bench,
    /// `vm`.
    Vm,
    /// `fuzz`.
    Fuzz,
    /// `board`.
    Board,
    /// `flash`.
    Flash,
    /// `soak`.
    Soak,
    /// `sizes`.
    Sizes,
    /// `sim`.
    Sim,
    /// `coverage`.
    Coverage,
    /// `arm`.
    Arm,
    /// `mutate`.
    Mutate,
    /// `dist`.
    Dist,
}

/// How the machine is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setup {
    /// Install without asking.
    pub yes: bool,
    /// Take the machine as it is: for systems without apt.
    pub skip: bool,
}

/// What `test` is to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Test {
    /// How the machine is prepared.
    pub setup: Setup,
    /// The stages to run; empty = all.
    pub stages: Vec<Stage>,
    /// Restrict the stages to these packages; empty = the whole workspace.
    pub packages: Vec<String>,
}

/// What `demo` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// How the machine is prepared.
    pub setup: Setup,
    /// Length of the session, seconds, 3 ..= 86400.
    pub seconds: u32,
    /// Run the client without a window.
    pub headless: bool,
    /// How client and host reach each other; `None` = on this machine's loopback.
    pub via: Option<Via>,
}

/// How client and host reach each other where neither knows a way to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Introduced by a gateway, directly through the NATs of both.
    Gateway,
    /// Introduced by a gateway, through a relay: their NATs let nothing else pass.
    Relay,
}

/// What `bench` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bench {
    /// How the machine is prepared.
    pub setup: Setup,
    /// The benchmark's name.
    pub name: String,
    /// Where its rows go, one JSON object a line.
    pub json: PathBuf,
    /// Exit with 1 when a goal is missed.
    pub strict: bool,
    /// Where pictures of the runs go, for benchmarks that draw them.
    pub plots: Option<PathBuf>,
}

/// What `vm` is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmTask {
    /// The tests that need real drivers.
    Test {
        /// How often each fault of a card is injected, 1 ..= 10000.
        rounds: u32,
    },
    /// A line of shell.
    Command(String),
    /// The tests' own program, with these arguments and nothing else.
    Soak(String),
}

/// What `vm` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// What runs in the guest.
    pub task: VmTask,
    /// Kernel modules, `NAME` or `NAME:PARAMETER=VALUE,…` with `;` for a comma in a value; empty = a capture card and
    /// uinput.
    pub modules: Vec<String>,
    /// The directory whose files are in `/payload`.
    pub payload: Option<PathBuf>,
    /// The directory that is `/out`.
    pub out: Option<PathBuf>,
    /// Real time the guest may take, seconds, 1 ..= 86400.
    pub seconds: u32,
    /// Whether the guest's clock follows the machine's.
    pub real_time: bool,
    /// Whether the command sees the machine's own files.
    pub machine: bool,
}

/// What `fuzz` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fuzz {
    /// How long each surface, seconds.
    pub seconds: u32,
    /// What the fuzzer's chance begins with; `None` = something new.
    pub seed: Option<u32>,
    /// Which; empty = all.
    pub surfaces: Vec<String>,
}

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print the help of a topic.
    Help(Topic),
    /// Install what the build and the tests need.
    Setup(Setup),
    /// Everything CI checks.
    Test(Test),
    /// A session, shown.
    Demo(Demo),
    /// A measurement beside its rivals.
    Bench(Bench),
    /// Something on a real kernel in a VM.
    Vm(Vm),
    /// Attack surfaces under a fuzzer.
    Fuzz(Fuzz),
    /// The client for boards, on one.
    Board(Board),
    /// The client for boards, written to a real one.
    Flash(Flash),
    /// What the protocol takes of a board's memories.
    Sizes(Setup),
    /// Sessions against faults and floods, in virtual time.
    Trials(Trials),
    /// How much of the protocol the committed inputs run through.
    Coverage(Setup),
    /// Kernels for ARM, in an emulator.
    Arm(Setup),
    /// Broken rules that tests must notice.
    Mutate(Vec<String>),
    /// Attacks on gateway and relay, one after the other.
    Abuse,
    /// Packages for Debian.
    Dist(Setup),
}

const COMMANDS: [(&str, Topic); 16] = [
    ("setup", Topic::Setup),
    ("test", Topic::Test),
    ("demo", Topic::Demo),
    ("bench", Topic::Bench),
    ("vm", Topic::Vm),
    ("fuzz", Topic::Fuzz),
    ("board", Topic::Board),
    ("flash", Topic::Flash),
    ("soak", Topic::Soak),
    ("sizes", Topic::Sizes),
    ("sim", Topic::Sim),
    ("coverage", Topic::Coverage),
    ("arm", Topic::Arm),
    ("mutate", Topic::Mutate),
    ("dist", Topic::Dist),
    ("help", Topic::Rig),
];
const DEMO_SECONDS: u32 = 20;
const VM_SECONDS: u32 = 180;

/// Reads the words after the program's name.
///
/// # Errors
/// An unknown command, stage or option, a missing or malformed value: exit code 2, with the nearest suggestion.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    let mut parser = lexopt::Parser::from_args(words);
    match parser.next().map_err(complaint)? {
        None | Some(Short('h') | Long("help")) => Ok(Command::Help(Topic::Rig)),
        Some(Value(word)) => match topic(&word)? {
            Topic::Rig => help_command(&mut parser),
            Topic::Setup => setup(parser),
            Topic::Test => test(parser),
            Topic::Demo => demo(parser),
            Topic::Bench => bench(parser),
            Topic::Vm => vm(parser),
            Topic::Fuzz => fuzz(parser),
            Topic::Board => arguments::board(parser),
            Topic::Flash => arguments::flash(parser),
            Topic::Soak => crate::soak::parse(parser),
            Topic::Sizes => prepared(parser, Topic::Sizes, Command::Sizes),
            Topic::Coverage => prepared(parser, Topic::Coverage, Command::Coverage),
            Topic::Arm => prepared(parser, Topic::Arm, Command::Arm),
            Topic::Mutate => crate::mutate::parse(parser),
            Topic::Dist => prepared(parser, Topic::Dist, Command::Dist),
            Topic::Sim => crate::trials::parse(parser),
        },
        Some(other @ (Short(_) | Long(_))) => Err(complaint(other.unexpected())),
    }
}

fn topic(word: &OsString) -> Result<Topic, Failure> {
    let word = word.to_string_lossy();
    COMMANDS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|&(_, topic)| topic)
        .ok_or_else(|| unknown("command", &word, COMMANDS.iter().map(|&(name, _)| name)))
}

fn help_command(parser: &mut lexopt::Parser) -> Result<Command, Failure> {
    match parser.next().map_err(complaint)? {
        Some(Value(word)) => topic(&word).map(Command::Help),
        None | Some(Short('h') | Long("help")) => Ok(Command::Help(Topic::Rig)),
        Some(other @ (Short(_) | Long(_))) => Err(complaint(other.unexpected())),
    }
}

fn setup(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut options = Setup::default();
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("yes") | Short('y') => options.yes = true,
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Setup)),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    Ok(Command::Setup(options))
}

fn test(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut options = Test::default();
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("yes") | Short('y') => options.setup.yes = true,
            Long("no-setup") => options.setup.skip = true,
            // For those who work on one crate; CI never uses it, so the help is silent about it.
            Long("package") | Short('p') => options.packages.push(text(&mut parser)?),
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Test)),
            Value(name) => {
                let name = name.to_string_lossy();
                let stage = Stage::ALL.into_iter().find(|stage| stage.name() == name);
                options.stages.push(
                    stage.ok_or_else(|| {
                        unknown("stage", &name, Stage::ALL.iter().map(|stage| stage.name()))
                    })?,
                );
            }
            other @ (Short(_) | Long(_)) => return Err(complaint(other.unexpected())),
        }
    }
    Ok(Command::Test(options))
}

fn vm(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut vm = Vm {
        task: VmTask::Test { rounds: 1 },
        modules: Vec::new(),
        payload: None,
        out: None,
        seconds: VM_SECONDS,
        real_time: false,
        machine: false,
    };
    let (mut test, mut words) = (false, Vec::new());
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("test") => test = true,
            Long("rounds") => vm.task = VmTask::Test { rounds: number("--rounds", &mut parser, 1..=10_000)? },
            Long("module") | Short('m') => vm.modules.push(text(&mut parser)?),
            Long("payload") => vm.payload = Some(PathBuf::from(parser.value().map_err(complaint)?)),
            Long("out") => vm.out = Some(PathBuf::from(parser.value().map_err(complaint)?)),
            Long("real-time") => vm.real_time = true,
            Long("machine") => vm.machine = true,
            Long("seconds") => vm.seconds = number("--seconds", &mut parser, 1..=86_400)?,
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Vm)),
            Value(word) => {
                words.push(word.to_string_lossy().into_owned());
                let rest = parser.raw_args().map_err(complaint)?;
                words.extend(rest.map(|word| word.to_string_lossy().into_owned()));
            }
            other @ (Short(_) | Long(_)) => return Err(complaint(other.unexpected())),
        }
    }
    match (test, words.is_empty()) {
        (true, true) => Ok(Command::Vm(vm)),
        (false, false) => Ok(Command::Vm(Vm { task: VmTask::Command(words.join(" ")), ..vm })),
        _ => Err(Failure::unusable("`vm` takes either --test or a command: `cargo rig vm -- ls /dev`")),
    }
}

fn fuzz(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut options = Fuzz { seconds: 60, seed: None, surfaces: Vec::new() };
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("minutes") => {
                let minutes = text(&mut parser)?;
                let parsed: Option<u32> = minutes.parse().ok().filter(|n| (1..=1440).contains(n));
                let complaint = || {
                    Failure::unusable(format!(
                        "--minutes takes a whole number from 1 to 1440, not `{minutes}`"
                    ))
                };
                options.seconds = 60 * parsed.ok_or_else(complaint)?;
            }
            Long("seed") => {
                let seed = text(&mut parser)?;
                // The fuzzer takes 0 for none.
                let parsed: Option<u32> = seed.parse().ok().filter(|&seed| seed > 0);
                let complaint = || {
                    Failure::unusable(format!(
                        "--seed takes a whole number from 1 to {}, not `{seed}`",
                        u32::MAX
                    ))
                };
                options.seed = Some(parsed.ok_or_else(complaint)?);
            }
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Fuzz)),
            Value(word) => options.surfaces.push(word.to_string_lossy().into_owned()),
            other @ (Short(_) | Long(_)) => return Err(complaint(other.unexpected())),
        }
    }
    Ok(Command::Fuzz(options))
}

/// A command that takes nothing but how the machine is prepared.
fn prepared(
    mut parser: lexopt::Parser,
    topic: Topic,
    command: fn(Setup) -> Command,
) -> Result<Command, Failure> {
    let mut options = Setup::default();
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("yes") | Short('y') => options.yes = true,
            Long("no-setup") => options.skip = true,
            Long("help") | Short('h') => return Ok(Command::Help(topic)),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    Ok(command(options))
}

fn demo(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut options = Demo { setup: Setup::default(), seconds: DEMO_SECONDS, headless: false, via: None };
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("yes") | Short('y') => options.setup.yes = true,
            Long("no-setup") => options.setup.skip = true,
            Long("headless") => options.headless = true,
            Long("via") => {
                let word = parser.value().map_err(complaint)?;
                options.via = Some(match word.to_str() {
                    Some("gateway") => Via::Gateway,
                    Some("relay") => Via::Relay,
                    _ => return Err(Failure::unusable("--via takes gateway or relay")),
                });
            }
            Long("seconds") => options.seconds = number("--seconds", &mut parser, 3..=86_400)?,
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Demo)),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    Ok(Command::Demo(options))
}

fn bench(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let (mut setup, mut name, mut json, mut strict) = (Setup::default(), None, None, false);
    let mut plots = None;
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("yes") | Short('y') => setup.yes = true,
            Long("no-setup") => setup.skip = true,
            Long("json") => json = Some(PathBuf::from(parser.value().map_err(complaint)?)),
            Long("strict") => strict = true,
            Long("plots") => plots = Some(PathBuf::from(parser.value().map_err(complaint)?)),
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Bench)),
            Value(word) if name.is_none() => name = Some(word.to_string_lossy().into_owned()),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    let name =
        name.ok_or_else(|| Failure::unusable("which benchmark? Try `cargo rig bench core --json FILE`"))?;
    let json =
        json.ok_or_else(|| Failure::unusable(format!("`bench {name}` needs --json FILE for its rows")))?;
    Ok(Command::Bench(Bench { setup, name, json, strict, plots }))
}

pub(crate) fn number(
    option: &str,
    parser: &mut lexopt::Parser,
    range: core::ops::RangeInclusive<u32>,
) -> Result<u32, Failure> {
    let word = text(parser)?;
    word.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        Failure::unusable(format!(
            "{option} takes a whole number from {} to {}, not `{word}`",
            range.start(),
            range.end()
        ))
    })
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Failure> {
    parser.value().map(|value| value.to_string_lossy().into_owned()).map_err(complaint)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn complaint(error: lexopt::Error) -> Failure {
    Failure::unusable(format!("{error}; `cargo rig help` lists what there is"))
}

pub(crate) fn unknown<'a>(kind: &str, word: &str, known: impl Iterator<Item = &'a str> + Clone) -> Failure {
    let nearest = known.clone().min_by_key(|name| distance(word, name));
    let hint = nearest.filter(|name| distance(word, name) <= 2).map_or_else(
        || format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
        |name| format!("did you mean `{name}`?"),
    );
    Failure::unusable(format!("no {kind} is called `{word}`; {hint}"))
}

/// Letters to insert, delete or replace to turn one word into the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 1..=to.len() {
            let replaced = diagonal + usize::from(letter != to[column - 1]);
            diagonal = row[column];
            row[column] = replaced.min(row[column] + 1).min(row[column - 1] + 1);
        }
    }
    row[to.len()]
}

/// The text `help` prints for a topic.
#[must_use]
pub const fn help(topic: Topic) -> &'static str {
    match topic {
        Topic::Rig => help::RIG,
        Topic::Setup => help::SETUP,
        Topic::Test => help::TEST,
        Topic::Demo => help::DEMO,
        Topic::Bench => help::BENCH,
        Topic::Vm => help::VM,
        Topic::Fuzz => help::FUZZ,
        Topic::Board => arguments::BOARD_HELP,
        Topic::Flash => arguments::FLASH_HELP,
        Topic::Sizes => help::SIZES,
        Topic::Soak => crate::soak::HELP,
        Topic::Sim => crate::trials::HELP,
        Topic::Coverage => crate::coverage::HELP,
        Topic::Arm => crate::arm::HELP,
        Topic::Mutate => crate::mutate::HELP,
        Topic::Dist => crate::dist::HELP,
    }
}
