//! Who codes: our encoder and decoder, and the rivals.

use rift::{Instant, Rectangle};
use rift_hal::{Frame, PixelFormat, Plane};
use rift_tiles::{Decoder, Encoder, Grid, Memory, Parts, Pixel, Request, Screen, Sizes, TileRecord};
use rustix::time::{ClockId, clock_gettime};

use super::scenes::Canvas;
use crate::failure::Failure;

/// What QOI puts around its pixels: a head of 14 bytes and an end of 8.
const QOI_AROUND: usize = 22;
/// What zlib puts around its data (RFC 1950): 2 bytes and a checksum of 4.
const ZLIB_AROUND: usize = 6;
/// zlib's usual level.
const ZLIB_LEVEL: u8 = 6;

/// Bytes, nanoseconds to encode, nanoseconds to decode.
type Measured = (usize, f64, f64);

struct Vectors {
    shown: Vec<u32>,
    tiles: Vec<TileRecord>,
    block: Vec<u32>,
    cells: Vec<u32>,
    moves: Vec<u32>,
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

/// Our encoder, and our decoder with its screen.
pub(super) struct Ours<P> {
    encoder: Encoder<P, Vectors>,
    decoder: Box<Decoder>,
    screen: Vec<u8>,
    out: Vec<u8>,
    id: u32,
}

impl<P: Pixel> Ours<P> {
    pub(super) fn new(width: u16, height: u16) -> Result<Self, Failure> {
        let grid = Grid::new(width, height).ok_or("a screen has pixels")?;
        let sizes = Sizes::of(grid);
        let memory = Vectors {
            shown: vec![0; sizes.shown],
            tiles: vec![TileRecord::EMPTY; sizes.tiles],
            block: vec![0; sizes.block],
            cells: vec![0; sizes.cells],
            moves: vec![0; 1 << 16],
        };
        Ok(Self {
            encoder: Encoder::new(grid, memory).map_err(|error| error.to_string())?,
            decoder: Box::new(Decoder::new()),
            screen: vec![0; grid.pixels() * P::BYTES],
            out: vec![0; grid.pixels() * 8],
            id: 0,
        })
    }

    /// Encodes, decodes, and looks whether what shows is right.
    pub(super) fn picture(
        &mut self,
        canvas: &Canvas,
        damage: Option<Rectangle>,
        soft_len: Option<usize>,
    ) -> Result<Measured, Failure> {
        self.id += 1;
        let request = Request { id: self.id, damage, soft_len, refines: false, checks: 0 };
        let frame = canvas.frame().map_err(|error| error.to_string())?;
        let start = processor_nanos();
        let encoded = self.encoder.encode(&frame, &request, &mut self.out);
        let encode = processor_nanos() - start;
        let encoded = encoded.map_err(|error| error.to_string())?;
        let (width, height) = (canvas.width, canvas.height);
        let stride = usize::from(width) * P::BYTES;
        let mut screen =
            Screen::<P>::new(&mut self.screen, stride, width, height).map_err(|error| error.to_string())?;
        let start = processor_nanos();
        let decoded = self.decoder.decode(&self.out[..encoded.len], &mut screen, None);
        let decode = processor_nanos() - start;
        decoded.map_err(|error| error.to_string())?;
        let is_right = !encoded.is_exact
            || (0..height).all(|y| (0..width).all(|x| screen.pixel(x, y) == P::of_rgb888(canvas.at(x, y))));
        if !is_right {
            return Err("a decoded picture is not what was encoded".into());
        }
        let len = if encoded.is_news { encoded.len } else { 0 };
        Ok((len, encode, decode))
    }
}

/// Codes a rectangle's pixels, three bytes each.
pub(super) trait Rival {
    fn picture(&self, rgb: &[u8], width: u32, height: u32) -> Result<Measured, Failure>;
}

/// The Quite OK Image format.
pub(super) struct Qoi;

impl Rival for Qoi {
    fn picture(&self, rgb: &[u8], width: u32, height: u32) -> Result<Measured, Failure> {
        let start = processor_nanos();
        let coded = qoi::encode_to_vec(rgb, width, height).map_err(|error| error.to_string())?;
        let encode = processor_nanos() - start;
        let start = processor_nanos();
        let (_, decoded) = qoi::decode_to_vec(&coded).map_err(|error| error.to_string())?;
        let decode = processor_nanos() - start;
        if decoded != rgb {
            return Err("QOI did not give back what it was given".into());
        }
        Ok((coded.len() - QOI_AROUND, encode, decode))
    }
}

/// Deflate in zlib's format.
pub(super) struct Zlib;

impl Rival for Zlib {
    fn picture(&self, rgb: &[u8], _width: u32, _height: u32) -> Result<Measured, Failure> {
        let start = processor_nanos();
        let coded = miniz_oxide::deflate::compress_to_vec_zlib(rgb, ZLIB_LEVEL);
        let encode = processor_nanos() - start;
        let start = processor_nanos();
        let decoded =
            miniz_oxide::inflate::decompress_to_vec_zlib(&coded).map_err(|error| error.to_string())?;
        let decode = processor_nanos() - start;
        if decoded != rgb {
            return Err("zlib did not give back what it was given".into());
        }
        Ok((coded.len() - ZLIB_AROUND, encode, decode))
    }
}

impl Canvas {
    fn frame(&self) -> Result<Frame<'_>, rift_hal::FrameError> {
        let plane = Plane { data: &self.bytes, stride: usize::from(self.width) * 4 };
        let planes = [plane, Plane::EMPTY, Plane::EMPTY];
        Frame::new(PixelFormat::Bgrx, self.width.into(), self.height.into(), planes, Instant::ZERO)
    }
}

/// Processor time of this thread, in nanoseconds.
fn processor_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
