//! Rules about Rust source: where `unsafe` may be.
//!
//! The compiler denies unsafe code by the workspace's lints; this finds who lifted that, and the crates outside the
//! workspace, which have lints of their own.

use crate::tree::File;

/// Directories whose crates may contain unsafe code, and why.
pub const UNSAFE: [(&str, &str); 17] = [
    ("clients/thin", "boards: registers and memory sections"),
    ("hil-tests/bench", "a counting allocator and shared memory of the probe"),
    ("hil-tests/e2e", "a counting allocator"),
    ("hil-tests/noalloc", "an entry point without the standard library"),
    ("platform/aead", "assembly kernels of ciphers"),
    ("platform/alsa", "a C library"),
    ("platform/ebpf", "memory shared with the kernel"),
    ("platform/ffmpeg", "a C library"),
    ("platform/hid", "device nodes and their ioctls"),
    ("platform/minifb", "raw window handles"),
    ("platform/mio", "sendmsg with control messages"),
    ("platform/opus", "a C library"),
    ("platform/simd", "vector instructions"),
    ("platform/uinput", "device nodes and their ioctls"),
    ("platform/v4l", "memory shared with the kernel"),
    ("platform/x11", "memory shared with the X server"),
    ("platform/x264", "a C library"),
];

/// The line of `rift` that keeps unsafe code out of it for good.
pub const FORBID: &str = "#![forbid(unsafe_code)]";

/// Unsafe code, or a lifted ban on it, where no reason is listed.
#[must_use]
pub fn unsafe_code(file: &File) -> Vec<String> {
    let allowed = UNSAFE.iter().any(|(directory, _)| file.path.starts_with(&format!("{directory}/")));
    let Some(text) = file.text().filter(|_| file.is_rust() && !allowed) else {
        return Vec::new();
    };
    let code = code_only(text);
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let words: Vec<&str> =
            line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        let lifted =
            words.contains(&"unsafe_code") && (words.contains(&"allow") || words.contains(&"expect"));
        if words.contains(&"unsafe") || lifted {
            found.push(format!(
                "{}:{}: unsafe code; only listed backends have a reason for it",
                file.path,
                index + 1
            ));
        }
    }
    found
}

/// The source with the contents of comments, strings and character literals blanked; line breaks stay.
#[must_use]
pub fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else {
            literal(rest, code.chars().last()).unwrap_or(0)
        };
        if hidden == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..hidden].chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }));
            rest = &rest[hidden..];
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the string or character literal that begins here; `None` if none does.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let word = before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    if !word && let Some(raw) = text.strip_prefix("br").or_else(|| text.strip_prefix('r')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let prefix = text.len() - raw.len() + hashes + 1;
            return Some(text[prefix..].find(&end).map_or(text.len(), |at| prefix + at + end.len()));
        }
    }
    if let Some(string) = text.strip_prefix('"') {
        return Some(1 + quoted(string, '"'));
    }
    let letter = text.strip_prefix('\'')?;
    // 'a' is a character and 'a alone a lifetime: a character has its closing quote right behind.
    let escaped = letter.starts_with('\\');
    let closed = letter.chars().nth(1) == Some('\'');
    (escaped || closed).then(|| 1 + quoted(letter, '\''))
}

/// Bytes up to and with the closing quote, escapes respected.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        if !escaped && letter == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && letter == '\\';
    }
    text.len()
}
