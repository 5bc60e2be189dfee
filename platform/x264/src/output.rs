//! Where coded units gather: written from libx264's threads, handed out in picture order.
//!
//! It knows kinds and macroblock ranges of units, nothing of libx264. Invariant: units are handed out exactly
//! once and in order, headers first, whichever thread finished which slice first.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

/// `nal_unit_type` of a slice, of one of a key picture, and of supplemental information (H.264 table 7-1).
const SLICE: i32 = 1;
const SLICE_IDR: i32 = 5;
const SUPPLEMENTAL: i32 = 6;

/// A finished unit that is about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// Its `nal_unit_type`.
    pub(crate) kind: i32,
    /// The macroblocks a slice covers, in scan order.
    pub(crate) first_macroblock: i32,
    pub(crate) last_macroblock: i32,
    /// The most bytes it can take.
    pub(crate) len_max: usize,
}

/// The bytes of one picture; kept from picture to picture so that none is allocated once it has grown.
#[derive(Debug)]
pub(crate) struct Store {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    len: usize,
    next_macroblock: i32,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    len: usize,
    /// Headers have the empty range before the first macroblock.
    first_macroblock: i32,
    last_macroblock: i32,
    given: bool,
}

/// Hears of units while one picture is encoded.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

/// One picture's units, shared by the encoder's threads.
pub(crate) struct Collector<'a, 's>(Mutex<State<'a, 's>>);

struct State<'a, 's> {
    store: &'a mut Store,
    sink: Option<Sink<'s>>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Store {
    /// What most pictures fit in; pages that are never written cost nothing.
    const CAPACITY: usize = 1 << 20;

    /// Ready for pictures of so many slices.
    pub(crate) fn new(slices: u8) -> Self {
        // Beside its slices a picture has at most two headers.
        let parts = Vec::with_capacity(usize::from(slices) + 2);
        Self { bytes: vec![0; Self::CAPACITY], parts, len: 0, next_macroblock: 0 }
    }

    /// Makes it ready for the next picture.
    fn clear(&mut self) {
        self.parts.clear();
        self.len = 0;
        self.next_macroblock = 0;
    }

    /// Bytes of all units of the picture.
    pub(crate) fn picture_len(&self) -> usize {
        self.parts.iter().map(|part| part.len).sum()
    }

    /// Gives every unit that was not given yet and whose turn it is.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(&[u8])) {
        while let Some(part) =
            self.parts.iter_mut().find(|part| !part.given && part.first_macroblock <= self.next_macroblock)
        {
            part.given = true;
            self.next_macroblock = self.next_macroblock.max(part.last_macroblock + 1);
            sink(&self.bytes[part.start..][..part.len]);
        }
    }

    fn push(&mut self, unit: &Unit, write: impl FnOnce(&mut [u8]) -> usize) {
        let end = self.len + unit.len_max;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let len = write(&mut self.bytes[self.len..end]).min(unit.len_max);
        if unit.kind == SUPPLEMENTAL {
            return;
        }
        let slice = unit.kind == SLICE || unit.kind == SLICE_IDR;
        let (first_macroblock, last_macroblock) =
            if slice { (unit.first_macroblock, unit.last_macroblock) } else { (-1, -1) };
        self.parts.push(Part { start: self.len, len, first_macroblock, last_macroblock, given: false });
        self.len += len;
    }
}

impl<'a, 's> Collector<'a, 's> {
    /// Begins a picture. With a sink, units are given to it as soon as their turn comes, from whichever thread.
    pub(crate) fn new(store: &'a mut Store, sink: Option<Sink<'s>>) -> Self {
        store.clear();
        Self(Mutex::new(State { store, sink, panic: None }))
    }

    /// Takes a unit; `write` fills the space it is given and returns the length used. Never unwinds.
    pub(crate) fn accept(&self, unit: &Unit, write: impl FnOnce(&mut [u8]) -> usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { store, sink, panic } = &mut *state;
        store.push(unit, write);
        if panic.is_some() {
            return;
        }
        if let Some(sink) = sink {
            // A panic must not cross the C frames above; `finish` lets it go on in the caller's thread.
            *panic = catch_unwind(AssertUnwindSafe(|| store.drain(&mut **sink))).err();
        }
    }

    /// Ends the picture; gives the panic of the sink, if it panicked.
    pub(crate) fn finish(self) -> Option<Box<dyn Any + Send>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).panic
    }
}
