//! What the encoder promises by itself; what its pictures look like is tested where there is a decoder.

#![expect(clippy::unwrap_used, reason = "a test that meets an error fails there")]

use rift::{Instant, PictureId};
use rift_hal::{EncodeRequest, Encoded, Encoder, EncoderSettings, Frame, PixelFormat, Plane};
use rift_x264::{Options, Preset, X264Encoder, X264Error};

const WIDTH: u32 = 322;
const HEIGHT: u32 = 246;

/// A rate no picture here reaches: where it binds, threads share it as they run, and no two runs are alike.
fn settings(width: u32, height: u32) -> EncoderSettings {
    EncoderSettings { width, height, rate_millihertz: 60_000, bitrate_bps: 500_000_000 }
}

fn encoder(options: &Options) -> X264Encoder {
    X264Encoder::new(&settings(WIDTH, HEIGHT), options).unwrap()
}

fn request(id: u32) -> EncodeRequest {
    EncodeRequest { id: PictureId(id), key: false, damage: None }
}

/// Bytes of a plane whose rows are `padding` bytes longer than they need be, the last one not.
struct Pixels {
    data: Vec<u8>,
    stride: usize,
}

impl Pixels {
    fn new(row: usize, rows: usize, padding: usize) -> Self {
        let stride = row + padding;
        let data =
            (0..stride * (rows - 1) + row).map(|at| ((at % stride) * 3 + at / stride * 5) as u8).collect();
        Self { data, stride }
    }

    fn plane(&self) -> Plane<'_> {
        Plane { data: &self.data, stride: self.stride }
    }

    /// Inverts the bytes of some columns of some rows.
    fn invert(&mut self, columns: core::ops::Range<usize>, rows: core::ops::Range<usize>) {
        for y in rows {
            self.data[y * self.stride..][columns.clone()].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
}

/// A picture of any format whose planes are padded, and which one plane can be changed in.
fn pictures(format: PixelFormat, width: u32, height: u32, padding: usize) -> Vec<Pixels> {
    (0..format.planes())
        .map(|plane| format.plane_size(plane, width, height))
        .map(|(row, rows)| Pixels::new(row, rows, padding))
        .collect()
}

fn frame(format: PixelFormat, width: u32, height: u32, pixels: &[Pixels]) -> Frame<'_> {
    let mut planes = [Plane::EMPTY; 3];
    planes.iter_mut().zip(pixels).for_each(|(plane, pixels)| *plane = pixels.plane());
    Frame::new(format, width, height, planes, Instant::ZERO).unwrap()
}

fn coded(encoder: &mut X264Encoder, frame: &Frame<'_>, request: &EncodeRequest) -> (Encoded, Vec<Vec<u8>>) {
    let mut parts = Vec::new();
    let encoded = encoder.encode(frame, request, &mut |part| parts.push(part.to_vec())).unwrap();
    (encoded, parts)
}

/// The `nal_unit_type` of a part.
fn kind(part: &[u8]) -> u8 {
    let start = part.iter().position(|byte| *byte == 1).unwrap();
    assert!(part[..start].iter().all(|byte| *byte == 0), "a part begins with a start code");
    part[start + 1] & 31
}

#[test]
fn a_key_picture_carries_its_headers_and_others_do_not() {
    let mut encoder = encoder(&Options::default());
    let pixels = pictures(PixelFormat::Bgrx, WIDTH, HEIGHT, 0);
    let frame = frame(PixelFormat::Bgrx, WIDTH, HEIGHT, &pixels);
    let kinds = |parts: &[Vec<u8>]| parts.iter().map(|part| kind(part)).collect::<Vec<_>>();
    assert_eq!(kinds(&coded(&mut encoder, &frame, &request(0)).1), [7, 8, 5, 5]);
    assert_eq!(kinds(&coded(&mut encoder, &frame, &request(1)).1), [1, 1]);
    let key = EncodeRequest { key: true, ..request(2) };
    assert_eq!(kinds(&coded(&mut encoder, &frame, &key).1), [7, 8, 5, 5]);
}

#[test]
fn slices_streamed_are_those_of_the_whole_picture_in_order() {
    for (threads, slices) in [(1, 1), (1, 8), (2, 2), (2, 8), (4, 4)] {
        let options = Options { threads, slices, ..Options::default() };
        let (mut whole, mut streamed) = (encoder(&options), encoder(&options));
        let mut pixels = pictures(PixelFormat::Bgrx, WIDTH, HEIGHT, 0);
        for id in 0..20 {
            pixels[0].invert(0..WIDTH as usize * 2, id as usize..id as usize * 7);
            let frame = frame(PixelFormat::Bgrx, WIDTH, HEIGHT, &pixels);
            let (expected_encoded, expected) = coded(&mut whole, &frame, &request(id));
            let mut parts = Vec::new();
            let encoded =
                streamed.encode_slices(&frame, &request(id), &mut |part| parts.push(part.to_vec())).unwrap();
            assert_eq!(encoded, expected_encoded);
            assert!(parts == expected, "picture {id} of {threads} threads and {slices} slices");
            assert!(parts.len() >= usize::from(slices), "{} parts of {slices} slices", parts.len());
        }
    }
}

#[test]
fn a_sink_that_panics_unwinds_through_the_caller_alone() {
    let mut encoder = encoder(&Options::default());
    let pixels = pictures(PixelFormat::Bgrx, WIDTH, HEIGHT, 0);
    let frame = frame(PixelFormat::Bgrx, WIDTH, HEIGHT, &pixels);
    coded(&mut encoder, &frame, &request(0));
    let result = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
        encoder.encode_slices(&frame, &request(1), &mut |_| panic!("the sink's own"))
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"the sink's own"));
    let (encoded, _) = coded(&mut encoder, &frame, &request(2));
    assert!(encoded.key, "what came of the picture before is unknown");
}

#[test]
fn every_format_is_taken_at_even_and_odd_sizes_with_padded_rows() {
    let formats =
        [PixelFormat::Bgrx, PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Uyvy];
    for (width, height) in [(64, 48), (65, 48), (64, 49), (65, 49), (1, 1), (3, 2)] {
        for format in formats {
            let mut encoder = X264Encoder::new(&settings(width, height), &Options::default()).unwrap();
            for padding in [0, 13 * 4] {
                let pixels = pictures(format, width, height, padding);
                let frame = frame(format, width, height, &pixels);
                coded(&mut encoder, &frame, &request(padding as u32));
            }
        }
    }
}

#[test]
fn the_same_colours_give_the_same_picture_in_every_format() {
    let (luma, blue, red) = (|x: usize, y: usize| (x * 2 + y) as u8, 90_u8, 160_u8);
    let (width, height) = (64_usize, 48_usize);
    let all = |each: &dyn Fn(usize, usize) -> Vec<u8>| -> Vec<u8> {
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| each(x, y)).collect()
    };
    let plane = |data: Vec<u8>, stride| Pixels { data, stride };
    let luma_plane = || plane(all(&|x, y| vec![luma(x, y)]), width);
    let quarter = width * height / 4;
    let packed = |order: fn(u8, u8) -> [u8; 2]| {
        plane(all(&|x, y| order(luma(x, y), if x % 2 == 0 { blue } else { red }).to_vec()), width * 2)
    };
    let cases = [
        (
            PixelFormat::I420,
            vec![luma_plane(), plane(vec![blue; quarter], 32), plane(vec![red; quarter], 32)],
        ),
        (PixelFormat::Nv12, vec![luma_plane(), plane([blue, red].repeat(quarter), 64)]),
        (PixelFormat::Yuyv, vec![packed(|luma, chroma| [luma, chroma])]),
        (PixelFormat::Uyvy, vec![packed(|luma, chroma| [chroma, luma])]),
    ];
    let coded = cases.map(|(format, pixels)| {
        let mut encoder = X264Encoder::new(&settings(64, 48), &Options::default()).unwrap();
        coded(&mut encoder, &frame(format, 64, 48, &pixels), &request(0)).1
    });
    assert!(coded.iter().all(|each| *each == coded[0]));
}

#[test]
fn settings_out_of_range_are_refused_with_their_name() {
    let good = Options::default();
    let refused =
        |settings: EncoderSettings, options: Options| X264Encoder::new(&settings, &options).unwrap_err();
    assert_eq!(refused(settings(0, 10), good), X264Error::Setting("width"));
    assert_eq!(refused(settings(10, 16385), good), X264Error::Setting("height"));
    assert_eq!(
        refused(settings(10, 10), Options { threads: 0, ..good }),
        X264Error::Setting("number of threads")
    );
    assert_eq!(refused(settings(10, 10), Options { quantiser: 52, ..good }), X264Error::Setting("quantiser"));
    let buffer_pictures = f32::NAN;
    assert_eq!(refused(settings(10, 10), Options { buffer_pictures, ..good }), X264Error::Setting("buffer"));
    let still = EncoderSettings { rate_millihertz: 0, ..settings(10, 10) };
    assert_eq!(refused(still, good), X264Error::Setting("picture rate"));
}

#[test]
fn every_preset_and_extreme_setting_opens_and_encodes() {
    for preset in [Preset::Ultrafast, Preset::Superfast, Preset::Veryfast] {
        for (threads, slices) in [(1, 1), (16, 64)] {
            for bitrate_bps in [0, 1_000_000, u32::MAX] {
                let options = Options { preset, threads, slices, ..Options::default() };
                let settings = EncoderSettings { bitrate_bps, ..settings(WIDTH, HEIGHT) };
                let mut encoder = X264Encoder::new(&settings, &options).unwrap();
                let pixels = pictures(PixelFormat::Bgrx, WIDTH, HEIGHT, 0);
                let frame = frame(PixelFormat::Bgrx, WIDTH, HEIGHT, &pixels);
                coded(&mut encoder, &frame, &request(0));
                encoder.set_bitrate(bitrate_bps ^ 0xff_ffff).unwrap();
                encoder.set_quality_boost(true).unwrap();
                coded(&mut encoder, &frame, &request(1));
            }
        }
    }
}

#[test]
fn a_frame_of_another_size_or_format_changes_nothing() {
    let mut encoder = encoder(&Options::default());
    let small = pictures(PixelFormat::Bgrx, 64, 64, 0);
    let error =
        encoder.encode(&frame(PixelFormat::Bgrx, 64, 64, &small), &request(0), &mut |_| {}).unwrap_err();
    assert_eq!(error, X264Error::Size { frame_width: 64, frame_height: 64, width: WIDTH, height: HEIGHT });
    let other = pictures(PixelFormat::Rgb565, WIDTH, HEIGHT, 0);
    let other = frame(PixelFormat::Rgb565, WIDTH, HEIGHT, &other);
    let error = encoder.encode(&other, &request(0), &mut |_| {}).unwrap_err();
    assert_eq!(error, X264Error::Format(PixelFormat::Rgb565));
    assert_eq!(encoder.reference(), None);
}

#[test]
fn as_many_references_are_kept_as_the_level_allows() {
    // Level 5.1 holds 184320 macroblocks: 5 pictures of 3840×2160, 16 (the codec's limit) of 1920×1080.
    for (width, height, kept) in [(3840, 2160, 5), (1920, 1080, 16)] {
        let mut encoder = X264Encoder::new(&settings(width, height), &Options::default()).unwrap();
        let pixels = pictures(PixelFormat::I420, width, height, 0);
        let frame = frame(PixelFormat::I420, width, height, &pixels);
        for id in 0..20 {
            coded(&mut encoder, &frame, &request(id));
        }
        assert!(encoder.invalidate(PictureId(20 - kept + 1)).unwrap());
        assert!(!encoder.invalidate(PictureId(20 - kept)).unwrap());
    }
}
