//! A small bitmap font for text over pictures: ASCII, drawn here, five dots wide and eight high.
//!
//! It knows neither pixels nor memory: [`draw`] tells the caller which dots are ink and which are paper.
//! Characters outside `' '..='~'` show as a box, so nothing is silently left out.

/// Dots from one character to the next, at scale 1: five of the glyph and one between.
pub const ADVANCE: u32 = 6;

/// Dots from one line to the next, at scale 1: eight of the glyph and two between.
pub const LINE: u32 = 10;

/// The dots of a character, top row first. Bit 7 of a row is its leftmost dot; bits 2 to 0 are always clear.
#[must_use]
pub fn glyph(character: char) -> [u8; 8] {
    let index = match character {
        ' '..='~' => u32::from(character) - FIRST,
        _ => BOX,
    };
    usize::try_from(index).ok().and_then(|index| GLYPHS.get(index)).copied().unwrap_or([0; 8])
}

/// The size in pixels of `text` drawn at `scale`: its longest line across, its lines down. Empty text has none.
#[must_use]
pub fn extent(text: &str, scale: u32) -> (u32, u32) {
    let mut longest = 0;
    let mut lines = 0u32;
    for line in text.lines() {
        longest = u32::max(longest, u32::try_from(line.chars().count()).unwrap_or(u32::MAX));
        lines = lines.saturating_add(1);
    }
    (longest.saturating_mul(ADVANCE).saturating_mul(scale), lines.saturating_mul(LINE).saturating_mul(scale))
}

/// Draws `text`, lines separated by `'\n'`, as a box of `scale × scale` pixel dots whose top left corner is 0, 0.
///
/// `dot(x, y, ink)` is called once for every pixel of the box [`extent`] describes that lies inside
/// `width` × `height`: with `true` where there is ink and `false` where there is paper, so the caller picks both
/// colours or leaves the paper alone. A short line's box is filled up with paper.
pub fn draw(text: &str, scale: u32, (width, height): (u32, u32), mut dot: impl FnMut(u32, u32, bool)) {
    let (across, down) = extent(text, scale);
    let (across, down) = (across.min(width), down.min(height));
    let line_height = LINE.saturating_mul(scale);
    for (number, line) in (0u32..).zip(text.lines()) {
        let top = number.saturating_mul(line_height);
        if top >= down {
            return;
        }
        let mut left = 0;
        for character in line.chars().chain(core::iter::repeat(' ')) {
            if left >= across {
                break;
            }
            draw_cell(glyph(character), scale, |x, y, ink| {
                let (x, y) = (left + x, top + y);
                if x < across && y < down {
                    dot(x, y, ink);
                }
            });
            left = left.saturating_add(ADVANCE.saturating_mul(scale));
        }
    }
}

fn draw_cell(rows: [u8; 8], scale: u32, mut dot: impl FnMut(u32, u32, bool)) {
    let rows = rows.into_iter().chain(core::iter::repeat(0)).take(LINE as usize);
    for (row, bits) in (0u32..).zip(rows) {
        for y in row * scale..(row + 1) * scale {
            for column in 0..ADVANCE {
                let ink = bits << column & 0x80 != 0;
                for x in column * scale..(column + 1) * scale {
                    dot(x, y, ink);
                }
            }
        }
    }
}

const FIRST: u32 = 0x20;
const BOX: u32 = 0x7f - FIRST;
const ACROSS: usize = 16;
const COUNT: usize = 96;

const GLYPHS: [[u8; 8]; COUNT] = read(&DRAWING);

/// Turns the drawing into rows of bits while compiling.
const fn read(drawing: &[&[u8; ACROSS * ADVANCE as usize - 1]; COUNT / ACROSS * 8]) -> [[u8; 8]; COUNT] {
    let mut glyphs = [[0; 8]; COUNT];
    let mut index = 0;
    while index < COUNT {
        let mut row = 0;
        while row < 8 {
            let line = drawing[index / ACROSS * 8 + row];
            let mut column = 0;
            while column < 5 {
                if line[index % ACROSS * ADVANCE as usize + column] == b'#' {
                    glyphs[index][row] |= 0x80 >> column;
                }
                column += 1;
            }
            row += 1;
        }
        index += 1;
    }
    glyphs
}

#[rustfmt::skip]
const DRAWING: [&[u8; ACROSS * ADVANCE as usize - 1]; COUNT / ACROSS * 8] = [
    //       !     "     #     $     %     &     '     (     )     *     +     ,     -     .     /
    b"..... ..#.. .#.#. .#.#. ..#.. ##... .##.. ..#.. ...#. .#... ..... ..... ..... ..... ..... .....",
    b"..... ..#.. .#.#. .#.#. .#### ##..# #..#. ..#.. ..#.. ..#.. ..#.. ..#.. ..... ..... ..... ....#",
    b"..... ..#.. .#.#. ##### #.#.. ...#. #.#.. .#... .#... ...#. #.#.# ..#.. ..... ..... ..... ...#.",
    b"..... ..#.. ..... .#.#. .###. ..#.. .#... ..... .#... ...#. .###. ##### ..... ##### ..... ..#..",
    b"..... ..#.. ..... ##### ..#.# .#... #.#.# ..... .#... ...#. #.#.# ..#.. ..... ..... ..... .#...",
    b"..... ..... ..... .#.#. ####. #..## #..#. ..... ..#.. ..#.. ..#.. ..#.. .##.. ..... .##.. #....",
    b"..... ..#.. ..... .#.#. ..#.. ...## .##.# ..... ...#. .#... ..... ..... ..#.. ..... .##.. .....",
    b"..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .#... ..... ..... .....",
    // 0     1     2     3     4     5     6     7     8     9     :     ;     <     =     >     ?
    b".###. ..#.. .###. ##### ...#. ##### ..##. ##### .###. .###. ..... ..... ...#. ..... .#... .###.",
    b"#...# .##.. #...# ...#. ..##. #.... .#... ....# #...# #...# .##.. .##.. ..#.. ..... ..#.. #...#",
    b"#..## ..#.. ....# ..#.. .#.#. ####. #.... ...#. #...# #...# .##.. .##.. .#... ##### ...#. ....#",
    b"#.#.# ..#.. ...#. ...#. #..#. ....# ####. ..#.. .###. .#### ..... ..... #.... ..... ....# ...#.",
    b"##..# ..#.. ..#.. ....# ##### ....# #...# .#... #...# ....# .##.. ..... .#... ##### ...#. ..#..",
    b"#...# ..#.. .#... #...# ...#. #...# #...# .#... #...# ...#. .##.. .##.. ..#.. ..... ..#.. .....",
    b".###. .###. ##### .###. ...#. .###. .###. .#... .###. .##.. ..... ..#.. ...#. ..... .#... ..#..",
    b"..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .#... ..... ..... ..... .....",
    // @     A     B     C     D     E     F     G     H     I     J     K     L     M     N     O
    b".###. .###. ####. .###. ###.. ##### ##### .###. #...# .###. ..### #...# #.... #...# #...# .###.",
    b"#...# #...# #...# #...# #..#. #.... #.... #...# #...# ..#.. ...#. #..#. #.... ##.## #...# #...#",
    b"....# #...# #...# #.... #...# #.... #.... #.... #...# ..#.. ...#. #.#.. #.... #.#.# ##..# #...#",
    b".##.# #...# ####. #.... #...# ####. ####. #.### ##### ..#.. ...#. ##... #.... #.#.# #.#.# #...#",
    b"#.#.# ##### #...# #.... #...# #.... #.... #...# #...# ..#.. ...#. #.#.. #.... #...# #..## #...#",
    b"#.#.# #...# #...# #...# #..#. #.... #.... #...# #...# ..#.. #..#. #..#. #.... #...# #...# #...#",
    b".###. #...# ####. .###. ###.. ##### #.... .#### #...# .###. .##.. #...# ##### #...# #...# .###.",
    b"..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .....",
    // P     Q     R     S     T     U     V     W     X     Y     Z     [     \     ]     ^     _
    b"####. .###. ####. .#### ##### #...# #...# #...# #...# #...# ##### .###. ..... .###. ..#.. .....",
    b"#...# #...# #...# #.... ..#.. #...# #...# #...# #...# #...# ....# .#... #.... ...#. .#.#. .....",
    b"#...# #...# #...# #.... ..#.. #...# #...# #...# .#.#. #...# ...#. .#... .#... ...#. #...# .....",
    b"####. #...# ####. .###. ..#.. #...# #...# #.#.# ..#.. .#.#. ..#.. .#... ..#.. ...#. ..... .....",
    b"#.... #.#.# #.#.. ....# ..#.. #...# #...# #.#.# .#.#. ..#.. .#... .#... ...#. ...#. ..... .....",
    b"#.... #..#. #..#. ....# ..#.. #...# .#.#. #.#.# #...# ..#.. #.... .#... ....# ...#. ..... .....",
    b"#.... .##.# #...# ####. ..#.. .###. ..#.. .#.#. #...# ..#.. ##### .###. ..... .###. ..... .....",
    b"..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... #####",
    // `     a     b     c     d     e     f     g     h     i     j     k     l     m     n     o
    b".#... ..... #.... ..... ....# ..... ..##. ..... #.... ..#.. ...#. #.... .##.. ..... ..... .....",
    b"..#.. ..... #.... ..... ....# ..... .#..# ..... #.... ..... ..... #.... ..#.. ..... ..... .....",
    b"...#. .###. #.##. .###. .##.# .###. .#... .#### #.##. .##.. ..##. #..#. ..#.. ##.#. #.##. .###.",
    b"..... ....# ##..# #.... #..## #...# ###.. #...# ##..# ..#.. ...#. #.#.. ..#.. #.#.# ##..# #...#",
    b"..... .#### #...# #.... #...# ##### .#... #...# #...# ..#.. ...#. ##... ..#.. #.#.# #...# #...#",
    b"..... #...# #...# #...# #...# #.... .#... .#### #...# ..#.. ...#. #.#.. ..#.. #...# #...# #...#",
    b"..... .#### ####. .###. .#### .###. .#... ....# #...# .###. #..#. #..#. .###. #...# #...# .###.",
    b"..... ..... ..... ..... ..... ..... ..... .###. ..... ..... .##.. ..... ..... ..... ..... .....",
    // p     q     r     s     t     u     v     w     x     y     z     {     |     }     ~     ?  (last: everything else)
    b"..... ..... ..... ..... .#... ..... ..... ..... ..... ..... ..... ...#. ..#.. .#... ..... #####",
    b"..... ..... ..... ..... .#... ..... ..... ..... ..... ..... ..... ..#.. ..#.. ..#.. ..... #...#",
    b"####. .#### #.##. .#### ###.. #...# #...# #...# #...# #...# ##### ..#.. ..#.. ..#.. .#... #.#.#",
    b"#...# #...# ##..# #.... .#... #...# #...# #...# .#.#. #...# ...#. .#... ..#.. ...#. #.#.# #.#.#",
    b"#...# #...# #.... .###. .#... #...# #...# #.#.# ..#.. #...# ..#.. ..#.. ..#.. ..#.. ...#. #...#",
    b"####. .#### #.... ....# .#..# #..## .#.#. #.#.# .#.#. .#### .#... ..#.. ..#.. ..#.. ..... #.#.#",
    b"#.... ....# #.... ####. ..##. .##.# ..#.. .#.#. #...# ....# ##### ...#. ..#.. .#... ..... #####",
    b"#.... ....# ..... ..... ..... ..... ..... ..... ..... .###. ..... ..... ..... ..... ..... .....",
];

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;
    use std::string::String;
    use std::vec;

    use super::*;

    #[test]
    fn every_printable_character_has_a_glyph_of_its_own() {
        let glyphs: BTreeSet<_> = (' '..='~').map(glyph).collect();
        assert_eq!(glyphs.len(), 95);
        assert_eq!(glyph(' '), [0; 8]);
        assert!(
            (' '..='~').all(|c| glyph(c).iter().all(|row| row & 7 == 0)),
            "no glyph is wider than five dots"
        );
        assert!(!glyphs.contains(&glyph('é')), "what is not ASCII shows as a box");
    }

    #[test]
    fn text_is_drawn_once_a_pixel_and_clipped() {
        for (text, scale, width, height) in
            [("Hi\nx", 1, 100, 100), ("Hi\nx", 2, 17, 33), ("", 1, 9, 9), ("abc", 3, 0, 4)]
        {
            let mut seen = vec![0u8; (width * height) as usize];
            draw(text, scale, (width, height), |x, y, _| seen[(y * width + x) as usize] += 1);
            let (across, down) = extent(text, scale);
            for y in 0..height {
                for x in 0..width {
                    let expected = u8::from(x < across && y < down);
                    assert_eq!(seen[(y * width + x) as usize], expected, "{text:?} at {x}, {y}");
                }
            }
        }
    }

    #[test]
    fn capital_l_looks_like_one() {
        let mut picture = String::new();
        draw("L", 1, (ADVANCE, LINE), |x, _, ink| {
            picture.push(if ink { '#' } else { '.' });
            if x == ADVANCE - 1 {
                picture.push('\n');
            }
        });
        assert_eq!(
            picture,
            "#.....\n#.....\n#.....\n#.....\n#.....\n#.....\n#####.\n......\n......\n......\n"
        );
    }
}
