//! What the encoder makes, the decoder shows: quality, rate, repair and refinement of the H.264 backends together.

#![expect(clippy::unwrap_used, reason = "a test fails at an error")]

use rift::{Instant, PictureId, Rectangle};
use rift_ffmpeg::FfmpegDecoder;
use rift_hal::{Decoder, EncodeRequest, Encoded, Encoder, EncoderSettings, Frame, PixelFormat, Plane};
use rift_x264::{Options, X264Encoder};

/// A desktop drawn from numbers alone: a wallpaper, lines of text, a window that moves over them.
struct Scene {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Scene {
    fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![0; (width * height * 4) as usize] }
    }

    /// Draws everything as it is at `tick`: the window 8 pixels further and its text 4 pixels higher each tick.
    fn draw(&mut self, tick: u32) -> &mut Self {
        let whole = (0, 0, self.width, self.height);
        self.fill(
            whole,
            |x, y| {
                if ink(x, y, 1) { [20, 20, 24] } else { [(x / 8) as u8, 120, (y / 8) as u8] }
            },
        );
        let (width, height) = (self.width / 2, self.height / 2);
        let left = tick * 8 % (self.width - width);
        let window = (left, self.height / 4, left + width, self.height / 4 + height);
        self.fill(window, |x, y| if ink(x - left, y + tick * 4, 2) { [0, 0, 0] } else { [250, 250, 250] });
        self
    }

    fn fill(
        &mut self,
        (left, top, right, bottom): (u32, u32, u32, u32),
        colour: impl Fn(u32, u32) -> [u8; 3],
    ) {
        for y in top..bottom.min(self.height) {
            for x in left..right.min(self.width) {
                let at = ((y * self.width + x) * 4) as usize;
                self.pixels[at..at + 3].copy_from_slice(&colour(x, y));
            }
        }
    }

    fn frame(&self) -> Frame<'_> {
        let plane = Plane { data: &self.pixels, stride: self.width as usize * 4 };
        let planes = [plane, Plane::EMPTY, Plane::EMPTY];
        Frame::new(PixelFormat::Bgrx, self.width, self.height, planes, Instant::ZERO).unwrap()
    }

    /// The luma of every pixel by BT.709 limited range (ITU-R BT.709-6, items 3.2 and 4.6), exactly.
    fn luma(&self) -> Vec<f64> {
        let luma = |pixel: &[u8]| {
            let [blue, green, red] = [0, 1, 2].map(|channel| f64::from(pixel[channel]));
            16.0 + (0.2126 * red + 0.7152 * green + 0.0722 * blue) * 219.0 / 255.0
        };
        self.pixels.chunks_exact(4).map(luma).collect()
    }
}

/// Whether text covers the pixel: cells of 8 × 16 with strokes chosen by a hash of the cell.
fn ink(x: u32, y: u32, seed: u32) -> bool {
    let (column, row) = (x / 8, y / 16);
    if hash(row, seed, 7).is_multiple_of(3) || !(2..14).contains(&(y % 16)) || x % 8 == 7 {
        return false;
    }
    let glyph = hash(column, row, seed);
    glyph >> ((x % 8) * 3 + (y % 16) / 4) & 1 == 1
}

fn hash(a: u32, b: u32, c: u32) -> u32 {
    let mixed = (a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca77) ^ c.wrapping_mul(0xc2b2_ae3d))
        .rotate_left(13);
    (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d) ^ mixed >> 12
}

/// Peak signal-to-noise ratio of a decoded frame's luma, in dB.
fn psnr(expected: &[f64], frame: &Frame<'_>) -> f64 {
    let width = frame.width() as usize;
    let mut sum = 0.0;
    for y in 0..frame.height() as usize {
        let row = frame.planes()[0].row(y, width);
        sum += row
            .iter()
            .zip(&expected[y * width..])
            .map(|(got, want)| (f64::from(*got) - want).powi(2))
            .sum::<f64>();
    }
    10.0 * (255.0 * 255.0 * expected.len() as f64 / sum.max(1e-9)).log10()
}

/// All bytes of a frame's planes, without what pads their rows.
fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, plane) in frame.planes().iter().enumerate() {
        let (row, rows) = frame.format().plane_size(index, frame.width(), frame.height());
        (0..rows).for_each(|y| bytes.extend_from_slice(plane.row(y, row)));
    }
    bytes
}

fn settings(width: u32, height: u32, bitrate_bps: u32) -> EncoderSettings {
    EncoderSettings { width, height, rate_millihertz: 60_000, bitrate_bps }
}

fn encoder(width: u32, height: u32, bitrate_bps: u32) -> X264Encoder {
    X264Encoder::new(&settings(width, height, bitrate_bps), &Options::default()).unwrap()
}

fn decoder() -> FfmpegDecoder {
    FfmpegDecoder::new(&rift_ffmpeg::Options::default()).unwrap()
}

fn request(id: u32) -> EncodeRequest {
    EncodeRequest { id: PictureId(id), key: false, damage: None }
}

fn encode(encoder: &mut X264Encoder, frame: &Frame<'_>, request: &EncodeRequest) -> (Encoded, Vec<u8>) {
    let mut coded = Vec::new();
    let encoded = encoder.encode(frame, request, &mut |part| coded.extend_from_slice(part)).unwrap();
    assert_eq!(encoded.len, coded.len());
    (encoded, coded)
}

fn shown<'a>(decoder: &'a mut FfmpegDecoder, coded: &[u8]) -> Frame<'a> {
    decoder.decode(coded, Instant::ZERO).unwrap().expect("each packet gives its picture at once")
}

#[test]
fn moving_desktop_is_shown_at_once_and_well() {
    let mut scene = Scene::new(640, 480);
    let (mut encoder, mut decoder) = (encoder(640, 480, 20_000_000), decoder());
    for tick in 0..60 {
        let (encoded, coded) = encode(&mut encoder, &scene.draw(tick).frame(), &request(tick));
        assert_eq!(encoded.key, tick == 0);
        let quality = psnr(&scene.luma(), &shown(&mut decoder, &coded));
        assert!(quality > 33.0, "picture {tick}: {quality:.1} dB at {encoded:?}");
    }
}

#[test]
fn captured_at_travels_to_the_frame() {
    let mut scene = Scene::new(64, 64);
    let (_, coded) = encode(&mut encoder(64, 64, 1_000_000), &scene.draw(0).frame(), &request(0));
    let mut decoder = decoder();
    let frame = decoder.decode(&coded, Instant::from_micros(1234)).unwrap().unwrap();
    assert_eq!(frame.captured_at(), Instant::from_micros(1234));
}

#[test]
fn a_new_rate_bounds_the_very_next_picture() {
    let mut scene = Scene::new(640, 480);
    let mut encoder = encoder(640, 480, 24_000_000);
    let mut sizes = Vec::new();
    for tick in 0..90 {
        match tick {
            30 => encoder.set_bitrate(3_000_000).unwrap(),
            60 => encoder.set_bitrate(24_000_000).unwrap(),
            _ => {}
        }
        // Unrelated pages, so that every picture wants more than it may have.
        let (encoded, _) = encode(&mut encoder, &scene.draw(tick * 1001).frame(), &request(tick));
        assert_eq!(encoded.key, tick == 0, "a new rate needs no key picture");
        sizes.push(encoded.len);
    }
    let low_max = *sizes[30..60].iter().max().unwrap();
    let high_mean = sizes[70..90].iter().sum::<usize>() / 20;
    println!("sizes {sizes:?}");
    // 3 Mbit/s is 6250 bytes a picture, two of them at most and a little when a guess was wrong.
    assert!(low_max < 14_000, "{low_max} bytes at the low rate");
    // The first at the low rate may be the guess that was wrong: how x264's threads share a picture's bytes is left to chance.
    let low_later = *sizes[31..60].iter().max().unwrap();
    assert!(high_mean > 3 * low_later, "{high_mean} bytes once the rate is back, {low_later} before");
}

#[test]
fn a_key_picture_comes_when_asked_for_and_needs_no_other() {
    let mut scene = Scene::new(320, 240);
    let mut encoder = encoder(320, 240, 10_000_000);
    for tick in 0..5 {
        encode(&mut encoder, &scene.draw(tick).frame(), &request(tick));
    }
    let (encoded, coded) =
        encode(&mut encoder, &scene.draw(5).frame(), &EncodeRequest { key: true, ..request(5) });
    assert!(encoded.key);
    assert!(psnr(&scene.luma(), &shown(&mut decoder(), &coded)) > 30.0);
}

#[test]
fn after_a_loss_the_next_picture_decodes_as_if_nothing_was_lost() {
    for lost in [1, 3, 8] {
        let mut scene = Scene::new(640, 480);
        let mut encoder = encoder(640, 480, 20_000_000);
        let (mut whole, mut lossy) = (decoder(), decoder());
        for tick in 0..40 {
            let invalid = 10;
            if tick == invalid + lost {
                assert!(encoder.invalidate(PictureId(invalid)).unwrap());
                assert_eq!(encoder.reference(), Some(PictureId(invalid - 1)));
            }
            let (encoded, coded) = encode(&mut encoder, &scene.draw(tick).frame(), &request(tick));
            assert_eq!(encoded.key, tick == 0);
            let expected = bytes(&shown(&mut whole, &coded));
            if (invalid..invalid + lost).contains(&tick) {
                continue;
            }
            assert!(bytes(&shown(&mut lossy, &coded)) == expected, "picture {tick} of a loss of {lost}");
        }
    }
}

#[test]
fn when_all_it_could_refer_to_is_lost_a_key_picture_follows() {
    let mut scene = Scene::new(320, 240);
    let mut encoder = encoder(320, 240, 10_000_000);
    for tick in 0..30 {
        encode(&mut encoder, &scene.draw(tick).frame(), &request(tick));
    }
    assert!(encoder.invalidate(PictureId(31)).unwrap(), "nothing that new was made");
    assert!(!encoder.invalidate(PictureId(2)).unwrap());
    assert_eq!(encoder.reference(), None);
    let (encoded, coded) = encode(&mut encoder, &scene.draw(30).frame(), &request(30));
    assert!(encoded.key);
    shown(&mut decoder(), &coded);
    assert_eq!(encoder.reference(), Some(PictureId(30)));
}

#[test]
fn pictures_of_odd_size_are_cropped_by_the_receiver() {
    for (width, height) in [(641, 479), (641, 480), (640, 479), (17, 17), (2, 2), (1, 1)] {
        let mut scene = Scene::new(width, height);
        scene.fill((0, 0, width, height), |x, y| [(x * 2) as u8, (y * 2) as u8, 90]);
        let mut encoder = encoder(width, height, 20_000_000);
        let mut decoder = decoder();
        decoder.set_crop(width, height);
        let (_, coded) = encode(&mut encoder, &scene.frame(), &request(0));
        let frame = shown(&mut decoder, &coded);
        assert_eq!((frame.width(), frame.height()), (width, height));
        let quality = psnr(&scene.luma(), &frame);
        assert!(quality > 33.0, "{width}×{height}: {quality:.1} dB");
    }
}

#[test]
fn a_still_screen_is_refined_until_it_is_good() {
    let (width, height) = (1280, 720);
    let mut scene = Scene::new(width, height);
    let (mut encoder, mut decoder) = (encoder(width, height, 20_000_000), decoder());
    for tick in 0..30 {
        let (_, coded) = encode(&mut encoder, &scene.draw(tick * 1001).frame(), &request(tick));
        shown(&mut decoder, &coded);
    }
    encoder.set_quality_boost(true).unwrap();
    let mut curve = Vec::new();
    let mut still = request(30);
    for picture in 0..18 {
        still.id = PictureId(30 + picture);
        let (encoded, coded) = encode(&mut encoder, &scene.frame(), &still);
        assert!(encoded.len < 2 * 20_000_000 / 8 / 60, "{encoded:?}");
        let quality = psnr(&scene.luma(), &shown(&mut decoder, &coded));
        curve.push((quality, encoded.len, encoded.quantiser));
        still.damage = Some(Rectangle::default());
    }
    println!("dB, bytes, quantiser at 60 Hz: {curve:.1?}");
    // 18 pictures at 60 Hz are 300 ms.
    assert!(curve.last().unwrap().0 >= 45.0, "{curve:.1?}");
    encoder.set_quality_boost(false).unwrap();
}

#[test]
fn damage_alone_is_enough_to_keep_the_picture_right() {
    let (width, height) = (640, 480);
    let mut scene = Scene::new(width, height);
    let (mut encoder, mut whole, mut lossy) = (encoder(width, height, 20_000_000), decoder(), decoder());
    scene.draw(0);
    for tick in 0..120_u32 {
        let mut next = request(tick);
        if tick > 0 {
            let (x, y) = (hash(tick, 1, 2) % 600, hash(tick, 3, 4) % 440);
            scene.fill(
                (x, y, x + 40, y + 40),
                |x, y| {
                    if ink(x, y, tick) { [0, 0, 90] } else { [220, 220, 200] }
                },
            );
            next.damage = Some(Rectangle { x: x as u16, y: y as u16, width: 40, height: 40 });
        }
        // One in ten is lost; what is skipped then is skipped from the picture before the loss.
        if tick % 10 == 6 {
            assert!(encoder.invalidate(PictureId(tick - 1)).unwrap());
        }
        let (encoded, coded) = encode(&mut encoder, &scene.frame(), &next);
        let frame = shown(&mut whole, &coded);
        let quality = psnr(&scene.luma(), &frame);
        assert!(tick < 10 || quality > 38.0, "picture {tick}: {quality:.1} dB, {encoded:?}");
        if tick % 10 != 5 {
            let expected = bytes(&frame);
            assert!(bytes(&shown(&mut lossy, &coded)) == expected, "picture {tick}");
        }
    }
}

#[test]
fn whatever_bytes_come_a_key_picture_is_shown_again() {
    for threads in [1, 2] {
        let mut scene = Scene::new(320, 240);
        let mut encoder = encoder(320, 240, 10_000_000);
        let options = rift_ffmpeg::Options { threads, ..rift_ffmpeg::Options::default() };
        let mut decoder = FfmpegDecoder::new(&options).unwrap();
        let seed = 0x5eed_u32;
        for round in 0..200 {
            let key = EncodeRequest { key: true, ..request(round * 2) };
            let (_, first) = encode(&mut encoder, &scene.draw(round).frame(), &key);
            let quality = psnr(&scene.luma(), &shown(&mut decoder, &first));
            assert!(quality > 22.0, "seed {seed:#x}, round {round}, {threads} threads: {quality:.1} dB");
            let (_, mut second) =
                encode(&mut encoder, &scene.draw(round + 1).frame(), &request(round * 2 + 1));
            let at = hash(round, seed, 1) as usize % second.len();
            match round % 3 {
                0 => second.truncate(at),
                1 => second[at] ^= 1 << (hash(round, seed, 2) % 8),
                _ => second[at..].fill(hash(round, seed, 3) as u8),
            }
            let result = decoder.decode(&second, Instant::ZERO).map(|frame| frame.is_some());
            if threads == 1 && round % 3 == 0 {
                assert!(result.is_err(), "seed {seed:#x}, round {round}: cut at {at}, it gave {result:?}");
            }
        }
    }
}

#[test]
fn pictures_larger_than_allowed_are_errors() {
    let mut scene = Scene::new(640, 480);
    let (_, coded) = encode(&mut encoder(640, 480, 10_000_000), &scene.draw(0).frame(), &request(0));
    let options = [
        rift_ffmpeg::Options { side_max: 639, ..rift_ffmpeg::Options::default() },
        rift_ffmpeg::Options { pixels_max: 640 * 400, ..rift_ffmpeg::Options::default() },
    ];
    for options in options {
        let mut decoder = FfmpegDecoder::new(&options).unwrap();
        assert!(decoder.decode(&coded, Instant::ZERO).is_err(), "{options:?}");
    }
}

#[test]
fn a_stream_of_another_size_follows_without_a_new_decoder() {
    let mut decoder = decoder();
    for (width, height) in [(320, 240), (640, 480), (64, 64)] {
        let mut scene = Scene::new(width, height);
        let mut encoder = encoder(width, height, 20_000_000);
        for tick in 0..3 {
            let (_, coded) = encode(&mut encoder, &scene.draw(tick).frame(), &request(tick));
            let frame = shown(&mut decoder, &coded);
            assert_eq!((frame.width(), frame.height()), (width, height));
        }
    }
}
