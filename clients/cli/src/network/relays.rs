//! Which relays a gateway has: it tells the devices that it knows (SPEC §18.9), so it is spoken to as this machine's client would.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::UdpSocket;

use rift::wire::fleet::RelayPlaces;
use rift::wire::signal::Signal;
use rift::{Ecn, Instant, PublicKey};
use rift_mio::{Clock, Gateway, GatewayPlace, GatewayState, Trouble};

/// A conversation that does not come to be by UDP is tried by a stream; both have this long.
const PATIENCE: Duration = Duration::from_secs(9);
/// Relays are told with the welcome, or there are none.
const TOLD_US: u64 = 400_000;
/// The longest wait: the machine may have been asleep.
const LOOK: Duration = Duration::from_millis(50);
/// The longest datagram of signalling.
const DATAGRAM_LEN: usize = 2048;

/// The relays of the gateway there that has this key; or why it told none.
///
/// # Errors
/// There is no socket.
pub(super) fn of(address: SocketAddr, key: PublicKey) -> io::Result<Result<RelayPlaces, String>> {
    let identity = rift_keystore::default_path().and_then(|path| rift_keystore::load(&path));
    let Ok(identity) = identity else {
        return Ok(Err("this machine has no identity yet: `wavry-client id` makes one".to_owned()));
    };
    let any: IpAddr =
        if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let (socket, clock) = (UdpSocket::bind((any, 0))?, Clock::new());
    let now = clock.now();
    let place = GatewayPlace { key, address };
    let mut gateway = Gateway::new(place, identity, None, clock.unix_epoch_us(), entropy, now);
    gateway.set_streams(Box::new(rift_tcp::lender()), socket.local_addr()?);
    let told = converse(&socket, clock, &mut gateway, now + PATIENCE)?;
    gateway.close(clock.now());
    send(&socket, clock.now(), &mut gateway);
    Ok(told)
}

fn converse(
    socket: &UdpSocket,
    clock: Clock,
    gateway: &mut Gateway,
    until: Instant,
) -> io::Result<Result<RelayPlaces, String>> {
    let (mut here_since, mut datagram) = (None, [0; DATAGRAM_LEN]);
    loop {
        let now = clock.now();
        gateway.handle_timeout(now);
        while let Some(signal) = gateway.hear(now) {
            if let Signal::Relays(places) = signal {
                return Ok(Ok(places));
            }
        }
        match gateway.state() {
            GatewayState::Calling if now >= until => return Ok(Err(describe(Trouble::Silent))),
            GatewayState::Calling => {}
            GatewayState::Here(_) => {
                if now.micros_since(*here_since.get_or_insert(now)) >= TOLD_US {
                    return Ok(Err("it has no relay".to_owned()));
                }
            }
            GatewayState::Trouble(trouble) => return Ok(Err(describe(trouble))),
        }
        send(socket, now, gateway);
        let due = gateway.poll_timeout().map_or(LOOK, |due| due.until(clock.now())).min(LOOK);
        socket.set_read_timeout(Some(due.max(Duration::from_millis(1))))?;
        if let Ok((len, _)) = socket.recv_from(&mut datagram) {
            // What is not the gateway's changes nothing.
            gateway.handle_datagram(clock.now(), Ecn::NotEct, &mut datagram[..len]);
        }
    }
}

fn send(socket: &UdpSocket, now: Instant, gateway: &mut Gateway) {
    let mut out = [0; DATAGRAM_LEN];
    let is_v6 = socket.local_addr().is_ok_and(|own| own.is_ipv6());
    while let Some((len, to)) = gateway.poll_transmit(now, &mut out) {
        let to = match to {
            // A stream's end on this machine, from a socket of IPv6.
            SocketAddr::V4(v4) if is_v6 => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        };
        // What does not leave is sent again, as what is lost.
        let _ = socket.send_to(&out[..len], to);
    }
}

fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("a system that runs programs has entropy");
    bytes
}

fn describe(trouble: Trouble) -> String {
    match trouble {
        Trouble::Silent => "it answers neither by UDP nor over TLS on TCP".to_owned(),
        Trouble::OtherKey => "somebody answers there who has not its key".to_owned(),
        Trouble::NotEnrolled | Trouble::Token => {
            "it does not know this machine: `wavry-client connect LINK --enrol TOKEN` makes it known, with a token of \
             `wavry-gateway token`"
                .to_owned()
        }
        Trouble::Closed(reason) => format!("it ended the conversation ({reason:?})"),
    }
}
