//! snow's own pure-Rust primitives, with entropy as an argument and shared secrets checked.

use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

/// What a state of the handshake is made from.
pub(crate) struct Resolver {
    ephemeral: Zeroizing<[u8; 32]>,
}

impl Resolver {
    pub(crate) fn new(ephemeral: &[u8; 32]) -> Self {
        Self { ephemeral: Zeroizing::new(*ephemeral) }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Ephemeral(self.ephemeral.clone())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Contributory(DefaultResolver.resolve_dh(choice)?)))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// The one ephemeral secret, the same however often it is asked for: a message written again is the same message.
struct Ephemeral(Zeroizing<[u8; 32]>);

impl Random for Ephemeral {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        if dest.len() != self.0.len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&*self.0);
        Ok(())
    }
}

/// Refuses all-zero shared secrets (RFC 7748 §6.1).
struct Contributory(Box<dyn Dh>);

impl Dh for Contributory {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }

    fn set(&mut self, privkey: &[u8]) {
        self.0.set(privkey);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.0.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        self.0.dh(pubkey, out)?;
        let shared = out.get(..self.dh_len()).ok_or(Error::Dh)?;
        if shared.iter().fold(0, |sum, byte| sum | byte) == 0 { Err(Error::Dh) } else { Ok(()) }
    }

    fn dh_len(&self) -> usize {
        self.0.dh_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_zero_shared_secret_is_refused() {
        let mut dh = Resolver::new(&[7; 32]).resolve_dh(&DHChoice::Curve25519).unwrap();
        dh.set(&[7; 32]);
        let mut shared = [0; 64];
        assert_eq!(dh.dh(&[0; 32], &mut shared), Err(Error::Dh));
        let peer = dh.pubkey().to_vec();
        assert_eq!(dh.dh(&peer, &mut shared), Ok(()));
    }

    #[test]
    fn entropy_is_the_argument_every_time() {
        let mut random = Resolver::new(&[7; 32]).resolve_rng().unwrap();
        for _ in 0..2 {
            let mut bytes = [0; 32];
            assert_eq!(random.try_fill_bytes(&mut bytes), Ok(()));
            assert_eq!(bytes, [7; 32]);
        }
        assert_eq!(random.try_fill_bytes(&mut [0; 33]), Err(Error::Rng), "there is no more of it");
    }
}
