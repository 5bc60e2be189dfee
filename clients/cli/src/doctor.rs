//! What a machine can do for Wavry, found by trying it, and what to do about the rest.
//!
//! Each check opens what a server or client would open and closes it again; none changes anything.

use core::net::Ipv4Addr;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::UdpSocket;
use std::path::Path;

use rift::{Instant, PictureId};
use rift_alsa::Direction;
use rift_hal::{
    AudioDecoder, AudioEncoder, Decoder, EncodeRequest, Encoder, EncoderSettings, Frame, PixelFormat, Plane,
    VideoSource,
};
use rift_keystore::KeystoreError;
use rift_v4l::{Encoding, V4lError};

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Wavry works without it, with a loss that is named.
    Limited,
    /// Wavry does not work until it is mended.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word.
    pub topic: &'static str,
    /// How well it works.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

impl Finding {
    pub(crate) fn good(topic: &'static str, found: impl Into<String>) -> Self {
        Self { topic, grade: Grade::Good, found: found.into(), remedy: String::new() }
    }

    pub(crate) fn limited(topic: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { topic, grade: Grade::Limited, found: found.into(), remedy: remedy.into() }
    }

    pub(crate) fn bad(topic: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { topic, grade: Grade::Bad, found: found.into(), remedy: remedy.into() }
    }
}

/// Looks at everything; `port` is the UDP port a server would listen on.
#[must_use]
pub fn examine(port: u16) -> Vec<Finding> {
    let mut findings = vec![identity(), screen(), injection()];
    findings.extend(capture_devices());
    findings.extend([kernel_input(), usb_gadget(), loudspeaker(), microphones()]);
    findings.extend([codecs(), sound_codec(), udp_port(port)]);
    let limit =
        |name: &str| fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?.trim().parse().ok();
    findings.push(socket_buffers(limit("rmem_max"), limit("wmem_max")));
    findings
}

/// Writes the findings, one a line, each with what to do below it.
///
/// # Errors
/// Those of `output`.
pub fn report(findings: &[Finding], output: &mut dyn Write) -> io::Result<()> {
    for Finding { topic, grade, found, remedy } in findings {
        let grade = match grade {
            Grade::Good => "ok",
            Grade::Limited => "note",
            Grade::Bad => "BAD",
        };
        writeln!(output, "{grade:<5}{topic:<10}{found}")?;
        if !remedy.is_empty() {
            writeln!(output, "{:<15}→ {remedy}", "")?;
        }
    }
    Ok(())
}

fn identity() -> Finding {
    const TOPIC: &str = "identity";
    let path = match rift_keystore::default_path() {
        Ok(path) => path,
        Err(error) => return Finding::bad(TOPIC, error.to_string(), "set HOME"),
    };
    match rift_keystore::load(&path) {
        Ok(identity) => Finding::good(TOPIC, format!("{} in {}", identity.public(), path.display())),
        Err(KeystoreError::Missing(_)) => Finding::good(
            TOPIC,
            format!("none yet in {}; server and client make one when they start", path.display()),
        ),
        Err(error) => Finding::bad(TOPIC, error.to_string(), "do as it says, or `wavry keygen --force`"),
    }
}

/// Whether the screen can be captured.
fn screen() -> Finding {
    const TOPIC: &str = "screen";
    match rift_x11::X11Source::open(None) {
        Ok(source) => {
            let (width, height) = source.size();
            let size = format!("X11, {width} × {height}");
            if source.is_shared() {
                Finding::good(TOPIC, format!("{size}, in shared memory"))
            } else {
                let found = format!("{size}, without shared memory: 10 to 30 ms a picture instead of 1");
                Finding::limited(
                    TOPIC,
                    found,
                    "run the server on the X server's own machine, with MIT-SHM enabled",
                )
            }
        }
        Err(rift_x11::Error::Connect(error)) => {
            let remedy = if std::env::var_os("WAYLAND_DISPLAY").is_some() {
                "Wayland is not captured yet: log in to an X11 session, or share `app:COMMAND`"
            } else {
                "start the server in a session (DISPLAY and XAUTHORITY set), or share `app:COMMAND`, `v4l:PATH` or \
                 `test`; a client needs one for its window"
            };
            Finding::limited(TOPIC, format!("no X11 display: {error}"), remedy)
        }
        Err(error) => {
            Finding::limited(TOPIC, error.to_string(), "use an X server that has it, such as Xorg or Xvfb")
        }
    }
}

/// Whether input can be given to the screen.
fn injection() -> Finding {
    const TOPIC: &str = "xtest";
    match rift_x11::X11Sink::open(None) {
        Ok(_) => Finding::good(TOPIC, "input reaches the screen by XTEST"),
        Err(rift_x11::Error::Connect(_)) => Finding::limited(
            TOPIC,
            "no X11 display to give input to",
            "as for the screen; uinput is used otherwise",
        ),
        Err(error) => {
            Finding::limited(TOPIC, error.to_string(), "enable the XTEST extension of the X server")
        }
    }
}

fn capture_devices() -> Vec<Finding> {
    const TOPIC: &str = "capture";
    let devices = rift_v4l::devices();
    if devices.is_empty() {
        return vec![Finding::good(TOPIC, "no capture card or camera; none is needed to share a screen")];
    }
    devices.into_iter().map(|device| capture_device(TOPIC, device)).collect()
}

fn capture_device(topic: &'static str, device: Result<rift_v4l::DeviceInfo, V4lError>) -> Finding {
    let device = match device {
        Ok(device) => device,
        Err(error @ V4lError::NotPermitted(_)) => {
            let remedy = "add the user to the group: `sudo usermod -aG video $USER`, then log in again";
            return Finding::limited(topic, error.to_string(), remedy);
        }
        Err(error) => return Finding::limited(topic, error.to_string(), "plug it in again; see `dmesg`"),
    };
    let formats: Vec<String> = device.formats.iter().map(ToString::to_string).collect();
    let lasting = rift_v4l::lasting_path(&device.path).filter(|lasting| *lasting != device.path);
    let lasting = lasting.map_or_else(String::new, |path| format!(", lasting path {}", path.display()));
    let found = format!(
        "{} {} ({}): {}{lasting}",
        device.path.display(),
        device.card,
        device.driver,
        formats.join(" ")
    );
    if device.formats.iter().any(|&format| Encoding::from_four_cc(format).is_some()) {
        Finding::good(topic, found)
    } else {
        Finding::limited(
            topic,
            found,
            "none of its formats is taken: it needs YU12, NV12, YUYV, UYVY, XR24, BGR3, RGB3 or MJPG",
        )
    }
}

fn kernel_input() -> Finding {
    const TOPIC: &str = "uinput";
    match rift_uinput::check() {
        Ok(()) => Finding::good(TOPIC, format!("{} can be opened", rift_uinput::DEVICE_PATH)),
        Err(error) => {
            let rule = RULE_DIRECTORIES.iter().any(|directory| Path::new(directory).join(RULE).exists());
            let remedy = if rule {
                "the rule is there: log in again, or `udevadm control --reload && udevadm trigger /dev/uinput`"
            } else {
                "needed only to give input to something else than an X11 screen; then copy hosts/linux/dist/60-wavry.rules \
                 to /etc/udev/rules.d/ as it says"
            };
            Finding::limited(TOPIC, error.to_string(), remedy)
        }
    }
}

/// Where udev reads rules.
const RULE_DIRECTORIES: [&str; 3] = ["/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d"];
const RULE: &str = "60-wavry.rules";

/// Whether a USB port can play keyboard and pointers to another machine.
fn usb_gadget() -> Finding {
    const TOPIC: &str = "usb";
    match rift_hid::check() {
        Ok(()) => Finding::good(TOPIC, "a port can play keyboard and pointers: `--input usb`, as root"),
        Err(error) => Finding::good(TOPIC, format!("{error}; needed only for `--input usb`")),
    }
}

/// Whether a client can be heard here.
fn loudspeaker() -> Finding {
    const TOPIC: &str = "sound";
    match rift_alsa::check("default", Direction::Playback) {
        Ok(()) => Finding::good(TOPIC, "a client is heard through the device `default`"),
        Err(error) => Finding::limited(
            TOPIC,
            format!("a client is not heard: {error}"),
            "needed only to hear hosts; with a sound server, install its ALSA plugin (Debian: pipewire-alsa, or \
             libasound2-plugins), or name a device: `wavry-client connect --audio-device NAME`",
        ),
    }
}

/// What a host here could let others hear.
fn microphones() -> Finding {
    const TOPIC: &str = "sound";
    let cards = rift_alsa::cards();
    let is_usable = |device: &rift_alsa::Device| rift_alsa::check(&device.name, Direction::Capture).is_ok();
    let found: Vec<String> = cards
        .iter()
        .filter(|card| is_usable(card))
        .map(|card| format!("{} ({})", card.name, card.description))
        .collect();
    if found.is_empty() {
        return Finding::good(TOPIC, "no card gives sound to a host; needed only for `--audio-device`");
    }
    Finding::good(TOPIC, format!("a host can share the sound of {}: `--audio-device NAME`", found.join(", ")))
}

/// Codes 10 ms of sound and decodes them.
fn sound_codec() -> Finding {
    const TOPIC: &str = "codecs";
    let code_and_decode = || -> Result<usize, rift_opus::OpusError> {
        let (mut packet, mut samples) = ([0; rift_opus::PACKET_LEN_MAX], [0; 960]);
        let len = rift_opus::OpusEncoder::new()?.encode(&samples, &mut packet)?;
        rift_opus::OpusDecoder::new()?.decode(&packet[..len], &mut samples)
    };
    match code_and_decode() {
        Ok(frames) => Finding::good(TOPIC, format!("libopus: {frames} frames of sound went through")),
        Err(error) => Finding::bad(
            TOPIC,
            error.to_string(),
            "reinstall libopus: `sudo apt-get install --reinstall libopus0`",
        ),
    }
}

/// Codes one small picture and decodes it.
fn codecs() -> Finding {
    const TOPIC: &str = "codecs";
    let remedy =
        "reinstall libx264 and libavcodec: `sudo apt-get install --reinstall libx264-dev libavcodec-dev`";
    match code_and_decode() {
        Ok(bytes) => Finding::good(
            TOPIC,
            format!("libx264 and libavcodec: a test picture of {bytes} bytes went through"),
        ),
        Err(error) => Finding::bad(TOPIC, error.to_string(), remedy),
    }
}

fn code_and_decode() -> Result<usize, Box<dyn core::error::Error>> {
    let (luma, chroma) = (vec![90; 64 * 64], vec![128; 32 * 32]);
    let planes = [(&luma, 64), (&chroma, 32), (&chroma, 32)].map(|(data, stride)| Plane { data, stride });
    let frame = Frame::new(PixelFormat::I420, 64, 64, planes, Instant::ZERO)?;
    let settings = EncoderSettings { width: 64, height: 64, rate_millihertz: 60_000, bitrate_bps: 1_000_000 };
    let mut encoder = rift_x264::X264Encoder::new(&settings, &rift_x264::Options::default())?;
    let mut coded = Vec::new();
    let request = EncodeRequest { id: PictureId(1), key: true, damage: None };
    encoder.encode(&frame, &request, &mut |part| coded.extend_from_slice(part))?;
    let mut decoder = rift_ffmpeg::FfmpegDecoder::new(&rift_ffmpeg::Options::default())?;
    let decoded = decoder.decode(&coded, Instant::ZERO)?.ok_or("libavcodec holds the picture back")?;
    let same =
        (decoded.width(), decoded.height()) == (64, 64) && decoded.planes()[0].data[0].abs_diff(90) <= 2;
    if same { Ok(coded.len()) } else { Err("the decoded picture is another one".into()) }
}

fn udp_port(port: u16) -> Finding {
    const TOPIC: &str = "port";
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => {
            let found = format!("UDP {port} is free; clients of other machines need it open in the firewall");
            Finding::good(TOPIC, found)
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let found = format!("UDP {port} is in use, perhaps by a wavry-server");
            Finding::limited(
                TOPIC,
                found,
                format!("`ss -ulpn sport = :{port}` says by whom; or choose another port"),
            )
        }
        Err(error) => {
            let remedy = "choose a port from 1024 up that this user may open";
            Finding::bad(TOPIC, format!("UDP {port} cannot be opened: {error}"), remedy)
        }
    }
}

/// Judges the largest socket buffers the kernel allows, in bytes.
fn socket_buffers(receive: Option<u64>, send: Option<u64>) -> Finding {
    const TOPIC: &str = "buffers";
    let (Some(receive), Some(send)) = (receive, send) else {
        return Finding::good(TOPIC, "this system does not say how large socket buffers may be");
    };
    let found = format!("net.core.rmem_max is {receive}, wmem_max {send}");
    if receive >= BUFFER_WANTED && send >= BUFFER_WANTED {
        return Finding::good(TOPIC, found);
    }
    let remedy = format!(
        "bursts may be lost on a busy machine: `sudo sysctl -w net.core.rmem_max={BUFFER_WANTED} \
         net.core.wmem_max={BUFFER_WANTED}`, and the same in /etc/sysctl.d/60-wavry.conf to keep it"
    );
    Finding::limited(TOPIC, found, remedy)
}

/// A quarter of a second at 64 Mbit/s: longer than a busy machine keeps a thread waiting.
const BUFFER_WANTED: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_are_named_with_the_command_that_helps() {
        let finding = socket_buffers(Some(212_992), Some(4 << 20));
        assert_eq!(finding.grade, Grade::Limited);
        assert!(finding.remedy.contains("sysctl -w net.core.rmem_max=2097152"), "{}", finding.remedy);
        assert_eq!(socket_buffers(Some(2 << 20), Some(2 << 20)).grade, Grade::Good);
        assert_eq!(socket_buffers(None, Some(1)).grade, Grade::Good);
    }

    #[test]
    fn port_in_use_is_said() {
        let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let finding = udp_port(port);
        assert_eq!(finding.grade, Grade::Limited);
        assert!(finding.found.contains(&port.to_string()), "{}", finding.found);
    }

    #[test]
    fn codecs_work_here() {
        assert_eq!(codecs().grade, Grade::Good, "{:?}", codecs());
        assert_eq!(sound_codec().grade, Grade::Good, "{:?}", sound_codec());
    }

    #[test]
    fn device_without_a_taken_format_is_limited() {
        let device = |name: &[u8; 4]| rift_v4l::DeviceInfo {
            path: "/dev/video9".into(),
            card: "A card".into(),
            driver: "driver".into(),
            formats: vec![rift_v4l::FourCc(*name)],
            inputs: Vec::new(),
            modes: Vec::new(),
        };
        assert_eq!(capture_device("capture", Ok(device(b"NV12"))).grade, Grade::Good);
        assert_eq!(capture_device("capture", Ok(device(b"HEVC"))).grade, Grade::Limited);
        let refused = V4lError::NotPermitted("/dev/video9".into());
        assert!(capture_device("capture", Err(refused)).remedy.contains("usermod"));
    }

    #[test]
    fn everything_that_is_not_good_says_what_to_do() {
        let findings = examine(0);
        for finding in &findings {
            assert_eq!(finding.remedy.is_empty(), finding.grade == Grade::Good, "{finding:?}");
        }
        let mut text = Vec::new();
        report(&findings, &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        for topic in
            ["identity", "screen", "xtest", "capture", "uinput", "usb", "sound", "codecs", "port", "buffers"]
        {
            assert!(text.contains(topic), "{topic} in:\n{text}");
        }
    }
}
