//! Scenes of a desktop, shown exactly, and what they cost.

use crate::support::{Canvas, Noise, Pair};
use rift::Rectangle;
use rift_tiles::{Pixel, Rgb565, Rgb888};

const INK: u32 = 0x00e0_e0e0;
const PAPER: u32 = 0x0010_2030;

fn page(width: u16, height: u16) -> Canvas {
    let mut canvas = Canvas::new(width, height, PAPER);
    let mut noise = Noise(7);
    for line in 0..i32::from(height) / 10 {
        let text: String = (0..noise.below(u32::from(width) / 6))
            .map(|_| char::from(b' ' + noise.below(95) as u8))
            .collect();
        canvas.text(3, line * 10 + 1, &text, INK, PAPER);
    }
    canvas
}

fn typing<P: Pixel>() {
    let mut pair = Pair::<P>::new(640, 400);
    let mut canvas = page(640, 400);
    canvas.fill(0, 300, 640, 100, PAPER);
    pair.show_exactly(&canvas, None);
    let mut total = 0;
    for (index, letter) in "The quick brown fox jumps".chars().enumerate() {
        let x = 10 + index as i32 * 6;
        canvas.text(x, 310, &letter.to_string(), INK, PAPER);
        canvas.fill(x + 6, 310, 6, 10, INK);
        let damage = Rectangle { x: x as u16, y: 310, width: 12, height: 10 };
        let len = pair.show_exactly(&canvas, Some(damage));
        total += len;
    }
    // With two hashes of 4 bytes each time.
    assert!(total / 25 <= 34, "a letter costs {} bytes", total / 25);
}

#[test]
fn typed_letters_are_exact_and_small() {
    typing::<Rgb888>();
    typing::<Rgb565>();
}

#[test]
fn scrolled_text_is_copied() {
    let mut pair = Pair::<Rgb888>::new(640, 400);
    let mut canvas = page(640, 400);
    pair.show_exactly(&canvas, None);
    for line in 0..5 {
        canvas.scroll(10, PAPER);
        canvas.text(3, 391, &format!("line {line} comes in below"), INK, PAPER);
        let len = pair.show_exactly(&canvas, None);
        assert!(len < 400, "line {line}: {len} bytes");
    }
}

#[test]
fn a_window_that_moves_is_copied() {
    let mut pair = Pair::<Rgb888>::new(640, 480);
    let window = page(200, 150);
    let mut noise = Noise(11);
    let desktop = Canvas::new(640, 480, 0x0000_6070);
    let mut len = 0;
    for step in 0..8 {
        let mut canvas = desktop.clone();
        let (left, top) = (40 + step * 17, 30 + step * 11);
        for y in 0..150 {
            for x in 0..200 {
                canvas.set(left + x, top + y, window.at(x as u16, y as u16));
            }
        }
        canvas.set(noise.below(640) as i32, noise.below(480) as i32, noise.next());
        len = pair.show_exactly(&canvas, None);
    }
    assert!(len < 600, "{len} bytes");
}

#[test]
fn pictures_of_many_colours_are_exact_too() {
    let mut pair = Pair::<Rgb888>::new(300, 200);
    let mut canvas = Canvas::new(300, 200, 0);
    let mut noise = Noise(3);
    for y in 0..200 {
        for x in 0..300 {
            canvas.set(x, y, (x as u32 * 3 / 4) << 16 | (y as u32) << 8 | noise.below(7));
        }
    }
    let len = pair.show_exactly(&canvas, None);
    assert!(len < 300 * 200 * 2, "{len} bytes");
    // The same screen again is no news.
    let request = rift_tiles::Request { checks: 0, ..pair.request(None) };
    let (encoded, _) = pair.show(&canvas, &request);
    assert!(!encoded.is_news && encoded.len <= 3, "{encoded:?}");
}
