//! This board's usual stack is deep enough for everything: there is no other.

/// A stack that there is not.
pub enum DeepStack {}

impl DeepStack {
    /// Never called.
    pub fn run(&mut self, _: &mut dyn FnMut()) {
        match *self {}
    }

    /// Never called.
    pub fn used(&self) -> (usize, usize) {
        match *self {}
    }
}
