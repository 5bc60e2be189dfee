//! What is counted of the sound.

/// What was heard and not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayerStats {
    /// Packets that came.
    pub packets: u64,
    /// Packets that are missing.
    pub lost: u64,
    /// Frames that were invented.
    pub concealed: u64,
    /// Times when something was missing where there should have been sound.
    pub gaps: u64,
    /// Packets left out because far too much was in hand, or there was no room.
    pub dropped: u64,
    /// Times when a stretch of up to 15 ms was left out or repeated, to have more or less in hand.
    pub spliced: u64,
    /// Packets that could not be decoded.
    pub broken: u64,
    /// From the capture to the loudspeaker, in microseconds; 0 while the clocks' relation is unknown.
    pub latency_us: u32,
    /// What is in hand for late packets, in microseconds.
    pub in_hand_us: u32,
    /// What should be.
    pub wanted_us: u32,
    /// What the sender's clock is faster by, in millionths.
    pub drift_ppm: i32,
    /// Sound is heard, or silence that was sent.
    pub is_playing: bool,
}
