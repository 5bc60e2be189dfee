//! What stands in Dockerfiles and in the file for Compose is what the programs take. Nothing is built: there are no containers
//! where tests run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsString;
use std::path::Path;

use rift_settings::Places;
use wavry_dist::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A Dockerfile's instructions, each in one line, without comments.
fn instructions(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// What both programs say to this environment, of a machine without files.
fn check(environment: &[(String, String)]) {
    let nowhere = Path::new("/nowhere");
    let of = |name: &str| Places::of(name, nowhere, None, None);
    let environment =
        || environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    if let Err(error) = wavry_gateway::config::read(&of("gateway"), None, environment()) {
        panic!("the gateway: {error}");
    }
    if let Err(error) = wavry_relay::args::read_at(&of("relay"), environment(), ["wavry-relay".into()]) {
        panic!("the relay: {error}");
    }
}

#[test]
fn dockerfiles_build_and_start_what_there_is() {
    let manifest = read("Cargo.toml");
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    for name in ["gateway", "relay"] {
        let all = instructions(&read(&format!("services/{name}/dist/Dockerfile")));
        let of = |word: &str| -> Vec<&str> {
            all.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
        };
        let known = [
            "FROM",
            "WORKDIR",
            "COPY",
            "RUN",
            "ENV",
            "USER",
            "VOLUME",
            "EXPOSE",
            "HEALTHCHECK",
            "STOPSIGNAL",
            "ENTRYPOINT",
        ];
        assert!(all.iter().all(|line| known.contains(&line.split(' ').next().unwrap())), "{all:?}");
        assert!(of("FROM")[0].starts_with(&format!("rust:{version}-")), "the compiler of rust-version");
        assert!(of("FROM").iter().all(|image| image.contains(':') && !image.contains("latest")));
        let builds = format!("--locked --package wavry-{name}");
        assert!(of("RUN").iter().any(|run| run.contains(&builds)));
        let program = format!("/usr/bin/wavry-{name}");
        assert_eq!(of("ENTRYPOINT"), [format!("[\"{program}\"]")]);
        assert!(of("COPY").iter().any(|copy| copy.ends_with(&program)), "what is started was put there");
        assert_eq!(of("USER"), ["wavry"], "not root");
        let variables = of("ENV").join(" ");
        let variables = variables.split_whitespace().map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let variables: Vec<_> = variables.collect();
        check(&variables);
        let state = format!("/var/lib/wavry-{name}");
        assert!(variables.contains(&(format!("WAVRY_{}_STATE", name.to_uppercase()), state.clone())));
        assert_eq!(of("VOLUME"), [state]);
        let port = if name == "gateway" { 4748 } else { 4749 };
        assert_eq!(of("EXPOSE"), [format!("{port}/udp")]);
    }
}

#[test]
fn compose_says_what_the_programs_take() {
    let text = read("services/compose.yaml");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|line| line.trim().split_once(": "));
    let variables: Vec<(String, String)> = pairs
        .clone()
        .filter(|(name, _)| name.starts_with("WAVRY_"))
        .map(|(name, value)| {
            // `${NAME:-default}` where nobody says NAME.
            let value = value.trim_matches('"');
            let inner = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let default = inner.map_or(value, |inner| inner.split_once(":-").unwrap().1);
            (name.to_owned(), default.to_owned())
        })
        .collect();
    assert!(variables.len() >= 5, "{variables:?}");
    check(&variables);
    for (_, file) in pairs.filter(|(name, _)| *name == "dockerfile") {
        assert!(root().join(file).exists(), "{file}");
    }
    for name in ["gateway", "relay"] {
        assert!(text.contains(&format!("- {name}:/var/lib/wavry-{name}")), "{name} keeps its state");
    }
}
