//! RIFT's handshake by snow: selectable, and the oracle of the core's own Noise
