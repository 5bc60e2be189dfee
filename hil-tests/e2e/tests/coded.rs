//! A card that encodes: its pictures reach a client as they are. The card is a stand-in, the test scene behind an encoder.

use wavry_e2e::programs::{Client, Host};

#[test]
fn pictures_of_a_card_that_encodes_are_passed_on_and_each_viewer_gets_its_key_picture() {
    let host = Host::start("test:h264", &["--fps", "30", "--log", "wavry_server=debug"]);
    let first = Client::allowed_by(&host);
    let report = first.file("report.json");
    let report = report.to_str().expect("a plain path");
    let mut watching = first.connect(&host, None, &["--frames", "90", "--json", report]);
    // The second comes while the first watches: the card is asked for a key picture.
    let second = Client::allowed_by(&host);
    let mut joining = second.connect(&host, None, &["--frames", "20"]);
    assert!(joining.wait().success(), "{}", joining.words());
    assert!(watching.wait().success(), "{}", watching.words());
    let words = host.server.words();
    assert!(words.contains("its pictures are passed on"), "{words}");
    assert!(words.contains("asked for a key picture"), "{words}");
    assert!(!words.contains("encoding H.264"), "the host encodes nothing itself: {words}");
    let report = std::fs::read_to_string(report).expect("it was written");
    assert!(report.contains("\"reconnects\": 0") || report.contains("\"reconnects\":0"), "{report}");
}
