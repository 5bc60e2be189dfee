//! What the contest's hosts say to each other: a few fields at the front of packets of real size.

/// Bytes of one shard of a picture.
pub(super) const SHARD: usize = 1166;
/// Bytes around it: header, frame and seal, as `rift` has them.
pub(super) const SHARD_HEAD: usize = 34;
/// Bytes that every reported arrival takes in a feedback packet.
const ARRIVAL: usize = 7;
/// Bytes before the first of them.
const FEEDBACK_HEAD: usize = 9;

/// A shard of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// Its place in the order of sending.
    pub(super) number: u64,
    /// Which picture it is of.
    pub(super) picture: u32,
    /// How many shards restore the picture.
    pub(super) data: u16,
}

/// One arrival in a feedback packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Which packet.
    pub(super) number: u64,
    /// When, on the receiver's clock, in µs.
    pub(super) at_us: u64,
    /// Whether it was marked.
    pub(super) ce: bool,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A shard.
    Shard,
    /// Feedback on shards.
    Feedback,
    /// A segment of a byte stream.
    Segment,
    /// Its acknowledgement.
    Acknowledgement,
}

/// What a packet is; `None` for anything else.
#[must_use]
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    Some(match bytes.first()? {
        0 => Kind::Shard,
        1 => Kind::Feedback,
        2 => Kind::Segment,
        3 => Kind::Acknowledgement,
        _ => return None,
    })
}

/// Writes a shard of `len` bytes.
pub(super) fn write_shard(shard: &Shard, len: usize, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&shard.number.to_le_bytes());
    out.extend_from_slice(&shard.picture.to_le_bytes());
    out.extend_from_slice(&shard.data.to_le_bytes());
    out.resize(len.max(out.len()), 0);
}

/// Reads a shard.
#[must_use]
pub(super) fn read_shard(bytes: &[u8]) -> Option<Shard> {
    Some(Shard {
        number: word(bytes, 1, 8)?,
        picture: word(bytes, 9, 4)? as u32,
        data: word(bytes, 13, 2)? as u16,
    })
}

/// Writes feedback: arrivals within the last seconds, relative to the first of them.
pub(super) fn write_feedback(arrivals: impl Iterator<Item = Arrival> + Clone, out: &mut Vec<u8>) {
    let base = arrivals.clone().map(|arrival| arrival.number).min().unwrap_or(0);
    let base_us = arrivals.clone().map(|arrival| arrival.at_us).min().unwrap_or(0);
    out.push(1);
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&base_us.to_le_bytes());
    for arrival in arrivals {
        out.extend_from_slice(&((arrival.number - base) as u16).to_le_bytes());
        out.extend_from_slice(&((arrival.at_us - base_us) as u32).to_le_bytes());
        out.push(u8::from(arrival.ce));
    }
}

/// Reads feedback.
pub(super) fn read_feedback(bytes: &[u8]) -> impl Iterator<Item = Arrival> + '_ {
    let base = word(bytes, 1, 8).unwrap_or(0);
    let base_us = word(bytes, FEEDBACK_HEAD, 8).unwrap_or(0);
    bytes.get(FEEDBACK_HEAD + 8..).unwrap_or_default().chunks_exact(ARRIVAL).map(move |item| Arrival {
        number: base + word(item, 0, 2).unwrap_or(0),
        at_us: base_us + word(item, 2, 4).unwrap_or(0),
        ce: item[6] != 0,
    })
}

/// Writes a segment of `len` bytes, or an acknowledgement of it.
pub(super) fn write_segment(kind: Kind, number: u64, len: usize, out: &mut Vec<u8>) {
    out.push(if kind == Kind::Segment { 2 } else { 3 });
    out.extend_from_slice(&number.to_le_bytes());
    out.resize(len.max(out.len()), 0);
}

/// The number of a segment, sent or acknowledged.
#[must_use]
pub(super) fn read_segment(bytes: &[u8]) -> Option<u64> {
    word(bytes, 1, 8)
}

fn word(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    Some(bytes.get(at..at + len)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let shard = Shard { number: 1 << 40, picture: 70_000, data: 300 };
        let mut bytes = Vec::new();
        write_shard(&shard, 1200, &mut bytes);
        assert_eq!((read_shard(&bytes), bytes.len(), kind(&bytes)), (Some(shard), 1200, Some(Kind::Shard)));
        let arrivals = [
            Arrival { number: 1 << 33, at_us: 1 << 41, ce: true },
            Arrival { number: (1 << 33) + 9, at_us: (1 << 41) + 77, ce: false },
        ];
        let mut bytes = Vec::new();
        write_feedback(arrivals.into_iter(), &mut bytes);
        assert_eq!(read_feedback(&bytes).collect::<Vec<_>>(), arrivals);
    }
}
