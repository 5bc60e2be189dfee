//! Opening and closing leaves nothing behind. Alone in its program, so that nobody else opens files.

mod support;

use rift::{CloseReason, Config, Event};
use rift_mio::{ClientDriver, SocketConfig};
use support::{Client, Host, admitted, host_identity, session, turn_until};

const CYCLES: u32 = 1000;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

fn cycle(host: &Host, draw: u32) {
    let session = session(1, host_identity().public(), draw, &Config::default());
    let mut client: Client =
        ClientDriver::connect(&SocketConfig::default(), host.address, session).expect("loopback is there");
    admitted(&mut client);
    let now = client.clock().now();
    client.session().close(now, CloseReason::Done);
    turn_until(&mut client, |_, event| event == Event::Closed(CloseReason::Local));
    host.expect(|event| matches!(event, Event::Closed(_)));
}

#[test]
fn thousand_sessions_leave_no_file_and_no_session() {
    let host = Host::start("127.0.0.1:0", None);
    cycle(&host, 1);
    let files = open_files();
    for draw in 2..CYCLES + 2 {
        cycle(&host, draw);
    }
    assert_eq!(open_files(), files);
    let total = CYCLES as usize + 1;
    let (left, closed, stats) =
        host.on_thread(|application, driver| (driver.session_count(), application.closed, driver.stats()));
    assert_eq!((left, closed), (0, total));
    assert_eq!((stats.sessions_opened, stats.sessions_closed), (total as u64, total as u64));
}
