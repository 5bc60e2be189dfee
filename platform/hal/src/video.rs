//! Sources, encoders, decoders and displays.

use rift::{InputEvent, Instant, PictureId, Rectangle};

use crate::Frame;

/// Something that shows moving pictures: a screen, a capture card, a test scene.
pub trait VideoSource {
    /// Why no frame could be had.
    type Error: core::error::Error;

    /// The size of the frames it gives now, in pixels.
    fn size(&self) -> (u32, u32);

    /// The newest frame if anything changed since the last call, else `None`; never waits.
    /// A still screen gives `None` and costs nothing.
    ///
    /// # Errors
    /// The backend's own. The source may be polled again; it recovers or keeps failing.
    fn poll_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, Self::Error>;

    /// What changed between the last two frames that [`Self::poll_frame`] gave: one rectangle around it all.
    /// A source that does not know says the whole frame.
    fn damage(&self) -> Rectangle;

    /// The current frame whether or not anything changed (a repair or a new viewer needs one).
    ///
    /// # Errors
    /// As [`Self::poll_frame`].
    fn current_frame(&mut self, now: Instant) -> Result<Option<Frame<'_>>, Self::Error>;

    /// The cursor, when the source keeps it apart from its pixels and it changed since the last call.
    fn poll_cursor(&mut self) -> Option<Cursor<'_>> {
        None
    }
}

/// A thing with a descriptor that becomes readable when it is worth polling.
#[cfg(feature = "std")]
pub trait Pollable {
    /// The descriptor to wait on. Poll the thing until it gives nothing before waiting.
    fn poll_fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

/// Where the cursor is and what it looks like.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    /// The hot spot's place in the picture, in pixels from its left edge.
    pub x: u16,
    /// The same from its top edge.
    pub y: u16,
    /// Whether it shows at all.
    pub visible: bool,
    /// Its shape, when that changed.
    pub shape: Option<CursorShape<'a>>,
}

/// A cursor's picture.
#[derive(Clone, Copy, Debug)]
pub struct CursorShape<'a> {
    /// Pixels across, `1..=256`.
    pub width: u16,
    /// Pixels down, `1..=256`.
    pub height: u16,
    /// The hot spot inside it.
    pub hot_x: u16,
    /// The hot spot inside it.
    pub hot_y: u16,
    /// Blue, green, red, alpha; colours multiplied by alpha; `width * height * 4` bytes.
    pub bgra: &'a [u8],
}

/// How an encoder is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Pictures per 1000 s at most.
    pub rate_millihertz: u32,
    /// Bits per second to aim for.
    pub bitrate_bps: u32,
}

/// What the next picture must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeRequest {
    /// The picture's number.
    pub id: PictureId,
    /// Code it so that it needs no other picture.
    pub key: bool,
    /// The part that changed since the last picture; `None` = all of it. Encoders may use it, none must.
    pub damage: Option<Rectangle>,
}

/// What an encoder made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes given to the sink.
    pub len: usize,
    /// Whether it needs no other picture.
    pub key: bool,
    /// The mean quantiser, in the codec's own scale (H.264: 0 best, 51 worst).
    pub quantiser: u8,
}

/// Turns frames into coded pictures.
pub trait Encoder {
    /// Why a frame could not be encoded.
    type Error: core::error::Error;

    /// Encodes one frame and hands its bytes to `sink`, in order, in one or more parts.
    /// Nothing is held back: every frame comes out before the call returns.
    ///
    /// # Errors
    /// The backend's own; the frame's format or size may not be one it takes.
    fn encode(
        &mut self,
        frame: &Frame<'_>,
        request: &EncodeRequest,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Encoded, Self::Error>;

    /// Changes the bit rate from the next picture on, without a key picture.
    ///
    /// # Errors
    /// The backend's own; the old rate then stays.
    fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), Self::Error>;

    /// Never again refers to picture `from` or any later one made so far. Returns whether enough older
    /// pictures are left; if not, ask for a key picture.
    ///
    /// # Errors
    /// The backend's own.
    fn invalidate(&mut self, from: PictureId) -> Result<bool, Self::Error>;
}

/// Turns coded pictures into frames.
pub trait Decoder {
    /// Why a picture could not be decoded.
    type Error: core::error::Error;

    /// Decodes one picture. `captured_at` is carried to the frame. The frame is lent until the next call.
    /// `None`: the picture was taken, and there is nothing to show.
    ///
    /// # Errors
    /// The backend's own; the decoder goes on with the next key picture.
    fn decode(&mut self, data: &[u8], captured_at: Instant) -> Result<Option<Frame<'_>>, Self::Error>;
}

/// What a key of the client's window did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The physical key.
    pub key: rift::Scancode,
    /// Down or up.
    pub pressed: bool,
    /// The character it would enter under the client's layout, if it enters one.
    pub text: Option<char>,
    /// Whether Control, Alt or Super is held: then it is a command and never text.
    pub command: bool,
}

/// What happened at the window.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisplayEvent {
    /// A key went down or up.
    Key(Key),
    /// The pointer or its buttons or wheel; absolute places already in the picture's own scale.
    Pointer(InputEvent),
    /// The window gained (`true`) or lost the focus.
    Focus(bool),
    /// The window has a new size in pixels.
    Resized(u32, u32),
    /// The person closed the window.
    Closed,
}

/// Shows frames and gives what is done at it.
pub trait Display {
    /// Why it could not show.
    type Error: core::error::Error;

    /// Shows a frame, scaled to the window with its shape kept, and returns once it is on its way to the screen.
    /// `changed` is the part that differs from the last frame shown; `None` = all of it.
    ///
    /// # Errors
    /// The backend's own.
    fn present(&mut self, frame: &Frame<'_>, changed: Option<Rectangle>) -> Result<(), Self::Error>;

    /// The next thing that happened, oldest first; `None` when there is none. Never waits.
    ///
    /// # Errors
    /// The backend's own; the window is then gone.
    fn poll_event(&mut self) -> Result<Option<DisplayEvent>, Self::Error>;

    /// Draws the host's cursor at its place from now on; a shape stays until the next one.
    ///
    /// # Errors
    /// The backend's own.
    fn set_cursor(&mut self, cursor: &Cursor<'_>) -> Result<(), Self::Error>;

    /// Lines of text drawn over the picture's top left corner; empty = none.
    ///
    /// # Errors
    /// The backend's own.
    fn set_overlay(&mut self, text: &str) -> Result<(), Self::Error>;

    /// Takes (`true`) or gives back the pointer and keyboard: while taken, motion is relative.
    /// Returns whether the display could.
    ///
    /// # Errors
    /// The backend's own.
    fn set_grab(&mut self, grab: bool) -> Result<bool, Self::Error>;

    /// Fills the screen or goes back to a window. Returns whether the display could.
    ///
    /// # Errors
    /// The backend's own.
    fn set_fullscreen(&mut self, fullscreen: bool) -> Result<bool, Self::Error>;
}
