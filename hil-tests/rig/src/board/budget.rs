//! What a microcontroller's RAM is spent on: what the board itself says, beside what may be.

use core::fmt::Write as _;

use crate::Failure;

/// A part of the RAM, and the most bytes it may take.
const LIMITS: [(&str, u64); 5] = [
    ("session", 96 << 10),
    ("sockets", 16 << 10),
    ("network", 16 << 10),
    ("stack", 24 << 10),
    ("rest", 40 << 10),
];

/// A table of the RAM's parts, from the board's log and the bytes of all its variables.
///
/// # Errors
/// Exit code 1 when a part takes more than it may, or the board did not say.
pub(super) fn report(log: &str, variables: u64) -> Result<String, Failure> {
    let said = |name: &str| {
        let line = log.lines().rfind(|line| line.contains("memory: "))?;
        number_after(line, &format!("{name} "))
    };
    let stack = log
        .lines()
        .filter_map(|line| line.split_once("stack "))
        .filter_map(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .max();
    let parts = [said("session"), said("sockets"), said("network"), stack];
    let [Some(session), Some(sockets), Some(network), Some(stack)] = parts else {
        return Err(Failure::failed("the board did not say what its memory is spent on"));
    };
    let rest = variables.saturating_sub(session + sockets + network);
    let mut text = format!("{:<18}{:>10}{:>10}\n", "RAM", "bytes", "at most");
    let mut is_within = true;
    for ((name, limit), bytes) in LIMITS.into_iter().zip([session, sockets, network, stack, rest]) {
        let _ = writeln!(text, "{name:<18}{bytes:>10}{limit:>10}");
        is_within &= bytes <= limit;
    }
    let _ = write!(
        text,
        "{:<18}{:>10}{:>10}",
        "all",
        variables + stack,
        LIMITS.map(|(_, limit)| limit).iter().sum::<u64>()
    );
    if is_within { Ok(text) } else { Err(Failure::failed(format!("{text}\nthat is more than it may take"))) }
}

fn number_after(line: &str, words: &str) -> Option<u64> {
    let (_, rest) = line.split_once(words)?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "0.1 INFO memory: session 80000, sockets 16384, network 9000\n\
        3.0 INFO stack 20000 of 70000\n9.0 INFO stack 22000 of 70000\n";

    #[test]
    fn parts_are_told_and_the_rest_is_what_is_left() {
        let text = report(LOG, 120_000).expect("it is within");
        let row = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).expect("its row");
            line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok())
        };
        assert_eq!([row("stack"), row("rest"), row("all")], [Some(22_000), Some(14_616), Some(142_000)]);
    }

    #[test]
    fn too_much_or_silence_is_refused() {
        assert!(report(LOG, 200_000).is_err_and(|failure| failure.message.contains("more than")));
        assert!(report("nothing", 120_000).is_err());
        let deep = format!("{LOG}stack 24577 of 70000\n");
        assert!(report(&deep, 120_000).is_err());
    }
}
