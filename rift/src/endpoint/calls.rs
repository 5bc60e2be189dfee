//! Calls that were answered, and the counters of those who called (SPEC §4.12).

use blake2::Blake2sMac;
use blake2::digest::consts::U8;
use blake2::digest::{FixedOutput, Mac, Update};
use heapless::{Deque, Vec};
use zeroize::ZeroizeOnDrop;

use super::REFUSAL_LEN;
use crate::crypto::PublicKey;
use crate::limits::CALLS_ANSWERED;
use crate::wire::handshake::{ANSWER_MAX, Kept};

/// A call that was answered: when it comes again it gets the same answer, whatever it was, and nothing else happens.
pub(super) struct Call {
    /// Its mac1.
    pub(super) mac1: [u8; 16],
    /// The id this side chose.
    pub(super) connection: u32,
    /// See [`Clients::name`].
    pub(super) client: u64,
    pub(super) counter: u64,
    /// The serial of the token it brought, if that was good.
    pub(super) token: Option<u64>,
    reply: Kept<{ ANSWER_MAX + REFUSAL_LEN }>,
}

impl Call {
    pub(super) fn new(
        mac1: [u8; 16],
        connection: u32,
        client: u64,
        counter: u64,
        token: Option<u64>,
        answer: &[u8],
    ) -> Self {
        let mut call = Self { mac1, connection, client, counter, token, reply: Kept::EMPTY };
        call.set_reply(answer);
        call
    }

    /// What is said when it comes again.
    pub(super) fn reply(&self) -> &[u8] {
        self.reply.as_slice()
    }

    pub(super) fn set_reply(&mut self, reply: &[u8]) {
        if let Some(reply) = Kept::new(reply) {
            self.reply = reply;
        }
    }
}

/// The newest calls that were answered. The oldest is forgotten for a new one; that it is no replay is then only known
/// to [`Clients`].
pub(super) struct Calls(Deque<Call, CALLS_ANSWERED>);

impl Calls {
    pub(super) const fn new() -> Self {
        Self(Deque::new())
    }

    pub(super) fn push(&mut self, call: Call) {
        if self.0.is_full() {
            self.0.pop_front();
        }
        let pushed = self.0.push_back(call);
        debug_assert!(pushed.is_ok(), "room was made");
    }

    pub(super) fn find(&self, is_same: impl Fn(&[u8; 16]) -> bool) -> Option<&Call> {
        self.0.iter().find(|call| is_same(&call.mac1))
    }

    pub(super) fn of_connection(&mut self, connection: u32) -> Option<&mut Call> {
        self.0.iter_mut().find(|call| call.connection == connection)
    }

    /// The session of this call is over: its answer would lead nowhere.
    pub(super) fn forget(&mut self, connection: u32) {
        if let Some(call) = self.of_connection(connection) {
            call.reply = Kept::EMPTY;
        }
    }
}

/// What is remembered of one client.
#[derive(Clone, Copy)]
struct Client {
    name: u64,
    /// The counter of its newest call that was let in.
    counter: u64,
    /// The serial of the newest token it used.
    token: u64,
}

/// The counters and tokens of those who were let in. When there is no room for another client, the one with the smallest
/// counter is forgotten, and from then on nobody unknown is taken with a counter as small: as counters are times, that
/// is who has not been here for longest, and what it sent then does not come alive again.
#[derive(ZeroizeOnDrop)]
pub(super) struct Clients<const N: usize> {
    key: [u8; 32],
    #[zeroize(skip)]
    known: Vec<Client, N>,
    #[zeroize(skip)]
    forgotten: Option<Client>,
}

impl<const N: usize> Clients<N> {
    pub(super) const fn new(key: [u8; 32]) -> Self {
        Self { key, known: Vec::new(), forgotten: None }
    }

    /// A short name for a client: nobody can find two keys with the same one without knowing this host's secret.
    pub(super) fn name(&self, client: &PublicKey) -> u64 {
        let mac = <Blake2sMac<U8> as Mac>::new_from_slice(&self.key);
        let mut mac = mac.expect("BLAKE2s takes keys of 32 bytes");
        Update::update(&mut mac, client.as_bytes());
        u64::from_be_bytes(mac.finalize_fixed().into())
    }

    fn find(&self, name: u64) -> Option<&Client> {
        self.known.iter().find(|client| client.name == name).or(self.forgotten.as_ref())
    }

    /// Whether a call of this client with this counter is none that was let in before.
    pub(super) fn is_new(&self, name: u64, counter: u64) -> bool {
        self.find(name).is_none_or(|client| client.counter < counter)
    }

    /// Whether a token with this serial was not used before.
    pub(super) fn is_unused(&self, name: u64, serial: u64) -> bool {
        self.find(name).is_none_or(|client| client.token < serial)
    }

    /// A call was let in.
    pub(super) fn remember(&mut self, name: u64, counter: u64, token: Option<u64>) {
        if let Some(client) = self.known.iter_mut().find(|client| client.name == name) {
            client.counter = client.counter.max(counter);
            client.token = client.token.max(token.unwrap_or(0));
            return;
        }
        if self.known.is_full() {
            let oldest = (0..self.known.len()).min_by_key(|&index| self.known[index].counter);
            let oldest = self.known.swap_remove(oldest.unwrap_or(0));
            let before = self.forgotten.unwrap_or(oldest);
            let (counter, token) = (before.counter.max(oldest.counter), before.token.max(oldest.token));
            self.forgotten = Some(Client { name: 0, counter, token });
        }
        let pushed = self.known.push(Client { name, counter, token: token.unwrap_or(0) });
        debug_assert!(pushed.is_ok(), "room was made");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CLIENTS_REMEMBERED;

    type Clients = super::Clients<CLIENTS_REMEMBERED>;

    #[test]
    fn counter_and_token_of_a_client_only_grow() {
        let mut clients = Clients::new([1; 32]);
        let name = clients.name(&PublicKey::from_bytes([2; 32]));
        assert!(clients.is_new(name, 0) && clients.is_unused(name, 1));
        clients.remember(name, 7, Some(5));
        assert!(!clients.is_new(name, 7) && clients.is_new(name, 8));
        assert!(!clients.is_unused(name, 5) && clients.is_unused(name, 6));
        clients.remember(name, 9, None);
        assert!(!clients.is_new(name, 9) && !clients.is_unused(name, 5), "a call without a token frees none");
    }

    #[test]
    fn forgotten_client_is_not_taken_with_what_it_sent_before() {
        let mut clients = Clients::new([1; 32]);
        for client in 0..CLIENTS_REMEMBERED as u64 + 10 {
            clients.remember(client, 1000 + client, Some(500 + client));
        }
        for client in 0..10 {
            assert!(!clients.is_new(client, 1000 + client), "client {client} was forgotten");
            assert!(!clients.is_unused(client, 500 + client), "client {client} was forgotten");
            assert!(clients.is_new(client, 1010), "client {client} comes with a newer call");
        }
        assert!(!clients.is_new(u64::MAX, 1009), "nobody knows whether that was here before");
        assert!(clients.is_new(u64::MAX, 1010));
    }
}
