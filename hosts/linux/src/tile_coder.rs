//! The encoder of tiles, kept in step with the chain of references.
//!
//! Every viewer of the lane shows the same, so one encoder serves them all. What a viewer lost is told again, and
//! nothing else: the encoder knows which picture changed which tile.

use rift::{Codec, Instant, PictureId, StreamParameters};
use rift_hal::Frame;
use rift_mio::Clock;
use rift_tiles::{Encoder, Grid, Memory, Parts, Pixel, Request, Sizes, TileRecord, TileSet};
use rift_x264::X264Error;
use tracing::{info, warn};

use crate::chain::{Bounds, Chain, Lead};
use crate::coder::{Job, LaneCoder, Made, Outcome};
use crate::orders::WrongTiles;

/// Pictures that a viewer may be led back from: what a picture's head can refer to.
const KEPT: usize = 64;
/// Words of the table in which moves are looked for: one for each sixteen pixels of a large screen.
const MOVES: usize = 1 << 17;
/// What a picture that shows a change may take to leave, in microseconds of the granted rate: more of it comes later,
/// and better.
const CHANGE_US: u64 = 25_000;
/// What a picture that refines may take.
const REFINE_US: u64 = 100_000;
/// Bytes that a picture may always have: below, it is not the bytes that take time.
const SOFT_MIN: usize = 4096;
/// How often hashes ride along, in microseconds, and of how many tiles.
const CHECK_US: u64 = 1_000_000;
const CHECKS: u32 = 8;
/// Bytes around a picture's own: its head.
const HEAD_LEN: usize = 64;

struct Vectors {
    shown: Vec<u32>,
    tiles: Vec<TileRecord>,
    block: Vec<u32>,
    cells: Vec<u32>,
    moves: Vec<u32>,
}

impl Vectors {
    fn new(grid: Grid) -> Self {
        let sizes = Sizes::of(grid);
        Self {
            shown: vec![0; sizes.shown],
            tiles: vec![TileRecord::EMPTY; sizes.tiles],
            block: vec![0; sizes.block],
            cells: vec![0; sizes.cells],
            moves: vec![0; MOVES],
        }
    }
}

impl Memory for Vectors {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            shown: &mut self.shown,
            tiles: &mut self.tiles,
            block: &mut self.block,
            cells: &mut self.cells,
            moves: &mut self.moves,
        }
    }
}

/// See the module.
pub(crate) struct TileCoder<P> {
    encoder: Option<(Encoder<P, Vectors>, StreamParameters)>,
    chain: Chain,
    rate_millihertz: u32,
    is_announced: bool,
    checked_at: Instant,
    out_len: usize,
}

impl<P: Pixel> TileCoder<P> {
    /// `out_len`: bytes of the largest picture that can be sent.
    pub(crate) fn new(rate_millihertz: u32, out_len: usize) -> Self {
        Self {
            encoder: None,
            chain: Chain::new(PictureId(1), KEPT),
            rate_millihertz,
            is_announced: false,
            checked_at: Instant::ZERO,
            out_len,
        }
    }

    /// Makes an encoder for frames like this one unless there is one. `false`: there is none for such frames.
    fn fit(&mut self, frame: &Frame<'_>) -> bool {
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        let parameters = StreamParameters {
            width: side(frame.width()),
            height: side(frame.height()),
            rate_millihertz: self.rate_millihertz,
            codec: Codec::Tiles,
        };
        if self.encoder.as_ref().is_some_and(|(_, current)| *current == parameters) {
            return true;
        }
        let Some(grid) = Grid::new(parameters.width, parameters.height) else { return false };
        let Ok(encoder) = Encoder::new(grid, Vectors::new(grid)) else { return false };
        self.chain.restart(KEPT);
        self.is_announced = false;
        self.encoder = Some((encoder, parameters));
        info!(parameters.width, parameters.height, format = ?P::FORMAT, "encoding tiles");
        true
    }
}

impl<P: Pixel + Send> LaneCoder for TileCoder<P> {
    fn want(&mut self, after: Option<PictureId>) {
        self.chain.want(after);
    }

    fn want_tiles(&mut self, wrong: &WrongTiles) {
        let Some((encoder, _)) = &mut self.encoder else { return };
        let mut words = vec![0; TileSet::words(encoder.grid())];
        let Some(mut set) = TileSet::new(encoder.grid(), &mut words) else { return };
        set.read(wrong.as_bytes());
        warn!(tiles = set.len(), "a viewer shows tiles wrongly; they are told again");
        encoder.repair_tiles(&set);
        // The newest picture is there; only what it shows is not right.
        let newest = PictureId(self.chain.next().0.saturating_sub(1));
        self.chain.want(Some(self.chain.reference().unwrap_or(newest)));
    }

    fn repair_due(&self, bounds: &Bounds) -> Option<Instant> {
        self.chain.repair_due(bounds)
    }

    fn encode(&mut self, frame: &Frame<'_>, job: &Job, bytes: &mut Vec<u8>) -> Result<Outcome, X264Error> {
        if !self.fit(frame) {
            return Ok(Outcome::Failed);
        }
        let (encoder, parameters) = self.encoder.as_mut().expect("it was made to fit");
        self.chain.skip_to(job.number);
        let lead = self.chain.lead(job.now, &job.bounds);
        match lead {
            Lead::On => {}
            Lead::From(after) => {
                encoder.repair(after.0);
            }
            Lead::Key => encoder.restart(),
        }
        let reference = if lead == Lead::Key { None } else { self.chain.reference() };
        let within = |micros: u64| (u64::from(job.bitrate_bps) * micros / 8_000_000) as usize;
        let soft_len = within(if job.boost { REFINE_US } else { CHANGE_US }).max(SOFT_MIN);
        let room = self.out_len.min(job.picture_len_max).saturating_sub(HEAD_LEN);
        bytes.resize(room.max(Encoder::<P, Vectors>::OUT_MIN), 0);
        let is_check_due = job.now.micros_since(self.checked_at) >= CHECK_US || lead != Lead::On;
        let request = Request {
            id: job.number.0,
            damage: job.damage.filter(|_| lead == Lead::On && !job.boost),
            soft_len: Some(soft_len),
            refines: job.boost,
            checks: if is_check_due { CHECKS } else { 0 },
        };
        let encoded = match encoder.encode(frame, &request, bytes) {
            Ok(encoded) => encoded,
            Err(error) => {
                warn!(%error, "a picture was not encoded");
                self.encoder = None;
                return Ok(Outcome::Failed);
            }
        };
        bytes.truncate(encoded.len);
        if !encoded.is_news && lead == Lead::On {
            return Ok(Outcome::Nothing);
        }
        if is_check_due {
            self.checked_at = job.now;
        }
        let parameters = (!self.is_announced).then_some(*parameters);
        self.is_announced = true;
        let id = self.chain.encoded(job.now, lead == Lead::Key);
        Ok(Outcome::Made(Made {
            id,
            reference,
            lead,
            quantiser: if encoded.is_exact { 0 } else { 51 },
            parameters,
            is_partial: request.damage.is_some(),
            converted_at: Clock::new().now(),
            is_copied: false,
        }))
    }
}
