//! A shard of a picture (SPEC §11.4).

use super::{Reader, Writer};
use crate::fec::{BLOCK_DATA_MAX, BLOCK_PARITY_MAX};
use crate::limits::{WINDOW_PARITY_MAX, WINDOW_PICTURES_MAX};

/// One of the k data or m parity shards of a picture. Always the last frame of its datagram.
///
/// ```text
/// (type) 0         2       4       6     7          9
/// +------+---------+-------+-------+-----+----------+--------...
/// | 0x94 | picture | shard | k     | m   | shard    | bytes
/// |      | low 16  |       |       |     | length   |
/// +------+---------+-------+-------+-----+----------+--------...
/// shards 0..k are the picture's bytes in order, k..k+m its parity; all are `shard length` long, but the last
/// data shard, which ends with the picture
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardHead {
    /// Low 16 bits of the picture's number.
    pub picture: u16,
    /// Which shard: data below `data_shards`, parity from there on.
    pub shard: u16,
    /// k: how many data shards the picture has.
    pub data_shards: u16,
    /// m: how many parity shards it has.
    pub parity_shards: u8,
    /// Bytes of every shard but the last data shard.
    pub shard_len: u16,
}

impl ShardHead {
    /// Bytes of the body before the shard's own.
    pub const LEN: usize = 9;
    /// Bytes of the frame before the shard's own.
    pub const FRAME_LEN: usize = 1 + Self::LEN;

    /// Reads a body: the head and the shard's bytes. `None` when the numbers contradict each other or the bytes.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(body);
        let head = Self::read(&mut reader)?;
        let bytes = reader.rest();
        let total = head.data_shards.checked_add(u16::from(head.parity_shards))?;
        if head.data_shards == 0 || head.shard >= total || bytes.is_empty() {
            return None;
        }
        let is_last_data = head.shard.checked_add(1)? == head.data_shards;
        let len_is_right = if is_last_data {
            bytes.len() <= usize::from(head.shard_len)
        } else {
            bytes.len() == usize::from(head.shard_len)
        };
        len_is_right.then_some((head, bytes))
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            picture: reader.u16()?,
            shard: reader.u16()?,
            data_shards: reader.u16()?,
            parity_shards: reader.u8()?,
            shard_len: reader.u16()?,
        })
    }

    /// Its bytes.
    pub(crate) fn emit(self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u16(self.picture)?;
        writer.u16(self.shard)?;
        writer.u16(self.data_shards)?;
        writer.u8(self.parity_shards)?;
        writer.u16(self.shard_len)
    }
}

/// A parity shard that covers pictures before its own as well (SPEC §11.13). Always the last frame of its datagram.
///
/// ```text
/// (type) 0                   9                   12
/// +------+-------------------+-------------------+--------...
/// | 0xb0 | as of a shard     | k of the 3 before | bytes
/// |      |                   | 0 = not covered   |
/// +------+-------------------+-------------------+--------...
/// a picture is covered only if those between are; shards of all are equally long
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowHead {
    /// The shard, one of parity, of a picture in one block.
    pub shard: ShardHead,
    /// Data shards of the picture before, of the one before that and so on; 0 = not covered.
    pub before: [u8; WINDOW_PICTURES_MAX],
}

impl WindowHead {
    /// Bytes of the frame that other shards' frames do not have.
    pub const MORE_LEN: usize = WINDOW_PICTURES_MAX;

    /// Reads a body: the head and the shard's bytes. `None` when the numbers contradict each other or the bytes.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(body);
        let shard = ShardHead::read(&mut reader)?;
        let before = *reader.bytes(WINDOW_PICTURES_MAX)?.first_chunk()?;
        let bytes = reader.rest();
        let reach = before.iter().take_while(|&&shards| shards > 0).count();
        let row = shard.shard.checked_sub(shard.data_shards)?;
        let is_sound = (1..=BLOCK_DATA_MAX).contains(&usize::from(shard.data_shards))
            && usize::from(shard.parity_shards) <= BLOCK_PARITY_MAX
            && usize::from(row) < WINDOW_PARITY_MAX
            && row < u16::from(shard.parity_shards)
            && before.iter().skip(reach).all(|&shards| shards == 0)
            && before.iter().all(|&shards| usize::from(shards) <= BLOCK_DATA_MAX)
            && !bytes.is_empty()
            && bytes.len() == usize::from(shard.shard_len);
        is_sound.then_some((Self { shard, before }, bytes))
    }

    /// How many pictures before its own it covers.
    #[must_use]
    pub fn reach(&self) -> usize {
        self.before.iter().take_while(|&&shards| shards > 0).count()
    }
}
