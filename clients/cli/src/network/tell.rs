//! What was found, for a person or as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Asked, Doors, Examination, Nat, judge, nat};
use crate::doctor::{Finding, Grade, report};

/// Writes what was found: for a person, or as JSON. Returns whether all is well enough for sessions.
///
/// # Errors
/// Those of `output`.
pub fn tell(examination: &Examination, as_json: bool, output: &mut dyn Write) -> io::Result<bool> {
    let findings = judge(examination);
    if as_json {
        writeln!(output, "{:#}", to_json(examination, &findings))?;
    } else {
        report(&findings, output)?;
    }
    Ok(findings.iter().all(|finding| finding.grade != Grade::Bad))
}

fn to_json(examination: &Examination, findings: &[Finding]) -> Value {
    let host = examination.host.as_ref().map(|(name, figures)| match figures {
        Err(error) => json!({ "name": name, "error": error }),
        Ok(figures) => json!({
            "name": name,
            "path": figures.path,
            "round_trip_us": figures.round_trip_us,
            "loss_permille": figures.loss_permille,
            "bitrate_bps": figures.bitrate_bps,
        }),
    });
    let silent = examination.silent.iter().map(|(gateway, why)| json!({ "gateway": gateway, "why": why }));
    let grade = |grade| match grade {
        Grade::Good => "good",
        Grade::Limited => "limited",
        Grade::Bad => "bad",
    };
    let findings = findings.iter().map(|finding| {
        let Finding { topic, found, remedy, .. } = finding;
        json!({ "topic": topic, "grade": grade(finding.grade), "found": found, "remedy": remedy })
    });
    json!({
        "nat": nat(examination).map(Nat::name),
        "servers": examination.asked.iter().map(server).collect::<Vec<_>>(),
        "relays_untold": silent.collect::<Vec<_>>(),
        "host": host,
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn server(asked: &Asked) -> Value {
    let (role, name, key) = (asked.role.name(), &asked.name, asked.key.map(|key| key.to_string()));
    match &asked.answers {
        Err(error) => json!({ "role": role, "name": name, "id": key, "error": error }),
        Ok(answers) => json!({
            "role": role,
            "name": name,
            "id": key,
            "address": answers.server.to_string(),
            "reached": !answers.rtts_us.is_empty(),
            "asked": answers.sent,
            "answered": answers.rtts_us.len(),
            "rtt_us": {
                "min": answers.rtts_us.iter().min(),
                "median": answers.median_us(),
                "max": answers.rtts_us.iter().max(),
            },
            "seen_as": answers.seen.map(|address| address.to_string()),
            "path_mtu": answers.path_mtu,
            "packet_passed": answers.widest,
            "burst_bps": answers.burst_bps,
            "tcp": asked.doors.as_ref().map(stream),
        }),
    }
}

fn stream(doors: &Doors) -> Value {
    let ports = doors.ports.iter().map(|(port, door)| json!({ "port": port, "is": door.name() }));
    json!({ "ports": ports.collect::<Vec<_>>(), "proven": doors.is_proven, "rtt_us": doors.rtt_us })
}
