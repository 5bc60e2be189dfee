//! A host's announcement, under a tag that changes.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use rift::PublicKey;
use rift::crypto::DiscoveryTag;
use tracing::{debug, warn};

use crate::{MdnsError, NAME_LEN_MAX, SERVICE, TAG_KEY, VERSION_KEY};

/// A tag is followed by another after this long (SPEC §4.18).
const ROTATION: Duration = Duration::from_secs(10 * 60);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a host says of itself.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Who it is; told only to those who know it.
    pub host: PublicKey,
    /// Where it listens; `0.0.0.0` and `::` = at every address of the machine.
    pub address: IpAddr,
    /// Its UDP port.
    pub port: u16,
    /// The newest version of the protocol that it speaks.
    pub version: u8,
    /// What people are shown; `None` = nothing that says whose host it is.
    pub name: Option<String>,
}

/// Announces until it is dropped; then the network is told that the host is gone.
#[derive(Debug)]
pub struct Announcer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Announcer {
    /// Begins to announce, on every interface of the machine.
    ///
    /// # Errors
    /// [`MdnsError`].
    pub fn start(announcement: Announcement) -> Result<Self, MdnsError> {
        if let Some(name) = &announcement.name
            && (name.is_empty() || name.len() > NAME_LEN_MAX)
        {
            return Err(MdnsError::Name(name.clone()));
        }
        let daemon = ServiceDaemon::new()?;
        // Nobody else is on it.
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        if announcement.address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            daemon.disable_interface(IfKind::IPv6)?;
        }
        let announce = |daemon: &ServiceDaemon, announcement: &Announcement| {
            let service = service(announcement)?;
            let full = service.get_fullname().to_owned();
            daemon.register(service)?;
            Ok::<_, MdnsError>(full)
        };
        let mut current = announce(&daemon, &announcement)?;
        let (stop, stopped) = channel();
        let rotate = move || {
            each(ROTATION, &stopped, || match announce(&daemon, &announcement) {
                // Under a chosen name the newer record has taken the older one's place.
                Ok(next) if next == current => {}
                Ok(next) => withdraw(&daemon, &core::mem::replace(&mut current, next)),
                Err(error) => warn!("the announcement stays as it is: {error}"),
            });
            withdraw(&daemon, &current);
            if let Ok(over) = daemon.shutdown() {
                let _ = over.recv_timeout(GOODBYE);
            }
        };
        let thread = Builder::new().name("mdns".into()).spawn(rotate).map_err(MdnsError::Thread)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Does something after each `period` until `stopped` has no sender any more.
fn each(period: Duration, stopped: &Receiver<()>, mut turn: impl FnMut()) {
    while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        turn();
    }
}

/// An announcement under a new tag and, unless somebody chose one, a new name.
fn service(announcement: &Announcement) -> Result<ServiceInfo, MdnsError> {
    let mut nonce = [0; 8];
    let mut label = [0; 4];
    getrandom::fill(&mut nonce).map_err(MdnsError::Entropy)?;
    getrandom::fill(&mut label).map_err(MdnsError::Entropy)?;
    let tag = DiscoveryTag::new(&announcement.host, nonce).to_text();
    let label = format!("wavry-{:08x}", u32::from_be_bytes(label));
    let name = announcement.name.as_deref().unwrap_or(&label);
    let version = announcement.version.to_string();
    let properties = [(VERSION_KEY, version.as_str()), (TAG_KEY, tag.as_str())];
    // The machine's own name would tell whose it is.
    let target = format!("{label}.local.");
    let port = announcement.port;
    debug!(name, "announced");
    Ok(if announcement.address.is_unspecified() {
        ServiceInfo::new(SERVICE, name, &target, (), port, &properties[..])?.enable_addr_auto()
    } else {
        ServiceInfo::new(SERVICE, name, &target, announcement.address, port, &properties[..])?
    })
}

fn withdraw(daemon: &ServiceDaemon, full: &str) {
    match daemon.unregister(full) {
        Ok(gone) => {
            let _ = gone.recv_timeout(GOODBYE);
        }
        Err(error) => debug!("an old announcement stays until it expires: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::collections::BTreeSet;

    use rift::Identity;

    use super::*;

    /// SPEC §4.18: at most ten minutes, and whenever it starts.
    #[test]
    fn each_turn_announces_a_new_nonce_and_a_new_name_unless_one_was_chosen() {
        assert!(ROTATION <= Duration::from_secs(600));
        let host = Identity::from_secret([1; 32]).public();
        for chosen in [None, Some("study".to_owned())] {
            let announcement = Announcement {
                host,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 9,
                version: 1,
                name: chosen.clone(),
            };
            let (mut tags, mut names) = (BTreeSet::new(), BTreeSet::new());
            let (stop, stopped) = channel();
            let mut stop = Some(stop);
            // The first is the one it starts with.
            let mut turn = || {
                let service = service(&announcement).expect("it can be announced");
                let text = service.get_property_val_str(TAG_KEY).expect("it has a tag");
                assert!(DiscoveryTag::parse(text).is_some_and(|tag| tag.is_of(&host)), "{text}");
                assert!(tags.insert(text[..16].to_owned()), "nonce {text} again");
                names.insert(service.get_fullname().to_owned());
                if tags.len() == 20 {
                    stop = None;
                }
            };
            turn();
            each(Duration::ZERO, &stopped, turn);
            assert_eq!((tags.len(), names.len()), (20, if chosen.is_some() { 1 } else { 20 }));
        }
    }
}
