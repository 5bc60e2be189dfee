//! Delivered pictures in the application's hands: told of, looked at, traded for an empty buffer, given back.

use super::{Media, PictureSlot, State, TakenMedia};
use crate::channel::video::PictureId;
use crate::wire::picture::PictureHead;

/// The oldest delivered picture that the application has not been told of.
pub(crate) fn announce<B>(slots: &mut [PictureSlot<B>]) -> Option<PictureId> {
    let slot = slots
        .iter_mut()
        .filter(|slot| slot.state == State::Lent && !slot.announced)
        .min_by_key(|slot| slot.id)?;
    slot.announced = true;
    Some(slot.id)
}

/// The lent picture `id`.
pub(crate) fn lent<B: AsRef<[u8]>>(slots: &[PictureSlot<B>], id: PictureId) -> Option<Media<'_>> {
    let slot = slots.iter().find(|slot| slot.state == State::Lent && slot.id == id)?;
    let bytes = slot.buffer.as_ref()?.as_ref();
    let (mut head, _) = PictureHead::parse(bytes)?;
    head.sent_after_us = slot.sent_after_us;
    Some(Media {
        head,
        payload: bytes.get(slot.payload_range())?,
        first_at: slot.first_at,
        whole_at: slot.last_at,
        repaired: slot.repaired,
    })
}

/// Trades the lent picture `id` for `spare`; gives `spare` back when there is none.
///
/// A picture that later parity covers stays where it is, and what is handed out is a copy: its bytes are
/// few, as windows go over small pictures only.
pub(crate) fn swap<B: AsRef<[u8]> + AsMut<[u8]>>(
    slots: &mut [PictureSlot<B>],
    id: PictureId,
    mut spare: B,
) -> Result<TakenMedia<B>, B> {
    let Some(slot) = slots.iter_mut().find(|slot| slot.state == State::Lent && slot.id == id) else {
        return Err(spare);
    };
    let parsed = slot.buffer.as_ref().and_then(|buffer| PictureHead::parse(buffer.as_ref()));
    let Some((mut head, _)) = parsed else { return Err(spare) };
    let Some(buffer) = slot.buffer.take() else { return Err(spare) };
    let end = slot.payload_range().end;
    let copied = buffer.as_ref().get(..end).zip(spare.as_mut().get_mut(..end)).filter(|_| slot.is_kept);
    let (buffer, kept) = if let Some((from, to)) = copied {
        to.copy_from_slice(from);
        slot.state = State::Kept;
        (spare, buffer)
    } else {
        slot.state = State::Free;
        (buffer, spare)
    };
    slot.buffer = Some(kept);
    head.sent_after_us = slot.sent_after_us;
    Ok(TakenMedia {
        head,
        buffer,
        payload: slot.payload_range(),
        first_at: slot.first_at,
        whole_at: slot.last_at,
        repaired: slot.repaired,
    })
}

/// Gives the lent picture `id` back unused or used.
pub(crate) fn release<B>(slots: &mut [PictureSlot<B>], id: PictureId) {
    if let Some(slot) = slots.iter_mut().find(|slot| slot.state == State::Lent && slot.id == id) {
        slot.state = if slot.is_kept { State::Kept } else { State::Free };
    }
}
