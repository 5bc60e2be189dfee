//! What the doctor says of networks with something wrong in them.

use super::net::Net;
use super::{GATEWAY, KEEPS, RELAY, SYMMETRIC};

/// What the doctor says of the network behind this NAT, whose router does this besides (a rule, or nothing), of gateway and
/// relay whose IDs are known.
fn diagnosis(name: &str, rule: &str, fault: &str) -> Option<serde_json::Value> {
    let mut net = Net::new(name)?;
    net.nat("cn", rule, "");
    if fault.is_empty() {
        net.inside("cn", "ip link set uplink mtu 1400");
    }
    let state = std::env::temp_dir().join(format!("wavry-doctor-{name}-{}", std::process::id()));
    let [gateway, relay] = ["gateway", "relay"].map(|role| state.join(role));
    for place in [&gateway, &relay] {
        std::fs::create_dir_all(place).unwrap();
    }
    let place = wavry_gateway::args::Place { state: Some(gateway.clone()), config: None };
    let gateway_id = wavry_gateway::StateDirectory::of(&place).unwrap().identity().unwrap().public();
    let relay_id = wavry_relay::serve::public_key(&relay).unwrap();
    net.member("wan", &["gateway", GATEWAY, gateway.to_str().unwrap()]);
    net.member("wan", &["relay", RELAY, relay.to_str().unwrap()]);
    let (to_gateway, to_relay) = (format!("{GATEWAY}/{gateway_id}"), format!("{RELAY}/{relay_id}"));
    let ask = |net: &Net, gateway: &str, relay: &str| -> serde_json::Value {
        let mut command = net.command("c");
        command.arg(env!("CARGO_BIN_EXE_wavry-net")).args(["doctor", gateway, relay]);
        command.env("XDG_STATE_HOME", state.join("home"));
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    let is_there = |said: &serde_json::Value| servers(said).iter().all(|server| server["reached"] == true);
    // Until both are there they answer nothing; how long that takes is the machine's affair.
    let there = (0..60).any(|_| is_there(&ask(&net, GATEWAY, RELAY)));
    assert!(there, "gateway and relay have never answered");
    net.hinder("cn", fault);
    let said = ask(&net, &to_gateway, &to_relay);
    std::fs::remove_dir_all(state).unwrap();
    eprintln!("{said:#}");
    Some(said)
}

fn servers(said: &serde_json::Value) -> &Vec<serde_json::Value> {
    said["servers"].as_array().unwrap()
}

/// The findings about something.
fn findings<'a>(said: &'a serde_json::Value, topic: &str) -> Vec<&'a serde_json::Value> {
    let all = said["findings"].as_array().unwrap();
    let of_topic: Vec<_> = all.iter().filter(|finding| finding["topic"] == topic).collect();
    assert!(!of_topic.is_empty(), "nothing of {topic} in {said:#}");
    of_topic
}

/// Whether a finding has these words, and says what to do.
fn is_told(finding: &serde_json::Value, words: &str) {
    assert!(finding["found"].as_str().unwrap().contains(words), "{words} in {finding:#}");
    assert!(finding["grade"] == "limited" && !finding["remedy"].as_str().unwrap().is_empty(), "{finding:#}");
}

#[test]
fn doctor_tells_a_nat_that_can_be_punched_through() {
    let Some(said) = diagnosis("e", KEEPS, "") else { return };
    assert_eq!(said["nat"], "endpoint-independent");
    for server in servers(&said) {
        assert!(server["seen_as"].as_str().unwrap().starts_with("198.51.100.1:"), "{server}");
        assert!(server["rtt_us"]["median"].as_u64().is_some(), "{server}");
        assert_eq!((&server["path_mtu"], &server["packet_passed"]), (&1400.into(), &1400.into()), "{server}");
        assert!(server["burst_bps"].as_u64().is_some_and(|bps| bps > 0), "{server}");
        assert_eq!(server["tcp"]["proven"], true, "{server}");
    }
    is_told(findings(&said, "relays")[0], "no identity");
    assert!(said["findings"].as_array().unwrap().iter().all(|finding| finding["grade"] != "bad"), "{said}");
}

#[test]
fn doctor_tells_a_nat_that_needs_a_relay_and_what_to_do() {
    let Some(said) = diagnosis("f", SYMMETRIC, "") else { return };
    assert_eq!(said["nat"], "symmetric");
    let nat = findings(&said, "nat")[0];
    assert!(nat["grade"] == "limited" && nat["remedy"].as_str().unwrap().contains("4747"), "{nat}");
}

#[test]
fn doctor_tells_a_network_that_lets_no_udp_out_and_that_tcp_is_the_way() {
    let Some(said) = diagnosis("g", KEEPS, "meta l4proto udp drop") else { return };
    for server in servers(&said) {
        assert_eq!((&server["reached"], &server["answered"]), (&false.into(), &0.into()), "{server}");
        assert_eq!(server["tcp"]["proven"], true, "{server}");
    }
    is_told(findings(&said, "udp")[0], "lets no UDP out");
    assert!(findings(&said, "tcp").iter().all(|finding| finding["grade"] == "good"), "{said:#}");
    assert!(
        said["findings"].as_array().unwrap().iter().all(|finding| finding["grade"] != "bad"),
        "sessions work"
    );
}

#[test]
fn doctor_tells_a_network_that_lets_nothing_out() {
    let Some(said) = diagnosis("h", KEEPS, "drop") else { return };
    let udp = findings(&said, "udp")[0];
    assert!(udp["grade"] == "bad" && udp["remedy"].as_str().unwrap().contains("another network"), "{udp:#}");
    for finding in findings(&said, "tcp") {
        is_told(finding, "is not reached by TCP");
    }
}

#[test]
fn doctor_finds_what_length_gets_through_where_nobody_says_so() {
    // Not a length that anybody would try by itself.
    let Some(said) = diagnosis("i", KEEPS, "ip length > 1387 drop") else { return };
    for server in servers(&said) {
        assert_eq!((&server["path_mtu"], &server["packet_passed"]), (&1500.into(), &1384.into()), "{server}");
    }
    for finding in findings(&said, "mtu") {
        is_told(finding, "more than 1384 bytes vanish");
    }
}

#[test]
fn doctor_tells_a_way_that_is_too_narrow_for_sessions() {
    let Some(said) = diagnosis("j", KEEPS, "ip length > 1000 drop") else { return };
    for finding in findings(&said, "mtu") {
        assert!(
            finding["grade"] == "bad" && finding["found"].as_str().unwrap().contains("1000"),
            "{finding:#}"
        );
    }
}

#[test]
fn doctor_tells_losses_and_is_not_misled_by_them() {
    // Every third packet that goes out: what is lost is lost whatever its length.
    let Some(said) = diagnosis("k", KEEPS, "oifname uplink meta l4proto udp numgen inc mod 3 0 drop") else {
        return;
    };
    for server in servers(&said) {
        let (asked, answered) = (server["asked"].as_u64().unwrap(), server["answered"].as_u64().unwrap());
        assert!(answered > 0 && 10 * answered <= 9 * asked, "{server}");
        assert_eq!(server["packet_passed"], 1500, "{server}");
    }
    for role in ["gateway", "relay"] {
        is_told(findings(&said, role)[0], "questions lost");
    }
}
