//! The machine behind a capture card is switched by those who may, by what the host's configuration says for it.

use wavry_e2e::process::{Scratch, wait_for};
use wavry_e2e::programs::{Client, Host};
use wavry_e2e::screen::Screen;

#[test]
fn power_is_switched_by_who_may_as_the_configuration_says() {
    let Some(screen) = Screen::start(320, 240) else { return };
    let scratch = Scratch::new();
    // Words that a shell would read otherwise.
    let mark = scratch.path().join("pressed; exit 1");
    let config = scratch.path().join("server.toml");
    std::fs::write(&config, format!("[power]\non = [\"touch\", {mark:?}]\n")).expect("it can be written");
    let config = config.to_str().expect("a plain path");
    let host = Host::start(&format!("x11:{}", screen.display), &["--config", config]);
    let operator = Client::allowed_by(&host);
    let mut refused = operator.power(&host, "on");
    assert!(!refused.wait().success() && !mark.exists(), "{}", refused.words());
    assert!(refused.words().contains("--permit power"), "{}", refused.words());
    host.command(&["allow", &operator.id, "--permit", "power"]);
    let mut taken = operator.power(&host, "on");
    assert!(taken.wait().success(), "{}", taken.words());
    let done = wait_for(|| mark.exists().then_some(()));
    assert!(done.is_some(), "{}", host.server.words());
    assert!(host.server.words().contains("power: a client asks for it"), "{}", host.server.words());
}
