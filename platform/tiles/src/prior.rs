//! What is known of text before any was seen (SPEC §5.3): strokes go on, and so does what lies between them.

use crate::coder::Bit;

/// How sure that is: as after so many bits.
const SEEN: u16 = 2;

/// Whether a pixel of two colours is of the second, by its ten neighbours: all paper, or all ink, mostly goes on.
pub(crate) const BITMAP: [Bit; 1024] = {
    let mut models = [Bit::EVEN; 1024];
    models[0] = Bit::new(3800, SEEN);
    models[1023] = Bit::new(300, SEEN);
    models
};

/// Whether a pixel is as the one to its left, by which of its neighbours are alike.
pub(crate) const IS_LEFT: [Bit; 128] = {
    let mut models = [Bit::EVEN; 128];
    let mut context = 0;
    while context < 128 {
        let (is_up, is_corner, is_run) = (context & 1 != 0, context & 2 != 0, context & 16 != 0);
        let differs = match (is_up, is_corner, is_run) {
            (true, true, true) => 250,
            (true, true, false) => 700,
            (true, false, _) => 1200,
            (false, _, true) => 1900,
            (false, _, false) => 2500,
        };
        models[context] = Bit::new(differs, SEEN);
        context += 1;
    }
    models
};
