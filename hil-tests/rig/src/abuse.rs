//! `soak abuse`: every known attack on a gateway and a relay, each a test of theirs, with a line that says what it proves.

use std::process::Stdio;

use crate::{Failure, cargo, say};

/// An attack: what is proven, the package, its tests' program (with features that it needs; `lib` = the tests inside), and the test.
type Attack = (&'static str, &'static str, &'static str, &'static str);

/// The slow ones last.
const ATTACKS: [Attack; 40] = [
    (
        "forged: a bind with any bit changed binds nothing",
        "wavry-relay",
        "state",
        "every_flipped_bit_of_a_bind_is_refused",
    ),
    (
        "replayed: what was said from one address binds nothing at another, nor later",
        "wavry-relay",
        "state",
        "nonce_is_good_where_and_while_it_was_given",
    ),
    (
        "expired: a lease that has ended is forgotten, and its token binds nothing",
        "wavry-relay",
        "state",
        "lease_ends_and_a_longer_one_goes_on",
    ),
    (
        "stolen: a token without its key binds nothing, even if it comes first",
        "wavry-relay",
        "state",
        "stolen_token_binds_nothing_even_if_it_comes_first",
    ),
    (
        "stolen: strangers' datagrams pass nowhere",
        "wavry-relay",
        "state",
        "peers_of_a_lease_reach_each_other_and_nobody_else",
    ),
    (
        "greed: who sends four times what his lease allows slows himself alone",
        "wavry-relay",
        "state",
        "over_its_rate_small_packets_go_first_and_the_oldest_large_are_lost",
    ),
    (
        "tokens: one network makes a relay verify 1000 a second, and holds nobody else up",
        "wavry-relay",
        "state",
        "abuse::network_that_shows_token_after_token_is_limited_and_others_are_not",
    ),
    (
        "crowd: 200000 sources leave nothing at a relay; it answers no more than it was sent",
        "wavry-relay",
        "state",
        "abuse::two_hundred_thousand_strangers_leave_nothing_and_keep_nobody_honest_out",
    ),
    (
        "crowd: 200000 sources open no session at a gateway; honest devices come and go",
        "wavry-gateway",
        "state",
        "abuse::two_hundred_thousand_strangers_open_nothing_and_keep_no_device_out",
    ),
    (
        "curious: a host that is not to be met looks like none",
        "wavry-gateway",
        "state",
        "devices::host_that_is_not_to_be_met_looks_like_one_that_does_not_exist",
    ),
    (
        "insistent: a device that asks without end is refused, others are not",
        "wavry-gateway",
        "state",
        "abuse::device_that_asks_without_end_is_refused_and_others_are_not",
    ),
    (
        "silent: a device that is gone the moment it came is told little, and keeps nobody waiting",
        "wavry-gateway",
        "state",
        "abuse::device_that_falls_silent_at_once_is_told_little_and_keeps_nobody_waiting",
    ),
    (
        "false relay: nobody says how a relay is but the relay, and a relay meets nobody",
        "wavry-gateway",
        "state",
        "relays::nobody_else_says_how_a_relay_is_and_a_relay_meets_nobody",
    ),
    (
        "injection: names of devices and what relays say of themselves stay text, and what does not print is none",
        "wavry-gateway",
        "state",
        "abuse::text_that_does_not_print_ends_the_session_and_markup_stays_text",
    ),
    (
        "injection: a name that is SQL is a name in the database, also after a restart",
        "wavry-gateway",
        "live",
        "operators::operator_enrols_sees_bans_and_revokes_a_device_and_it_all_outlives_a_restart",
    ),
    (
        "injection: names of files lead nowhere else and do not deceive",
        "rift",
        "lib",
        "wire::tests::names_that_lead_elsewhere_or_deceive_are_refused",
    ),
    (
        "injection: what a host says of its signal is ASCII that prints",
        "rift",
        "rules",
        "description_of_a_signal_holds_printable_ascii_or_is_discarded",
    ),
    (
        "injection: a name that is markup does nothing in the operators' page",
        "wavry-gateway",
        "live",
        "page::page_shows_who_is_there_and_lets_an_operator_act",
    ),
    (
        "strangers: without the operator's token the API tells nothing",
        "wavry-gateway",
        "live",
        "operators::document_describes_what_there_is_and_strangers_are_told_nothing",
    ),
    (
        "requests: slow, oversized and malformed ones are cut off, others are answered",
        "wavry-gateway",
        "live",
        "operators::slow_oversized_and_malformed_requests_are_cut_off_and_others_are_answered",
    ),
    (
        "malicious peer: third parties named as candidates get 50 checks at most",
        "rift",
        "meeting",
        "third_parties_get_at_most_fifty_checks_and_then_nothing",
    ),
    (
        "malicious peer: a check sent again and again gets 50 answers at most",
        "rift",
        "meeting",
        "check_sent_again_and_again_gets_no_more_than_fifty_answers",
    ),
    (
        "revoked: who left a host's list while the gateway was away is not introduced any more",
        "wavry-gateway",
        "state",
        "devices::list_that_a_host_tells_takes_the_place_of_what_it_granted_before",
    ),
    (
        "malicious gateway: whom it introduces gets no channel where the host's own list lacks the key",
        "rift",
        "hostile",
        "stranger_with_a_valid_handshake_gets_no_channel",
    ),
    (
        "malicious gateway: it introduces a real client against a real host's list, which is not let in and says so",
        "wavry-e2e",
        "rogue_gateway",
        "client_that_the_gateway_introduces_against_the_hosts_list_is_not_let_in",
    ),
    (
        "malicious gateway: it leads to an impostor, to whom nothing is said, and the person is told whose key was wanting",
        "wavry-e2e",
        "rogue_gateway",
        "impostor_whom_the_gateway_introduces_as_the_host_is_refused_and_the_person_told",
    ),
    (
        "malicious gateway: it leads who pairs to an impostor, who is shown nothing of the PIN",
        "wavry-e2e",
        "rogue_gateway",
        "impostor_is_shown_no_pin",
    ),
    (
        "malicious gateway: it relays a pairing word by word, and convinces nobody",
        "rift",
        "pairing",
        "attacks::man_in_the_middle_who_relays_every_message_convinces_nobody",
    ),
    (
        "malicious gateway: who pairs with it has one guess at the PIN, and none afterwards",
        "rift",
        "pairing",
        "attacks::second_confirmation_or_another_share_is_no_second_try",
    ),
    (
        "malicious gateway: of swapped keys, turned roles and answers to no question nobody takes notice",
        "wavry-e2e",
        "rogue_gateway",
        "introductions_nobody_asked_for_lead_nowhere",
    ),
    (
        "malicious gateway: introductions replayed and without number make a client send 50 checks for each of its requests",
        "wavry-e2e",
        "rogue_gateway",
        "client_sends_fifty_checks_for_each_of_its_own_requests_however_often_it_is_introduced",
    ),
    (
        "malicious gateway: a thousand introductions make a host send to whom it pleases for 16 and two a second, and it goes on",
        "wavry-e2e",
        "rogue_gateway",
        "host_heeds_so_many_introductions_and_goes_on",
    ),
    (
        "malicious gateway: of relays it names those asked are eight, three times; what breaks the format ends its own session",
        "wavry-e2e",
        "rogue_gateway",
        "relays_without_number_are_asked_three_times_and_broken_messages_end_the_conversation_only",
    ),
    (
        "malicious gateway: another one in its place is told nothing, and the person is told that its key is another",
        "wavry-e2e",
        "rogue_gateway",
        "gateway_that_has_not_its_key_is_told_nothing_and_the_person_told",
    ),
    (
        "malicious gateway: a link that says another key of a gateway that is known is refused",
        "wavry-client",
        "lib",
        "pins::tests::gateway_that_is_known_has_the_key_it_had",
    ),
    (
        "malicious gateway: who has another key than the one that was pinned does not pass for it",
        "rift-mio",
        "loopback",
        "host_with_another_key_does_not_answer",
    ),
    (
        "malicious gateway: as a relay it carries what shows nothing of any channel",
        "rift",
        "eavesdropper",
        "no_plaintext_of_any_channel_is_in_the_capture",
    ),
    (
        "malicious gateway: as a relay it changes no bit unnoticed",
        "rift",
        "hostile",
        "every_flipped_bit_of_every_datagram_is_discarded_and_changes_nothing",
    ),
    (
        "malicious gateway: as a relay it talks no hybrid client down to a classical session",
        "rift",
        "hybrid --features=experimental",
        "host_of_the_other_suite_is_not_talked_to_and_nobody_is_talked_down",
    ),
    (
        "fuzzed: what was ever found against gateway and relay breaks no promise",
        "wavry-fuzz",
        "corpus",
        "every_committed_input_keeps_every_promise",
    ),
];

/// What attacks on real programs need beside the test.
const PROGRAMS: [&str; 2] = ["wavry-server", "wavry-client"];

/// Runs them all; a failed one does not keep the next from running.
///
/// # Errors
/// Exit code 1 when something did not hold, or the programs do not build.
pub fn run() -> Result<(), Failure> {
    let mut build = cargo::command();
    build.args(["build", "--locked", "--quiet", "--bins"]);
    build.args(PROGRAMS.iter().flat_map(|program| ["-p", program]));
    let built = build.stdin(Stdio::null()).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err(Failure::failed("the programs that are to be attacked do not build"));
    }
    let mut failed = 0;
    for (proves, package, program, test) in ATTACKS {
        let mut command = cargo::command();
        command.args(["test", "--locked", "--quiet", "-p", package]);
        if program == "lib" {
            command.arg("--lib");
        } else {
            command.arg("--test").args(program.split(' '));
        }
        let output = command.args(["--", "--exact", "--nocapture", test]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
        let (said, wrong) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // A name that no test has would prove nothing.
        let is_kept = output.status.success() && said.contains("test result: ok. 1 passed");
        let skipped = wrong.lines().find(|line| line.starts_with("skipped: "));
        let verdict = skipped.unwrap_or(if is_kept { "kept" } else { "BROKEN" });
        say::result(format_args!("abuse · {proves}: {verdict}"));
        if is_kept {
            for figure in figures(&said) {
                say::result(format_args!("        {figure}"));
            }
        } else {
            failed += 1;
            say::result(format_args!("{said}{wrong}"));
        }
    }
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} promises were broken"))) }
}

/// What a test measured: the lines that it printed itself and that begin with a number.
fn figures(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_lines_that_begin_with_a_number() {
        let said = "\nrunning 1 test\n5000 tokens: 1000 were verified\nwords\n.\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(figures(said).collect::<Vec<_>>(), ["5000 tokens: 1000 were verified"]);
    }

    #[test]
    fn no_attack_is_named_twice() {
        for (at, attack) in ATTACKS.iter().enumerate() {
            let others = ATTACKS.iter().skip(at + 1);
            assert!(others.clone().all(|other| other.0 != attack.0 && other.3 != attack.3), "{attack:?}");
        }
    }
}
