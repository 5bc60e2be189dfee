//! Binding requests of STUN that are as long as whoever asks likes (SPEC §18.2): one that is answered was not too long for the
//! way, whatever routers say or keep to themselves (RFC 8899 calls it packetization layer path MTU discovery).
//!
//! The core reads requests of [`stun::LEN_MAX`] bytes. A longer one is taken if nothing but one padding attribute makes it so; it
//! is answered as the same request without. Its answer is much shorter than it. Nothing is allocated or remembered.
//!
//! The attribute's type is one that who does not know it passes over (RFC 8489 §14) and that nobody else has taken, and not
//! PADDING of RFC 5780: servers that know that one answer with as long a datagram.

#![no_std]
#![forbid(unsafe_code)]

use core::net::SocketAddr;

use rift::wire::stun::{self, TransactionId};

/// The type of the attribute that fills a request.
const PADDING: u16 = 0xffd7;
const HEADER_LEN: usize = 20;
const ATTRIBUTE_LEN: usize = 4;
const REQUEST: [u8; 2] = [0, 1];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Fills `out` with one Binding request. `None` when there is none of that length: it is a multiple of 4, from 24 to 65532.
pub fn write_padded(id: &TransactionId, out: &mut [u8]) -> Option<()> {
    let attributes = out.len().checked_sub(HEADER_LEN)?;
    let padding = u16::try_from(attributes.checked_sub(ATTRIBUTE_LEN)?).ok()?;
    if !out.len().is_multiple_of(4) {
        return None;
    }
    out.fill(0);
    let attributes = u16::try_from(attributes).ok()?.to_be_bytes();
    let head = [&REQUEST[..], &attributes, &COOKIE, id, &PADDING.to_be_bytes(), &padding.to_be_bytes()];
    let mut rest = out;
    for part in head {
        let (place, after) = rest.split_at_mut_checked(part.len())?;
        place.copy_from_slice(part);
        rest = after;
    }
    Some(())
}

/// [`stun::answer`], also to a request that is longer than others are by its padding alone.
pub fn answer(datagram: &[u8], from: SocketAddr, out: &mut [u8]) -> Option<usize> {
    if datagram.len() <= stun::LEN_MAX {
        return stun::answer(datagram, from, out);
    }
    stun::answer(&bare(datagram)?, from, out)
}

/// A request of one padding attribute without it.
fn bare(datagram: &[u8]) -> Option<[u8; HEADER_LEN]> {
    let (head, attributes) = datagram.split_first_chunk::<HEADER_LEN>()?;
    let (attribute, padding) = attributes.split_first_chunk::<ATTRIBUTE_LEN>()?;
    let [kind @ .., a, b] = *attribute;
    let is_padding =
        kind == PADDING.to_be_bytes() && usize::from(u16::from_be_bytes([a, b])) == padding.len();
    let is_whole = usize::from(u16::from_be_bytes([head[2], head[3]])) == attributes.len();
    let mut head = *head;
    [head[2], head[3]] = [0, 0];
    (is_padding && is_whole).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = [7; 12];

    fn me() -> SocketAddr {
        ([198, 51, 100, 7], 40_000).into()
    }

    fn answered(request: &[u8]) -> Option<SocketAddr> {
        let mut answer = [0; stun::ANSWER_LEN_MAX];
        let len = super::answer(request, me(), &mut answer)?;
        assert!(!stun::is_longer(request, len), "no more is sent than came");
        stun::parse_answer(&answer[..len], &ID)?.ok()
    }

    #[test]
    fn requests_of_every_length_are_answered() {
        for len in [32, 100, 548, 552, 1200, 1472, 8972, 65_532] {
            let mut request = [0xff; 65_532];
            let request = &mut request[..len];
            write_padded(&ID, request).expect("there is one");
            assert_eq!(answered(request), Some(me()), "{len}");
        }
        for len in [0, 20, 23, 27, 1201] {
            assert_eq!(write_padded(&ID, &mut [0; 1300][..len]), None, "{len}");
        }
    }

    #[test]
    fn what_else_is_long_or_was_cut_short_is_not_answered() {
        let mut request = [0; 1200];
        write_padded(&ID, &mut request).expect("there is one");
        assert_eq!(answered(&request[..1100]), None, "cut short");
        for (at, what) in [
            (0, "no request"),
            (5, "no STUN"),
            (3, "of another length"),
            (21, "another attribute"),
            (23, "one more"),
        ] {
            let mut other = request;
            other[at] ^= 4;
            assert_eq!(answered(&other), None, "{what}");
        }
    }
}
