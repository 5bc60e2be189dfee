//! What the client tells of itself: to its board, which logs it, and to people, on the screen.

use core::net::IpAddr;

use embedded_graphics::pixelcolor::Rgb565;
use rift::{CloseReason, PublicKey, Stats};

#[cfg(feature = "gateway")]
use crate::gateway::NoIntroduction;
use crate::screen::{Screen, Surface};
use crate::settings::SettingsError;
use crate::words::{line, say};

/// Why a client cannot go on. Only its owner can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The generator of random bytes has nothing: without it there is no key that is not guessed.
    NoEntropy,
    /// The settings cannot be kept.
    Settings(SettingsError),
    /// The screen is larger than any picture, or has no pixels.
    Screen,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoEntropy => "no random bytes: no key is made",
            Self::Settings(SettingsError::Geometry) => "the settings memory does not fit",
            Self::Screen => "the screen has no size that a picture can have",
            Self::Settings(SettingsError::Flash) => "the settings memory fails",
        })
    }
}

/// Where a client is on its way to a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The network cable carries nothing.
    NoLink,
    /// No address yet.
    NoAddress,
    /// No host is known, and none was found.
    NoHost,
    /// It looks for a host on the local network.
    Searching,
    /// It asks its gateway to be introduced to its host.
    #[cfg(feature = "gateway")]
    Asking,
    /// It was not introduced; it waits a moment.
    #[cfg(feature = "gateway")]
    NotIntroduced(NoIntroduction),
    /// It asks its host for a session.
    Connecting,
    /// It shows its own PIN and waits for its host to know it.
    Pairing,
    /// Nobody typed the PIN in time: a key pressed at the board shows another.
    PairingClosed,
    /// It is let in and waits for the first picture.
    Admitted,
    /// Pictures show.
    Watching,
    /// A session is over; it waits a moment.
    Pausing(CloseReason),
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// Who this board is, once after each start, and how often it has started.
    Identity(PublicKey, u32),
    /// It has this address.
    Address(IpAddr),
    /// It has got so far.
    Stage(Stage),
    /// The PIN that is shown for pairing. Only a board under test tells it to anybody.
    Pin(&'a str),
    /// It belongs to this host from now on.
    Paired(PublicKey),
    /// Its host vouches for this key, which it will have next.
    Successor(PublicKey),
    /// A picture was drawn: its number, bytes, and tiles found wrong.
    Picture {
        /// Its number.
        id: u32,
        /// Its bytes.
        len: usize,
        /// Tiles whose hash the host told.
        checked: u32,
        /// Those of them that show something else here.
        wrong: u32,
        /// From the first of it arriving to drawn, in microseconds.
        took_us: u64,
    },
    /// A picture could not be drawn; the host is asked for another.
    Refused(crate::screen::ShowError),
    /// How the session goes, about once a second.
    Stats(&'a Stats),
    /// Somebody holds this many keys and buttons.
    Input(&'a rift::InputEvent),
}

/// Who watches over the client: the board's log and its watchdog.
pub trait Observer {
    /// Something happened.
    fn report(&mut self, report: Report<'_>);
    /// The client lives: called at least once a second. A watchdog that hears nothing for several seconds restarts the
    /// board.
    fn alive(&mut self);
    /// Runs `work`, once, before it returns: the making of a session and its end, which pass it by value and so need up to 56
    /// KiB of stack for a moment. A board whose stack is smaller runs it on other memory.
    fn with_deep_stack(&mut self, work: &mut dyn FnMut()) {
        work();
    }
}

/// Ground of words while all is well, while something is amiss, and when nothing goes any more.
const CALM: Rgb565 = Rgb565::new(2, 10, 10);
const AMISS: Rgb565 = Rgb565::new(16, 20, 0);
const FAULT: Rgb565 = Rgb565::new(18, 0, 2);

/// Fills the screen's middle with why nothing goes any more: a [`Fault`], a panic.
pub fn show_fault<S: Surface>(surface: &mut S, why: core::fmt::Arguments<'_>) {
    say(surface, FAULT, "Wavry: fault", &[line(why), line(format_args!("Switch the board off and on."))]);
}

/// What a person reads beside where the client is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sign<'a> {
    /// Who the board is.
    pub(crate) own: PublicKey,
    /// Whom it speaks with.
    pub(crate) host: Option<core::net::SocketAddr>,
    /// The PIN that is to be typed at the host.
    pub(crate) pin: Option<&'a str>,
    /// How the session goes, or went to the end.
    pub(crate) pace: Option<Pace>,
}

/// How fast a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Microseconds; 0 = not measured.
    pub(crate) round_trip_us: u32,
    /// What came lately, in bits per second of UDP payload.
    pub(crate) received_bps: u64,
}

impl Pace {
    /// That of `bytes` within `us` microseconds, at least 1.
    pub(crate) fn of(round_trip_us: u32, bytes: u64, us: u64) -> Self {
        Self { round_trip_us, received_bps: bytes.saturating_mul(8_000_000) / us.max(1) }
    }
}

impl core::fmt::Display for Pace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.round_trip_us > 0 {
            // Tenths of a millisecond.
            let tenths = self.round_trip_us / 100;
            write!(f, "round trip {}.{} ms, ", tenths / 10, tenths % 10)?;
        }
        write!(f, "{} kbit/s", self.received_bps / 1000)
    }
}

/// Shows where the client is.
pub(crate) fn show_stage<S: Surface>(screen: &mut Screen<'_, S>, stage: Stage, sign: &Sign<'_>) {
    let (colour, what) = match stage {
        Stage::NoLink => (AMISS, "no network cable"),
        Stage::NoAddress => (CALM, "waiting for an address"),
        Stage::NoHost => (AMISS, "no host is found on this network"),
        Stage::Searching => (CALM, "looking for a host"),
        #[cfg(feature = "gateway")]
        Stage::Asking => (CALM, "asking the gateway"),
        #[cfg(feature = "gateway")]
        Stage::NotIntroduced(why) => (AMISS, why.words()),
        Stage::Connecting => (CALM, "connecting"),
        Stage::Pairing => (CALM, "type this PIN at the host"),
        Stage::PairingClosed => (CALM, "press a key to pair"),
        Stage::Admitted => (CALM, "waiting for a picture"),
        Stage::Watching => return,
        Stage::Pausing(reason) => (AMISS, reason_words(reason)),
    };
    let mut lines: heapless::Vec<_, 5> = heapless::Vec::new();
    if let Some(pin) = sign.pin {
        let _ = lines.push(line(format_args!("PIN {pin}")));
    }
    let _ = lines.push(line(format_args!("{what}")));
    // Empty lines keep the box as large as the last one, which it covers.
    let host = sign.host.map_or_else(Default::default, |host| line(format_args!("host {host}")));
    let pace = sign.pace.map_or_else(Default::default, |pace| line(format_args!("{pace}")));
    let _ = lines.push(host);
    let _ = lines.push(pace);
    let _ = lines.push(line(format_args!("{}", sign.own)));
    say(screen.bare(), colour, "Wavry", &lines);
}

/// What a person can do about the end of a session.
fn reason_words(reason: CloseReason) -> &'static str {
    const WORDS: [(CloseReason, &str); 9] = [
        (CloseReason::Refused, "the host does not let this board in: allow its ID there"),
        (CloseReason::Revoked, "the host withdrew its permission"),
        (CloseReason::Busy, "the host has no room"),
        (CloseReason::SourceGone, "what was shared is gone"),
        (CloseReason::Unanswered, "the host does not answer"),
        (CloseReason::WrongPeer, "another machine answers at the host's address"),
        (CloseReason::WrongPin, "the PIN was wrong"),
        (CloseReason::PairingOver, "pairing took too long"),
        (CloseReason::Idle, "the host fell silent"),
    ];
    WORDS.iter().find(|(known, _)| *known == reason).map_or("the session is over", |&(_, words)| words)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn pace_is_said_in_milliseconds_and_kilobits() {
        assert_eq!(Pace::of(12_345, 250_000, 500_000).to_string(), "round trip 12.3 ms, 4000 kbit/s");
        assert_eq!(Pace::of(0, 1_000, 0).to_string(), "8000000 kbit/s");
        assert!(line(format_args!("{}", Pace::of(u32::MAX, u64::MAX, 0))).ends_with("kbit/s"));
    }
}
