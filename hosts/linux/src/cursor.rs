//! Sends cursor shapes to one viewer, each once.

use std::collections::VecDeque;
use std::sync::Arc;

use rift::{Channel, Instant, ShapeHead};

use crate::orders::Shape;
use crate::viewers::ViewerSession;

/// Shapes a viewer is taken to remember. One that was forgotten here is sent again.
pub(crate) const REMEMBERED: usize = 32;

/// What one viewer has, and what is on its way. Invariant: a shape that was begun is finished.
#[derive(Debug, Default)]
pub(crate) struct ShapeSender {
    sent: VecDeque<u32>,
    /// The shape being written, and how many of its bytes are.
    writing: Option<(Arc<Shape>, usize)>,
    /// The newest shape, to be written next.
    next: Option<Arc<Shape>>,
}

impl ShapeSender {
    pub(crate) fn new() -> Self {
        Self { sent: VecDeque::with_capacity(REMEMBERED), writing: None, next: None }
    }

    /// The cursor has this shape now.
    pub(crate) fn want(&mut self, shape: &Arc<Shape>) {
        let is_known = self.sent.contains(&shape.head.shape);
        self.next = (!is_known).then(|| Arc::clone(shape));
    }

    /// Writes as much as there is room for.
    pub(crate) fn send(&mut self, now: Instant, session: &mut ViewerSession) {
        self.send_to(|bytes| session.write(now, Channel::Cursor, bytes).unwrap_or(0));
    }

    /// `write` takes bytes and returns how many it took.
    fn send_to(&mut self, mut write: impl FnMut(&[u8]) -> usize) {
        loop {
            let (shape, mut at) = match self.writing.take() {
                Some(writing) => writing,
                None => {
                    let Some(shape) = self.next.take() else { return };
                    if self.sent.len() == REMEMBERED {
                        self.sent.pop_front();
                    }
                    self.sent.push_back(shape.head.shape);
                    (shape, 0)
                }
            };
            let head = shape.head.to_bytes();
            if at < ShapeHead::LEN {
                at += write(&head[at..]);
            }
            if at >= ShapeHead::LEN {
                at += write(&shape.bgra[at - ShapeHead::LEN..]);
            }
            if at < ShapeHead::LEN + shape.bgra.len() {
                self.writing = Some((shape, at));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: u32) -> Arc<Shape> {
        let head = ShapeHead { shape: name, width: 4, height: 4, hot_x: 0, hot_y: 0 };
        Arc::new(Shape { head, bgra: vec![name as u8; 64] })
    }

    /// Everything written, however little fits at a time.
    fn written(sender: &mut ShapeSender, room: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            sender.send_to(|bytes| {
                let taken = bytes.len().min(room - (all.len() - before));
                all.extend_from_slice(&bytes[..taken]);
                taken
            });
            if all.len() == before {
                return all;
            }
        }
    }

    #[test]
    fn shapes_go_out_whole_and_once_whatever_fits_at_a_time() {
        for room in [1, 5, 12, 13, 76, 1000] {
            let mut sender = ShapeSender::new();
            let mut expected = Vec::new();
            for name in [1, 2, 1, 2, 3] {
                if !expected.windows(4).any(|window| window == u32::to_be_bytes(name)) {
                    expected.extend(shape(name).head.to_bytes());
                    expected.extend(&shape(name).bgra);
                }
                sender.want(&shape(name));
                written(&mut sender, room);
            }
            let mut sender = ShapeSender::new();
            let mut all = Vec::new();
            for name in [1, 2, 1, 2, 3] {
                sender.want(&shape(name));
                all.extend(written(&mut sender, room));
            }
            assert_eq!(all, expected, "room for {room}");
        }
    }

    #[test]
    fn begun_shape_is_finished_and_only_the_newest_follows() {
        let mut sender = ShapeSender::new();
        sender.want(&shape(1));
        let mut first = Vec::new();
        sender.send_to(|bytes| {
            let taken = bytes.len().min(20 - first.len());
            first.extend_from_slice(&bytes[..taken]);
            taken
        });
        sender.want(&shape(2));
        sender.want(&shape(3));
        first.extend(written(&mut sender, 1000));
        let names = [1, 3].map(|name| [&shape(name).head.to_bytes()[..], &shape(name).bgra].concat());
        assert_eq!(first, names.concat());
    }

    #[test]
    fn shape_forgotten_here_is_sent_again() {
        let mut sender = ShapeSender::new();
        for name in 1..=REMEMBERED as u32 + 1 {
            sender.want(&shape(name));
            assert!(!written(&mut sender, 1000).is_empty());
        }
        sender.want(&shape(2));
        assert!(written(&mut sender, 1000).is_empty());
        sender.want(&shape(1));
        assert!(!written(&mut sender, 1000).is_empty());
    }
}
