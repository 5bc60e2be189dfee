//! What configuration files and the environment say, for `run` and every other command.
//!
//! Which files, and what over what: `rift_settings`. The table `[power]` alone has no options: what it names are programs with
//! their arguments, which no shell reads.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use clap::{Args, Command};
use rift_settings::{Loaded, Places, Schema, SettingsError};

use crate::args::{Place, RunArgs};
use crate::power::{ARGUMENTS_MAX, Hooks};

/// What can be said.
fn schema(command: &Command) -> Schema {
    Schema::new("server", command.get_arguments())
        .with_names(&[
            ("audio.device", "audio-device"),
            ("audio.bitrate", "audio-bitrate"),
            ("files.directory", "files"),
            ("files.size-max", "files-size-max"),
            ("gateway.address", "gateway"),
            ("gateway.id", "gateway-id"),
            ("gateway.enrol", "enrol"),
        ])
        .with_file_keys(&[
            ("power.on", Some(NO_SHELL)),
            ("power.off", Some(NO_SHELL)),
            ("power.reset", Some(NO_SHELL)),
            ("power.wake", None),
        ])
        .with_secrets(&["enrol"])
}

const NO_SHELL: &str = "give a program and its arguments, at most 32 words, as [\"gpioset\", \"gpiochip0\", \"17=1\"]; no shell \
                        reads them";

fn options() -> Command {
    RunArgs::augment_args(Command::new("wavry-server"))
}

/// What files and the environment say; of files only `place.config`, if it is given.
///
/// # Errors
/// [`SettingsError`].
pub fn load(place: &Place) -> Result<RunArgs, SettingsError> {
    read(&Places::here("server"), place.config.as_deref(), std::env::vars_os())
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
    let loaded = rift_settings::load(&schema(&command), places, asked, environment)?;
    Ok(RunArgs { power: power(&loaded)?, ..loaded.parse(command)? })
}

/// Writes what the host goes by, and where it comes from; `typed` are the words behind `settings`.
///
/// # Errors
/// [`SettingsError`]; those of `out`.
pub fn show(place: &Place, typed: &[OsString], out: &mut impl Write) -> Result<(), SettingsError> {
    let command = options();
    let schema = schema(&command);
    let (places, asked) = (Places::here("server"), place.config.as_deref());
    let loaded = rift_settings::load(&schema, &places, asked, std::env::vars_os())?;
    power(&loaded)?;
    rift_settings::show(&schema, &loaded, command.get_arguments(), typed, out)
}

/// What is said of the machine behind the capture card.
fn power(loaded: &Loaded) -> Result<Hooks, SettingsError> {
    let program = |key: &str| {
        let Some(setting) = loaded.find(key) else { return Ok(None) };
        let words = &setting.values;
        let is_sound =
            (1..=ARGUMENTS_MAX).contains(&words.len()) && words.iter().all(|word| !word.contains('\0'));
        if is_sound && !words[0].is_empty() { Ok(Some(words.clone())) } else { Err(setting.wrong(NO_SHELL)) }
    };
    let wake = loaded.find("power.wake").map(|setting| {
        let text = setting.value().unwrap_or_default();
        text.parse().map_err(|what: String| setting.wrong(what))
    });
    Ok(Hooks {
        on: program("power.on")?,
        off: program("power.off")?,
        reset: program("power.reset")?,
        wake: wake.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::sound::SoundSpec;
    use crate::source::Spec;

    /// The text is the machine's file, in a directory of this test's own.
    fn read(text: &str) -> Result<RunArgs, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("wavry-server-config-{}-{number}", std::process::id()));
        std::fs::create_dir_all(root.join("etc/wavry")).unwrap();
        std::fs::write(root.join("etc/wavry/server.toml"), text).unwrap();
        let outcome = super::read(&Places::of("server", &root, None, None), None, []);
        let _ = std::fs::remove_dir_all(&root);
        outcome.map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_the_long_options() {
        let text = "source = \"app:xterm\"\nfps = 30\nview-only = true\nbitrate-max = \"20M\"\nlisten = \"[::1]:9\"\n\
                    state = \"/x\"\nhandshake = \"snow\"\ninput = \"none\"\napp-size = \"640x480\"\nlog = \"debug\"";
        let said = read(text).unwrap();
        assert_eq!(said.source, Some(Spec::App("xterm".into())));
        assert_eq!((said.fps, said.view_only, said.bitrate_max), (Some(30), Some(true), Some(20_000_000)));
        assert_eq!(said.place.state.as_deref(), Some(Path::new("/x")));
        assert_eq!(said.app_size, Some((640, 480)));
        assert!(read("").unwrap().source.is_none());
    }

    #[test]
    fn sound_has_a_table_of_its_own() {
        let said = read("[audio]\ndevice = \"hw:Loopback,1\"\nbitrate = \"96k\"").unwrap();
        assert_eq!(said.audio_device, Some(SoundSpec::Alsa("hw:Loopback,1".into())));
        assert_eq!(said.audio_bitrate, Some(96_000));
        assert!(read("audio-device = \"test\"").unwrap().audio_device == Some(SoundSpec::Test));
        assert!(read("[audio]\nrate = 1").unwrap_err().contains("audio.rate"));
        assert!(read("[audio]\nbitrate = \"1k\"").unwrap_err().contains("24k"));
    }

    #[test]
    fn files_have_a_table_of_their_own() {
        let said = read("[files]\ndirectory = \"/srv/inbox\"\nsize-max = \"20G\"").unwrap();
        assert_eq!(said.files.as_deref(), Some(Path::new("/srv/inbox")));
        assert_eq!(said.files_size_max, Some(20 << 30));
        assert_eq!(read("files = \"/x\"").unwrap().files.as_deref(), Some(Path::new("/x")));
        assert!(read("").unwrap().files.is_none(), "no files are taken unless somebody says so");
    }

    #[test]
    fn gateway_has_a_table_of_its_own() {
        let id = rift::Identity::from_secret([7; 32]).public();
        let text = format!(
            "[gateway]\naddress = \"gw.example\"\nid = \"{id}\"\nenrol = \"00112233445566778899aabbccddeeff\""
        );
        let said = read(&text).unwrap();
        assert_eq!((said.gateway.as_deref(), said.gateway_id), (Some("gw.example:4748"), Some(id)));
        assert!(said.enrol.is_some());
        assert_eq!(read("gateway = \"gw.example:9\"").unwrap().gateway.as_deref(), Some("gw.example:9"));
        assert!(read("[gateway]\nkey = \"x\"").unwrap_err().contains("`gateway.key`"));
        assert!(read("[gateway]\nenrol = \"x\"").unwrap_err().contains("32 hexadecimal"));
    }

    #[test]
    fn unknown_key_suggests_the_nearest() {
        for (key, nearest) in
            [("sorce", "source"), ("bitrate", "bitrate-max"), ("view_only", "view-only"), ("fsp", "fps")]
        {
            let message = read(&format!("{key} = 1")).unwrap_err();
            assert!(message.contains(&format!("`{nearest}`")), "{message}");
        }
        assert!(read("config = \"x\"").is_err(), "a configuration names no other");
    }

    #[test]
    fn wrong_values_are_refused_by_key_and_reason() {
        for (text, hint) in [
            ("fps = 0", "fps"),
            ("fps = 1.5", "whole number"),
            ("source = \"nothing\"", "app:COMMAND"),
            ("handshake = \"tls\"", "handshake"),
            ("view-only = \"perhaps\"", "view-only"),
            ("fps", "no TOML"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn power_is_a_table_of_programs_with_their_arguments() {
        let text = "fps = 30\n[power]\non = [\"gpioset\", \"a b\", \"$(x)\"]\nwake = \"52:54:00:12:34:56\"";
        let said = read(text).unwrap();
        assert_eq!(said.fps, Some(30));
        assert_eq!(said.power.on, Some(vec!["gpioset".to_owned(), "a b".to_owned(), "$(x)".to_owned()]));
        assert!(said.power.wake.is_some() && said.power.off.is_none());
        for (line, hint) in [
            ("on = \"reboot now\"", "no shell"),
            ("on = []", "program"),
            ("on = [\"\"]", "program"),
            ("reset = [1]", "program"),
            ("press = [\"x\"]", "`power.reset`"),
            ("wake = \"here\"", "six bytes"),
        ] {
            let message = read(&format!("[power]\n{line}")).unwrap_err();
            assert!(message.contains(hint) && message.contains("power"), "{line}: {message}");
        }
        assert!(read("power = 1").is_err());
        assert!(read("[powr]\non = [\"x\"]").is_err());
    }

    #[test]
    fn command_line_wins() {
        let flags = RunArgs { fps: Some(10), ..RunArgs::default() };
        let both = flags.or(read("fps = 30\nview-only = true").unwrap());
        assert_eq!((both.fps, both.view_only), (Some(10), Some(true)));
    }
}
