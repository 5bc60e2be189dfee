//! H.264 encoding by libx264.
//!
//! One picture in, its bytes out, before the call returns: no lookahead, no reordering, no key picture that nobody
//! asked for. What was lost on the way is repaired by no longer referring to it. Pixels are converted once, where
//! they changed, into a picture the encoder owns.
//!
//! Every picture's size is bounded by the bit rate: it comes out of a buffer of [`Options::buffer_pictures`]
//! pictures that fills at that rate. Quality is otherwise constant ([`Options::quantiser`]); a screen that has come
//! to rest is encoded again with [`X264Encoder::set_quality_boost`] on until it is as good as wanted.
//!
//! The stream is Annex B, BT.709 limited range. H.264 in 4:2:0 has even sizes only: an odd width or height is coded
//! one pixel larger, its last column or row repeated, and the receiver crops to the size it was told.
//!
//! An encoder of 1920×1080 takes about 60 MB. A program that lives longer than a size of its pictures calls
//! [`release_large_blocks`] so that they go back to the system with the encoder.

mod convert;
mod ffi;
mod memory;
mod output;
mod references;
mod scale;

use core::ffi::CStr;

use rift::{PictureId, Rectangle};
use rift_hal::{EncodeRequest, Encoded, Encoder, EncoderSettings, Frame, PixelFormat};

use crate::convert::Canvas;
use crate::ffi::{Changed, Input, Layout, Rate, Raw, Setup};
use crate::output::{Collector, Sink, Store};
use crate::references::References;

pub use crate::memory::release_large_blocks;
pub use crate::scale::{Reduction, Scaler};

/// How much the encoder searches: slower ones spend time of both ends for fewer bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// The fastest to encode and to decode.
    #[default]
    Ultrafast,
    /// About twice the time of [`Self::Ultrafast`]; arithmetic coding.
    Superfast,
    /// A little slower than [`Self::Superfast`].
    Veryfast,
}

/// How to encode, beyond [`EncoderSettings`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Threads, `1..=16`; each encodes its own part of every picture.
    pub threads: u8,
    /// Slices a picture, at least one a thread; more of them leave earlier through [`X264Encoder::encode_slices`].
    pub slices: u8,
    /// Pictures kept to refer to after a loss, `4..=16`; fewer are kept when level 5.1 of H.264 allows fewer at the
    /// picture's size (table A-1). It costs memory at both ends and no time.
    pub references: u8,
    /// How much to search.
    pub preset: Preset,
    /// The quantiser aimed for, `0..=51`, lower is better; the bit rate may force a higher one.
    pub quantiser: u8,
    /// The quantiser aimed for while [`X264Encoder::set_quality_boost`] is on.
    pub boost_quantiser: u8,
    /// The largest picture, in average pictures at the bit rate, `1.0..=16.0`. A change of the whole screen reaches a
    /// given quality after about as many bytes whatever this is; a larger one takes fewer pictures for it, and lets
    /// that much more be on its way at once.
    pub buffer_pictures: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 2,
            slices: 2,
            references: 16,
            preset: Preset::Ultrafast,
            quantiser: 22,
            boost_quantiser: 10,
            buffer_pictures: 2.0,
        }
    }
}

/// Why a picture could not be encoded, or an encoder not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum X264Error {
    /// A setting is outside of its documented range.
    #[error("cannot encode with this {0}: it is outside of its documented range")]
    Setting(&'static str),
    /// libx264 took none of it.
    #[error("libx264 refused to open an encoder for {width}×{height}; is there memory for it?")]
    Open {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// The frame has another size than the encoder.
    #[error("the frame is {frame_width}×{frame_height} and the encoder {width}×{height}; make a new encoder")]
    Size {
        /// Pixels across of the frame.
        frame_width: u32,
        /// Pixels down of the frame.
        frame_height: u32,
        /// Pixels across of the encoder.
        width: u32,
        /// Pixels down of the encoder.
        height: u32,
    },
    /// The frame's format is none of BGRX, I420, NV12, YUYV and UYVY.
    #[error("cannot encode {0:?} frames; give BGRX, I420, NV12, YUYV or UYVY")]
    Format(PixelFormat),
    /// libx264 failed at this picture. The next one is a key picture.
    #[error("libx264 could not encode picture {}", .0.0)]
    Encode(PictureId),
    /// libx264 kept the rate and quality it had.
    #[error("libx264 refused to change to {bitrate_bps} bit/s; the old rate stays")]
    Reconfigure {
        /// The rate asked for.
        bitrate_bps: u32,
    },
    /// libx264 did not mark the pictures; the next one is a key picture.
    #[error("libx264 could not forget picture {} and later ones", .0.0)]
    Invalidate(PictureId),
}

/// An H.264 encoder.
#[derive(Debug)]
pub struct X264Encoder {
    raw: Raw,
    canvas: Canvas,
    store: Store,
    references: References,
    settings: EncoderSettings,
    options: Options,
    boost: bool,
    pts: i64,
    /// The canvas holds the next frame already.
    is_converted: bool,
}

impl X264Encoder {
    /// The most macroblocks the pictures kept may have in all: level 5.1 (H.264 table A-1, `MaxDpbMbs`).
    const KEPT_MACROBLOCKS_MAX: u32 = 184_320;

    /// Opens an encoder. Its first picture will be a key picture.
    ///
    /// # Errors
    /// [`X264Error::Setting`] when a setting or option is outside of its range, [`X264Error::Open`] when libx264
    /// refuses.
    pub fn new(settings: &EncoderSettings, options: &Options) -> Result<Self, X264Error> {
        check(settings, options)?;
        let EncoderSettings { width, height, .. } = *settings;
        let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
        let kept = (Self::KEPT_MACROBLOCKS_MAX / (columns * rows)).clamp(1, u32::from(options.references));
        let kept = u8::try_from(kept).expect("at most the option's own value");
        let slices = u32::from(options.slices);
        let setup = Setup {
            width: width.next_multiple_of(2),
            height: height.next_multiple_of(2),
            rate_millihertz: settings.rate_millihertz,
            threads: options.threads,
            references: kept,
            slice_macroblocks: (slices > u32::from(options.threads)).then(|| rows.div_ceil(slices) * columns),
            preset: options.preset.name(),
        };
        let raw =
            Raw::open(&setup, &rate(settings, options, false)).ok_or(X264Error::Open { width, height })?;
        Ok(Self {
            raw,
            canvas: Canvas::new(width, height),
            store: Store::new(options.slices.max(options.threads)),
            references: References::new(usize::from(kept)),
            settings: *settings,
            options: *options,
            boost: false,
            pts: 0,
            is_converted: false,
        })
    }

    /// As [`Encoder::encode`], but hands each slice to `sink` as soon as it and all before it are coded, from
    /// whichever thread finished it. The sink should be quick: the encoder's threads wait for it.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; parts of the picture may have been handed out by then.
    pub fn encode_slices(
        &mut self,
        frame: &Frame<'_>,
        request: &EncodeRequest,
        sink: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Encoded, X264Error> {
        self.encode_to(frame, request, Some(sink))
    }

    /// Does the first part of the next [`Encoder::encode`] ahead, so that both can be timed: brings the pixels into the
    /// form that libx264 reads. Returns whether any were copied for that; frames that libx264 reads as they are need it
    /// not. The next call encodes this frame with this request, whatever else it is given.
    ///
    /// # Errors
    /// [`X264Error::Size`], [`X264Error::Format`].
    pub fn convert(&mut self, frame: &Frame<'_>, request: &EncodeRequest) -> Result<bool, X264Error> {
        self.check_size(frame)?;
        if layout(frame).is_some() {
            return Ok(false);
        }
        if !self.canvas.update(frame, request.damage) {
            return Err(X264Error::Format(frame.format()));
        }
        self.is_converted = true;
        Ok(true)
    }

    /// Aims for [`Options::boost_quantiser`] (`true`) or back for [`Options::quantiser`], from the next picture on.
    ///
    /// For a screen at rest: encode the same frame again while this is on until [`Encoded::quantiser`] says that it
    /// is as good as wanted.
    ///
    /// # Errors
    /// [`X264Error::Reconfigure`] when libx264 refuses; the quality then stays.
    pub fn set_quality_boost(&mut self, boost: bool) -> Result<(), X264Error> {
        if boost == self.boost {
            return Ok(());
        }
        self.reconfigure(self.settings.bitrate_bps, boost)
    }

    /// The picture the next one will refer to, `None` when it will be a key picture.
    #[must_use]
    pub fn reference(&self) -> Option<PictureId> {
        self.references.newest()
    }

    /// The bit rate now aimed for, in bits per second.
    #[must_use]
    pub const fn bitrate_bps(&self) -> u32 {
        self.settings.bitrate_bps
    }

    fn encode_to(
        &mut self,
        frame: &Frame<'_>,
        request: &EncodeRequest,
        sink: Option<Sink<'_>>,
    ) -> Result<Encoded, X264Error> {
        let is_converted = core::mem::take(&mut self.is_converted);
        self.check_size(frame)?;
        let changed =
            request.damage.filter(|_| self.references.newest_is_last()).map(|damage| self.changed(damage));
        let input = if is_converted {
            Input { layout: Layout::I420, planes: self.canvas.planes() }
        } else {
            input(&mut self.canvas, frame, request)?
        };
        let key = request.key || self.references.newest().is_none();
        let pts = self.pts;
        self.pts += 1;
        let collector = Collector::new(&mut self.store, sink);
        let output = self.raw.encode(&input, pts, key, changed.as_ref(), &collector);
        let panic = collector.finish();
        if let Some(panic) = panic {
            // The caller may catch it and go on; what came of this picture is then unknown.
            self.references.clear();
            std::panic::resume_unwind(panic);
        }
        let Some(output) = output else {
            self.references.clear();
            return Err(X264Error::Encode(request.id));
        };
        self.references.push(request.id, pts, output.key);
        Ok(Encoded { len: self.store.picture_len(), key: output.key, quantiser: whole(output.quantiser) })
    }

    fn check_size(&self, frame: &Frame<'_>) -> Result<(), X264Error> {
        let EncoderSettings { width, height, .. } = self.settings;
        let (frame_width, frame_height) = (frame.width(), frame.height());
        if (frame_width, frame_height) == (width, height) {
            return Ok(());
        }
        Err(X264Error::Size { frame_width, frame_height, width, height })
    }

    /// The macroblocks that `damage` touches.
    fn changed(&self, damage: Rectangle) -> Changed {
        let touched = |start: u16, len: u16, side: u32| {
            let end = (usize::from(start) + usize::from(len)).div_ceil(16).min(side.div_ceil(16) as usize);
            (usize::from(start) / 16).min(end)..end
        };
        let EncoderSettings { width, height, .. } = self.settings;
        if damage.is_empty() {
            return Changed { columns: 0..0, rows: 0..0 };
        }
        Changed {
            columns: touched(damage.x, damage.width, width),
            rows: touched(damage.y, damage.height, height),
        }
    }

    fn reconfigure(&mut self, bitrate_bps: u32, boost: bool) -> Result<(), X264Error> {
        let settings = EncoderSettings { bitrate_bps, ..self.settings };
        if !self.raw.reconfigure(&rate(&settings, &self.options, boost)) {
            return Err(X264Error::Reconfigure { bitrate_bps });
        }
        self.settings = settings;
        self.boost = boost;
        Ok(())
    }
}

impl Encoder for X264Encoder {
    type Error = X264Error;

    fn encode(
        &mut self,
        frame: &Frame<'_>,
        request: &EncodeRequest,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Encoded, X264Error> {
        let encoded = self.encode_to(frame, request, None)?;
        self.store.drain(sink);
        Ok(encoded)
    }

    fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), X264Error> {
        if bitrate_bps == self.settings.bitrate_bps {
            return Ok(());
        }
        self.reconfigure(bitrate_bps, self.boost)
    }

    fn invalidate(&mut self, from: PictureId) -> Result<bool, X264Error> {
        if let Some(pts) = self.references.invalidate(from)
            && !self.raw.invalidate(pts)
        {
            self.references.clear();
            return Err(X264Error::Invalidate(from));
        }
        Ok(self.references.newest().is_some())
    }
}

impl Preset {
    const fn name(self) -> &'static CStr {
        match self {
            Self::Ultrafast => c"ultrafast",
            Self::Superfast => c"superfast",
            Self::Veryfast => c"veryfast",
        }
    }
}

/// The planes to encode: the frame's own where libx264 reads them as they are, else the canvas brought up to date.
fn input<'a>(
    canvas: &'a mut Canvas,
    frame: &Frame<'a>,
    request: &EncodeRequest,
) -> Result<Input<'a>, X264Error> {
    if let Some(layout) = layout(frame) {
        canvas.forget();
        return Ok(Input { layout, planes: frame.planes().map(|plane| (plane.data, plane.stride)) });
    }
    if !canvas.update(frame, request.damage) {
        return Err(X264Error::Format(frame.format()));
    }
    Ok(Input { layout: Layout::I420, planes: canvas.planes() })
}

/// How libx264 reads this frame as it is; `None` if it cannot.
fn layout(frame: &Frame<'_>) -> Option<Layout> {
    let even = frame.width().is_multiple_of(2) && frame.height().is_multiple_of(2);
    if !even {
        None
    } else if frame.format() == PixelFormat::I420 {
        Some(Layout::I420)
    } else if frame.format() == PixelFormat::Nv12 {
        Some(Layout::Nv12)
    } else {
        None
    }
}

fn check(settings: &EncoderSettings, options: &Options) -> Result<(), X264Error> {
    let side = 1..=Frame::SIDE_MAX;
    let checks = [
        (side.contains(&settings.width), "width"),
        (side.contains(&settings.height), "height"),
        ((1_000..=1_000_000).contains(&settings.rate_millihertz), "picture rate"),
        ((1..=16).contains(&options.threads), "number of threads"),
        ((1..=64).contains(&options.slices), "number of slices"),
        ((4..=16).contains(&options.references), "number of references"),
        (options.quantiser <= 51, "quantiser"),
        (options.boost_quantiser <= 51, "quantiser of the boost"),
        ((1.0..=16.0).contains(&options.buffer_pictures), "buffer"),
    ];
    checks.iter().find(|(inside, _)| !inside).map_or(Ok(()), |(_, what)| Err(X264Error::Setting(what)))
}

/// libx264 counts in kilobits. Rates outside of what it can count are moved to the nearest it can.
fn rate(settings: &EncoderSettings, options: &Options, boost: bool) -> Rate {
    const KILOBITS_MIN: u32 = 64;
    const KILOBITS_MAX: u32 = 1_000_000;
    let kilobits = (settings.bitrate_bps / 1000).clamp(KILOBITS_MIN, KILOBITS_MAX);
    let picture_kilobits = f64::from(kilobits) * 1000.0 / f64::from(settings.rate_millihertz);
    let buffer = (picture_kilobits * f64::from(options.buffer_pictures)).ceil();
    Rate {
        kilobits: kilobits as i32,
        buffer_kilobits: buffer as i32,
        quantiser: f32::from(if boost { options.boost_quantiser } else { options.quantiser }),
    }
}

/// A mean quantiser, rounded into the codec's scale.
fn whole(quantiser: f64) -> u8 {
    quantiser.clamp(0.0, 51.0).round() as u8
}
