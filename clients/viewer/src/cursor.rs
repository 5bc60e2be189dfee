//! The host's cursor: shapes read from their stream, kept by name.
//!
//! The host is not trusted: a shape is at most 256 × 256 pixels, at most [`KEPT_MAX`] are kept, and a stream that
//! contradicts its format is not read on. Invariant: no byte from the host decides how much is allocated beyond that.

use std::sync::mpsc::Receiver;

use rift::{CursorPosition, ShapeHead};
use rift_hal::{Cursor, CursorShape, Display};

use crate::display::{DisplayError, Screen};
use crate::link::Link;

/// Shapes kept: 2 MiB of ordinary ones of 64 × 64 pixels do for every theme; 32 MiB at the very most.
pub const KEPT_MAX: usize = 128;

/// A cursor's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    head: ShapeHead,
    bgra: Vec<u8>,
}

impl Shape {
    /// What positions name it by.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.head.shape
    }

    /// As displays take it.
    #[must_use]
    pub fn as_hal(&self) -> CursorShape<'_> {
        CursorShape {
            width: self.head.width,
            height: self.head.height,
            hot_x: self.head.hot_x,
            hot_y: self.head.hot_y,
            bgra: &self.bgra,
        }
    }
}

/// Reads shapes from the bytes of the cursor stream, however they are cut.
#[derive(Clone, Debug)]
pub struct ShapeParser {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Head { bytes: [u8; ShapeHead::LEN], filled: usize },
    Pixels { head: ShapeHead, bgra: Vec<u8> },
    Broken,
}

/// The stream contradicts its format; it is not read on in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's cursor stream is broken; cursor shapes are ignored until the next session")]
pub struct BrokenStream;

impl ShapeParser {
    /// At the beginning of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: EMPTY_HEAD }
    }

    /// Reads from the front of `bytes`, which then begin after what was read: all of them, or up to the end of the
    /// shape given. Call until `Ok(None)`.
    ///
    /// # Errors
    /// [`BrokenStream`], once; later bytes are skipped.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Shape>, BrokenStream> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Head { bytes: head, filled } => {
                    let part = take(bytes, ShapeHead::LEN - *filled);
                    head[*filled..*filled + part.len()].copy_from_slice(part);
                    *filled += part.len();
                    if *filled < ShapeHead::LEN {
                        return Ok(None);
                    }
                    let Some(head) = ShapeHead::parse(head) else {
                        self.state = State::Broken;
                        return Err(BrokenStream);
                    };
                    self.state = State::Pixels { head, bgra: Vec::with_capacity(head.pixels_len()) };
                }
                State::Pixels { head, bgra } => {
                    bgra.extend_from_slice(take(bytes, head.pixels_len() - bgra.len()));
                    if bgra.len() == head.pixels_len() {
                        let shape = Shape { head: *head, bgra: core::mem::take(bgra) };
                        self.state = EMPTY_HEAD;
                        return Ok(Some(shape));
                    }
                }
                State::Broken => *bytes = &[],
            }
        }
        Ok(None)
    }
}

impl Default for ShapeParser {
    fn default() -> Self {
        Self::new()
    }
}

const EMPTY_HEAD: State = State::Head { bytes: [0; ShapeHead::LEN], filled: 0 };

fn take<'b>(bytes: &mut &'b [u8], len: usize) -> &'b [u8] {
    let (part, rest) = bytes.split_at(len.min(bytes.len()));
    *bytes = rest;
    part
}

/// The shapes known, by name. When full, the one that came first goes.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    kept: std::collections::VecDeque<Shape>,
}

impl Shapes {
    /// Keeps a shape; one of the same name gives way.
    pub fn insert(&mut self, shape: Shape) {
        self.kept.retain(|other| other.id() != shape.id());
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(shape);
    }

    /// The shape of this name.
    #[must_use]
    pub fn find(&self, id: u32) -> Option<&Shape> {
        self.kept.iter().find(|shape| shape.id() == id)
    }

    /// Forgets all: names are a session's own.
    pub fn clear(&mut self) {
        self.kept.clear();
    }
}

/// The host's cursor at the window: its newest place, and its shape as soon as that is known.
#[derive(Debug)]
pub struct HostCursor {
    channel: Receiver<(u32, Shape)>,
    shapes: Shapes,
    /// Which session the shapes are of.
    session: u32,
    position: Option<CursorPosition>,
    /// The shape the window has; 0 = none.
    shown: u32,
    changed: bool,
}

impl HostCursor {
    /// Shapes come by `channel`, each with the number of its session.
    #[must_use]
    pub fn new(channel: Receiver<(u32, Shape)>) -> Self {
        Self { channel, shapes: Shapes::default(), session: 0, position: None, shown: 0, changed: false }
    }

    /// Takes what is new and shows it, if there is a window to show it in.
    ///
    /// # Errors
    /// The window's.
    pub fn update(&mut self, link: &Link, screen: Option<&mut Screen>) -> Result<(), DisplayError> {
        while let Ok((session, shape)) = self.channel.try_recv() {
            self.follow(session);
            self.changed = true;
            self.shapes.insert(shape);
        }
        let position = link.latest().cursor.take();
        if let Some((session, position)) = position {
            self.follow(session);
            self.changed |= self.position.replace(position) != Some(position);
        }
        let (Some(position), Some(screen), true) = (self.position, screen, self.changed) else {
            return Ok(());
        };
        self.changed = false;
        let shape = self.shapes.find(position.shape).filter(|shape| shape.id() != self.shown);
        let cursor = Cursor {
            x: position.x,
            y: position.y,
            visible: position.visible,
            shape: shape.map(Shape::as_hal),
        };
        screen.set_cursor(&cursor)?;
        if let Some(shape) = shape {
            self.shown = shape.id();
        }
        Ok(())
    }

    /// The names of another session mean other shapes.
    fn follow(&mut self, session: u32) {
        if session != self.session {
            self.session = session;
            self.shapes.clear();
            self.shown = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(shape: u32, width: u16, height: u16, fill: u8) -> Vec<u8> {
        let head = ShapeHead { shape, width, height, hot_x: 0, hot_y: 0 };
        let mut bytes = head.to_bytes().to_vec();
        bytes.resize(bytes.len() + head.pixels_len(), fill);
        bytes
    }

    fn read_all(parser: &mut ShapeParser, mut bytes: &[u8]) -> Result<Vec<Shape>, BrokenStream> {
        let mut shapes = Vec::new();
        while let Some(shape) = parser.read(&mut bytes)? {
            shapes.push(shape);
        }
        assert!(bytes.is_empty());
        Ok(shapes)
    }

    #[test]
    fn shapes_are_read_however_the_stream_is_cut() {
        let stream = [bytes_of(1, 3, 2, 7), bytes_of(2, 256, 1, 8), bytes_of(3, 1, 256, 9)].concat();
        for cut in [1, 2, 5, 11, 12, 13, 36, 37, 1000, stream.len()] {
            let mut parser = ShapeParser::new();
            let shapes: Vec<Shape> =
                stream.chunks(cut).flat_map(|part| read_all(&mut parser, part).unwrap()).collect();
            let ids: Vec<u32> = shapes.iter().map(Shape::id).collect();
            assert_eq!(ids, [1, 2, 3], "cut into parts of {cut}");
            assert_eq!(shapes[0].as_hal().bgra, [7; 24]);
            assert_eq!((shapes[1].as_hal().width, shapes[1].as_hal().bgra.len()), (256, 1024));
        }
    }

    #[test]
    fn impossible_heads_break_the_stream_for_good() {
        let impossible = [
            (0, 1, 1, 0, 0),
            (1, 0, 1, 0, 0),
            (1, 1, 0, 0, 0),
            (1, 257, 1, 0, 0),
            (1, 1, u16::MAX, 0, 0),
            (1, 4, 4, 4, 0),
            (1, 4, 4, 0, 4),
        ];
        for (shape, width, height, hot_x, hot_y) in impossible {
            let head = ShapeHead { shape, width, height, hot_x, hot_y };
            let mut parser = ShapeParser::new();
            assert_eq!(read_all(&mut parser, &head.to_bytes()), Err(BrokenStream), "{head:?}");
            assert_eq!(read_all(&mut parser, &bytes_of(1, 1, 1, 0)), Ok(vec![]), "it stays broken");
        }
    }

    #[test]
    fn garbage_never_panics_and_never_gives_an_impossible_shape() {
        let mut state = 0x9e37_79b9u32;
        for _ in 0..2000 {
            let mut garbage = [0; 64];
            for byte in &mut garbage {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                *byte = (state & 3) as u8;
            }
            let mut parser = ShapeParser::new();
            for part in garbage.chunks(7) {
                let Ok(shapes) = read_all(&mut parser, part) else { break };
                for shape in shapes {
                    let shape = shape.as_hal();
                    assert_eq!(shape.bgra.len(), usize::from(shape.width) * usize::from(shape.height) * 4);
                }
            }
        }
    }

    #[test]
    fn only_so_many_shapes_are_kept() {
        let mut shapes = Shapes::default();
        for id in 1..=KEPT_MAX as u32 + 5 {
            shapes.insert(Shape {
                head: ShapeHead { shape: id, width: 1, height: 1, hot_x: 0, hot_y: 0 },
                bgra: vec![0; 4],
            });
        }
        assert!(shapes.find(5).is_none());
        assert!(shapes.find(6).is_some() && shapes.find(KEPT_MAX as u32 + 5).is_some());
    }
}
