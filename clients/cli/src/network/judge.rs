//! What it means, in words that say what to do.

use super::nat::{nat, nat_finding};
use super::stream::Door;
use super::{Answers, Asked, Doors, Examination, HostFigures, Role};
use crate::doctor::Finding;

/// A round trip that nobody feels, in microseconds.
const RTT_GOOD_US: u64 = 60_000;
/// Lost questions, of a thousand, that are told: two of twenty.
const LOSS_TOLD: usize = 100;
/// The longest packets of sessions that know nothing of a way: 1200 bytes, and the headers of IPv4 and IPv6.
const NEEDED: [u32; 2] = [1228, 1248];
/// What routers say of lengths is to the byte, what is tried to four.
const MTU_STEP: u32 = 4;
/// Less than this upwards is little for a host's pictures.
const BURST_GOOD_BPS: u64 = 5_000_000;

impl Examination {
    /// What those answered who have an address.
    pub(super) fn answers(&self) -> impl Iterator<Item = &Answers> {
        self.asked.iter().filter_map(|asked| asked.answers.as_ref().ok())
    }
}

/// All findings, in the order in which somebody would ask.
#[must_use]
pub fn judge(examination: &Examination) -> Vec<Finding> {
    let mut findings = vec![udp(examination)];
    findings.extend(nat(examination).map(|kind| nat_finding(kind, examination)));
    for asked in &examination.asked {
        findings.push(server(asked));
        findings.extend(stream(asked));
        findings.extend(asked.answers.as_ref().ok().and_then(|answers| mtu(&asked.name, answers)));
        findings.extend(asked.answers.as_ref().ok().and_then(|answers| burst(&asked.name, answers)));
    }
    findings.extend(examination.silent.iter().map(|(gateway, why)| relays(gateway, why)));
    findings.extend(examination.host.as_ref().map(|(name, figures)| host(name, figures.as_ref())));
    findings
}

fn udp(examination: &Examination) -> Finding {
    const TOPIC: &str = "udp";
    let (asked, answered) = examination.answers().fold((0, 0), |(asked, answered), answers| {
        (asked + 1, answered + usize::from(!answers.rtts_us.is_empty()))
    });
    let streams = examination.asked.iter().filter_map(|asked| asked.doors.as_ref());
    let proven = streams.clone().filter(|doors| doors.is_proven == Some(true)).count();
    let open = streams.filter(|doors| doors.is_open()).count();
    match (asked, answered) {
        (0, _) => Finding::limited(
            TOPIC,
            "nobody was asked, so nothing is known of the way out",
            "name your gateway and your relay: `wavry doctor network --gateway HOST --relay HOST`",
        ),
        (_, 0) if proven > 0 => Finding::limited(
            TOPIC,
            "nobody answers by UDP, and over TLS on TCP they do: this network lets no UDP out",
            "sessions go through the relay over TCP by themselves, and stutter where packets are lost; ask whoever runs this network to \
             let UDP out to ports 4747 to 4749",
        ),
        (_, 0) if open > 0 => Finding::limited(
            TOPIC,
            "nobody answers by UDP, but TCP ports are open there: this network most likely lets no UDP out",
            "say whose they are (`--gateway HOST/ID`, or `--host LINK`), and it is tried whether sessions would go over TCP",
        ),
        (_, 0) => Finding::bad(
            TOPIC,
            "nobody answers: this network lets no UDP out, or everybody named is down",
            "try another network, such as a telephone's; if it works there, ask whoever runs this one to let UDP out to ports \
             4747 to 4749, or TCP to port 443",
        ),
        _ if answered < asked => {
            Finding::good(TOPIC, format!("UDP goes out and comes back; {answered} of {asked} servers answer"))
        }
        _ => Finding::good(TOPIC, "UDP goes out and comes back"),
    }
}

fn server(asked: &Asked) -> Finding {
    let (role, name, topic) = (asked.role, &asked.name, asked.role.name());
    let answers = match &asked.answers {
        Err(error) => {
            return Finding::bad(
                topic,
                format!("{name} is not found: {error}"),
                "check the name, and that DNS works here",
            );
        }
        Ok(answers) => answers,
    };
    let at = if *name == answers.server.to_string() {
        name.clone()
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
        let found = format!("{at} does not answer by UDP{why}");
        let is_reached = asked.doors.as_ref().is_some_and(|doors| doors.is_proven == Some(true));
        return if is_reached {
            Finding::limited(topic, found, remedy)
        } else {
            Finding::bad(topic, found, remedy)
        };
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

/// What of a gateway or a relay is reached where UDP does not pass.
fn stream(asked: &Asked) -> Option<Finding> {
    const TOPIC: &str = "tcp";
    let (name, doors) = (&asked.name, asked.doors.as_ref()?);
    let Doors { ports: [(first, _), (second, _)], .. } = doors;
    let open = doors.ports.iter().find(|(_, door)| *door == Door::Open).map(|(port, _)| port);
    let Some(port) = open else {
        let remedy = "who has no UDP does not reach it: let TCP port 443 in there, or that number (the service listens on both unless told \
                      otherwise), and out here";
        let found = format!("{name} is not reached by TCP, neither at port {first} nor at {second}");
        return Some(Finding::limited(TOPIC, found, remedy));
    };
    Some(match (doors.is_proven, doors.rtt_us) {
        (Some(true), rtt_us) => {
            let rtt = rtt_us.map_or_else(String::new, |us| format!(" in {}", millis(us)));
            Finding::good(
                TOPIC,
                format!(
                    "{name} answers over TLS on TCP{rtt} as well, with its own key: sessions need no UDP to reach it"
                ),
            )
        }
        (Some(false), _) => Finding::limited(
            TOPIC,
            format!("at TCP port {port} of {name} somebody answers who does not prove to have its key"),
            "a proxy on the way may answer in its place, or something else runs at that port there; if its key was changed on purpose, \
             get a new link",
        ),
        (None, _) => Finding::good(
            TOPIC,
            format!("TCP port {port} of {name} is open; whose it is would be told by its ID, as HOST/ID"),
        ),
    })
}

/// What lengths get there, beside what routers say of that.
fn mtu(name: &str, answers: &Answers) -> Option<Finding> {
    const TOPIC: &str = "mtu";
    if answers.rtts_us.is_empty() {
        return None;
    }
    let needed = NEEDED[usize::from(answers.server.is_ipv6())];
    let (told, widest) = (answers.path_mtu, answers.widest);
    let is_hole = |widest: u32| told.is_some_and(|told| told.min(2048) >= widest + MTU_STEP);
    Some(match (widest, told) {
        (Some(widest), _) if widest < needed => Finding::bad(
            TOPIC,
            format!("packets of at most {widest} bytes get to {name}; sessions begin with {needed}"),
            "raise the MTU of the tunnel or interface on the way (`ip link set dev INTERFACE mtu N`), or go around it",
        ),
        (Some(widest), Some(told)) if is_hole(widest) => Finding::limited(
            TOPIC,
            format!(
                "packets of more than {widest} bytes vanish on the way to {name} and nobody says so (a black hole): this machine \
                 believes that {told} pass"
            ),
            format!(
                "Wavry finds that out by itself, other programs may hang: set the MTU here (`ip link set dev INTERFACE mtu {widest}`), or let \
                 ICMP pass at the router that is narrower"
            ),
        ),
        (Some(widest), _) => Finding::good(TOPIC, format!("packets of {widest} bytes get to {name} whole")),
        (None, Some(told)) if told < needed => Finding::bad(
            TOPIC,
            format!(
                "packets of {told} bytes pass to {name}, as routers on the way say; sessions begin with {needed}"
            ),
            "raise the MTU of the tunnel or interface on the way (`ip link set dev INTERFACE mtu N`), or go around it",
        ),
        (None, Some(told)) => Finding::good(
            TOPIC,
            format!(
                "packets of {told} bytes pass to {name}, as far as routers say; it answers no long questions"
            ),
        ),
        (None, None) => return None,
    })
}

fn burst(name: &str, answers: &Answers) -> Option<Finding> {
    const TOPIC: &str = "rate";
    let burst_bps = answers.burst_bps?;
    let found =
        format!("a short burst went up to {name} at {} Mbit/s: at most that is carried", megabits(burst_bps));
    if burst_bps >= BURST_GOOD_BPS {
        return Some(Finding::good(TOPIC, found));
    }
    let remedy = "a client needs no more; a host behind this line shows small or still pictures: use a cable instead of radio, or see who \
                  else fills the line";
    Some(Finding::limited(TOPIC, found, remedy))
}

fn relays(gateway: &str, why: &str) -> Finding {
    const TOPIC: &str = "relays";
    let found = format!("{gateway} told of no relays: {why}");
    Finding::limited(
        TOPIC,
        found,
        "where no direct path is found a relay is needed: name it by `--relay HOST` to have it looked at",
    )
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

fn megabits(bps: u64) -> String {
    format!("{}.{}", bps / 1_000_000, bps % 1_000_000 / 100_000)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::doctor::{Grade, report};

    pub(in super::super) fn answers(server: &str, seen: &str) -> Answers {
        Answers {
            server: server.parse().expect("an address"),
            local: "192.168.1.2:5555".parse().expect("an address"),
            sent: 20,
            rtts_us: vec![9_000; 20],
            seen: seen.parse().ok(),
            path_mtu: Some(1500),
            widest: Some(1500),
            burst_bps: Some(40_000_000),
            error: None,
        }
    }

    pub(in super::super) fn examination(all: &[(Role, Answers)]) -> Examination {
        let asked = all.iter().map(|(role, answers)| Asked {
            role: *role,
            name: answers.server.to_string(),
            key: None,
            answers: Ok(answers.clone()),
            doors: None,
        });
        Examination { asked: asked.collect(), ..Examination::default() }
    }

    fn doors(first: Door, is_proven: Option<bool>) -> Doors {
        Doors { ports: [(443, first), (4748, Door::Silent)], is_proven, rtt_us: is_proven.map(|_| 30_000) }
    }

    /// What is said of these, where everything that is not good has a remedy and nothing else.
    fn said(examination: &Examination) -> String {
        let findings = judge(examination);
        for finding in &findings {
            assert_eq!(finding.remedy.is_empty(), finding.grade == Grade::Good, "{finding:?}");
        }
        let mut text = Vec::new();
        report(&findings, &mut text).expect("written");
        String::from_utf8(text).expect("text")
    }

    fn is_said(text: &str, hints: &[&str]) {
        // Lines are broken where they are too long.
        let whole = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for hint in hints {
            assert!(whole.contains(hint), "{hint} in:\n{text}");
        }
    }

    #[test]
    fn everything_that_is_not_good_says_what_to_do() {
        let silent = Answers { rtts_us: vec![], seen: None, ..answers("192.0.2.1:4748", "") };
        let far = Answers { rtts_us: vec![200_000; 20], ..answers("192.0.2.5:4749", "100.64.1.1:9") };
        let lossy = Answers {
            rtts_us: vec![1000; 15],
            path_mtu: Some(1000),
            widest: None,
            burst_bps: Some(900_000),
            ..answers("192.0.2.6:3478", "198.51.100.1:8")
        };
        let mut all = examination(&[(Role::Gateway, silent), (Role::Relay, far), (Role::Stun, lossy)]);
        let error = Err("no such name".to_owned());
        let nowhere = Asked { name: "nowhere".to_owned(), answers: error, ..all.asked[0].clone() };
        all.asked.push(nowhere);
        all.asked[1].doors = Some(doors(Door::Refused, None));
        all.silent.push(("192.0.2.1:4748".to_owned(), "it has no relay".to_owned()));
        let figures = HostFigures {
            path: Some("relay".to_owned()),
            round_trip_us: Some(90_000),
            loss_permille: Some(1.0),
            bitrate_bps: Some(4e6),
        };
        all.host = Some(("host".to_owned(), Ok(figures)));
        let hints = [
            "systemctl status wavry-gateway",
            "a relay nearer",
            "symmetric",
            "5 of 20",
            "1228",
            "DNS",
            "0.9 Mbit/s",
            "neither at port 443 nor at 4748",
            "told of no relays",
            "4.0 Mbit/s came",
        ];
        is_said(&said(&all), &hints);
    }

    #[test]
    fn nobody_named_and_nobody_there_are_told_apart() {
        is_said(&said(&Examination::default()), &["--gateway"]);
        let silent = Answers { rtts_us: vec![], seen: None, ..answers("192.0.2.1:4748", "") };
        let mut all = examination(&[(Role::Gateway, silent)]);
        assert_eq!(judge(&all)[0].grade, Grade::Bad);
        is_said(&said(&all), &["another network"]);
        // Where streams get through, sessions do.
        all.asked[0].doors = Some(doors(Door::Open, Some(true)));
        is_said(&said(&all), &["lets no UDP out", "relay over TCP", "its own key"]);
        assert!(judge(&all).iter().all(|finding| finding.grade != Grade::Bad), "{}", said(&all));
        all.asked[0].doors = Some(doors(Door::Open, None));
        is_said(&said(&all), &["--gateway HOST/ID"]);
        all.asked[0].doors = Some(doors(Door::Open, Some(false)));
        is_said(&said(&all), &["does not prove to have its key", "a proxy"]);
    }

    #[test]
    fn black_hole_is_told_from_a_narrow_way_that_says_so() {
        let of = |path_mtu, widest| {
            let answers = Answers { path_mtu, widest, ..answers("192.0.2.1:4748", "198.51.100.1:1") };
            said(&examination(&[(Role::Gateway, answers)]))
        };
        is_said(&of(Some(1500), Some(1400)), &["more than 1400 bytes vanish", "black hole", "mtu 1400"]);
        is_said(&of(Some(1500), Some(1100)), &["at most 1100 bytes", "begin with 1228"]);
        for (told, widest) in [(1400, 1400), (1402, 1400), (9000, 2048)] {
            let text = of(Some(told), Some(widest));
            is_said(&text, &[&format!("packets of {widest} bytes get to")]);
        }
        is_said(&of(Some(1492), None), &["as far as routers say"]);
    }
}
