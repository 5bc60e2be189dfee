//! RIFT's erasure code on vector units.
//!
//! The field's products are what costs in it, and a processor has faster ways than the core's portable one: GFNI
//! multiplies 64 or 32 bytes by any constant in one instruction (an affine map over GF(2) is a product in every
//! representation of the field), and SSSE3, AVX2 and NEON look up 16 or 32 halves of bytes at once (Plank, Greenan, Miller,
//! "Screaming Fast Galois Field Arithmetic Using Intel SIMD Instructions", FAST '13). Which of them there are is found
//! when the program runs.
//!
//! All terms of a sum are added up in registers before the sum is stored: the source is then the only thing read.
//!
//! Invariant: every kernel makes the bytes that [`rift::fec::Portable`] makes; tests hold them to it. It knows nothing of
//! shards and matrices. 64-bit ARM has NEON's look-up of 16 bytes; other processors have the portable kernel.

#![cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "vector instructions behind detection")
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod gfni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod ssse3;
mod tables;

use rift::fec::{MulAdd, Portable, Term};

/// A way to multiply and add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// 64 bytes an instruction: GFNI with AVX-512.
    #[cfg(target_arch = "x86_64")]
    Gfni512,
    /// 32 bytes an instruction: GFNI with AVX2.
    #[cfg(target_arch = "x86_64")]
    Gfni256,
    /// Two look-ups of 32 bytes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Two look-ups of 16 bytes.
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    /// Two look-ups of 16 bytes, on 64-bit ARM.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// The core's own.
    Portable,
}

impl Kernel {
    /// All there are, the fastest first.
    pub const ALL: &'static [Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Gfni512,
        #[cfg(target_arch = "x86_64")]
        Self::Gfni256,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Ssse3,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        Self::Portable,
    ];

    /// Whether this processor has what it needs. Costs a few loads and comparisons.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => {
                std::is_x86_feature_detected!("gfni") && std::is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => std::is_x86_feature_detected!("gfni") && std::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => std::is_x86_feature_detected!("ssse3"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
        }
    }

    /// The fastest that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        Self::ALL.iter().copied().find(|kernel| kernel.is_available()).unwrap_or(Self::Portable)
    }

    /// What the terms that reach as far as the destination add to it, or to zeros, all at once.
    fn add_long(self, destination: &mut [u8], terms: &[Term<'_>], to_zeros: bool) {
        #[cfg(target_arch = "x86_64")]
        let has_zeros = matches!(self, Self::Gfni512 | Self::Gfni256 | Self::Avx2);
        #[cfg(not(target_arch = "x86_64"))]
        let has_zeros = false;
        if to_zeros && !has_zeros {
            destination.fill(0);
        }
        match self {
            // SAFETY: this kernel is only used where the processor was found to have these instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => unsafe { gfni::add_512(destination, terms, to_zeros) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => unsafe { gfni::add_256(destination, terms, to_zeros) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::add(destination, terms, to_zeros) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => unsafe { ssse3::add(destination, terms) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { neon::add(destination, terms) },
            Self::Portable => Portable.mul_add_all(destination, terms),
        }
    }
}

/// The fastest kernel of this processor, found anew at each call: what sessions are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simd;

impl MulAdd for Simd {
    fn mul_add(&self, destination: &mut [u8], source: &[u8], coefficient: u8) {
        Kernel::detect().mul_add(destination, source, coefficient);
    }

    fn mul_add_all(&self, destination: &mut [u8], terms: &[Term<'_>]) {
        Kernel::detect().mul_add_all(destination, terms);
    }

    fn mul_sum(&self, destination: &mut [u8], terms: &[Term<'_>]) {
        Kernel::detect().mul_sum(destination, terms);
    }
}

/// A kernel that the processor lacks does what the portable one does.
impl MulAdd for Kernel {
    fn mul_add(&self, destination: &mut [u8], source: &[u8], coefficient: u8) {
        self.mul_add_all(destination, &[Term { source, coefficient }]);
    }

    fn mul_add_all(&self, destination: &mut [u8], terms: &[Term<'_>]) {
        let kernel = if self.is_available() { *self } else { Self::Portable };
        let len = destination.len();
        // Only the last shard of a picture is short: runs of long ones around it stay whole.
        for run in terms.chunk_by(|a, b| (a.source.len() >= len) == (b.source.len() >= len)) {
            if run[0].source.len() >= len {
                kernel.add_long(destination, run, false);
                continue;
            }
            for term in run {
                let short = &mut destination[..term.source.len()];
                kernel.add_long(short, core::slice::from_ref(term), false);
            }
        }
    }

    fn mul_sum(&self, destination: &mut [u8], terms: &[Term<'_>]) {
        let kernel = if self.is_available() { *self } else { Self::Portable };
        let long = terms.iter().take_while(|term| term.source.len() >= destination.len()).count();
        let (long, rest) = terms.split_at(long);
        kernel.add_long(destination, long, true);
        if !rest.is_empty() {
            kernel.mul_add_all(destination, rest);
        }
    }
}
