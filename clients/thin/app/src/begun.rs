//! What a start makes of the settings, and what is written into them while the board runs.

use core::net::SocketAddr;

use embedded_storage::nor_flash::NorFlash;
use rift::PublicKey;

use crate::entropy::{Draws, Entropy, first_secret};
use crate::report::Fault;
use crate::room::Provision;
use crate::settings::{PinnedHost, Settings, SettingsError, SettingsStore};

/// What a start has made of the settings.
#[derive(Debug)]
pub(crate) struct Begun<E, F> {
    pub(crate) settings: Settings,
    store: SettingsStore<F>,
    pub(crate) draws: Draws<E>,
}

impl<E, F: NorFlash> Begun<E, F> {
    /// The host vouches for the key that it will have next.
    pub(crate) fn promise(&mut self, key: PublicKey) -> Result<(), SettingsError> {
        self.change(|host| host.successor = Some(key))
    }

    /// The host has proven this key. If it is the one that it had vouched for, the old one counts no more.
    pub(crate) fn prove(&mut self, key: PublicKey) -> Result<(), SettingsError> {
        self.change(|host| {
            if host.key != Some(key) {
                (host.key, host.successor) = (Some(key), None);
            }
        })
    }

    /// The board belongs to this host from now on.
    pub(crate) fn belong(&mut self, address: SocketAddr, key: PublicKey) -> Result<(), SettingsError> {
        if self.settings.host.is_some_and(|known| known.key == Some(key)) {
            return self.change(|host| host.address = address);
        }
        self.settings.host = Some(PinnedHost { address, key: Some(key), successor: None });
        self.store.save(&self.settings)
    }

    /// Its host is there now.
    pub(crate) fn moved(&mut self, address: SocketAddr) -> Result<(), SettingsError> {
        self.change(|host| host.address = address)
    }

    /// Changes what is known of the host, and writes it down if it is news.
    fn change(&mut self, change: impl FnOnce(&mut PinnedHost)) -> Result<(), SettingsError> {
        let before = self.settings.host;
        if let Some(host) = &mut self.settings.host {
            change(host);
        }
        if self.settings.host == before { Ok(()) } else { self.store.save(&self.settings) }
    }
}

/// Reads the settings or makes new ones, and writes down that the board has started before anything is drawn.
pub(crate) fn begin<E: Entropy, F: NorFlash>(
    flash: F,
    mut entropy: E,
    provision: Provision,
) -> Result<Begun<E, F>, Fault> {
    let (mut store, found) = SettingsStore::open(flash).map_err(Fault::Settings)?;
    let mut settings = match found {
        Some(settings) => settings,
        None => {
            let secret = first_secret(&mut entropy).map_err(|_| Fault::NoEntropy)?;
            Settings { secret: *secret, boots: 0, host: None }
        }
    };
    settings.boots = settings.boots.wrapping_add(1);
    settings.host = match (provision.host, settings.host) {
        // A key learnt by pairing with the same host stays.
        (Some(PinnedHost { address, key: None, .. }), Some(known)) if known.address == address => Some(known),
        // So does what a host has said of its next key, and where it was found when only its key is given.
        (Some(given), Some(known)) if known.key == given.key => {
            let address = if given.has_place() { given.address } else { known.address };
            Some(PinnedHost { successor: known.successor, address, ..given })
        }
        (Some(given), _) => Some(given),
        (None, known) => known,
    };
    store.save(&settings).map_err(Fault::Settings)?;
    let draws = Draws::new(entropy, settings.secret, settings.boots);
    Ok(Begun { settings, store, draws })
}
