//! quinn as a rival over real loopback sockets: a picture's packets as unreliable datagrams, from one thread to another.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::measure::End;
use super::picture::PACKETS;
use super::quic::configs;
use crate::clock;

/// Bytes of a datagram's payload.
const PAYLOAD: usize = 1200;
/// In front of it: which picture it belongs to, and when that was taken in hand.
const HEAD: usize = 4 + 8;

/// The ages of `pictures` pictures when the last of their packets was read, in µs, one each `between`; the first `warm_up`
/// are not among them. `None` when quinn fails.
pub(super) fn latencies(pictures: usize, warm_up: usize, between: Duration) -> Option<Vec<f64>> {
    let (client_config, server_config) = configs()?;
    let (wanted, is_done, epoch) = (Arc::new(Notify::new()), AtomicBool::new(false), clock::now());
    let host_runtime = runtime()?;
    let entered = host_runtime.enter();
    let host = Endpoint::server(server_config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).ok()?;
    let address = host.local_addr().ok()?;
    drop(entered);
    End::Receiver.take_place();
    thread::scope(|scope| {
        let (wanted, is_done) = (&wanted, &is_done);
        scope.spawn(move || {
            End::Sender.take_place();
            host_runtime.block_on(serve(&host, wanted, is_done, epoch))
        });
        scope.spawn(move || {
            End::Sender.take_place();
            while !is_done.load(Ordering::Acquire) {
                clock::pause(between);
                wanted.notify_one();
            }
            wanted.notify_one();
        });
        let samples = runtime().and_then(|runtime| {
            runtime.block_on(async {
                let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).ok()?;
                let connection =
                    endpoint.connect_with(client_config, address, "localhost").ok()?.await.ok()?;
                view(&connection, pictures + warm_up, epoch).await
            })
        });
        is_done.store(true, Ordering::Release);
        samples.map(|mut samples| samples.split_off(warm_up))
    })
}

fn runtime() -> Option<Runtime> {
    Builder::new_current_thread().enable_all().build().ok()
}

/// Sends a picture whenever one is wanted.
async fn serve(endpoint: &Endpoint, wanted: &Notify, is_done: &AtomicBool, epoch: Instant) -> Option<()> {
    let connection = endpoint.accept().await?.await.ok()?;
    let mut number = 0_u32;
    loop {
        wanted.notified().await;
        if is_done.load(Ordering::Acquire) {
            return Some(());
        }
        let mut picture = vec![0x5a; PACKETS as usize * PAYLOAD];
        let taken_at = nanos_since(epoch);
        for datagram in picture.chunks_mut(PAYLOAD) {
            datagram[..4].copy_from_slice(&number.to_be_bytes());
            datagram[4..HEAD].copy_from_slice(&taken_at.to_be_bytes());
        }
        number += 1;
        let mut rest = Bytes::from(picture);
        while !rest.is_empty() {
            connection.send_datagram(rest.split_to(PAYLOAD)).ok()?;
        }
    }
}

/// Reads until so many pictures are whole.
async fn view(connection: &Connection, pictures: usize, epoch: Instant) -> Option<Vec<f64>> {
    let mut samples = Vec::with_capacity(pictures);
    let mut current = (0, 0);
    while samples.len() < pictures {
        let datagram = connection.read_datagram().await.ok()?;
        let number = u32::from_be_bytes(*datagram.first_chunk()?);
        let taken_at = u64::from_be_bytes(*datagram.get(4..)?.first_chunk()?);
        current = if current.0 == number { (number, current.1 + 1) } else { (number, 1) };
        if current.1 == PACKETS {
            samples.push((nanos_since(epoch) - taken_at) as f64 / 1e3);
        }
    }
    Some(samples)
}

fn nanos_since(epoch: Instant) -> u64 {
    u64::try_from(clock::now().duration_since(epoch).as_nanos()).unwrap_or(u64::MAX)
}
