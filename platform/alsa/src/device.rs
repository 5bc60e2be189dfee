//! A device as it is opened, and what devices there are.

#![expect(unsafe_code, reason = "samples are read and written without asking for their format each time")]

use std::ffi::CString;

use alsa::pcm::{Access, Format, HwParams, IO, PCM};
use alsa::{Card, Ctl, ValueOr};
use libc::{EACCES, EBADFD, EBUSY, EINVAL, EIO, ENODEV, ENOENT, ENOTTY, ENXIO, EPERM};
use rift_hal::{AUDIO_CHANNELS, AUDIO_RATE};

use crate::AlsaError;

/// From one interrupt of the device to the next, in microseconds: less costs more wake-ups and gains little beside a packet.
pub(crate) const PERIOD_US: u32 = 5_000;
/// What the device's buffer holds, in microseconds: a thread that is kept waiting for so long loses nothing yet.
const BUFFER_US: u32 = 120_000;

/// Which way sound goes through a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the machine.
    Capture,
    /// Out of it.
    Playback,
}

impl Direction {
    const fn alsa(self) -> alsa::Direction {
        match self {
            Self::Capture => alsa::Direction::Capture,
            Self::Playback => alsa::Direction::Playback,
        }
    }
}

/// A device that could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What to call it by.
    pub name: String,
    /// What it says of itself, in one line.
    pub description: String,
}

/// A device that is open.
pub(crate) struct Open {
    pub(crate) pcm: PCM,
    /// Frames of its buffer.
    pub(crate) buffer: usize,
    /// Frames from one interrupt to the next.
    pub(crate) period: usize,
}

impl Open {
    /// Opens a device and sets it up; it does not run yet.
    pub(crate) fn new(name: &str, direction: Direction) -> Result<Self, AlsaError> {
        keep_words();
        let device = resolve(name);
        let failed = |error| classify(name, error);
        let path = CString::new(device).map_err(|_| AlsaError::Missing(name.to_owned()))?;
        let pcm = PCM::open(&path, direction.alsa(), true).map_err(|error| match error.errno() {
            // What was never there is not gone.
            ENODEV => AlsaError::Missing(name.to_owned()),
            _ => failed(error),
        })?;
        let unsupported = |what| move |_| AlsaError::Unsupported { device: name.to_owned(), what };
        let (buffer, period) = {
            let parameters = HwParams::any(&pcm).map_err(failed)?;
            parameters.set_access(Access::RWInterleaved).map_err(unsupported("interleaved samples"))?;
            parameters.set_format(Format::s16()).map_err(unsupported("samples of 16 bits"))?;
            parameters.set_channels(AUDIO_CHANNELS as u32).map_err(unsupported("two channels"))?;
            parameters.set_rate(AUDIO_RATE, ValueOr::Nearest).map_err(unsupported("48 kHz"))?;
            // Devices have their own ideas of these; what comes of them is asked for.
            let _ = parameters.set_period_time_near(PERIOD_US, ValueOr::Nearest);
            let _ = parameters.set_buffer_time_near(BUFFER_US, ValueOr::Nearest);
            pcm.hw_params(&parameters).map_err(failed)?;
            let buffer = parameters.get_buffer_size().map_err(failed)?;
            (buffer, parameters.get_period_size().map_err(failed)?)
        };
        let frames = |count: i64| usize::try_from(count).unwrap_or(0).max(1);
        Ok(Self { pcm, buffer: frames(buffer), period: frames(period) })
    }

    /// When the device begins by itself, and how many frames must be there or free before anybody is woken.
    pub(crate) fn set_thresholds(&self, start: usize, wake: usize) -> alsa::Result<()> {
        let frames = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let parameters = self.pcm.sw_params_current()?;
        parameters.set_start_threshold(frames(start))?;
        parameters.set_avail_min(frames(wake))?;
        self.pcm.sw_params(&parameters)
    }

    /// Its samples.
    pub(crate) fn io(&self) -> IO<'_, i16> {
        // SAFETY: the format was set to 16 bits when it was opened and never changes; `Self` lends no two at once, because
        // both users let go of it within one call.
        unsafe { self.pcm.io_unchecked() }
    }
}

impl core::fmt::Debug for Open {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Open").field("buffer", &self.buffer).field("period", &self.period).finish()
    }
}

/// What an answer of ALSA means.
pub(crate) fn classify(device: &str, error: alsa::Error) -> AlsaError {
    let device = device.to_owned();
    match error.errno() {
        ENOENT | ENXIO => AlsaError::Missing(device),
        EACCES | EPERM => AlsaError::NotPermitted(device),
        EBUSY => AlsaError::Busy(device),
        ENODEV | EBADFD | ENOTTY | EIO => AlsaError::Gone(device),
        EINVAL => AlsaError::Unsupported { device, what: "what was asked of it" },
        _ => AlsaError::Library { device, call: error.func(), error: error.to_string() },
    }
}

/// What ALSA would print to standard error of this thread goes nowhere: what it answers is told in this crate's words, and
/// once.
fn keep_words() {
    // Without memory for it the words are printed, and that is all.
    drop(alsa::Output::local_error_handler());
}

/// The short name of a card stands for the card's first device, with conversion.
fn resolve(name: &str) -> String {
    let is_card = !name.contains(':') && cards().iter().any(|card| card.name == name);
    if is_card { format!("plughw:CARD={name}") } else { name.to_owned() }
}

/// The sound cards of this machine, by their short names.
#[must_use]
pub fn cards() -> Vec<Device> {
    let cards = alsa::card::Iter::new().filter_map(Result::ok);
    cards.filter_map(|card| describe(&card)).collect()
}

fn describe(card: &Card) -> Option<Device> {
    let info = Ctl::from_card(card, true).and_then(|control| control.card_info()).ok()?;
    let name = info.get_id().ok()?.to_owned();
    Some(Device { name, description: card.get_name().unwrap_or_default() })
}

/// The devices that ALSA's configuration offers for this direction; more may be named.
#[must_use]
pub fn devices(direction: Direction) -> Vec<Device> {
    keep_words();
    let Ok(hints) = alsa::device_name::HintIter::new(None, c"pcm") else { return Vec::new() };
    hints
        .filter(|hint| hint.direction.is_none_or(|of| of == direction.alsa()))
        .filter_map(|hint| {
            let description = hint.desc.unwrap_or_default().replace('\n', ", ");
            Some(Device { name: hint.name?, description })
        })
        .filter(|device| device.name != "null")
        .collect()
}

/// Whether a device can be used this way now: it is opened, set up and closed again.
///
/// # Errors
/// Why not.
pub fn check(name: &str, direction: Direction) -> Result<(), AlsaError> {
    Open::new(name, direction).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_alsa_says_is_told_with_what_to_do() {
        let told = |errno| classify("hw:9", alsa::Error::new("snd_pcm_open", errno));
        assert_eq!(told(ENOENT), AlsaError::Missing("hw:9".into()));
        assert_eq!(told(EBUSY), AlsaError::Busy("hw:9".into()));
        assert_eq!(told(ENODEV), AlsaError::Gone("hw:9".into()));
        assert!(told(EACCES).to_string().contains("group `audio`"));
        assert!(matches!(told(libc::ENOMEM), AlsaError::Library { call: "snd_pcm_open", .. }));
    }

    #[test]
    fn name_that_alsa_knows_is_left_as_it_is() {
        for name in ["default", "hw:0,1", "plughw:CARD=No,DEV=1", "no such card"] {
            assert_eq!(resolve(name), name);
        }
    }
}
