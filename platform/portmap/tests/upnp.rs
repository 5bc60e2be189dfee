//! A port at routers that know UPnP in several ways, and at whoever says that he is one, in virtual time.

use core::net::{Ipv4Addr, SocketAddrV4};

use rift::Instant;
use rift_portmap::{Call, LIFETIME_S, MESSAGE_MAX, Opener, RESPONSE_MAX, Transmit};

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const NONCE: [u8; 12] = [7; 12];
const PORT: u16 = 4747;
const V1: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
const V2: &str = "urn:schemas-upnp-org:service:WANIPConnection:2";
const PPP: &str = "urn:schemas-upnp-org:service:WANPPPConnection:1";

/// A router, as it describes itself and as it does.
#[derive(Clone)]
struct Router {
    location: String,
    /// Kinds and addresses of its services, in their order.
    services: Vec<(&'static str, &'static str)>,
    base: &'static str,
    outside: &'static str,
    /// Ports that are somebody else's.
    taken: Vec<u16>,
    only_for_ever: bool,
    knows_any: bool,
    knows_pcp: bool,
    /// What is open: outside, and for how long.
    open: Option<(u16, u32)>,
    /// What it was asked for, in order.
    asked: Vec<String>,
}

impl Router {
    fn new(kind: &'static str) -> Self {
        Self {
            location: "http://192.168.1.1:5000/igd/root.xml".to_owned(),
            services: vec![
                ("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3f"),
                (kind, "/ctl/IPConn"),
            ],
            base: "",
            outside: "203.0.113.1",
            taken: Vec::new(),
            only_for_ever: false,
            knows_any: true,
            knows_pcp: false,
            open: None,
            asked: Vec::new(),
        }
    }

    fn found(&self, search: &[u8]) -> Vec<u8> {
        let search = core::str::from_utf8(search).expect("text");
        assert!(search.starts_with("M-SEARCH * HTTP/1.1\r\n") && search.ends_with("\r\n\r\n"), "{search}");
        let target = search.lines().find_map(|line| line.strip_prefix("ST: ")).expect("a target");
        let location = &self.location;
        format!("HTTP/1.1 200 OK\r\nLocation: {location}\r\nST: {target}\r\nEXT:\r\n\r\n").into_bytes()
    }

    fn description(&self) -> String {
        let services = self.services.iter().map(|(kind, url)| {
            format!("<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>")
        });
        let base = self.base;
        format!(
            "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><URLBase>{base}</URLBase>\
             <device><friendlyName>a &amp; b</friendlyName><serviceList>{}</serviceList></device></root>",
            services.collect::<String>()
        )
    }

    fn answer(&mut self, call: &Call) -> Vec<u8> {
        assert_eq!(*call.to.ip(), ROUTER, "nobody else is called");
        let request = core::str::from_utf8(&call.request).expect("text");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        if head.starts_with("GET ") {
            self.asked.push(head.lines().next().expect("a line").to_owned());
            return response(200, &self.description());
        }
        let path = head.split(' ').nth(1).expect("a path");
        let action = head.lines().find_map(|line| line.strip_prefix("SOAPACTION: ")).expect("an action");
        let (kind, action) = action.trim_matches('"').split_once('#').expect("of a service");
        let argument = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            rest.split_once('<').map(|(value, _)| value.to_owned())
        };
        let number =
            |name: &str| argument(name).and_then(|value| value.parse::<u32>().ok()).expect("a number");
        self.asked.push(format!("{path} {action}"));
        let done = |values: &str| {
            response(
                200,
                &envelope(&format!("<u:{action}Response xmlns:u=\"{kind}\">{values}</u:{action}Response>")),
            )
        };
        match action {
            "GetExternalIPAddress" => {
                let outside = self.outside;
                done(&format!("<NewExternalIPAddress>{outside}</NewExternalIPAddress>"))
            }
            "AddAnyPortMapping" if !self.knows_any => fault(401),
            "AddPortMapping" | "AddAnyPortMapping" => {
                assert_eq!(argument("NewInternalClient"), Some(CLIENT.to_string()));
                assert_eq!(
                    (number("NewInternalPort"), argument("NewProtocol").as_deref()),
                    (PORT.into(), Some("UDP"))
                );
                let mut port = u16::try_from(number("NewExternalPort")).expect("a port");
                let lifetime = number("NewLeaseDuration");
                if self.only_for_ever && lifetime != 0 {
                    return fault(725);
                }
                let is_any = action == "AddAnyPortMapping";
                if self.taken.contains(&port) && !is_any {
                    return fault(718);
                }
                while self.taken.contains(&port) {
                    port += 1;
                }
                self.open = Some((port, lifetime));
                let reserved = format!("<NewReservedPort>{port}</NewReservedPort>");
                done(if is_any { &reserved } else { "" })
            }
            "DeletePortMapping" => {
                assert_eq!(
                    self.open.take().map(|(port, _)| u32::from(port)),
                    Some(number("NewExternalPort"))
                );
                done("")
            }
            _ => fault(401),
        }
    }
}

fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn envelope(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{inner}</s:Body></s:Envelope>"
    )
}

fn fault(code: u16) -> Vec<u8> {
    let detail = format!(
        "<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{code}</errorCode></UPnPError>"
    );
    response(
        500,
        &envelope(&format!("<s:Fault><faultcode>s:Client</faultcode><detail>{detail}</detail></s:Fault>")),
    )
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn opener() -> Opener {
    Opener::new(ROUTER, CLIENT, PORT, NONCE, Instant::ZERO)
}

/// What left between two times, in order: `p` to the router's port, `s` a search, `c` a call.
fn run(opener: &mut Opener, mut router: Option<&mut Router>, from_s: u64, to_s: u64) -> String {
    let (mut now, mut out, mut left) = (at(from_s), [0; MESSAGE_MAX], String::new());
    while now < at(to_s) {
        while let Some(transmit) = opener.poll_transmit(now, &mut out) {
            let later = now.plus_micros(2_000);
            match transmit {
                Transmit::Router(len) => {
                    left.push('p');
                    if router.as_ref().is_some_and(|router| router.knows_pcp) {
                        opener.handle_datagram(later, &mapped_by_pcp(&out[..len]));
                    }
                }
                Transmit::Search(search) => {
                    left.push('s');
                    if let Some(router) = &router {
                        opener.handle_found(later, SocketAddrV4::new(ROUTER, 1900), &router.found(&search));
                    }
                }
                Transmit::Call(call) => {
                    left.push('c');
                    match &mut router {
                        Some(router) => {
                            let answer = router.answer(&call);
                            opener.handle_response(later, &answer);
                        }
                        None => opener.handle_failure(later),
                    }
                }
            }
        }
        now = opener.poll_timeout().max(now.plus_micros(2_000));
    }
    left
}

fn mapped_by_pcp(request: &[u8]) -> Vec<u8> {
    let outside =
        [&4_999_u16.to_be_bytes()[..], &Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped().octets()].concat();
    [&[2, 0x81, 0, 0][..], &request[4..8], &[0; 16], &request[24..42], &outside].concat()
}

fn address_of(opener: &Opener) -> Option<SocketAddrV4> {
    opener.opened().map(|(address, _)| address)
}

fn address(port: u16) -> Option<SocketAddrV4> {
    Some(SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), port))
}

#[test]
fn port_is_opened_kept_and_given_back() {
    for (kind, action) in [(V1, "AddPortMapping"), (V2, "AddAnyPortMapping"), (PPP, "AddPortMapping")] {
        let (mut opener, mut router) = (opener(), Router::new(kind));
        run(&mut opener, Some(&mut router), 0, 1);
        assert!(router.asked.is_empty(), "PCP is asked first");
        run(&mut opener, Some(&mut router), 1, 5);
        assert_eq!((address_of(&opener), router.open), (address(PORT), Some((PORT, LIFETIME_S))), "{kind}");
        let map = format!("/ctl/IPConn {action}");
        assert_eq!(
            router.asked,
            ["GET /igd/root.xml HTTP/1.1", "/ctl/IPConn GetExternalIPAddress", map.as_str()]
        );
        let hours = run(&mut opener, Some(&mut router), 5, 4 * 3_600);
        assert!(hours.len() as u32 <= 2 * 4 * 3_600 / (LIFETIME_S / 2), "{hours}");
        assert!(
            !hours.contains(['p', 's']) && address_of(&opener).is_some(),
            "renewed, and nobody else is asked: {hours}"
        );
        opener.close(at(20_000));
        assert_eq!((run(&mut opener, Some(&mut router), 20_000, 30_000).as_str(), router.open), ("c", None));
        assert_eq!(address_of(&opener), None);
    }
}

#[test]
fn router_that_knows_pcp_is_asked_nothing_else() {
    let (mut opener, mut router) = (opener(), Router { knows_pcp: true, ..Router::new(V1) });
    let left = run(&mut opener, Some(&mut router), 0, 3_600);
    assert!(left.bytes().all(|kind| kind == b'p') && router.asked.is_empty(), "{left}");
    assert_eq!(address_of(&opener).map(|address| address.port()), Some(4_999));
}

#[test]
fn silence_costs_thirteen_datagrams_in_ten_minutes() {
    let mut opener = opener();
    let left = run(&mut opener, None, 0, 590);
    assert_eq!((left.matches('p').count(), left.matches('s').count(), left.len()), (7, 6, 13), "{left}");
    assert!(!opener.is_asking());
    let mut router = Router::new(V1);
    run(&mut opener, Some(&mut router), 590, 700);
    assert_eq!(address_of(&opener), address(PORT), "a new router");
}

#[test]
fn refused_requests_are_made_in_other_words() {
    let first = |router: &mut Router| {
        let mut opener = opener();
        run(&mut opener, Some(router), 0, 5);
        address_of(&opener).map(|address| address.port())
    };
    let mut taken = Router { taken: vec![PORT], ..Router::new(V1) };
    let other = first(&mut taken).expect("another port");
    assert!(other >= 49_152 && taken.open == Some((other, LIFETIME_S)), "{other}");
    assert_eq!(
        first(&mut Router { taken: vec![PORT], ..Router::new(V2) }),
        Some(PORT + 1),
        "the router's choice"
    );
    let mut older = Router { knows_any: false, only_for_ever: true, ..Router::new(V2) };
    assert_eq!((first(&mut older), older.open), (Some(PORT), Some((PORT, 0))));
    let mut full = Router { taken: (1..=u16::MAX).collect(), ..Router::new(V1) };
    assert_eq!(first(&mut full), None);
    assert!(full.asked.len() <= 10, "not for ever: {:?}", full.asked);
}

#[test]
fn line_that_is_down_leaves_the_next_one() {
    let services =
        vec![(PPP, "ppp"), (V1, "http://192.168.1.1:5000/ip"), (V2, "http://192.168.1.7/elsewhere")];
    let mut router = Router { services, base: "http://192.168.1.1:80/base/", ..Router::new(V1) };
    let mut opener = opener();
    router.outside = "0.0.0.0";
    run(&mut opener, Some(&mut router), 0, 10);
    assert_eq!(
        router.asked,
        ["GET /igd/root.xml HTTP/1.1", "/ip GetExternalIPAddress", "/base/ppp GetExternalIPAddress"]
    );
    router.outside = "203.0.113.1";
    run(&mut opener, Some(&mut router), 10, 60);
    assert_eq!(address_of(&opener), address(PORT), "soon again");
    let mut behind = Router { outside: "10.0.0.1", ..Router::new(V1) };
    let mut opener = self::opener();
    run(&mut opener, Some(&mut behind), 0, 10);
    assert!(address_of(&opener).is_none() && behind.open.is_some(), "another router stands behind this one");
}

#[test]
fn port_that_is_not_renewed_ends() {
    let (mut opener, mut router) = (opener(), Router::new(V1));
    run(&mut opener, Some(&mut router), 0, 10);
    assert!(address_of(&opener).is_some());
    let left = run(&mut opener, None, 10, u64::from(LIFETIME_S) + 10);
    assert!(address_of(&opener).is_none() && left.len() < 30, "{left}");
}

/// The same router, but somebody else answers, or points elsewhere.
#[test]
fn nobody_but_the_router_is_believed_or_called() {
    let searching = || {
        let (mut opener, mut out, mut search) = (opener(), [0; MESSAGE_MAX], None);
        while let Some(transmit) = opener.poll_transmit(at(3), &mut out) {
            if let Transmit::Search(datagram) = transmit {
                search = Some(datagram);
            }
        }
        (opener, search.expect("it searches"))
    };
    let is_called = |from: Ipv4Addr, location: &str, change: fn(String) -> String| {
        let (mut opener, search) = searching();
        let router = Router { location: location.to_owned(), ..Router::new(V1) };
        let found = change(String::from_utf8(router.found(&search)).expect("text"));
        opener.handle_found(at(3), SocketAddrV4::new(from, 1900), found.as_bytes());
        matches!(opener.poll_transmit(at(3), &mut [0; MESSAGE_MAX]), Some(Transmit::Call(_)))
    };
    let same = |found| found;
    assert!(is_called(ROUTER, "http://192.168.1.1:5000/x", same), "the router itself");
    assert!(!is_called(Ipv4Addr::new(192, 168, 1, 7), "http://192.168.1.7:5000/x", same), "a neighbour");
    assert!(!is_called(Ipv4Addr::new(192, 168, 1, 7), "http://192.168.1.1:5000/x", same), "in its name");
    for elsewhere in [
        "http://192.168.1.7/",
        "http://8.8.8.8/",
        "http://127.0.0.1/",
        "http://router/",
        "ftp://192.168.1.1/",
        "",
    ] {
        assert!(!is_called(ROUTER, elsewhere, same), "{elsewhere}");
    }
    assert!(!is_called(ROUTER, "http://192.168.1.1/", |found| found.replace("200 OK", "301 Moved")));
    assert!(!is_called(ROUTER, "http://192.168.1.1/", |found| found.replace("ST:", "NT:")));
    assert!(!is_called(ROUTER, "http://192.168.1.1/", |found| found.replace("Gateway", "Printer")));
    let mut public = Opener::new(Ipv4Addr::new(203, 0, 113, 1), CLIENT, PORT, NONCE, Instant::ZERO);
    assert!(!run(&mut public, None, 0, 100).contains('s'), "no address translation without a local network");
}

/// Every service that a hostile description names, and documents without bound.
#[test]
fn hostile_documents_lead_nowhere() {
    let calls_after = |document: &[u8]| {
        let (mut opener, mut router, mut out) = (opener(), Router::new(V1), [0; MESSAGE_MAX]);
        let mut calls = Vec::new();
        for second in 0..20 {
            while let Some(transmit) = opener.poll_transmit(at(second), &mut out) {
                match transmit {
                    Transmit::Router(_) => {}
                    Transmit::Search(search) => {
                        opener.handle_found(
                            at(second),
                            SocketAddrV4::new(ROUTER, 1900),
                            &router.found(&search),
                        );
                    }
                    Transmit::Call(call) if call.request.starts_with(b"GET") => {
                        opener.handle_response(at(second), document)
                    }
                    Transmit::Call(call) => {
                        opener.handle_response(at(second), &router.answer(&call));
                        calls.push(String::from_utf8(call.request).expect("text"));
                    }
                }
            }
        }
        calls
    };
    let honest = Router::new(V1).description();
    assert_eq!(calls_after(&response(200, &honest)).len(), 2);
    assert!(calls_after(&response(302, &honest)).is_empty(), "nobody is followed");
    for url in ["http://192.168.1.9/", "//x/", "/a b", "/a&#13;&#10;X: y", "gopher://x", "", "/\u{e4}"] {
        let elsewhere = honest.replace("/ctl/IPConn", url);
        assert!(calls_after(&response(200, &elsewhere)).is_empty(), "{url:?}");
    }
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    assert!(calls_after(&response(200, &honest.replacen("?>", &format!("?>{bomb}"), 1))).is_empty());
    let wide = honest.replace("</device>", &format!("{}</device>", "<a/>".repeat(5_000)));
    assert!(calls_after(&response(200, &wide)).is_empty());
    let deep = format!("{}{honest}{}", "<a>".repeat(9_000), "</a>".repeat(9_000));
    assert!(calls_after(&response(200, &deep)).is_empty());
    let long = honest.replace("</device>", &format!("{}</device>", " ".repeat(RESPONSE_MAX)));
    assert!(calls_after(&response(200, &long)).is_empty());
    let many = honest.replace(
        "</serviceList>",
        &format!(
            "{}</serviceList>",
            format!("<service><serviceType>{V1}</serviceType><controlURL>/x</controlURL></service>")
                .repeat(100)
        ),
    );
    assert_eq!(calls_after(&response(200, &many)).len(), 2, "one is enough");
}
