//! Parity over several pictures (SPEC §11.13): what a burst takes from one picture is restored from the parity of those
//! that follow, and no picture carries parity for the worst on its own.
//!
//! Parity shard `j` of a picture is row `j` of the code over its own data, and the sum of row `8 b + j` over the data of
//! each covered picture `b` before it. To a picture that alone is damaged, the parity of all that cover it is therefore
//! one MDS code of up to 32 rows, and a window over nothing but its own picture is the code of the block. Where several
//! are damaged the rows are solved together, and give what they determine, however little that is.

use core::ops::Range;

use super::field::{div, mul};
use super::kernel::add_all;
use super::{Layout, MulAdd, Term, coefficients};
use crate::limits::{WINDOW_PARITY_MAX, WINDOW_UNKNOWN_MAX};

/// The row of the code that parity shard `parity` has of a picture `back` before its own.
#[must_use]
pub const fn row(back: usize, parity: usize) -> usize {
    WINDOW_PARITY_MAX * back + parity
}

/// Adds to parity shard `parity` what it has of a picture `back` before its own; added twice it is gone again.
///
/// `data` is [`Layout::data_len`] bytes in one block, `out` at least [`Layout::shard_len`]. Rows that the code does not
/// have add nothing.
pub fn add_picture_with(
    kernel: &impl MulAdd,
    layout: &Layout,
    data: &[u8],
    (back, parity): (usize, usize),
    out: &mut [u8],
) {
    let data = data.get(..layout.data_len()).unwrap_or(data);
    let terms = data.chunks(layout.shard_len()).zip(coefficients(row(back, parity)));
    add_all(kernel, out, terms.map(|(source, &coefficient)| Term { source, coefficient }));
}

/// Equations over unknown shards, and how far they determine them.
#[derive(Debug)]
pub(crate) struct Elimination {
    unknowns: usize,
    equations: usize,
    /// A row for each equation: coefficients of the unknowns, and of which equations it is the sum.
    terms: [[u8; WINDOW_UNKNOWN_MAX]; WINDOW_UNKNOWN_MAX],
    sums: [[u8; WINDOW_UNKNOWN_MAX]; WINDOW_UNKNOWN_MAX],
}

impl Elimination {
    /// Over so many unknowns, at most [`WINDOW_UNKNOWN_MAX`].
    pub(crate) const fn new(unknowns: usize) -> Self {
        Self {
            unknowns: if unknowns < WINDOW_UNKNOWN_MAX { unknowns } else { WINDOW_UNKNOWN_MAX },
            equations: 0,
            terms: [[0; WINDOW_UNKNOWN_MAX]; WINDOW_UNKNOWN_MAX],
            sums: [[0; WINDOW_UNKNOWN_MAX]; WINDOW_UNKNOWN_MAX],
        }
    }

    /// Adds an equation with these coefficients; what finds no room is done without.
    pub(crate) fn push(&mut self, coefficient: impl Fn(usize) -> u8) {
        let at = self.equations;
        let (Some(terms), Some(sums)) = (self.terms.get_mut(at), self.sums.get_mut(at)) else { return };
        for (unknown, term) in terms[..self.unknowns].iter_mut().enumerate() {
            *term = coefficient(unknown);
        }
        sums[at] = 1;
        self.equations += 1;
    }

    /// Brings the equations into reduced echelon form: at most 32³ products.
    pub(crate) fn reduce(&mut self) {
        let mut rank = 0;
        for unknown in 0..self.unknowns {
            let Some(found) = (rank..self.equations).find(|&row| self.terms[row][unknown] != 0) else {
                continue;
            };
            self.terms.swap(rank, found);
            self.sums.swap(rank, found);
            let factor = div(1, self.terms[rank][unknown]);
            scale(&mut self.terms[rank], factor);
            scale(&mut self.sums[rank], factor);
            let (terms, sums) = (self.terms[rank], self.sums[rank]);
            for row in (0..self.equations).filter(|&row| row != rank) {
                let factor = self.terms[row][unknown];
                add(&mut self.terms[row], &terms, factor);
                add(&mut self.sums[row], &sums, factor);
            }
            rank += 1;
        }
    }

    /// After [`Self::reduce`]: the factors of the equations whose sum is this unknown; `None` while they do not
    /// determine it.
    pub(crate) fn solution(&self, unknown: usize) -> Option<&[u8; WINDOW_UNKNOWN_MAX]> {
        let is_it = |terms: &[u8; WINDOW_UNKNOWN_MAX]| {
            terms.get(unknown) == Some(&1) && terms.iter().filter(|&&term| term != 0).count() == 1
        };
        let row = self.terms[..self.equations].iter().position(is_it)?;
        self.sums.get(row)
    }

    /// Whether all of these are determined.
    pub(crate) fn determines(&self, mut unknowns: Range<usize>) -> bool {
        unknowns.all(|unknown| self.solution(unknown).is_some())
    }
}

fn scale(row: &mut [u8; WINDOW_UNKNOWN_MAX], factor: u8) {
    for term in row {
        *term = mul(*term, factor);
    }
}

fn add(row: &mut [u8; WINDOW_UNKNOWN_MAX], other: &[u8; WINDOW_UNKNOWN_MAX], factor: u8) {
    if factor != 0 {
        for (term, other) in row.iter_mut().zip(other) {
            *term ^= mul(*other, factor);
        }
    }
}
