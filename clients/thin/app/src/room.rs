//! What a client is given: its memory, the parts of its board, and what the board's owner says.

use embassy_net::udp::PacketMetadata;
use rift::{Noise, Session, Storage};
use rift_embassy::Scratch;
use rift_tiles::Decoder;

use crate::cursor::Cursor;
#[cfg(feature = "gateway")]
use crate::gateway::{GatewayMemory, PinnedGateway};
use crate::settings::PinnedHost;

/// The memory of a board's session: no more than 96 KiB beside its picture buffers.
pub(crate) type ThinStorage = Storage<&'static mut [u8], 256, 512, 2, 4096>;
pub(crate) type ThinSession = Session<&'static mut ThinStorage, Noise>;
/// Where a session lies: empty, it is all zeros.
pub(crate) type Place = heapless::Vec<ThinSession, 1>;
const _: () = assert!(size_of::<ThinStorage>() + size_of::<Place>() <= 96 * 1024, "the budget of a session");

/// Bytes of the UDP socket's buffer each way.
const UDP_LEN: usize = 8 * 1024;
const UDP_PACKETS: usize = 8;

/// The larger part of a client's memory: all zeros at first, so that a linker gives it no room in a program's image.
#[derive(Debug)]
pub struct Memory {
    pub(crate) storage: ThinStorage,
    /// The session, while there is one.
    pub(crate) place: Place,
    pub(crate) decoder: Decoder,
    pub(crate) cursor: Cursor,
    pub(crate) scratch: Scratch,
    pub(crate) buffers: [[u8; UDP_LEN]; 2],
    #[cfg(feature = "gateway")]
    pub(crate) gateway: GatewayMemory,
}

impl Memory {
    /// Empty memory; may be a static.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            storage: Storage::new(),
            place: Place::new(),
            decoder: Decoder::new(),
            cursor: Cursor::new(),
            scratch: Scratch::new(),
            buffers: [[0; UDP_LEN]; 2],
            #[cfg(feature = "gateway")]
            gateway: GatewayMemory::new(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// What the memory of a client is for, in bytes: for a board's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The session: its own state and its storage, without its picture buffers.
    pub session: usize,
    /// The buffers of the UDP socket.
    pub sockets: usize,
}

impl Footprint {
    /// That of every client.
    pub const OF_CLIENT: Self =
        Self { session: size_of::<ThinStorage>() + size_of::<Place>(), sockets: 2 * UDP_LEN };
}

/// The rest of it, which begins as something else than zeros.
#[derive(Debug)]
pub struct State {
    pub(crate) heads: [[PacketMetadata; UDP_PACKETS]; 2],
}

impl State {
    /// Nothing begun; may be a static.
    #[must_use]
    pub const fn new() -> Self {
        Self { heads: [[PacketMetadata::EMPTY; UDP_PACKETS]; 2] }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

/// All the memory that a client is given.
#[derive(Debug)]
pub struct Room {
    /// The larger part.
    pub memory: &'static mut Memory,
    /// The smaller part.
    pub state: &'static mut State,
    /// Where pictures come together. The shorter one bounds a picture with its parity; the host is told.
    pub pictures: [&'static mut [u8]; 2],
}

/// What a board is made of.
#[derive(Debug)]
pub struct Parts<S, I, E, F, O> {
    /// What shows pixels.
    pub surface: S,
    /// Keyboard and mouse.
    pub input: I,
    /// The generator of random bytes.
    pub entropy: E,
    /// Where the settings are kept.
    pub flash: F,
    /// Log and watchdog.
    pub observer: O,
}

/// What the board's owner says beside the settings, at each start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provision {
    /// The host it belongs to from now on. When it is said where that is, no other place is tried; without it, the board
    /// looks for hosts on its network.
    pub host: Option<PinnedHost>,
    /// Who introduces it to that host when the host is not found.
    #[cfg(feature = "gateway")]
    pub gateway: Option<PinnedGateway>,
}

impl Provision {
    /// With this host, and no more.
    #[must_use]
    pub const fn of(host: Option<PinnedHost>) -> Self {
        Self {
            host,
            #[cfg(feature = "gateway")]
            gateway: None,
        }
    }

    /// The same, with a gateway.
    #[cfg(feature = "gateway")]
    #[must_use]
    pub const fn with_gateway(self, gateway: Option<PinnedGateway>) -> Self {
        Self { gateway, ..self }
    }
}
