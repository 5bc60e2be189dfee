//! What is shown: terminals with text of two colours and with grey edges, a window that moves, something like video.

use rift::Rectangle;
use rift_hal::font;

pub(super) const WIDTH: u16 = 1280;
pub(super) const HEIGHT: u16 = 720;

const INK: [i32; 3] = [0xd8, 0xdc, 0xe0];
const PAPER: [i32; 3] = [0x10, 0x18, 0x20];
/// The terminal, in pixels.
const TERMINAL: Rectangle = Rectangle { x: 40, y: 40, width: 960, height: 600 };

/// A scene: how it begins, and what each step changes; the rectangle around that.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) pictures: usize,
    /// Whether ours is held to a part of QOI.
    pub(super) is_judged: bool,
    pub(super) begin: fn() -> Canvas,
    pub(super) step: fn(&mut Canvas, usize) -> Rectangle,
}

/// All of them.
pub(super) fn all(quick: bool) -> Vec<Scene> {
    let many = |count: usize| if quick { count.div_ceil(10) } else { count };
    let scene = |name, pictures, is_judged, begin, step| Scene {
        name,
        pictures: many(pictures),
        is_judged,
        begin,
        step,
    };
    vec![
        scene("still", 20, false, || page(Edges::Hard), |_, _| TERMINAL),
        scene("desktop", 4, false, blank, show_page),
        scene(
            "typing",
            200,
            true,
            || page(Edges::Hard),
            |canvas, step| type_letter(canvas, step, Edges::Hard),
        ),
        scene(
            "typing-grey",
            200,
            true,
            || page(Edges::Grey),
            |canvas, step| type_letter(canvas, step, Edges::Grey),
        ),
        scene("scroll", 60, true, || page(Edges::Hard), |canvas, step| scroll(canvas, step, Edges::Hard)),
        scene(
            "scroll-grey",
            60,
            true,
            || page(Edges::Grey),
            |canvas, step| scroll(canvas, step, Edges::Grey),
        ),
        scene("window", 40, false, || page(Edges::Hard), move_window),
        scene("video", 20, false, || page(Edges::Hard), video),
    ]
}

/// How letters end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edges {
    /// In pixels of one of two colours.
    Hard,
    /// In shades between them.
    Grey,
}

impl Edges {
    /// Pixels from letter to letter and from line to line.
    const fn cell(self) -> (i32, i32) {
        match self {
            Self::Hard => (font::ADVANCE as i32, font::LINE as i32),
            Self::Grey => (9, 15),
        }
    }
}

/// Pixels: blue, green, red, zero.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) bytes: Vec<u8>,
}

impl Canvas {
    fn new(colour: impl Fn(i32, i32) -> u32) -> Self {
        let (width, height) = (i32::from(WIDTH), i32::from(HEIGHT));
        let bytes = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let bytes = bytes.flat_map(|(x, y)| colour(x, y).to_le_bytes()).collect();
        Self { width: WIDTH, height: HEIGHT, bytes }
    }

    fn set(&mut self, x: i32, y: i32, rgb: u32) {
        if (0..i32::from(self.width)).contains(&x) && (0..i32::from(self.height)).contains(&y) {
            let at = (y as usize * usize::from(self.width) + x as usize) * 4;
            self.bytes[at..at + 4].copy_from_slice(&rgb.to_le_bytes());
        }
    }

    pub(super) fn at(&self, x: u16, y: u16) -> u32 {
        let at = (usize::from(y) * usize::from(self.width) + usize::from(x)) * 4;
        self.bytes[at..at + 4].iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
    }

    /// The pixels of a rectangle: red, green, blue.
    pub(super) fn cut(&self, place: &Rectangle) -> Vec<u8> {
        let mut rgb = Vec::with_capacity(usize::from(place.width) * usize::from(place.height) * 3);
        for y in place.y..place.y + place.height {
            for x in place.x..place.x + place.width {
                let [blue, green, red, _] = self.at(x, y).to_le_bytes();
                rgb.extend([red, green, blue]);
            }
        }
        rgb
    }

    fn fill(&mut self, place: &Rectangle, rgb: u32) {
        for y in 0..i32::from(place.height) {
            for x in 0..i32::from(place.width) {
                self.set(i32::from(place.x) + x, i32::from(place.y) + y, rgb);
            }
        }
    }

    fn letter(&mut self, (x, y): (i32, i32), letter: char, edges: Edges) {
        let rows = font::glyph(letter);
        let dot = |x: i32, y: i32| {
            let is_inside = (0..8).contains(&y) && (0..6).contains(&x);
            is_inside && rows[y as usize] << x & 0x80 != 0
        };
        let (width, height) = edges.cell();
        for dy in 0..height {
            for dx in 0..width {
                let level = match edges {
                    Edges::Hard => i32::from(dot(dx, dy)) * 9,
                    // Each pixel is two thirds of a dot each way: what of it is ink, in ninths.
                    Edges::Grey => (0..9)
                        .filter(|part| dot((dx * 6 + part % 3 * 2) / 9, (dy * 6 + part / 3 * 2) / 9))
                        .count() as i32,
                };
                self.set(x + dx, y + dy, shade(level));
            }
        }
    }
}

/// So many ninths of ink.
fn shade(level: i32) -> u32 {
    let mix = |index: usize| ((PAPER[index] * (9 - level) + INK[index] * level) / 9) as u32;
    mix(0) << 16 | mix(1) << 8 | mix(2)
}

/// Repeatable noise.
fn noise(seed: u32) -> u32 {
    let mut value = seed.wrapping_mul(0x9e37_79b1) ^ 0x5bd1_e995;
    value ^= value >> 15;
    value = value.wrapping_mul(0x85eb_ca6b);
    value ^ (value >> 13)
}

/// Words like those of a source file.
fn line(number: usize, columns: usize) -> String {
    const WORDS: [&str; 16] = [
        "let",
        "self.buffer",
        "=",
        "match",
        "Some(value)",
        "=>",
        "return",
        "fn",
        "(&mut",
        "0x1f,",
        "// why:",
        "the",
        "picture",
        "is_empty()",
        "{",
        "};",
    ];
    let mut text = " ".repeat(noise(number as u32) as usize % 5 * 4);
    for word in 0..noise(number as u32 + 7777) as usize % 12 {
        text.push_str(WORDS[noise((number * 31 + word) as u32) as usize % WORDS.len()]);
        text.push(' ');
    }
    text.truncate(columns);
    text
}

fn write_line(canvas: &mut Canvas, y: i32, number: usize, edges: Edges) {
    let (width, _) = edges.cell();
    let columns = usize::from(TERMINAL.width) / width as usize - 2;
    let left = i32::from(TERMINAL.x) + 4;
    for (column, letter) in line(number, columns).chars().enumerate() {
        canvas.letter((left + column as i32 * width, y), letter, edges);
    }
}

fn blank() -> Canvas {
    Canvas::new(|x, y| ((x / 10) as u32) << 16 | 0x4000 | (y / 6) as u32)
}

fn page(edges: Edges) -> Canvas {
    let mut canvas = blank();
    canvas.fill(&TERMINAL, shade(0));
    let (_, height) = edges.cell();
    for number in 0..i32::from(TERMINAL.height) / height {
        write_line(&mut canvas, i32::from(TERMINAL.y) + number * height, number as usize, edges);
    }
    canvas
}

/// The whole screen changes.
fn show_page(canvas: &mut Canvas, step: usize) -> Rectangle {
    *canvas = if step.is_multiple_of(2) { page(Edges::Hard) } else { blank() };
    Rectangle::sized(WIDTH, HEIGHT)
}

/// A letter where the cursor was, and the cursor after it.
fn type_letter(canvas: &mut Canvas, step: usize, edges: Edges) -> Rectangle {
    const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog; 0123456789 (packed) {boxes} & jugs.";
    let (width, height) = edges.cell();
    let columns = usize::from(TERMINAL.width) / width as usize - 2;
    let x = i32::from(TERMINAL.x) + 4 + (step % columns) as i32 * width;
    let y = i32::from(TERMINAL.y) + (5 + (step / columns) as i32) * height;
    canvas.letter((x, y), char::from(TEXT[step % TEXT.len()]), edges);
    let place = Rectangle { x: x as u16, y: y as u16, width: 2 * width as u16, height: height as u16 };
    canvas.fill(&Rectangle { x: place.x + width as u16, width: width as u16, ..place }, shade(9));
    place
}

/// The terminal moves up by a line.
fn scroll(canvas: &mut Canvas, step: usize, edges: Edges) -> Rectangle {
    let (_, height) = edges.cell();
    let stride = usize::from(WIDTH) * 4;
    let (left, len) = (usize::from(TERMINAL.x) * 4, usize::from(TERMINAL.width) * 4);
    let lines = i32::from(TERMINAL.height) / height;
    let bottom = i32::from(TERMINAL.y) + (lines - 1) * height;
    for y in i32::from(TERMINAL.y)..bottom {
        let from = (y + height) as usize * stride + left;
        canvas.bytes.copy_within(from..from + len, y as usize * stride + left);
    }
    canvas.fill(&Rectangle { y: bottom as u16, height: height as u16, ..TERMINAL }, shade(0));
    write_line(canvas, bottom, 1000 + step, edges);
    TERMINAL
}

/// A window with text in it is dragged over the desktop.
fn move_window(canvas: &mut Canvas, step: usize) -> Rectangle {
    let place = |step: usize| Rectangle {
        x: 60 + (step * 13 % 700) as u16,
        y: 80 + (step * 7 % 300) as u16,
        width: 400,
        height: 260,
    };
    let under = page(Edges::Hard);
    let before = place(step.saturating_sub(1));
    for y in before.y..before.y + before.height {
        for x in before.x..before.x + before.width {
            canvas.set(x.into(), y.into(), under.at(x, y));
        }
    }
    let here = place(step);
    canvas.fill(&here, 0x00f4_f4f0);
    canvas.fill(&Rectangle { height: 20, ..here }, 0x0030_50a0);
    for number in 0..22 {
        for (column, letter) in line(number + 300, 60).chars().enumerate() {
            let at = (i32::from(here.x) + 6 + column as i32 * 6, i32::from(here.y) + 26 + number as i32 * 10);
            canvas.letter(at, letter, Edges::Hard);
        }
    }
    before.union(here)
}

/// Something that is different everywhere in every picture, as a camera's noise is.
fn video(canvas: &mut Canvas, step: usize) -> Rectangle {
    let place = Rectangle { x: 320, y: 180, width: 320, height: 240 };
    for y in 0..i32::from(place.height) {
        for x in 0..i32::from(place.width) {
            let grain =
                |channel: u32| noise((step as u32) << 20 ^ (y as u32) << 10 ^ x as u32 ^ channel << 28) % 13;
            let base = (x + y + step as i32 * 5) as u32 / 2 % 200;
            let rgb = (base + grain(1)) << 16 | (base / 2 + 60 + grain(2)) << 8 | (220 - base + grain(3));
            canvas.set(i32::from(place.x) + x, i32::from(place.y) + y, rgb);
        }
    }
    place
}
