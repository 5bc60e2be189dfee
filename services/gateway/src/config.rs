//! What configuration files and the environment say: which files, and what over what, `rift_settings` tells.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use clap::{Args, Command};
use rift_settings::{Places, Schema, SettingsError};

use crate::args::{Place, RunArgs};

fn options() -> Command {
    RunArgs::augment_args(Command::new("wavry-gateway"))
}

/// What files and the environment say; of files only `place.config`, if it is given.
///
/// # Errors
/// [`SettingsError`].
pub fn load(place: &Place) -> Result<RunArgs, SettingsError> {
    read(&Places::here("gateway"), place.config.as_deref(), std::env::vars_os())
}

/// The same, of these places and this environment.
///
/// # Errors
/// [`SettingsError`].
pub fn read(
    places: &Places,
    asked: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<RunArgs, SettingsError> {
    let command = options();
    let schema = Schema::new("gateway", command.get_arguments());
    rift_settings::load(&schema, places, asked, environment)?.parse(command)
}

/// Writes what the gateway goes by, and where it comes from; `typed` are the words behind `settings`.
///
/// # Errors
/// [`SettingsError`].
pub fn show(place: &Place, typed: &[OsString], out: &mut impl Write) -> Result<(), SettingsError> {
    let command = options();
    let schema = Schema::new("gateway", command.get_arguments());
    let (places, asked) = (Places::here("gateway"), place.config.as_deref());
    let loaded = rift_settings::load(&schema, &places, asked, std::env::vars_os())?;
    rift_settings::show(&schema, &loaded, command.get_arguments(), typed, out)
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// The text is the machine's file, in a directory of this test's own.
    fn read(text: &str) -> Result<RunArgs, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("wavry-gateway-config-{}-{number}", std::process::id()));
        std::fs::create_dir_all(root.join("etc/wavry")).unwrap();
        std::fs::write(root.join("etc/wavry/gateway.toml"), text).unwrap();
        let outcome = super::read(&Places::of("gateway", &root, None, None), None, []);
        let _ = std::fs::remove_dir_all(&root);
        outcome.map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_the_long_options_and_the_command_line_wins() {
        let said =
            read("listen = \"[::1]:9\"\nhealth = \"127.0.0.1:1\"\nstate = \"/x\"\nlog = \"debug\"").unwrap();
        assert_eq!(said.listen, Some("[::1]:9".parse().unwrap()));
        assert_eq!(said.place.state.as_deref(), Some(Path::new("/x")));
        let flags = RunArgs { log: Some("warn".into()), ..RunArgs::default() };
        let both = flags.or(said);
        assert_eq!((both.log.as_deref(), both.listen), (Some("warn"), Some("[::1]:9".parse().unwrap())));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused_with_what_to_do() {
        for (text, hint) in [
            ("lisen = \"x\"", "`listen`"),
            ("config = \"x\"", "no setting `config`"),
            ("listen = \"here\"", "listen"),
            ("listen = [\"here\"]", "give a text"),
            ("listen = 1", "listen"),
            ("listen", "no TOML"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
            assert!(message.contains("gateway.toml:1"), "{text}: {message}");
        }
    }

    #[test]
    fn file_that_is_shipped_says_nothing_wrong() {
        assert!(read(include_str!("../dist/gateway.toml")).is_ok());
    }
}
