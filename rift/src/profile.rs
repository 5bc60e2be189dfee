//! What a session is for, and so what it has room for. A session that carries signalling and nothing else has no pictures, no
//! input and no sound to keep, and nothing to share a path between: it takes a third of the memory (SPEC §19.1).
//!
//! A profile changes no rule and nothing on the wire. What a session has no room for it refuses as if it were full.

use heapless::Deque;
use heapless::deque::DequeInner;
use heapless::vec::{OwnedVecStorage, Vec, VecInner, VecStorage};

use crate::delta::{Controller, Delta, Steady};

mod sealed {
    pub trait Sealed {}
}

/// See the module. There are two: [`Full`] and [`Signalling`].
pub trait Profile: sealed::Sealed {
    /// Whether the session carries pictures, input and sound.
    const CARRIES_MEDIA: bool;
    /// The fewest packets that such a session may remember each way.
    const PACKETS_MIN: usize;
    /// Room for a queue or a list that a full session has `N` places for.
    type Room<T, const N: usize>: VecStorage<T>;
    /// Values of which a full session has `N`; at least one.
    type Row<T: Copy, const N: usize>: AsRef<[T]> + AsMut<[T]>;
    /// Congestion control of what a host sends.
    type Controller: Controller;

    /// An empty queue.
    fn queue<T, const N: usize>() -> DequeInner<T, Self::Room<T, N>>;
    /// An empty list.
    fn list<T, const N: usize>() -> VecInner<T, usize, Self::Room<T, N>>;
    /// Values that are all the same.
    fn row<T: Copy, const N: usize>(value: T) -> Self::Row<T, N>;
}

/// Everything that SPEC.md allows.
#[derive(Clone, Copy, Debug)]
pub enum Full {}

/// The streams alone: what a device and its gateway need. Whatever is granted, it takes and gives no media.
#[derive(Clone, Copy, Debug)]
pub enum Signalling {}

impl sealed::Sealed for Full {}
impl sealed::Sealed for Signalling {}

impl Profile for Full {
    const CARRIES_MEDIA: bool = true;
    // A round trip and the time between reports, at the rate of a small picture.
    const PACKETS_MIN: usize = 64;
    type Room<T, const N: usize> = OwnedVecStorage<T, N>;
    type Row<T: Copy, const N: usize> = [T; N];
    type Controller = Delta;

    fn queue<T, const N: usize>() -> DequeInner<T, Self::Room<T, N>> {
        Deque::new()
    }

    fn list<T, const N: usize>() -> VecInner<T, usize, Self::Room<T, N>> {
        Vec::new()
    }

    fn row<T: Copy, const N: usize>(value: T) -> [T; N] {
        [value; N]
    }
}

impl Profile for Signalling {
    const CARRIES_MEDIA: bool = false;
    // An introduction and two leases are five packets.
    const PACKETS_MIN: usize = 32;
    // One place: nothing that has none can be named, and it stays empty.
    type Room<T, const N: usize> = OwnedVecStorage<T, 1>;
    type Row<T: Copy, const N: usize> = [T; 1];
    type Controller = Steady;

    fn queue<T, const N: usize>() -> DequeInner<T, Self::Room<T, N>> {
        Deque::new()
    }

    fn list<T, const N: usize>() -> VecInner<T, usize, Self::Room<T, N>> {
        Vec::new()
    }

    fn row<T: Copy, const N: usize>(value: T) -> [T; 1] {
        [value]
    }
}
