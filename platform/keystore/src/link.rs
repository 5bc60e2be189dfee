//! What a person carries from a host to a client: who the host is, and how it is found (a `wavry://` link).
//!
//! ```text
//! wavry://HOSTID@GATEWAY:PORT/GATEWAYID?direct=ADDRESS:PORT&direct=…     introduced by a gateway
//! wavry://HOSTID?direct=ADDRESS:PORT                                    reached at an address
//! ```
//!
//! It holds no secret: who has it can ask, and the host's list says who gets in.

use core::fmt;
use core::str::FromStr;

use rift::PublicKey;

/// What a link begins with.
pub const SCHEME: &str = "wavry://";
/// The UDP port of a gateway unless somebody says otherwise.
pub const GATEWAY_PORT: u16 = 4748;
/// Addresses of a link at most.
const DIRECT_MAX: usize = 8;
/// Bytes of a link at most: what is longer was not made here.
const LEN_MAX: usize = 1024;

/// A gateway as it is named in a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayName {
    /// Its name or address, and its port: `HOST:PORT`.
    pub address: String,
    /// Its key.
    pub key: PublicKey,
}

/// See the module. It says at least one way to find the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLink {
    /// Who the host must prove to be.
    pub host: PublicKey,
    /// Who introduces.
    pub gateway: Option<GatewayName>,
    /// Where it may be reached without being introduced: `HOST:PORT` each.
    pub direct: Vec<String>,
}

/// Why a text is no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It begins otherwise.
    #[error("a link begins with {SCHEME}")]
    Scheme,
    /// It is longer than a link can be.
    #[error("a link has at most {LEN_MAX} characters")]
    Length,
    /// One of its Wavry IDs.
    #[error("{text:?} in the link is no Wavry ID: {what}")]
    Id {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        what: rift::crypto::IdentityError,
    },
    /// The gateway's ID is missing.
    #[error("the link names a gateway and not its ID: {SCHEME}HOSTID@GATEWAY:PORT/GATEWAYID")]
    GatewayId,
    /// An address.
    #[error("{0:?} in the link is no HOST:PORT")]
    Address(String),
    /// It says nothing of where the host is.
    #[error("the link names neither a gateway nor an address")]
    Nowhere,
    /// Something that this version does not know.
    #[error("the link has {0:?}, which this version does not know; a newer one may")]
    Unknown(String),
}

impl FromStr for HostLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let rest = text.trim().strip_prefix(SCHEME).ok_or(LinkError::Scheme)?;
        if rest.len() > LEN_MAX {
            return Err(LinkError::Length);
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, gateway) = match place.split_once('@') {
            Some((host, gateway)) => (host, Some(gateway_name(gateway)?)),
            None => (place.trim_end_matches('/'), None),
        };
        let mut direct = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("direct", address)) if direct.len() < DIRECT_MAX => {
                    direct.push(with_port(address, None)?);
                }
                _ => return Err(LinkError::Unknown(pair.to_owned())),
            }
        }
        if gateway.is_none() && direct.is_empty() {
            return Err(LinkError::Nowhere);
        }
        Ok(Self { host: id(host)?, gateway, direct })
    }
}

impl fmt::Display for HostLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.host)?;
        if let Some(GatewayName { address, key }) = &self.gateway {
            write!(f, "@{address}/{key}")?;
        }
        for (at, address) in self.direct.iter().enumerate() {
            write!(f, "{}direct={address}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// A name or an address with its port, [`GATEWAY_PORT`] when none is said: `HOST:PORT`, with brackets around an address
/// of IPv6.
///
/// # Errors
/// [`LinkError::Address`].
pub fn gateway_address(text: &str) -> Result<String, LinkError> {
    with_port(text, Some(GATEWAY_PORT))
}

fn gateway_name(text: &str) -> Result<GatewayName, LinkError> {
    let (address, key) =
        text.split_once('/').filter(|(_, key)| !key.is_empty()).ok_or(LinkError::GatewayId)?;
    Ok(GatewayName { address: gateway_address(address)?, key: id(key)? })
}

fn id(text: &str) -> Result<PublicKey, LinkError> {
    text.parse().map_err(|what| LinkError::Id { text: text.to_owned(), what })
}

fn with_port(text: &str, usual: Option<u16>) -> Result<String, LinkError> {
    let wrong = || LinkError::Address(text.to_owned());
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:%".contains(c))
    };
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']').ok_or_else(wrong)?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(wrong)?) };
            (name, port)
        }
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|&port: &u16| port != 0),
        None => usual,
    };
    let port = port.filter(|_| is_name(name)).ok_or_else(wrong)?;
    Ok(if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PublicKey {
        rift::Identity::from_secret([seed; 32]).public()
    }

    #[test]
    fn links_are_read_as_they_are_written() {
        for (gateway, direct) in [
            (Some("gateway.example.org:4748"), vec![]),
            (Some("[2001:db8::1]:9"), vec!["192.0.2.1:4747", "[2001:db8::2]:4747"]),
            (None, vec!["desk.example.org:4747"]),
        ] {
            let gateway = gateway.map(|address| GatewayName { address: address.to_owned(), key: key(2) });
            let direct = direct.into_iter().map(str::to_owned).collect();
            let link = HostLink { host: key(1), gateway, direct };
            assert_eq!(link.to_string().parse(), Ok(link));
        }
    }

    #[test]
    fn gateways_have_a_usual_port() {
        let link: HostLink = format!("wavry://{}@gw.example/{}", key(1), key(2)).parse().expect("a link");
        assert_eq!(link.gateway.map(|gateway| gateway.address).as_deref(), Some("gw.example:4748"));
        assert_eq!(gateway_address("2001:db8::1").as_deref(), Ok("[2001:db8::1]:4748"));
    }

    #[test]
    fn what_is_no_link_is_refused_with_its_reason() {
        let (host, gateway) = (key(1), key(2));
        for (text, part) in [
            ("https://example.org".to_owned(), "wavry://"),
            (format!("wavry://{host}"), "neither"),
            (format!("wavry://{host}@gw.example"), "GATEWAYID"),
            (format!("wavry://{host}@gw.example/x"), "Wavry ID"),
            (format!("wavry://x@gw.example/{gateway}"), "Wavry ID"),
            (format!("wavry://{host}@gw.example:0/{gateway}"), "HOST:PORT"),
            (format!("wavry://{host}@gw example/{gateway}"), "HOST:PORT"),
            (format!("wavry://{host}?direct=192.0.2.1"), "HOST:PORT"),
            (format!("wavry://{host}?via=x"), "newer"),
            (format!("wavry://{}", "x".repeat(2000)), "at most"),
        ] {
            let error = text.parse::<HostLink>().expect_err("no link").to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
