//! An attacker who hears every datagram, keeps it, and sends what he likes from wherever he likes.
//!
//! He has no key. He is as fast as he wants: what he sends overtakes what he heard.

use core::time::Duration;

use rift_sim::{Captured, Network, NodeId, Random};

use crate::node::Node;

/// He mostly takes something as new as this many datagrams.
const RECENT: usize = 400;

/// What he did, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Sent again as they were, to whom they were for.
    pub replayed: u64,
    /// Sent back to who had sent them.
    pub reflected: u64,
    /// With bits flipped.
    pub flipped: u64,
    /// Cut short.
    pub cut: u64,
    /// With something behind them.
    pub extended: u64,
    /// The head of one, the rest of another.
    pub spliced: u64,
    /// Made up, some with a head that was heard.
    pub forged: u64,
}

impl Injected {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.replayed + self.reflected + self.flipped + self.cut + self.extended + self.spliced + self.forged
    }
}

/// See the module.
#[derive(Debug)]
pub struct Injector {
    random: Random,
    /// An address at which he hears what is sent to him.
    own: NodeId,
    /// What he did so far.
    pub injected: Injected,
    /// Bytes he sent to anybody from his own address.
    pub sent_bytes: u64,
}

impl Injector {
    /// He has one machine of his own.
    #[must_use]
    pub fn new(random: Random, own: NodeId) -> Self {
        Self { random, own, injected: Injected::default(), sent_bytes: 0 }
    }

    /// Sends a few datagrams in the next `span`. `host` and `client` are where they are now.
    pub fn act(&mut self, network: &mut Network<Node>, host: NodeId, client: NodeId, span: Duration) {
        if network.captured().is_empty() {
            return;
        }
        for _ in 0..1 + self.random.below(5) {
            let (from, to, bytes) = self.invent(network.captured());
            // As it was, from where the client is now, or from his own machine.
            let from = match self.random.below(4) {
                0 => self.own,
                1 if to == host => client,
                _ => from,
            };
            if from == self.own {
                self.sent_bytes += bytes.len() as u64;
            }
            let delay = if self.random.chance(0.5) { Duration::ZERO } else { self.random.duration(span) };
            network.inject(delay, from, to, &bytes);
        }
    }

    /// A datagram, where it pretends to come from, and whom it is for.
    fn invent(&mut self, heard: &[Captured]) -> (NodeId, NodeId, Vec<u8>) {
        let one = self.choose(heard);
        let mut bytes = one.bytes.clone();
        let (from, to) = (one.from, one.to);
        let done = &mut self.injected;
        match self.random.below(10) {
            0..=3 => done.replayed += 1,
            4 => {
                done.reflected += 1;
                return (to, from, bytes);
            }
            5 => {
                done.flipped += 1;
                for _ in 0..1 + self.random.below(3) {
                    let bit = self.random.below(bytes.len() as u64 * 8) as usize;
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            6 => {
                done.cut += 1;
                bytes.truncate(1 + self.random.below(bytes.len() as u64) as usize);
            }
            7 => {
                done.extended += 1;
                let mut more = vec![0; 1 + self.random.below(40) as usize];
                self.random.fill(&mut more);
                bytes.extend_from_slice(&more);
            }
            8 => {
                done.spliced += 1;
                let other = self.choose(heard);
                let at = self.random.below(bytes.len().min(other.bytes.len()) as u64) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other.bytes[at..]);
            }
            _ => {
                done.forged += 1;
                let kept = self.random.below(9) as usize;
                if let Some(rest) = bytes.get_mut(kept..) {
                    self.random.fill(rest);
                }
            }
        }
        (from, to, bytes)
    }

    fn choose<'h>(&mut self, heard: &'h [Captured]) -> &'h Captured {
        let len = heard.len() as u64;
        let reach = if self.random.chance(0.7) { len.min(RECENT as u64) } else { len };
        &heard[(len - 1 - self.random.below(reach)) as usize]
    }
}
