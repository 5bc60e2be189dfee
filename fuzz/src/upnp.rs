//! Answers to a host that has its port opened by its router: whatever comes, by SSDP, HTTP, XML or PCP, nobody but the router is
//! called, with nothing but what was to be asked, seldom; and what an honest router opens is known as it was opened.

use core::net::{Ipv4Addr, SocketAddrV4};

use rift::Instant;
use rift_portmap::{Call, FOUND_MAX, MESSAGE_MAX, Opener, SEARCH_ADDRESS, Transmit, Way, is_whole};

use crate::bytes::{Bytes, Noise, Script};
use crate::seeds::Seed;

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 7);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const PORT: u16 = 4747;
const NONCE: [u8; 12] = [9; 12];
/// Where an honest router describes itself.
const LOCATION: &str = "http://192.168.1.1:5000/root.xml";
const DEVICE: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:";
const KINDS: [&str; 4] = [
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
    "urn:schemas-upnp-org:service:Layer3Forwarding:1",
];
const ACTIONS: [&str; 4] =
    ["GetExternalIPAddress", "AddPortMapping", "AddAnyPortMapping", "DeletePortMapping"];

/// Things that happen in one input: bounds its time.
const EVENTS_MAX: usize = 64;
/// Searches that may leave within [`WINDOW_US`].
const SEARCHES_MAX: usize = 6;
const WINDOW_US: u64 = 30_000_000;

/// Plays what the bytes tell; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut host = Host::new();
    for _ in 0..EVENTS_MAX {
        host.send();
        if bytes.is_empty() {
            break;
        }
        host.event(&mut bytes);
    }
    host.leave();
}

struct Host {
    opener: Opener,
    now: Instant,
    searches: Vec<Instant>,
    /// The action that was called last, while its answer is awaited; empty for a document.
    calling: Option<String>,
    has_asked_for_port: bool,
}

impl Host {
    fn new() -> Self {
        let opener = Opener::new(ROUTER, CLIENT, PORT, NONCE, Instant::ZERO);
        Self { opener, now: Instant::ZERO, searches: Vec::new(), calling: None, has_asked_for_port: false }
    }

    /// Sends what is due; what left.
    fn send(&mut self) -> [usize; 3] {
        let (mut message, mut left) = ([0; MESSAGE_MAX], [0; 3]);
        while let Some(transmit) = self.opener.poll_transmit(self.now, &mut message) {
            match transmit {
                Transmit::Router(len) => {
                    assert!((2..=MESSAGE_MAX).contains(&len));
                    left[0] += 1;
                }
                Transmit::Search(datagram) => {
                    self.on_search(&datagram);
                    left[1] += 1;
                }
                Transmit::Call(call) => {
                    self.on_call(&call);
                    left[2] += 1;
                }
            }
            assert!(left[0] <= 2 && left[1] <= 2 && left[2] <= 1, "{left:?} at once");
        }
        if let Some((address, way)) = self.opener.opened() {
            let ip = address.ip();
            let is_nobodys =
                ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast();
            assert!(
                !is_nobodys && !ip.is_private() && !ip.is_link_local() && address.port() != 0,
                "{address}"
            );
            assert!(way != Way::Upnp || self.has_asked_for_port, "opened unasked");
        }
        left
    }

    fn on_search(&mut self, datagram: &[u8]) {
        assert!(datagram.starts_with(b"M-SEARCH * HTTP/1.1\r\n") && datagram.ends_with(b"\r\n\r\n"));
        let now = self.now;
        self.searches.retain(|at| now.micros_since(*at) < WINDOW_US);
        self.searches.push(now);
        assert!(self.searches.len() <= SEARCHES_MAX, "{} searches", self.searches.len());
    }

    fn on_call(&mut self, call: &Call) {
        assert!(*call.to.ip() == ROUTER && call.to.port() != 0, "{} is called", call.to);
        let request = core::str::from_utf8(&call.request).expect("a request is text");
        let (head, body) = request.split_once("\r\n\r\n").expect("it has a head");
        let lines: Vec<&str> = head.split("\r\n").collect();
        assert!(
            lines.iter().all(|line| line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())),
            "{head:?}"
        );
        let words: Vec<&str> = lines[0].split(' ').collect();
        assert!(words.len() == 3 && words[1].starts_with('/') && words[2] == "HTTP/1.1", "{head:?}");
        assert_eq!(lines[1], format!("HOST: {}", call.to));
        let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name));
        let action = match words[0] {
            "GET" => {
                assert!(lines.len() == 3 && body.is_empty(), "{request:?}");
                String::new()
            }
            "POST" => {
                assert_eq!(
                    (lines.len(), field("CONTENT-LENGTH: ")),
                    (6, Some(body.len().to_string().as_str()))
                );
                let (kind, action) = field("SOAPACTION: ")
                    .expect("an action")
                    .trim_matches('"')
                    .split_once('#')
                    .expect("both");
                assert!(KINDS[..3].contains(&kind) && ACTIONS.contains(&action), "{kind} {action}");
                assert!(body.contains(&format!("<u:{action} xmlns:u=\"{kind}\">")), "{body}");
                action.to_owned()
            }
            _ => panic!("{head:?}"),
        };
        self.has_asked_for_port |= action.starts_with("Add");
        self.calling = Some(action);
    }

    fn event(&mut self, bytes: &mut Bytes<'_>) {
        let action = self.calling.clone().unwrap_or_default();
        match bytes.u8() % 14 {
            0 => self.now = self.now.plus_micros(u64::from(bytes.u16()) * 1_000),
            1 => self.now = self.now.plus_micros(u64::from(bytes.u16()) * 100_000),
            2 => self.found(ROUTER, bytes.run(2 * FOUND_MAX)),
            3 => self.found(ROUTER, found(bytes.u8(), &text(bytes, 300)).as_bytes()),
            4 => self.found(ROUTER, found(bytes.u8(), LOCATION).as_bytes()),
            5 => {
                let was_searching = self.opener.is_searching();
                self.found(NEIGHBOUR, found(1, LOCATION).as_bytes());
                assert_eq!(self.opener.is_searching(), was_searching, "a neighbour is believed");
            }
            6 => self.respond(bytes.run(4_000)),
            7 => {
                let head = [&b"HTTP/1.1 200 OK\r\n"[..], bytes.run(60), b"\r\n"].concat();
                self.respond(&[&head, bytes.run(4_000)].concat());
            }
            8 => {
                let document = document(&text(bytes, 3_000));
                self.respond(&response(bytes, &document));
            }
            9 => {
                let described = description(bytes);
                self.respond(&response(bytes, &described));
            }
            10 => {
                let done = done(&action, bytes);
                self.respond(&response(bytes, &done));
            }
            11 => {
                let code = [718, 725, 724, 401, 606, bytes.u16()][bytes.below(6)];
                self.respond(&response(
                    bytes,
                    &document(&format!("<s:Fault><errorCode>{code}</errorCode></s:Fault>")),
                ));
            }
            12 => {
                self.calling = None;
                self.opener.handle_failure(self.now);
            }
            _ => {
                // An answer that says that the port is open, with whatever else.
                let mut datagram =
                    [&[2, 0x81, 0, 0, 0, 0, 4, 0][..], &[0; 16], &NONCE, &[17, 0, 0, 0]].concat();
                datagram.extend_from_slice(&PORT.to_be_bytes());
                datagram.extend_from_slice(bytes.run(30));
                let at = bytes.below(datagram.len());
                datagram[at] ^= bytes.u8();
                self.opener.handle_datagram(self.now, &datagram);
            }
        }
    }

    fn found(&mut self, from: Ipv4Addr, datagram: &[u8]) {
        self.opener.handle_found(self.now, SocketAddrV4::new(from, SEARCH_ADDRESS.port()), datagram);
    }

    fn respond(&mut self, bytes: &[u8]) {
        // Who reads piece by piece stops where it makes no difference any more.
        let half = &bytes[..bytes.len() / 2];
        assert!(!is_whole(half) || is_whole(bytes), "it was whole, and is not");
        self.calling = None;
        self.opener.handle_response(self.now, bytes);
    }

    /// The port is given back at most once, and nothing leaves after that.
    fn leave(mut self) {
        self.calling = None;
        self.opener.close(self.now);
        let left = self.send();
        assert!(left[1] == 0 && left[0] + left[2] <= 1, "{left:?} at the end");
        assert!(self.calling.is_none_or(|action| action == "DeletePortMapping"));
        assert!(self.opener.opened().is_none());
        for _ in 0..4 {
            self.now = self.now.plus_micros(3_600_000_000);
            let mut message = [0; MESSAGE_MAX];
            assert_eq!(self.opener.poll_transmit(self.now, &mut message), None, "after the end");
        }
    }
}

/// Text of the bytes' own.
fn text(bytes: &mut Bytes<'_>, most: usize) -> String {
    String::from_utf8_lossy(bytes.run(most)).into_owned()
}

/// An answer to a search for this version.
fn found(version: u8, location: &str) -> String {
    let version = 1 + version % 3;
    format!(
        "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {DEVICE}{version}\r\nLOCATION: {location}\r\n\r\n"
    )
}

fn document(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">{inner}</s:Envelope>"
    )
}

/// An answer by HTTP, as long as it says, in pieces, or to the end of the connection.
fn response(bytes: &mut Bytes<'_>, body: &str) -> Vec<u8> {
    let status = [200, 500, 301][bytes.below(3)];
    let len = body.len();
    match bytes.below(3) {
        0 => format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n\r\n{body}"),
        1 => {
            format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n")
        }
        _ => format!("HTTP/1.0 {status} X\r\n\r\n{body}"),
    }
    .into_bytes()
}

/// A description of services, some of which are elsewhere.
fn description(bytes: &mut Bytes<'_>) -> String {
    let mut services = String::new();
    for _ in 0..bytes.below(6) {
        let kind = KINDS[bytes.below(4)];
        let url = match bytes.below(4) {
            0 => "/ctl".to_owned(),
            1 => format!("http://{}:{}/ctl", Ipv4Addr::from(bytes.u32()), bytes.u16()),
            2 => format!("http://{ROUTER}:{}/ctl", bytes.u16()),
            _ => text(bytes, 300),
        };
        services +=
            &format!("<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>");
    }
    let base = if bytes.flag() { String::new() } else { format!("<URLBase>{}</URLBase>", text(bytes, 60)) };
    format!("<root>{base}<device><serviceList>{services}</serviceList></device></root>")
}

/// An answer that says that an action was done, mostly this one.
fn done(action: &str, bytes: &mut Bytes<'_>) -> String {
    let action = if bytes.below(8) == 0 { ACTIONS[bytes.below(4)] } else { action };
    let address = if bytes.flag() { Ipv4Addr::from(bytes.u32()).to_string() } else { text(bytes, 20) };
    let port = if bytes.flag() { bytes.u16().to_string() } else { text(bytes, 8) };
    document(&format!(
        "<s:Body><u:{action}Response xmlns:u=\"x\"><NewExternalIPAddress>{address}</NewExternalIPAddress>\
         <NewReservedPort>{port}</NewReservedPort></u:{action}Response></s:Body>"
    ))
}

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let later = |script: Script, tenths: [u8; 2]| script.u8(1).u8(tenths[0]).u8(tenths[1]);
    // Found, described, by an address of its own, opened; renewed; refused in the ways that there are; lost.
    let begin = || later(Script::default(), [0, 25]).u8(5).u8(4).u8(0);
    let described = |script: Script, kind: u8| script.u8(9).u8(1).u8(kind).u8(0).u8(1).u8(0).u8(kind);
    let address =
        |script: Script| script.u8(10).u8(1).u8(1).u8(203).u8(0).u8(113).u8(1).u8(0).run(b"").u8(0).u8(0);
    let opened = |script: Script| script.u8(10).u8(1).u8(0).run(b"").u8(1).u8(0x12).u8(0x8b).u8(0).u8(1);
    let refused = |script: Script, code: u8| script.u8(11).u8(0).u8(0).u8(code).u8(1).u8(0);
    let stories = [
        ("opened", later(opened(address(described(begin(), 0))), [0x17, 0x80]).u8(12)),
        ("renewed", opened(address(later(opened(address(described(begin(), 1))), [0x17, 0x80])))),
        ("refused", (0..5).fold(address(described(begin(), 1)), refused)),
        ("silent", (0..4).fold(begin().u8(12), |script, _| later(script, [0x18, 0]))),
        ("strange", {
            let filler = Noise::new(12).bytes(400);
            let script =
                later(Script::default(), [0, 25]).u8(2).run(&filler).u8(3).u8(1).run(b"http://192.168.1.1/a");
            let script =
                script.u8(8).run(b"<!DOCTYPE a [<!ENTITY b \"c\">]><service>&b;</service>").u8(0).u8(1);
            script
                .u8(6)
                .run(&filler)
                .u8(7)
                .run(b"Transfer-Encoding: chunked\r\n")
                .run(b"3\r\nabc\r\n0\r\n\r\n")
                .u8(13)
                .run(&filler[..30])
        }),
    ];
    stories.map(|(name, script)| ("upnp", name.into(), script.into_bytes())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_stories_open_the_port() {
        for (_, name, data) in seeds() {
            let (mut bytes, mut host, mut was_open) = (Bytes::new(&data), Host::new(), false);
            while !bytes.is_empty() {
                host.send();
                host.event(&mut bytes);
                host.send();
                was_open |= host.opener.opened().is_some();
            }
            assert_eq!(was_open, ["opened", "renewed"].contains(&name.as_str()), "{name}");
        }
    }
}
