//! A viewer and its encoder, without anything between them.

use rift::{Instant, Rectangle};
use rift_hal::{Frame, PixelFormat, Plane};
use rift_tiles::{
    DecodeError, Decoded, Decoder, Encoded, Encoder, Grid, Memory, Parts, Pixel, Request, Screen, Sizes,
    TileRecord, TileSet,
};

/// Memory as programs with an allocator have it.
pub(crate) struct Vectors {
    shown: Vec<u32>,
    tiles: Vec<TileRecord>,
    block: Vec<u32>,
    cells: Vec<u32>,
    moves: Vec<u32>,
}

impl Vectors {
    pub(crate) fn new(grid: Grid) -> Self {
        let sizes = Sizes::of(grid);
        Self {
            shown: vec![0; sizes.shown],
            tiles: vec![TileRecord::EMPTY; sizes.tiles],
            block: vec![0; sizes.block],
            cells: vec![0; sizes.cells],
            moves: vec![0; 1 << 14],
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

/// Pixels to be shown: `0x00rrggbb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canvas {
    pub(crate) width: u16,
    pub(crate) height: u16,
    bytes: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(width: u16, height: u16, rgb: u32) -> Self {
        let bytes = rgb.to_le_bytes().repeat(usize::from(width) * usize::from(height));
        Self { width, height, bytes }
    }

    pub(crate) fn set(&mut self, x: i32, y: i32, rgb: u32) {
        if (0..i32::from(self.width)).contains(&x) && (0..i32::from(self.height)).contains(&y) {
            let at = (y as usize * usize::from(self.width) + x as usize) * 4;
            self.bytes[at..at + 4].copy_from_slice(&rgb.to_le_bytes());
        }
    }

    pub(crate) fn at(&self, x: u16, y: u16) -> u32 {
        let at = (usize::from(y) * usize::from(self.width) + usize::from(x)) * 4;
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("the test gives what is right"))
    }

    pub(crate) fn fill(&mut self, x: i32, y: i32, width: i32, height: i32, rgb: u32) {
        for row in y..y + height {
            for column in x..x + width {
                self.set(column, row, rgb);
            }
        }
    }

    pub(crate) fn text(&mut self, x: i32, y: i32, text: &str, ink: u32, paper: u32) {
        let (width, height) = rift_hal::font::extent(text, 1);
        rift_hal::font::draw(text, 1, (width, height), |dx, dy, is_ink| {
            self.set(x + dx as i32, y + dy as i32, if is_ink { ink } else { paper });
        });
    }

    /// Everything moves up by so many rows; what comes in below is of one colour.
    pub(crate) fn scroll(&mut self, rows: usize, rgb: u32) {
        let len = rows * usize::from(self.width) * 4;
        self.bytes.drain(..len);
        self.bytes.extend(rgb.to_le_bytes().repeat(len / 4));
    }

    pub(crate) fn frame(&self) -> Frame<'_> {
        let plane = Plane { data: &self.bytes, stride: usize::from(self.width) * 4 };
        let (width, height) = (self.width.into(), self.height.into());
        Frame::new(PixelFormat::Bgrx, width, height, [plane, Plane::EMPTY, Plane::EMPTY], Instant::ZERO)
            .expect("the test gives what is right")
    }
}

/// What a viewer has.
pub(crate) struct Viewer {
    pub(crate) grid: Grid,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stride: usize,
    pub(crate) wrong: Vec<u32>,
    decoder: Decoder,
}

impl Viewer {
    pub(crate) fn new<P: Pixel>(grid: Grid) -> Self {
        // A stride longer than a row, and something in memory.
        let stride = usize::from(grid.width()) * P::BYTES + 6;
        Self {
            grid,
            bytes: vec![0xa5; stride * usize::from(grid.height())],
            stride,
            wrong: vec![0; TileSet::words(grid)],
            decoder: Decoder::new(),
        }
    }

    pub(crate) fn screen<P: Pixel>(&mut self) -> Screen<'_, P> {
        Screen::new(&mut self.bytes, self.stride, self.grid.width(), self.grid.height())
            .expect("the test gives what is right")
    }

    pub(crate) fn decode<P: Pixel>(&mut self, picture: &[u8]) -> Result<Decoded, DecodeError> {
        let (width, height) = (self.grid.width(), self.grid.height());
        let mut screen = Screen::<P>::new(&mut self.bytes, self.stride, width, height)
            .expect("the test gives what is right");
        let mut wrong = TileSet::new(self.grid, &mut self.wrong).expect("the test gives what is right");
        self.decoder.decode(picture, &mut screen, Some(&mut wrong))
    }

    /// The largest distance of any channel from what should show, in steps of `P`.
    pub(crate) fn distance<P: Pixel>(&mut self, canvas: &Canvas) -> i32 {
        let grid = self.grid;
        let screen = self.screen::<P>();
        let mut worst = 0;
        for y in 0..grid.height() {
            for x in 0..grid.width() {
                let (shown, wanted) = (P::split(screen.pixel(x, y)), P::split(P::of_rgb888(canvas.at(x, y))));
                worst =
                    shown.iter().zip(wanted).map(|(one, other)| (one - other).abs()).fold(worst, i32::max);
            }
        }
        worst
    }
}

/// An encoder and its viewer.
pub(crate) struct Pair<P> {
    pub(crate) encoder: Encoder<P, Vectors>,
    pub(crate) viewer: Viewer,
    pub(crate) id: u32,
    pub(crate) out: Vec<u8>,
    format: core::marker::PhantomData<P>,
}

impl<P: Pixel> Pair<P> {
    pub(crate) fn new(width: u16, height: u16) -> Self {
        let grid = Grid::new(width, height).expect("the test gives what is right");
        Self {
            encoder: Encoder::new(grid, Vectors::new(grid)).expect("the test gives what is right"),
            viewer: Viewer::new::<P>(grid),
            id: 0,
            out: vec![0; usize::from(width) * usize::from(height) * 8 + 21_000],
            format: core::marker::PhantomData,
        }
    }

    pub(crate) fn request(&mut self, damage: Option<Rectangle>) -> Request {
        self.id += 1;
        Request { id: self.id, damage, soft_len: None, refines: false, checks: 2 }
    }

    /// Encodes and decodes; gives what both said.
    pub(crate) fn show(&mut self, canvas: &Canvas, request: &Request) -> (Encoded, Decoded) {
        let encoded = self.encode(canvas, request);
        let decoded =
            self.viewer.decode::<P>(&self.out[..encoded.len]).expect("the test gives what is right");
        assert_eq!(decoded.stands_alone, encoded.stands_alone);
        assert_eq!(decoded.damage, encoded.damage);
        (encoded, decoded)
    }

    pub(crate) fn encode(&mut self, canvas: &Canvas, request: &Request) -> Encoded {
        self.encoder.encode(&canvas.frame(), request, &mut self.out).expect("the test gives what is right")
    }

    pub(crate) fn show_exactly(&mut self, canvas: &Canvas, damage: Option<Rectangle>) -> usize {
        let request = self.request(damage);
        let (encoded, decoded) = self.show(canvas, &request);
        assert!(encoded.is_exact && !encoded.is_coarse && encoded.near == 0, "{encoded:?}");
        assert_eq!(decoded.wrong, 0, "hashes agree");
        assert_eq!(self.viewer.distance::<P>(canvas), 0, "the viewer shows the frame");
        encoded.len
    }
}

/// Repeatable noise.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u32
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.next() % end.max(1)
    }
}
