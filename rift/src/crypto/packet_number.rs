//! Packet numbers on the wire: the low 24 bits, expanded to 64 by what is expected next (SPEC §5; RFC 9000 §17.1
//! and appendix A.3).

/// Bits of a packet number that a header carries.
pub const PACKET_NUMBER_BITS: u32 = 24;

const WINDOW: u64 = 1 << PACKET_NUMBER_BITS;
const HALF: u64 = WINDOW / 2;

/// The low 24 bits of `pn`, as a header carries them.
#[must_use]
pub const fn truncate(pn: u64) -> u32 {
    let [a, b, c, ..] = pn.to_le_bytes();
    u32::from_le_bytes([a, b, c, 0])
}

/// The packet number nearest to `expected` whose low 24 bits are `truncated`; `expected` is the largest number
/// received, plus one. Bits of `truncated` above the 24th are ignored.
///
/// It is right while sender and receiver are less than 2²³ packets apart. Of two that are equally near it takes
/// the larger, as RFC 9000 does, and it never leaves the range of `u64`: there the other neighbour is taken.
#[must_use]
pub fn expand(truncated: u32, expected: u64) -> u64 {
    let candidate = (expected & !(WINDOW - 1)) | (u64::from(truncated) & (WINDOW - 1));
    if candidate < expected && expected - candidate >= HALF {
        candidate.checked_add(WINDOW).unwrap_or(candidate)
    } else if candidate > expected && candidate - expected > HALF {
        candidate.checked_sub(WINDOW).unwrap_or(candidate)
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u64; 10] =
        [0, 1, HALF - 1, HALF, WINDOW - 1, WINDOW, WINDOW + HALF, 0xa82f_30ea, u64::MAX - WINDOW, u64::MAX];

    #[test]
    fn what_lies_within_half_a_window_is_restored() {
        for expected in EDGES {
            for back in [0, 1, 2, HALF - 2, HALF - 1] {
                for pn in [expected.checked_sub(back), expected.checked_add(back)].into_iter().flatten() {
                    assert_eq!(expand(truncate(pn), expected), pn, "{pn} beside {expected}");
                }
            }
        }
    }

    #[test]
    fn of_two_equally_near_the_larger_is_taken() {
        for expected in [5 * WINDOW + 77, 5 * WINDOW + HALF + 77] {
            assert_eq!(expand(truncate(expected - HALF), expected), expected + HALF);
            assert_eq!(expand(truncate(expected + HALF), expected), expected + HALF);
            assert_eq!(expand(truncate(expected - HALF + 1), expected), expected - HALF + 1);
            assert_eq!(expand(truncate(expected + HALF + 1), expected), expected - HALF + 1);
        }
    }

    #[test]
    fn at_the_ends_of_the_range_the_only_neighbour_is_taken() {
        // Nothing lies below 0: a number that looks old is far ahead instead.
        assert_eq!(expand(0x00ff_ffff, 0), 0x00ff_ffff);
        assert_eq!(expand(0x0080_0001, 0), 0x0080_0001);
        // Nothing lies above 2⁶⁴ − 1: one that looks new is old instead.
        assert_eq!(expand(0, u64::MAX), u64::MAX - (WINDOW - 1));
        assert_eq!(expand(5, u64::MAX), u64::MAX - (WINDOW - 1) + 5);
    }

    #[test]
    fn the_nearest_of_all_numbers_with_these_bits_is_taken() {
        for expected in EDGES {
            for truncated in (0..1 << 24).step_by(4093) {
                let found = expand(truncated, expected);
                assert_eq!(truncate(found), truncated);
                for other in [found.checked_sub(WINDOW), found.checked_add(WINDOW)].into_iter().flatten() {
                    assert!(found.abs_diff(expected) <= other.abs_diff(expected), "{truncated} {expected}");
                }
            }
        }
    }

    #[test]
    fn example_of_rfc_9000_holds_with_24_bits() {
        assert_eq!(truncate(0xa82f_9b32), 0x002f_9b32);
        assert_eq!(expand(0x002f_9b32, 0xa82f_30eb), 0xa82f_9b32);
        assert_eq!(expand(0xff2f_9b32, 0xa82f_30eb), 0xa82f_9b32, "bits above the 24th are ignored");
    }
}
