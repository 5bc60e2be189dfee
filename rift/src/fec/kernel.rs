//! The one operation that costs: `destination ^= coefficient × source` over a shard.
//!
//! It stands behind a trait so that a platform crate can bring SIMD; the core's own [`Portable`] is safe code.

use heapless::Vec;

use super::field::mul;

/// Multiplies slices by coefficients of GF(2⁸) (polynomial 0x11d) and adds them to another.
pub trait MulAdd {
    /// `destination[i] ^= coefficient × source[i]` for the indices both slices have.
    fn mul_add(&self, destination: &mut [u8], source: &[u8], coefficient: u8);

    /// [`Self::mul_add`] for each term. An engine that keeps sums in registers has its own.
    fn mul_add_all(&self, destination: &mut [u8], terms: &[Term<'_>]) {
        for term in terms {
            self.mul_add(destination, term.source, term.coefficient);
        }
    }

    /// [`Self::mul_add_all`] to zeros, whatever `destination` holds. An engine that keeps sums in registers need not write
    /// the zeros first.
    fn mul_sum(&self, destination: &mut [u8], terms: &[Term<'_>]) {
        destination.fill(0);
        self.mul_add_all(destination, terms);
    }
}

/// What is added: a slice times a coefficient.
#[derive(Clone, Copy, Debug, Default)]
pub struct Term<'a> {
    /// The bytes.
    pub source: &'a [u8],
    /// What each is multiplied by.
    pub coefficient: u8,
}

/// Terms gathered at once: the data of most blocks, and less than a kilobyte of stack.
const TERMS_MAX: usize = 32;

/// Adds all terms there are, as many at once as are gathered.
pub(crate) fn add_all<'a>(
    kernel: &impl MulAdd,
    destination: &mut [u8],
    terms: impl IntoIterator<Item = Term<'a>>,
) {
    combine(kernel, destination, terms, false);
}

/// Writes the sum of all terms there are.
pub(crate) fn sum_all<'a>(
    kernel: &impl MulAdd,
    destination: &mut [u8],
    terms: impl IntoIterator<Item = Term<'a>>,
) {
    combine(kernel, destination, terms, true);
}

#[inline]
fn combine<'a>(
    kernel: &impl MulAdd,
    destination: &mut [u8],
    terms: impl IntoIterator<Item = Term<'a>>,
    mut to_zeros: bool,
) {
    let mut add = |gathered: &[Term<'_>]| {
        if core::mem::take(&mut to_zeros) {
            kernel.mul_sum(destination, gathered);
        } else {
            kernel.mul_add_all(destination, gathered);
        }
    };
    let mut gathered = Vec::<Term<'_>, TERMS_MAX>::new();
    for term in terms {
        if let Err(term) = gathered.push(term) {
            add(&gathered);
            gathered.clear();
            // There is room again.
            let _ = gathered.push(term);
        }
    }
    add(&gathered);
}

/// The kernel of the core: no tables beyond the field's, no unsafe code.
///
/// A product is the sum of the coefficient's multiples for the bits set in the source byte. Eight rounds of
/// compare, mask and add over a fixed run of bytes are what a compiler turns into vector code on every target
/// that has any: on x86-64 without further features twice the speed of a table of 256 products, three times that
/// of two tables of 16, five times that of shifting eight bytes in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Portable;

/// Bytes handled as one run: two vector registers of the narrowest vector unit.
const RUN: usize = 32;

impl MulAdd for Portable {
    fn mul_add(&self, destination: &mut [u8], source: &[u8], coefficient: u8) {
        match coefficient {
            0 => {}
            1 => add(destination, source),
            _ => mul_add(destination, source, coefficient),
        }
    }
}

fn add(destination: &mut [u8], source: &[u8]) {
    for (to, from) in destination.iter_mut().zip(source) {
        *to ^= *from;
    }
}

fn mul_add(destination: &mut [u8], source: &[u8], coefficient: u8) {
    // From the highest bit down, because the sign of a byte is the bit a vector unit compares for free.
    let multiples: [u8; 8] = core::array::from_fn(|bit| mul(coefficient, 0x80 >> bit));
    let (runs, rest) = destination.as_chunks_mut::<RUN>();
    let (source_runs, source_rest) = source.as_chunks::<RUN>();
    let full = runs.len().min(source_runs.len());
    for (to, from) in runs.iter_mut().zip(source_runs) {
        for (to, from) in to.iter_mut().zip(from) {
            *to ^= product(*from, &multiples);
        }
    }
    // The slices may differ in length; what is left of both is shorter than a run in one of them.
    let (to, from): (&mut [u8], &[u8]) = if runs.len() == full {
        (rest, source.get(full * RUN..).unwrap_or(source_rest))
    } else {
        (runs[full..].as_flattened_mut(), source_rest)
    };
    for (to, from) in to.iter_mut().zip(from) {
        *to ^= product(*from, &multiples);
    }
}

#[inline(always)]
fn product(byte: u8, multiples: &[u8; 8]) -> u8 {
    let mut shifted = byte.cast_signed();
    let mut sum = 0;
    for multiple in multiples {
        sum ^= if shifted < 0 { *multiple } else { 0 };
        shifted <<= 1;
    }
    sum
}
