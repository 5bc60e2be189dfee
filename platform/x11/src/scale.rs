//! Where the picture lies in the window, and how its pixels get there.

use rift::Rectangle;

use crate::connection::PIXEL;

/// The picture's place in the window: as large as fits, its shape kept, in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The frame's size.
    pub(crate) frame: (u16, u16),
    /// Where the picture begins in the window.
    pub(crate) origin: (u16, u16),
    /// The picture's size in the window.
    pub(crate) size: (u16, u16),
}

impl Layout {
    /// Fits a frame into a window; neither has a side of 0.
    pub(crate) fn fit(frame: (u16, u16), window: (u16, u16)) -> Self {
        let (fw, fh) = (u32::from(frame.0), u32::from(frame.1));
        let (ww, wh) = (u32::from(window.0), u32::from(window.1));
        let (width, height) =
            if ww * fh <= wh * fw { (ww, (ww * fh / fw).max(1)) } else { ((wh * fw / fh).max(1), wh) };
        let narrow = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        let origin = (narrow((ww - width) / 2), narrow((wh - height) / 2));
        Self { frame, origin, size: (narrow(width), narrow(height)) }
    }

    /// Whether a pixel of the frame is a pixel of the window.
    pub(crate) fn is_exact(&self) -> bool {
        self.frame == self.size
    }

    /// A place of the window in the picture's own scale; outside is taken to the nearest edge.
    pub(crate) fn to_picture(self, x: i16, y: i16) -> (u16, u16) {
        let scale = |place: i16, origin: u16, size: u16| {
            let last = u32::from(size.saturating_sub(1)).max(1);
            let pixel = u32::try_from(i32::from(place) - i32::from(origin)).unwrap_or(0).min(last);
            u16::try_from((pixel * 65535 + last / 2) / last).unwrap_or(u16::MAX)
        };
        (scale(x, self.origin.0, self.size.0), scale(y, self.origin.1, self.size.1))
    }

    /// The place in the window of a pixel of the frame.
    pub(crate) fn to_window(self, x: u16, y: u16) -> (i32, i32) {
        let scale = |place: u16, origin: u16, size: u16, frame: u16| {
            let place = u32::from(place) * u32::from(size) / u32::from(frame) + u32::from(origin);
            i32::try_from(place).unwrap_or(i32::MAX)
        };
        (
            scale(x, self.origin.0, self.size.0, self.frame.0),
            scale(y, self.origin.1, self.size.1, self.frame.1),
        )
    }

    /// The pixels of the picture, from its own corner, that a part of the frame has an influence on.
    pub(crate) fn cover(self, part: Rectangle) -> Rectangle {
        if self.is_exact() {
            return part;
        }
        let scale = |start: u16, length: u16, size: u16, frame: u16| {
            let (size, frame) = (u32::from(size), u32::from(frame));
            // One pixel more on each side: a pixel is mixed from its neighbours.
            let first = (u32::from(start).saturating_sub(1) * size / frame).saturating_sub(1);
            let last = ((u32::from(start) + u32::from(length) + 1) * size).div_ceil(frame) + 1;
            let last = last.min(size);
            (u16::try_from(first).unwrap_or(0), u16::try_from(last - first).unwrap_or(u16::MAX))
        };
        let (x, width) = scale(part.x, part.width, self.size.0, self.frame.0);
        let (y, height) = scale(part.y, part.height, self.size.1, self.frame.1);
        Rectangle { x, y, width, height }
    }
}

/// Scales by mixing the four nearest pixels (bilinear), 8 bits of fraction, pixel centres aligned.
pub(crate) struct Scaler {
    source: (u16, u16),
    target: (u16, u16),
    /// For each column of the target: the left one of the two it is mixed from, and the right one's share.
    columns: Vec<(u32, u32)>,
    rows: [Row; 2],
}

/// One row of the source, already as wide as the target.
#[derive(Default)]
struct Row {
    source: Option<usize>,
    pixels: Vec<u8>,
}

impl Scaler {
    /// A scaler from one size to another.
    pub(crate) fn new(source: (u16, u16), target: (u16, u16)) -> Self {
        let columns = (0..target.0).map(|x| position(x, source.0, target.0)).collect();
        Self { source, target, columns, rows: [Row::default(), Row::default()] }
    }

    /// Draws `part` of the target, both images without gaps between rows.
    pub(crate) fn draw(&mut self, source: &[u8], target: &mut [u8], part: Rectangle) {
        for row in &mut self.rows {
            row.source = None;
        }
        let (stride, left) = (usize::from(self.target.0) * PIXEL, usize::from(part.x) * PIXEL);
        let width = usize::from(part.width) * PIXEL;
        let last = usize::from(self.source.1) - 1;
        for y in part.y..part.y + part.height {
            let (above, share) = position(y, self.source.1, self.target.1);
            let above = above as usize;
            let upper = self.prepare(source, above, part);
            let lower = self.prepare(source, (above + 1).min(last), part);
            let target = &mut target[usize::from(y) * stride + left..][..width];
            mix_rows(&self.rows[upper].pixels, &self.rows[lower].pixels, share, target);
        }
    }

    /// Makes sure that a row of the source is there in the target's width; says in which place.
    fn prepare(&mut self, source: &[u8], row: usize, part: Rectangle) -> usize {
        if let Some(index) = self.rows.iter().position(|ready| ready.source == Some(row)) {
            return index;
        }
        // Rows are wanted in ascending order: the smaller one is no longer needed.
        let index = usize::from(self.rows[0].source > self.rows[1].source);
        let ready = &mut self.rows[index];
        let stride = usize::from(self.source.0) * PIXEL;
        let pixels = &source[row * stride..][..stride];
        let columns = &self.columns[usize::from(part.x)..][..usize::from(part.width)];
        ready.source = Some(row);
        ready.pixels.resize(columns.len() * PIXEL, 0);
        for (target, (left, share)) in ready.pixels.chunks_exact_mut(PIXEL).zip(columns) {
            let mixed = match pixels.get(*left as usize * PIXEL..).and_then(|rest| rest.first_chunk::<8>()) {
                Some(&[b, g, r, x, next @ ..]) => {
                    mix(u32::from_le_bytes([b, g, r, x]), u32::from_le_bytes(next), *share)
                }
                // One column only: there is nothing to mix.
                None => pixels.first_chunk().map_or(0, |only| u32::from_le_bytes(*only)),
            };
            target.copy_from_slice(&mixed.to_le_bytes());
        }
        index
    }
}

/// Which two of `source` pixels make pixel `place` of `target`: the first, and the second's share of 256.
/// The second is always there, except where `source` is 1.
fn position(place: u16, source: u16, target: u16) -> (u32, u32) {
    let centre = (2 * u64::from(place) + 1) * u64::from(source) * 128 / u64::from(target);
    let limit = u64::from(source - 1) * 256;
    let position = u32::try_from(centre.saturating_sub(128).min(limit)).unwrap_or(0);
    let first = (position >> 8).min(u32::from(source.saturating_sub(2)));
    (first, position - (first << 8))
}

/// Mixes two pixels, two channels at a time.
const fn mix(first: u32, second: u32, share: u32) -> u32 {
    const EVEN: u32 = 0x00ff_00ff;
    let rest = 256 - share;
    let even = ((first & EVEN) * rest + (second & EVEN) * share) >> 8;
    let odd = ((first >> 8) & EVEN) * rest + ((second >> 8) & EVEN) * share;
    (even & EVEN) | (odd & !EVEN)
}

fn mix_rows(upper: &[u8], lower: &[u8], share: u32, target: &mut [u8]) {
    if share == 0 {
        target.copy_from_slice(upper);
        return;
    }
    // Shares are at most 256, and 256 times a byte fits 16 bits.
    let (share, rest) = (share as u16, 256 - share as u16);
    for ((target, upper), lower) in target.iter_mut().zip(upper).zip(lower) {
        *target = ((u16::from(*upper) * rest + u16::from(*lower) * share) >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_keeps_its_shape_and_the_middle() {
        let wide = Layout::fit((1920, 1080), (1000, 1000));
        assert_eq!((wide.origin, wide.size), ((0, 219), (1000, 562)));
        let high = Layout::fit((100, 200), (400, 200));
        assert_eq!((high.origin, high.size), ((150, 0), (100, 200)));
        assert!(high.is_exact());
    }

    #[test]
    fn corners_of_the_picture_are_the_ends_of_its_scale() {
        let layout = Layout::fit((100, 50), (200, 200));
        assert_eq!(layout.to_picture(0, 50), (0, 0));
        assert_eq!(layout.to_picture(199, 149), (65535, 65535));
        assert_eq!(layout.to_picture(-5, 0), (0, 0));
        assert_eq!(layout.to_picture(300, 300), (65535, 65535));
    }

    #[test]
    fn part_drawn_alone_equals_the_same_part_of_the_whole() {
        let source: Vec<u8> = (0..30u32 * 20 * 4).map(|index| (index * 37 % 251) as u8).collect();
        for target in [(61, 47), (17, 9), (30, 40)] {
            let mut scaler = Scaler::new((30, 20), target);
            let len = usize::from(target.0) * usize::from(target.1) * PIXEL;
            let (mut whole, mut parts) = (vec![0; len], vec![0; len]);
            scaler.draw(&source, &mut whole, Rectangle::sized(target.0, target.1));
            let half = target.0 / 2;
            let part = Rectangle { x: 0, y: 0, width: half, height: target.1 };
            scaler.draw(&source, &mut parts, part);
            let part = Rectangle { x: half, y: 0, width: target.0 - half, height: target.1 };
            scaler.draw(&source, &mut parts, part);
            assert_eq!(whole, parts);
        }
    }

    #[test]
    fn change_of_one_pixel_stays_inside_its_cover() {
        for (frame, window) in [((30, 20), (61, 47)), ((30, 20), (17, 9)), ((40, 40), (41, 90))] {
            let layout = Layout::fit(frame, window);
            let mut scaler = Scaler::new(frame, layout.size);
            let len = usize::from(layout.size.0) * usize::from(layout.size.1) * PIXEL;
            let whole = Rectangle::sized(layout.size.0, layout.size.1);
            let mut source = vec![0; usize::from(frame.0) * usize::from(frame.1) * PIXEL];
            for (x, y) in [(0, 0), (frame.0 - 1, frame.1 - 1), (frame.0 / 2, frame.1 / 3)] {
                let at = (usize::from(y) * usize::from(frame.0) + usize::from(x)) * PIXEL;
                source[at..at + PIXEL].fill(255);
                let mut target = vec![0; len];
                scaler.draw(&source, &mut target, whole);
                source[at..at + PIXEL].fill(0);
                let cover = layout.cover(Rectangle { x, y, width: 1, height: 1 });
                for (index, pixel) in target.chunks_exact(PIXEL).enumerate() {
                    let (px, py) = (index % usize::from(layout.size.0), index / usize::from(layout.size.0));
                    let (dx, dy) = (px.wrapping_sub(cover.x.into()), py.wrapping_sub(cover.y.into()));
                    let inside = dx < usize::from(cover.width) && dy < usize::from(cover.height);
                    assert!(inside || pixel.iter().all(|byte| *byte == 0));
                }
            }
        }
    }
}
