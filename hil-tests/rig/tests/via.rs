//! Hosts and clients that know no way to each other, by the real programs, in network namespaces: introduced, punched
//! through NATs, relayed, and back again. Nothing is timed here but against hanging: how long it may take is proven in
//! virtual time, by the simulator's internet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wavry_rig::args::{Demo, Setup, Via};
use wavry_rig::demo::{self, Programs, number_in};
use wavry_rig::internet::{GATEWAY, Place};
use wavry_rig::meeting::{Meeting, text_in};
use wavry_rig::process::{Keeper, Running, wait_until};

const HANG_GUARD: Duration = Duration::from_secs(60);

/// Where `cargo build --bins` puts the programs; `None` = they are not there, or this machine has no namespaces for them,
/// and why is printed.
fn programs() -> Option<Programs> {
    let test = std::env::current_exe().expect("a test knows where it is");
    let directory: PathBuf =
        test.ancestors().nth(2).expect("tests stand in target/PROFILE/deps").to_path_buf();
    let programs = Programs::at(directory);
    for name in ["wavry-server", "wavry-client", "wavry-gateway", "wavry-relay", "wavry-probe"] {
        if !programs.path(name).is_file() {
            eprintln!("skipped: {name} has not been built (`cargo build --workspace --bins`)");
            return None;
        }
    }
    let id = Command::new("id").arg("-u").output().expect("every system has it");
    let has = |name| Command::new(name).arg("--version").output().is_ok();
    if id.stdout.trim_ascii() != b"0" || !has("nft") || !has("Xvfb") || !has("xterm") {
        eprintln!(
            "skipped: no right to make network namespaces here, or no nftables or Xvfb (`cargo rig setup`)"
        );
        return None;
    }
    Some(programs)
}

fn play(via: Via) {
    let Some(programs) = programs() else { return };
    let keeper = Keeper::start().expect("there is a place for what this leaves");
    let options = Demo { setup: Setup { yes: true, skip: true }, seconds: 4, headless: true, via: Some(via) };
    demo::play(&programs, &options, &keeper.scratch().join("results"))
        .expect("the session takes the path that was asked for");
}

#[test]
fn client_and_host_behind_nats_meet_directly() {
    play(Via::Gateway);
}

#[test]
fn client_and_host_behind_symmetric_nats_meet_at_the_relay() {
    play(Via::Relay);
}

/// Which ways the client's log says it went, in order.
fn ways(log: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let ways = log.lines().filter_map(|line| {
        let (said, _) = line.split_once(" path: ")?.1.split_once(" kind=")?;
        said.rsplit_once(' ')
    });
    ways.map(|(way, _)| way.to_owned()).collect()
}

/// A host of the test picture and a client of it, where a gateway is to introduce them.
struct Session {
    _host: Running,
    client: Running,
    log: PathBuf,
    figures: PathBuf,
}

impl Session {
    fn start(keeper: &Keeper, programs: &Programs, meeting: &Meeting) -> Self {
        let (host_state, state) = (keeper.scratch().join("host"), keeper.scratch().join("client"));
        let id = programs.ask("wavry-client", &["id"], &state).unwrap();
        programs.ask("wavry-server", &["allow", &id], &host_state).unwrap();
        let mut host = meeting.host(programs).unwrap();
        host.args(["--source", "test", "--input", "none", "--announce=false", "--state"]).arg(&host_state);
        let host = keeper.spawn("wavry-server", &mut host, None).unwrap();
        let figures = keeper.scratch().join("session.json");
        let mut client = meeting.client(programs, &host_state).unwrap();
        client.arg("--headless").arg("--json").arg(&figures).arg("--state").arg(&state);
        let client = keeper.spawn("wavry-client", &mut client, None).unwrap();
        Self { _host: host, client, log: keeper.scratch().join("wavry-client.log"), figures }
    }

    /// Waits until this is the way that it goes.
    fn until(&mut self, way: &str) {
        self.wait(way, |log| ways(log).last().is_some_and(|last| last == way));
    }

    /// Waits until this is the way that it goes and the host has told of its pictures: the session is in its midst then, and
    /// the client has what it needs to open another path.
    fn until_shown(&mut self, way: &str) {
        self.until(way);
        let is_shown = |log: &str| log.lines().any(|line| line.contains(" the stream is "));
        self.wait("shown", |log| is_shown(&std::fs::read_to_string(log).unwrap_or_default()));
    }

    fn wait(&mut self, what: &str, is_so: impl Fn(&Path) -> bool) {
        let Self { client, log, .. } = self;
        let is_there = || is_so(log).then_some(());
        let is_reached = wait_until(HANG_GUARD, || is_there().or_else(|| client.ended().map(|_| ())))
            .and_then(|()| is_there());
        assert!(is_reached.is_some(), "not {what}\n{}", client.last_words());
    }

    /// Ends it; its figures, with the ways that it went.
    fn end(mut self) -> (String, Vec<String>) {
        self.client.end();
        let figures =
            std::fs::read_to_string(&self.figures).expect("it was asked to end, and writes its figures then");
        let ways = ways(&self.log);
        eprintln!("{ways:?}, {figures}");
        (figures, ways)
    }
}

#[test]
fn session_outlives_the_direct_path_and_goes_back_to_it() {
    let Some(programs) = programs() else { return };
    let keeper = Keeper::start().expect("there is a place for what this leaves");
    let meeting = Meeting::start(&keeper, &programs, Via::Gateway).unwrap();
    let mut session = Session::start(&keeper, &programs, &meeting);
    session.until_shown("direct");
    meeting.internet().cut().unwrap();
    session.until("relay");
    meeting.internet().mend().unwrap();
    session.until("direct");
    let (figures, _) = session.end();
    assert_eq!(number_in(&figures, "reconnects"), Some(0.0), "one session all the time");
    assert_eq!(text_in(&figures, "path"), Some("direct"));
}

#[test]
fn where_no_udp_passes_everything_goes_over_tcp_and_back_to_udp_when_it_does_again() {
    let Some(programs) = programs() else { return };
    let keeper = Keeper::start().unwrap();
    let meeting = Meeting::start(&keeper, &programs, Via::Gateway).unwrap();
    meeting.internet().cut_udp().unwrap();
    let mut session = Session::start(&keeper, &programs, &meeting);
    session.until("relay over TCP");
    meeting.internet().mend().unwrap();
    session.until("direct");
    meeting.internet().cut_udp().unwrap();
    session.until("relay over TCP");
    let (figures, _) = session.end();
    assert_eq!(text_in(&figures, "path"), Some("relay over TCP"));
}

/// SPEC §18.11: neither knows the other's key or a way to it, and the gateway is not told the PIN.
#[test]
fn client_pairs_by_pin_with_a_host_that_a_gateway_introduces() {
    let Some(programs) = programs() else { return };
    let keeper = Keeper::start().unwrap();
    let meeting = Meeting::start(&keeper, &programs, Via::Gateway).unwrap();
    let (host_state, state) = (keeper.scratch().join("host"), keeper.scratch().join("client"));
    let mut host = meeting.host(&programs).unwrap();
    host.args(["--source", "test", "--input", "none", "--announce=false", "--state"]).arg(&host_state);
    let _host = keeper.spawn("wavry-server", &mut host, None).unwrap();
    let status = || programs.ask("wavry-server", &["status"], &host_state).ok();
    wait_until(HANG_GUARD, || status().filter(|status| status.contains("there, as")))
        .expect("it is at the gateway");
    let mut desk = Command::new(programs.path("wavry-server"));
    desk.args(["pair", "--name", "laptop", "--state"]).arg(&host_state).stdin(Stdio::null());
    let mut desk = desk.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(desk.stdout.take().unwrap()).lines().map_while(Result::ok);
    let pin = said.find_map(|line| line.strip_prefix("PIN: ").map(str::to_owned)).expect("a PIN");
    let mut client = meeting.pairing_client(&programs, &host_state).unwrap();
    client.arg("--state").arg(&state).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    writeln!(client.stdin.take().unwrap(), "{pin}").unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(desk.wait().unwrap().success());
    let id = programs.ask("wavry-client", &["id"], &state).unwrap();
    let list = programs.ask("wavry-server", &["list"], &host_state).unwrap();
    assert!(list.contains(&id) && list.contains("laptop"), "{list}");
}

#[test]
fn gateway_without_the_links_key_is_refused_in_words_that_say_what_to_do() {
    let Some(programs) = programs() else { return };
    let keeper = Keeper::start().unwrap();
    let meeting = Meeting::start(&keeper, &programs, Via::Gateway).unwrap();
    let scratch = |name: &str| keeper.scratch().join(name);
    let host = programs.ask("wavry-server", &["id"], &scratch("host")).unwrap();
    let other = programs.ask("wavry-gateway", &["id"], &scratch("other-gateway")).unwrap();
    let mut client = meeting.internet().command(Place::Client, &programs.path("wavry-client"));
    client.args(["connect", &format!("wavry://{host}@{GATEWAY}/{other}"), "--headless", "--state"]);
    let output = client.arg(scratch("client")).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{words}");
    assert!(words.contains("has not the key") && words.contains("wavry-server link"), "{words}");
}
