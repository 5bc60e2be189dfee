//! Two viewers of one screen, one of each codec: both show it, the one of tiles exactly.

use std::process::Command;

use wavry_e2e::process::{Guarded, Scratch, wait_for};
use wavry_e2e::programs::{Client, Host};
use wavry_e2e::screen::{Hands, Screen};

const WIDTH: u32 = 800;
const HEIGHT: u32 = 600;
/// More than one pixel off by one can be like: only the same is.
const EXACTLY: f64 = 200.0;

/// How like two pictures are, in dB; as large as can be when they are the same.
fn likeness(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len(), "both show as many pixels");
    let squares: u64 = one.iter().zip(other).map(|(one, other)| u64::from(one.abs_diff(*other)).pow(2)).sum();
    let mean = squares as f64 / one.len() as f64;
    10.0 * (255.0f64 * 255.0 / mean.max(f64::MIN_POSITIVE)).log10()
}

/// A terminal that writes more than fits, and again when it is told to.
fn terminal(screen: &Screen, scratch: &Scratch) -> Guarded {
    let go = scratch.path().join("go");
    let script = format!(
        "for i in $(seq 1 90); do echo \"$i: the quick brown fox jumps over the lazy dog\"; done; \
         until [ -e '{go}' ]; do sleep 0.05; done; \
         for i in $(seq 91 200); do echo \"$i: sphinx of black quartz, judge my vow\"; sleep 0.01; done; \
         sleep 600",
        go = go.display()
    );
    let mut command = Command::new("xterm");
    command.args(["-geometry", "120x40+10+10", "-e", "sh", "-c", &script]).env("DISPLAY", &screen.display);
    Guarded::start(&mut command, &scratch.path().join("xterm"))
}

/// Waits until a viewer's screen is what it should be.
fn until_alike(host: &Hands, viewer: &Hands, what: &str, least_db: f64, running: &Guarded) {
    let mut found = 0.0;
    let alike = wait_for(|| {
        found = likeness(&host.picture(), &viewer.picture());
        (found >= least_db).then_some(())
    });
    assert!(alike.is_some(), "{what}: {found:.1} dB; {}", running.words());
}

#[test]
fn two_viewers_with_a_codec_each_show_the_same_screen() {
    let Some(shared) = Screen::start(WIDTH, HEIGHT) else { return };
    let screens = [(); 2].map(|()| Screen::start(WIDTH, HEIGHT).expect("there was one already"));
    if Command::new("xterm").arg("-version").output().is_err() {
        eprintln!("skipped: xterm is not installed (`cargo rig setup`)");
        return;
    }
    let scratch = Scratch::new();
    let mut xterm = terminal(&shared, &scratch);
    let host = Host::start(&format!("x11:{}", shared.display), &[]);
    let viewers: Vec<(Client, Guarded)> = ["tiles", "h264"]
        .iter()
        .zip(&screens)
        .map(|(codec, screen)| {
            let client = Client::allowed_by(&host);
            let arguments = ["--display", "x11", "--x-display", &screen.display, "--codec", codec];
            let running = client.connect(&host, Some(&screen.display), &arguments);
            (client, running)
        })
        .collect();
    let (source, shown) = (shared.hands(), screens.each_ref().map(Screen::hands));
    for round in 0..2 {
        // Nothing is on a screen at first: it must become something before it can be the same.
        let first = source.pixel(0, 0);
        let has_text = wait_for(|| {
            let picture = source.picture();
            picture.chunks_exact(4).any(|pixel| pixel[..3] != first.to_le_bytes()[..3]).then_some(())
        });
        assert!(has_text.is_some(), "the terminal shows something: {}", xterm.words());
        until_alike(&source, &shown[0], "tiles", EXACTLY, &viewers[0].1);
        until_alike(&source, &shown[1], "H.264", 30.0, &viewers[1].1);
        if round == 0 {
            std::fs::write(scratch.path().join("go"), "").expect("a file can be made");
            let before = source.picture();
            assert!(wait_for(|| (source.picture() != before).then_some(())).is_some(), "it scrolls");
        }
    }
    // The last line written is the last to arrive.
    let words = host.server.words();
    assert!(words.contains("Tiles888") && words.contains("H264"), "{words}");
    xterm.kill();
    // What is under the terminal shows again, at both.
    until_alike(&source, &shown[0], "tiles", EXACTLY, &viewers[0].1);
    until_alike(&source, &shown[1], "H.264", 30.0, &viewers[1].1);
}
