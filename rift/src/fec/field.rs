//! The field GF(2⁸) modulo x⁸ + x⁴ + x³ + x² + 1 (0x11d), in which 2 generates every non-zero element.

/// What the reduction of x⁸ leaves.
pub(crate) const REDUCTION: u8 = 0x1d;

/// Powers of 2, twice over so that a sum of two logarithms needs no reduction.
const EXP: [u8; 510] = exp_table();
/// Logarithms to the base 2; the entry of 0 is never read.
const LOG: [u8; 256] = log_table();

const fn exp_table() -> [u8; 510] {
    let mut table = [0; 510];
    let mut power: u8 = 1;
    let mut exponent = 0;
    while exponent < 255 {
        table[exponent] = power;
        table[exponent + 255] = power;
        let carry = power >> 7;
        power = (power << 1) ^ (carry * REDUCTION);
        exponent += 1;
    }
    table
}

const fn log_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut exponent: u8 = 0;
    while exponent < 255 {
        table[EXP[exponent as usize] as usize] = exponent;
        exponent += 1;
    }
    table
}

/// The product.
#[must_use]
pub const fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[LOG[a as usize] as usize + LOG[b as usize] as usize]
}

/// `a` divided by `b`; 0 when `b` is 0, which no caller in this crate passes.
#[must_use]
pub const fn div(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[LOG[a as usize] as usize + 255 - LOG[b as usize] as usize]
}
