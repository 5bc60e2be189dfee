//! The command line, read once.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::failure::Failure;

/// What is printed beside a complaint.
pub(crate) const HELP: &str =
    "usage: wavry-bench NAME --json FILE [--strict] [--quick] [--blocks N] [--n N] [--only NAME,…] [--plots DIR]
  NAME      core: what the protocol costs by itself; of the options below takes --json, --strict and --only
            arq:   pictures late or lost by what is asked for, in virtual time; --n is the number of seeds
            delta: congestion control beside its rivals, in virtual time; --n is the number of seeds
            fec:   pictures lost by erasure code, in virtual time, and what the codes cost; --n as above
            gateway: two thousand devices on loopback, a gateway killed, and introductions; takes no --blocks or --n
            glass: from drawing on the host's screen to the viewer's framebuffer
            input: from an event at the viewer's window to a program on the host
            pacing: how late paced datagrams leave over real sockets, and what that costs; options as of core
            relay: what forwarding costs, in namespaces of its own; needs root, takes no --blocks or --n
            live:  a link that changes, and a download beside, between namespaces and over real sockets
            tiles: bytes and time of pictures for boards; no screen is needed
  --json    where the rows go, one JSON object a line
  --strict  exit with 1 when a goal is missed
  --quick   two small blocks, to see that everything runs; its figures prove nothing
  --blocks  how many interleaved blocks [default: 5]
  --n       how many events per case, pair and block [glass: 400, input: 200]
  --plots   delta, live: a directory for pictures of rate, queue and delay over time (SVG)
  --only    only these pairs, such as wavry,x11vnc; the rows of the others fail. Of core only these parts: seal, packets,
            handshake, picture, sockets, memory, fec
Programs of ours are taken from the directory WAVRY_BIN, or else from target/release of the main workspace.";

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bench {
    /// Asking for what is lost.
    Arq,
    /// The protocol by itself.
    Core,
    /// Congestion control.
    Delta,
    /// Erasure codes.
    Fec,
    /// Many devices at a gateway.
    Gateway,
    /// Draw to framebuffer.
    Glass,
    /// Event to event, and event to picture.
    Input,
    /// Leaving in time.
    Pacing,
    /// Forwarding.
    Relay,
    /// A link that changes under real sockets.
    Live,
    /// Pictures for boards.
    Tiles,
}

impl Bench {
    const ALL: [Self; 11] = [
        Self::Arq,
        Self::Core,
        Self::Delta,
        Self::Fec,
        Self::Gateway,
        Self::Glass,
        Self::Input,
        Self::Live,
        Self::Pacing,
        Self::Relay,
        Self::Tiles,
    ];

    /// Its stable name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Arq => "arq",
            Self::Core => "core",
            Self::Delta => "delta",
            Self::Fec => "fec",
            Self::Gateway => "gateway",
            Self::Glass => "glass",
            Self::Input => "input",
            Self::Pacing => "pacing",
            Self::Relay => "relay",
            Self::Live => "live",
            Self::Tiles => "tiles",
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Which benchmark.
    pub(crate) bench: Bench,
    /// Where the rows go.
    pub(crate) json: PathBuf,
    /// Exit with 1 when a goal is missed.
    pub(crate) strict: bool,
    /// Small blocks, to see that everything runs.
    pub(crate) quick: bool,
    /// Number of interleaved blocks, if stated.
    pub(crate) blocks: Option<usize>,
    /// Number of events per case, pair and block, if stated.
    pub(crate) n: Option<usize>,
    /// Names of pairs or parts to run; empty = all.
    pub(crate) only: Vec<String>,
    /// Where pictures of the runs go.
    pub(crate) plots: Option<PathBuf>,
}

impl Options {
    /// Blocks and events per block, given the benchmark's own usual numbers.
    pub(crate) fn volume(&self, usual: Volume) -> Volume {
        let fallback = if self.quick { Volume { blocks: 2, n: 40 } } else { usual };
        Volume { blocks: self.blocks.unwrap_or(fallback.blocks), n: self.n.unwrap_or(fallback.n) }
    }

    /// Whether this pair, or part, is to run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Interleaved blocks: in each, every pair takes its turn.
    pub(crate) blocks: usize,
    /// Events per case and pair in each block.
    pub(crate) n: usize,
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Options, Failure> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut bench = None;
    let mut json = None;
    let (mut strict, mut quick, mut blocks, mut n) = (false, false, None, None);
    let (mut only, mut plots) = (Vec::new(), None);
    while let Some(word) = parser.next()? {
        match word {
            Value(name) if bench.is_none() => {
                let name = name.to_string_lossy();
                let known = Bench::ALL.into_iter().find(|bench| bench.name() == name);
                bench = Some(known.ok_or_else(|| format!("there is no benchmark `{name}`"))?);
            }
            Long("json") => json = Some(PathBuf::from(parser.value()?)),
            Long("plots") => plots = Some(PathBuf::from(parser.value()?)),
            Long("strict") => strict = true,
            Long("quick") => quick = true,
            Long("blocks") => blocks = Some(parser.value()?.parse::<usize>()?.max(1)),
            Long("n") => n = Some(parser.value()?.parse::<usize>()?.max(1)),
            Long("only") => {
                only = parser.value()?.to_string_lossy().split(',').map(str::to_owned).collect();
            }
            Value(_) | Short(_) | Long(_) => return Err(word.unexpected().into()),
        }
    }
    let bench = bench.ok_or("which benchmark?")?;
    let json = json.ok_or("where should the rows go? (--json FILE)")?;
    Ok(Options { bench, json, strict, quick, blocks, n, only, plots })
}
