//! Sound through libopus and back: what comes out is what went in, a moment later, whatever is lost on the way.

use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE, AudioDecoder, AudioEncoder};
use rift_opus::{FRAMES, OpusDecoder, OpusEncoder, OpusError};

/// A tone on the left and another on the right, frame by frame.
fn tone(from: usize, frames: usize) -> Vec<i16> {
    let at = |frame: usize, hertz: f64| {
        let angle = core::f64::consts::TAU * hertz * frame as f64 / f64::from(AUDIO_RATE);
        (8000.0 * angle.sin()) as i16
    };
    (from..from + frames).flat_map(|frame| [at(frame, 440.0), at(frame, 1250.0)]).collect()
}

/// Energy of the difference to the tone, `delay` frames later, as a part of the tone's own, in dB.
fn error_db(heard: &[i16], delay: usize) -> f64 {
    let wanted = tone(0, heard.len() / AUDIO_CHANNELS - delay);
    let heard = &heard[delay * AUDIO_CHANNELS..];
    let energy = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let error =
        energy(&mut heard.iter().zip(&wanted).map(|(&one, &other)| f64::from(one) - f64::from(other)));
    10.0 * (error / energy(&mut wanted.iter().map(|&value| f64::from(value)))).log10()
}

#[test]
fn sound_comes_back_after_the_lookahead_whatever_the_packets_length() {
    for frames in FRAMES {
        let mut encoder = OpusEncoder::new().expect("an encoder");
        let mut decoder = OpusDecoder::new().expect("a decoder");
        let (mut heard, mut bytes, mut packet) = (Vec::new(), 0, [0; 1275]);
        for at in (0..48_000).step_by(frames) {
            let len = encoder.encode(&tone(at, frames), &mut packet).expect("coded");
            bytes += len;
            assert_eq!(decoder.frames(&packet[..len]), Some(frames));
            let mut samples = vec![0; 960 * AUDIO_CHANNELS];
            let decoded = decoder.decode(&packet[..len], &mut samples).expect("decoded");
            heard.extend_from_slice(&samples[..decoded * AUDIO_CHANNELS]);
        }
        let delay = usize::try_from(encoder.lookahead()).expect("a small number");
        assert!(delay <= 120, "the lookahead is {delay} frames");
        let error = error_db(&heard, delay);
        println!("{frames} frames a packet: {} kbit/s, error {error:.1} dB", bytes * 8 / 1000);
        assert!(error < -20.0, "{frames} frames a packet: error {error:.1} dB");
        assert!((80_000..220_000).contains(&(bytes * 8)), "{bytes} bytes a second");
    }
}

#[test]
fn missing_packet_is_concealed_without_a_hole() {
    let mut encoder = OpusEncoder::new().expect("an encoder");
    let mut decoder = OpusDecoder::new().expect("a decoder");
    let mut packet = [0; 1275];
    for number in 0..60 {
        let len = encoder.encode(&tone(number * 480, 480), &mut packet).expect("coded");
        let mut samples = vec![0; 480 * AUDIO_CHANNELS];
        if number % 20 == 10 {
            decoder.conceal(&mut samples).expect("concealed");
        } else {
            decoder.decode(&packet[..len], &mut samples).expect("decoded");
        }
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        assert!(number < 2 || (5000..12_000).contains(&loudest), "packet {number}: {loudest}");
    }
}

#[test]
fn rate_follows_what_is_asked_for_and_silence_costs_next_to_nothing() {
    let mut encoder = OpusEncoder::new().expect("an encoder");
    let mut packet = [0; 1275];
    let mut second = |encoder: &mut OpusEncoder, sound: &dyn Fn(usize) -> Vec<i16>| {
        let bytes = (0..100).map(|at| encoder.encode(&sound(at * 480), &mut packet).expect("coded"));
        bytes.sum::<usize>() * 8
    };
    for (wanted, range) in [(32_000, 20_000..45_000), (256_000, 150_000..300_000), (1, 5_000..30_000)] {
        encoder.set_bitrate(wanted);
        // What it has not adapted yet does not count.
        second(&mut encoder, &|at| tone(at, 480));
        let bits = second(&mut encoder, &|at| tone(at, 480));
        assert!(range.contains(&bits), "asked for {wanted}, got {bits} bits a second");
    }
    second(&mut encoder, &|_| vec![0; 960]);
    assert!(second(&mut encoder, &|_| vec![0; 960]) < 5_000);
}

#[test]
fn what_is_no_packet_and_what_does_not_fit_is_refused() {
    let mut encoder = OpusEncoder::new().expect("an encoder");
    let mut decoder = OpusDecoder::new().expect("a decoder");
    let mut packet = [0; 1275];
    for samples in [0, 1, 959, 962, 4000] {
        assert_eq!(encoder.encode(&vec![0; samples], &mut packet), Err(OpusError::Length(samples)));
        assert_eq!(decoder.conceal(&mut vec![0; samples]), Err(OpusError::Length(samples)));
    }
    let len = encoder.encode(&tone(0, 480), &mut packet).expect("coded");
    assert_eq!(decoder.decode(&packet[..len], &mut [0; 100]), Err(OpusError::Buffer));
    assert_eq!(decoder.decode(&[], &mut [0; 960]), Err(OpusError::Packet));
    assert_eq!(decoder.frames(&[]), None);
    // Code 3 says how many frames there are in a second byte, which is missing.
    assert_eq!(decoder.frames(&[0xff]), None);
}
