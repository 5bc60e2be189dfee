//! What a program takes of a board's memories, read from its ELF file (32 bits, little-endian).

use core::fmt::Write as _;

use super::Model;
use crate::Failure;

/// A part of a program that takes memory.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    name: String,
    size: u64,
    /// It is in the program's image: it takes flash memory.
    is_kept: bool,
    /// It is written while the program runs: it takes RAM.
    is_written: bool,
    /// It lies in memory beside the chip's own: pixels and pictures.
    is_external: bool,
}

/// What a program takes as code and constants, and as memory that it writes.
///
/// # Errors
/// Exit code 1 when the program is no ELF file, or an allocator is in it.
pub(super) fn sizes(elf: &[u8]) -> Result<(u64, u64), Failure> {
    let sections = checked(elf)?;
    let total = |which: fn(&Section) -> bool| {
        sections.iter().filter(|&section| which(section)).map(|section| section.size).sum()
    };
    Ok((total(|section| section.is_kept && !section.is_written), total(|section| section.is_written)))
}

/// What a program takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// A table of the sections, with totals beside what the board has.
    pub(super) table: String,
    /// Bytes of its variables, those in memory beside the chip's own apart.
    pub(super) ram: u64,
}

/// Adds a program's sections up.
///
/// # Errors
/// Exit code 1 when the program is no ELF file or does not fit the board.
pub(super) fn report(model: Model, elf: &[u8]) -> Result<Taken, Failure> {
    let sections = checked(elf)?;
    let mut text = format!("{:<18}{:>10}{:>10}\n", "section", "flash", "RAM");
    let (mut flash, mut ram) = (0, 0);
    for section in &sections {
        let kept = if section.is_kept { section.size } else { 0 };
        if section.is_external {
            let _ = writeln!(text, "{:<18}{:>20} beside the chip's own", section.name, section.size);
            continue;
        }
        let written = if section.is_written { section.size } else { 0 };
        flash += kept;
        ram += written;
        let _ = writeln!(text, "{:<18}{kept:>10}{written:>10}", section.name);
    }
    let _ = writeln!(text, "{:<18}{flash:>10}{ram:>10}", "all");
    let _ = write!(text, "{:<18}{:>10}{:>10}", model.name, model.flash, model.ram);
    if flash > model.flash || ram > model.ram {
        return Err(Failure::failed(format!("{text}\nthe program does not fit {}", model.name)));
    }
    Ok(Taken { table: text, ram })
}

fn checked(elf: &[u8]) -> Result<Vec<Section>, Failure> {
    // No program for boards has a heap; what would use one would have brought this along.
    const ALLOCATOR: &[u8] = b"__rust_alloc";
    if elf.windows(ALLOCATOR.len()).any(|bytes| bytes == ALLOCATOR) {
        return Err(Failure::failed("an allocator is linked into the board's program"));
    }
    read(elf).ok_or_else(|| Failure::failed("the program is no ELF file of 32 bits"))
}

fn read(elf: &[u8]) -> Option<Vec<Section>> {
    const CLASS_32: u8 = 1;
    const ALLOCATED: u32 = 2;
    const WRITABLE: u32 = 1;
    const NO_BITS: u32 = 8;
    if elf.get(..4)? != b"\x7fELF" || *elf.get(4)? != CLASS_32 {
        return None;
    }
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
    let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let (table, step, count, names) = (word(0x20)? as usize, half(0x2e)?, half(0x30)?, half(0x32)?);
    let header = |index: usize| table + index * step;
    let strings = word(header(names) + 0x10)? as usize;
    let mut sections = Vec::new();
    for index in 0..count {
        let at = header(index);
        let (flags, size) = (word(at + 8)?, word(at + 0x14)?);
        if flags & ALLOCATED == 0 || size == 0 {
            continue;
        }
        let name = elf.get(strings + word(at)? as usize..)?;
        let name = name.split(|&byte| byte == 0).next()?;
        let (has_bits, is_writable) = (word(at + 4)? != NO_BITS, flags & WRITABLE != 0);
        sections.push(Section {
            name: String::from_utf8_lossy(name).into_owned(),
            size: size.into(),
            is_kept: has_bits,
            is_written: is_writable,
            is_external: name.starts_with(b".external"),
        });
    }
    Some(sections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::MODELS;

    /// A file with these sections: name, type, flags, size.
    fn elf(sections: &[(&str, u32, u32, u32)]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut headers = Vec::new();
        for &(name, kind, flags, size) in sections {
            let words = [strings.len() as u32, kind, flags, 0, 0, size, 0, 0, 0, 0];
            headers.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            strings.extend(name.bytes().chain([0]));
        }
        let strings_at = 0x34 + headers.len() as u32 + 40;
        let words = [0, 3, 0, 0, strings_at, strings.len() as u32, 0, 0, 0, 0];
        headers.extend(words.iter().flat_map(|word: &u32| word.to_le_bytes()));
        let mut file = vec![0; 0x34];
        file[..5].copy_from_slice(b"\x7fELF\x01");
        file[0x20..0x24].copy_from_slice(&0x34_u32.to_le_bytes());
        file[0x2e..0x30].copy_from_slice(&40_u16.to_le_bytes());
        let count = sections.len() as u16;
        file[0x30..0x32].copy_from_slice(&(count + 1).to_le_bytes());
        file[0x32..0x34].copy_from_slice(&count.to_le_bytes());
        [file, headers, strings].concat()
    }

    #[test]
    fn what_is_kept_and_what_is_written_are_added_up() {
        let file = elf(&[
            (".text", 1, 6, 1000),
            (".data", 1, 3, 200),
            (".bss", 8, 3, 30),
            (".external", 8, 3, 7),
            (".debug", 1, 0, 9999),
        ]);
        let report = report(MODELS[0], &file).expect("it fits");
        let totals = report.table.lines().find(|line| line.starts_with("all")).expect("a line of totals");
        assert_eq!(totals.split_whitespace().collect::<Vec<_>>(), ["all", "1200", "230"]);
    }

    #[test]
    fn code_and_static_memory_are_told_apart() {
        let file =
            elf(&[(".text", 1, 6, 1000), (".rodata", 1, 2, 50), (".data", 1, 3, 200), (".bss", 8, 3, 30)]);
        assert_eq!(sizes(&file).expect("an ELF file"), (1050, 230));
        assert!(sizes(b"").is_err());
    }

    #[test]
    fn what_does_not_fit_or_is_no_program_is_refused() {
        let large = elf(&[(".bss", 8, 3, u32::MAX)]);
        assert!(report(MODELS[0], &large).is_err_and(|failure| failure.message.contains("does not fit")));
        assert!(report(MODELS[0], b"\x7fELF\x02").is_err());
        let heap = elf(&[("__rust_alloc", 1, 6, 1)]);
        assert!(report(MODELS[0], &heap).is_err_and(|failure| failure.message.contains("allocator")));
        let file = elf(&[(".text", 1, 6, 1000)]);
        for end in 0..file.len() - 1 {
            let _ = report(MODELS[0], &file[..end]);
        }
    }
}
