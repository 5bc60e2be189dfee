//! `soak`: faults in the VM for so long that what leaks is seen, or hostile datagrams for so long that what gives way is.
//! Parsed here, run as `vm` and `sim` are.

use lexopt::prelude::*;

use crate::Failure;
use crate::args::{Command, Topic, Vm, VmTask, complaint, number};
use crate::trials::Trials;

const ROUNDS: u32 = 200;
const MINUTES: u32 = 30;
const SEED: u32 = 1;
const DATAGRAMS: u32 = 100_000_000;
/// Real time that a soak may take, seconds: an emulated processor is slow, and slower on a busy machine.
const SECONDS: u32 = 6 * 3600;

/// Reads the words after `soak`.
///
/// # Errors
/// An unknown option, a missing or malformed value: exit code 2.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let (mut name, mut rounds, mut minutes, mut seed) = (None, ROUNDS, MINUTES, SEED);
    let mut datagrams = DATAGRAMS;
    while let Some(word) = parser.next().map_err(complaint)? {
        match word {
            Long("rounds") => rounds = number("--rounds", &mut parser, 2..=10_000)?,
            Long("minutes") => minutes = number("--minutes", &mut parser, 1..=1440)?,
            Long("seed") => seed = number("--seed", &mut parser, 0..=u32::MAX)?,
            Long("datagrams") => datagrams = number("--datagrams", &mut parser, 1..=u32::MAX)?,
            Long("help") | Short('h') => return Ok(Command::Help(Topic::Soak)),
            Value(word) if name.is_none() => name = Some(word.to_string_lossy().into_owned()),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(complaint(other.unexpected())),
        }
    }
    let arguments = match name.as_deref() {
        Some("cards") => format!("card {rounds}"),
        Some("session") => format!("storm {minutes} {seed}"),
        Some("hostile") => {
            let words = ["hostile", "--datagrams", &datagrams.to_string(), "--seed", &seed.to_string()];
            return Ok(Command::Trials(Trials { words: words.map(str::to_owned).to_vec() }));
        }
        Some("abuse") => return Ok(Command::Abuse),
        _ => {
            return Err(Failure::unusable("what is to be soaked? There are: cards, session, hostile, abuse"));
        }
    };
    Ok(Command::Vm(Vm {
        task: VmTask::Soak(arguments),
        modules: Vec::new(),
        payload: None,
        out: None,
        seconds: SECONDS,
        real_time: false,
        machine: false,
    }))
}

pub(crate) const HELP: &str = "\
cargo rig soak cards [--rounds N]
cargo rig soak session [--minutes N] [--seed N]
cargo rig soak hostile [--datagrams N] [--seed N]
cargo rig soak abuse

Boots the VM and injects faults into its capture card for a long time, in virtual time: `cards` every fault N times on
the capture layer, `session` faults at random into one session of the host's program and a client. Fails when a fault is
not survived within its bounds, a descriptor leaks, or memory rises by more than 1 kB a fault.

`hostile` needs no VM: it sends random, truncated, replayed, changed and foreign datagrams to both ends of a session in
the simulator, and fails unless both do to the last byte what they do without. Then it measures a session at 50 Mbit/s
beside 100000 such datagrams a second, which one core must have time for.

`abuse` needs no VM either: it attacks a gateway and a relay in every way that is known, and says of each what it proves.

  --rounds N      how often each fault is injected, 2 to 10000 (200)
  --minutes N     how long the session is, 1 to 1440 (30)
  --datagrams N   how many hostile datagrams (100000000)
  --seed N        decides which faults and datagrams come (1)";
