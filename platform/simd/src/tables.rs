//! Products in the forms that instructions take.

use rift::fec::field::mul;

/// For each coefficient its map over GF(2), as `GF2P8AFFINEQB` takes it: byte `7 - i` says which bits of the factor make
/// bit `i` of the product.
#[cfg(target_arch = "x86_64")]
pub(crate) static AFFINE: [u64; 256] = affine_table();

/// For each coefficient the products of the low halves of bytes, then those of the high halves.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) static HALVES: [[[u8; 16]; 2]; 256] = halves_table();

/// The product with a coefficient, for the ends of slices that no vector fills.
pub(crate) const fn product(coefficient: u8, byte: u8) -> u8 {
    mul(coefficient, byte)
}

#[cfg(target_arch = "x86_64")]
const fn affine_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut rows = [0u8; 8];
        let mut from = 0;
        while from < 8 {
            let image = mul(coefficient as u8, 1 << from);
            let mut to = 0;
            while to < 8 {
                rows[7 - to] |= ((image >> to) & 1) << from;
                to += 1;
            }
            from += 1;
        }
        table[coefficient] = u64::from_le_bytes(rows);
        coefficient += 1;
    }
    table
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const fn halves_table() -> [[[u8; 16]; 2]; 256] {
    let mut table = [[[0; 16]; 2]; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut half = 0;
        while half < 16 {
            table[coefficient][0][half] = mul(coefficient as u8, half as u8);
            table[coefficient][1][half] = mul(coefficient as u8, (half << 4) as u8);
            half += 1;
        }
        coefficient += 1;
    }
    table
}
