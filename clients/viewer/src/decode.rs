//! From a picture's bytes to its pixels.
//!
//! Every picture is decoded, in order, unless one it refers to was not: then it is left out, because a decoder would
//! make up what is missing and show it.

use rift::{Codec, PictureId, Rectangle};
use rift_ffmpeg::{FfmpegDecoder, FfmpegError, Options};
use rift_hal::{Decoder, Frame};
use rift_tiles::DecodeError;

use crate::link::Job;
use crate::tiles::{TileScreen, Wrong};

/// Why a picture gave no pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It refers to a picture that was not decoded.
    #[error("a picture it refers to was not decoded")]
    Reference,
    /// It is coded in a way this version does not know.
    #[error("it is neither one H.264 picture nor one of tiles")]
    Codec,
    /// The decoder refused it.
    #[error("{0}")]
    Broken(FfmpegError),
    /// The decoder of tiles refused it.
    #[error("{0}")]
    BrokenTiles(DecodeError),
}

/// Decodes the pictures of a session and of those that follow it.
#[derive(Debug)]
pub struct PictureDecoder {
    decoder: FfmpegDecoder,
    tiles: TileScreen,
    codec: Codec,
    session: u32,
    size: (u16, u16),
    chain: Chain,
}

impl PictureDecoder {
    /// Opens the decoder.
    ///
    /// # Errors
    /// There is none.
    pub fn new() -> Result<Self, FfmpegError> {
        Ok(Self {
            decoder: FfmpegDecoder::new(&Options::default())?,
            tiles: TileScreen::default(),
            codec: Codec::H264,
            session: 0,
            size: (0, 0),
            chain: Chain::default(),
        })
    }

    /// Decodes a picture. `None`: there is nothing to show. Beside it, tiles that turned out to be wrong.
    ///
    /// # Errors
    /// [`Unusable`]: a repair is wanted.
    pub fn decode(&mut self, job: &Job) -> Result<(Option<Frame<'_>>, Option<Wrong>), Unusable> {
        let size = (job.parameters.width, job.parameters.height);
        if job.session != self.session || size != self.size {
            self.session = job.session;
            self.size = size;
            self.chain = Chain::default();
            self.tiles.reset();
            self.decoder.reset();
            self.decoder.set_crop(size.0.into(), size.1.into());
        }
        let head = &job.media.head;
        if !self.chain.has(head.reference(job.id)) {
            return Err(Unusable::Reference);
        }
        let [rectangle] = head.rectangles.as_slice() else { return Err(Unusable::Codec) };
        let is_whole = rectangle.place == Rectangle::sized(size.0, size.1);
        if rectangle.codec != self.codec {
            // What one decoder showed is nothing that another could go on from.
            if head.reference(job.id).is_some() {
                return Err(Unusable::Reference);
            }
            self.codec = rectangle.codec;
            self.chain = Chain::default();
        }
        let bytes = job.media.buffer.get(job.media.payload.clone()).unwrap_or_default();
        let at = job.media.whole_at;
        match rectangle.codec {
            Codec::H264 => {
                let frame = self.decoder.decode(bytes, at).map_err(Unusable::Broken)?;
                self.chain.add(job.id);
                Ok((frame, None))
            }
            Codec::Tiles if is_whole => {
                // What a broken picture has drawn is shown to nobody.
                let chain = core::mem::take(&mut self.chain);
                let drawn = self.tiles.draw(job.id, &job.parameters, bytes, at);
                let drawn = drawn.map_err(Unusable::BrokenTiles)?;
                self.chain = chain;
                self.chain.add(job.id);
                Ok(drawn)
            }
            Codec::Tiles | Codec::Jpeg | _ => Err(Unusable::Codec),
        }
    }
}

/// Which of the newest pictures were decoded.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    newest: u32,
    history: u64,
}

impl Chain {
    /// Whether `reference` can be referred to.
    fn has(&self, reference: Option<PictureId>) -> bool {
        let Some(reference) = reference else { return true };
        match self.newest.checked_sub(reference.0) {
            Some(back) if back < u64::BITS => self.history >> back & 1 == 1,
            Some(_) | None => false,
        }
    }

    fn add(&mut self, id: PictureId) {
        let step = id.0.saturating_sub(self.newest);
        self.history = self.history.checked_shl(step).unwrap_or(0) | 1;
        self.newest = self.newest.max(id.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_decoded_pictures_can_be_referred_to() {
        let mut chain = Chain::default();
        assert!(chain.has(None) && !chain.has(Some(PictureId(0))));
        for id in [1, 2, 5] {
            chain.add(PictureId(id));
        }
        let known: Vec<u32> = (0..10).filter(|&id| chain.has(Some(PictureId(id)))).collect();
        assert_eq!(known, [1, 2, 5]);
        chain.add(PictureId(1000));
        assert!(chain.has(Some(PictureId(1000))) && !chain.has(Some(PictureId(5))));
    }
}
