//! What the contest's hosts say to each other: a few fields at the front of packets of real size.

/// Bytes of one shard of a picture.
pub(super) const SHARD: usize = 1166;
/// Bytes around it: header, frame and seal, as `rift` has them.
pub(super) const SHARD_HEAD: usize = 34;
/// Bytes that every reported arrival takes in a feedback packet.
const ARRIVAL: usize = 3;
/// Times are told in this unit, in µs, and at most this many of it at once.
const UNIT_US: u64 = 4;
const TIME_MAX: u16 = 0x7fff;
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

/// Writes feedback on arrivals in their order: the step of the number, then the time since the one before in units of
/// 4 µs with the mark in the topmost bit. A step of 0 only lets time pass.
pub(super) fn write_feedback(arrivals: impl Iterator<Item = Arrival> + Clone, out: &mut Vec<u8>) {
    let Some(first) = arrivals.clone().next() else { return };
    let mut number = arrivals.clone().map(|arrival| arrival.number).min().unwrap_or(0).wrapping_sub(1);
    let mut at = first.at_us / UNIT_US;
    out.push(1);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    let mut item = |step: u8, time: u64, ce: bool| {
        let time = u16::try_from(time).unwrap_or(TIME_MAX) | u16::from(ce) << 15;
        out.push(step);
        out.extend_from_slice(&time.to_le_bytes());
    };
    for arrival in arrivals {
        let now = arrival.at_us / UNIT_US;
        while now - at > u64::from(TIME_MAX) {
            item(0, u64::from(TIME_MAX), false);
            at += u64::from(TIME_MAX);
        }
        // Steps go from -63 to 191: a few packets may have been overtaken.
        let step = arrival.number.wrapping_sub(number).cast_signed().clamp(-63, 191);
        item((step + 64) as u8, now - at, arrival.ce);
        (number, at) = (arrival.number, now);
    }
}

/// Reads feedback.
pub(super) fn read_feedback(bytes: &[u8]) -> impl Iterator<Item = Arrival> + '_ {
    let mut number = word(bytes, 1, 8).unwrap_or(0);
    let mut at = word(bytes, FEEDBACK_HEAD, 8).unwrap_or(0);
    bytes.get(FEEDBACK_HEAD + 8..).unwrap_or_default().chunks_exact(ARRIVAL).filter_map(move |item| {
        let time = word(item, 1, 2).unwrap_or(0);
        at += time & u64::from(TIME_MAX);
        let step = i64::from(item[0]);
        (step > 0).then(|| {
            number = number.wrapping_add((step - 64).cast_unsigned());
            Arrival { number, at_us: at * UNIT_US, ce: time > u64::from(TIME_MAX) }
        })
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
            Arrival { number: (1 << 33) + 9, at_us: (1 << 41) + 900_076, ce: false },
            Arrival { number: (1 << 33) + 7, at_us: (1 << 41) + 900_080, ce: true },
        ];
        let mut bytes = Vec::new();
        write_feedback(arrivals.into_iter(), &mut bytes);
        assert_eq!(read_feedback(&bytes).collect::<Vec<_>>(), arrivals);
    }
}
