//! What is known of two-colour text before any was seen (SPEC §5.3).

use crate::coder::Bit;

pub(crate) const BITMAP: [Bit; 1024] = [Bit::EVEN; 1024];
