//! The encoder of tiles, kept in step with the chain of references.
//!
//! Every viewer of the lane shows the same, so one encoder serves them all. What a viewer lost is told again, and
//! nothing else: the encoder knows which picture changed which tile.

use rift::limits::RECTANGLES_MAX;
use rift::{Codec, Instant, PictureId, StreamParameters};
use rift_hal::Frame;
use rift_mio::Clock;
use rift_tiles::{Encoder, Grid, Memory, Parts, Pixel, Request, Sizes, TileRecord, TileSet};
use rift_x264::X264Error;
use tracing::{info, warn};

use crate::chain::{Bounds, Chain, Lead};
use crate::coder::{Job, LaneCoder, Made, Outcome};
use crate::orders::WrongTiles;
use crate::photos::{Photo, Photos};

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
/// What each rectangle of JPEG adds to that.
const RECTANGLE_LEN: usize = 16;

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
    /// For viewers with an engine for JPEG.
    photos: Option<Photos>,
    /// The tiles of a picture, on their way to its bytes.
    told: Vec<u8>,
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
            photos: None,
            told: Vec::new(),
        }
    }

    /// The same, which shows photographs as JPEG at first.
    pub(crate) fn with_photos(rate_millihertz: u32, out_len: usize) -> Self {
        Self { photos: Some(Photos::new()), ..Self::new(rate_millihertz, out_len) }
    }

    /// Begins a picture with those of its tiles that are photographs, within `room` bytes; puts their JPEG into `bytes`, which
    /// it empties.
    fn take_photos(&mut self, frame: &Frame<'_>, job: &Job, lead: Lead, room: usize, bytes: &mut Vec<u8>) {
        bytes.clear();
        let (Some(photos), Some((encoder, _))) = (&mut self.photos, &mut self.encoder) else { return };
        photos.forget();
        let mut words = vec![0; TileSet::words(encoder.grid())];
        let Some(mut set) = TileSet::new(encoder.grid(), &mut words).filter(|_| !job.boost) else { return };
        // The tiles that are left need room as well.
        let rest = RECTANGLES_MAX * RECTANGLE_LEN + Encoder::<P, Vectors>::OUT_MIN;
        let most = self.out_len.min(job.picture_len_max).saturating_sub(HEAD_LEN + rest).min(room);
        let damage = job.damage.filter(|_| lead == Lead::On);
        let is_told = encoder.differing(frame, damage, &mut set).is_ok();
        photos.encode(frame, &mut set, if is_told { most } else { 0 }, bytes);
        if let Err(error) = encoder.lend(job.number.0, frame, &set) {
            warn!(%error, "photographs are left out");
            photos.forget();
            bytes.clear();
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

    fn photos(&self) -> &[Photo] {
        self.photos.as_ref().map_or(&[], Photos::made)
    }

    fn repair_due(&self, bounds: &Bounds) -> Option<Instant> {
        self.chain.repair_due(bounds)
    }

    fn encode(&mut self, frame: &Frame<'_>, job: &Job, bytes: &mut Vec<u8>) -> Result<Outcome, X264Error> {
        if !self.fit(frame) {
            return Ok(Outcome::Failed);
        }
        let (encoder, _) = self.encoder.as_mut().expect("it was made to fit");
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
        self.take_photos(frame, job, lead, soft_len, bytes);
        let (photos_len, has_photos) = (bytes.len(), !self.photos().is_empty());
        let room = room.saturating_sub(photos_len + self.photos().len() * RECTANGLE_LEN);
        let (encoder, parameters) = self.encoder.as_mut().expect("it was made to fit");
        let told = if has_photos { &mut self.told } else { &mut *bytes };
        told.resize(room.max(Encoder::<P, Vectors>::OUT_MIN), 0);
        let is_check_due = job.now.micros_since(self.checked_at) >= CHECK_US || lead != Lead::On;
        let request = Request {
            id: job.number.0,
            damage: job.damage.filter(|_| lead == Lead::On && !job.boost),
            soft_len: Some(soft_len),
            refines: job.boost,
            checks: if is_check_due { CHECKS } else { 0 },
        };
        let encoded = match encoder.encode(frame, &request, told) {
            Ok(encoded) => encoded,
            Err(error) => {
                warn!(%error, "a picture was not encoded");
                self.encoder = None;
                return Ok(Outcome::Failed);
            }
        };
        told.truncate(encoded.len);
        if has_photos {
            bytes.extend_from_slice(&self.told);
        }
        if !encoded.is_news && !has_photos && lead == Lead::On {
            return Ok(Outcome::Nothing);
        }
        if is_check_due {
            self.checked_at = job.now;
        }
        let size = (parameters.width, parameters.height);
        let parameters = (!self.is_announced).then_some(*parameters);
        self.is_announced = true;
        let id = self.chain.encoded(job.now, lead == Lead::Key);
        Ok(Outcome::Made(Made {
            id,
            reference,
            lead,
            size,
            reduction: None,
            quantiser: if encoded.is_exact { 0 } else { 51 },
            parameters,
            is_partial: request.damage.is_some(),
            converted_at: Clock::new().now(),
            is_copied: false,
        }))
    }
}

#[cfg(test)]
mod tests {
    use rift::Rectangle;
    use rift_hal::{PixelFormat, Plane};
    use rift_tiles::{Decoder, Rgb565, Screen};
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;

    use super::*;

    const WIDTH: usize = 320;
    const HEIGHT: usize = 200;

    /// What a host shows: a photograph on the left, few colours on the right.
    struct Desktop(Vec<u8>);

    impl Desktop {
        fn new(seed: usize) -> Self {
            let mut pixels = vec![0; WIDTH * HEIGHT * 4];
            for (at, pixel) in pixels.chunks_exact_mut(4).enumerate() {
                let (x, y) = (at % WIDTH, at / WIDTH);
                // To and fro: a photograph has no edges as sharp as those of the other half.
                let wave = |at: usize| if at % 512 < 256 { at % 256 } else { 255 - at % 256 };
                let smooth = [x + seed, x + y + seed, 2 * y + seed].map(wave);
                let plain = if (x / 3 + y / 5 + seed).is_multiple_of(7) { [240; 3] } else { [16; 3] };
                let colour = if x < 192 { smooth } else { plain };
                pixel[..3].copy_from_slice(&colour.map(|colour| colour as u8));
            }
            Self(pixels)
        }

        fn frame(&self) -> Frame<'_> {
            let planes = [Plane { data: &self.0, stride: WIDTH * 4 }, Plane::EMPTY, Plane::EMPTY];
            Frame::new(PixelFormat::Bgrx, WIDTH as u32, HEIGHT as u32, planes, Instant::ZERO).unwrap()
        }

        /// As a board has it.
        fn rgb565(&self) -> Vec<u8> {
            let narrow = |pixel: &[u8]| {
                let [blue, green, red] = [pixel[0], pixel[1], pixel[2]].map(u16::from);
                (red >> 3 << 11 | green >> 2 << 5 | blue >> 3).to_le_bytes()
            };
            self.0.chunks_exact(4).flat_map(narrow).collect()
        }
    }

    /// A board with an engine.
    struct Viewer {
        pixels: Vec<u8>,
        decoder: Decoder,
        /// Rectangles of JPEG shown so far.
        photos: usize,
    }

    impl Viewer {
        fn new() -> Self {
            Self { pixels: vec![0; WIDTH * HEIGHT * 2], decoder: Decoder::new(), photos: 0 }
        }

        fn show(&mut self, photos: &[Photo], mut bytes: &[u8]) {
            for &(place, len) in photos {
                let (photo, rest) = bytes.split_at(len);
                let rgb = JpegDecoder::new(ZCursor::new(photo)).decode().unwrap();
                for (at, pixel) in rgb.chunks_exact(3).enumerate() {
                    let x = usize::from(place.x) + at % usize::from(place.width);
                    let y = usize::from(place.y) + at / usize::from(place.width);
                    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u16::from);
                    let value = red >> 3 << 11 | green >> 2 << 5 | blue >> 3;
                    self.pixels[(y * WIDTH + x) * 2..][..2].copy_from_slice(&value.to_le_bytes());
                }
                self.photos += 1;
                bytes = rest;
            }
            let (width, height) = (WIDTH as u16, HEIGHT as u16);
            let mut screen = Screen::<Rgb565>::new(&mut self.pixels, WIDTH * 2, width, height).unwrap();
            let decoded = self.decoder.decode(bytes, &mut screen, None).unwrap();
            assert_eq!(decoded.wrong, 0, "hashes of what is known alone");
        }

        /// The most by which a channel is off, in steps of five bits.
        fn worst(&self, desktop: &Desktop) -> u16 {
            let words = |bytes: &[u8]| {
                bytes.as_chunks::<2>().0.iter().map(|pixel| u16::from_le_bytes(*pixel)).collect::<Vec<_>>()
            };
            let off = |one: u16, other: u16| {
                [11, 6, 0].map(|shift| (one >> shift & 31).abs_diff(other >> shift & 31)).into_iter().max()
            };
            let (own, theirs) = (words(&self.pixels), words(&desktop.rgb565()));
            own.iter().zip(&theirs).filter_map(|(&one, &other)| off(one, other)).max().unwrap_or(0)
        }
    }

    struct Host {
        coder: TileCoder<Rgb565>,
        bytes: Vec<u8>,
        id: u32,
    }

    impl Host {
        fn new() -> Self {
            Self { coder: TileCoder::with_photos(60_000, 1 << 20), bytes: Vec::new(), id: 0 }
        }

        /// Encodes the next picture; `None` when there is nothing to tell.
        fn encode(&mut self, desktop: &Desktop, boost: bool) -> Option<Made> {
            self.id += 1;
            let damage = Rectangle::sized(WIDTH as u16, HEIGHT as u16);
            let job = Job {
                now: Instant::from_millis(u64::from(self.id) * 20),
                bitrate_bps: 20_000_000,
                reduction: None,
                bounds: Bounds { round_trip_us: 1_000, anyone_has_picture: self.id > 1 },
                boost,
                damage: Some(if boost { Rectangle::default() } else { damage }),
                number: PictureId(self.id),
                picture_len_max: 1 << 20,
            };
            match self.coder.encode(&desktop.frame(), &job, &mut self.bytes).unwrap() {
                Outcome::Made(made) => Some(made),
                Outcome::Nothing => None,
                Outcome::Failed => panic!("no picture"),
            }
        }

        /// Refines until everything is exact.
        fn settle(&mut self, desktop: &Desktop, viewer: &mut Viewer) {
            for _ in 0..50 {
                let Some(made) = self.encode(desktop, true) else { return };
                assert!(self.coder.photos().is_empty());
                viewer.show(&[], &self.bytes);
                if made.quantiser == 0 {
                    return;
                }
            }
            panic!("it never becomes exact");
        }
    }

    /// SPEC §11.10.
    #[test]
    fn photographs_are_jpeg_at_first_and_exact_when_the_screen_is_still() {
        let (mut host, mut viewer) = (Host::new(), Viewer::new());
        for seed in [3, 60, 140] {
            let desktop = Desktop::new(seed);
            let made = host.encode(&desktop, false).expect("a change");
            let photos = host.coder.photos();
            let is_left = |(place, _): &Photo| place.x + place.width <= 192;
            assert!(!photos.is_empty() && photos.iter().all(is_left), "{photos:?}");
            assert!(made.quantiser > 0, "it is to be refined");
            viewer.show(host.coder.photos(), &host.bytes);
            assert!(viewer.worst(&desktop) <= 6, "{}", viewer.worst(&desktop));
            host.settle(&desktop, &mut viewer);
            assert_eq!(viewer.pixels, desktop.rgb565(), "seed {seed}");
        }
        assert!(viewer.photos > 6);
    }

    #[test]
    fn photograph_that_was_lost_or_changes_before_it_was_refined_is_told_again() {
        let (mut host, mut viewer) = (Host::new(), Viewer::new());
        let desktop = Desktop::new(1);
        host.encode(&desktop, false).expect("a change");
        viewer.show(host.coder.photos(), &host.bytes);
        host.settle(&desktop, &mut viewer);
        let before = PictureId(host.id);
        // This one is lost.
        let desktop = Desktop::new(90);
        host.encode(&desktop, false).expect("a change");
        assert!(!host.coder.photos().is_empty());
        host.coder.want(Some(before));
        let made = host.encode(&desktop, false).expect("a repair");
        assert!(matches!(made.lead, Lead::From(_)), "{:?}", made.lead);
        viewer.show(host.coder.photos(), &host.bytes);
        // One that changes again and again.
        for seed in [20, 40, 60] {
            let desktop = Desktop::new(seed);
            host.encode(&desktop, false).expect("a change");
            viewer.show(host.coder.photos(), &host.bytes);
        }
        let desktop = Desktop::new(60);
        host.settle(&desktop, &mut viewer);
        assert_eq!(viewer.pixels, desktop.rgb565());
    }
}
