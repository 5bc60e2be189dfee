//! A gateway and a relay between a host and a client that know no way to each other, in an [`Internet`].

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::args::Via;
use crate::demo::{Programs, number_in};
use crate::internet::{GATEWAY, Internet, Place, RELAY};
use crate::process::{Keeper, Running, wait_until};
use crate::say;

const START_LIMIT: Duration = Duration::from_secs(20);

/// The two services, running, and what devices need to know of them.
#[derive(Debug)]
pub struct Meeting {
    internet: Internet,
    gateway_id: String,
    gateway_state: PathBuf,
    _gateway: Running,
    _relay: Running,
}

impl Meeting {
    /// Sets up the internet and starts gateway and relay in it.
    ///
    /// # Errors
    /// The internet's; exit code 1 when one of the programs does not start.
    pub fn start(keeper: &Keeper, programs: &Programs, via: Via) -> Result<Self, Failure> {
        let internet = Internet::set(keeper, via)?;
        let (gateway_state, relay_state) = (keeper.scratch().join("gateway"), keeper.scratch().join("relay"));
        let gateway_id = programs.ask("wavry-gateway", &["id"], &gateway_state)?;
        let lease_key = programs.ask("wavry-gateway", &["lease-key"], &gateway_state)?;
        let relay_id = programs.ask("wavry-relay", &["id"], &relay_state)?;
        let relay_id = relay_id.lines().find_map(|line| line.strip_prefix("id ")).unwrap_or_default().trim();
        let port_file = keeper.scratch().join("relay-port");
        let mut relay = internet.command(Place::Relay, &programs.path("wavry-relay"));
        relay.arg("--state").arg(&relay_state).args(["--listen", RELAY, "--trust", &lease_key]);
        relay.args(["--threads", "1", "--drain", "0"]).arg("--port-file").arg(&port_file);
        let mut relay = keeper.spawn("wavry-relay", &mut relay, None)?;
        let mut gateway = internet.command(Place::Gateway, &programs.path("wavry-gateway"));
        gateway.arg("--state").arg(&gateway_state).args(["--listen", GATEWAY]);
        gateway.args(["--relay", &format!("{relay_id}@{RELAY}")]);
        let gateway = keeper.spawn("wavry-gateway", &mut gateway, None)?;
        // Devices call a gateway that is not there yet again; a relay is only asked when it is needed.
        wait_until(START_LIMIT, || (relay.ended().is_some() || port_file.is_file()).then_some(()));
        if relay.ended().is_some() {
            return Err(Failure::failed(format!("the relay did not start\n{}", relay.last_words())));
        }
        Ok(Self { internet, gateway_id, gateway_state, _gateway: gateway, _relay: relay })
    }

    /// The network it is in.
    #[must_use]
    pub const fn internet(&self) -> &Internet {
        &self.internet
    }

    /// The host's program, which is to be met at the gateway.
    ///
    /// # Errors
    /// No token was made.
    pub fn host(&self, programs: &Programs) -> Result<Command, Failure> {
        let mut command = self.internet.command(Place::Host, &programs.path("wavry-server"));
        command.args(["--gateway", GATEWAY, "--gateway-id", &self.gateway_id]);
        command.args(["--enrol", &self.token(programs)?]);
        Ok(command)
    }

    /// The client's program, about to connect to the host of this state.
    ///
    /// # Errors
    /// No token or no link was made.
    pub fn client(&self, programs: &Programs, host_state: &Path) -> Result<Command, Failure> {
        self.client_that("connect", programs, host_state)
    }

    /// The client's program, about to pair with the host of this state.
    ///
    /// # Errors
    /// No token or no link was made.
    pub fn pairing_client(&self, programs: &Programs, host_state: &Path) -> Result<Command, Failure> {
        self.client_that("pair", programs, host_state)
    }

    fn client_that(&self, what: &str, programs: &Programs, host_state: &Path) -> Result<Command, Failure> {
        let link = ["link", "--gateway", GATEWAY, "--gateway-id", &self.gateway_id];
        let link = programs.ask("wavry-server", &link, host_state)?;
        let link = link.lines().next().unwrap_or_default();
        say::progress(format_args!("demo: the host's link is {link}"));
        let mut command = self.internet.command(Place::Client, &programs.path("wavry-client"));
        command.args([what, link, "--enrol", &self.token(programs)?]);
        Ok(command)
    }

    fn token(&self, programs: &Programs) -> Result<String, Failure> {
        programs.ask("wavry-gateway", &["token"], &self.gateway_state)
    }
}

/// Says which path a session went, and whether it is the one that it should have gone.
///
/// # Errors
/// Exit code 1 when it is another one.
pub fn check_path(figures: &str, via: Via) -> Result<(), Failure> {
    let wanted = match via {
        Via::Gateway => "direct",
        Via::Relay => "relay",
    };
    let path = text_in(figures, "path").unwrap_or("none");
    let address = text_in(figures, "remote").unwrap_or("nowhere");
    let round_trip_ms = number_in(figures, "round_trip_us").unwrap_or(f64::NAN) / 1000.0;
    say::result(format_args!("path: {path}, {address}; round trip {round_trip_ms:.2} ms"));
    if path == wanted {
        return Ok(());
    }
    Err(Failure::failed(format!("the session ended on the path {path:?}, and should have on {wanted:?}")))
}

/// The text that follows `"name":` in a JSON text; good for the names and addresses that our own programs print.
#[must_use]
pub fn text_in<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = json.split_once(&format!("\"{name}\":"))?;
    after.trim_start().strip_prefix('"')?.split('"').next()
}
