//! What a viewer can show (SPEC §11.9). The host chooses from it how pictures are coded for this viewer.

use heapless::Vec;

use super::video::Codec;
use crate::limits::CODECS_MAX;

/// The colours a viewer can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colours {
    /// Eight bits of red, green and blue.
    pub rgb888: bool,
    /// Five bits of red, six of green, five of blue.
    pub rgb565: bool,
}

impl Colours {
    /// The best there are.
    pub const RGB888: Self = Self { rgb888: true, rgb565: false };
    /// Small memory.
    pub const RGB565: Self = Self { rgb888: false, rgb565: true };
}

/// What a viewer can show, as it tells its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The codecs it can decode, the one it likes best first; at least one, none twice.
    pub codecs: Vec<Codec, CODECS_MAX>,
    /// In which colours it shows tiles; at least one.
    pub colours: Colours,
    /// The widest picture it can show, in pixels, `1..=16384`.
    pub width_max: u16,
    /// The highest.
    pub height_max: u16,
    /// Bytes of the largest picture that fits its memory, head and parity included.
    pub picture_len_max: u32,
}

impl Capabilities {
    /// A viewer with these codecs, the best first (what is too many or there twice is left out), and room for
    /// everything.
    #[must_use]
    pub fn of(codecs: &[Codec]) -> Self {
        let mut kept = Vec::new();
        for &codec in codecs {
            if !kept.contains(&codec) {
                // More codecs than there are cannot be told.
                let _ = kept.push(codec);
            }
        }
        Self {
            codecs: kept,
            colours: Colours::RGB888,
            width_max: 16384,
            height_max: 16384,
            picture_len_max: u32::MAX,
        }
    }

    /// Whether it can decode this codec.
    #[must_use]
    pub fn can(&self, codec: Codec) -> bool {
        self.codecs.contains(&codec)
    }
}
