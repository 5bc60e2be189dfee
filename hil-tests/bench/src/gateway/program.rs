//! The real gateway: made ready, started, killed.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rift::wire::signal::EnrolmentToken;
use rift::{Identity, PublicKey};
use rift_mio::GatewayPlace;

use crate::failure::{Context as _, Failure};
use crate::keeper::{Keeper, Running};

const READY: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct Program {
    path: PathBuf,
    state: PathBuf,
    listen: SocketAddr,
    health: SocketAddr,
    operators: SocketAddr,
    key: PublicKey,
    operator: String,
}

impl Program {
    /// A state of its own, and ports that nobody has.
    pub(super) fn prepare(keeper: &Keeper) -> Result<Self, Failure> {
        let path = crate::pairs::program("wavry-gateway")?;
        let state = keeper.scratch().join("gateway");
        std::fs::create_dir_all(&state)?;
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let [health, operators] =
            [TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
        let (health, operators) = (health.local_addr()?, operators.local_addr()?);
        let ask = |what: &str| {
            let mut command = Command::new(&path);
            command.arg(what).arg("--state").arg(&state).env("HOME", keeper.scratch());
            let said = command.stdin(Stdio::null()).output().context("cannot run wavry-gateway")?;
            let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            if said.status.success() { Ok(text) } else { Err(Failure::from(format!("{what}: {said:?}"))) }
        };
        let key = ask("id")?.parse().map_err(|error| format!("no Wavry ID: {error:?}"))?;
        let operator = ask("operator-token")?;
        Ok(Self { listen: udp, path, state, health, operators, key, operator })
    }

    pub(super) const fn place(&self) -> GatewayPlace {
        GatewayPlace { key: self.key, address: self.listen }
    }

    /// Starts it. Two relays are named, so that introductions come with leases.
    pub(super) fn start(&self, keeper: &Keeper) -> Result<Running, Failure> {
        let mut command = Command::new(&self.path);
        command.arg("--state").arg(&self.state).args(["--log", "warn"]);
        for (option, at) in
            [("--listen", self.listen), ("--health", self.health), ("--operators", self.operators)]
        {
            command.arg(option).arg(at.to_string());
        }
        for seed in [1, 2] {
            let relay = Identity::from_secret([seed; 32]).public();
            command.arg("--relay").arg(format!("{relay}@192.0.2.{seed}:4749"));
        }
        keeper.spawn("wavry-gateway", &mut command, None)
    }

    /// Waits until it serves; `meanwhile` is called again and again.
    pub(super) fn await_ready(
        &self,
        running: &mut Running,
        mut meanwhile: impl FnMut(),
    ) -> Result<(), Failure> {
        let end = crate::clock::now() + READY;
        let ask = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        while !http(self.health, ask).is_ok_and(|answer| answer.contains(" 200 ")) {
            if running.has_ended() || crate::clock::now() >= end {
                return Err(running.last_words().into());
            }
            meanwhile();
        }
        Ok(())
    }

    /// So many tokens, each for one device, as an operator gets them.
    pub(super) fn tokens(&self, count: usize) -> Result<Vec<EnrolmentToken>, Failure> {
        let request = format!(
            "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\nConnection: \
             close\r\n\r\n",
            self.operator
        );
        let token = |_| {
            let answer = http(self.operators, &request)?;
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let said: serde_json::Value = serde_json::from_str(body).context(&answer)?;
            let token = said["token"].as_str().and_then(EnrolmentToken::parse);
            token.ok_or_else(|| format!("no token: {answer}").into())
        };
        (0..count).map(token).collect()
    }
}

fn http(at: SocketAddr, request: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(READY))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What a process has in memory, in bytes.
pub(super) fn resident_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
