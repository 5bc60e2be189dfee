//! Tiles: any bytes to a decoder, which draws or refuses them; and what an encoder makes of any screen, which a decoder
//! shows (tiles' SPEC §1.3, §2.4).

use rift::Instant;
use rift_hal::{Frame, PixelFormat, Plane};
use rift_tiles::{
    Decoder, Encoder, Grid, Memory, OPERATION_WORK, Parts, Pixel, Request, Rgb565, Rgb888, Screen, Sizes,
    TileRecord, TileSet,
};

use crate::bytes::{Bytes, Noise};

struct Vectors(Vec<u32>, Vec<TileRecord>, Vec<u32>, Vec<u32>, Vec<u32>);

impl Memory for Vectors {
    fn parts(&mut self) -> Parts<'_> {
        let Self(shown, tiles, block, cells, moves) = self;
        Parts { shown, tiles, block, cells, moves }
    }
}

/// Draws bytes, or screens; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let kind = bytes.u8();
    let grid = Grid::new(1 + u16::from(bytes.u8()), 1 + u16::from(bytes.u8()) / 2).expect("not empty");
    match kind % 4 {
        0 => draw::<Rgb888>(grid, bytes.rest()),
        1 => draw::<Rgb565>(grid, bytes.rest()),
        2 => show::<Rgb888>(grid, &mut bytes),
        _ => show::<Rgb565>(grid, &mut bytes),
    }
}

/// A viewer's pixels, with some beside every row that nobody may write.
struct Viewer {
    grid: Grid,
    pixels: Vec<u8>,
    stride: usize,
    words: Vec<u32>,
    decoder: Decoder,
}

const BESIDE: usize = 3;
const UNTOUCHED: u8 = 0xa5;

impl Viewer {
    fn new<P: Pixel>(grid: Grid) -> Self {
        let stride = usize::from(grid.width()) * P::BYTES + BESIDE;
        let pixels = vec![UNTOUCHED; stride * usize::from(grid.height())];
        Self { grid, pixels, stride, words: vec![0; TileSet::words(grid)], decoder: Decoder::new() }
    }

    /// Draws a picture; `None` when it was refused. Gives how many tiles are wrong.
    fn draw<P: Pixel>(&mut self, picture: &[u8]) -> Option<u32> {
        let (width, height) = (self.grid.width(), self.grid.height());
        let mut screen = Screen::<P>::new(&mut self.pixels, self.stride, width, height).expect("it fits");
        let mut wrong = TileSet::new(self.grid, &mut self.words).expect("enough words");
        let decoded = self.decoder.decode(picture, &mut screen, Some(&mut wrong));
        if let Ok(decoded) = &decoded {
            let damage = decoded.damage;
            assert!(damage.x + damage.width <= width && damage.y + damage.height <= height, "inside");
            assert!(decoded.wrong <= decoded.checked, "what is wrong was looked at");
            let most = Decoder::work_max(self.grid) / OPERATION_WORK * 16;
            assert!(u64::from(decoded.checked) <= most, "work is bounded");
        }
        for row in self.pixels.chunks(self.stride) {
            let beside = &row[usize::from(width) * P::BYTES..];
            assert!(beside.iter().all(|&byte| byte == UNTOUCHED), "nothing is written beside the screen");
        }
        decoded.ok().map(|decoded| decoded.wrong)
    }
}

/// Pictures from bytes: the same bytes on the same screen draw the same.
fn draw<P: Pixel>(grid: Grid, data: &[u8]) {
    let mut viewers = [Viewer::new::<P>(grid), Viewer::new::<P>(grid)];
    let mut bytes = Bytes::new(data);
    for _ in 0..4 {
        // Mostly of the right version and format.
        let head = match bytes.u8() {
            head @ 0..=15 => head,
            head => 0x10 | (u8::from(P::FORMAT == PixelFormat::Rgb565) << 1) | (head & 1),
        };
        let picture = [&[head], bytes.run(2000)].concat();
        let [one, other] = &mut viewers;
        assert_eq!(one.draw::<P>(&picture), other.draw::<P>(&picture), "the same picture");
        assert!(one.pixels == other.pixels, "the same screen");
        if bytes.is_empty() {
            return;
        }
    }
}

/// What an honest encoder makes of a screen of this size, drawn from `script`: for a fuzzer to start from.
///
/// # Panics
/// When the encoder does not do what it promises.
#[must_use]
pub fn sample(width: u8, height: u8, script: &[u8]) -> Vec<u8> {
    let grid = Grid::new(width.into(), height.into()).expect("not empty");
    let mut encoder = Encoder::<Rgb888, Vectors>::new(grid, vectors(grid)).expect("memory of the right size");
    let (width, height) = (usize::from(width), usize::from(height));
    let mut canvas = vec![0; width * height * 4];
    let mut bytes = Bytes::new(script);
    while !bytes.is_empty() {
        stroke(&mut canvas, (width, height), &mut bytes);
    }
    let planes = [Plane { data: &canvas, stride: width * 4 }, Plane::EMPTY, Plane::EMPTY];
    let (w, h) = (grid.width().into(), grid.height().into());
    let frame = Frame::new(PixelFormat::Bgrx, w, h, planes, Instant::ZERO).expect("a frame");
    let mut out = vec![0; 100_000];
    let request = Request { id: 1, damage: None, soft_len: None, refines: false, checks: 1 };
    let len = encoder.encode(&frame, &request, &mut out).expect("there is room").len;
    out.truncate(len);
    out
}

fn vectors(grid: Grid) -> Vectors {
    let sizes = Sizes::of(grid);
    Vectors(
        vec![0; sizes.shown],
        vec![TileRecord::EMPTY; sizes.tiles],
        vec![0; sizes.block],
        vec![0; sizes.cells],
        vec![0; 4096],
    )
}

/// Screens from bytes: what the encoder says is exact is what shows.
fn show<P: Pixel>(grid: Grid, bytes: &mut Bytes<'_>) {
    let mut encoder = Encoder::<P, Vectors>::new(grid, vectors(grid)).expect("memory of the right size");
    let mut viewer = Viewer::new::<P>(grid);
    let (width, height) = (usize::from(grid.width()), usize::from(grid.height()));
    let mut canvas = vec![0; width * height * 4];
    let mut out = vec![0; 40_000 + canvas.len() * 4];
    let mut complete = 0;
    for id in 1..=8 {
        stroke(&mut canvas, (width, height), bytes);
        let flags = bytes.u8();
        if flags & 1 == 1 {
            encoder.repair(complete);
        }
        let room = if flags & 2 == 2 { 20_600 + usize::from(bytes.u16()) } else { out.len() }.min(out.len());
        let soft_len = (flags & 4 == 4).then(|| usize::from(bytes.u16()));
        let refines = flags & 128 != 0;
        let request = Request { id, damage: None, soft_len, refines, checks: u32::from(flags >> 3) % 20 };
        let plane = Plane { data: &canvas, stride: width * 4 };
        let planes = [plane, Plane::EMPTY, Plane::EMPTY];
        let (w, h) = (grid.width().into(), grid.height().into());
        let frame = Frame::new(PixelFormat::Bgrx, w, h, planes, Instant::ZERO).expect("a frame");
        let encoded = encoder.encode(&frame, &request, &mut out[..room]).expect("there is room");
        assert!(encoded.len <= room, "no more than there is room for");
        assert_eq!(viewer.draw::<P>(&out[..encoded.len]), Some(0), "an encoder's picture is drawn");
        if encoded.is_exact {
            complete = id;
            must_show::<P>(&mut viewer, &canvas);
        }
        if bytes.is_empty() {
            return;
        }
    }
}

fn must_show<P: Pixel>(viewer: &mut Viewer, canvas: &[u8]) {
    let (width, height) = (viewer.grid.width(), viewer.grid.height());
    let screen = Screen::<P>::new(&mut viewer.pixels, viewer.stride, width, height).expect("it fits");
    for (index, pixel) in canvas.chunks_exact(4).enumerate() {
        let (x, y) = (index % usize::from(width), index / usize::from(width));
        let wanted = P::of_rgb888(u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]));
        assert_eq!(screen.pixel(x as u16, y as u16), wanted, "at {x}, {y}");
    }
}

/// Changes a canvas: a rectangle of one colour, of few, of many, or all of it moved.
fn stroke(canvas: &mut [u8], (width, height): (usize, usize), bytes: &mut Bytes<'_>) {
    let (x, y) = (usize::from(bytes.u8()) % width, usize::from(bytes.u8()) % height);
    let (across, down) =
        (1 + usize::from(bytes.u8()) % (width - x), 1 + usize::from(bytes.u8()) % (height - y));
    let kind = bytes.u8();
    let mut noise = Noise::new(bytes.u8().into());
    if kind % 5 == 4 {
        return canvas.rotate_left((y * width + x) * 4);
    }
    for row in y..y + down {
        for column in x..x + across {
            let colour = match kind % 5 {
                0 => 0x0033_6699,
                1 => 0x00ff_ffff * (noise.u64() >> 40 & 1) as u32,
                2 => 0x0001_0101 * ((noise.u64() >> 40) as u32 % 12 * 20),
                _ => noise.u64() as u32,
            };
            canvas[(row * width + column) * 4..][..4].copy_from_slice(&colour.to_le_bytes());
        }
    }
}
