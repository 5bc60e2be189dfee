//! `soak abuse`: every known attack on a gateway and a relay, each a test of theirs, with a line that says what it proves.

use std::process::Stdio;

use crate::{Failure, cargo, say};

/// An attack: what is proven, the package, its tests' program, and the test.
type Attack = (&'static str, &'static str, &'static str, &'static str);

/// The slow ones last.
const ATTACKS: [Attack; 22] = [
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
        "false relay: nobody says how a relay is but the relay, and a relay meets nobody",
        "wavry-gateway",
        "state",
        "relays::nobody_else_says_how_a_relay_is_and_a_relay_meets_nobody",
    ),
    (
        "injection: names of devices stay text, and what does not print is none",
        "wavry-gateway",
        "state",
        "abuse::text_that_does_not_print_ends_the_session_and_markup_stays_text",
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
        "malicious gateway: who has another key than the one that was pinned does not pass for it",
        "rift-mio",
        "loopback",
        "host_with_another_key_does_not_answer",
    ),
    (
        "fuzzed: what was ever found against gateway and relay breaks no promise",
        "wavry-fuzz",
        "corpus",
        "every_committed_input_keeps_every_promise",
    ),
];

/// Runs them all; a failed one does not keep the next from running.
///
/// # Errors
/// Exit code 1 when something did not hold.
pub fn run() -> Result<(), Failure> {
    let mut failed = 0;
    for (proves, package, program, test) in ATTACKS {
        let mut command = cargo::command();
        command.args(["test", "--locked", "--quiet", "-p", package, "--test", program, "--"]);
        let output = command.args(["--exact", "--nocapture", test]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| Failure::failed(format!("cannot run cargo: {error}")))?;
        let (said, wrong) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // A name that no test has would prove nothing.
        let is_kept = output.status.success() && said.contains("test result: ok. 1 passed");
        let skipped = wrong.lines().find(|line| line.starts_with("skipped: "));
        let verdict = skipped.unwrap_or(if is_kept { "kept" } else { "BROKEN" });
        say::result(format_args!("abuse · {proves}: {verdict}"));
        if !is_kept {
            failed += 1;
            say::result(format_args!("{said}{wrong}"));
        }
    }
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} promises were broken"))) }
}
