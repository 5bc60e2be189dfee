//! What equations restore: elimination over the shards that are missing, one equation at a time.
//!
//! The matrix decides, not a count: over [`Gf256`] with the coefficients that a code of three pictures' windows would
//! have, a matrix may be singular by its shape or by chance; over [`Wide`] it practically never is by chance, which
//! makes the ideal code that ours is shown beside.

use std::sync::LazyLock;

use super::line::Random;
use rift::fec::{BLOCK_DATA_MAX, BLOCK_PARITY_MAX};
use rift::limits::WINDOW_PARITY_MAX;

/// Shards a picture has at most.
pub(super) const SHARDS: u64 = 64;
/// Rows of the matrix that a window takes for each of its pictures.
const PARITY: u64 = WINDOW_PARITY_MAX as u64;

/// A field, and the coefficients of a code over it.
pub(crate) trait Field {
    /// An element; the default is 0.
    type Element: Copy + Default + PartialEq;
    /// `a − b`.
    fn sub(a: Self::Element, b: Self::Element) -> Self::Element;
    /// `a × b`.
    fn mul(a: Self::Element, b: Self::Element) -> Self::Element;
    /// `1 / a` of what is not 0.
    fn inverse(a: Self::Element) -> Self::Element;
    /// The coefficient of a shard of picture `of` in parity shard `row` of picture `to`, not 0.
    fn coefficient(row: u64, to: u64, of: u64, shard: u64) -> Self::Element;
}

/// The core's field with the coefficients of the core's code: a Cauchy matrix, of whose rows a window takes eight further
/// ones for each picture back (SPEC §11.13). Its columns' scale changes no rank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gf256;

static PRODUCTS: LazyLock<Vec<[u8; 256]>> = LazyLock::new(|| {
    let row = |a: u8| core::array::from_fn(|b| rift::fec::field::mul(a, b as u8));
    (0..=255).map(row).collect()
});

impl Field for Gf256 {
    type Element = u8;

    fn sub(a: u8, b: u8) -> u8 {
        a ^ b
    }

    fn mul(a: u8, b: u8) -> u8 {
        PRODUCTS[usize::from(a)][usize::from(b)]
    }

    fn inverse(a: u8) -> u8 {
        rift::fec::field::div(1, a)
    }

    fn coefficient(row: u64, to: u64, of: u64, shard: u64) -> u8 {
        let row = ((to - of) * PARITY + row) % BLOCK_PARITY_MAX as u64 + BLOCK_DATA_MAX as u64;
        Self::inverse((row ^ shard) as u8)
    }
}

/// The integers modulo 2³¹ − 1, with coefficients drawn at random.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide;

const PRIME: u64 = (1 << 31) - 1;

impl Field for Wide {
    type Element = u64;

    fn sub(a: u64, b: u64) -> u64 {
        (a + PRIME - b) % PRIME
    }

    fn mul(a: u64, b: u64) -> u64 {
        a * b % PRIME
    }

    fn inverse(a: u64) -> u64 {
        let (mut power, mut base, mut exponent) = (1, a, PRIME - 2);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = Self::mul(power, base);
            }
            base = Self::mul(base, base);
            exponent >>= 1;
        }
        power
    }

    fn coefficient(row: u64, to: u64, of: u64, shard: u64) -> u64 {
        let row = to * SHARDS + row;
        Random::new((row * 0x1f12_3bb5) ^ (of * SHARDS + shard)).next() % (PRIME - 1) + 1
    }
}

/// What a repair packet says: a sum over the shards of some pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Equation {
    /// Its row of the matrix; `None` = plain XOR.
    pub(super) row: Option<u64>,
    /// The first and last picture it covers.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Which shards of the last one, and of it alone if there is only one.
    pub(super) first: u64,
    pub(super) end: u64,
}

impl Equation {
    /// The shards of a picture that it covers, as bits.
    fn covers(&self, picture: u64) -> u64 {
        if picture < self.to {
            return u64::MAX;
        }
        let below = |end: u64| 1_u64.checked_shl(end as u32).unwrap_or(0).wrapping_sub(1);
        let first = if self.from == self.to { self.first } else { 0 };
        below(self.end) & !below(first)
    }
}

#[derive(Debug)]
struct Row<E> {
    pivot: usize,
    terms: Vec<E>,
}

/// Reduced equations over the shards that are missing.
#[derive(Debug)]
pub(super) struct Solver<F: Field> {
    columns: Vec<(u64, u64)>,
    rows: Vec<Row<F::Element>>,
}

impl<F: Field> Solver<F> {
    pub(super) const fn new() -> Self {
        Self { columns: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.columns.clear();
        self.rows.clear();
    }

    /// Takes an equation; gives the shards that are known by it. `missing` tells a picture's missing shards as bits.
    pub(super) fn add(&mut self, equation: &Equation, missing: impl Fn(u64) -> u64) -> Vec<(u64, u64)> {
        let mut terms = vec![F::Element::default(); self.columns.len()];
        for picture in equation.from..=equation.to {
            let mut left = missing(picture) & equation.covers(picture);
            while left != 0 {
                let shard = u64::from(left.trailing_zeros());
                left &= left - 1;
                let at = self.column(picture, shard, &mut terms);
                // A plain sum is a row of equal coefficients.
                let (row, to, of, shard) =
                    equation.row.map_or((0, 0, 0, 0), |row| (row, equation.to, picture, shard));
                terms[at] = F::coefficient(row, to, of, shard);
            }
        }
        for row in &self.rows {
            let factor = terms[row.pivot];
            subtract::<F>(&mut terms, &row.terms, factor);
        }
        let zero = F::Element::default();
        let Some(pivot) = terms.iter().position(|term| *term != zero) else { return Vec::new() };
        let inverse = F::inverse(terms[pivot]);
        for term in &mut terms {
            *term = F::mul(*term, inverse);
        }
        for row in &mut self.rows {
            let factor = row.terms[pivot];
            subtract::<F>(&mut row.terms, &terms, factor);
        }
        self.rows.push(Row { pivot, terms });
        self.take_known()
    }

    fn column(&mut self, picture: u64, shard: u64, terms: &mut Vec<F::Element>) -> usize {
        if let Some(at) = self.columns.iter().position(|column| *column == (picture, shard)) {
            return at;
        }
        self.columns.push((picture, shard));
        terms.push(F::Element::default());
        for row in &mut self.rows {
            row.terms.push(F::Element::default());
        }
        self.columns.len() - 1
    }

    fn take_known(&mut self) -> Vec<(u64, u64)> {
        let zero = F::Element::default();
        let mut known = Vec::new();
        let mut index = 0;
        while let Some(row) = self.rows.get(index) {
            if row.terms.iter().filter(|term| **term != zero).count() > 1 {
                index += 1;
                continue;
            }
            let pivot = row.pivot;
            known.push(self.columns[pivot]);
            self.rows.swap_remove(index);
            self.remove(pivot);
        }
        known
    }

    fn remove(&mut self, column: usize) {
        self.columns.swap_remove(column);
        let moved = self.columns.len();
        for row in &mut self.rows {
            row.terms.swap_remove(column);
            if row.pivot == moved {
                row.pivot = column;
            }
        }
    }

    /// Equations that are already of use to a picture.
    pub(super) fn rank_of(&self, picture: u64) -> usize {
        self.rows.iter().filter(|row| self.columns[row.pivot].0 == picture).count()
    }

    /// Forgets pictures before this one, and what says anything of them.
    pub(super) fn forget_before(&mut self, picture: u64) {
        let zero = F::Element::default();
        let is_old = |columns: &[(u64, u64)], at: usize| columns[at].0 < picture;
        let columns = &self.columns;
        self.rows.retain(|row| {
            !row.terms.iter().enumerate().any(|(at, term)| *term != zero && is_old(columns, at))
        });
        let mut at = 0;
        while at < self.columns.len() {
            if is_old(&self.columns, at) {
                self.remove(at);
            } else {
                at += 1;
            }
        }
    }
}

fn subtract<F: Field>(from: &mut [F::Element], terms: &[F::Element], factor: F::Element) {
    if factor == F::Element::default() {
        return;
    }
    for (from, term) in from.iter_mut().zip(terms) {
        *from = F::sub(*from, F::mul(factor, *term));
    }
}
