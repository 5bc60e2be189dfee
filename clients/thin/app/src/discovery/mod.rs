//! Looking for hosts on the local network (SPEC §4.18): DNS-SD over mDNS, as one question at a time.
//!
//! The question goes to everybody from the client's own port, and so is answered to that port alone (RFC 6762 §5.1, §6.7):
//! a board needs to belong to no group, and its network card to hear nothing that is sent to many. Answers are read by
//! `rift_dns`. Invariant: whatever comes, and however much, a search ends in time and gives no more places than it may.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::udp::{UdpMetadata, UdpSocket};
use embassy_time::{Duration, Instant, Timer};
use rift::PublicKey;
use rift::wire::VERSION;
use rift_dns::Announced;

use crate::finder::Places;

/// Where everybody listens (RFC 6762 §3).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const PORT: u16 = 5353;
/// How long answers are waited for; then the question is asked once more, unless one came.
const PATIENCE: Duration = Duration::from_millis(1_000);
const QUESTIONS: u32 = 2;
/// How often the caller is told that the search lives.
const TICK: Duration = Duration::from_millis(500);

/// Places of hosts: of those with one of `keys`, as soon as one answers; of all that answer when there are none. `socket` is
/// bound, and `id` is not to be guessed.
pub(crate) async fn search(
    socket: &mut UdpSocket<'static>,
    stack: Stack<'static>,
    id: u16,
    keys: &[PublicKey],
    mut alive: impl FnMut(),
) -> Places {
    let mut places = Places::new();
    let question = rift_dns::question(id);
    for _ in 0..QUESTIONS {
        if stack.config_v4().is_some() {
            ask(socket, &question, GROUP_V4.into()).await;
        }
        if stack.config_v6().is_some() {
            ask(socket, &question, GROUP_V6.into()).await;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            alive();
            let tick = Timer::at(until.min(Instant::now() + TICK));
            let answer = socket.recv_from_with(|bytes, UdpMetadata { endpoint, .. }| {
                for host in rift_dns::read(bytes, id) {
                    note(&mut places, keys, &host, endpoint.addr.into());
                }
            });
            if let Either::First(()) = select(answer, tick).await
                && !keys.is_empty()
                && !places.is_empty()
            {
                return places;
            }
        }
        if !places.is_empty() {
            break;
        }
    }
    places
}

/// Asks those who listen at this address. What cannot be sent is not answered.
async fn ask(socket: &UdpSocket<'static>, question: &[u8], group: IpAddr) {
    let _ = select(socket.send_to(question, (group, PORT)), Timer::after(TICK)).await;
}

/// Takes note of a host that was told by `from`, if it may be one of those that are wanted.
fn note(places: &mut Places, keys: &[PublicKey], host: &Announced, from: IpAddr) {
    let is_wanted = keys.is_empty() || host.tag.is_some_and(|tag| keys.iter().any(|key| tag.is_of(key)));
    let is_old = host.version.is_some_and(|version| version < VERSION);
    // A host with several addresses is surely reached at the one it answers from.
    let address = host.addresses.iter().find(|&&address| address == from).or(host.addresses.first());
    let Some(&address) = address.filter(|_| is_wanted && !is_old) else { return };
    let place = SocketAddr::new(address, host.port);
    if !places.contains(&place) {
        // More than there is room for are not called.
        let _ = places.push(place);
    }
}

#[cfg(test)]
mod tests {
    use rift::crypto::DiscoveryTag;

    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    fn host(byte: u8) -> Announced {
        let addresses = [[192, 168, 1, byte], [10, 0, 0, byte]].map(IpAddr::from);
        let tag = Some(DiscoveryTag::new(&key(byte), [byte; 8]));
        Announced { port: 4747, addresses: addresses.into_iter().collect(), version: Some(VERSION), tag }
    }

    #[test]
    fn only_hosts_that_are_wanted_and_can_be_spoken_with_are_kept_each_once() {
        let from = IpAddr::from([10, 0, 0, 1]);
        let noted = |keys: &[PublicKey], hosts: &[Announced]| {
            let mut places = Places::new();
            hosts.iter().for_each(|host| note(&mut places, keys, host, from));
            places
        };
        let places = |bytes: &[[u8; 4]]| {
            bytes.iter().map(|bytes| SocketAddr::from((*bytes, 4747))).collect::<Places>()
        };
        let all = [host(1), host(2), host(1)];
        assert_eq!(noted(&[], &all), places(&[[10, 0, 0, 1], [192, 168, 1, 2]]));
        assert_eq!(noted(&[key(9), key(2)], &all), places(&[[192, 168, 1, 2]]));
        assert!(noted(&[key(9)], &all).is_empty());
        let strange = [
            Announced { version: Some(VERSION - 1), ..host(1) },
            Announced { addresses: Default::default(), ..host(1) },
        ];
        assert!(noted(&[], &strange).is_empty());
        let unsaid = Announced { version: None, tag: None, ..host(1) };
        assert_eq!(noted(&[], core::slice::from_ref(&unsaid)).len(), 1);
        assert!(noted(&[key(1)], &[unsaid]).is_empty());
        let many = core::array::from_fn::<_, 40, _>(|byte| host(byte as u8));
        assert_eq!(noted(&[], &many).len(), places(&[]).capacity());
    }
}
