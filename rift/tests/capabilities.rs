//! The host knows what a viewer can show, and what it shows wrongly, whatever is lost (SPEC §11.9–§11.10).

use core::time::Duration;

use rift::{Capabilities, Codec, Colours, Event, Permissions, PictureId, SendError};
use rift_sim::peer::{Pair, PairConfig};
use rift_sim::{LinkConfig, Loss, Time};

fn board() -> Capabilities {
    let mut board = Capabilities::of(&[Codec::Tiles, Codec::Jpeg, Codec::Tiles]);
    (board.width_max, board.height_max, board.picture_len_max) = (800, 600, 65536);
    board.colours = Colours::RGB565;
    board
}

fn say(pair: &mut Pair, capabilities: Capabilities) {
    pair.network.act(pair.client, |peer, _| {
        peer.client_mut().session_mut().set_capabilities(capabilities).expect("a client");
    });
}

fn report(pair: &mut Pair, after: u32, wrong: &[u8]) -> Result<(), SendError> {
    pair.network
        .act(pair.client, |peer, _| peer.client_mut().session_mut().report_tiles(PictureId(after), wrong))
}

fn told(pair: &mut Pair) -> Option<Capabilities> {
    pair.network.act(pair.host, |peer, _| peer.host_mut().session_mut(0).capabilities().cloned())
}

fn reported(pair: &mut Pair) -> Option<(u32, Vec<u8>)> {
    pair.network.act(pair.host, |peer, _| {
        peer.host_mut().session_mut(0).tile_report().map(|(after, wrong)| (after.0, wrong.to_vec()))
    })
}

#[test]
fn what_is_said_at_once_is_told_with_the_first_packet() {
    let link = LinkConfig { delay: Duration::from_millis(20), ..LinkConfig::default() };
    let mut pair = Pair::new(&PairConfig::new(1, link));
    say(&mut pair, board());
    // Initiation, response, then confirmation and capabilities.
    pair.network.run_until(Time::from_millis(75));
    let heard = told(&mut pair).expect("told");
    assert_eq!(heard, board());
    assert!(heard.can(Codec::Tiles) && !heard.can(Codec::H264) && heard.codecs.len() == 2);
}

#[test]
fn capabilities_arrive_through_any_loss_and_the_newest_counts() {
    for seed in 1..9 {
        let link = LinkConfig { loss: Loss::Random(0.4), ..LinkConfig::default() };
        let mut pair = Pair::new(&PairConfig::new(seed, link));
        say(&mut pair, board());
        pair.network.run_until(Time::from_secs(4));
        assert_eq!(told(&mut pair), Some(board()), "seed {seed}");
        for width_max in [1, 640, 1024] {
            say(&mut pair, Capabilities { width_max, ..Capabilities::of(&[Codec::H264]) });
        }
        pair.network.run_for(Duration::from_secs(4));
        let newest = Capabilities { width_max: 1024, ..Capabilities::of(&[Codec::H264]) };
        assert_eq!(told(&mut pair), Some(newest), "seed {seed}");
    }
}

#[test]
fn nonsense_is_not_said() {
    let mut pair = Pair::new(&PairConfig::new(1, LinkConfig::default()));
    pair.network.run_until(Time::from_secs(1));
    let nothing = Capabilities::of(&[]);
    let flat = Capabilities { height_max: 0, ..board() };
    let colourless = Capabilities { colours: Colours { rgb888: false, rgb565: false }, ..board() };
    for wrong in [nothing, flat, colourless] {
        let said =
            pair.network.act(pair.client, |peer, _| peer.client_mut().session_mut().set_capabilities(wrong));
        assert_eq!(said, Err(SendError::TooLarge));
    }
    assert_eq!(told(&mut pair), None);
    let by_host =
        pair.network.act(pair.host, |peer, _| peer.host_mut().session_mut(0).set_capabilities(board()));
    assert_eq!(by_host, Err(SendError::NotConnected));
}

#[test]
fn reports_of_tiles_arrive_and_the_newest_counts() {
    for seed in 1..5 {
        let link = LinkConfig { loss: Loss::Random(0.3), ..LinkConfig::default() };
        let mut pair = Pair::new(&PairConfig::new(seed, link));
        assert_eq!(report(&mut pair, 1, &[1]), Err(SendError::NotConnected));
        pair.network.run_until(Time::from_secs(4));
        assert_eq!(report(&mut pair, 7, &[]), Err(SendError::TooLarge));
        for after in 1..=20u8 {
            report(&mut pair, after.into(), &[after; 3]).expect("admitted");
            pair.network.run_for(Duration::from_millis(10));
        }
        pair.network.run_for(Duration::from_secs(4));
        assert_eq!(reported(&mut pair), Some((20, vec![20; 3])), "seed {seed}");
        report(&mut pair, 21, &[9; 1000]).expect("admitted");
        pair.network.run_for(Duration::from_secs(4));
        assert_eq!(reported(&mut pair), Some((21, vec![9; 192])), "seed {seed}");
    }
}

#[test]
fn who_may_not_view_reports_nothing() {
    let config =
        PairConfig { permissions: Permissions::KEYBOARD, ..PairConfig::new(1, LinkConfig::default()) };
    let mut pair = Pair::new(&config);
    pair.network.run_until(Time::from_secs(1));
    report(&mut pair, 1, &[1, 2, 3]).expect("admitted");
    pair.network.run_for(Duration::from_secs(1));
    assert_eq!(reported(&mut pair), None);
    let heard = pair.client().events.iter().any(|(_, event)| *event == Event::TileReport);
    assert!(!heard, "a client hears of no report");
}
