//! First contact between people: a PIN that one of them reads out and the other types (SPEC §8.5–§8.8).
//!
//! A [`PairingWindow`] belongs to a whole program, not to a session: it counts guesses over all sessions. Each
//! session that pairs takes a [`Guess`] from it, and a guess is spent when it is taken, whatever becomes of it. Who
//! shows the PIN and who types it makes no difference: both sides have a window.
//!
//! It reads no clock and draws no entropy. Invariant: one PIN gives at most [`PAIRING_GUESSES`] guesses, within
//! [`PAIRING_WINDOW_US`], and is zeroized when its window closes.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::cpace::{CONFIRMATION_LEN, Cpace, Inputs, Message, SHARE_LEN};
use crate::crypto::{PublicKey, Side};
use crate::limits::{
    PAIRING_BACKOFF_US, PAIRING_BACKOFF_US_MAX, PAIRING_GUESSES, PAIRING_WINDOW_US, PIN_LEN_MAX, PIN_LEN_MIN,
};
use crate::time::Instant;

/// What begins `CI`: this use of CPace and no other.
const LABEL: &[u8; 14] = b"RIFT 1 pairing";
/// `CI`: the label, the client's key, the host's key.
const CHANNEL_LEN: usize = LABEL.len() + 64;

/// A one-time PIN: [`PIN_LEN_MIN`] to [`PIN_LEN_MAX`] decimal digits. Zeroized when dropped, never printed by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pin {
    digits: [u8; PIN_LEN_MAX],
    len: u8,
}

/// Why a text is not a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinError {
    /// It has too few or too many digits.
    Length,
    /// It has something else than digits, blanks and `-`.
    Character,
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a PIN has {PIN_LEN_MIN} to {PIN_LEN_MAX} digits"),
            Self::Character => f.write_str("a PIN consists of digits"),
        }
    }
}

impl core::error::Error for PinError {}

impl Pin {
    /// Six digits, all PINs equally likely. `entropy` was never used before.
    #[must_use]
    pub fn draw(entropy: [u8; 16]) -> Self {
        // 2^128 is no multiple of a million; what that prefers, it prefers by less than 2^-108.
        let mut rest = u128::from_le_bytes(entropy) % 1_000_000;
        let mut digits = [0; PIN_LEN_MAX];
        for digit in digits[..PIN_LEN_MIN].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self { digits, len: PIN_LEN_MIN as u8 }
    }

    /// Reads what somebody typed; blanks and `-` between digits do not count.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn parse(text: &str) -> Result<Self, PinError> {
        let mut pin = Self { digits: [0; PIN_LEN_MAX], len: 0 };
        for letter in text.trim().bytes().filter(|letter| !matches!(letter, b' ' | b'-')) {
            if !letter.is_ascii_digit() {
                return Err(PinError::Character);
            }
            *pin.digits.get_mut(usize::from(pin.len)).ok_or(PinError::Length)? = letter;
            pin.len += 1;
        }
        if usize::from(pin.len) < PIN_LEN_MIN { Err(PinError::Length) } else { Ok(pin) }
    }

    /// Its digits, to be shown to people on a surface that is not shared (SPEC §8.8). Handle with care.
    #[must_use]
    pub fn digits(&self) -> &str {
        let digits = &self.digits[..usize::from(self.len)];
        core::str::from_utf8(digits).expect("digits are ASCII")
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// The right to try a PIN once; given out by [`PairingWindow::guess`], spent by [`crate::Session::pair`].
#[derive(Debug)]
pub struct Guess(Pin);

/// Why a window was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackingOff {
    /// From this time on it may be opened again.
    pub until: Instant,
}

impl fmt::Display for BackingOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many wrong PINs: pairing waits before it may begin again")
    }
}

impl core::error::Error for BackingOff {}

/// When and how often a PIN may be tried; see the module.
#[derive(Debug, Default)]
pub struct PairingWindow {
    open: Option<Open>,
    /// Windows in a row that ended because all guesses were spent.
    exhausted: u32,
    opens_again: Instant,
}

#[derive(Debug)]
struct Open {
    pin: Pin,
    closes_at: Instant,
    guesses: u8,
}

impl PairingWindow {
    /// Closed.
    #[must_use]
    pub const fn new() -> Self {
        Self { open: None, exhausted: 0, opens_again: Instant::ZERO }
    }

    /// Opens it with this PIN, in place of any that was open. Only a local act may lead here, never anything that was
    /// received.
    ///
    /// # Errors
    /// [`BackingOff`] for a while after all guesses of a window were spent in vain.
    pub fn open(&mut self, now: Instant, pin: Pin) -> Result<(), BackingOff> {
        if now < self.opens_again {
            return Err(BackingOff { until: self.opens_again });
        }
        let closes_at = now.plus_micros(PAIRING_WINDOW_US);
        self.open = Some(Open { pin, closes_at, guesses: PAIRING_GUESSES });
        Ok(())
    }

    /// Whether a guess is to be had: an endpoint hears strangers just as long
    /// ([`crate::Endpoint::set_pairing_window`]).
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.closes_at().is_some_and(|at| now < at)
    }

    /// When it closes by itself; `None` when it is closed.
    #[must_use]
    pub fn closes_at(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.closes_at)
    }

    /// Guesses that are left.
    #[must_use]
    pub fn guesses(&self) -> u8 {
        self.open.as_ref().map_or(0, |open| open.guesses)
    }

    /// Spends a guess. `None` when the window is closed. The last one closes it, and unless [`Self::paired`] follows, it
    /// stays closed for a while: 30 s the first time, then twice as long each time, at most an hour.
    pub fn guess(&mut self, now: Instant) -> Option<Guess> {
        if !self.is_open(now) {
            self.open = None;
            return None;
        }
        let open = self.open.as_mut()?;
        open.guesses -= 1;
        let guess = Guess(open.pin.clone());
        if open.guesses == 0 {
            self.open = None;
            let pause = PAIRING_BACKOFF_US.saturating_mul(1 << self.exhausted.min(16));
            self.opens_again = now.plus_micros(pause.min(PAIRING_BACKOFF_US_MAX));
            self.exhausted = self.exhausted.saturating_add(1);
        }
        Some(guess)
    }

    /// Somebody knew the PIN: it is used up, and what was wrong before is forgotten.
    pub fn paired(&mut self) {
        *self = Self::new();
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.open = None;
    }
}

/// One run of CPace with what both sides know of each other (SPEC §8.6).
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    cpace: Cpace,
    side: Side,
}

/// What both sides have to say once both shares are known. Zeroized when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Confirmations {
    pub(crate) own: [u8; CONFIRMATION_LEN],
    pub(crate) theirs: [u8; CONFIRMATION_LEN],
}

impl fmt::Debug for Confirmations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confirmations(..)")
    }
}

impl Exchange {
    /// The client's or the host's side. `transcript` is the handshake's hash.
    pub(crate) fn new(
        side: Side,
        guess: &Guess,
        own: &PublicKey,
        peer: &PublicKey,
        transcript: &[u8; 32],
        entropy: [u8; 32],
    ) -> Self {
        let (client, host) = match side {
            Side::Initiator => (own, peer),
            Side::Responder => (peer, own),
        };
        let mut channel = [0; CHANNEL_LEN];
        channel[..LABEL.len()].copy_from_slice(LABEL);
        channel[LABEL.len()..LABEL.len() + 32].copy_from_slice(client.as_bytes());
        channel[LABEL.len() + 32..].copy_from_slice(host.as_bytes());
        let Guess(pin) = guess;
        let inputs = Inputs { password: pin.digits().as_bytes(), channel: &channel, session: transcript };
        Self { cpace: Cpace::new(inputs, entropy), side }
    }

    pub(crate) const fn share(&self) -> [u8; SHARE_LEN] {
        *self.cpace.share()
    }

    /// `None`: the peer's share is none.
    pub(crate) fn confirmations(&self, transcript: &[u8; 32], share: &[u8; 32]) -> Option<Confirmations> {
        let (own, theirs) = match self.side {
            Side::Initiator => (role(Side::Initiator), role(Side::Responder)),
            Side::Responder => (role(Side::Responder), role(Side::Initiator)),
        };
        let peer = Message { share, associated: theirs };
        let key = self.cpace.key(self.side, transcript, own, peer)?.confirmation_key(transcript);
        let own = Message { share: self.cpace.share(), associated: own };
        Some(Confirmations { own: key.confirm(own), theirs: key.confirm(peer) })
    }
}

/// `AD`: who speaks.
const fn role(side: Side) -> &'static [u8] {
    match side {
        Side::Initiator => b"client",
        Side::Responder => b"host",
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use super::*;
    use crate::crypto::Identity;

    const NOW: Instant = Instant::from_millis(1_000_000);

    fn pin() -> Pin {
        Pin::parse("123 456").unwrap()
    }

    fn exchange(side: Side, digits: &str, transcript: u8, own: u8, peer: u8) -> Exchange {
        let key = |seed| Identity::from_secret([seed; 32]).public();
        let guess = Guess(Pin::parse(digits).unwrap());
        Exchange::new(side, &guess, &key(own), &key(peer), &[transcript; 32], [own + 40; 32])
    }

    /// Whether each side would believe the other.
    fn believe(client: &Exchange, client_sees: u8, host: &Exchange, host_sees: u8) -> (bool, bool) {
        let client_says = client.confirmations(&[client_sees; 32], &host.share()).unwrap();
        let host_says = host.confirmations(&[host_sees; 32], &client.share()).unwrap();
        (client_says.theirs == host_says.own, host_says.theirs == client_says.own)
    }

    #[test]
    fn only_the_same_digits_session_identities_and_roles_convince() {
        let client = exchange(Side::Initiator, "123456", 7, 1, 2);
        for (what, host, transcript) in [
            ("the same", exchange(Side::Responder, "123456", 7, 2, 1), 7),
            ("another PIN", exchange(Side::Responder, "123457", 7, 2, 1), 7),
            ("a longer PIN", exchange(Side::Responder, "1234560", 7, 2, 1), 7),
            ("another transcript", exchange(Side::Responder, "123456", 8, 2, 1), 8),
            ("another host", exchange(Side::Responder, "123456", 7, 3, 1), 7),
            ("another client", exchange(Side::Responder, "123456", 7, 2, 3), 7),
            ("a client where a host should be", exchange(Side::Initiator, "123456", 7, 2, 1), 7),
        ] {
            let expected = what == "the same";
            assert_eq!(believe(&client, 7, &host, transcript), (expected, expected), "{what}");
        }
    }

    #[test]
    fn own_messages_sent_back_convince_nobody() {
        for side in [Side::Initiator, Side::Responder] {
            let own = exchange(side, "123456", 7, 1, 2);
            let said = own.confirmations(&[7; 32], &own.share()).unwrap();
            assert_ne!(said.own, said.theirs);
        }
    }

    #[test]
    fn pins_are_read_as_people_type_them_and_never_printed() {
        for text in ["123456", " 123 456\n", "12-34-56"] {
            assert_eq!(Pin::parse(text).unwrap().digits(), "123456");
        }
        assert_eq!(Pin::parse("12345").unwrap_err(), PinError::Length);
        assert_eq!(Pin::parse("1234567890123").unwrap_err(), PinError::Length);
        assert_eq!(Pin::parse("12345x").unwrap_err(), PinError::Character);
        let mut window = PairingWindow::new();
        window.open(NOW, pin()).unwrap();
        let guess = window.guess(NOW);
        assert!(!format!("{window:?} {guess:?} {:?}", pin()).contains("123456"));
    }

    #[test]
    fn drawn_pins_have_six_digits_and_every_digit_occurs() {
        let mut counts = [[0u32; 10]; PIN_LEN_MIN];
        for seed in 0..1000u32 {
            // Only the spread is looked at, so a counter times an odd constant is entropy enough.
            let entropy = u128::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let pin = Pin::draw(entropy.to_le_bytes());
            assert_eq!(pin.digits().len(), PIN_LEN_MIN);
            for (count, digit) in counts.iter_mut().zip(pin.digits().bytes()) {
                count[usize::from(digit - b'0')] += 1;
            }
        }
        assert!(counts.iter().flatten().all(|&count| count > 50), "{counts:?}");
    }

    #[test]
    fn window_gives_three_guesses_and_then_backs_off_ever_longer() {
        let mut window = PairingWindow::new();
        let mut now = NOW;
        for pause_s in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            window.open(now, pin()).unwrap();
            for left in [2, 1, 0] {
                assert!(window.guess(now).is_some());
                assert_eq!(window.guesses(), left);
            }
            assert!(window.guess(now).is_none() && !window.is_open(now));
            let until = now.plus_micros(pause_s * 1_000_000);
            assert_eq!(window.open(until.minus_micros(1), pin()), Err(BackingOff { until }));
            now = until;
        }
        window.open(now, pin()).unwrap();
        window.paired();
        assert!(!window.is_open(now));
        window.open(now, pin()).expect("what was wrong is forgotten");
    }

    #[test]
    fn window_closes_after_two_minutes() {
        let mut window = PairingWindow::new();
        assert!(window.guess(NOW).is_none(), "closed at first");
        window.open(NOW, pin()).unwrap();
        let last = NOW.plus_micros(PAIRING_WINDOW_US - 1);
        assert!(window.is_open(last) && window.guess(last).is_some());
        let after = NOW.plus_micros(PAIRING_WINDOW_US);
        assert!(!window.is_open(after) && window.guess(after).is_none());
        window.open(after, pin()).expect("nothing was exhausted");
    }
}
