//! First contact between a host and a client as two people make it: with the real programs, over real sockets.

use std::net::UdpSocket;

use wavry_e2e::process::{Guarded, wait_for};
use wavry_e2e::programs::{Client, Host};

/// The PIN that a program shows.
fn pin(shows: &Guarded) -> String {
    let found = wait_for(|| {
        let words = shows.words();
        let line = words.lines().find_map(|line| line.strip_prefix("PIN: ")).map(str::to_owned);
        line.filter(|_| words.ends_with('\n'))
    });
    found.unwrap_or_else(|| panic!("no PIN in: {}", shows.words()))
}

/// Another PIN than this one.
fn other(pin: &str) -> String {
    let first = if pin.starts_with('1') { "2" } else { "1" };
    [first, &pin[1..]].concat()
}

#[test]
fn pin_shown_at_the_host_pairs_and_the_client_connects_without_an_id() {
    let host = Host::start("test", &[]);
    let mut at_host = host.pair(&["--name", "laptop", "--permit", "system-keys", "--deny", "audio"]);
    let client = Client::new();
    let pin = pin(&at_host);
    // People slip: letters are asked for again, a wrong PIN costs a guess.
    let typed = format!("letters\n{}\n{} {}\n", other(&pin), &pin[..3], &pin[3..]);
    let mut at_client = client.pair(&host.address, &typed, &[]);
    assert!(at_client.wait().success(), "{}", at_client.words());
    assert!(at_client.words().contains("wrong PIN") && at_client.words().contains(&host.id));
    assert!(at_host.wait().success(), "{}", at_host.words());
    assert!(at_host.words().contains("2 guesses are left"), "{}", at_host.words());
    let list = host.command(&["list"]);
    assert_eq!(list, format!("{}  view,pointer,keyboard,system-keys  laptop", client.id));
    let mut connected = client.connect_known(&host.address, &["--frames", "2"]);
    assert!(connected.wait().success(), "{}", connected.words());
    assert!(!host.server.words().contains(&pin), "no PIN in a log");
}

#[test]
fn pin_shown_at_the_client_is_typed_at_the_host() {
    let host = Host::start("test", &[]);
    let client = Client::new();
    let mut at_client = client.pair(&host.address, "", &["--show-pin", "--handshake", "snow"]);
    let mut at_host = host.pair(&["--pin", &pin(&at_client)]);
    assert!(at_client.wait().success(), "{}", at_client.words());
    assert!(at_host.wait().success(), "{}", at_host.words());
    assert!(host.command(&["list"]).contains(&client.id));
}

#[test]
fn link_that_says_where_the_host_is_pairs_though_its_gateway_is_silent() {
    let host = Host::start("test", &[]);
    let (client, somebody) = (Client::new(), Client::new());
    let silent = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    let [gateway, elsewhere] = silent.each_ref().map(|socket| socket.local_addr().expect("it is bound"));
    let places = format!("direct={elsewhere}&direct={}", host.address);
    let link = format!("wavry://{}@{gateway}/{}?{places}", host.id, somebody.id);
    let mut at_host = host.pair(&[]);
    let mut at_client = client.pair(&link, &format!("{}\n", pin(&at_host)), &[]);
    assert!(at_client.wait().success(), "{}", at_client.words());
    assert!(at_client.words().contains(&host.id), "{}", at_client.words());
    assert!(at_host.wait().success(), "{}", at_host.words());
    assert!(host.command(&["list"]).contains(&client.id));
}

#[test]
fn link_pairs_with_nobody_but_the_host_that_it_names() {
    let host = Host::start("test", &[]);
    let (client, somebody) = (Client::new(), Client::new());
    let at_host = host.pair(&[]);
    let pin = pin(&at_host);
    let link = format!("wavry://{}?direct={}", somebody.id, host.address);
    let mut at_client = client.pair(&link, &format!("{pin}\n"), &[]);
    assert_eq!(at_client.wait().code(), Some(1), "{}", at_client.words());
    assert!(!at_client.words().contains("paired with"), "{}", at_client.words());
    // He was told nothing, so the PIN is as good as before.
    let mut at_client = client.pair(&host.address, &format!("{pin}\n"), &[]);
    assert!(at_client.wait().success(), "{}", at_client.words());
    assert!(!at_host.words().contains("guesses are left"), "{}", at_host.words());
}

#[test]
fn who_has_been_hybrid_with_a_host_is_nothing_less_with_it_again() {
    let hybrid = ["--handshake", "experimental-hybrid"];
    let host = Host::start("test", &hybrid);
    let client = Client::new();
    let mut at_client = client.pair(&host.address, "", &["--show-pin", hybrid[0], hybrid[1]]);
    let mut at_host = host.pair(&["--pin", &pin(&at_client)]);
    assert!(at_client.wait().success() && at_host.wait().success(), "{}", at_client.words());
    // The pin says so by itself, and the host writes it down.
    let mut connected = client.connect_known(&host.address, &["--frames", "2"]);
    assert!(connected.wait().success(), "{}", connected.words());
    let list = std::fs::read_to_string(host.state().join("clients.toml")).expect("the host's list");
    assert!(list.contains("suite = \"hybrid\""), "{list}");
    // A client that has forgotten is reminded.
    let pins = client.file("state").join("hosts.toml");
    let text = std::fs::read_to_string(&pins).expect("the client's hosts");
    assert!(text.contains("suite = \"hybrid\""), "{text}");
    std::fs::write(&pins, text.replace("suite = \"hybrid\"\n", "")).expect("written");
    let mut classical = client.connect_known(&host.address, &["--frames", "2"]);
    assert_eq!(classical.wait().code(), Some(1), "{}", classical.words());
    assert!(host.server.words().contains("its handshakes were hybrid"), "{}", host.server.words());
}

#[test]
fn three_wrong_pins_end_it_for_everybody_and_the_next_has_to_wait() {
    let host = Host::start("test", &[]);
    let mut at_host = host.pair(&[]);
    let pin = pin(&at_host);
    let client = Client::new();
    let mut at_client = client.pair(&host.address, &format!("{}\n", other(&pin)).repeat(3), &[]);
    assert_eq!(at_client.wait().code(), Some(1));
    assert_eq!(at_host.wait().code(), Some(1));
    assert!(at_host.words().contains("too many wrong PINs"), "{}", at_host.words());
    let mut again = host.pair(&[]);
    assert_eq!(again.wait().code(), Some(1));
    assert!(again.words().contains("waits for another"), "{}", again.words());
    assert_eq!(host.command(&["list"]), "");
}

#[test]
fn host_that_does_not_pair_is_silent_and_hanging_up_closes_the_window() {
    let host = Host::start("test", &[]);
    let mut at_host = host.pair(&[]);
    let pin = pin(&at_host);
    at_host.kill();
    assert!(wait_for(|| host.server.words().contains("withdrawn").then_some(())).is_some());
    let client = Client::new();
    let mut at_client = client.pair(&host.address, &format!("{pin}\n"), &[]);
    assert_eq!(at_client.wait().code(), Some(1));
    assert!(at_client.words().contains("wavry-server pair"), "{}", at_client.words());
    assert!(!host.server.words().contains("wants to pair"), "{}", host.server.words());
}

#[test]
fn host_can_be_started_to_pair_and_an_unknown_one_is_told_how() {
    let host = Host::start("test", &["--pair"]);
    let client = Client::new();
    let mut stranger = client.connect_known(&host.address, &["--frames", "1"]);
    assert_eq!(stranger.wait().code(), Some(2));
    assert!(stranger.words().contains("wavry-client pair"), "{}", stranger.words());
    let typed = format!("{}\n", pin(&host.server));
    let mut at_client = client.pair(&host.address, &typed, &[]);
    assert!(at_client.wait().success(), "{}", at_client.words());
    assert!(host.command(&["list"]).contains(&client.id));
}

#[test]
fn permissions_change_while_a_session_runs() {
    let host = Host::start("test", &[]);
    let client = Client::allowed_by(&host);
    let figures = client.file("figures.json");
    let arguments = ["--seconds", "60", "--json", figures.to_str().expect("ASCII")];
    let mut running = client.connect(&host, None, &arguments);
    let says = |running: &Guarded, wanted: &str| {
        let found = wait_for(|| running.words().contains(wanted).then_some(()));
        assert!(found.is_some(), "no {wanted:?} in {}", running.words());
    };
    says(&running, "this client may");
    host.command(&["allow", &client.id, "--permit", "clipboard-read,record", "--deny", "audio"]);
    says(&running, "clipboard-read,record");
    running.terminate();
    assert!(running.wait().success(), "{}", running.words());
    let figures = std::fs::read_to_string(figures).expect("its figures");
    let figures: serde_json::Value = serde_json::from_str(&figures).expect("JSON");
    let words: Vec<&str> =
        figures["permissions"].as_array().expect("a list").iter().filter_map(|word| word.as_str()).collect();
    assert!(words.contains(&"view") && words.contains(&"record") && !words.contains(&"audio"), "{figures}");
}

#[test]
fn rotated_key_is_taken_by_a_client_that_was_told_and_the_old_one_counts_no_more() {
    let mut host = Host::start("test", &["--pair"]);
    let client = Client::new();
    let typed = format!("{}\n", pin(&host.server));
    let mut at_client = client.pair(&host.address, &typed, &[]);
    assert!(at_client.wait().success(), "{}", at_client.words());
    let said = host.command(&["rotate-key"]);
    let next = said.lines().next().expect("an ID").to_owned();
    let mut told = client.connect_known(&host.address, &["--seconds", "60"]);
    let hears = wait_for(|| told.words().contains("vouches for its next key").then_some(()));
    assert!(hears.is_some(), "{} {}", told.words(), host.server.words());
    told.terminate();
    assert!(told.wait().success(), "{}", told.words());
    host.server.terminate();
    assert!(host.server.wait().success(), "{}", host.server.words());
    assert!(host.command(&["rotate-key", "--switch"]).contains(&next));
    let host = host.restart();
    assert_eq!(host.command(&["id"]), next);
    let mut by_new = client.connect_known(&host.address, &["--frames", "2"]);
    assert!(by_new.wait().success(), "{}", by_new.words());
    let pinned = std::fs::read_to_string(client.file("state").join("hosts.toml")).expect("it pins hosts");
    assert!(
        pinned.contains(&next) && !pinned.contains(&host.id) && !pinned.contains("successor"),
        "{pinned}"
    );
}
