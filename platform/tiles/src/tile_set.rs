//! A set of tiles, in memory its owner gives; and its wire form (SPEC §7).

use crate::grid::Grid;

/// Some of a screen's tiles.
#[derive(Debug)]
pub struct TileSet<'m> {
    words: &'m mut [u32],
    grid: Grid,
}

impl<'m> TileSet<'m> {
    /// Words that the tiles of a screen of this size take.
    #[must_use]
    pub const fn words(grid: Grid) -> usize {
        grid.tiles().div_ceil(32) as usize
    }

    /// No tiles of this screen; `None` when `words` are fewer than [`Self::words`].
    pub fn new(grid: Grid, words: &'m mut [u32]) -> Option<Self> {
        let words = words.get_mut(..Self::words(grid))?;
        words.fill(0);
        Some(Self { words, grid })
    }

    /// Whose tiles they are.
    #[must_use]
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    /// Adds a tile. One that is not there is left out.
    pub fn insert(&mut self, tile: u32) {
        if tile < self.grid.tiles()
            && let Some(word) = self.words.get_mut(tile as usize / 32)
        {
            *word |= 1 << (tile % 32);
        }
    }

    /// Takes a tile out.
    pub fn remove(&mut self, tile: u32) {
        if let Some(word) = self.words.get_mut(tile as usize / 32) {
            *word &= !(1 << (tile % 32));
        }
    }

    /// Whether a tile is in it.
    #[must_use]
    pub fn contains(&self, tile: u32) -> bool {
        self.words.get(tile as usize / 32).is_some_and(|word| word >> (tile % 32) & 1 == 1)
    }

    /// Whether no tile is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// How many tiles are in it.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The tiles in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.grid.tiles()).filter(|&tile| self.contains(tile))
    }

    /// Takes all tiles out.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Writes runs of tiles until there are no more or `out` is full; gives the length. What did not fit is told
    /// another time.
    ///
    /// ```text
    /// 0        2     3
    /// +--------+-----+-- and again, to the end
    /// | first  | run |   run: tiles after the first, 0-255
    /// +--------+-----+--
    /// ```
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let mut at = 0;
        let mut tile = 0;
        while tile < self.grid.tiles() {
            if !self.contains(tile) {
                tile += 1;
                continue;
            }
            let after = (1..256).take_while(|step| self.contains(tile + step)).count() as u32;
            let Some(place) = out.get_mut(at..at + RUN_LEN) else { break };
            let [high, low] = (tile as u16).to_be_bytes();
            place.copy_from_slice(&[high, low, after as u8]);
            at += RUN_LEN;
            tile += after + 1;
        }
        at
    }

    /// Adds the tiles that [`Self::emit`] wrote. Tiles that are not there are left out, and so is a broken end.
    pub fn read(&mut self, bytes: &[u8]) {
        for run in bytes.chunks_exact(RUN_LEN) {
            let [high, low, after] = *run else { continue };
            let first = u32::from(u16::from_be_bytes([high, low]));
            for tile in first..=first + u32::from(after) {
                self.insert(tile);
            }
        }
    }
}

/// Bytes of a run of tiles.
const RUN_LEN: usize = 3;
