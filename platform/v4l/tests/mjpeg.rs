//! Motion JPEG pictures, whole and not.
//!
//! `blue.jpg`: 64 × 48 pixels of the colour 0x2060c0, 4:2:0. `bars.jpg`: 62 × 46 pixels of colour bars, 4:2:2, so
//! neither side is a whole number of blocks. Both were made by GStreamer's `videotestsrc` and `jpegenc`.

use rift::Instant;
use rift_v4l::{MjpegDecoder, MjpegError};

const BLUE: &[u8] = include_bytes!("data/blue.jpg");
const BARS: &[u8] = include_bytes!("data/bars.jpg");

fn planes(decoder: &MjpegDecoder) -> Vec<Vec<u8>> {
    let frame = decoder.frame(Instant::ZERO).expect("a frame");
    frame.planes().iter().map(|plane| plane.data.to_vec()).collect()
}

/// The picture without the segments that define its Huffman tables.
fn without_tables(picture: &[u8]) -> Vec<u8> {
    let mut short = picture[..2].to_vec();
    let mut rest = &picture[2..];
    while rest[1] != 0xda {
        let len = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if rest[1] != 0xc4 {
            short.extend_from_slice(&rest[..len]);
        }
        rest = &rest[len..];
    }
    short.extend_from_slice(rest);
    short
}

#[test]
fn colours_become_bt709_in_limited_range() {
    let mut decoder = MjpegDecoder::new(64, 48);
    decoder.decode(BLUE).expect("a picture");
    // BT.709: Y' = 16 + 219 (0.2126 R + 0.7152 G + 0.0722 B), and so on.
    for (plane, expected) in planes(&decoder).iter().zip([93u8, 176, 96]) {
        assert!(plane.iter().all(|value| value.abs_diff(expected) <= 2), "{expected}: {:?}", &plane[..8]);
    }
}

#[test]
fn sides_need_not_be_whole_blocks() {
    let mut decoder = MjpegDecoder::new(62, 46);
    decoder.decode(BARS).expect("a picture");
    let frame = decoder.frame(Instant::from_millis(7)).expect("a frame");
    assert_eq!((frame.width(), frame.height(), frame.captured_at()), (62, 46, Instant::from_millis(7)));
    let top = frame.planes()[0].row(0, 62);
    assert!(top[2] > top[58] + 50, "white at the left, blue at the right: {top:?}");
}

#[test]
fn padding_after_the_picture_does_not_matter() {
    let mut decoder = MjpegDecoder::new(64, 48);
    let mut padded = BLUE.to_vec();
    padded.resize(BLUE.len() + 4096, 0);
    assert_eq!(decoder.decode(&padded), Ok(()));
}

#[test]
fn missing_huffman_tables_are_the_fixed_ones() {
    let (mut with, mut without) = (MjpegDecoder::new(62, 46), MjpegDecoder::new(62, 46));
    let short = without_tables(BARS);
    assert!(short.len() < BARS.len());
    with.decode(BARS).expect("a picture");
    without.decode(&short).expect("a picture");
    assert_eq!(planes(&with), planes(&without));
}

#[test]
fn cut_picture_is_refused_and_the_last_one_stays() {
    let mut decoder = MjpegDecoder::new(62, 46);
    decoder.decode(BARS).expect("a picture");
    let before = planes(&decoder);
    for len in 0..BARS.len() {
        let refusal = decoder.decode(&BARS[..len]).expect_err("it is cut");
        let expected = if len < 2 { MjpegError::NotJpeg } else { MjpegError::Truncated };
        assert_eq!(refusal, expected, "after {len} bytes");
    }
    assert_eq!(planes(&decoder), before);
}

#[test]
fn cut_picture_is_shown_as_far_as_it_goes_to_who_wants_that() {
    let mut whole = MjpegDecoder::new(62, 46);
    assert_eq!(whole.decode_any(BARS), Ok(true));
    let mut cut = MjpegDecoder::new(62, 46);
    assert_eq!(cut.decode_any(&BARS[..BARS.len() - 40]), Ok(false));
    let (whole, cut) = (&planes(&whole)[0], &planes(&cut)[0]);
    let like = whole.iter().zip(cut).take_while(|(one, other)| one.abs_diff(**other) <= 2).count();
    assert!(like >= 62 * 8, "the first row of blocks is there: {like} samples");
    assert!(whole != cut);
    for len in 0..BARS.len() {
        let mut decoder = MjpegDecoder::new(62, 46);
        let shown = decoder.decode_any(&BARS[..len]);
        assert!(shown != Ok(true) && planes(&decoder)[0].len() == 62 * 46, "{len}");
    }
}

#[test]
fn picture_of_another_size_is_refused() {
    let mut decoder = MjpegDecoder::new(64, 48);
    assert_eq!(decoder.decode(BARS), Err(MjpegError::Size));
}

#[test]
fn damaged_picture_neither_panics_nor_changes_the_size() {
    let mut decoder = MjpegDecoder::new(62, 46);
    for index in 0..BARS.len() {
        for value in [0x00, 0xff, BARS[index] ^ 0x10] {
            let mut damaged = BARS.to_vec();
            damaged[index] = value;
            let _ = decoder.decode(&damaged);
            assert_eq!(planes(&decoder)[0].len(), 62 * 46);
        }
    }
}

#[test]
fn hole_in_the_middle_is_no_picture_or_a_whole_one() {
    let mut decoder = MjpegDecoder::new(62, 46);
    for start in (2..BARS.len() - 40).step_by(7) {
        let mut holed = BARS[..start].to_vec();
        holed.extend_from_slice(&BARS[start + 32..]);
        let _ = decoder.decode(&holed);
    }
}
