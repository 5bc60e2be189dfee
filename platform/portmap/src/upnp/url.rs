//! Addresses of documents at a router, as much of RFC 3986 as those need: `http`, an address of IPv4, a path. Names are refused, so
//! nobody is asked what they mean.

use core::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of the longest path.
const PATH_MAX: usize = 256;
const SCHEME: &str = "http://";

/// Where a document or a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) address: SocketAddrV4,
    /// With the query, from the first slash on; bytes that may stand in a request's first line.
    pub(super) path: String,
}

impl Url {
    /// Reads a whole one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (ip, port) = authority.split_once(':').unwrap_or((authority, "80"));
        // `parse` alone would take a sign.
        let port: u16 = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())??;
        let address = SocketAddrV4::new(ip.parse::<Ipv4Addr>().ok()?, port);
        let path = if path.is_empty() { "/" } else { path };
        let is_path =
            path.len() <= PATH_MAX && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        (port != 0 && is_path).then(|| Self { address, path: path.to_owned() })
    }

    /// What `reference` means in a document that is here: a whole address, a path, or a path from where this is.
    pub(super) fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim();
        if reference.is_empty() || reference.starts_with("//") {
            return None;
        }
        if reference.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME)) {
            return Self::parse(reference);
        }
        // A first segment with a colon would be another scheme (§4.2).
        if reference.split(['/', '?']).next().is_some_and(|first| first.contains(':')) {
            return None;
        }
        let path = self.path.split('?').next().unwrap_or("/");
        let directory = if reference.starts_with('/') { "" } else { &path[..=path.rfind('/')?] };
        Self::parse(&format!("{SCHEME}{}{directory}{reference}", self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_mean_what_a_browser_takes_them_for() {
        let base = Url::parse("HTTP://192.168.1.1:5000/igd/root.xml?a=/b").expect("a router's");
        let at = |reference: &str| base.join(reference).map(|url| format!("{} {}", url.address, url.path));
        assert_eq!(at("/ctl").as_deref(), Some("192.168.1.1:5000 /ctl"));
        assert_eq!(at(" ctl?x ").as_deref(), Some("192.168.1.1:5000 /igd/ctl?x"));
        assert_eq!(at("http://10.0.0.1/x").as_deref(), Some("10.0.0.1:80 /x"));
        let refused =
            ["", "//10.0.0.1/x", "/a b", "/a\r\nHost: x", "/ä", "http://router/x", "http://u@10.0.0.1/x"];
        for reference in
            refused.into_iter().chain(["http://10.0.0.1:0/", "http://10.0.0.1:+1/", "/a#b", "gopher://x"])
        {
            assert_eq!(at(reference), None, "{reference:?}");
        }
        assert_eq!(base.join(&"x".repeat(300)), None);
        assert!(Url::parse("https://10.0.0.1/").is_none() && Url::parse("http:/é/").is_none());
        assert_eq!(Url::parse("http://10.0.0.1").map(|url| url.path).as_deref(), Some("/"));
    }
}
