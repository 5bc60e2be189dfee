//! The client for boards, whole, in virtual time over a lossy cable: what a host draws is what it shows, what is typed at it
//! arrives, and it comes back when its host or its own power was gone.

mod thin_parts;

use core::net::SocketAddr;

use rift::Instant;
use rift_smoltcp::HostDriver;
use wavry_interop::Wire;
use wavry_interop::board::{PORT, network};
use wavry_interop::parties::host_identity;
use wavry_thin::{PinnedHost, Provision};

use thin_parts::board::{Board, Seen};
use thin_parts::sharer::Sharer;
use thin_parts::{HOST, live};

/// One test, since embassy's clock is one to a process.
#[test]
fn board_shows_what_is_drawn_and_comes_back_from_everything() {
    for (seed, loss) in [(1, 0.0), (2, 0.1)] {
        let mut now = rift_embassy::now().plus_micros(1_000);
        let seen = Seen::new();
        let address = SocketAddr::from((HOST.address, PORT));
        let pinned = PinnedHost { address, key: Some(host_identity().public()), successor: None };
        let provision = Provision::of(Some(pinned));
        let nobody = &mut |_: Instant| {};
        let host = |end, now| {
            let network = network(end, HOST, PORT, seed, now);
            (HostDriver::new(network, &host_identity().public(), [9; 32]), Sharer::new(seed))
        };
        let (wire, [one, other]) = Wire::new(seed, loss, 4_000);
        wire.borrow_mut().advance(now);
        let mut board = Board::switch_on(&seen, one, provision, seed, now);
        let mut sharing = host(other, now);
        live(&mut board, &mut sharing, &seen, &wire, &mut now, "first", nobody);

        // The host is killed and started again.
        let (_, sharer) = sharing;
        let mut sharing = host(wavry_interop::frames::other_end(&wire), now);
        sharing.1.frame = sharer.frame;
        sharing.1.draw();
        live(&mut board, &mut sharing, &seen, &wire, &mut now, "the host is back", nobody);

        // The board's power goes, and comes back.
        drop(board);
        seen.pixels.borrow_mut().fill(0);
        *seen.is_watching.borrow_mut() = false;
        let end = wavry_interop::frames::first_end(&wire);
        let mut board = Board::switch_on(&seen, end, provision, seed, now);
        live(&mut board, &mut sharing, &seen, &wire, &mut now, "the board is back", nobody);
        let starts = seen.starts.borrow();
        assert!(starts.len() == 2 && starts[0].0 == starts[1].0, "it is who it was: {starts:?}");
        assert_eq!((starts[0].1, starts[1].1), (1, 2));
        assert!(*seen.decoded.borrow() > 10, "its engine was used: {} times", seen.decoded.borrow());
    }
}
