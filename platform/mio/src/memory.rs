//! Memory of sessions on machines that have plenty.

use rift::fec::{MulAdd, Portable};
use rift::limits::{DATAGRAM_MIN, SHARDS_MAX};
use rift::{Noise, Session, Storage};

/// The memory of one desktop session: packets of more than 100 ms at 400 Mbit/s remembered each way, five pictures,
/// the control and cursor streams with a window of 32 KiB, the clipboard and files with one of 64 KiB, and
/// audio packets as long as fit a datagram.
///
/// `K` multiplies for the erasure code.
pub type DesktopStorage<K = Portable> = Storage<Vec<u8>, 4096, 4096, PICTURES, 32_768, 65_536, 1160, K>;

/// With their buffers five stay below the 8 MiB a desktop session may use.
const PICTURES: usize = 5;

/// Bytes of a buffer that holds any picture of 1200-byte datagrams, parity included. What is given to
/// [`rift::Session::swap_media`] should be as long.
pub const PICTURE_BUFFER_LEN: usize = SHARDS_MAX * DATAGRAM_MIN;

/// Memory for one session. A viewer's comes with [`PICTURE_BUFFER_LEN`] bytes for each of its pictures, which cost
/// nothing until they are used; a host receives no pictures and gets no buffers.
#[must_use]
pub fn desktop_memory<K: MulAdd>(viewer: bool) -> Box<DesktopStorage<K>> {
    let mut storage = Box::new(DesktopStorage::new());
    for index in 0..if viewer { PICTURES } else { 0 } {
        let replaced = storage.lend(index, vec![0; PICTURE_BUFFER_LEN]);
        debug_assert!(replaced.is_none(), "new storage has no buffers");
    }
    storage
}

type DesktopSession = Session<Box<DesktopStorage>, Noise>;

const _: () = assert!(
    size_of::<DesktopStorage>() + size_of::<DesktopSession>() + PICTURES * PICTURE_BUFFER_LEN <= 8 << 20,
    "SPEC §19.1"
);
