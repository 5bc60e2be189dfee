//! Datagrams in a stream: two bytes of length, big-endian, and the datagram. Without sockets and clocks.
//!
//! Invariant: neither side holds more than it said, whatever the other does.

use std::collections::VecDeque;

use rift::limits::DATAGRAM_MAX;
use rift::wire::relay::ENVELOPE_LEN;

/// The longest datagram in a stream: RIFT's, in an envelope.
const FRAME_MAX: usize = DATAGRAM_MAX + ENVELOPE_LEN;
/// Bytes of its length.
const HEAD_LEN: usize = 2;
/// Bytes that may wait for a stream: 50 ms at 10 Mbit/s, or one picture.
pub const QUEUE_LEN: usize = 64 * 1024;
/// A datagram up to this is small: input, audio and feedback, whatever else can be known of it.
pub const SMALL_MAX: usize = 300;
/// What a waiting datagram counts as beside its bytes.
const OVERHEAD: usize = 64;

/// The stream has a length in it that none of ours has; it is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has a datagram in it that is empty or longer than any")]
pub struct Malformed;

/// What came out of a stream, put together to datagrams.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a frame that has not come whole.
    partial: Vec<u8>,
}

impl Frames {
    /// Takes what came next and hands each datagram that is whole now to `take`.
    ///
    /// # Errors
    /// [`Malformed`]: the stream is to be closed.
    pub fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Malformed> {
        loop {
            if self.partial.is_empty() {
                // Nothing is copied that came whole.
                while let Some((datagram, rest)) = split(bytes)? {
                    take(datagram);
                    bytes = rest;
                }
            }
            let wanted = match length(&self.partial)? {
                Some(len) => HEAD_LEN + len - self.partial.len(),
                None => HEAD_LEN - self.partial.len(),
            };
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = rest;
            if now.len() < wanted {
                return Ok(());
            }
            if let Some((datagram, _)) = split(&self.partial)? {
                take(datagram);
                self.partial.clear();
            }
        }
    }
}

fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(head) = bytes.first_chunk::<HEAD_LEN>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes(*head));
    if (1..=FRAME_MAX).contains(&len) { Ok(Some(len)) } else { Err(Malformed) }
}

/// A datagram and what follows it.
type Cut<'a> = (&'a [u8], &'a [u8]);

/// The first datagram, if it is whole.
fn split(bytes: &[u8]) -> Result<Option<Cut<'_>>, Malformed> {
    let Some(len) = length(bytes)? else { return Ok(None) };
    Ok(bytes[HEAD_LEN..].split_at_checked(len))
}

/// Datagrams that wait for a stream: small ones go first, and when there is no room the oldest large one makes some.
#[derive(Debug, Default)]
pub struct Queue {
    small: VecDeque<Box<[u8]>>,
    large: VecDeque<Box<[u8]>>,
    held: usize,
    dropped: u64,
}

impl Queue {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty()
    }

    /// Datagrams that made room, or fitted no frame.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Lets a datagram wait.
    pub fn push(&mut self, datagram: &[u8]) {
        if datagram.is_empty() || datagram.len() > FRAME_MAX {
            self.dropped += 1;
            return;
        }
        while self.held + datagram.len() + OVERHEAD > QUEUE_LEN {
            let oldest = self.large.pop_front().or_else(|| self.small.pop_front());
            self.held -= oldest.map_or(self.held, |oldest| oldest.len() + OVERHEAD);
            self.dropped += 1;
        }
        self.held += datagram.len() + OVERHEAD;
        let row = if datagram.len() <= SMALL_MAX { &mut self.small } else { &mut self.large };
        row.push_back(datagram.into());
    }

    /// Puts the next frames behind what is in `out`, about `room` bytes of them.
    pub fn pop(&mut self, room: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        while out.len() - begin < room
            && let Some(datagram) = self.small.pop_front().or_else(|| self.large.pop_front())
        {
            self.held -= datagram.len() + OVERHEAD;
            let len = u16::try_from(datagram.len()).expect("no longer datagram was let in");
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(&datagram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(len: usize, first: u8) -> Vec<u8> {
        (0..len).map(|at| first.wrapping_add(at as u8)).collect()
    }

    #[test]
    fn datagrams_come_out_as_they_went_in_wherever_the_stream_is_cut() {
        let sent = [of(1, 7), of(2, 9), of(299, 1), of(FRAME_MAX, 3), of(1200, 5)];
        let mut stream = Vec::new();
        for datagram in &sent {
            let mut queue = Queue::default();
            queue.push(datagram);
            queue.pop(1, &mut stream);
        }
        for step in [1, 2, 3, 5, 7, 1200, 4096, stream.len()] {
            let (mut frames, mut came) = (Frames::default(), Vec::new());
            for part in stream.chunks(step) {
                frames.push(part, |datagram| came.push(datagram.to_vec())).unwrap();
                assert!(frames.partial.len() <= HEAD_LEN + FRAME_MAX);
            }
            assert!(came == sent, "in parts of {step}");
        }
    }

    #[test]
    fn lengths_that_none_of_ours_has_end_the_stream() {
        for head in [0_u16, FRAME_MAX as u16 + 1, u16::MAX] {
            let [first, second] = head.to_be_bytes();
            assert_eq!(Frames::default().push(&[first, second], |_| ()), Err(Malformed), "{head}");
            let mut frames = Frames::default();
            assert_eq!(frames.push(&[first], |_| ()), Ok(()));
            assert_eq!(frames.push(&[second], |_| ()), Err(Malformed), "{head}");
        }
    }

    #[test]
    fn what_waits_is_bounded_small_ones_overtake_and_old_pictures_make_room() {
        let mut queue = Queue::default();
        for number in 0..500_u16 {
            queue.push(&of(1200, number as u8));
            if number % 100 == 0 {
                queue.push(&[1, number as u8]);
            }
            assert!(queue.held <= QUEUE_LEN);
        }
        let (mut stream, mut came) = (Vec::new(), Vec::new());
        queue.pop(usize::MAX, &mut stream);
        Frames::default().push(&stream, |datagram| came.push(datagram.to_vec())).unwrap();
        assert!(queue.is_empty() && queue.held == 0);
        let (small, large) = came.split_at(5);
        assert!(small.iter().all(|one| one.len() == 2), "input never makes room for pictures");
        assert_eq!(small.iter().map(|one| one[1]).collect::<Vec<_>>(), [0, 100, 200, 44, 144]);
        assert_eq!(large.last(), Some(&of(1200, 499_u16 as u8)), "the newest is there");
        assert_eq!(queue.dropped(), 500 - large.len() as u64);
        queue.push(&of(FRAME_MAX + 1, 0));
        assert!(queue.is_empty(), "it fits no frame");
    }

    #[test]
    fn flood_of_small_datagrams_is_bounded_too() {
        let mut queue = Queue::default();
        for _ in 0..100_000 {
            queue.push(&[1]);
            assert!(queue.held <= QUEUE_LEN);
        }
        queue.push(&of(FRAME_MAX, 1));
        assert!(queue.held <= QUEUE_LEN);
    }
}
