//! Files go from clients to a host that takes them: whole, under a name of their own, and for those who may send them.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use serde_json::Value;
use wavry_e2e::process::wait_for;
use wavry_e2e::programs::{Client, Host};

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn file(client: &Client, name: &str, bytes: &[u8]) -> PathBuf {
    let path = client.file(name);
    std::fs::write(&path, bytes).expect("the scratch directory can be written");
    path
}

/// Names in a directory: those that are seen, and those that are not.
fn names(directory: &Path) -> (Vec<String>, Vec<String>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.expect("it is read").file_name()).collect();
    names.sort();
    names.into_iter().map(|name| name.into_string().expect("text")).partition(|name| !name.starts_with('.'))
}

/// A host that takes files of up to 8 MB into its scratch directory.
fn host(client: &Client) -> (Host, PathBuf) {
    let inbox = client.file("inbox");
    let directory = inbox.to_str().expect("a plain path");
    (Host::start("test", &["--files", directory, "--files-size-max", "8M"]), inbox)
}

/// A way to a host that can be cut: a relay of datagrams for one client at a time.
struct Way {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    /// Bytes that went towards the host.
    carried: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Way {
    /// Cut by itself after so many bytes.
    fn to(host: &str, cut_after: u64) -> Self {
        let host: SocketAddr = host.parse().expect("an address");
        let socket = |address: &str| {
            let socket = UdpSocket::bind(address).expect("a socket");
            socket.set_read_timeout(Some(Duration::from_millis(1))).expect("it can wait");
            socket
        };
        let (front, back) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let address = front.local_addr().expect("it is bound");
        let (is_cut, is_over, carried) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (cut, over, count) = (Arc::clone(&is_cut), Arc::clone(&is_over), Arc::clone(&carried));
        let thread = spawn(move || {
            let (mut client, mut datagram) = (None, [0; 65_536]);
            while !over.load(Ordering::Relaxed) {
                while let Ok((len, from)) = front.recv_from(&mut datagram) {
                    client = Some(from);
                    let carried = count.fetch_add(len as u64, Ordering::Relaxed);
                    if (..cut_after).contains(&carried) {
                        // What a full socket loses is sent again.
                        let _ = back.send_to(&datagram[..len], host);
                    } else if carried < cut_after + 2000 {
                        cut.store(true, Ordering::Relaxed);
                    }
                }
                while let Ok((len, _)) = back.recv_from(&mut datagram) {
                    if let Some(client) = client.filter(|_| !cut.load(Ordering::Relaxed)) {
                        let _ = front.send_to(&datagram[..len], client);
                    }
                }
            }
        });
        Self { address, is_cut, carried, is_over, thread: Some(thread) }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// SPEC §14.5/2
#[test]
fn files_arrive_whole_and_replace_nothing() {
    let client = Client::new();
    let (host, inbox) = host(&client);
    host.command(&["allow", &client.id, "--permit", "file-send"]);
    let (long, empty) = (bytes(3_000_000), Vec::new());
    let files = [file(&client, "a film.mkv", &long), file(&client, "empty", &empty)];
    for _ in 0..2 {
        let mut sending = client.send(&host.address, &host.id, &files);
        assert!(sending.wait().success(), "{}", sending.words());
        assert!(sending.words().contains("\"a film.mkv\": sent, 3000 kB"), "{}", sending.words());
    }
    let expected = ["a film (1).mkv", "a film.mkv", "empty", "empty (1)"].map(str::to_owned).to_vec();
    assert_eq!(names(&inbox), (expected, vec![]));
    for (name, content) in [("a film.mkv", &long), ("a film (1).mkv", &long), ("empty (1)", &empty)] {
        assert!(std::fs::read(inbox.join(name)).expect("it is there") == *content, "{name} is another");
    }
    let status: Value = serde_json::from_str(&host.command(&["status", "--json"])).expect("JSON");
    assert_eq!((&status["files"]["received"], &status["files"]["bytes"]), (&4.into(), &6_000_000.into()));
}

/// SPEC §14.5/3
#[test]
fn broken_off_file_has_no_name_and_goes_on_where_it_ended() {
    let client = Client::new();
    let (host, inbox) = host(&client);
    host.command(&["allow", &client.id, "--permit", "file-send"]);
    let content = bytes(6_000_000);
    let files = [file(&client, "disk.img", &content)];
    let way = Way::to(&host.address, 3_000_000);
    let mut sending = client.send(&way.address.to_string(), &host.id, &files);
    let is_cut = wait_for(|| way.is_cut.load(Ordering::Relaxed).then_some(()));
    assert!(
        is_cut.is_some(),
        "{} bytes were carried: {}",
        way.carried.load(Ordering::Relaxed),
        sending.words()
    );
    sending.kill();
    drop(way);
    let (seen, hidden) = names(&inbox);
    assert_eq!((seen.len(), hidden.len()), (0, 1), "{seen:?}, {hidden:?}");
    // The host still believes in the session that was cut, and the part is its.
    let mut again = client.send(&host.address, &host.id, &files);
    assert!(again.wait().success(), "{}", again.words());
    let words = again.words();
    let (_, resumed) = words.split_once("of which ").unwrap_or_else(|| panic!("it began anew: {words}"));
    let resumed: u64 = resumed.split(' ').next().and_then(|count| count.parse().ok()).expect("a number");
    assert!((100..6000).contains(&resumed), "{words}");
    assert_eq!(names(&inbox), (vec!["disk.img".to_owned()], vec![]));
    assert!(std::fs::read(inbox.join("disk.img")).expect("it is there") == content, "it is another");
}

#[test]
fn who_may_not_send_and_what_is_too_large_is_told_why() {
    let client = Client::new();
    let (host, inbox) = host(&client);
    host.command(&["allow", &client.id]);
    let small = [file(&client, "small", b"content")];
    let told = |host: &Host, files: &[PathBuf], hint: &str| {
        let mut sending = client.send(&host.address, &host.id, files);
        assert_eq!(sending.wait().code(), Some(1), "{}", sending.words());
        assert!(sending.words().contains(hint), "{hint}: {}", sending.words());
    };
    told(&host, &small, "--permit file-send");
    // Whoever may only receive may answer offers, and make none.
    host.command(&["allow", &client.id, "--permit", "file-receive"]);
    told(&host, &small, "--permit file-send");
    host.command(&["allow", &client.id, "--permit", "file-send"]);
    told(&host, &[file(&client, "large", &bytes((8 << 20) + 1))], "--files-size-max");
    assert_eq!(names(&inbox), (vec![], vec![]), "nothing came");
    let without = Host::start("test", &[]);
    without.command(&["allow", &client.id, "--permit", "file-send"]);
    told(&without, &small, "wavry-server --files DIR");
}
