//! The keys of a session and their renewal (SPEC §5.4–§5.6): which generation seals, which open, and when the next
//! one is due.
//!
//! The client asks, the host answers. The client seals with the new key as soon as it has the answer, the host as soon
//! as it has opened something under it: nobody ever seals with a key that the other side lacks, so there is no gap.
//! Invariant: a packet that does not open changes nothing here.

use crate::crypto::renewal::{RENEWAL_LEN, Renewal, RenewedKeys, pre_shared};
use crate::crypto::{Aead, PacketKey, Secrets, Side};
use crate::time::Instant;
use crate::wire::renewal::Renewing;
use crate::wire::{FrameType, VERSION};

/// No key is used longer than this, in µs (SPEC §5.4).
pub(super) const KEY_US_MAX: u64 = 600_000_000;
/// Packets of either direction after which keys are replaced. ChaCha20-Poly1305 has no limit that a session could
/// reach (RFC 9001 §6.6); this one costs nothing and bounds what a stolen key opens.
const PACKETS_PER_KEY: u64 = 1 << 30;
/// Forged packets after which keys are replaced.
const FORGED_PER_KEY: u64 = 1 << 32;
/// And after which none is opened any more: the integrity limit of ChaCha20-Poly1305 (RFC 9001 §6.6).
const FORGED_PER_KEY_MAX: u64 = 1 << 36;

/// Packets counted by a session, from its beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) forged: u64,
}

/// Another key to open with than the one in use.
struct Other<A> {
    receive: PacketKey<A>,
    /// `Some`: the generation to come, with the host's key to seal with once it is in use. `None`: the one before.
    next_send: Option<PacketKey<A>>,
    is_next: bool,
    /// When the one before goes.
    drop_at: Instant,
}

enum Progress {
    Idle,
    /// Client: the request is out.
    Asking {
        exchange: Renewal,
        message: [u8; RENEWAL_LEN],
    },
    /// Host: asked, and without entropy to answer.
    Asked {
        message: [u8; RENEWAL_LEN],
    },
    /// Host: answered, and the client has not used the new key yet.
    Answered {
        message: [u8; RENEWAL_LEN],
    },
    /// Client: has the new keys, and the host has not used its one yet.
    Switched,
}

pub(super) struct Keys<A> {
    side: Side,
    send: PacketKey<A>,
    send_generation: u32,
    receive: PacketKey<A>,
    receive_generation: u32,
    other: Option<Other<A>>,
    progress: Progress,
    /// When the newest keys in use came about, and how much was counted by then.
    since: Instant,
    counted: Counts,
}

impl<A: Aead> Keys<A> {
    pub(super) fn new(side: Side, secrets: &Secrets, now: Instant) -> Self {
        Self {
            side,
            send: PacketKey::new(secrets.send),
            send_generation: 0,
            receive: PacketKey::new(secrets.receive),
            receive_generation: 0,
            other: None,
            progress: Progress::Idle,
            since: now,
            counted: Counts::default(),
        }
    }

    /// How often the keys that open were replaced.
    pub(super) const fn generation(&self) -> u32 {
        self.receive_generation
    }

    /// The key to seal with.
    pub(super) const fn send(&self) -> &PacketKey<A> {
        &self.send
    }

    /// The key-phase bit of what is sealed with it.
    pub(super) const fn send_phase(&self) -> bool {
        self.send_generation & 1 == 1
    }

    /// Opens `text` with the key of `phase`, if there is one; returns whether it did. The first packet under the keys
    /// to come puts them in use; those before are kept for `linger_us` more.
    #[expect(clippy::too_many_arguments, reason = "what a seal is made of, and the time")]
    pub(super) fn open(
        &mut self,
        phase: bool,
        path: u32,
        number: u64,
        head: &[u8],
        text: &mut [u8],
        tag: &[u8; 16],
        now: Instant,
        linger_us: u64,
    ) -> bool {
        if phase == (self.receive_generation & 1 == 1) {
            return self.receive.open(path, number, head, text, tag);
        }
        let Some(other) = &self.other else { return false };
        if !other.receive.open(path, number, head, text, tag) {
            return false;
        }
        if other.is_next {
            self.promote(now, linger_us);
        }
        true
    }

    fn promote(&mut self, now: Instant, linger_us: u64) {
        let Some(other) = &mut self.other else { return };
        core::mem::swap(&mut self.receive, &mut other.receive);
        (other.is_next, other.drop_at) = (false, now.plus_micros(linger_us));
        self.receive_generation += 1;
        if let Some(send) = other.next_send.take() {
            self.send = send;
            self.send_generation += 1;
            self.since = now;
        }
        self.progress = Progress::Idle;
    }

    /// When something is due here: the keys before go, or those in use are to be replaced after `key_us`, or too old.
    pub(super) fn due(&self, now: Instant, key_us: u64) -> Instant {
        let end = self.since.plus_micros(KEY_US_MAX);
        if let Some(other) = self.other.as_ref().filter(|other| !other.is_next) {
            return end.min(other.drop_at);
        }
        // What is due already waits for entropy, and the application was told.
        let renewal = self.since.plus_micros(key_us);
        if self.may_ask() && renewal > now { end.min(renewal) } else { end }
    }

    /// Lets the keys before go when it is time.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.other.take_if(|other| !other.is_next && other.drop_at <= now);
    }

    /// Whether the keys in use may not be used any more.
    pub(super) fn is_exhausted(&self, now: Instant, counts: Counts) -> bool {
        self.since.plus_micros(KEY_US_MAX) <= now || counts.forged - self.counted.forged >= FORGED_PER_KEY_MAX
    }

    /// Client: whether it is time to ask for the next keys.
    pub(super) fn wants_renewal(&self, now: Instant, key_us: u64, counts: Counts) -> bool {
        self.may_ask()
            && (self.since.plus_micros(key_us) <= now
                || counts.sent - self.counted.sent >= PACKETS_PER_KEY
                || counts.received - self.counted.received >= PACKETS_PER_KEY
                || counts.forged - self.counted.forged >= FORGED_PER_KEY)
    }

    const fn may_ask(&self) -> bool {
        matches!(self.side, Side::Initiator)
            && matches!(self.progress, Progress::Idle)
            && self.other.is_none()
    }

    /// Host: whether it was asked and needs entropy to answer.
    pub(super) const fn wants_entropy(&self) -> bool {
        matches!(self.progress, Progress::Asked { .. }) && self.other.is_none()
    }

    /// Client: begins to ask.
    pub(super) fn ask(&mut self, ephemeral: [u8; 32]) {
        let pre_shared = pre_shared(&self.send, &self.receive);
        let (exchange, message) = Renewal::ask(&pre_shared, ephemeral, &prologue(self.next_generation()));
        self.progress = Progress::Asking { exchange, message };
    }

    /// What is to be said for the renewal under way: the client's request or the host's reply.
    pub(super) const fn message(&self) -> Option<(FrameType, Renewing)> {
        let generation = self.next_generation();
        match &self.progress {
            Progress::Asking { message, .. } => {
                Some((FrameType::KeyRequest, Renewing { generation, message: *message }))
            }
            Progress::Answered { message } => {
                Some((FrameType::KeyReply, Renewing { generation, message: *message }))
            }
            Progress::Idle | Progress::Asked { .. } | Progress::Switched => None,
        }
    }

    /// Host: takes a request. One that comes while the keys before are kept waits until they have gone.
    pub(super) fn on_request(&mut self, request: &Renewing) {
        if self.side != Side::Responder || request.generation != self.next_generation() {
            return;
        }
        if matches!(self.progress, Progress::Idle) {
            self.progress = Progress::Asked { message: request.message };
        }
    }

    /// Host: answers what was asked.
    pub(super) fn answer(&mut self, ephemeral: [u8; 32], counts: Counts) {
        let Progress::Asked { message } = &self.progress else { return };
        let pre_shared = pre_shared(&self.receive, &self.send);
        let prologue = prologue(self.next_generation());
        self.progress = match Renewal::answer(&pre_shared, ephemeral, &prologue, message) {
            Ok((message, keys)) => {
                self.other = Some(Other {
                    receive: PacketKey::new(keys.of_initiator),
                    next_send: Some(PacketKey::new(keys.of_responder)),
                    is_next: true,
                    drop_at: Instant::FAR_FUTURE,
                });
                self.counted = counts;
                Progress::Answered { message }
            }
            Err(_) => Progress::Idle,
        };
    }

    /// Client: takes the answer. Returns whether the keys to come are there.
    pub(super) fn on_reply(&mut self, reply: &Renewing, now: Instant, counts: Counts) -> bool {
        let Progress::Asking { exchange, .. } = &self.progress else { return false };
        if reply.generation != self.next_generation() {
            return false;
        }
        let Ok(keys) = exchange.finish(&reply.message) else { return false };
        self.switch(&keys);
        (self.since, self.counted) = (now, counts);
        true
    }

    fn switch(&mut self, keys: &RenewedKeys) {
        self.send = PacketKey::new(keys.of_initiator);
        self.send_generation += 1;
        self.other = Some(Other {
            receive: PacketKey::new(keys.of_responder),
            next_send: None,
            is_next: true,
            drop_at: Instant::FAR_FUTURE,
        });
        self.progress = Progress::Switched;
    }

    const fn next_generation(&self) -> u32 {
        self.receive_generation.wrapping_add(1)
    }
}

/// What both sides mix into a renewal: the protocol, its version, the pattern, and which keys are to come.
fn prologue(generation: u32) -> [u8; 11] {
    let [a, b, c, d] = generation.to_be_bytes();
    [b'R', b'I', b'F', b'T', VERSION, b'N', b'N', a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{ChaChaPoly, PublicKey};

    fn keys(side: Side) -> Keys<ChaChaPoly> {
        let (send, receive) = match side {
            Side::Initiator => ([1; 32], [2; 32]),
            Side::Responder => ([2; 32], [1; 32]),
        };
        let peer = PublicKey::from_bytes([9; 32]);
        Keys::new(side, &Secrets { send, receive, peer, transcript: [0; 32] }, Instant::ZERO)
    }

    fn counts(sent: u64, received: u64, forged: u64) -> Counts {
        Counts { sent, received, forged }
    }

    fn said(keys: &Keys<ChaChaPoly>, what: FrameType) -> Option<Renewing> {
        keys.message().filter(|&(frame_type, _)| frame_type == what).map(|(_, message)| message)
    }

    /// `from` seals, `to` opens.
    fn passes(from: &Keys<ChaChaPoly>, to: &mut Keys<ChaChaPoly>, number: u64) -> bool {
        let mut text = *b"text";
        let tag = from.send().seal(0, number, b"head", &mut text);
        let opens = to.open(from.send_phase(), 0, number, b"head", &mut text, &tag, Instant::ZERO, 30);
        opens && &text == b"text"
    }

    /// SPEC §5.4.
    #[test]
    fn age_packets_and_forgeries_each_make_a_renewal_due_and_the_last_two_limits_end_the_keys() {
        let client = keys(Side::Initiator);
        let (now, never) = (Instant::ZERO, u64::MAX);
        assert!(!client.wants_renewal(now, never, counts(0, 0, 0)));
        assert!(client.wants_renewal(Instant::from_millis(5), 5_000, counts(0, 0, 0)));
        assert!(client.wants_renewal(now, never, counts(PACKETS_PER_KEY, 0, 0)));
        assert!(client.wants_renewal(now, never, counts(0, PACKETS_PER_KEY, 0)));
        assert!(client.wants_renewal(now, never, counts(0, 0, FORGED_PER_KEY)));
        assert!(!client.is_exhausted(now, counts(u64::MAX, u64::MAX, FORGED_PER_KEY_MAX - 1)));
        assert!(client.is_exhausted(now, counts(0, 0, FORGED_PER_KEY_MAX)));
        assert!(client.is_exhausted(Instant::from_micros(KEY_US_MAX), counts(0, 0, 0)));
        assert!(!keys(Side::Responder).wants_renewal(Instant::FAR_FUTURE, 0, counts(0, 0, 0)));
    }

    /// Every order in which the packets of a renewal can pass: both sides open all that was sealed under keys in use.
    /// SPEC §5.6.
    #[test]
    fn no_step_of_a_renewal_leaves_a_side_unable_to_open() {
        let (mut client, mut host) = (keys(Side::Initiator), keys(Side::Responder));
        for generation in 1..4 {
            client.ask([3; 32]);
            let request = said(&client, FrameType::KeyRequest).expect("it asks");
            assert_eq!(request.generation, generation);
            host.on_request(&request);
            assert!(host.wants_entropy() && host.message().is_none());
            assert!(passes(&client, &mut host, 1) && passes(&host, &mut client, 1));
            host.answer([4; 32], Counts::default());
            let reply = said(&host, FrameType::KeyReply).expect("it answers");
            host.on_request(&request);
            assert_eq!(
                said(&host, FrameType::KeyReply),
                Some(reply),
                "a request that comes twice is answered once"
            );
            assert!(passes(&client, &mut host, 2) && passes(&host, &mut client, 2));
            assert!(client.on_reply(&reply, Instant::ZERO, Counts::default()));
            assert!(!client.on_reply(&reply, Instant::ZERO, Counts::default()), "once");
            // The host still seals with the keys before.
            assert!(passes(&host, &mut client, 3));
            assert!(passes(&client, &mut host, 3));
            assert!(passes(&host, &mut client, 4) && passes(&client, &mut host, 4));
            host.on_request(&request);
            assert!(!host.wants_entropy(), "a request that comes late asks for nothing");
            assert!(host.message().is_none() && client.message().is_none());
            for side in [&mut client, &mut host] {
                assert!(side.other.is_some() && !side.may_ask());
                side.handle_timeout(Instant::from_micros(29));
                assert!(side.other.is_some());
                side.handle_timeout(Instant::from_micros(30));
                assert!(side.other.is_none());
            }
        }
        assert!(!passes(&keys(Side::Initiator), &mut host, 5), "the first keys open nothing any more");
    }

    #[test]
    fn packet_that_claims_a_phase_without_a_key_or_under_the_wrong_one_changes_nothing() {
        let (mut client, mut host) = (keys(Side::Initiator), keys(Side::Responder));
        client.ask([3; 32]);
        host.on_request(&said(&client, FrameType::KeyRequest).expect("it asks"));
        let mut text = *b"text";
        assert!(!host.open(true, 0, 1, b"head", &mut text, &[0; 16], Instant::ZERO, 30));
        host.answer([4; 32], Counts::default());
        assert!(!host.open(true, 0, 1, b"head", &mut text, &[0; 16], Instant::ZERO, 30));
        assert_eq!((host.receive_generation, host.send_generation), (0, 0));
        assert!(passes(&client, &mut host, 1));
    }
}
