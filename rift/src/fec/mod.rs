//! Erasure coding of a picture: any `k` of `k + m` shards of a block restore it.
//!
//! A systematic Reed–Solomon-class code over GF(2⁸): parity row `r` holds the Cauchy coefficients
//! `1 / (x_r + y_c)`, each column scaled so that the first row is plain XOR. Scaling a column leaves every square
//! submatrix of a Cauchy matrix invertible, so the code is MDS: as many shards as were missing are enough,
//! whichever they are (Blömer et al., "An XOR-Based Erasure-Resilient Coding Scheme", ICSI TR-95-048).
//! The inverse is known in closed form, so no matrix is ever held.
//!
//! This module knows neither packets nor pictures: it sees a run of bytes cut into shards. Memory is the caller's;
//! the work of [`recover`] is at most `(k + missing) × missing` kernel calls a block, with `missing` ≤ 32.

pub mod field;
mod kernel;
pub mod window;

use core::ops::Range;

use field::{div, mul};
pub(crate) use kernel::add_all;
use kernel::sum_all;
pub use kernel::{MulAdd, Portable, Term};

/// Data shards a block holds at most. More parity for a picture is cheaper in one block than in several, so a
/// block is as large as the columns of the matrix allow while leaving room for its rows.
pub const BLOCK_DATA_MAX: usize = 128;
/// Parity shards a block holds at most: bounds the work of [`recover`].
pub const BLOCK_PARITY_MAX: usize = 32;

// Rows take the field elements from BLOCK_DATA_MAX on, columns those below: never equal, so a sum is never 0.
const _: () = assert!(BLOCK_DATA_MAX + BLOCK_PARITY_MAX <= 256);

/// More data shards of a block are missing than parity shards of it were received. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecoverable;

/// How a run of bytes is cut into data shards and joined by parity shards.
///
/// Shards are numbered `0..k` (data) and `k..k + m` (parity). They are dealt to the `B` blocks in turn: data shard
/// `i` belongs to block `i % B`, parity shard `j` to block `j % B`, so a burst of losses is shared by all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    data_len: usize,
    shard_len: usize,
    data_shards: usize,
    parity_shards: usize,
    blocks: usize,
}

impl Layout {
    /// Cuts `data_len` bytes into shards of `shard_len` bytes, of which the last may be shorter, and adds `parity`
    /// shards, or as many as the blocks can hold ([`Self::parity_shards`] says how many that is).
    ///
    /// `None` when there is nothing to cut or the whole would not fit an address space.
    #[must_use]
    pub const fn new(data_len: usize, shard_len: usize, parity: usize) -> Option<Self> {
        if data_len == 0 || shard_len == 0 {
            return None;
        }
        let data_shards = data_len.div_ceil(shard_len);
        let blocks = data_shards.div_ceil(BLOCK_DATA_MAX);
        let Some(parity_max) = blocks.checked_mul(BLOCK_PARITY_MAX) else {
            return None;
        };
        let parity_shards = if parity < parity_max { parity } else { parity_max };
        let Some(shards) = data_shards.checked_add(parity_shards) else {
            return None;
        };
        if shards.checked_mul(shard_len).is_none() {
            return None;
        }
        Some(Self { data_len, shard_len, data_shards, parity_shards, blocks })
    }

    /// The same data with the parity of both; `None` when they are cut differently.
    pub(crate) fn joined(&self, other: &Self) -> Option<Self> {
        let parity_shards = self.parity_shards.max(other.parity_shards);
        let joined = Self { parity_shards, ..*self };
        (joined == Self { parity_shards, ..*other }).then_some(joined)
    }

    /// Bytes of data.
    #[must_use]
    pub const fn data_len(&self) -> usize {
        self.data_len
    }

    /// Bytes of every parity shard and of every data shard but perhaps the last.
    #[must_use]
    pub const fn shard_len(&self) -> usize {
        self.shard_len
    }

    /// `k`, at least 1.
    #[must_use]
    pub const fn data_shards(&self) -> usize {
        self.data_shards
    }

    /// `m`, at most 32 a block.
    #[must_use]
    pub const fn parity_shards(&self) -> usize {
        self.parity_shards
    }

    /// `k + m`.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.data_shards + self.parity_shards
    }

    /// `B`, at least 1.
    #[must_use]
    pub const fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes a receiver needs: all data shards at full length, then all parity shards.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        self.shards() * self.shard_len
    }

    /// The block of a shard, data or parity.
    #[must_use]
    pub const fn block_of(&self, shard: usize) -> usize {
        if shard < self.data_shards { shard % self.blocks } else { (shard - self.data_shards) % self.blocks }
    }

    /// How many shards of this block restore it: as many as it has data shards, whichever arrive.
    #[must_use]
    pub const fn needed(&self, block: usize) -> usize {
        members(self.data_shards, self.blocks, block)
    }

    /// How many parity shards this block has.
    #[must_use]
    pub const fn parity_of(&self, block: usize) -> usize {
        members(self.parity_shards, self.blocks, block)
    }

    /// Where a data shard lies in the data; shorter than [`Self::shard_len`] for a short last shard.
    /// Empty when `shard` is no data shard.
    #[must_use]
    pub const fn data_range(&self, shard: usize) -> Range<usize> {
        let start = clamp(shard.saturating_mul(self.shard_len), self.data_len);
        start..clamp(start + self.shard_len, self.data_len)
    }

    /// Where a shard's bytes go in a receiver's buffer; a data shard only as far as it has data.
    /// Empty when there is no such shard.
    #[must_use]
    pub const fn buffer_range(&self, shard: usize) -> Range<usize> {
        if shard < self.data_shards {
            return self.data_range(shard);
        }
        if shard >= self.shards() {
            return 0..0;
        }
        shard * self.shard_len..(shard + 1) * self.shard_len
    }

    /// Whether [`recover`] would succeed. Costs a call per shard; a receiver that counts arrivals by block
    /// compares with [`Self::needed`] instead.
    #[must_use]
    pub fn is_recoverable(&self, received: &impl Fn(usize) -> bool) -> bool {
        (0..self.blocks).all(|block| {
            let data = (block..self.data_shards).step_by(self.blocks);
            let parity =
                (block..self.parity_shards).step_by(self.blocks).map(|parity| self.data_shards + parity);
            data.chain(parity).filter(|shard| received(*shard)).count() >= self.needed(block)
        })
    }
}

/// Members of `block` when `count` things are dealt to `blocks` in turn.
const fn members(count: usize, blocks: usize, block: usize) -> usize {
    if block < blocks { (count + blocks - 1 - block) / blocks } else { 0 }
}

const fn clamp(value: usize, max: usize) -> usize {
    if value < max { value } else { max }
}

/// Writes parity shard `parity` (`0..m`) of `data` into `out`, straight into the outgoing datagram.
///
/// `data` is [`Layout::data_len`] bytes, `out` [`Layout::shard_len`]; a short last shard counts as padded with
/// zeros. What is missing of either is left out, and a `parity` beyond the layout's writes zeros.
pub fn parity_shard(layout: &Layout, data: &[u8], parity: usize, out: &mut [u8]) {
    parity_shard_with(&Portable, layout, data, parity, out);
}

/// [`parity_shard`] with a kernel of the caller's.
pub fn parity_shard_with(kernel: &impl MulAdd, layout: &Layout, data: &[u8], parity: usize, out: &mut [u8]) {
    if parity >= layout.parity_shards {
        return out.fill(0);
    }
    let (block, row) = (parity % layout.blocks, parity / layout.blocks);
    let data = data.get(..layout.data_len).unwrap_or(data);
    let term = |(source, &coefficient)| Term { source, coefficient };
    let shards = data.chunks(layout.shard_len);
    if layout.blocks == 1 {
        // Stepping one by one would cost a twentieth of what a vector unit takes for all of it.
        return sum_all(kernel, out, shards.zip(coefficients(row)).map(term));
    }
    sum_all(kernel, out, shards.skip(block).step_by(layout.blocks).zip(coefficients(row)).map(term));
}

/// Restores every missing data shard in place.
///
/// `buffer` has shards at [`Layout::buffer_range`] and room for all data at full length; parity shards that do not
/// fit it whole count as lost. `received` tells whether a shard is there. Bytes behind a short last shard and those of
/// missing shards may hold anything. The parity shards used are overwritten.
///
/// # Errors
///
/// [`Unrecoverable`] when a block misses more data shards than it received parity shards, or when `buffer` is too
/// short; then nothing was changed, and it may be tried again when more shards are there.
pub fn recover(
    layout: &Layout,
    buffer: &mut [u8],
    received: &impl Fn(usize) -> bool,
) -> Result<(), Unrecoverable> {
    recover_with(&Portable, layout, buffer, received)
}

/// [`recover`] with a kernel of the caller's.
///
/// # Errors
///
/// As [`recover`].
pub fn recover_with(
    kernel: &impl MulAdd,
    layout: &Layout,
    buffer: &mut [u8],
    received: &impl Fn(usize) -> bool,
) -> Result<(), Unrecoverable> {
    let data_space = layout.data_shards * layout.shard_len;
    let (data, parity) = buffer.split_at_mut_checked(data_space).ok_or(Unrecoverable)?;
    let parity_kept = parity.len() / layout.shard_len;
    let received = &|shard: usize| shard < layout.data_shards + parity_kept && received(shard);
    if !layout.is_recoverable(received) {
        return Err(Unrecoverable);
    }
    data[layout.data_len..].fill(0);
    for block in 0..layout.blocks {
        let repair = Repair::plan(layout, block, received)?;
        repair.run(kernel, layout, data, parity, received);
    }
    Ok(())
}

/// The equations that restore one block: as many parity rows as there are missing columns.
struct Repair {
    block: usize,
    missing: usize,
    /// Columns (position of a data shard within its block) to solve for.
    columns: [u8; BLOCK_PARITY_MAX],
    /// Rows (position of a parity shard within its block) to solve with.
    rows: [u8; BLOCK_PARITY_MAX],
}

impl Repair {
    fn plan(layout: &Layout, block: usize, received: &impl Fn(usize) -> bool) -> Result<Self, Unrecoverable> {
        let mut plan =
            Self { block, missing: 0, columns: [0; BLOCK_PARITY_MAX], rows: [0; BLOCK_PARITY_MAX] };
        for (shard, column) in (block..layout.data_shards).step_by(layout.blocks).zip(0..) {
            if !received(shard) {
                *plan.columns.get_mut(plan.missing).ok_or(Unrecoverable)? = column;
                plan.missing += 1;
            }
        }
        let mut found = 0;
        for (parity, row) in (block..layout.parity_shards).step_by(layout.blocks).zip(0..) {
            if found < plan.missing && received(layout.data_shards + parity) {
                plan.rows[found] = row;
                found += 1;
            }
        }
        if found < plan.missing { Err(Unrecoverable) } else { Ok(plan) }
    }

    fn run(
        &self,
        kernel: &impl MulAdd,
        layout: &Layout,
        data: &mut [u8],
        parity: &mut [u8],
        received: &impl Fn(usize) -> bool,
    ) {
        let shard_len = layout.shard_len;
        let place = |position: u8| {
            let start = (usize::from(position) * layout.blocks + self.block) * shard_len;
            start..start + shard_len
        };
        let (columns, rows) = (&self.columns[..self.missing], &self.rows[..self.missing]);
        if rows.is_empty() {
            return;
        }
        // What a parity shard holds beyond the shards that arrived is its sum over the missing ones.
        for row in rows {
            let shards = (self.block..layout.data_shards).step_by(layout.blocks).zip(0..);
            let terms = shards.filter(|(shard, _)| received(*shard)).map(|(_, column)| Term {
                source: &data[place(column)],
                coefficient: coefficient(usize::from(*row), usize::from(column)),
            });
            add_all(kernel, &mut parity[place(*row)], terms);
        }
        let (row_factors, column_factors) = self.inverse_factors();
        for (column, column_factor) in columns.iter().zip(column_factors) {
            let terms = rows.iter().zip(row_factors).map(|(row, row_factor)| Term {
                source: &parity[place(*row)],
                coefficient: div(mul(row_factor, column_factor), x(*row) ^ y(*column)),
            });
            sum_all(kernel, &mut data[place(*column)], terms);
        }
        // A short last shard is restored at full length; its padding is zeros again by construction.
    }

    /// The inverse of a Cauchy matrix (Knuth, TAOCP vol. 1, §1.2.3, ex. 41) is itself a scaled Cauchy matrix: its
    /// entry for a column and a row is `column factor × row factor / (x + y)`. The scale of our columns divides.
    fn inverse_factors(&self) -> ([u8; BLOCK_PARITY_MAX], [u8; BLOCK_PARITY_MAX]) {
        let (columns, rows) = (&self.columns[..self.missing], &self.rows[..self.missing]);
        let mut row_factors = [1; BLOCK_PARITY_MAX];
        let mut column_factors = [1; BLOCK_PARITY_MAX];
        for (row, factor) in rows.iter().zip(&mut row_factors) {
            for column in columns {
                *factor = mul(*factor, x(*row) ^ y(*column));
            }
            for other in rows.iter().filter(|other| *other != row) {
                *factor = div(*factor, x(*row) ^ x(*other));
            }
        }
        for (column, factor) in columns.iter().zip(&mut column_factors) {
            for row in rows {
                *factor = mul(*factor, x(*row) ^ y(*column));
            }
            for other in columns.iter().filter(|other| *other != column) {
                *factor = div(*factor, y(*column) ^ y(*other));
            }
            *factor = div(*factor, column_scale(*column));
        }
        (row_factors, column_factors)
    }
}

/// The coefficient of a data shard in a parity shard, both by their position within the block.
pub(crate) fn coefficient(row: usize, column: usize) -> u8 {
    coefficients(row).get(column).copied().unwrap_or(0)
}

/// The coefficients of all data shards in a parity shard, in the order of their columns.
fn coefficients(row: usize) -> &'static [u8] {
    COEFFICIENTS.get(row).map_or(&[], |row| row)
}

/// Every coefficient there is: 4 KiB, because two divisions cost as much as a vector unit's work on the whole shard.
static COEFFICIENTS: [[u8; BLOCK_DATA_MAX]; BLOCK_PARITY_MAX] = {
    let mut table = [[0; BLOCK_DATA_MAX]; BLOCK_PARITY_MAX];
    let mut row = 0;
    while row < BLOCK_PARITY_MAX {
        let mut column = 0;
        while column < BLOCK_DATA_MAX {
            let (row_number, column_number) = (row as u8, column as u8);
            table[row][column] = div(column_scale(column_number), x(row_number) ^ y(column_number));
            column += 1;
        }
        row += 1;
    }
    table
};

/// Makes the first row all ones: one parity shard costs an XOR.
const fn column_scale(column: u8) -> u8 {
    x(0) ^ y(column)
}

/// The field element of a row.
const fn x(row: u8) -> u8 {
    // Rows are below BLOCK_PARITY_MAX, so the sum stays below 256, as asserted above.
    row.wrapping_add(BLOCK_DATA_MAX as u8)
}

/// The field element of a column.
const fn y(column: u8) -> u8 {
    column
}
