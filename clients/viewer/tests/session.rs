//! The client against a small host over loopback: pictures, refusals, ends and new beginnings.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use core::time::Duration;

use clap::Parser as _;
use rift::{CloseReason, PublicKey};
use support::{HEIGHT, Host, Scratch, Script, WIDTH, scene};
use wavry_client::args::{Arguments, Command, Connect};
use wavry_client::error::ClientError;

/// After this nothing comes any more.
const HANG: Duration = Duration::from_secs(20);

fn options(host: &str, id: PublicKey, scratch: &Scratch, more: &[&str]) -> Connect {
    let state = scratch.path("state");
    let id = id.to_string();
    let words = ["wavry-client", "connect", host, "--host-id", &id, "--headless", "--state"];
    let words = words.into_iter().map(Into::into).chain([state.into_os_string()]);
    match Arguments::try_parse_from(words.chain(more.iter().map(Into::into))).unwrap().command {
        Command::Connect(connect) => *connect,
        Command::Pair(_)
        | Command::List(_)
        | Command::Settings(_)
        | Command::Id(_)
        | Command::Power(_)
        | Command::Send(_) => {
            panic!("connect was asked for")
        }
    }
}

fn client_id(scratch: &Scratch) -> PublicKey {
    let path = scratch.path("state").join(rift_keystore::FILE_NAME);
    rift_keystore::load_or_create(&path).unwrap().public()
}

/// Ratio of signal to noise in dB, over all colours.
fn psnr(rgb: &[u8], bgrx: &[u8]) -> f64 {
    let noise: f64 = rgb
        .chunks_exact(3)
        .zip(bgrx.chunks_exact(4))
        .flat_map(|(is, should)| (0..3).map(|part| f64::from(is[part]) - f64::from(should[2 - part])))
        .map(|difference| difference * difference)
        .sum();
    10.0 * (255.0 * 255.0 * rgb.len() as f64 / noise).log10()
}

#[test]
fn headless_client_measures_and_leaves_the_last_picture() {
    let scratch = Scratch::new("headless");
    let (png, json) = (scratch.path("last.png"), scratch.path("run.json"));
    let host = Host::start(Some(client_id(&scratch)), Script::Forever);
    for handshake in ["rift", "snow"] {
        let more = [
            "--frames",
            "60",
            "--handshake",
            handshake,
            "--png",
            png.to_str().unwrap(),
            "--json",
            json.to_str().unwrap(),
        ];
        wavry_client::connect(&options(&host.address.to_string(), host.id, &scratch, &more)).unwrap();
        let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&png).unwrap()));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (WIDTH, HEIGHT), "odd sizes are cropped");
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        let quality = psnr(&rgb, &scene());
        assert!(quality >= 35.0, "{quality:.1} dB with {handshake}");
        let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!(summary["pictures"]["presented"], 60, "{summary:#}");
        assert_eq!((&summary["width"], &summary["codec"]), (&WIDTH.into(), &"h264".into()));
        let median = summary["median_us"].as_object().unwrap();
        let sum: i64 =
            median.iter().filter(|(name, _)| *name != "total").map(|(_, us)| us.as_i64().unwrap()).sum();
        assert_eq!(median["total"], sum);
        assert_eq!(summary["reconnects"], 0);
    }
    for _ in 0..2 {
        assert_eq!(host.closed.recv_timeout(HANG), Ok(CloseReason::Done), "the host was told");
    }
}

#[test]
fn refused_client_tells_what_to_run_on_the_host() {
    let scratch = Scratch::new("refused");
    let host = Host::start(Some(PublicKey::from_bytes([9; 32])), Script::Forever);
    let address = host.address.to_string();
    let error = wavry_client::connect(&options(&address, host.id, &scratch, &["--frames", "1"])).unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    let line = format!("wavry-server allow {}", client_id(&scratch));
    assert!(error.to_string().contains(&line), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn host_with_another_id_does_not_answer() {
    let scratch = Scratch::new("unanswered");
    let host = Host::start(None, Script::Forever);
    let (address, wrong) = (host.address.to_string(), client_id(&scratch));
    let error = wavry_client::connect(&options(&address, wrong, &scratch, &["--frames", "1"])).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ClientError::Unanswered { .. }), "{text}");
    for part in ["127.0.0.1", &host.address.port().to_string(), "--host-id", &wrong.to_string(), "firewall"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn lost_session_begins_again() {
    let scratch = Scratch::new("again");
    let json = scratch.path("run.json");
    let host = Host::start(None, Script::CloseAfter(20, CloseReason::Done));
    let more = ["--frames", "60", "--json", json.to_str().unwrap()];
    wavry_client::connect(&options(&host.address.to_string(), host.id, &scratch, &more)).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(summary["reconnects"], 1, "{summary:#}");
    assert_eq!(summary["pictures"]["presented"], 60);
}

#[test]
fn revoked_client_does_not_come_back() {
    let scratch = Scratch::new("revoked");
    let host = Host::start(None, Script::CloseAfter(5, CloseReason::Revoked));
    let error =
        wavry_client::connect(&options(&host.address.to_string(), host.id, &scratch, &[])).unwrap_err();
    assert!(error.to_string().contains("has revoked this client's access"), "{error}");
}

#[test]
fn host_with_nothing_left_to_show_ends_the_client_well() {
    let scratch = Scratch::new("gone");
    let host = Host::start(None, Script::CloseAfter(5, CloseReason::SourceGone));
    wavry_client::connect(&options(&host.address.to_string(), host.id, &scratch, &[])).unwrap();
}

#[test]
fn still_screen_ends_by_the_clock_and_keeps_its_picture() {
    let scratch = Scratch::new("still");
    let png = scratch.path("last.png");
    let host = Host::start(None, Script::RestAfter(3));
    let more = ["--seconds", "1", "--png", png.to_str().unwrap()];
    wavry_client::connect(&options(&host.address.to_string(), host.id, &scratch, &more)).unwrap();
    assert!(png.is_file());
}

#[test]
fn link_with_places_reaches_the_host_though_its_gateway_is_silent() {
    let scratch = Scratch::new("named");
    let host = Host::start(Some(client_id(&scratch)), Script::Forever);
    let silent = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let [gateway, elsewhere] = silent.each_ref().map(|socket| socket.local_addr().unwrap());
    let (key, places) =
        (PublicKey::from_bytes([9; 32]), format!("direct={elsewhere}&direct={}", host.address));
    for link in
        [format!("wavry://{}@{gateway}/{key}?{places}", host.id), format!("wavry://{}?{places}", host.id)]
    {
        wavry_client::connect(&options(&link, host.id, &scratch, &["--frames", "5"])).unwrap();
        assert_eq!(host.closed.recv_timeout(HANG), Ok(CloseReason::Done), "{link}");
    }
}
