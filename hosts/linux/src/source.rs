//! What can be shared, by name, and the one that is.

use core::fmt;
use core::str::FromStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rift::{CaptureState, Instant, Rectangle};
use rift_hal::{Cursor, Frame, Pollable, VideoSource};
use rift_v4l::{CodedFrame, Edid, FourCc, Moment, V4lError, V4lSource};
use rift_x11::X11Source;
use tracing::{info, warn};

use crate::coding_card::CodingCard;
use crate::signal;
use crate::test_source::TestSource;

/// A source by name, as `--source` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// `x11` or `x11:DISPLAY`: the screen of an X server.
    X11(Option<String>),
    /// `app:COMMAND`: one program on a screen of its own.
    App(String),
    /// `v4l:PATH`: a capture card or camera.
    V4l(PathBuf),
    /// `test`: a moving scene.
    Test,
    /// `test:h264`: the same, as a card that encodes would give it.
    TestCoded,
}

impl Spec {
    /// Its kind, without what a log should not tell.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::X11(_) => "x11",
            Self::App(_) => "app",
            Self::V4l(_) => "v4l",
            Self::Test | Self::TestCoded => "test",
        }
    }
}

impl Spec {
    /// What operators are told: [`Self::kind`], and which device.
    #[must_use]
    pub fn public_name(&self) -> String {
        match self {
            Self::V4l(_) => self.to_string(),
            Self::X11(_) | Self::App(_) | Self::Test | Self::TestCoded => self.kind().to_owned(),
        }
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("x11", None) => Ok(Self::X11(None)),
            ("x11", Some(display)) if !display.is_empty() => Ok(Self::X11(Some(display.to_owned()))),
            ("app", Some(command)) if !command.trim().is_empty() => Ok(Self::App(command.to_owned())),
            ("v4l", Some(path)) if !path.is_empty() => Ok(Self::V4l(path.into())),
            ("test", None) => Ok(Self::Test),
            ("test", Some("h264")) => Ok(Self::TestCoded),
            _ => Err("a source is x11, x11:DISPLAY, app:COMMAND, v4l:PATH, test or test:h264".to_owned()),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X11(None) => f.write_str("x11"),
            Self::X11(Some(display)) => write!(f, "x11:{display}"),
            Self::App(command) => write!(f, "app:{command}"),
            Self::V4l(path) => write!(f, "v4l:{}", path.display()),
            Self::Test => f.write_str("test"),
            Self::TestCoded => f.write_str("test:h264"),
        }
    }
}

/// Why a source gives no frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// An X screen.
    #[error(transparent)]
    X11(#[from] rift_x11::Error),
    /// A capture device.
    #[error(transparent)]
    V4l(#[from] V4lError),
    /// The test scene.
    #[error("the test scene has no timer: {0}")]
    Test(#[from] io::Error),
}

/// What was chosen of what a capture device offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Its input, by number; `None` = the one it is switched to.
    pub input: Option<u32>,
    /// Its pixel format; `None` = the best.
    pub format: Option<FourCc>,
    /// Pixels across and down; `None` = as it is set.
    pub size: Option<(u16, u16)>,
    /// What it tells sources that it is; `None` = as it is set.
    pub edid: Option<Edid>,
    /// Whether its damaged pictures are shown.
    pub shows_damaged: bool,
}

/// An open source.
pub enum Source {
    /// The screen of an X server.
    X11(Box<X11Source>),
    /// A capture device, there or not.
    V4l(Box<V4lSource>),
    /// The test scene.
    Test(Box<TestSource>),
    /// The test scene as a card that encodes would give it.
    TestCoded(Box<CodingCard>),
}

impl Source {
    /// The screen of `display` (`None` = the environment's).
    ///
    /// # Errors
    /// [`SourceError::X11`].
    pub fn screen(display: Option<&str>) -> Result<Self, SourceError> {
        let source = X11Source::open(display)?;
        if !source.is_shared() {
            warn!("the X server shares no memory with us: capturing is slow");
        }
        Ok(Self::X11(Box::new(source)))
    }

    /// The capture device at `path`, whether it is there yet or not.
    ///
    /// # Errors
    /// [`SourceError::V4l`]: the process has no descriptors left.
    pub fn device(path: &Path, fps: u32, choice: &Choice) -> Result<Self, SourceError> {
        let options = rift_v4l::Options {
            rate_millihertz: Some(fps * 1000),
            format: choice.format,
            size: choice.size.map(|(width, height)| (width.into(), height.into())),
            shows_damaged: choice.shows_damaged,
            ..rift_v4l::Options::default()
        };
        let mut source = V4lSource::wait_for(path, &options)?;
        if let Some(input) = choice.input {
            source.select_input(input, Instant::ZERO);
        }
        if let Some(edid) = &choice.edid {
            source.tell_edid(edid.clone(), Instant::ZERO);
        }
        Ok(Self::V4l(Box::new(source)))
    }

    /// The test scene.
    ///
    /// # Errors
    /// [`SourceError::Test`].
    pub fn test(fps: u32) -> Result<Self, SourceError> {
        Ok(Self::Test(Box::new(TestSource::start(fps)?)))
    }

    /// The test scene, encoded.
    ///
    /// # Errors
    /// [`SourceError::Test`].
    pub fn test_coded(fps: u32) -> Result<Self, SourceError> {
        Ok(Self::TestCoded(Box::new(CodingCard::start(fps)?)))
    }

    /// Whether its first frame of a new size is awaited: that size is known.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        match self {
            Self::X11(_) | Self::Test(_) | Self::TestCoded(_) => false,
            Self::V4l(source) => source.is_starting(),
        }
    }

    /// Whether it encodes, and gives pictures by [`Self::poll_coded`] and no frames.
    #[must_use]
    pub fn is_coded(&self) -> bool {
        match self {
            Self::X11(_) | Self::Test(_) => false,
            Self::V4l(source) => source.is_coded(),
            Self::TestCoded(_) => true,
        }
    }

    /// The next picture that it has encoded.
    pub fn poll_coded(&mut self, now: Instant) -> Option<CodedFrame<'_>> {
        match self {
            Self::X11(_) | Self::Test(_) => None,
            Self::V4l(source) => source.poll_coded(now),
            Self::TestCoded(card) => card.poll_coded(now),
        }
    }

    /// Asks its encoder for a picture that needs no other. `false`: it cannot be asked.
    pub fn ask_key(&mut self) -> bool {
        match self {
            Self::X11(_) | Self::Test(_) => false,
            Self::V4l(source) => source.ask_key(),
            Self::TestCoded(card) => card.ask_key(),
        }
    }

    /// Sets its encoder's bit rate. `false`: it has its own.
    pub fn set_coded_bitrate(&mut self, bitrate_bps: u32) -> bool {
        match self {
            Self::X11(_) | Self::Test(_) => false,
            Self::V4l(source) => source.set_coded_bitrate(bitrate_bps),
            Self::TestCoded(card) => card.set_bitrate(bitrate_bps),
        }
    }

    /// Whether it says which part of a frame changed, and gives none while nothing changes.
    #[must_use]
    pub const fn tells_damage(&self) -> bool {
        matches!(self, Self::X11(_))
    }

    /// What is known of the signal and the device, where pictures come from one; as of the last poll.
    #[must_use]
    pub fn capture_state(&self) -> Option<CaptureState> {
        match self {
            Self::X11(_) | Self::Test(_) | Self::TestCoded(_) => None,
            Self::V4l(source) => Some(signal::state_of(source)),
        }
    }

    /// What the device said last that was wrong.
    #[must_use]
    pub const fn capture_error(&self) -> Option<&V4lError> {
        match self {
            Self::X11(_) | Self::Test(_) | Self::TestCoded(_) => None,
            Self::V4l(source) => source.error(),
        }
    }

    /// Which moment of a frame the device's times tell.
    #[must_use]
    pub const fn moment(&self) -> Option<Moment> {
        match self {
            Self::X11(_) | Self::Test(_) | Self::TestCoded(_) => None,
            Self::V4l(source) => source.moment(),
        }
    }

    /// Frames that the device has lost, and frames that it gave and that could not be shown.
    #[must_use]
    pub fn losses(&self) -> (u64, u64) {
        match self {
            Self::X11(_) | Self::Test(_) | Self::TestCoded(_) => (0, 0),
            Self::V4l(source) => (source.lost(), source.discarded()),
        }
    }
}

impl VideoSource for Source {
    type Error = SourceError;

    fn size(&self) -> (u32, u32) {
        match self {
            Self::X11(source) => source.size(),
            Self::V4l(source) => source.size(),
            Self::Test(source) => source.size(),
            Self::TestCoded(card) => card.size(),
        }
    }

    fn poll_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, SourceError> {
        Ok(match self {
            Self::X11(source) => source.poll_frame(now)?,
            Self::V4l(source) => source.poll_frame(now)?,
            Self::Test(source) => source.poll_frame(now)?,
            Self::TestCoded(_) => None,
        })
    }

    fn damage(&self) -> Rectangle {
        match self {
            Self::X11(source) => source.damage(),
            Self::V4l(source) => source.damage(),
            Self::Test(source) => source.damage(),
            Self::TestCoded(_) => Rectangle::default(),
        }
    }

    fn current_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, SourceError> {
        Ok(match self {
            Self::X11(source) => source.current_frame(now)?,
            Self::V4l(source) => source.current_frame(now)?,
            Self::Test(source) => source.current_frame(now)?,
            Self::TestCoded(_) => None,
        })
    }

    fn poll_cursor(&mut self) -> Option<Cursor<'_>> {
        match self {
            Self::X11(source) => source.poll_cursor(),
            Self::V4l(_) | Self::Test(_) | Self::TestCoded(_) => None,
        }
    }
}

impl Pollable for Source {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::X11(source) => source.poll_fd(),
            Self::V4l(source) => source.poll_fd(),
            Self::Test(source) => source.poll_fd(),
            Self::TestCoded(card) => card.poll_fd(),
        }
    }
}

/// What is shared when nobody says: the screen if there is one, else the first capture device that can be used,
/// else the test scene.
#[must_use]
pub fn default_spec() -> Spec {
    if std::env::var_os("DISPLAY").is_some_and(|display| !display.is_empty()) {
        match X11Source::open(None) {
            Ok(_) => return Spec::X11(None),
            Err(error) => info!(%error, "there is a DISPLAY, but it cannot be shared"),
        }
    }
    for device in rift_v4l::devices() {
        match device {
            // The device of this number may be another one tomorrow.
            Ok(device) => return Spec::V4l(rift_v4l::lasting_path(&device.path).unwrap_or(device.path)),
            Err(error) => info!(%error, "a capture device cannot be used"),
        }
    }
    info!("no screen and no capture device: the test scene is shared");
    Spec::Test
}

/// Writes all capture devices, with the paths and inputs by which to name them.
///
/// # Errors
/// Those of `out`.
pub fn list_devices(out: &mut impl io::Write) -> io::Result<()> {
    for device in rift_v4l::devices() {
        let device = match device {
            Ok(device) => device,
            Err(error) => {
                writeln!(out, "{error}")?;
                continue;
            }
        };
        let path = rift_v4l::lasting_path(&device.path).unwrap_or_else(|| device.path.clone());
        let formats: Vec<String> = device.formats.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "v4l:{}  {} ({}), {}",
            path.display(),
            device.card,
            device.driver,
            device.path.display()
        )?;
        writeln!(out, "    formats: {}", formats.join(" "))?;
        let sizes: Vec<String> = device.sizes().into_iter().map(size_words).collect();
        writeln!(out, "    --capture-size of its present input: {}", sizes.join(", "))?;
        for input in &device.inputs {
            writeln!(out, "    --capture-input {}: {}", input.index, input.name)?;
        }
    }
    Ok(())
}

/// A size of a device as `--capture-size` takes it, with its rate.
fn size_words(((width, height), rate_millihertz): ((u32, u32), Option<u32>)) -> String {
    let rate = rate_millihertz.map(|rate| format!(" at {} Hz", f64::from(rate / 10) / 100.0));
    format!("{width}x{height}{}", rate.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_as_they_are_chosen() {
        assert_eq!(size_words(((1920, 1080), Some(59_940))), "1920x1080 at 59.94 Hz");
        assert_eq!(size_words(((640, 480), Some(30_000))), "640x480 at 30 Hz");
        assert_eq!(size_words(((640, 480), None)), "640x480");
    }

    #[test]
    fn names_of_sources_are_read_and_written_alike() {
        for text in
            ["x11", "x11::1", "x11:host:0.1", "app:xterm -e 'a:b'", "v4l:/dev/video0", "test", "test:h264"]
        {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
        assert_eq!("x11::7".parse(), Ok(Spec::X11(Some(":7".into()))));
        for text in ["", "x11:", "app", "app: ", "v4l:", "tests", "test:1", "screen"] {
            assert!(text.parse::<Spec>().unwrap_err().contains("x11:DISPLAY"), "{text:?}");
        }
    }
}
