//! What is copied on the host's screen is pasted on the client's, and the other way round, for those who may.

use core::time::Duration;
use std::sync::mpsc::{Receiver, channel};

use rift_x11::X11Clipboard;
use wavry_e2e::process::{pause, wait_for};
use wavry_e2e::programs::{Client, Host};
use wavry_e2e::screen::Screen;

fn clipboard(screen: &Screen) -> (X11Clipboard, Receiver<String>) {
    let (copied, texts) = channel();
    let started = X11Clipboard::start(Some(&screen.display), move |text| {
        // A test that is over hears no more.
        let _ = copied.send(text);
    });
    (started.expect("Xvfb has XFIXES"), texts)
}

/// Copies `text` again and again, until it is heard on the other side or that takes too long.
fn is_heard(from: &X11Clipboard, text: &str, texts: &Receiver<String>) -> bool {
    let heard = wait_for(|| {
        from.offer(text.to_owned()).expect("the display is there");
        pause(Duration::from_millis(100));
        texts.try_iter().any(|heard| heard == text).then_some(())
    });
    heard.is_some()
}

#[test]
fn copied_text_goes_both_ways_to_those_who_may() {
    let (Some(there), Some(here)) = (Screen::start(320, 240), Screen::start(320, 240)) else { return };
    let host = Host::start(&format!("x11:{}", there.display), &["--clipboard"]);
    let friend = Client::new();
    host.command(&["allow", &friend.id, "--permit", "clipboard-read,clipboard-write"]);
    let client = friend.connect(&host, None, &["--clipboard", "--x-display", &here.display]);
    let ((copy_there, heard_there), (copy_here, heard_here)) = (clipboard(&there), clipboard(&here));
    let long = "Ein längerer Text, 漢字 🦀\n".repeat(4000);
    for text in ["kurz", &long] {
        assert!(is_heard(&copy_there, text, &heard_here), "host to client: {}", client.words());
        let back = format!("{text} zurück");
        assert!(is_heard(&copy_here, &back, &heard_there), "client to host: {}", host.server.words());
    }
    // Neither log tells what was copied.
    assert!(!client.words().contains("kurz") && !host.server.words().contains("kurz"));
}

#[test]
fn who_may_only_read_the_clipboard_writes_nothing() {
    let (Some(there), Some(here)) = (Screen::start(320, 240), Screen::start(320, 240)) else { return };
    let host = Host::start(&format!("x11:{}", there.display), &["--clipboard"]);
    let reader = Client::new();
    host.command(&["allow", &reader.id, "--permit", "clipboard-read"]);
    let client = reader.connect(&host, None, &["--clipboard", "--x-display", &here.display]);
    let ((copy_there, heard_there), (copy_here, heard_here)) = (clipboard(&there), clipboard(&here));
    assert!(is_heard(&copy_there, "to be read", &heard_here), "host to client: {}", client.words());
    copy_here.offer("not to be written".to_owned()).expect("the display is there");
    // What comes after it on the same way is there: had it been let through, it would be too.
    assert!(is_heard(&copy_there, "and after that", &heard_here), "host to client: {}", client.words());
    assert_eq!(heard_there.try_iter().count(), 0, "nothing came to the host");
}
