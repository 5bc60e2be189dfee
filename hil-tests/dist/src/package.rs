//! Packages for Debian.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::manuals::SHELLS;
use crate::{DistError, on, root, run};

/// One package.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub title: &'static str,
    /// What it is, for who reads on.
    pub text: &'static str,
    /// The programs in it.
    pub programs: &'static [&'static str],
    /// Files of the tree, and where they stand in a system.
    pub files: &'static [(&'static str, &'static str)],
    /// Files, of those in `etc/`, that belong to whoever runs the machine.
    pub conffiles: &'static [&'static str],
    /// Packages beside the libraries that its programs need.
    pub needs: &'static str,
    /// What is done when it has been installed.
    pub configure: &'static str,
}

const GROUPS: &str = "if command -v systemd-sysusers >/dev/null; then systemd-sysusers wavry-server.conf; fi\n\
                      if command -v udevadm >/dev/null; then udevadm control --reload || true; fi\n";

/// All of them.
pub const PACKAGES: [Package; 4] = [
    Package {
        name: "wavry-server",
        title: "shares a screen, a capture card or an application",
        text: " The host of Wavry: encrypted, fast, and only for clients on its list.\n \
               There are units for a capture card (wavry-server.service) and for a\n \
               screen (the user's wavry-server.service); neither is started by itself.\n",
        programs: &["wavry-server"],
        files: &[
            ("hosts/linux/dist/wavry-server.service", "usr/lib/systemd/system/wavry-server.service"),
            ("hosts/linux/dist/wavry-server-user.service", "usr/lib/systemd/user/wavry-server.service"),
            ("hosts/linux/dist/60-wavry.rules", "usr/lib/udev/rules.d/60-wavry.rules"),
            ("hosts/linux/dist/wavry-server.sysusers", "usr/lib/sysusers.d/wavry-server.conf"),
            ("hosts/linux/dist/server.toml", "usr/share/doc/wavry-server/examples/server.toml"),
            ("hosts/linux/CHANGELOG.md", "usr/share/doc/wavry-server/changelog"),
        ],
        conffiles: &[],
        needs: "",
        configure: GROUPS,
    },
    Package {
        name: "wavry-client",
        title: "shows and steers other machines",
        text: " The client of Wavry: it shows what a host shares, in a window or without\n \
               one, sends it files and hears its sound. With it comes `wavry`, which\n \
               makes keys and finds out what is wrong with a machine or a network.\n",
        programs: &["wavry-client", "wavry"],
        files: &[("clients/viewer/CHANGELOG.md", "usr/share/doc/wavry-client/changelog")],
        conffiles: &[],
        needs: "",
        configure: "",
    },
    Package {
        name: "wavry-gateway",
        title: "introduces Wavry's hosts and clients to each other",
        text: " Devices that cannot find each other by themselves meet here. It can\n \
               introduce, and nothing more.\n .\n `systemctl enable --now wavry-gateway` starts it.\n",
        programs: &["wavry-gateway"],
        files: &[
            ("services/gateway/dist/wavry-gateway.service", "usr/lib/systemd/system/wavry-gateway.service"),
            ("services/gateway/dist/gateway.toml", "etc/wavry/gateway.toml"),
            ("services/README.md", "usr/share/doc/wavry-gateway/README.md"),
            ("services/gateway/CHANGELOG.md", "usr/share/doc/wavry-gateway/changelog"),
        ],
        conffiles: &["/etc/wavry/gateway.toml"],
        needs: "",
        configure: "",
    },
    Package {
        name: "wavry-relay",
        title: "forwards Wavry's encrypted packets where no direct path is found",
        text: " It reads nothing of what it forwards. It has to know its gateway\n \
               (/etc/wavry/relay.toml) before\n \
               `systemctl enable --now wavry-relay` starts it.\n",
        programs: &["wavry-relay"],
        files: &[
            ("services/relay/dist/wavry-relay.service", "usr/lib/systemd/system/wavry-relay.service"),
            ("services/relay/dist/relay.toml", "etc/wavry/relay.toml"),
            ("services/README.md", "usr/share/doc/wavry-relay/README.md"),
            ("services/relay/CHANGELOG.md", "usr/share/doc/wavry-relay/changelog"),
        ],
        conffiles: &["/etc/wavry/relay.toml"],
        needs: "",
        configure: "",
    },
];

/// What stands above the licence's text.
const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
                         Upstream-Name: wavry\n\nFiles: *\nCopyright: 2026 the authors of Wavry\nLicense: AGPL-3.0-only\n";
/// The packages of one version of the programs, counted.
const REVISION: u32 = 1;
/// Who packs, unless `DEBFULLNAME` and `DEBEMAIL` say so, as Debian's tools want to be told.
const MAINTAINER: [&str; 2] = ["The authors of Wavry", "wavry@wavry.invalid"];

impl Package {
    /// Builds it from the programs in the directory `programs` and what [`crate::manuals::write`] wrote to `manual`; where
    /// it is, in `out`.
    ///
    /// # Errors
    /// [`DistError`].
    pub fn build(&self, programs: &Path, manual: &Path, out: &Path) -> Result<PathBuf, DistError> {
        let stage = out.join("stage").join(self.name);
        if stage.exists() {
            std::fs::remove_dir_all(&stage).map_err(on(&stage))?;
        }
        self.fill(programs, manual, &stage)?;
        let depends = self.depends(&stage)?;
        let sums = sums(&stage)?;
        self.control(&stage, &depends, &sums)?;
        let architecture = run(Command::new("dpkg").arg("--print-architecture"))?;
        let made = out.join(format!("{}_{}_{}.deb", self.name, version(), architecture.trim()));
        let mut command = Command::new("dpkg-deb");
        command.args(["--root-owner-group", "-Zxz", "--build"]).args([&stage, &made]);
        run(&mut command)?;
        Ok(made)
    }

    /// Everything where it will stand.
    fn fill(&self, programs: &Path, manual: &Path, stage: &Path) -> Result<(), DistError> {
        for program in self.programs {
            let to = put(&programs.join(program), stage, &format!("usr/bin/{program}"), 0o755)?;
            let strip = ["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note"];
            run(Command::new("strip").args(strip).arg(&to))?;
            let pages = manual.join("usr/share/man/man1");
            for entry in std::fs::read_dir(&pages).map_err(on(&pages))? {
                let path = entry.map_err(on(&pages))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if is_of(&name, program) {
                    let page = put(&path, stage, &format!("usr/share/man/man1/{name}"), 0o644)?;
                    run(Command::new("gzip").args(["-9nf"]).arg(page))?;
                }
            }
            for (_, place) in SHELLS {
                for name in [(*program).to_owned(), format!("_{program}"), format!("{program}.fish")] {
                    let place = format!("{place}/{name}");
                    if manual.join(&place).exists() {
                        put(&manual.join(&place), stage, &place, 0o644)?;
                    }
                }
            }
        }
        for (from, to) in self.files {
            let to = put(&root().join(from), stage, to, 0o644)?;
            if to.extension().is_some_and(|ending| ending == "service") {
                let text = std::fs::read_to_string(&to).map_err(on(&to))?;
                std::fs::write(&to, text.replace("/usr/local/bin/", "/usr/bin/")).map_err(on(&to))?;
            }
            if to.ends_with("changelog") {
                run(Command::new("gzip").args(["-9nf"]).arg(to))?;
            }
        }
        let doc = stage.join("usr/share/doc").join(self.name);
        std::fs::create_dir_all(&doc).map_err(on(&doc))?;
        std::fs::write(doc.join("copyright"), copyright()?).map_err(on(&doc))?;
        let log = doc.join("changelog.Debian");
        std::fs::write(&log, self.log()?).map_err(on(&log))?;
        run(Command::new("gzip").args(["-9nf"]).arg(log))?;
        Ok(())
    }

    /// What is new in the package, beside what is new in its programs.
    fn log(&self) -> Result<String, DistError> {
        let mut date = Command::new("date");
        date.args(["-u", "-R"]);
        if let Some(seconds) = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()) {
            date.arg("-d").arg(format!("@{seconds}"));
        }
        let (version, program) = (version(), env!("CARGO_PKG_VERSION"));
        let (name, date) = (self.name, run(&mut date)?);
        Ok(format!(
            "{name} ({version}) unstable; urgency=medium\n\n  * Version {program} of the programs: see changelog.gz.\n\n \
             -- {}  {}\n",
            maintainer(),
            date.trim()
        ))
    }

    /// The packages whose libraries its programs are linked with.
    fn depends(&self, stage: &Path) -> Result<String, DistError> {
        // The tool wants to stand in a source tree.
        let tree = stage.with_extension("source");
        let debian = tree.join("debian");
        std::fs::create_dir_all(&debian).map_err(on(&debian))?;
        let control = debian.join("control");
        std::fs::write(&control, "Source: wavry\n\nPackage: wavry\nArchitecture: any\n")
            .map_err(on(&control))?;
        let mut command = Command::new("dpkg-shlibdeps");
        command.current_dir(&tree).arg("-O");
        for program in self.programs {
            let program = stage.join("usr/bin").join(program);
            command.arg("-e").arg(program.canonicalize().map_err(on(&program))?);
        }
        let said = run(&mut command)?;
        let found = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends=")).unwrap_or_default();
        let all = [found.trim(), self.needs];
        Ok(all.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))
    }

    fn control(&self, stage: &Path, depends: &str, sums: &str) -> Result<(), DistError> {
        let debian = stage.join("DEBIAN");
        std::fs::create_dir_all(&debian).map_err(on(&debian))?;
        let architecture = run(Command::new("dpkg").arg("--print-architecture"))?;
        let (name, version) = (self.name, version());
        let text = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {}\nMaintainer: {}\n\
             Section: net\nPriority: optional\nDepends: {depends}\nDescription: {}\n{}",
            architecture.trim(),
            maintainer(),
            self.title,
            self.text
        );
        let write = |name: &str, text: &str| {
            let path = debian.join(name);
            std::fs::write(&path, text).map_err(on(&path))?;
            let mode = if name.starts_with("post") { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(on(&path))
        };
        write("control", &text)?;
        write("md5sums", sums)?;
        if !self.conffiles.is_empty() {
            write("conffiles", &format!("{}\n", self.conffiles.join("\n")))?;
        }
        // A scratch root has no service manager to be told.
        let reload = "if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi\n";
        let begin = "#!/bin/sh\nset -e\n";
        write("postinst", &format!("{begin}[ \"$1\" = configure ] || exit 0\n{}{reload}", self.configure))?;
        write("postrm", &format!("{begin}{reload}"))
    }
}

/// The version of the packages.
fn version() -> String {
    format!("{}-{REVISION}", env!("CARGO_PKG_VERSION"))
}

/// Who packs.
fn maintainer() -> String {
    let said = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let [name, address] = MAINTAINER;
    let name = said("DEBFULLNAME").unwrap_or_else(|| name.to_owned());
    format!("{name} <{}>", said("DEBEMAIL").unwrap_or_else(|| address.to_owned()))
}

/// Whose it is, with the licence's whole text: no Debian has it by itself.
fn copyright() -> Result<String, DistError> {
    let path = root().join("LICENSE");
    let text = std::fs::read_to_string(&path).map_err(on(&path))?;
    let lines =
        text.lines().map(|line| if line.trim().is_empty() { " .".to_owned() } else { format!(" {line}") });
    Ok(format!("{COPYRIGHT}{}\n", lines.collect::<Vec<_>>().join("\n")))
}

/// What `dpkg --verify` compares the files of a system with.
fn sums(stage: &Path) -> Result<String, DistError> {
    let mut command = Command::new("find");
    command.current_dir(stage).args([".", "-type", "f", "-not", "-path", "./DEBIAN/*", "-printf", "%P\\0"]);
    let mut files: Vec<_> = run(&mut command)?.split_terminator('\0').map(str::to_owned).collect();
    files.sort_unstable();
    run(Command::new("md5sum").current_dir(stage).args(["--"]).args(files))
}

/// Whether a page is of this program: its own or one of its commands'.
fn is_of(page: &str, program: &str) -> bool {
    let name = page.strip_suffix(".1").unwrap_or(page);
    let others = ["wavry-server", "wavry-client", "wavry-gateway", "wavry-relay"];
    match name.strip_prefix(program) {
        Some("") => true,
        // `wavry-doctor` is of `wavry`; `wavry-client-pair` is not.
        Some(rest) => {
            rest.starts_with('-')
                && (program != "wavry" || !others.iter().any(|other| name.starts_with(other)))
        }
        None => false,
    }
}

fn put(from: &Path, stage: &Path, to: &str, mode: u32) -> Result<PathBuf, DistError> {
    let to = stage.join(to);
    let directory = to.parent().unwrap_or(stage);
    std::fs::create_dir_all(directory).map_err(on(directory))?;
    std::fs::copy(from, &to).map_err(on(from))?;
    std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode)).map_err(on(&to))?;
    Ok(to)
}
