//! Datagrams on their way, and which path they take.

/// Bytes of the longest datagram.
pub const LEN: usize = 1500;

/// A datagram under way.
#[derive(Clone, Copy)]
pub struct Datagram {
    /// The sender's name of its path, by which the receiver knows it too.
    pub path: u8,
    pub bytes: [u8; LEN],
    pub len: usize,
}

/// A queue of datagrams.
pub struct Wire {
    datagrams: [Datagram; 64],
    first: usize,
    len: usize,
}

impl Wire {
    pub const fn new() -> Self {
        Self { datagrams: [Datagram { path: 0, bytes: [0; LEN], len: 0 }; 64], first: 0, len: 0 }
    }

    pub fn push(&mut self, path: u8, bytes: &[u8]) -> Result<(), &'static str> {
        if self.len == self.datagrams.len() {
            return Err("more datagrams than the pacer allows");
        }
        let place = &mut self.datagrams[(self.first + self.len) % 64];
        place.bytes[..bytes.len()].copy_from_slice(bytes);
        (place.path, place.len) = (path, bytes.len());
        self.len += 1;
        Ok(())
    }

    pub fn pop(&mut self) -> Option<Datagram> {
        if self.len == 0 {
            return None;
        }
        let datagram = self.datagrams[self.first];
        self.first = (self.first + 1) % 64;
        self.len -= 1;
        Some(datagram)
    }

    /// What was under way is lost.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}
