//! Pages and completions speak of every option there is, and packages hold what they should, as Debian's own tools read them.
//! The programs in them are stand-ins here: `cargo rig dist` packs the real ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wavry_dist::{manuals, package};

/// A directory of this test's own, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wavry-dist-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn well(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn pages_and_completions_name_every_option() {
    let place = Place::new("manual");
    manuals::write(&place.0).unwrap();
    for command in manuals::commands() {
        let name = command.get_name();
        let read = |path: String| std::fs::read_to_string(place.0.join(path)).unwrap();
        let page = read(format!("usr/share/man/man1/{name}.1"));
        let bash = read(format!("usr/share/bash-completion/completions/{name}"));
        let zsh = read(format!("usr/share/zsh/vendor-completions/_{name}"));
        let fish = read(format!("usr/share/fish/vendor_completions.d/{name}.fish"));
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&option.replace('-', "\\-")), "{name}.1 lacks --{option}");
            for text in [&bash, &zsh, &fish] {
                assert!(text.contains(option), "a completion of {name} lacks --{option}");
            }
        }
        for sub in command.get_subcommands().map(clap::Command::get_name) {
            assert!(page.contains(&sub.replace('-', "\\-")), "{name}.1 lacks {sub}");
            read(format!("usr/share/man/man1/{name}-{sub}.1"));
        }
        well(
            Command::new("bash")
                .arg("-n")
                .arg(place.0.join(format!("usr/share/bash-completion/completions/{name}"))),
        );
    }
}

#[test]
fn packages_hold_what_their_units_and_scripts_speak_of() {
    if Command::new("dpkg-shlibdeps").arg("--version").output().is_err() {
        println!("skipped: no dpkg-dev here");
        return;
    }
    let place = Place::new("packages");
    let (programs, manual) = (place.0.join("programs"), place.0.join("manual"));
    std::fs::create_dir_all(&programs).unwrap();
    std::fs::create_dir_all(place.0.join("root")).unwrap();
    manuals::write(&manual).unwrap();
    for package in &package::PACKAGES {
        for program in package.programs {
            std::fs::copy("/bin/true", programs.join(program)).unwrap();
        }
        let made = package.build(&programs, &manual, &place.0).unwrap();
        let fields = well(Command::new("dpkg-deb").args(["-f"]).arg(&made));
        assert!(fields.contains(&format!("Package: {}", package.name)), "{fields}");
        assert!(fields.contains("libc6"), "what its programs are linked with: {fields}");
        let listed = well(Command::new("dpkg-deb").arg("-c").arg(&made));
        assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
        let tree = place.0.join("root").join(package.name);
        well(Command::new("dpkg-deb").arg("-R").args([&made, &tree]));
        for program in package.programs {
            well(&mut Command::new(tree.join("usr/bin").join(program)));
            assert!(tree.join(format!("usr/share/man/man1/{program}.1.gz")).exists(), "{program}");
        }
        let pages = std::fs::read_dir(tree.join("usr/share/man/man1")).unwrap();
        let pages: Vec<_> = pages.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let is_its = |page: &String| package.programs.iter().any(|program| page.starts_with(program));
        assert!(pages.iter().all(is_its), "{pages:?}");
        for script in ["postinst", "postrm"] {
            well(Command::new("sh").arg("-n").arg(tree.join("DEBIAN").join(script)));
        }
        let doc = tree.join("usr/share/doc").join(package.name);
        let log = well(Command::new("zcat").arg(doc.join("changelog.Debian.gz")));
        let version = well(Command::new("dpkg-deb").args(["-f"]).args([&made]).arg("Version"));
        assert!(log.starts_with(&format!("{} ({})", package.name, version.trim())), "{log}");
        let licence = std::fs::read_to_string(doc.join("copyright")).unwrap();
        assert!(licence.contains("GNU AFFERO GENERAL PUBLIC LICENSE"), "{licence}");
        // What is in it is what it says, and every file of it is there.
        well(Command::new("md5sum").args(["--check", "--strict", "DEBIAN/md5sums"]).current_dir(&tree));
        for conffile in package.conffiles {
            assert!(tree.join(conffile.trim_start_matches('/')).exists(), "{conffile}");
        }
        for (_, to) in package.files.iter().filter(|(_, to)| to.ends_with(".service")) {
            unit(&tree, to);
        }
    }
}

/// A unit starts what is in its package, tells systemd how that is, and is one that systemd takes.
fn unit(tree: &Path, place: &str) {
    let text = std::fs::read_to_string(tree.join(place)).unwrap();
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let started = line("ExecStart=").unwrap();
    let program = started.split(' ').next().unwrap();
    assert!(tree.join(program.trim_start_matches('/')).exists(), "{place} starts {program}");
    assert_eq!(line("Type=").as_deref(), Some("notify"), "{place}");
    assert!(line("WatchdogSec=").is_some() && text.contains("AF_UNIX"), "{place}");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no", "--root"]).arg(tree);
    if place.contains("/user/") {
        verify.arg("--user");
    }
    match verify.arg(format!("/{place}")).output() {
        Err(error) => eprintln!("skipped: systemd-analyze: {error}"),
        Ok(Output { stderr, .. }) => {
            let said = String::from_utf8_lossy(&stderr);
            let name = Path::new(place).file_name().unwrap().to_str().unwrap();
            assert!(!said.lines().any(|line| line.contains(name)), "{place}: {said}");
        }
    }
}
