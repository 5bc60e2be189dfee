//! Whatever is drawn, lost, cut short or damaged: viewers show what they should, or are mended (SPEC §1–§7).

use proptest::prelude::*;
use rift::Rectangle;
use rift_tiles::{Grid, Pixel, Request, Rgb565, Rgb888, TileSet};

use crate::support::{Canvas, Noise, Pair, Viewer};

/// One change of a screen.
#[derive(Clone, Debug)]
enum Stroke {
    Fill(i32, i32, i32, i32, u32),
    Text(i32, i32, u32, u32),
    Noise(i32, i32, i32, i32, u32),
    Gradient(i32, i32, i32, i32),
    Scroll(usize),
}

fn stroke() -> impl Strategy<Value = Stroke> {
    let place = || (-20..200i32, -20..150i32, 1..150i32, 1..120i32);
    prop_oneof![
        (place(), any::<u32>()).prop_map(|((x, y, w, h), rgb)| Stroke::Fill(x, y, w, h, rgb & 0xff_ffff)),
        (place(), any::<u32>()).prop_map(|((x, y, _, _), seed)| Stroke::Text(x, y, seed, seed >> 8)),
        (place(), any::<u32>()).prop_map(|((x, y, w, h), seed)| Stroke::Noise(x, y, w, h, seed)),
        place().prop_map(|(x, y, w, h)| Stroke::Gradient(x, y, w, h)),
        (1..40usize).prop_map(Stroke::Scroll),
    ]
}

fn draw(canvas: &mut Canvas, stroke: &Stroke) {
    match *stroke {
        Stroke::Fill(x, y, w, h, rgb) => canvas.fill(x, y, w, h, rgb),
        Stroke::Text(x, y, seed, paper) => {
            let mut noise = Noise(u64::from(seed) + 1);
            let text: String = (0..30).map(|_| char::from(b' ' + noise.below(95) as u8)).collect();
            canvas.text(x, y, &text, seed & 0xff_ffff, paper & 0xff_ffff);
        }
        Stroke::Noise(x, y, w, h, seed) => {
            let mut noise = Noise(u64::from(seed) + 1);
            for row in 0..h {
                for column in 0..w {
                    canvas.set(x + column, y + row, noise.next() & 0xff_ffff);
                }
            }
        }
        Stroke::Gradient(x, y, w, h) => {
            for row in 0..h {
                for column in 0..w {
                    canvas.set(x + column, y + row, (column as u32 & 255) << 16 | (row as u32 & 255) << 8);
                }
            }
        }
        Stroke::Scroll(rows) => canvas.scroll(rows.min(usize::from(canvas.height)), 0x0040_4040),
    }
}

fn whatever_is_drawn<P: Pixel>(
    width: u16,
    height: u16,
    strokes: &[Stroke],
    room: usize,
    soft: Option<usize>,
) {
    let mut pair = Pair::<P>::new(width, height);
    pair.out.truncate(room);
    let mut canvas = Canvas::new(width, height, 0x0012_3456);
    for stroke in strokes {
        draw(&mut canvas, stroke);
        let request = Request { soft_len: soft, checks: 16, ..pair.request(None) };
        let (encoded, decoded) = pair.show(&canvas, &request);
        assert!(encoded.len <= room, "no more than there is room for");
        assert_eq!(decoded.wrong, 0, "the encoder knows what is shown");
        if encoded.is_exact {
            assert_eq!(pair.viewer.distance::<P>(&canvas), 0);
        }
    }
    // What was left out or coarse comes with the pictures that follow.
    for _ in 0..150 {
        let request = Request { checks: 3, ..pair.request(None) };
        let (encoded, decoded) = pair.show(&canvas, &request);
        assert_eq!(decoded.wrong, 0, "the encoder knows what is shown");
        if encoded.is_exact {
            assert_eq!(pair.viewer.distance::<P>(&canvas), 0);
            return;
        }
    }
    panic!("it never becomes exact");
}

#[test]
fn a_single_pixel_is_shown() {
    let strokes = [Stroke::Text(0, 0, 8, 0)];
    whatever_is_drawn::<Rgb888>(1, 1, &strokes, 1 << 20, None);
    whatever_is_drawn::<Rgb565>(1, 1, &strokes, 1 << 20, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_drawn_is_shown(
        size in (1..260u16, 1..200u16),
        strokes in prop::collection::vec(stroke(), 1..6),
        room in prop_oneof![Just(1 << 20), 20_600..40_000usize],
        soft in prop_oneof![Just(None), (1..4000usize).prop_map(Some)],
    ) {
        whatever_is_drawn::<Rgb888>(size.0, size.1, &strokes, room, soft);
        whatever_is_drawn::<Rgb565>(size.0, size.1, &strokes, room, soft);
    }

    #[test]
    fn a_viewer_that_lost_pictures_is_mended_by_one_that_stands_alone(
        before in prop::collection::vec(stroke(), 1..4),
        lost in prop::collection::vec(stroke(), 1..4),
        after in stroke(),
    ) {
        let mut pair = Pair::<Rgb888>::new(230, 170);
        let mut canvas = Canvas::new(230, 170, 0);
        for stroke in &before {
            draw(&mut canvas, stroke);
            pair.show_exactly(&canvas, None);
        }
        let has = pair.id;
        for stroke in &lost {
            draw(&mut canvas, stroke);
            let request = pair.request(None);
            pair.encode(&canvas, &request);
        }
        draw(&mut canvas, &after);
        pair.encoder.repair(has);
        pair.show_exactly(&canvas, None);
    }

    #[test]
    fn any_bytes_are_drawn_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), is_small in any::<bool>()) {
        let grid = Grid::new(if is_small { 100 } else { 1 }, 70).expect("a size");
        let mut viewer = Viewer::new::<Rgb565>(grid);
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = 0x12 | *first & 1;
        }
        // Whatever comes of it: it ends, and nothing is written beside the screen.
        let _ = viewer.decode::<Rgb565>(&bytes);
        let row = usize::from(grid.width()) * Rgb565::BYTES;
        for row in viewer.bytes.chunks(viewer.stride).map(|line| &line[row..]) {
            prop_assert!(row.iter().all(|&byte| byte == 0xa5));
        }
    }

    #[test]
    fn sets_of_tiles_survive_the_wire(tiles in prop::collection::btree_set(0..600u32, 0..60)) {
        let grid = Grid::new(1920, 1080).expect("a size");
        let (mut one, mut other) = (vec![0; TileSet::words(grid)], vec![0; TileSet::words(grid)]);
        let mut set = TileSet::new(grid, &mut one).expect("enough words");
        tiles.iter().for_each(|&tile| set.insert(tile));
        let mut bytes = [0; 192];
        let len = set.emit(&mut bytes);
        let mut read = TileSet::new(grid, &mut other).expect("enough words");
        read.read(&bytes[..len]);
        prop_assert!(read.iter().eq(tiles.into_iter().filter(|&tile| tile < grid.tiles())));
    }
}

#[test]
fn tiles_that_went_wrong_are_found_and_they_alone_are_told_again() {
    let mut pair = Pair::<Rgb565>::new(640, 480);
    let mut canvas = Canvas::new(640, 480, 0x0020_3040);
    for line in 0..47 {
        canvas.text(5, line * 10, "the quick brown fox jumps over the lazy dog, twice a day", 0xff_ffff, 0);
    }
    let whole = pair.show_exactly(&canvas, None);
    // Two tiles go wrong at the viewer.
    let (stride, tile) = (pair.viewer.stride, usize::from(Grid::TILE));
    pair.viewer.bytes[70 * stride + 300] ^= 1;
    pair.viewer.bytes[4 * tile * stride + 9 * tile * 2] ^= 0x80;
    let mut report = [0; 192];
    let mut len = 0;
    for _ in 0..pair.viewer.grid.tiles().div_ceil(16) {
        let request = Request { checks: 16, ..pair.request(Some(Rectangle::sized(1, 1))) };
        let (encoded, decoded) = pair.show(&canvas, &request);
        assert!(encoded.len < 100 && encoded.is_news);
        if decoded.wrong > 0 {
            let grid = pair.viewer.grid;
            let mut known = pair.viewer.wrong.clone();
            let mut wrong = TileSet::new(grid, &mut known).expect("enough words");
            wrong.read(&report[..len]);
            pair.viewer.wrong.iter().enumerate().for_each(|(index, word)| {
                (0..32)
                    .filter(|bit| word >> bit & 1 == 1)
                    .for_each(|bit| wrong.insert(index as u32 * 32 + bit));
            });
            len = wrong.emit(&mut report);
        }
    }
    let mut words = vec![0; TileSet::words(pair.viewer.grid)];
    let mut wrong = TileSet::new(pair.viewer.grid, &mut words).expect("enough words");
    wrong.read(&report[..len]);
    assert_eq!(wrong.iter().collect::<Vec<_>>(), [12, 49], "one in the second row, one in the fifth");
    pair.encoder.repair_tiles(&wrong);
    let request = Request { checks: 0, ..pair.request(Some(Rectangle::sized(1, 1))) };
    let (encoded, _) = pair.show(&canvas, &request);
    assert!(encoded.stands_alone && encoded.len * 5 < whole, "{} bytes of {whole}", encoded.len);
    assert_eq!(pair.viewer.distance::<Rgb565>(&canvas), 0);
}

#[test]
fn pictures_that_are_cut_or_continued_are_refused() {
    let mut pair = Pair::<Rgb888>::new(200, 100);
    let mut canvas = Canvas::new(200, 100, 0);
    canvas.text(3, 3, "some text", 0xff_ffff, 0);
    let request = pair.request(None);
    let len = pair.encode(&canvas, &request).len;
    let whole = pair.out[..len].to_vec();
    // A head alone is a picture of nothing.
    let is_taken =
        |cut: &usize| Viewer::new::<Rgb888>(pair.viewer.grid).decode::<Rgb888>(&whole[..*cut]).is_ok();
    // The zeros in the place of what is missing may happen to mean an end.
    let taken = (0..len.saturating_sub(4)).filter(|&cut| cut != 1).filter(is_taken).count();
    assert!(taken <= len / 20, "{taken} of {len} cuts were taken for whole");
    // Bytes in the place of zeros that were left out may mean nothing; more than those are too many.
    for more in 5..12 {
        let longer = [&whole[..], &vec![1; more]].concat();
        assert!(Viewer::new::<Rgb888>(pair.viewer.grid).decode::<Rgb888>(&longer).is_err(), "{more}");
    }
    let refused = Viewer::new::<Rgb565>(pair.viewer.grid).decode::<Rgb565>(&whole);
    assert!(refused.is_err_and(rift_tiles::DecodeError::is_untouched), "pixels of another kind");
}

#[test]
fn large_changes_show_at_once_and_become_exact() {
    let mut pair = Pair::<Rgb888>::new(320, 240);
    let mut canvas = Canvas::new(320, 240, 0);
    pair.show_exactly(&canvas, None);
    draw(&mut canvas, &Stroke::Noise(0, 0, 320, 240, 9));
    canvas.text(10, 10, "text over it", 0, 0xff_ffff);
    let soft = 16_000;
    let request = Request { soft_len: Some(soft), checks: 0, ..pair.request(None) };
    let (first, _) = pair.show(&canvas, &request);
    assert!(first.len < soft * 3 / 2 && !first.is_exact && first.is_coarse, "{first:?}");
    let mut lens = Vec::new();
    for _ in 0..100 {
        let request = Request { soft_len: Some(soft * 2), refines: true, checks: 0, ..pair.request(None) };
        let (encoded, _) = pair.show(&canvas, &request);
        assert!(encoded.near == 0 && !encoded.is_coarse && encoded.len < soft * 4, "{encoded:?}");
        lens.push(encoded.len);
        if encoded.is_exact {
            break;
        }
    }
    assert!(lens.len() < 20, "{lens:?}");
    assert_eq!(pair.viewer.distance::<Rgb888>(&canvas), 0);
}

#[test]
fn near_pixels_are_as_near_as_told() {
    let mut pair = Pair::<Rgb888>::new(256, 192);
    let mut canvas = Canvas::new(256, 192, 0);
    let mut noise = Noise(5);
    for y in 0..192 {
        for x in 0..256 {
            let base = ((x + y) / 3) as u32 & 0xff;
            canvas.set(x, y, (base << 16 | base << 8 | 0x40) ^ noise.below(8));
        }
    }
    for soft in [60_000, 40_000, 25_000] {
        pair.encoder.restart();
        let request = Request { soft_len: Some(soft), checks: 0, ..pair.request(None) };
        let (encoded, _) = pair.show(&canvas, &request);
        if !encoded.is_coarse {
            assert!(pair.viewer.distance::<Rgb888>(&canvas) <= encoded.near.into(), "{encoded:?}");
        }
    }
}
