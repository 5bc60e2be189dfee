//! What `help` prints.

pub(super) const RIG: &str = "\
cargo rig COMMAND [OPTION…]

  setup   install the Debian packages that the build and the tests need
  demo    set up, build, and show a session: a host's screen in a client
  test    set up, then everything CI checks
  bench   set up, then measure beside rivals
  vm      run something, or the tests of drivers, on a real kernel in a VM
  soak    faults of the VM, or hostile datagrams, again and again
  sim     sessions against random faults in a simulated network
  fuzz    look for inputs that break a promise of the protocol
  coverage  how much of the protocol the committed inputs run through
  arm     the kernels for 64-bit ARM, tried in an emulator
  mutate  break rules of the protocol: the tests that cite them must notice
  board   the client for boards: build it, show it in QEMU, try it against a host
  flash   the client for boards, written to a real one
  dist    packages for Debian, with manual pages and completions
  sizes   what the protocol takes of a board's memories
  help    this text; `help COMMAND` for one command

Exit codes: 0 done · 1 the work failed · 2 it could not begin";

pub(super) const SETUP: &str = "\
cargo rig setup [--yes]

Says which Debian packages are missing and installs them with apt-get: as root directly, otherwise through sudo.
Without sudo it prints the line to run and exits with 2. On a terminal it asks first.

  -y, --yes   do not ask (implied when there is no terminal)";

pub(super) const TEST: &str = "\
cargo rig test [STAGE…] [--yes] [--no-setup]

Sets up, then runs the stages in this order, all of them unless some are named; a failed stage does not keep the
next from running. Ends with a table of wall times and the line `N passed, N failed, N skipped`.

  fetch         download what every workspace needs, so that nothing later reaches for the network
  fmt           formatting of every workspace
  clippy        lints, warnings denied
  doc           documentation, warnings denied
  build         the programs that tests run
  test          all tests
  sim           300 random scenarios in the simulator
  vm            what only a real kernel can prove, in a VM; skipped where its packages cannot be had
  noalloc       a program without an allocator runs sessions, and links for boards where their compiler is there
  bench-check   the benchmarks compile, warnings denied
  fuzz          every attack surface under the fuzzer for seconds; skipped without the nightly toolchain

  -y, --yes     install without asking
  --no-setup    take the machine as it is (systems without apt)";

pub(super) const DEMO: &str = "\
cargo rig demo [--via gateway|relay] [--seconds N] [--headless] [--yes] [--no-setup]

Sets up, builds a release, makes keys of its own, starts a host on the current screen and a client in a window.
Without a screen the host shares a virtual one with a scrolling terminal, and the client's window is on a second one;
then the time from a flash on the one to its appearance on the other is measured, and at the end how alike they are.
Leaves the picture last presented and the session's figures in the target directory. Ctrl-C ends everything.

  --via WAY     gateway: host and client in network namespaces, each behind a NAT, meet at a gateway and punch a direct
                path through both; relay: NATs that let nothing be punched through, so that a relay carries the
                session. Needs root. Exits with 1 when the session ends on another path
  --seconds N   length of the session, 3 to 86400 (20)
  --headless    no window: the client only decodes and measures
  -y, --yes     install without asking
  --no-setup    take the machine as it is (systems without apt)";

pub(super) const BENCH: &str = "\
cargo rig bench NAME --json FILE [--strict] [--plots DIR] [--yes] [--no-setup]

Sets up (rivals included), builds a release and measures. FILE gets one JSON object a line:
{\"bench\",\"case\",\"metric\",\"unit\",\"ours\",\"rivals\":{name:value},\"goal\",\"met\"}

  --json FILE   where the rows go
  --strict      exit with 1 when a goal is missed
  --plots       delta, live: a directory for pictures of rate, queue and delay over time (SVG)
  -y, --yes     install without asking
  --no-setup    take the machine as it is (systems without apt)";

pub(super) const VM: &str = "\
cargo rig vm [OPTION…] -- COMMAND…
cargo rig vm [OPTION…] --test

Boots Debian's kernel in QEMU and runs a line of shell there, or the tests that need a real capture card and real
input devices. Needs neither rights nor KVM: packages are downloaded once and unpacked below the target directory.
Time in the guest is virtual: it does not depend on how busy the machine is, and idle time is skipped. The exit code
is the command's (125 for anything above).

      --test          build and run the tests of drivers and of whole sessions, and print tables of faults
      --rounds N      inject each fault N times (1)
  -m, --module NAME   load this kernel module, `NAME:PARAMETER=VALUE,…`, with `;` for a comma inside a value; may be
                      given again (two capture cards `vivid` with two inputs each, uinput, evdev)
      --payload DIR   copy the files of DIR to /payload, where the command starts, with the libraries they load
      --out DIR       show DIR as /out
      --machine       run the command among the machine's own files (read only; changes are lost)
      --real-time     let the guest's clock follow the machine's, on two processors
      --seconds N     real time it may take, 1 to 86400 (180)";

pub(super) const FUZZ: &str = "\
cargo rig fuzz [SURFACE…] [--minutes N] [--seed S]

Runs the attack surfaces of `fuzz/` under a coverage-guided fuzzer, all of them unless some are named. A crash, a hang or
too much memory fails. Needs the nightly toolchain and cargo-fuzz, which is installed into the target directory; where
either cannot be had, it says so and does nothing. What was found, the grown corpora and the fuzzer's own words stay
in the target directory, under `fuzz/`. An input that found something belongs into `fuzz/corpus/SURFACE/`.

  --minutes N   for each surface, 1 to 1440 (1)
  --seed S      what the fuzzer's chance begins with (another each time, printed)";

pub(super) const SIZES: &str = "\
cargo rig sizes [--yes] [--no-setup]

Links a program that has nothing but both sides of sessions, without an allocator, for each kind of board's processor and each
set of features, and prints the bytes of code and constants (text) and of memory that is written (static; the pictures' buffers
and the queues of the test itself are in it).

  -y, --yes        install without asking
      --no-setup   take the machine as it is (systems without apt)";
