//! Who may depend on whom.

use crate::workspaces::{Arrow, Use};

/// Backends that know `rift` alone: drivers, engines, the simulator.
pub const PLAIN_BACKENDS: [&str; 16] = [
    "mio", "paseto", "smoltcp", "embassy", "tcp", "aead", "x25519", "ebpf", "simd", "snow", "sim",
    "keystore", "settings", "files", "systemd", "health",
];

/// What `rift`'s own tests may lean on.
const TESTING_RIFT: [&str; 2] = ["platform/snow", "platform/sim"];

/// Crates we measure ourselves against. They are built where that is done, and nowhere else.
pub const RIVALS: [&str; 12] = [
    "boringtun",
    "neqo-transport",
    "qoi",
    "quiche",
    "quinn",
    "quinn-proto",
    "reed-solomon-erasure",
    "reed-solomon-novelpoly",
    "s2n-quic",
    "str0m",
    "webrtc",
    "tokio-quiche",
];

/// Where rivals may be.
pub const RIVALS_PLACE: &str = "hil-tests/bench";

/// Foreign crates that only one crate of ours may ask for: everybody else goes through it.
pub const GATEKEPT: [(&str, &str); 12] = [
    ("aya", "platform/ebpf"),
    ("graviola", "platform/x25519"),
    ("snow", "platform/snow"),
    ("x264-sys", "platform/x264"),
    ("ffmpeg-sys-next", "platform/ffmpeg"),
    ("minifb", "platform/minifb"),
    ("jpeg-encoder", "platform/jpeg"),
    ("evdev", "platform/uinput"),
    ("v4l", "platform/v4l"),
    ("alsa", "platform/alsa"),
    ("opusic-sys", "platform/opus"),
    ("quinn-udp", "platform/mio"),
];

/// Foreign crates that read a clock, draw entropy or call an operating system: never below `rift`.
pub const WORLDLY: [&str; 10] =
    ["chrono", "getrandom", "instant", "libc", "rand", "rustix", "std-detect", "time", "tokio", "web-time"];

/// Where boards are.
const BOARDS: &str = "clients/thin/boards/";

/// A directory's place in the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Rift,
    Hal,
    /// Knows `rift` only.
    Plain,
    /// Media and input: knows hal and `rift`.
    Media,
    Host,
    Client,
    Service,
    Check,
}

fn place(directory: &str) -> Option<Place> {
    let (top, rest) = directory.split_once('/').unwrap_or((directory, ""));
    match top {
        "rift" => Some(Place::Rift),
        "platform" if rest == "hal" => Some(Place::Hal),
        "platform" if PLAIN_BACKENDS.contains(&rest) => Some(Place::Plain),
        "platform" => Some(Place::Media),
        "hosts" => Some(Place::Host),
        "clients" => Some(Place::Client),
        "services" => Some(Place::Service),
        "hil-tests" | "fuzz" => Some(Place::Check),
        _ => None,
    }
}

/// What is wrong with this arrow, if anything.
#[must_use]
pub fn wrong(arrow: &Arrow) -> Option<String> {
    let Arrow { from, on, kind } = arrow;
    let (Some(source), Some(target)) = (place(from), place(on)) else {
        return Some(format!("{from} → {on}: one of them is at no known place"));
    };
    let backend = matches!(target, Place::Rift | Place::Hal | Place::Plain | Place::Media);
    let allowed = match source {
        Place::Rift => *kind == Use::Test && TESTING_RIFT.contains(&on.as_str()),
        Place::Hal | Place::Plain => target == Place::Rift,
        Place::Media => matches!(target, Place::Rift | Place::Hal),
        Place::Service => matches!(target, Place::Rift | Place::Plain),
        // A board is the thin client and its parts, put together.
        Place::Client if from.starts_with(BOARDS) => {
            backend || matches!(on.as_str(), "clients/thin/app" | "clients/thin/boards/parts")
        }
        Place::Client if from == "clients/desktop" => {
            backend || matches!(target, Place::Host | Place::Client)
        }
        Place::Host | Place::Client => backend,
        // The rig comes before everything else; the others look at anything but each other. The fuzzer's programs are
        // nothing without the surfaces they are for.
        Place::Check => {
            let is_own = from == "fuzz/targets" && on == "fuzz";
            from != "hil-tests/rig" && (target != Place::Check || is_own)
        }
    };
    (!allowed).then(|| format!("{from} → {on} ({kind:?}): this arrow is not in the architecture"))
}
