//! Coded pictures as cards that encode give them: H.264 with start codes (ITU-T H.264, annex B). What must be known of a
//! picture to pass it on; nothing is decoded.

/// What is known of one coded picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether it needs no other picture: all its slices are of an IDR picture (NAL unit type 5).
    pub is_key: bool,
    /// Whether the sequence's parameters are with it (type 7).
    pub has_sequence: bool,
    /// Whether a picture's parameters are with it (type 8).
    pub has_picture: bool,
    /// Where its parameters lie, start codes included, in order; no more than [`PARAMETERS_MAX`] of them.
    pub parameters: Vec<core::ops::Range<usize>>,
}

/// Sets of parameters that one picture brings at most; cards bring two.
pub const PARAMETERS_MAX: usize = 8;

impl Access {
    /// Reads what a card gave as one picture. `None` for bytes that do not begin with a start code or hold no slice, such
    /// as parameters alone.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (mut access, slices) = Self::scan(bytes)?;
        access.is_key = slices == Slices::Key;
        (slices != Slices::None).then_some(access)
    }

    /// The parameters alone, for bytes that hold no slice.
    #[must_use]
    pub fn read_parameters(bytes: &[u8]) -> Option<Self> {
        let (access, slices) = Self::scan(bytes)?;
        (slices == Slices::None && !access.parameters.is_empty()).then_some(access)
    }

    fn scan(bytes: &[u8]) -> Option<(Self, Slices)> {
        let mut units = Units { bytes, at: unit_start(bytes, 0)? };
        if units.at.0 != 0 {
            return None;
        }
        let mut access = Self::default();
        let mut slices = Slices::None;
        while let Some((start, kind, end)) = units.next() {
            match kind {
                1..=4 => slices = Slices::Other,
                5 if slices != Slices::Other => slices = Slices::Key,
                7 | 8 if access.parameters.len() < PARAMETERS_MAX => {
                    access.has_sequence |= kind == 7;
                    access.has_picture |= kind == 8;
                    access.parameters.push(start..end);
                }
                _ => {}
            }
        }
        Some((access, slices))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slices {
    None,
    Key,
    Other,
}

/// Goes over the units of a picture.
struct Units<'a> {
    bytes: &'a [u8],
    /// Where the next unit's start code begins, and its first byte after that.
    at: (usize, usize),
}

impl Units<'_> {
    /// Where a unit begins with its start code, its type, and where it ends.
    fn next(&mut self) -> Option<(usize, u8, usize)> {
        let (start, first) = self.at;
        let kind = self.bytes.get(first)? & 0x1f;
        let next = unit_start(self.bytes, first);
        let end = next.map_or(self.bytes.len(), |(start, _)| start);
        self.at = next.unwrap_or((end, end));
        Some((start, kind, end))
    }
}

/// The next start code from `from` on, `00 00 01` with a zero byte before it or not: where it begins and where it ends.
fn unit_start(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let at = from + bytes.get(from..)?.windows(3).position(|window| window == [0, 0, 1])?;
    let begin = if at > from && bytes[at - 1] == 0 { at - 1 } else { at };
    Some((begin, at + 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: &[u8] = &[0, 0, 0, 1, 0x67, 66, 0, 31];
    const PICTURE: &[u8] = &[0, 0, 0, 1, 0x68, 0xce];
    const KEY: &[u8] = &[0, 0, 1, 0x65, 0x88, 1, 2];
    const OTHER: &[u8] = &[0, 0, 0, 1, 0x41, 0x9a, 3];

    #[test]
    fn key_picture_with_its_parameters_is_known_as_one() {
        let access = Access::read(&[SEQUENCE, PICTURE, KEY, KEY].concat()).expect("a picture");
        assert!(access.is_key && access.has_sequence && access.has_picture);
        assert_eq!(access.parameters, [0..8, 8..14]);
    }

    #[test]
    fn picture_with_any_other_slice_is_none() {
        for bytes in [OTHER.to_vec(), [KEY, OTHER].concat(), [OTHER, KEY].concat()] {
            let access = Access::read(&bytes).expect("a picture");
            assert!(!access.is_key && access.parameters.is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_picture_are_refused() {
        for bytes in [&[][..], &[0, 0], &[1, 2, 3, 0, 0, 1, 0x65], &[0, 0, 1], &[0, 0, 0, 2, 0x65], SEQUENCE]
        {
            assert_eq!(Access::read(bytes), None, "{bytes:?}");
        }
        assert!(Access::read_parameters(SEQUENCE).is_some() && Access::read_parameters(OTHER).is_none());
    }

    #[test]
    fn any_bytes_are_read_to_their_end() {
        let mut state = 1_u32;
        for len in 0..2000_usize {
            let bytes: Vec<u8> = (0..len % 64)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    [0, 0, 0, 1, 0x65, 0x67, 0x41, 9][(state >> 29) as usize]
                })
                .collect();
            if let Some(access) = Access::read(&bytes) {
                assert!(access.parameters.iter().all(|range| range.end <= bytes.len()));
            }
        }
    }
}
