//! What it means, in words that say what to do.

use core::net::IpAddr;

use super::{Answers, Examination, HostFigures, Role};
use crate::doctor::Finding;

/// A round trip that nobody feels, in microseconds.
const RTT_GOOD_US: u64 = 60_000;
/// Lost questions, of a thousand, that are told: two of twenty.
const LOSS_TOLD: usize = 100;
/// The longest packets that RIFT needs: 1200 bytes and headers, on the way through a relay as well.
const MTU_NEEDED: u32 = 1280;

/// What stands between this machine and the internet (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Nothing: servers see the address that this machine has.
    None,
    /// One that shows the same address and port to everybody (endpoint-independent mapping).
    Same,
    /// The same at two ports of one server: another server may see another.
    SameAddress,
    /// One that shows another port to each (address-dependent or address-and-port-dependent mapping).
    Symmetric,
    /// There is one, and a single server is too few to tell which.
    Some,
}

impl Nat {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Same => "endpoint-independent",
            Self::SameAddress => "endpoint-independent-at-one-address",
            Self::Symmetric => "symmetric",
            Self::Some => "unknown",
        }
    }
}

/// What the answers of two servers tell of the NAT; `None` when nobody answered.
#[must_use]
pub fn nat(examination: &Examination) -> Option<Nat> {
    let answers = examination.asked.iter().filter_map(|(_, _, answers)| answers.as_ref().ok());
    let seen: Vec<(&Answers, _)> = answers.filter_map(|answers| Some((answers, answers.seen?))).collect();
    // Each family goes its own way; NATs are IPv4's.
    let of_family = |is_v6: bool| seen.iter().filter(move |(answers, _)| answers.server.is_ipv6() == is_v6);
    let family = seen.iter().all(|(answers, _)| answers.server.is_ipv6());
    let seen: Vec<_> = of_family(family).collect();
    let (first, shown) = seen.first()?;
    if seen.iter().all(|(answers, shown)| *shown == answers.local) {
        return Some(Nat::None);
    }
    let others = || seen.iter().filter(|(answers, _)| answers.server != first.server);
    if others().any(|(_, other)| other != shown) {
        return Some(Nat::Symmetric);
    }
    let is_elsewhere = others().any(|(answers, _)| answers.server.ip() != first.server.ip());
    Some(match (others().next(), is_elsewhere) {
        (None, _) => Nat::Some,
        (Some(_), true) => Nat::Same,
        (Some(_), false) => Nat::SameAddress,
    })
}

/// All findings, in the order in which somebody would ask.
#[must_use]
pub fn judge(examination: &Examination) -> Vec<Finding> {
    let mut findings = vec![udp(examination)];
    findings.extend(nat(examination).map(|kind| nat_finding(kind, examination)));
    findings
        .extend(examination.asked.iter().map(|(role, name, answers)| server(*role, name, answers.as_ref())));
    findings.extend(mtu(examination));
    findings.extend(examination.host.as_ref().map(|(name, figures)| host(name, figures.as_ref())));
    findings
}

fn udp(examination: &Examination) -> Finding {
    const TOPIC: &str = "udp";
    let answers = examination.asked.iter().filter_map(|(_, _, answers)| answers.as_ref().ok());
    let (asked, answered) = answers.fold((0, 0), |(asked, answered), answers| {
        (asked + 1, answered + usize::from(!answers.rtts_us.is_empty()))
    });
    match (asked, answered) {
        (0, _) => Finding::limited(
            TOPIC,
            "nobody was asked, so nothing is known of the way out",
            "name your gateway and your relay: `wavry doctor network --gateway HOST --relay HOST`",
        ),
        (_, 0) => Finding::bad(
            TOPIC,
            "nobody answers: this network lets no UDP out, or everybody named is down",
            "try another network, such as a telephone's; if it works there, ask whoever runs this one to let UDP out to ports \
             4747 to 4749",
        ),
        _ if answered < asked => {
            Finding::good(TOPIC, format!("UDP goes out and comes back; {answered} of {asked} servers answer"))
        }
        _ => Finding::good(TOPIC, "UDP goes out and comes back"),
    }
}

fn nat_finding(kind: Nat, examination: &Examination) -> Finding {
    const TOPIC: &str = "nat";
    let answers = examination.asked.iter().filter_map(|(_, _, answers)| answers.as_ref().ok());
    let seen = answers.filter_map(|answers| answers.seen).next();
    let seen = seen.map_or_else(String::new, |seen| format!(", seen as {}", seen.ip()));
    let shared = match seen_privately(examination) {
        true => {
            " (the servers see an address that the internet does not: they are in the same network, or your provider shares \
                 addresses among its customers)"
        }
        false => "",
    };
    match kind {
        Nat::None => {
            Finding::good(TOPIC, format!("no NAT: this machine has the address that others see{seen}"))
        }
        Nat::Same => Finding::good(
            TOPIC,
            format!("a NAT that shows the same port to everybody{seen}{shared}: direct paths will be found"),
        ),
        Nat::SameAddress => Finding::good(
            TOPIC,
            format!(
                "a NAT that shows the same port to both ports of one server{seen}{shared}: direct paths will most likely be \
                 found"
            ),
        ),
        Nat::Symmetric => Finding::limited(
            TOPIC,
            format!(
                "a NAT that shows another port to each server (symmetric){seen}{shared}: direct paths are found only to \
                     those without such a NAT"
            ),
            "sessions go through a relay where they must; forward UDP port 4747 to the host in the router, or use IPv6, to have \
             them direct",
        ),
        Nat::Some => Finding::limited(
            TOPIC,
            format!("there is a NAT{seen}{shared}; one server is too few to tell which"),
            "name a second one: `--relay HOST`, or any STUN server by `--stun HOST`",
        ),
    }
}

/// Whether somebody was seen at an address that means nothing in the internet.
fn seen_privately(examination: &Examination) -> bool {
    let answers = examination.asked.iter().filter_map(|(_, _, answers)| answers.as_ref().ok());
    answers.filter_map(|answers| answers.seen).any(|seen| match seen.ip() {
        // 100.64.0.0/10 is what providers share addresses from (RFC 6598).
        IpAddr::V4(v4) => v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.is_unique_local(),
    })
}

fn server(role: Role, name: &str, answers: Result<&Answers, &String>) -> Finding {
    let topic = role.name();
    let answers = match answers {
        Err(error) => {
            return Finding::bad(
                topic,
                format!("{name} is not found: {error}"),
                "check the name, and that DNS works here",
            );
        }
        Ok(answers) => answers,
    };
    let at = if name == answers.server.to_string() {
        name.to_owned()
    } else {
        format!("{name} ({})", answers.server)
    };
    let Some(median_us) = answers.median_us() else {
        let why = answers.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        let remedy = match role {
            Role::Gateway => {
                "see there whether it runs (`systemctl status wavry-gateway`) and whether UDP 4748 is open"
            }
            Role::Relay => {
                "see there whether it runs (`systemctl status wavry-relay`) and whether UDP 4749 is open"
            }
            Role::Stun => "name another one",
        };
        return Finding::bad(topic, format!("{at} does not answer{why}"), remedy);
    };
    let lost = answers.sent - answers.rtts_us.len();
    let spread = answers.rtts_us.iter().max().unwrap_or(&0) - answers.rtts_us.iter().min().unwrap_or(&0);
    let found = format!(
        "{at} answers in {} (varying by {}), {lost} of {} questions lost",
        millis(median_us),
        millis(spread),
        answers.sent
    );
    if answers.loss_permille() >= LOSS_TOLD {
        let remedy =
            "pictures will be repaired often: use a cable instead of radio, or see who else fills the line";
        return Finding::limited(topic, found, remedy);
    }
    if median_us > RTT_GOOD_US {
        let remedy = match role {
            Role::Relay => "sessions through it feel it: run a relay nearer to you",
            Role::Gateway | Role::Stun => "only the beginning of sessions takes longer by that",
        };
        return Finding::limited(topic, found, remedy);
    }
    Finding::good(topic, found)
}

/// The shortest of what the ways take.
fn mtu(examination: &Examination) -> Option<Finding> {
    const TOPIC: &str = "mtu";
    let answers = examination.asked.iter().filter_map(|(_, _, answers)| answers.as_ref().ok());
    let least =
        answers.filter(|answers| !answers.rtts_us.is_empty()).filter_map(|answers| answers.path_mtu).min()?;
    let found = format!("packets of {least} bytes pass whole, as far as routers on the way say");
    Some(if least >= MTU_NEEDED {
        Finding::good(TOPIC, found)
    } else {
        let remedy = "Wavry needs 1280: raise the MTU of the tunnel or interface on the way (`ip link`)";
        Finding::bad(TOPIC, found, remedy)
    })
}

fn host(name: &str, figures: Result<&HostFigures, &String>) -> Finding {
    const TOPIC: &str = "host";
    let figures = match figures {
        Ok(figures) => figures,
        Err(why) => {
            let remedy = "see there whether wavry-server runs and UDP 4747 is open; across the internet give its link \
                          (`wavry-server link`) in place of an address";
            return Finding::bad(TOPIC, format!("{name}: {why}"), remedy);
        }
    };
    let rtt = figures.round_trip_us.map_or_else(|| "an unknown time".to_owned(), millis);
    let loss = figures.loss_permille.unwrap_or(0.0);
    let rate = figures.bitrate_bps.unwrap_or(0.0) / 1e6;
    let path = figures.path.as_deref().unwrap_or("direct");
    let found = format!(
        "{name}: a session over a {path} path, round trip {rtt}, {:.1} % of packets lost, {rate:.1} Mbit/s came",
        loss / 10.0
    );
    if path == "relay" {
        let remedy = "see what is said of the NAT above, and run this on the host's machine as well";
        Finding::limited(TOPIC, found, remedy)
    } else if loss >= 20.0 {
        Finding::limited(TOPIC, found, "use a cable instead of radio, or see who else fills the line")
    } else if figures.round_trip_us.is_some_and(|us| us > RTT_GOOD_US) {
        Finding::limited(
            TOPIC,
            found,
            "steering feels it; it is how far away the host is, unless a line is full",
        )
    } else {
        Finding::good(TOPIC, found)
    }
}

fn millis(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Grade, report};

    fn answers(server: &str, seen: &str) -> Answers {
        Answers {
            server: server.parse().expect("an address"),
            local: "192.168.1.2:5555".parse().expect("an address"),
            sent: 20,
            rtts_us: vec![9_000; 20],
            seen: seen.parse().ok(),
            path_mtu: Some(1500),
            error: None,
        }
    }

    fn examination(all: &[(Role, Answers)]) -> Examination {
        let asked =
            all.iter().map(|(role, answers)| (*role, answers.server.to_string(), Ok(answers.clone())));
        Examination { asked: asked.collect(), host: None }
    }

    #[test]
    fn two_servers_tell_what_the_nat_does() {
        let of = |seen: &[(&str, &str)]| {
            let all: Vec<_> =
                seen.iter().map(|(server, seen)| (Role::Gateway, answers(server, seen))).collect();
            nat(&examination(&all))
        };
        let (one, two) = ("192.0.2.1:4748", "192.0.2.5:4749");
        assert_eq!(of(&[(one, "192.168.1.2:5555"), (two, "192.168.1.2:5555")]), Some(Nat::None));
        assert_eq!(of(&[(one, "198.51.100.1:5555"), (two, "198.51.100.1:5555")]), Some(Nat::Same));
        assert_eq!(of(&[(one, "198.51.100.1:1"), (two, "198.51.100.1:2")]), Some(Nat::Symmetric));
        assert_eq!(of(&[(one, "198.51.100.1:1")]), Some(Nat::Some));
        let third = "192.0.2.1:4749";
        assert_eq!(of(&[(one, "198.51.100.1:1"), (third, "198.51.100.1:1")]), Some(Nat::SameAddress));
        assert_eq!(of(&[(one, "nobody")]), None);
    }

    #[test]
    fn everything_that_is_not_good_says_what_to_do() {
        let silent = Answers { rtts_us: vec![], seen: None, ..answers("192.0.2.1:4748", "") };
        let far = Answers { rtts_us: vec![200_000; 20], ..answers("192.0.2.5:4749", "100.64.1.1:9") };
        let lossy = Answers {
            rtts_us: vec![1000; 15],
            path_mtu: Some(1000),
            ..answers("192.0.2.6:3478", "198.51.100.1:8")
        };
        let mut all = examination(&[(Role::Gateway, silent), (Role::Relay, far), (Role::Stun, lossy)]);
        all.asked.push((Role::Gateway, "nowhere".to_owned(), Err("no such name".to_owned())));
        let figures = HostFigures {
            path: Some("relay".to_owned()),
            round_trip_us: Some(90_000),
            loss_permille: Some(1.0),
            bitrate_bps: Some(4e6),
        };
        all.host = Some(("host".to_owned(), Ok(figures)));
        let findings = judge(&all);
        for finding in &findings {
            assert_eq!(finding.remedy.is_empty(), finding.grade == Grade::Good, "{finding:?}");
        }
        let mut text = Vec::new();
        report(&findings, &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        for hint in [
            "systemctl status wavry-gateway",
            "a relay nearer",
            "symmetric",
            "5 of 20",
            "1280",
            "DNS",
            "4.0 Mbit/s",
        ] {
            assert!(text.contains(hint), "{hint} in:\n{text}");
        }
    }

    #[test]
    fn nobody_named_and_nobody_there_are_told_apart() {
        assert!(judge(&Examination::default())[0].remedy.contains("--gateway"));
        let silent = Answers { rtts_us: vec![], seen: None, ..answers("192.0.2.1:4748", "") };
        let findings = judge(&examination(&[(Role::Gateway, silent)]));
        assert_eq!(findings[0].grade, Grade::Bad);
        assert!(findings[0].remedy.contains("another network"), "{findings:?}");
    }
}
