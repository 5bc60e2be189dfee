//! Header and seal around what a packet says (SPEC §3.2, §5.1).

use super::TAG_LEN;
use super::keys::Keys;
use super::path::{Direction, Path};
use crate::crypto::{Aead, PacketKey, packet_number};
use crate::wire::Writer;
use crate::wire::close::Close;
use crate::wire::frame::{FrameType, emit};
use crate::wire::header::DataHeader;

/// Seals the next packet of `path`.
pub(super) fn seal<A: Aead>(
    keys: &Keys<A>,
    path: &Path,
    payload_len: usize,
    out: &mut [u8],
) -> Option<usize> {
    let Direction { connection, .. } = path.remote;
    let phase = keys.send_phase() ^ path.remote.mask();
    seal_as(keys.send(), phase, path.number, connection, path.remote.number(path.sent), payload_len, out)
}

fn seal_as<A: Aead>(
    key: &PacketKey<A>,
    phase: bool,
    path: u16,
    connection: u32,
    number: u64,
    payload_len: usize,
    out: &mut [u8],
) -> Option<usize> {
    let header = DataHeader { phase, connection, packet_number: packet_number::truncate(number) };
    header.emit(out)?;
    let (head, rest) = out.split_at_mut_checked(DataHeader::LEN)?;
    let (text, rest) = rest.split_at_mut_checked(payload_len)?;
    let tag = key.seal(path.into(), number, head, text);
    rest.get_mut(..TAG_LEN)?.copy_from_slice(&tag);
    Some(DataHeader::LEN + payload_len + TAG_LEN)
}

/// A datagram that says only that it is over.
pub(super) fn seal_close<A: Aead>(
    key: &PacketKey<A>,
    phase: bool,
    path: u16,
    connection: u32,
    number: u64,
    code: u16,
    out: &mut [u8],
) -> Option<usize> {
    let payload_len = {
        let mut writer = Writer::new(out.get_mut(DataHeader::LEN..)?);
        emit(&mut writer, FrameType::Close, |body| Close { code }.emit(body))?;
        writer.len()
    };
    seal_as(key, phase, path, connection, number, payload_len, out)
}
