//! A host's part in meeting, on its socket: called once a turn, and does nothing unless something is due or has come.

use core::net::SocketAddr;

use rift::{Ecn, Instant};

use super::{Callee, DATAGRAM_LEN, Heard};
use crate::socket::Sender;

/// See the module.
pub(crate) struct Meeting {
    callee: Callee,
    due: Option<Instant>,
    is_touched: bool,
}

impl Meeting {
    pub(crate) const fn new(callee: Callee) -> Self {
        Self { callee, due: None, is_touched: true }
    }

    /// Whoever asks may change what is due.
    pub(crate) const fn callee(&mut self) -> &mut Callee {
        self.is_touched = true;
        &mut self.callee
    }

    /// When something is due.
    pub(crate) const fn due(&self) -> Option<Instant> {
        if self.is_touched { Some(Instant::ZERO) } else { self.due }
    }

    pub(crate) fn is_beside(&self, from: SocketAddr) -> bool {
        self.callee.is_beside(from)
    }

    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Heard {
        let heard = self.callee.handle_datagram(now, from, ecn, datagram);
        self.is_touched |= heard == Heard::Done;
        heard
    }

    pub(crate) fn handle_check(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        let is_check = self.callee.handle_check(now, from, datagram);
        self.is_touched |= is_check;
        is_check
    }

    pub(crate) fn on_silent(&mut self, now: Instant, peer: SocketAddr) {
        self.is_touched = true;
        self.callee.on_silent(now, peer);
    }

    /// Does and sends what is due.
    pub(crate) fn work(&mut self, now: Instant, sender: &mut Sender) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.callee.handle_timeout(now);
        if let Some(ways) = self.callee.take_ways() {
            sender.set_ways(ways);
        }
        let mut out = [0; DATAGRAM_LEN];
        while let Some((len, to)) = self.callee.poll_transmit(now, &mut out) {
            sender.put_small(to, &out[..len]);
        }
        (self.due, self.is_touched) = (self.callee.poll_timeout(), false);
    }
}
