//! Who is where: nonces that prove an address, tokens that prove a lease, MACs that prove its peers (SPEC §18.8).
//!
//! Nothing is kept of who asks. A token is looked at only when the nonce came back from where it was sent, and a signature
//! costs a place in the sender's network's counter; a lease that is known asks for no signature.

use core::net::{IpAddr, SocketAddr};

use blake2::Blake2sMac;
use blake2::digest::Mac;
use blake2::digest::consts::U16;
use rift::Instant;
use rift::crypto::BindKey;
use rift::paths::relay::LeaseTerms;
use rift::wire::bind::{BIND_MAC_LEN, BindBody, BindMessage, BindReason, LeaseSide};
use rift::wire::relay::LEASE_TAG_LEN;

use super::bucket::Bucket;
use super::queue::Queue;
use super::{Cause, Lease, Onward, Peer, Relay, Tokens, side_index};

/// A nonce is given for this long and taken for twice as long, in seconds.
const PERIOD_S: u64 = 30;

type Nonce = [u8; BIND_MAC_LEN];

/// Makes nonces: MACs of where they are sent, for which lease, and when. Nothing is kept of them.
pub(super) struct Nonces([u8; 32]);

impl Nonces {
    pub(super) const fn new(secret: &[u8; 32]) -> Self {
        Self(*secret)
    }

    fn nonce(&self, unix_s: u64, from: SocketAddr, tag: &[u8; LEASE_TAG_LEN]) -> Nonce {
        self.of_period(unix_s / PERIOD_S, from, tag)
    }

    /// Whether `nonce` was given to `from` for this lease lately; all its bits are compared at once.
    fn verify(&self, unix_s: u64, from: SocketAddr, tag: &[u8; LEASE_TAG_LEN], nonce: &Nonce) -> bool {
        let period = unix_s / PERIOD_S;
        [period, period.wrapping_sub(1)].into_iter().any(|period| {
            u128::from_ne_bytes(self.of_period(period, from, tag)) ^ u128::from_ne_bytes(*nonce) == 0
        })
    }

    fn of_period(&self, period: u64, from: SocketAddr, tag: &[u8; LEASE_TAG_LEN]) -> Nonce {
        let mut mac =
            <Blake2sMac<U16> as Mac>::new_from_slice(&self.0).expect("BLAKE2s takes keys of 32 bytes");
        mac.update(b"rift relay nonce");
        mac.update(&period.to_be_bytes());
        match from.ip().to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&from.port().to_be_bytes());
        mac.update(tag);
        mac.finalize().into_bytes().into()
    }
}

impl core::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

impl Relay {
    /// A message about a binding, as it came from `from` to this machine's address `local`. On `Ok` the answer, which is
    /// no longer than the message, is in `reply`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn handle_bind(
        &mut self,
        now: Instant,
        unix_s: u64,
        (from, local): (SocketAddr, Option<IpAddr>),
        datagram: &[u8],
        tokens: &impl Tokens,
        reply: &mut [u8],
    ) -> Result<usize, Cause> {
        let message = BindMessage::parse(datagram).ok_or(Cause::Malformed)?;
        let tag = message.tag;
        let answer = |body: BindBody<'_>, reply: &mut [u8]| {
            BindMessage { tag, body }.emit(reply).ok_or(Cause::Malformed)
        };
        match message.body {
            BindBody::Ask => answer(BindBody::Nonce(self.nonces.nonce(unix_s, from, &tag)), reply),
            BindBody::Bind { side, nonce, token } => {
                if !self.nonces.verify(unix_s, from, &tag, &nonce) {
                    return Err(Cause::Unproven);
                }
                if !token.is_empty()
                    && let Some(reason) = self.show(now, unix_s, from, &tag, token, tokens)?
                {
                    return answer(BindBody::Refused(reason), reply);
                }
                let Some(lease) = self.lease(u64::from_be_bytes(tag)) else {
                    return answer(BindBody::Refused(BindReason::Unknown), reply);
                };
                let peer = &mut lease.peers[side_index(side)];
                if !peer.key.verify(datagram) {
                    return Err(Cause::Unproven);
                }
                peer.at = Some(Onward { to: from, source: local });
                let left = lease.expires_s.saturating_sub(unix_s);
                let left_s = u32::try_from(left).unwrap_or(u32::MAX);
                let [a, b, c, d, e, f, g, h, ..] = nonce;
                let nonce = [a, b, c, d, e, f, g, h];
                let len = answer(BindBody::Bound { side, left_s, nonce }, reply)?;
                lease.peers[side_index(side)].key.sign(&mut reply[..len]);
                Ok(len)
            }
            BindBody::Nonce(_) | BindBody::Bound { .. } | BindBody::Refused(_) => Err(Cause::Malformed),
        }
    }

    /// A token is shown: the lease that it stands for is made or lengthened. `Some` is why not, for who shows it.
    fn show(
        &mut self,
        now: Instant,
        unix_s: u64,
        from: SocketAddr,
        tag: &[u8; LEASE_TAG_LEN],
        token: &[u8],
        tokens: &impl Tokens,
    ) -> Result<Option<BindReason>, Cause> {
        if !self.prefixes.take(now, from) {
            return Err(Cause::TooOften);
        }
        let Some(terms) = tokens.verify(token, unix_s).filter(|terms| terms.tag == *tag) else {
            return Ok(Some(BindReason::Token));
        };
        if let Some(known) = self.lease(u64::from_be_bytes(*tag)) {
            // Another lease of the same name would be somebody's mistake: the keys that are there stay.
            known.expires_s = known.expires_s.max(terms.expires_s);
            return Ok(None);
        }
        let Some(shown) = self.lease_of(now, &terms) else { return Ok(Some(BindReason::Token)) };
        Ok((!self.admit(shown)).then_some(BindReason::Full))
    }

    fn lease_of(&self, now: Instant, terms: &LeaseTerms) -> Option<Lease> {
        let bitrate_bps = terms.bitrate_bps.min(self.limits.bitrate_bps_max);
        let [caller, callee] = &terms.peers;
        let peer = |public, side| {
            let key = BindKey::new(&self.identity, public, &terms.tag, side)?;
            Some(Peer { key, at: None, bucket: Bucket::new(bitrate_bps, now), queue: Queue::new() })
        };
        Some(Lease {
            tag: u64::from_be_bytes(terms.tag),
            peers: [peer(caller, LeaseSide::Caller)?, peer(callee, LeaseSide::Callee)?],
            expires_s: terms.expires_s,
        })
    }
}
