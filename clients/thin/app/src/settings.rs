//! What a board remembers: its key, how often it has started, and the host it belongs to.
//!
//! Records of one length are appended to one of two areas of a flash memory; when an area is full, the other is erased and
//! gets the next record. So a record is whole or not there, whenever the power goes: the newest whole one counts, and the
//! area it is in is not touched before a newer one is written. A record ends with a BLAKE2s of all before it.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use blake2::{Blake2s256, Digest as _};
use embedded_storage::nor_flash::NorFlash;
use rift::PublicKey;
use zeroize::{Zeroize, Zeroizing};

const MAGIC: [u8; 4] = *b"WVRY";
/// Bytes of a record: whole programming units of the flash memories of boards, which have up to 32 bytes.
const RECORD_LEN: usize = 160;
const HASH_AT: usize = RECORD_LEN - 32;

/// A host that a board belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedHost {
    /// Where it is; at port 0 = wherever it is found.
    pub address: SocketAddr,
    /// Its key; `None` = not paired yet.
    pub key: Option<PublicKey>,
    /// The key it will have next, on its own word.
    pub successor: Option<PublicKey>,
}

impl PinnedHost {
    /// The host with this key, wherever it is found.
    #[must_use]
    pub const fn anywhere(key: PublicKey) -> Self {
        let nowhere = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        Self { address: nowhere, key: Some(key), successor: None }
    }

    /// Whether it is said where it is.
    #[must_use]
    pub const fn has_place(&self) -> bool {
        self.address.port() != 0
    }
}

/// What a board remembers.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The secret half of its key.
    pub secret: [u8; 32],
    /// How often it has started.
    pub boots: u32,
    /// The host it belongs to, if any.
    pub host: Option<PinnedHost>,
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl core::fmt::Debug for Settings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Settings")
            .field("boots", &self.boots)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Why settings cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// The flash memory does not hold two areas of at least one record, or its units do not fit a record.
    Geometry,
    /// It could not be read, erased or written, or what was written reads back otherwise.
    Flash,
}

/// Settings in a flash memory, all of which is theirs.
#[derive(Debug)]
pub struct SettingsStore<F> {
    flash: F,
    /// Bytes of each of the two areas.
    area_len: u32,
    /// Where the next record goes.
    next: u32,
    sequence: u32,
}

impl<F: NorFlash> SettingsStore<F> {
    /// Opens the store and reads the newest whole record; `None` on a board that starts for the first time.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn open(mut flash: F) -> Result<(Self, Option<Settings>), SettingsError> {
        let half = u32::try_from(flash.capacity() / 2).map_err(|_| SettingsError::Geometry)?;
        let erase = u32::try_from(F::ERASE_SIZE).map_err(|_| SettingsError::Geometry)?;
        let area_len = half.checked_div(erase).unwrap_or(0) * erase;
        let fits = |unit: usize| unit != 0 && RECORD_LEN.is_multiple_of(unit);
        if area_len < RECORD_LEN as u32 || !fits(F::WRITE_SIZE) || !fits(F::READ_SIZE) {
            return Err(SettingsError::Geometry);
        }
        let mut newest: Option<(u32, u32, Settings)> = None;
        let mut bytes = Zeroizing::new([0; RECORD_LEN]);
        for at in places(area_len) {
            flash.read(at, &mut bytes[..]).map_err(|_| SettingsError::Flash)?;
            if let Some((sequence, settings)) = parse(&bytes)
                && newest.as_ref().is_none_or(|&(known, _, _)| sequence > known)
            {
                newest = Some((sequence, at, settings));
            }
        }
        let (sequence, next) = match &newest {
            Some((sequence, at, _)) => (*sequence, following(*at, area_len)),
            None => (0, 0),
        };
        Ok((Self { flash, area_len, next, sequence }, newest.map(|(_, _, settings)| settings)))
    }

    /// Writes settings; they are kept once this returns.
    ///
    /// # Errors
    /// [`SettingsError::Flash`]; the settings before these are still kept.
    pub fn save(&mut self, settings: &Settings) -> Result<(), SettingsError> {
        let sequence = self.sequence.wrapping_add(1);
        let mut bytes = Zeroizing::new([0; RECORD_LEN]);
        emit(sequence, settings, &mut bytes);
        self.prepare()?;
        let mut again = Zeroizing::new([0; RECORD_LEN]);
        let at = self.next;
        // Whatever comes of it, this place is used up: what is half written is never written over.
        self.next = following(at, self.area_len);
        self.flash.write(at, &bytes[..]).map_err(|_| SettingsError::Flash)?;
        self.flash.read(at, &mut again[..]).map_err(|_| SettingsError::Flash)?;
        if again != bytes {
            return Err(SettingsError::Flash);
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Makes the next place writable: at the beginning of an area all of it is erased; a place in the middle that a
    /// power cut left half written is passed over.
    fn prepare(&mut self) -> Result<(), SettingsError> {
        let mut bytes = [0; RECORD_LEN];
        loop {
            if self.next.is_multiple_of(self.area_len) {
                let end = self.next + self.area_len;
                return self.flash.erase(self.next, end).map_err(|_| SettingsError::Flash);
            }
            self.flash.read(self.next, &mut bytes).map_err(|_| SettingsError::Flash)?;
            if bytes.iter().all(|&byte| byte == 0xff) {
                return Ok(());
            }
            self.next = following(self.next, self.area_len);
        }
    }
}

/// Where records may be: in both areas, from the beginning of each.
fn places(area_len: u32) -> impl Iterator<Item = u32> {
    let in_area = move |start: u32| (start..start + area_len - (RECORD_LEN as u32 - 1)).step_by(RECORD_LEN);
    in_area(0).chain(in_area(area_len))
}

/// The place after `at`; after the last of an area, the first of the other.
const fn following(at: u32, area_len: u32) -> u32 {
    let (area, inside) = (at / area_len, at % area_len);
    let next = inside + RECORD_LEN as u32;
    if next + RECORD_LEN as u32 <= area_len { area * area_len + next } else { (1 - area) * area_len }
}

fn emit(sequence: u32, settings: &Settings, bytes: &mut [u8; RECORD_LEN]) {
    bytes.fill(0);
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&sequence.to_le_bytes());
    bytes[8..12].copy_from_slice(&settings.boots.to_le_bytes());
    bytes[12..44].copy_from_slice(&settings.secret);
    if let Some(host) = settings.host {
        let address = match host.address.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        bytes[44] = 1 | u8::from(host.key.is_some()) << 1 | u8::from(host.successor.is_some()) << 2;
        bytes[46..48].copy_from_slice(&host.address.port().to_le_bytes());
        bytes[48..64].copy_from_slice(&address.octets());
        if let Some(key) = host.key {
            bytes[64..96].copy_from_slice(key.as_bytes());
        }
        if let Some(key) = host.successor {
            bytes[96..HASH_AT].copy_from_slice(key.as_bytes());
        }
    }
    let hash = Blake2s256::digest(&bytes[..HASH_AT]);
    bytes[HASH_AT..].copy_from_slice(&hash);
}

fn parse(bytes: &[u8; RECORD_LEN]) -> Option<(u32, Settings)> {
    let (text, hash) = bytes.split_at(HASH_AT);
    if !text.starts_with(&MAGIC) || Blake2s256::digest(text)[..] != *hash {
        return None;
    }
    let word = |at: usize| text.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let host = (text[44] & 1 != 0).then(|| {
        let octets: [u8; 16] = text[48..64].try_into().unwrap_or_default();
        let port = u16::from_le_bytes([text[46], text[47]]);
        let key = |bit: u8, at: usize| {
            let bytes: [u8; 32] = text[at..at + 32].try_into().unwrap_or_default();
            (text[44] & bit != 0).then(|| PublicKey::from_bytes(bytes))
        };
        PinnedHost {
            address: SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), port),
            key: key(2, 64),
            successor: key(4, 96),
        }
    });
    let secret = text[12..44].try_into().ok()?;
    Some((word(4)?, Settings { secret, boots: word(8)?, host }))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind, ReadNorFlash};

    use super::*;

    const AREA: usize = 1024;

    /// A flash memory whose power may go after so many bytes.
    #[derive(Clone)]
    struct Flash {
        bytes: Vec<u8>,
        power: usize,
    }

    #[derive(Debug)]
    struct PowerGone;

    impl NorFlashError for PowerGone {
        fn kind(&self) -> NorFlashErrorKind {
            NorFlashErrorKind::Other
        }
    }

    impl ErrorType for Flash {
        type Error = PowerGone;
    }

    impl Flash {
        fn new() -> Self {
            Self { bytes: std::vec![0xff; 2 * AREA], power: usize::MAX }
        }

        fn change(&mut self, at: usize, to: impl Iterator<Item = u8>) -> Result<(), PowerGone> {
            for (place, byte) in self.bytes[at..].iter_mut().zip(to) {
                self.power = self.power.checked_sub(1).ok_or(PowerGone)?;
                *place = byte;
            }
            Ok(())
        }
    }

    impl ReadNorFlash for Flash {
        const READ_SIZE: usize = 1;

        fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), PowerGone> {
            bytes.copy_from_slice(&self.bytes[at as usize..][..bytes.len()]);
            Ok(())
        }

        fn capacity(&self) -> usize {
            self.bytes.len()
        }
    }

    impl NorFlash for Flash {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = 256;

        fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerGone> {
            self.change(from as usize, (from..to).map(|_| 0xff))
        }

        fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), PowerGone> {
            let place = &self.bytes[at as usize..][..bytes.len()];
            assert!(place.iter().all(|&byte| byte == 0xff), "written over without erasing");
            self.change(at as usize, bytes.iter().copied())
        }
    }

    fn settings(boots: u32) -> Settings {
        let key = PublicKey::from_bytes([7; 32]);
        let address = if boots.is_multiple_of(2) { "10.0.2.2:4747" } else { "[fd00::2]:80" };
        let host = PinnedHost {
            address: address.parse().expect("an address"),
            key: boots.is_multiple_of(3).then_some(key),
            successor: boots.is_multiple_of(6).then_some(PublicKey::from_bytes([8; 32])),
        };
        Settings { secret: [boots as u8; 32], boots, host: (boots != 5).then_some(host) }
    }

    fn reopened(flash: &Flash) -> Option<Settings> {
        SettingsStore::open(Flash { power: usize::MAX, ..flash.clone() }).expect("it fits").1
    }

    #[test]
    fn what_was_saved_last_is_what_is_remembered_through_many_areas() {
        let (mut store, none) = SettingsStore::open(Flash::new()).expect("it fits");
        assert_eq!(none, None);
        for boots in 1..60 {
            store.save(&settings(boots)).expect("the power is on");
            assert_eq!(reopened(&store.flash), Some(settings(boots)));
            if boots.is_multiple_of(7) {
                store = SettingsStore::open(store.flash).expect("it fits").0;
            }
        }
    }

    #[test]
    fn power_that_goes_at_any_byte_leaves_the_settings_before_or_after() {
        for boots in 1..16 {
            let (mut store, _) = SettingsStore::open(Flash::new()).expect("it fits");
            (1..=boots).for_each(|boots| store.save(&settings(boots)).expect("the power is on"));
            for power in 0..AREA + RECORD_LEN + 1 {
                let cut = Flash { power, ..store.flash.clone() };
                let (mut later, _) = SettingsStore::open(cut).expect("it fits");
                let saved = later.save(&settings(boots + 1));
                let found = reopened(&later.flash);
                assert!(
                    found == Some(settings(boots)) || found == Some(settings(boots + 1)),
                    "{boots} {power}"
                );
                assert!(saved.is_err() || found == Some(settings(boots + 1)), "{boots} {power}");
                // And life goes on.
                let on = Flash { power: usize::MAX, ..later.flash };
                let (mut again, _) = SettingsStore::open(on).expect("it fits");
                again.save(&settings(boots + 2)).expect("the power is on");
                assert_eq!(reopened(&again.flash), Some(settings(boots + 2)), "{boots} {power}");
            }
        }
    }

    #[test]
    fn memory_that_is_too_small_is_refused() {
        let small = Flash { bytes: std::vec![0xff; 2 * 256 - 1], power: 0 };
        assert_eq!(SettingsStore::open(small).map(|_| ()), Err(SettingsError::Geometry));
    }
}
