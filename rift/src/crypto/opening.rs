//! What a handshake is going to be (SPEC §4.2): said in the head of its first flight, mixed into it as its prologue.

use super::Suite;
use crate::wire::VERSION;

/// Which messages a handshake has, by their names in Noise (revision 34, §7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// Three messages; neither side knows the other's key beforehand.
    Xx,
    /// Two messages; the initiator knows the responder's key.
    Ik,
}

/// A handshake of this version of the protocol. Two sides that do not mean the same opening do not understand each
/// other, so nobody on the way can talk them into an older version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opening {
    /// The pattern of its messages.
    pub pattern: Pattern,
    /// What its secrets rest on.
    pub suite: Suite,
    /// The newest version that its initiator speaks, though it may have begun with this one.
    pub newest: u8,
}

impl Opening {
    /// XX by an initiator that speaks no newer version.
    pub const XX: Self = Self { pattern: Pattern::Xx, suite: Suite::Classical, newest: VERSION };
    /// IK by an initiator that speaks no newer version.
    pub const IK: Self = Self { pattern: Pattern::Ik, suite: Suite::Classical, newest: VERSION };

    /// The same pattern with this suite.
    #[must_use]
    pub const fn with_suite(self, suite: Suite) -> Self {
        Self { suite, ..self }
    }

    /// What both sides mix in before the first message: the protocol, its version, the newest version of the
    /// initiator, the pattern and, in its second letter, the suite.
    #[must_use]
    pub const fn prologue(self) -> [u8; 8] {
        let [p, q] = match (self.pattern, self.suite) {
            (Pattern::Xx, Suite::Classical) => *b"XX",
            (Pattern::Ik, Suite::Classical) => *b"IK",
            (Pattern::Xx, Suite::Hybrid) => *b"XH",
            (Pattern::Ik, Suite::Hybrid) => *b"IH",
        };
        [b'R', b'I', b'F', b'T', VERSION, self.newest, p, q]
    }
}
