//! Coded pictures on their way out: a ring the caller owns and all viewers share (SPEC §11.3).
//!
//! A picture is pushed once, whatever the number of viewers; sessions refer to it and cut it into shards as it
//! leaves. When the ring is full the oldest gives way, and a session that still refers to it reports it lost.

use heapless::Vec;

use crate::channel::video::{Codec, PictureId, Rectangle};
use crate::limits::RECTANGLES_MAX;
use crate::time::Instant;
use crate::wire::picture::{CodedRectangle, PictureHead};

/// What a picture is, apart from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct PictureInfo {
    /// Its number: one more than the last.
    pub id: PictureId,
    /// The newest picture it needs; `None` = it needs none. At most 255 back.
    pub reference: Option<PictureId>,
    /// When it was captured.
    pub captured_at: Instant,
    /// When its encoding ended.
    pub encoded_at: Instant,
}

/// A rectangle of a picture with its coded bytes, in one or more parts.
#[derive(Clone, Copy, Debug)]
pub struct RectangleData<'a> {
    /// Where it goes.
    pub place: Rectangle,
    /// How its bytes are coded.
    pub codec: Codec,
    /// Its bytes, in order.
    pub parts: &'a [&'a [u8]],
}

/// Refers to a pushed picture. Stale once the ring has given its place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureRef {
    pub(crate) slot: u16,
    pub(crate) id: PictureId,
    pub(crate) reference: Option<PictureId>,
    pub(crate) len: u32,
    pub(crate) captured_at: Instant,
}

impl PictureRef {
    /// The picture's number.
    #[must_use]
    pub const fn id(&self) -> PictureId {
        self.id
    }

    /// Bytes of the picture, its head included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Never: every picture has a head.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// Why a picture was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// It is longer than a slot's buffer.
    TooLarge,
    /// It has no rectangle, an empty one, or more than [`RECTANGLES_MAX`].
    Rectangles,
    /// It refers to a picture more than 255 back, or to itself or a later one.
    Reference,
}

/// Where sessions find the bytes of pictures.
pub trait PictureStore {
    /// The bytes of a picture; `None` once another has taken its place.
    fn bytes(&self, picture: &PictureRef) -> Option<&[u8]>;
}

/// A side that sends no pictures.
#[derive(Clone, Copy, Debug)]
pub struct NoPictures;

impl PictureStore for NoPictures {
    fn bytes(&self, _: &PictureRef) -> Option<&[u8]> {
        None
    }
}

#[derive(Debug)]
struct Slot<B> {
    buffer: B,
    len: usize,
    id: PictureId,
}

/// A ring of `N` pictures in buffers of type `B`.
#[derive(Debug)]
pub struct Pictures<B, const N: usize> {
    slots: [Slot<B>; N],
    next: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, const N: usize> Pictures<B, N> {
    /// A ring over these buffers. The shortest bounds a picture.
    pub fn new(buffers: [B; N]) -> Self {
        const { assert!(N >= 1 && N <= u16::MAX as usize, "slots are numbered in 16 bits") }
        Self { slots: buffers.map(|buffer| Slot { buffer, len: 0, id: PictureId(0) }), next: 0 }
    }

    /// Copies a picture's parts into the ring, in the place of the oldest.
    ///
    /// # Errors
    /// [`PushError`]; the ring is then as before.
    pub fn push(
        &mut self,
        info: &PictureInfo,
        rectangles: &[RectangleData<'_>],
    ) -> Result<PictureRef, PushError> {
        let head = head_of(info, rectangles)?;
        let slot = &mut self.slots[self.next];
        let out = slot.buffer.as_mut();
        if head.total_len as usize > out.len() {
            return Err(PushError::TooLarge);
        }
        let mut at = head.emit(out).ok_or(PushError::TooLarge)?;
        for part in rectangles.iter().flat_map(|rectangle| rectangle.parts) {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        (slot.len, slot.id) = (at, info.id);
        let reference = PictureRef {
            slot: self.next as u16,
            id: info.id,
            reference: info.reference,
            len: head.total_len,
            captured_at: info.captured_at,
        };
        self.next = (self.next + 1) % N;
        Ok(reference)
    }
}

impl<B: AsRef<[u8]>, const N: usize> PictureStore for Pictures<B, N> {
    fn bytes(&self, picture: &PictureRef) -> Option<&[u8]> {
        let slot = self.slots.get(usize::from(picture.slot))?;
        if slot.id != picture.id || slot.len != picture.len as usize {
            return None;
        }
        slot.buffer.as_ref().get(..slot.len)
    }
}

fn head_of(info: &PictureInfo, rectangles: &[RectangleData<'_>]) -> Result<PictureHead, PushError> {
    let reference_distance = match info.reference {
        None => 0,
        Some(reference) => {
            let distance = info.id.0.checked_sub(reference.0).filter(|&distance| distance > 0);
            distance.and_then(|distance| u8::try_from(distance).ok()).ok_or(PushError::Reference)?
        }
    };
    let mut coded = Vec::<_, RECTANGLES_MAX>::new();
    let mut total = 0u32;
    for rectangle in rectangles {
        let len = rectangle.parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(len).map_err(|_| PushError::TooLarge)?;
        total = total.checked_add(len).ok_or(PushError::TooLarge)?;
        let entry = CodedRectangle { place: rectangle.place, codec: rectangle.codec, len };
        if rectangle.place.is_empty() || coded.push(entry).is_err() {
            return Err(PushError::Rectangles);
        }
    }
    if coded.is_empty() {
        return Err(PushError::Rectangles);
    }
    let mut head = PictureHead {
        reference_distance,
        total_len: 0,
        captured_us: info.captured_at.as_micros() as u32,
        encoded_after_us: u32::try_from(info.encoded_at.micros_since(info.captured_at)).unwrap_or(u32::MAX),
        sent_after_us: 0,
        rectangles: coded,
    };
    head.total_len = total.checked_add(head.len() as u32).ok_or(PushError::TooLarge)?;
    Ok(head)
}
