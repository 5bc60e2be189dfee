//! The gateway that the board's owner names on the emulator's command line.

use wavry_thin::PinnedGateway;

/// As a link to a host names it, `gateway=ADDRESS:PORT/WAVRY-ID`, and `token=TOKEN` while the board has not enrolled; none
/// when one of them is not to be understood.
pub fn named() -> Option<PinnedGateway> {
    const LINE_LEN: usize = 256;
    let words = semihosting::experimental::env::args::<LINE_LEN>().ok()?;
    let (mut gateway, mut token) = (None, None);
    for word in (&words).into_iter().flatten() {
        if let Some(text) = word.strip_prefix("gateway=") {
            gateway = Some(text.split_once('/')?);
        } else if let Some(text) = word.strip_prefix("token=") {
            token = Some(rift::wire::signal::EnrolmentToken::parse(text)?);
        }
    }
    let (address, key) = gateway?;
    Some(PinnedGateway { address: address.parse().ok()?, key: key.parse().ok()?, token })
}
