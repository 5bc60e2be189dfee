//! Reading and writing numbers in network byte order; nothing here can panic.

/// Takes fields from the front of a slice. Every getter is `None` past the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

/// Puts fields at the front of a slice. Every setter is `None` when the slice is full; what was written before
/// stays, so callers check the room of a whole message first or roll back to a mark.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that still fit.
    pub(crate) const fn room(&self) -> usize {
        self.out.len().saturating_sub(self.len)
    }

    /// Takes back everything written after `mark` (an earlier [`Self::len`]).
    pub(crate) const fn truncate(&mut self, mark: usize) {
        if mark < self.len {
            self.len = mark;
        }
    }

    /// The next `len` bytes, to be filled by the caller.
    pub(crate) fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.len.checked_add(len)?;
        let slice = self.out.get_mut(self.len..end)?;
        self.len = end;
        Some(slice)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    pub(crate) fn u8(&mut self, value: u8) -> Option<()> {
        self.bytes(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn i16(&mut self, value: i16) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes `value` at `at` and moves everything from `at + 2` one byte forward, over the byte behind it.
    pub(crate) fn close_gap(&mut self, at: usize, value: u8) -> Option<()> {
        let body = at.checked_add(2)?;
        if body > self.len {
            return None;
        }
        self.out.copy_within(body..self.len, body.checked_sub(1)?);
        *self.out.get_mut(at)? = value;
        self.len = self.len.checked_sub(1)?;
        Some(())
    }

    /// Overwrites the two bytes at `at`, which must have been written.
    pub(crate) fn patch_u16(&mut self, at: usize, value: u16) -> Option<()> {
        let end = at.checked_add(2)?;
        if end > self.len {
            return None;
        }
        self.out.get_mut(at..end)?.copy_from_slice(&value.to_be_bytes());
        Some(())
    }
}
