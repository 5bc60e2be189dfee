//! Sessions of real programs over real sockets: pictures arrive right, strangers do not, and ends are clean.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::Value;
use wavry_e2e::process::{Guarded, wait_for};
use wavry_e2e::programs::{Client, Host};
use wavry_e2e::screen::Screen;

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the client left its figures");
    serde_json::from_str(&text).expect("the figures are JSON")
}

/// Width, height and RGB bytes.
fn png(path: &Path) -> (u32, u32, Vec<u8>) {
    let mut reader =
        png::Decoder::new(BufReader::new(File::open(path).expect("a picture"))).read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut bytes).expect("whole");
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (info.width, info.height, bytes)
}

/// Runs a headless client for so many pictures; its figures and its last picture.
fn watch(host: &Host, client: &Client, frames: u32, arguments: &[&str]) -> (Value, (u32, u32, Vec<u8>)) {
    let (figures, picture) = (client.file("figures.json"), client.file("picture.png"));
    let frames = frames.to_string();
    let files = [figures.to_str().expect("ASCII"), picture.to_str().expect("ASCII")];
    let arguments = [&["--frames", &frames, "--json", files[0], "--png", files[1]], arguments].concat();
    let mut running = client.connect(host, None, &arguments);
    let status = running.wait();
    assert!(status.success(), "{status}: {}", running.words());
    (json(&figures), png(&picture))
}

fn words_contain(running: &Guarded, wanted: &str) {
    assert!(
        wait_for(|| running.words().contains(wanted).then_some(())).is_some(),
        "no {wanted:?} in: {}",
        running.words()
    );
}

#[test]
fn test_scene_arrives_by_every_handshake() {
    for handshake in ["rift", "snow", "experimental-hybrid"] {
        let host = Host::start("test", &["--handshake", handshake]);
        let client = Client::allowed_by(&host);
        let (figures, (width, height, pixels)) = watch(&host, &client, 60, &["--handshake", handshake]);
        assert!(figures["pictures"]["delivered"].as_u64().is_some_and(|count| count >= 60), "{figures}");
        assert!(width >= 640 && height >= 360, "{width}x{height}");
        assert!(pixels.iter().any(|&byte| byte != pixels[0]), "the picture is one colour");
    }
}

#[test]
fn stranger_is_refused_and_told_what_to_do() {
    let host = Host::start("test", &[]);
    let stranger = Client::new();
    let mut running = stranger.connect(&host, None, &["--frames", "1"]);
    assert_eq!(running.wait().code(), Some(1));
    let words = running.words();
    assert!(words.contains("wavry-server allow") && words.contains(&stranger.id), "{words}");
    // The host's log names who asked, and no client is listed.
    words_contain(&host.server, &stranger.id);
    assert!(!host.command(&["list"]).contains(&stranger.id));
}

#[test]
fn wrong_host_id_is_met_with_silence_and_a_clear_error() {
    let host = Host::start("test", &[]);
    let client = Client::allowed_by(&host);
    let another = Client::new();
    let mut running = client.connect_to(&host.address, &another.id, None, &["--seconds", "60"]);
    words_contain(&running, "nswer");
    running.kill();
}

#[test]
fn revoked_client_is_shown_out() {
    let host = Host::start("test", &[]);
    let client = Client::allowed_by(&host);
    let mut running = client.connect(&host, None, &["--seconds", "120"]);
    words_contain(&host.server, "session began");
    host.command(&["revoke", &client.id]);
    let status = running.wait();
    assert_eq!(status.code(), Some(1), "{}", running.words());
    assert!(running.words().contains("revoked"), "{}", running.words());
}

#[test]
fn several_viewers_see_one_source() {
    let host = Host::start("test", &[]);
    let clients: Vec<Client> = (0..3).map(|_| Client::allowed_by(&host)).collect();
    let mut running: Vec<(Guarded, std::path::PathBuf)> = clients
        .iter()
        .map(|client| {
            let figures = client.file("figures.json");
            let path = figures.to_str().expect("ASCII").to_owned();
            (client.connect(&host, None, &["--frames", "90", "--json", &path]), figures)
        })
        .collect();
    for (client, figures) in &mut running {
        assert!(client.wait().success(), "{}", client.words());
        let figures = json(figures);
        assert!(figures["pictures"]["delivered"].as_u64().is_some_and(|count| count >= 90), "{figures}");
    }
}

#[test]
fn restarted_host_is_found_again() {
    let host = Host::start("test", &[]);
    let client = Client::allowed_by(&host);
    let figures = client.file("figures.json");
    let arguments = ["--frames", "100000", "--seconds", "30", "--json", figures.to_str().expect("ASCII")];
    let mut running = client.connect(&host, None, &arguments);
    words_contain(&host.server, "session began");
    let again = host.restart();
    words_contain(&again.server, "session began");
    running.terminate();
    let status = running.wait();
    assert!(status.success(), "{status}: {}", running.words());
    assert!(json(&figures)["reconnects"].as_u64().is_some_and(|count| count >= 1));
}

#[test]
fn ended_host_leaves_nothing_behind() {
    let mut host = Host::start("test", &[]);
    let client = Client::allowed_by(&host);
    let running = client.connect(&host, None, &["--seconds", "120"]);
    words_contain(&host.server, "session began");
    host.server.terminate();
    assert!(host.server.wait().success(), "{}", host.server.words());
    drop(running);
}

#[test]
fn application_session_has_a_screen_of_its_own_and_ends_with_the_application() {
    if Screen::start(64, 64).is_none() {
        return;
    }
    let mut host = Host::start("app:xterm -geometry 80x24+0+0 -e sh -c 'sleep 8'", &[]);
    let client = Client::allowed_by(&host);
    let (figures, (width, height, _)) = watch(&host, &client, 2, &[]);
    assert_eq!((width, height), (1280, 720), "{figures}");
    assert!(wait_for(|| host.server.ended()).is_some(), "{}", host.server.words());
}
