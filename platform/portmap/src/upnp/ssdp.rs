//! Who is a router here? SSDP (UPnP Device Architecture 1.1, §1.3): a question to a multicast address, answers straight back.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::url::Url;

/// Whom a question goes to.
pub const SEARCH_ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
/// Bytes of an answer that are read.
pub const FOUND_MAX: usize = 1500;
/// What is searched, one question each. Routers of version 2 should answer both; some answer to their own only.
pub(super) const TARGETS: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];
const HEADERS_MAX: usize = 32;

/// The question for one of [`TARGETS`]. Whoever answers waits for at most a second, so that not all do at once.
pub(super) fn search(target: &str) -> Vec<u8> {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {SEARCH_ADDRESS}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n"
    )
    .into_bytes()
}

/// Where the answerer says that its description is; `None` for anything but an answer to what was searched.
pub(super) fn location(datagram: &[u8]) -> Option<Url> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    if !answer.parse(datagram.get(..FOUND_MAX).unwrap_or(datagram)).ok()?.is_complete()
        || answer.code != Some(200)
    {
        return None;
    }
    let field = |name: &str| {
        let header = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(header.value).ok()
    };
    let is_asked = TARGETS.contains(&field("ST")?.trim());
    Url::parse(field("LOCATION")?).filter(|_| is_asked)
}
