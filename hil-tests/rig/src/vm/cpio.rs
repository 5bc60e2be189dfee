//! Archives as the kernel unpacks them at its start (`cpio` in the "newc" form, documented with the kernel under
//! `early-userspace/buffer-format`).

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// Writes an archive entry by entry; directories appear by themselves.
#[derive(Debug)]
pub(super) struct Archive<W: Write> {
    output: W,
    directories: BTreeSet<String>,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) const fn new(output: W) -> Self {
        Self { output, directories: BTreeSet::new(), entries: 0 }
    }

    /// A directory and all above it. `path` is absolute in the guest.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        let mut above: Vec<&Path> = Path::new(path).ancestors().collect();
        above.reverse();
        for directory in above.into_iter().filter_map(Path::to_str).filter(|directory| *directory != "/") {
            if self.directories.insert(directory.to_owned()) {
                self.entry(directory, DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    /// A file that can be run.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.parent(path)?;
        self.entry(path, PROGRAM, bytes)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parent(path)?;
        self.entry(path, LINK, target.as_bytes())
    }

    /// Ends the archive and gives its output back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn parent(&mut self, path: &str) -> io::Result<()> {
        Path::new(path).parent().and_then(Path::to_str).map_or(Ok(()), |parent| self.directory(parent))
    }

    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.entries += 1;
        let name_len = u32::try_from(name.len() + 1).map_err(|_| io::ErrorKind::InvalidFilename)?;
        // Number, mode, owner, group, links, time, length, four device numbers, length of the name, no checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0];
        write!(self.output, "070701")?;
        for field in fields {
            write!(self.output, "{field:08x}")?;
        }
        self.output.write_all(name.as_bytes())?;
        // The name ends with a zero byte; name and content are padded to four bytes.
        let head = 6 + 8 * fields.len() + name.len();
        self.output.write_all(&[0; 4][..4 - head % 4])?;
        self.output.write_all(bytes)?;
        self.output.write_all(&[0; 4][..bytes.len().next_multiple_of(4) - bytes.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_directories_come_once_and_first() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/bin/ab", b"hello").unwrap();
        archive.link("/bin/c", "ab").unwrap();
        let bytes = archive.finish().unwrap();
        let mut rest = &bytes[..];
        let mut seen = Vec::new();
        while !rest.is_empty() {
            assert_eq!(&rest[..6], b"070701");
            let field = |index: usize| {
                let text = str::from_utf8(&rest[6 + 8 * index..][..8]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            let (len, name_len) = (field(6), field(11));
            let name = str::from_utf8(&rest[110..110 + name_len - 1]).unwrap();
            assert_eq!(rest[110 + name_len - 1], 0);
            let start = (110 + name_len).next_multiple_of(4);
            seen.push((name.to_owned(), rest[start..start + len].to_vec()));
            rest = &rest[(start + len).next_multiple_of(4)..];
        }
        let expected: [(&str, &[u8]); 4] =
            [("bin", b""), ("bin/ab", b"hello"), ("bin/c", b"ab"), ("TRAILER!!!", b"")];
        let expected = expected.map(|(name, content)| (name.to_owned(), content.to_vec()));
        assert_eq!(seen, expected);
    }
}
