//! What the decoder does with bytes that are no pictures; real pictures are tested where there is an encoder.

use rift::Instant;
use rift_ffmpeg::{FfmpegDecoder, FfmpegError, Options};
use rift_hal::Decoder;

/// Marsaglia's xorshift with his shifts 13, 17, 5.
fn random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

#[test]
fn options_out_of_range_are_refused_with_their_name() {
    let refused = |options: Options| FfmpegDecoder::new(&options).unwrap_err();
    let good = Options::default();
    assert_eq!(refused(Options { threads: 0, ..good }), FfmpegError::Option("number of threads"));
    assert_eq!(refused(Options { threads: 17, ..good }), FfmpegError::Option("number of threads"));
    assert_eq!(refused(Options { side_max: 16385, ..good }), FfmpegError::Option("largest side"));
    assert_eq!(refused(Options { pixels_max: 0, ..good }), FfmpegError::Option("largest number of pixels"));
}

#[test]
fn an_empty_packet_is_an_error_and_does_not_end_the_stream() {
    let mut decoder = FfmpegDecoder::new(&Options::default()).unwrap();
    for _ in 0..3 {
        assert_eq!(decoder.decode(&[], Instant::ZERO).unwrap_err(), FfmpegError::Invalid(0));
    }
}

#[test]
fn random_bytes_stay_within_the_limits() {
    let seed = 0x1234_5678;
    let mut state = seed;
    for threads in [1, 2] {
        let mut decoder =
            FfmpegDecoder::new(&Options { threads, pixels_max: 1 << 20, ..Options::default() }).unwrap();
        for round in 0..2000 {
            let len = random(&mut state) % 600 + 1;
            let mut data: Vec<u8> = (0..len).map(|_| random(&mut state) as u8).collect();
            // A start code and a unit's head, so that it is looked at.
            let head = [0, 0, 0, 1, [0x67, 0x68, 0x65, 0x41, 0x06][random(&mut state) as usize % 5]];
            data.splice(0..0, head);
            // By chance they may be a picture.
            if let Ok(Some(frame)) = decoder.decode(&data, Instant::ZERO) {
                let pixels = frame.width() * frame.height();
                assert!(
                    pixels <= 1 << 20,
                    "seed {seed:#x}, round {round}, {threads} threads: {pixels} pixels"
                );
            }
        }
        decoder.reset();
    }
}
