//! The picture in the window: conversion into memory shared with the server, and putting what changed.
//!
//! Two buffers take turns, so one is filled while the server may still read the other. Each remembers which
//! part of it is older than the newest frame (`stale`). Invariant: the buffer put last has no stale part.

use rift::Rectangle;
use rift_hal::{Frame, PixelFormat};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::shm;
use x11rb::protocol::xproto::{ConnectionExt, Gcontext, ImageFormat, Window};
use x11rb::rust_connection::RustConnection;
use yuv::{
    YuvBiPlanarImage, YuvConversionMode, YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv_nv12_to_bgra,
    yuv420_to_bgra,
};

use crate::Error;
use crate::connection::PIXEL;
use crate::scale::{Layout, Scaler};
use crate::segment::Segment;

/// Bytes of a PutImage request besides the pixels, with the long form of its length.
const PUT_HEADER: usize = 28;

/// Where pictures go.
pub(crate) struct Target<'a> {
    pub(crate) connection: &'a RustConnection,
    pub(crate) window: Window,
    pub(crate) gc: Gcontext,
    pub(crate) depth: u8,
}

/// The picture of one window.
pub(crate) struct Picture {
    shared: bool,
    shown: Option<Shown>,
}

/// What is there once a frame has come.
struct Shown {
    layout: Layout,
    buffers: [Buffer; 2],
    /// The buffer put last.
    front: usize,
    /// The newest frame at its own size; up to date only while the layout is not exact.
    unscaled: Vec<u8>,
    scaler: Scaler,
}

struct Buffer {
    memory: Memory,
    /// Puts the server has not yet reported done.
    busy: u32,
    stale: Rectangle,
}

enum Memory {
    Shared(Segment),
    Owned(Vec<u8>),
}

impl Picture {
    /// No picture yet. `shared`: whether memory can be shared with the server.
    pub(crate) const fn new(shared: bool) -> Self {
        Self { shared, shown: None }
    }

    /// Whether the server may still be reading what the next frame would overwrite.
    pub(crate) fn is_busy(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.buffers[1 - shown.front].busy > 0)
    }

    /// Where the picture lies; `None` before the first frame.
    pub(crate) fn layout(&self) -> Option<Layout> {
        self.shown.as_ref().map(|shown| shown.layout)
    }

    /// The server has read a buffer.
    pub(crate) fn handle_completion(&mut self, segment: shm::Seg) {
        let buffers = self.shown.iter_mut().flat_map(|shown| &mut shown.buffers);
        for buffer in buffers.filter(|buffer| buffer.memory.is(segment)) {
            buffer.busy = buffer.busy.saturating_sub(1);
        }
    }

    /// A put was refused: it will never be reported done.
    pub(crate) fn handle_refusal(&mut self) {
        for buffer in self.shown.iter_mut().flat_map(|shown| &mut shown.buffers) {
            buffer.busy = 0;
        }
    }

    /// Shows a frame, of which `changed` is new.
    pub(crate) fn show(
        &mut self,
        target: &Target<'_>,
        window: (u16, u16),
        frame: &Frame<'_>,
        changed: Option<Rectangle>,
    ) -> Result<(), Error> {
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        let size = (side(frame.width()), side(frame.height()));
        let layout = Layout::fit(size, window);
        let whole = Rectangle::sized(size.0, size.1);
        let fits = self.layout() == Some(layout);
        let changed = if fits { changed.map_or(whole, |part| align(part, size)) } else { whole };
        if changed.is_empty() {
            return Ok(());
        }
        let shown = match self.shown.take() {
            Some(shown) if fits => shown,
            old => Shown::new(target, self.shared, layout, old)?,
        };
        self.shown.insert(shown).show(target, frame, changed)
    }

    /// Fits the newest frame into a window of another size.
    pub(crate) fn resize(&mut self, target: &Target<'_>, window: (u16, u16)) -> Result<(), Error> {
        let Some(mut old) = self.shown.take() else { return Ok(()) };
        let layout = Layout::fit(old.layout.frame, window);
        if layout == old.layout {
            self.shown = Some(old);
            return Ok(());
        }
        if old.layout.is_exact() {
            let front = old.buffers[old.front].memory.bytes();
            old.unscaled.clear();
            old.unscaled.extend_from_slice(front);
        }
        let shown = Shown::new(target, self.shared, layout, Some(old))?;
        self.shown.insert(shown).redraw(target)
    }

    /// Puts the newest frame again: the window has lost it.
    pub(crate) fn put_again(&mut self, target: &Target<'_>) -> Result<(), Error> {
        let Some(shown) = &mut self.shown else { return Ok(()) };
        let whole = Rectangle::sized(shown.layout.size.0, shown.layout.size.1);
        shown.buffers[shown.front].put(target, shown.layout, whole)
    }
}

impl Shown {
    /// Buffers for a layout. What `old` held of the newest frame at its own size is kept.
    fn new(target: &Target<'_>, shared: bool, layout: Layout, old: Option<Self>) -> Result<Self, Error> {
        let mut unscaled = Vec::new();
        if let Some(old) = old {
            unscaled = old.unscaled;
            for buffer in old.buffers {
                // Requests are carried out in order: the server has read it before it lets go of it.
                if let Memory::Shared(segment) = buffer.memory {
                    segment.detach(target.connection)?;
                }
            }
        }
        // The bars around the picture take the window's background.
        target.connection.clear_area(false, target.window, 0, 0, 0, 0)?.ignore_error();
        let buffers = [
            Buffer::new(target.connection, shared, layout)?,
            Buffer::new(target.connection, shared, layout)?,
        ];
        let scaler = Scaler::new(layout.frame, layout.size);
        Ok(Self { layout, buffers, front: 0, unscaled, scaler })
    }

    fn show(&mut self, target: &Target<'_>, frame: &Frame<'_>, changed: Rectangle) -> Result<(), Error> {
        let part = self.layout.cover(changed);
        for buffer in &mut self.buffers {
            buffer.stale = buffer.stale.union(part);
        }
        self.front = 1 - self.front;
        let back = &mut self.buffers[self.front];
        let stale = core::mem::take(&mut back.stale);
        if self.layout.is_exact() {
            convert(frame, back.memory.bytes_mut(), align(stale, self.layout.frame))?;
        } else {
            let (width, height) = self.layout.frame;
            let len = usize::from(width) * usize::from(height) * PIXEL;
            let known = self.unscaled.len() == len;
            self.unscaled.resize(len, 0);
            convert(
                frame,
                &mut self.unscaled,
                if known { changed } else { Rectangle::sized(width, height) },
            )?;
            self.scaler.draw(&self.unscaled, back.memory.bytes_mut(), stale);
        }
        back.put(target, self.layout, part)
    }

    /// Draws the kept frame into both buffers and puts it.
    fn redraw(&mut self, target: &Target<'_>) -> Result<(), Error> {
        let whole = Rectangle::sized(self.layout.size.0, self.layout.size.1);
        let front = &mut self.buffers[self.front];
        front.stale = Rectangle::default();
        if self.layout.is_exact() {
            front.memory.bytes_mut().copy_from_slice(&self.unscaled);
        } else {
            self.scaler.draw(&self.unscaled, front.memory.bytes_mut(), whole);
        }
        front.put(target, self.layout, whole)
    }
}

impl Buffer {
    fn new(connection: &RustConnection, shared: bool, layout: Layout) -> Result<Self, Error> {
        let (width, height) = layout.size;
        let len = usize::from(width) * usize::from(height) * PIXEL;
        let memory =
            if shared { Memory::Shared(Segment::new(connection, len)?) } else { Memory::Owned(vec![0; len]) };
        Ok(Self { memory, busy: 0, stale: Rectangle::sized(width, height) })
    }

    /// Sends a part of the buffer to its place in the window.
    fn put(&mut self, target: &Target<'_>, layout: Layout, part: Rectangle) -> Result<(), Error> {
        let place = |origin: u16, offset: u16| i16::try_from(origin + offset).unwrap_or(i16::MAX);
        let (x, y) = (place(layout.origin.0, part.x), place(layout.origin.1, part.y));
        let format = ImageFormat::Z_PIXMAP;
        let Target { connection, window, gc, depth } = *target;
        match &self.memory {
            Memory::Shared(segment) => {
                let (width, height) = layout.size;
                shm::put_image(
                    connection,
                    window,
                    gc,
                    width,
                    height,
                    part.x,
                    part.y,
                    part.width,
                    part.height,
                    x,
                    y,
                    depth,
                    format.into(),
                    true,
                    segment.id(),
                    0,
                )?;
                self.busy += 1;
            }
            Memory::Owned(bytes) => {
                let row = usize::from(layout.size.0) * PIXEL;
                let rows_max = (connection.maximum_request_bytes() - PUT_HEADER) / row;
                let rows_max = u16::try_from(rows_max.max(1)).unwrap_or(u16::MAX);
                let (mut top, bottom) = (part.y, part.y + part.height);
                while top < bottom {
                    let rows = rows_max.min(bottom - top);
                    let bytes = &bytes[usize::from(top) * row..][..usize::from(rows) * row];
                    let (x, y) = (place(layout.origin.0, 0), place(layout.origin.1, top));
                    connection.put_image(format, window, gc, layout.size.0, rows, x, y, 0, depth, bytes)?;
                    top += rows;
                }
            }
        }
        connection.flush()?;
        Ok(())
    }
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(segment) => segment.bytes(),
            Self::Owned(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Shared(segment) => segment.bytes_mut(),
            Self::Owned(bytes) => bytes,
        }
    }

    fn is(&self, id: shm::Seg) -> bool {
        match self {
            Self::Shared(segment) => segment.id() == id,
            Self::Owned(_) => false,
        }
    }
}

/// `part` grown to whole 2 × 2 blocks, which share their colour, and cut to the frame.
fn align(part: Rectangle, size: (u16, u16)) -> Rectangle {
    let side = |start: u16, length: u16, limit: u16| {
        let first = start.min(limit) & !1;
        let last = start.saturating_add(length).min(limit);
        let last = last.saturating_add(last & 1).min(limit);
        (first, if length == 0 { 0 } else { last.saturating_sub(first) })
    };
    let (x, width) = side(part.x, part.width, size.0);
    let (y, height) = side(part.y, part.height, size.1);
    Rectangle { x, y, width, height }
}

/// Converts a part of a frame, aligned to even places, into an image of the frame's size without gaps.
fn convert(frame: &Frame<'_>, image: &mut [u8], part: Rectangle) -> Result<(), Error> {
    let (x, y) = (usize::from(part.x), usize::from(part.y));
    let stride = frame.width() as usize * PIXEL;
    let image = &mut image[y * stride + x * PIXEL..];
    let planes = frame.planes();
    let from = |plane: usize, x: usize, y: usize| &planes[plane].data[y * planes[plane].stride + x..];
    let pitch = |plane: usize| u32::try_from(planes[plane].stride).unwrap_or(u32::MAX);
    let (width, height) = (u32::from(part.width), u32::from(part.height));
    let stride32 = u32::try_from(stride).unwrap_or(u32::MAX);
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt709);
    if part.is_empty() {
        return Ok(());
    }
    if frame.format() == PixelFormat::I420 {
        let source = YuvPlanarImage {
            y_plane: from(0, x, y),
            y_stride: pitch(0),
            u_plane: from(1, x / 2, y / 2),
            u_stride: pitch(1),
            v_plane: from(2, x / 2, y / 2),
            v_stride: pitch(2),
            width,
            height,
        };
        yuv420_to_bgra(&source, image, stride32, range, matrix)?;
    } else if frame.format() == PixelFormat::Nv12 {
        let source = YuvBiPlanarImage {
            y_plane: from(0, x, y),
            y_stride: pitch(0),
            uv_plane: from(1, x, y / 2),
            uv_stride: pitch(1),
            width,
            height,
        };
        yuv_nv12_to_bgra(&source, image, stride32, range, matrix, YuvConversionMode::Balanced)?;
    } else if frame.format() == PixelFormat::Bgrx {
        let len = usize::from(part.width) * PIXEL;
        let rows = from(0, x * PIXEL, y).chunks(planes[0].stride);
        for (target, source) in image.chunks_mut(stride).zip(rows).take(part.height.into()) {
            target[..len].copy_from_slice(&source[..len]);
        }
    } else {
        return Err(Error::Format(frame.format()));
    }
    Ok(())
}
