//! What routers say of themselves and of what they were asked, as XML: read in this one place, by `roxmltree`, which refuses
//! document types (so that no text unfolds into more than was sent) and more nodes than [`NODES_MAX`].

use core::net::Ipv4Addr;

use super::url::Url;

/// Elements, attributes and texts of one document.
const NODES_MAX: u32 = 4_096;
/// Services of one router that are tried: one for each of its lines.
const SERVICES_MAX: usize = 4;
/// Services that open ports, the best first.
const KINDS: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// What a router's own page calls the port.
const DESCRIPTION: &str = "Wavry";

/// A service that opens ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) kind: &'static str,
    pub(super) url: Url,
}

impl Service {
    /// Whether it finds a port by itself where the one that is wanted is taken (WANIPConnection:2, §2.5.18).
    pub(super) fn gives_any_port(&self) -> bool {
        self.kind == KINDS[0]
    }
}

/// What a service is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    ExternalAddress,
    /// Port `outside` is to lead to `port` of `client`; a lifetime of zero means for ever.
    Map {
        any: bool,
        outside: u16,
        client: Ipv4Addr,
        port: u16,
        lifetime_s: u32,
    },
    Unmap {
        outside: u16,
    },
}

impl Action {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ExternalAddress => "GetExternalIPAddress",
            Self::Map { any: true, .. } => "AddAnyPortMapping",
            Self::Map { any: false, .. } => "AddPortMapping",
            Self::Unmap { .. } => "DeletePortMapping",
        }
    }

    /// The message for this kind of service. Nothing in it comes from the network.
    pub(super) fn body(self, kind: &str) -> String {
        let name = self.name();
        let arguments = match self {
            Self::ExternalAddress => String::new(),
            Self::Map { outside, client, port, lifetime_s, .. } => format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{outside}</NewExternalPort>\
                 <NewProtocol>UDP</NewProtocol><NewInternalPort>{port}</NewInternalPort>\
                 <NewInternalClient>{client}</NewInternalClient><NewEnabled>1</NewEnabled>\
                 <NewPortMappingDescription>{DESCRIPTION}</NewPortMappingDescription>\
                 <NewLeaseDuration>{lifetime_s}</NewLeaseDuration>"
            ),
            Self::Unmap { outside } => format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{outside}</NewExternalPort>\
                 <NewProtocol>UDP</NewProtocol>"
            ),
        };
        format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{name} xmlns:u=\"{kind}\">{arguments}</u:{name}></s:Body></s:Envelope>\r\n"
        )
    }
}

/// What a service answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done; with the address or the port that it told, if it told one.
    Done { address: Option<Ipv4Addr>, port: Option<u16> },
    /// It was not, and why: a code of the service's.
    Fault(u16),
}

/// The services of the router that has this description, which was read at `location`; none of another address.
pub(super) fn services(location: &Url, document: &[u8]) -> Vec<Service> {
    let text = String::from_utf8_lossy(document);
    let Some(document) = parse(&text) else { return Vec::new() };
    let base = child_text(document.root_element(), "URLBase").map(Url::parse);
    // A base that cannot be read would make something else of every other address.
    let Some(base) = base.unwrap_or_else(|| Some(location.clone())) else { return Vec::new() };
    let mut services: Vec<Service> = Vec::new();
    for wanted in KINDS {
        let named = document.descendants().filter(|node| node.tag_name().name() == "service");
        let found = named.filter(|&service| child_text(service, "serviceType") == Some(wanted));
        let urls = found.filter_map(|service| base.join(child_text(service, "controlURL")?));
        let own = urls.filter(|url| url.address.ip() == location.address.ip());
        services.extend(own.map(|url| Service { kind: wanted, url }));
    }
    services.truncate(SERVICES_MAX);
    services
}

/// What this document answers to an action of this name; `None` when it is no answer to it.
pub(super) fn outcome(action: &str, document: &[u8]) -> Option<Outcome> {
    let text = String::from_utf8_lossy(document);
    let document = parse(&text)?;
    let find = |name: &str| document.descendants().find(|node| node.tag_name().name() == name);
    if let Some(code) = find("errorCode") {
        return code.text()?.trim().parse().ok().map(Outcome::Fault);
    }
    let answer = document
        .descendants()
        .find(|node| node.tag_name().name().strip_suffix("Response") == Some(action))?;
    let address = child_text(answer, "NewExternalIPAddress").and_then(|text| text.parse().ok());
    let port = child_text(answer, "NewReservedPort").and_then(|text| text.parse().ok());
    Some(Outcome::Done { address, port })
}

fn parse(text: &str) -> Option<roxmltree::Document<'_>> {
    let options =
        roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    // Some end with what ends a string in C.
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
    roxmltree::Document::parse_with_options(text, options).ok()
}

/// The text of a child, unless there is none.
fn child_text<'a>(node: roxmltree::Node<'a, '_>, name: &str) -> Option<&'a str> {
    let child = node.children().find(|child| child.tag_name().name() == name)?;
    child.text().map(str::trim).filter(|text| !text.is_empty())
}
