//! What operators are answered over HTTP, and what nobody else is.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rift::wire::signal::{EnrolmentToken, Signal};
use rift::{Identity, PublicKey};
use serde_json::Value;
use wavry_gateway::operate::{OPENAPI, ROUTES};
use wavry_gateway::shell::entropy;

use crate::support::{Device, GUARD, Place, Running, clock, http, out};

/// A path of the document's with something in place of its parameters.
fn filled(path: &str, id: &str) -> String {
    let filled =
        ["{id}", "{host}", "{client}"].iter().fold(path.to_owned(), |path, name| path.replace(name, id));
    filled.replace("{relay}", &"0".repeat(32))
}

#[test]
fn document_describes_what_there_is_and_strangers_are_told_nothing() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let described = document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
    });
    let mut described: Vec<_> = described.collect();
    let mut routes: Vec<_> = ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned())).into();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
    let place = Place::new();
    let gateway = Running::new(&place);
    let id = Identity::from_secret([1; 32]).public().to_string();
    for (method, path) in &routes {
        let (method, path) = (method.to_uppercase(), filled(path, &id));
        let is_open = path.ends_with("openapi.json");
        for token in ["", "x", &"0".repeat(64)] {
            let (status, body) = gateway.ask_as(token, &method, &path);
            assert_eq!(status, if is_open { 200 } else { 401 }, "{method} {path} with {token:?}: {body}");
            assert!(is_open || body.as_object().unwrap().len() == 1, "{body}");
        }
        let (status, body) = gateway.ask(&method, &path);
        assert!(matches!(status, 200 | 201 | 202 | 404), "{method} {path}: {status} {body}");
        let documented = &document["paths"].as_object().unwrap()[routes_path(&routes, &path, &id)];
        assert!(
            documented[method.to_lowercase()]["responses"][status.to_string()].is_object(),
            "{method} {path}"
        );
    }
    let answer = http(gateway.operators, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for header in
        ["content-security-policy: default-src 'none'; script-src 'self';", "x-content-type-options: nosniff"]
    {
        assert!(answer.contains(header), "{answer}");
    }
    assert!(!answer.to_lowercase().contains("set-cookie"), "{answer}");
    gateway.stop();
}

fn routes_path<'a>(routes: &'a [(String, String)], path: &str, id: &str) -> &'a str {
    &routes.iter().find(|(_, route)| filled(route, id) == path).unwrap().1
}

#[test]
fn operator_enrols_sees_bans_and_revokes_a_device_and_it_all_outlives_a_restart() {
    let place = Place::new();
    let key: PublicKey = out(&place.run(&["id", "--state", place.0.to_str().unwrap()])).parse().unwrap();
    let identity = Identity::from_secret(entropy());
    let id = identity.public().to_string();
    let gateway = Running::new(&place);
    let (status, made) = gateway.ask("POST", "/api/v1/tokens");
    assert_eq!(status, 201);
    let token = EnrolmentToken::parse(made["token"].as_str().unwrap()).unwrap();
    let mut device = Device::call(gateway.address, key, &identity, 1);
    device
        .line
        .say(&Signal::Enrol { token, name: "<b>laptop</b>'); DROP TABLE devices; --".try_into().unwrap() })
        .unwrap();
    while !device.welcome().0 {}
    let (_, devices) = gateway.ask("GET", "/api/v1/devices");
    assert_eq!(
        (devices[0]["id"].as_str(), devices[0]["name"].as_str()),
        (Some(&*id), Some("<b>laptop</b>'); DROP TABLE devices; --"))
    );
    let seen = device.socket.local_addr().unwrap().to_string();
    assert_eq!(devices[0]["session"]["seen"].as_str(), Some(&*seen));
    let ban = format!("/api/v1/bans/{id}");
    assert_eq!(gateway.ask("PUT", &ban).1["is_changed"], true);
    assert_eq!(gateway.ask("PUT", &ban).1["is_changed"], false);
    device.until_closed();
    assert_eq!(gateway.ask("PUT", "/api/v1/bans/nobody").0, 404);
    assert_eq!(gateway.ask("DELETE", "/api/v1/devices").0, 405);
    assert_eq!(gateway.ask("GET", "/api/v2/devices").0, 404);
    gateway.stop();

    let gateway = Running::new(&place);
    assert_eq!(gateway.ask("GET", "/api/v1/bans").1[0]["id"].as_str(), Some(&*id));
    let mut banned = Device::call(gateway.address, key, &identity, 2);
    banned.until_closed();
    assert_eq!(gateway.ask("DELETE", &ban).1["is_changed"], true);
    assert!(Device::call(gateway.address, key, &identity, 3).welcome().0, "as before");
    assert_eq!(gateway.ask("DELETE", &format!("/api/v1/devices/{id}")).0, 200);
    assert!(!Device::call(gateway.address, key, &identity, 4).welcome().0, "it is forgotten");
    let (_, audit) = gateway.ask("GET", "/api/v1/audit");
    let actions: Vec<_> =
        audit.as_array().unwrap().iter().filter_map(|line| line["action"].as_str()).collect();
    assert_eq!(actions, ["revoke", "unban", "ban", "enrol", "token"]);
    let before = gateway.token.clone();
    let after = out(&place.run(&["operator-token", "--state", place.0.to_str().unwrap()]));
    assert_eq!(gateway.ask_as(&after, "GET", "/api/v1/overview").0, 200);
    assert_eq!(gateway.ask_as(&before, "GET", "/api/v1/overview").0, 401, "the one before is good no more");
    gateway.stop();
}

#[test]
fn slow_oversized_and_malformed_requests_are_cut_off_and_others_are_answered() {
    let place = Place::new();
    let gateway = Running::with_patience(&place, Duration::from_millis(500));
    let began = clock();
    // All the places there are, taken by who never finishes a request.
    let mut slow: Vec<TcpStream> = (0..32)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.operators).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
            stream.set_read_timeout(Some(GUARD)).unwrap();
            stream
        })
        .collect();
    assert_eq!(gateway.ask("GET", "/api/v1/overview").0, 200, "as soon as a place is free");
    for stream in &mut slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(began.elapsed() < GUARD, "they were cut off");
    let long = "x".repeat(1 << 20);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(1_000)),
        format!("POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{long}"),
        "POST /api/v1/tokens HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET /api/v1/overview HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \u{80}\r\n\r\n".to_owned(),
    ] {
        let answer = http(gateway.operators, &request);
        let status = answer.get(9..12).unwrap_or("cut");
        assert!(status.starts_with('4') || status == "cut", "{status} for {:.60}", request);
    }
    assert_eq!(gateway.ask("GET", "/api/v1/overview").0, 200);
    gateway.stop();
}

/// PyPI's schemathesis asks whatever the document allows and more.
#[test]
fn schemathesis_finds_nothing() {
    let mut ask = Command::new("schemathesis");
    let is_there = ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        eprintln!("skipped: schemathesis is not installed (pip install schemathesis)");
        return;
    }
    let place = Place::new();
    let gateway = Running::new(&place);
    let output = Command::new("schemathesis")
        .args(["run", "--seed", "1", "--max-examples", "10", "--no-color", "--phases", "coverage,fuzzing"])
        .args(["--header", &format!("Authorization: Bearer {}", gateway.token)])
        .arg(format!("http://{}/api/v1/openapi.json", gateway.operators))
        .current_dir(&place.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!(
        "{}",
        said.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    );
    gateway.stop();
}
