//! Sound of real programs over real sockets: a tone at the host is that tone in the file that the client plays into.

use std::path::Path;

use serde_json::Value;
use wavry_e2e::process::wait_for;
use wavry_e2e::programs::{Client, Host};

/// What the host's test sound has left and right, in Hz.
const HERTZ: [f64; 2] = [997.0, 1499.0];
const RATE: usize = 48_000;

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the client left its figures");
    serde_json::from_str(&text).expect("the figures are JSON")
}

/// The samples of a WAVE file's channels.
fn wave(path: &Path) -> [Vec<i16>; 2] {
    let bytes = std::fs::read(path).expect("a file");
    assert!(bytes.starts_with(b"RIFF") && bytes.len() > 44, "{} bytes", bytes.len());
    let samples: Vec<i16> =
        bytes[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    [0, 1].map(|channel| samples.iter().skip(channel).step_by(2).copied().collect())
}

/// Periods that a pitch is taken of.
const PERIODS: usize = 10;

/// The pitch of each half second that is heard throughout, in Hz: the median over its stretches of ten periods, so that where
/// a busy machine made a patch, the patch is no pitch.
fn pitches(samples: &[i16]) -> Vec<f64> {
    let is_heard = |part: &&[i16]| part.chunks(480).all(|part| part.iter().any(|sample| *sample > 4_000));
    samples
        .chunks_exact(RATE / 2)
        .filter(is_heard)
        .map(|part| {
            let crossings: Vec<f64> = part
                .windows(2)
                .enumerate()
                .filter(|(_, pair)| pair[0] < 0 && pair[1] >= 0)
                .map(|(at, pair)| at as f64 - f64::from(pair[0]) / f64::from(pair[1] - pair[0]))
                .collect();
            let pitch = |span: &[f64]| PERIODS as f64 * RATE as f64 / (span[PERIODS] - span[0]);
            median(crossings.windows(PERIODS + 1).map(pitch).collect())
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn tone_of_the_host_is_heard_at_the_client() {
    let host = Host::start("test", &["--audio-device", "test", "--fps", "5"]);
    let client = Client::allowed_by(&host);
    let (figures, heard) = (client.file("figures.json"), client.file("heard.wav"));
    let output = format!("file:{}", heard.display());
    let figures_path = figures.to_str().expect("ASCII");
    let mut running = client.connect(&host, None, &["--audio-device", &output, "--json", figures_path]);
    // However long that takes here: three seconds of sound, whole by halves.
    let mut looked_at = 0;
    let is_heard = || {
        // Another half second, both channels: looking costs more than playing.
        let length = std::fs::metadata(&heard).map_or(0, |file| file.len());
        let is_more = length >= looked_at + 2 * RATE as u64;
        looked_at = if is_more { length } else { looked_at };
        (is_more && wave(&heard).iter().all(|samples| pitches(samples).len() >= 6)).then_some(())
    };
    assert!(wait_for(is_heard).is_some(), "{}", running.words());
    running.terminate();
    assert!(running.wait().success(), "{}", running.words());
    let figures = json(&figures);
    let sound = &figures["sound"];
    println!("{sound}");
    assert!(sound["packets"].as_u64().is_some_and(|packets| packets > 250), "{figures}");
    assert!(sound["latency_us"].as_u64().is_some_and(|latency| latency > 10_000), "{figures}");
    for (samples, hertz) in wave(&heard).iter().zip(HERTZ) {
        let pitches = pitches(samples);
        println!("{hertz} Hz: {pitches:.3?} of {:.1} s", samples.len() as f64 / RATE as f64);
        assert!(!pitches.is_empty(), "no half second of {hertz} Hz is whole: {sound}");
        let worst = pitches.iter().fold(0.0, |worst: f64, pitch| worst.max((pitch / hertz - 1.0).abs()));
        assert!(worst < 1e-3, "{hertz} Hz is heard as {pitches:?}");
    }
    let status = host.command(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["sound"]["device"], "test");
    // The last to listen has gone: the device is let go of.
    let is_stopped = || {
        let status = host.command(&["status", "--json"]);
        let status: Value = serde_json::from_str(&status).expect("JSON");
        (status["sound"]["state"] == "stopped" && status["sound"]["listeners"] == 0).then_some(())
    };
    assert!(wait_for(is_stopped).is_some(), "{}", host.command(&["status", "--json"]));
    assert!(host.command(&["status", "--metrics"]).contains("wavry_sound_listeners 0"));
}

#[test]
fn sound_stops_when_the_right_goes_and_where_nobody_wants_it() {
    let host = Host::start("test", &["--audio-device", "test", "--fps", "5"]);
    let client = Client::allowed_by(&host);
    let (figures, heard) = (client.file("figures.json"), client.file("heard.wav"));
    let output = format!("file:{}", heard.display());
    let figures_path = figures.to_str().expect("ASCII");
    let mut running = client.connect(&host, None, &["--audio-device", &output, "--json", figures_path]);
    let listeners = || {
        let status: Value =
            serde_json::from_str(&host.command(&["status", "--json"])).expect("the status is JSON");
        (status["sound"]["listeners"].as_u64(), status["sound"]["sent"].as_u64().unwrap_or(0))
    };
    let is_heard = || matches!(listeners(), (Some(1), sent) if sent > 100).then_some(());
    assert!(wait_for(is_heard).is_some(), "{:?}: {}", listeners(), running.words());
    host.command(&["allow", &client.id, "--deny", "audio"]);
    assert!(wait_for(|| (listeners().0 == Some(0)).then_some(())).is_some(), "{:?}", listeners());
    // The file goes on for a while, in silence.
    let length = || std::fs::metadata(&heard).map_or(0, |file| file.len());
    let before = length();
    assert!(wait_for(|| (length() > before + 200_000).then_some(())).is_some(), "{}", running.words());
    running.terminate();
    assert!(running.wait().success(), "{}", running.words());
    let [left, _] = wave(&heard);
    assert!(left[left.len() - RATE / 2..].iter().all(|&sample| sample == 0), "it is still heard");
    assert!(left.iter().any(|&sample| sample > 4_000), "it was never heard");
    // Who wants to hear nothing is sent nothing, whatever it may.
    let deaf = Client::allowed_by(&host);
    let report = deaf.file("figures.json");
    let words = ["--no-audio", "--seconds", "1", "--json", report.to_str().expect("ASCII")];
    assert!(deaf.connect(&host, None, &words).wait().success());
    let report = json(&report);
    let permissions = report["permissions"].as_array().expect("a list");
    assert!(report["sound"].is_null() && !permissions.contains(&Value::from("audio")), "{report}");
}
