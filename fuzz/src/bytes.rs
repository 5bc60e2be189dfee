//! Decisions drawn from a fuzzer's bytes, front to back. What is drawn past the end is zeros, so a short input is a
//! short story and every prefix of an input begins the same one.

/// Decisions yet to be drawn.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// Decisions from these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything has been drawn.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes, or as many as are left.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Bytes with their length before them, at most `most` of them. Lengths below 224 take one byte.
    pub fn run(&mut self, most: usize) -> &'a [u8] {
        let first = usize::from(self.u8());
        let len = if first < 224 { first } else { (first - 224) << 8 | usize::from(self.u8()) };
        self.take(len.min(most))
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.take(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// Four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// A yes or no, of one byte.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// A number below `end` (at least 1, at most 256), of one byte.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.u8()) % end.max(1)
    }

    /// A number near `base`: mostly a little beside it, sometimes any.
    pub fn near(&mut self, base: u32) -> u32 {
        match self.u8() {
            step @ 0..=63 => base.wrapping_add(step.into()),
            step @ 64..=127 => base.wrapping_sub(u32::from(step - 64)),
            128..=191 => base.wrapping_add(self.u16().into()),
            192..=223 => base.wrapping_sub(self.u16().into()),
            224.. => self.u32(),
        }
    }
}

/// Writes decisions as [`Bytes`] draws them: for seeds.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<u8>);

impl Script {
    /// Appends one byte.
    #[must_use]
    pub fn u8(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Appends bytes as [`Bytes::run`] draws them; at most 8191.
    #[must_use]
    pub fn run(mut self, bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(len) if len < 224 => self.0.push(len),
            _ => {
                let [high, low] = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
                self.0.extend([high.saturating_add(224), low]);
            }
        }
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A reproducible sequence for contents nobody chooses (xorshift64*).
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number.
    pub const fn u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.u64().to_be_bytes()[0]).collect()
    }
}
