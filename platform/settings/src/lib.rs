//! What a program was told: files of TOML in layers, over them the environment, over that the command line.
//!
//! A key is a long option of the program and its value what would follow it. A layer replaces what those below it say of a
//! key, lists whole. From the lowest to the highest, for the program `wavry-NAME`:
//!
//! 1. `/usr/share/wavry/NAME.toml`, a distribution's;
//! 2. `/etc/wavry/NAME.toml`, the machine's, then `/etc/wavry/NAME.d/*.toml` in the order of their names;
//! 3. `$XDG_CONFIG_HOME/wavry/NAME.toml`, else `~/.config/wavry/NAME.toml`, the person's;
//! 4. the environment: `WAVRY_NAME_KEY`, in capitals, with `_` for `-` and commas between what is listed;
//! 5. the command line.
//!
//! `--config FILE`, or `WAVRY_NAME_CONFIG`, takes that file's place instead of all the others. Of `log` every program of a
//! machine is told by `WAVRY_LOG`, unless its own variable says otherwise.
//!
//! What the keys mean is not known here: their names and what they take come from the program's own parser of options, and
//! every value is tried on it where it was said, so that a mistake is told by file, line and key. A key that no option has is
//! refused: a misspelt one would silently do nothing. Files are read as hostile: what is no file, is too long, or is no text
//! is told and never waited for.
//!
//! The parser of TOML is `toml`, for the places of what it read; `strsim` finds the nearest name. `figment` would layer, too,
//! but knows no lines and keeps a parser of its own.

#![forbid(unsafe_code)]

mod error;
mod file;
mod layers;
mod schema;
mod show;

pub use error::SettingsError;
pub use layers::{Loaded, Origin, Places, Setting, asked, load};
pub use schema::Schema;
pub use show::show;

/// The longest file that is read, in bytes: a thousand times what anybody writes.
pub const FILE_LEN_MAX: u64 = 256 * 1024;
/// The most files that `NAME.d` may have.
pub const DROP_INS_MAX: usize = 64;
