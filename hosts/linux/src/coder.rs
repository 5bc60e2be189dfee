//! The encoder, kept in step with the chain of references.
//!
//! A new one is made when frames change their size, or are to be made smaller. It knows neither when to encode nor who watches.

use rift::{Codec, Instant, PictureId, Rectangle, StreamParameters};
use rift_hal::{EncodeRequest, Encoder, EncoderSettings, Frame};
use rift_mio::Clock;
use rift_x264::{Options, Reduction, Scaler, X264Encoder, X264Error};
use tracing::{info, warn};

use crate::chain::{Bounds, Chain, Lead};
use crate::governor::{is_another_rate, picture_bitrate_bps};
use crate::orders::WrongTiles;
use crate::photos::Photo;

/// Encoding threads at most: each more costs every picture a slice and wins less.
const THREADS_MAX: usize = 4;
/// The quantiser aimed for where nothing moves.
const QUANTISER_STILL: u8 = 14;
/// Macroblocks of 16 × 16 pixels that all kept pictures may have (H.264 table A-1, level 5.1).
const KEPT_MACROBLOCKS_MAX: u32 = 184_320;

/// How to encode a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// The time.
    pub(crate) now: Instant,
    /// The rate granted.
    pub(crate) bitrate_bps: u32,
    /// How much smaller than the frame the picture is to be, where that can be done.
    pub(crate) reduction: Option<Reduction>,
    /// What bounds repairs.
    pub(crate) bounds: Bounds,
    /// Whether to aim for the quality of a still picture.
    pub(crate) boost: bool,
    /// All that changed since the last picture; `None`: not known.
    pub(crate) damage: Option<Rectangle>,
    /// The picture's number.
    pub(crate) number: PictureId,
    /// Bytes of the largest picture that may be made.
    pub(crate) picture_len_max: usize,
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// The picture's number.
    pub(crate) id: PictureId,
    /// What it refers to.
    pub(crate) reference: Option<PictureId>,
    /// How it led on.
    pub(crate) lead: Lead,
    /// Pixels across and down.
    pub(crate) size: (u16, u16),
    /// How much smaller than the frame it is.
    pub(crate) reduction: Option<Reduction>,
    /// Its mean quantiser.
    pub(crate) quantiser: u8,
    /// What pictures are from this one on, when that changed.
    pub(crate) parameters: Option<StreamParameters>,
    /// Whether only the damage was read from the frame.
    pub(crate) is_partial: bool,
    /// When its pixels were in the form that the encoder reads, and whether they were copied for that.
    pub(crate) converted_at: Instant,
    /// See above.
    pub(crate) is_copied: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// A picture.
    Made(Made),
    /// There is nothing in it that viewers do not have.
    Nothing,
    /// The encoder failed; the next picture needs no other.
    Failed,
}

/// One lane's encoder.
pub(crate) trait LaneCoder: Send {
    /// A viewer needs a repair, see [`Chain::want`].
    fn want(&mut self, after: Option<PictureId>);

    /// A viewer shows these tiles wrongly.
    fn want_tiles(&mut self, _wrong: &WrongTiles) {}

    /// What of the newest picture's bytes is JPEG: see [`crate::orders::Coded::photos`].
    fn photos(&self) -> &[Photo] {
        &[]
    }

    /// See [`Chain::repair_due`].
    fn repair_due(&self, bounds: &Bounds) -> Option<Instant>;

    /// Makes an encoder for frames of this size, so that nobody need wait for it when there is one.
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn prepare(&mut self, _size: (u32, u32), _bitrate_bps: u32) -> Result<(), X264Error> {
        Ok(())
    }

    /// Encodes a frame into `bytes`.
    ///
    /// # Errors
    /// [`X264Error::Open`] and [`X264Error::Setting`]: there is no encoder for such frames.
    fn encode(&mut self, frame: &Frame<'_>, job: &Job, bytes: &mut Vec<u8>) -> Result<Outcome, X264Error>;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Coder {
    encoder: Option<(X264Encoder, StreamParameters)>,
    /// While pictures are smaller than their source.
    scaler: Option<Scaler>,
    chain: Chain,
    rate_millihertz: u32,
    is_announced: bool,
}

impl Coder {
    /// Numbers pictures from 1.
    pub(crate) fn new(rate_millihertz: u32) -> Self {
        let chain = Chain::new(PictureId(1), 1);
        Self { encoder: None, scaler: None, chain, rate_millihertz, is_announced: false }
    }

    /// Makes pictures of frames of this size so much smaller from now on, or leaves them as they are. Returns their size.
    fn reduce(&mut self, from: (u32, u32), reduction: Option<Reduction>) -> (u32, u32) {
        let is_so = |scaler: &Scaler| reduction.is_some_and(|reduction| scaler.scales() == (from, reduction));
        if !self.scaler.as_ref().is_some_and(is_so) {
            self.scaler = reduction.and_then(|reduction| Scaler::new(from, reduction));
        }
        self.scaler.as_ref().map_or(from, Scaler::size)
    }

    /// Makes an encoder for frames of this size unless there is one.
    fn fit(&mut self, (width, height): (u32, u32), bitrate_bps: u32) -> Result<(), X264Error> {
        let parameters = StreamParameters {
            width: side(width),
            height: side(height),
            rate_millihertz: self.rate_millihertz,
            codec: Codec::H264,
        };
        if self.encoder.as_ref().is_some_and(|(_, current)| *current == parameters) {
            return Ok(());
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX) as u8;
        let options = Options {
            threads,
            slices: threads,
            boost_quantiser: QUANTISER_STILL,
            // A picture waits for no other one's bits.
            buffer_pictures: 1.0,
            ..Options::default()
        };
        let settings = EncoderSettings { width, height, rate_millihertz: self.rate_millihertz, bitrate_bps };
        // Two at once would take the memory of both sizes.
        self.encoder = None;
        let encoder = X264Encoder::new(&settings, &options)?;
        let kept = KEPT_MACROBLOCKS_MAX / (width.div_ceil(16) * height.div_ceil(16));
        self.chain.restart(kept.clamp(1, options.references.into()) as usize);
        self.is_announced = false;
        self.encoder = Some((encoder, parameters));
        info!(width, height, threads, "encoding H.264");
        Ok(())
    }
}

impl LaneCoder for Coder {
    fn want(&mut self, after: Option<PictureId>) {
        self.chain.want(after);
    }

    fn repair_due(&self, bounds: &Bounds) -> Option<Instant> {
        self.chain.repair_due(bounds)
    }

    fn prepare(&mut self, size: (u32, u32), bitrate_bps: u32) -> Result<(), X264Error> {
        self.fit(size, bitrate_bps)
    }

    fn encode(&mut self, frame: &Frame<'_>, job: &Job, bytes: &mut Vec<u8>) -> Result<Outcome, X264Error> {
        let size = self.reduce((frame.width(), frame.height()), job.reduction);
        self.fit(size, job.bitrate_bps)?;
        let (encoder, parameters) = self.encoder.as_mut().expect("it was made to fit");
        self.chain.skip_to(job.number);
        let lead = lead(encoder, &mut self.chain, job);
        let boost = job.boost && lead != Lead::Key;
        tune(encoder, picture_bitrate_bps(job.bitrate_bps, boost), boost);
        let mut reduction = None;
        let (frame, damage) = match &mut self.scaler {
            Some(scaler) => {
                reduction = Some(scaler.scales().1);
                match scaler.scale(frame, job.damage) {
                    Ok(small) => small,
                    Err(error) => {
                        warn!(%error, "a picture was not made smaller");
                        self.scaler = None;
                        return Ok(Outcome::Failed);
                    }
                }
            }
            None => (*frame, job.damage),
        };
        let damage = damage.filter(|_| lead == Lead::On);
        let request = EncodeRequest { id: self.chain.next(), key: lead == Lead::Key, damage };
        let reference = encoder.reference();
        // What is wrong with a frame is said by the encoder itself.
        let is_copied = encoder.convert(&frame, &request).unwrap_or(false) || reduction.is_some();
        let converted_at = Clock::new().now();
        let encoded = match encoder.encode(&frame, &request, &mut |part| bytes.extend_from_slice(part)) {
            Ok(encoded) => encoded,
            Err(error) => {
                warn!(%error, "a picture was not encoded");
                self.encoder = None;
                return Ok(Outcome::Failed);
            }
        };
        let size = (parameters.width, parameters.height);
        let parameters = (!self.is_announced).then_some(*parameters);
        self.is_announced = true;
        let id = self.chain.encoded(job.now, encoded.key);
        Ok(Outcome::Made(Made {
            id,
            reference: reference.filter(|_| !encoded.key),
            lead,
            size,
            reduction,
            quantiser: encoded.quantiser,
            parameters,
            is_partial: damage.is_some(),
            converted_at,
            is_copied,
        }))
    }
}

/// Settles how the next picture leads on, and makes the encoder follow.
fn lead(encoder: &mut X264Encoder, chain: &mut Chain, job: &Job) -> Lead {
    let lead = chain.lead(job.now, &job.bounds);
    let Lead::From(after) = lead else { return lead };
    match encoder.invalidate(PictureId(after.0.saturating_add(1))) {
        Ok(true) => lead,
        Ok(false) => Lead::Key,
        Err(error) => {
            warn!(%error, "a repair needs a key picture");
            Lead::Key
        }
    }
}

/// Gives the encoder its rate and quality. What it refuses stays as it was, and is tried again next time.
fn tune(encoder: &mut X264Encoder, bitrate_bps: u32, boost: bool) {
    if is_another_rate(encoder.bitrate_bps(), bitrate_bps)
        && let Err(error) = encoder.set_bitrate(bitrate_bps)
    {
        warn!(%error, "the bit rate stays");
    }
    if let Err(error) = encoder.set_quality_boost(boost) {
        warn!(%error, "the quality stays");
    }
}

/// A frame's side; [`Frame::SIDE_MAX`] fits.
fn side(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}
