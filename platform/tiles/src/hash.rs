//! The hash of a tile (SPEC §6.2): finds what differs by mistake or loss, not what differs on purpose.

/// A hash over a tile's pixels, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileHash(u32);

impl TileHash {
    pub(crate) const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    pub(crate) const fn add(&mut self, pixel: u32) {
        self.0 = (self.0 ^ pixel).wrapping_mul(0x9e37_79b1).rotate_left(15);
    }

    pub(crate) const fn value(self) -> u32 {
        let mixed = (self.0 ^ (self.0 >> 15)).wrapping_mul(0x85eb_ca6b);
        mixed ^ (mixed >> 13)
    }
}
