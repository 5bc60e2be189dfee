//! What operators ask is answered here, between the gateway and its storage.

use std::collections::VecDeque;

use rift::paths::relay::{Lease, RELAY_ID_LEN, relay_id};
use rift::wire::fleet::Way;
use rift::{Instant, PublicKey};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::leases::{Leases, OVERLAP_S};
use crate::shell::{entropy, unix_us};
use crate::state::limits::TOKEN_S;
use crate::state::{Gateway, GrantChange, KnownRelay, Order, Outcome, SessionView};
use crate::storage::{AuditLine, Operators, Sqlite, Storage, StorageError};
use rift::wire::signal::EnrolmentToken;

/// Leases remembered for operators' eyes.
const LEASES_SHOWN: usize = 1_024;

/// What an operator may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How many of everything.
    Overview,
    /// Devices that have enrolled.
    Devices,
    /// Sessions there are.
    Sessions,
    /// Relays there are.
    Relays,
    /// Leases made lately.
    Leases,
    /// Who lets whom be introduced.
    Grants,
    /// Who is let in no more.
    Bans,
    /// What was done.
    Audit,
    /// A token for a device to enrol.
    Token,
    /// Another key for leases.
    RotateLeaseKey,
    /// To be done.
    Order(Order),
    /// About a device or a relay that cannot be.
    Nothing,
}

/// Why an operator gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Who asks is no operator.
    Stranger,
    /// There is no such device or relay.
    Unknown,
    /// There is no room.
    Full,
    /// The gateway could not.
    Failed,
}

/// A question on its way to the desk.
#[derive(Debug)]
pub struct Question {
    /// The digest of the token that was shown.
    pub digest: [u8; 32],
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Value, Refusal>>,
}

/// A lease that was made.
#[derive(Clone, Copy, Debug)]
struct Made {
    tag: [u8; 8],
    relay: [u8; RELAY_ID_LEN],
    peers: [PublicKey; 2],
    expires_s: u64,
}

/// What the desk remembers itself.
#[derive(Debug, Default)]
pub struct Desk {
    leases: VecDeque<Made>,
}

/// All that the desk may reach for an answer.
pub(crate) struct Reach<'a, E> {
    pub(crate) gateway: &'a mut Gateway<E>,
    pub(crate) storage: &'a mut Sqlite,
    pub(crate) leases: &'a mut Leases,
    pub(crate) now: Instant,
    /// Unix time at [`Instant::ZERO`].
    pub(crate) epoch_us: u64,
}

impl Desk {
    /// A lease was made for these.
    pub(crate) fn on_lease(&mut self, peers: [PublicKey; 2], lease: &Lease) {
        if self.leases.len() == LEASES_SHOWN {
            self.leases.pop_front();
        }
        let relay = relay_id(&lease.relay_key);
        self.leases.push_back(Made { tag: lease.tag, relay, peers, expires_s: lease.expires_s });
    }

    /// Answers a question, if it is an operator's.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn answer<E: FnMut() -> [u8; 32]>(
        &self,
        mut reach: Reach<'_, E>,
        question: Question,
    ) -> Result<(), StorageError> {
        let Question { digest, ask, answer } = question;
        let outcome = if reach.storage.is_operator(&digest).await? {
            self.look_up(&mut reach, ask).await?
        } else {
            Err(Refusal::Stranger)
        };
        // Who asked may have gone.
        let _ = answer.send(outcome);
        Ok(())
    }

    async fn look_up<E: FnMut() -> [u8; 32]>(
        &self,
        reach: &mut Reach<'_, E>,
        ask: Ask,
    ) -> Result<Result<Value, Refusal>, StorageError> {
        let now_s = unix_us() / 1_000_000;
        Ok(Ok(match ask {
            Ask::Overview => reach.overview(),
            Ask::Devices => reach.devices(),
            Ask::Sessions => {
                reach.gateway.registry().session_views().map(|view| reach.session(&view)).collect()
            }
            Ask::Relays => reach.gateway.relays().iter().map(|relay| reach.relay(relay)).collect(),
            Ask::Leases => self.made(now_s),
            Ask::Grants => reach.grants(),
            Ask::Bans => {
                reach.gateway.registry().bans().map(|key| json!({ "id": key.to_string() })).collect()
            }
            Ask::Audit => reach.storage.audit().await?.iter().map(audited).collect(),
            Ask::Token => {
                let mut token = EnrolmentToken([0; EnrolmentToken::LEN]);
                token.0.copy_from_slice(&entropy()[..EnrolmentToken::LEN]);
                let expires_s = now_s + TOKEN_S;
                reach.storage.add_token(&token, now_s, expires_s).await?;
                reach.storage.note(&line(now_s, "token", "")).await?;
                json!({ "token": token.to_text().as_str(), "expires_s": expires_s })
            }
            Ask::RotateLeaseKey => {
                if let Err(error) = reach.leases.rotate(now_s) {
                    tracing::error!(%error, "there is no next lease key");
                    return Ok(Err(Refusal::Failed));
                }
                reach.gateway.set_lease_keys(reach.now, reach.leases.keys());
                reach.storage.note(&line(now_s, "rotate-lease-key", "")).await?;
                json!({ "signs_in_s": OVERLAP_S })
            }
            Ask::Nothing => return Ok(Err(Refusal::Unknown)),
            Ask::Order(order) => return reach.obey(order, now_s).await,
        }))
    }

    fn made(&self, now_s: u64) -> Value {
        let lasting = self.leases.iter().filter(|made| made.expires_s > now_s);
        let shown = lasting.map(|made| {
            json!({
                "tag": hex(&made.tag),
                "relay": hex(&made.relay),
                "caller": made.peers[0].to_string(),
                "callee": made.peers[1].to_string(),
                "expires_s": made.expires_s,
            })
        });
        shown.collect()
    }
}

impl<E: FnMut() -> [u8; 32]> Reach<'_, E> {
    fn overview(&self) -> Value {
        let counters = self.gateway.counters();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "devices": counters.devices,
            "present": counters.present,
            "sessions": counters.sessions,
            "introductions": counters.introductions,
            "refused": counters.refused,
            "is_draining": self.gateway.registry().is_draining(),
        })
    }

    fn devices(&self) -> Value {
        let registry = self.gateway.registry();
        let device = registry.device_views().map(|device| {
            json!({
                "id": device.key.to_string(),
                "name": device.name,
                "grants": device.grants.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "is_banned": registry.bans().any(|key| *key == device.key),
                "session": device.session.map(|view| self.session(&view)),
            })
        });
        device.collect()
    }

    fn session(&self, view: &SessionView) -> Value {
        let path = |(key, way): &(PublicKey, Way)| {
            let way = match way {
                Way::None => "none",
                Way::Direct => "direct",
                Way::Relay => "relay",
                Way::Stream => "stream",
            };
            json!({ "peer": key.to_string(), "way": way })
        };
        json!({
            "device": view.key.to_string(),
            "seen": view.seen.to_string(),
            "since_s": self.unix_s(view.since),
            "is_stranger": view.is_stranger,
            "is_host": view.is_host,
            "paths": view.paths.iter().map(path).collect::<Vec<_>>(),
        })
    }

    fn relay(&self, relay: &KnownRelay) -> Value {
        let beat = relay.beat.as_ref().map(|(at, beat)| {
            json!({
                "at_s": self.unix_s(*at),
                "leases": beat.leases,
                "leases_max": beat.leases_max,
                "load_permille": beat.load_permille,
                "is_draining": beat.is_draining,
                "region": beat.region.as_str(),
                "version": beat.version.as_str(),
            })
        });
        json!({
            "id": hex(&relay.id),
            "key": relay.key.to_string(),
            "address": relay.address.map(|address| address.to_string()),
            "is_drained": relay.is_drained,
            "is_there": relay.is_there(self.now),
            "is_usable": relay.is_usable(self.now),
            "beat": beat,
        })
    }

    fn grants(&self) -> Value {
        let grants = self.gateway.registry().device_views().flat_map(|device| {
            let host = device.key.to_string();
            let grant =
                move |client: PublicKey| json!({ "host": host.clone(), "client": client.to_string() });
            device.grants.into_iter().map(grant)
        });
        grants.collect()
    }

    async fn obey(&mut self, order: Order, now_s: u64) -> Result<Result<Value, Refusal>, StorageError> {
        let outcome = self.gateway.obey(self.now, order);
        Ok(match outcome {
            Outcome::Unknown => Err(Refusal::Unknown),
            Outcome::Full => Err(Refusal::Full),
            Outcome::Unchanged => Ok(json!({ "is_changed": false })),
            Outcome::Done => {
                self.storage.order(&order, now_s).await?;
                self.storage.note(&ordered(now_s, &order)).await?;
                Ok(json!({ "is_changed": true }))
            }
        })
    }

    fn unix_s(&self, at: Instant) -> u64 {
        (self.epoch_us + at.as_micros()) / 1_000_000
    }
}

fn ordered(now_s: u64, order: &Order) -> AuditLine {
    let either = |is_first, first: &'static str, second| if is_first { first } else { second };
    let (action, subject) = match order {
        Order::Revoke(key) => ("revoke", key.to_string()),
        Order::Ban(key, is_banned) => (either(*is_banned, "ban", "unban"), key.to_string()),
        Order::Grant(GrantChange { host, client, may }) => {
            (either(*may, "grant", "withdraw"), format!("{host} {client}"))
        }
        Order::DrainRelay(id, is_drained) => (either(*is_drained, "drain-relay", "undrain-relay"), hex(id)),
        Order::Drain(is_draining) => (either(*is_draining, "drain", "undrain"), String::new()),
    };
    line(now_s, action, &subject)
}

fn line(at_s: u64, action: &str, subject: &str) -> AuditLine {
    AuditLine { at_s, actor: "operator".to_owned(), action: action.to_owned(), subject: subject.to_owned() }
}

fn audited(line: &AuditLine) -> Value {
    json!({ "at_s": line.at_s, "actor": line.actor, "action": line.action, "subject": line.subject })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
