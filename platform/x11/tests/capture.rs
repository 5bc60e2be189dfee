//! What is drawn on a screen is what the source gives.

#![allow(clippy::wildcard_enum_match_arm, reason = "X has a hundred kinds of event; a test waits for one")]
#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use rift::{Instant, Rectangle};
use rift_hal::{Pollable, VideoSource};
use rift_x11::X11Source;
use support::{Client, Server, pattern, wait_readable};
use x11rb::connection::Connection;
use x11rb::protocol::randr;
use x11rb::protocol::xfixes;
use x11rb::protocol::xproto::{ChangeWindowAttributesAux, ConnectionExt, CreateGCAux};

const NOW: Instant = Instant::from_millis(7);

/// Colours without the unused byte.
fn colours(pixels: &[u8]) -> Vec<u8> {
    pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

fn rectangle(x: u16, y: u16, width: u16, height: u16) -> Rectangle {
    Rectangle { x, y, width, height }
}

/// Polls until a frame comes, then gives its bytes.
fn next(source: &mut X11Source) -> Vec<u8> {
    loop {
        if let Some(frame) = source.poll_frame(NOW).unwrap() {
            assert_eq!(frame.captured_at(), NOW);
            return frame.planes()[0].data.to_vec();
        }
        wait_readable(&source.poll_fd());
    }
}

/// Polls until nothing is left.
fn settle(source: &mut X11Source) {
    while source.poll_frame(NOW).unwrap().is_some() {}
}

#[test]
fn drawn_pattern_is_captured_to_the_pixel() {
    let Some(server) = Server::start(320, 200) else {
        return;
    };
    let client = server.client();
    let drawn = pattern(320, 200, 1);
    client.put(client.screen.root, 0, 0, 320, 200, &drawn);
    let mut source = X11Source::open(server.name()).unwrap();
    assert!(source.is_shared());
    assert_eq!(source.size(), (320, 200));
    assert_eq!(colours(&next(&mut source)), colours(&drawn));
    assert_eq!(source.damage(), rectangle(0, 0, 320, 200));
}

#[test]
fn still_screen_gives_nothing_and_the_current_frame_on_demand() {
    let Some(server) = Server::start(64, 48) else {
        return;
    };
    let client = server.client();
    let drawn = pattern(64, 48, 2);
    client.put(client.screen.root, 0, 0, 64, 48, &drawn);
    let mut source = X11Source::open(server.name()).unwrap();
    next(&mut source);
    client.sync();
    settle(&mut source);
    assert!(source.poll_frame(NOW).unwrap().is_none());
    let frame = source.current_frame(NOW).unwrap().unwrap();
    assert_eq!(colours(frame.planes()[0].data), colours(&drawn));
    assert!(source.damage().is_empty());
}

#[test]
fn change_is_given_with_its_rectangle_and_leaves_the_rest_right() {
    let Some(server) = Server::start(320, 200) else {
        return;
    };
    let client = server.client();
    let root = client.screen.root;
    client.put(root, 0, 0, 320, 200, &pattern(320, 200, 3));
    let mut source = X11Source::open(server.name()).unwrap();
    next(&mut source);
    settle(&mut source);
    client.fill(root, 0x00aa_bb11, 40, 50, 30, 20);
    let captured = next(&mut source);
    assert_eq!(source.damage(), rectangle(40, 50, 30, 20));
    assert_eq!(colours(&captured), colours(&client.look(root, 0, 0, 320, 200)));
    client.fill(root, 0x0000_ff00, 0, 10, 5, 5);
    client.fill(root, 0x0000_00ff, 300, 190, 20, 10);
    let captured = next(&mut source);
    assert_eq!(source.damage(), rectangle(0, 10, 320, 190));
    assert_eq!(colours(&captured), colours(&client.look(root, 0, 0, 320, 200)));
}

#[test]
fn change_read_while_asking_for_the_cursor_still_wakes() {
    let Some(server) = Server::start(64, 48) else { return };
    let client = server.client();
    let mut source = X11Source::open(server.name()).unwrap();
    next(&mut source);
    for step in 1..50u32 {
        // Nothing is left: neither a frame nor a cursor.
        while source.poll_frame(NOW).unwrap().is_some() || source.poll_cursor().is_some() {}
        let time = NOW.plus_micros(u64::from(step) * 20_000);
        assert!(source.poll_frame(time).unwrap().is_none());
        client.fill(client.screen.root, step, 0, 0, 8, 8);
        // The reply to this brings the news of the change along.
        assert!(source.poll_cursor().is_none_or(|cursor| cursor.x < 64));
        wait_readable(&source.poll_fd());
        let frame = source.poll_frame(time).unwrap().expect("the change is there");
        assert_eq!(frame.planes()[0].data[0], step.to_le_bytes()[0]);
    }
}

#[test]
fn no_change_is_missed_while_another_program_draws() {
    let Some(server) = Server::start(200, 200) else {
        return;
    };
    let mut source = X11Source::open(server.name()).unwrap();
    let display = server.display.clone();
    let drawer = std::thread::spawn(move || {
        let client = Client::new(Some(&display));
        for step in 0..2000u32 {
            let place = i16::try_from(step * 37 % 190).unwrap();
            let other = i16::try_from(step * 91 % 190).unwrap();
            client.fill(client.screen.root, step * 7919, place, other, 10, 10);
        }
    });
    let mut shown = next(&mut source);
    while !drawer.is_finished() {
        if let Some(frame) = source.poll_frame(NOW).unwrap() {
            shown = frame.planes()[0].data.to_vec();
        }
    }
    drawer.join().unwrap();
    while let Some(frame) = source.poll_frame(NOW).unwrap() {
        shown = frame.planes()[0].data.to_vec();
    }
    let client = server.client();
    assert_eq!(colours(&shown), colours(&client.look(client.screen.root, 0, 0, 200, 200)));
}

#[test]
fn screen_of_another_size_is_given_whole() {
    let Some(server) = Server::start(320, 200) else {
        return;
    };
    let client = server.client();
    let connection = &client.connection;
    let root = client.screen.root;
    let mut source = X11Source::open(server.name()).unwrap();
    next(&mut source);
    let resources = randr::get_screen_resources(connection, root).unwrap().reply().unwrap();
    let crtc = resources.crtcs[0];
    randr::set_crtc_config(connection, crtc, 0, 0, 0, 0, x11rb::NONE, randr::Rotation::ROTATE0, &[])
        .unwrap()
        .reply()
        .unwrap();
    randr::set_screen_size(connection, root, 160, 120, 42, 32).unwrap().check().unwrap();
    let drawn = pattern(160, 120, 4);
    client.put(root, 0, 0, 160, 120, &drawn);
    while source.size() != (160, 120) {
        next(&mut source);
    }
    settle(&mut source);
    let frame = source.current_frame(NOW).unwrap().unwrap();
    assert_eq!((frame.width(), frame.height()), (160, 120));
    assert_eq!(colours(frame.planes()[0].data), colours(&drawn));
}

#[test]
fn cursor_comes_as_shape_and_place_and_not_in_the_picture() {
    let Some(server) = Server::start(200, 100) else {
        return;
    };
    let client = server.client();
    let connection = &client.connection;
    let root = client.screen.root;
    client.fill(root, 0, 0, 0, 200, 100);
    connection.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, 50, 40).unwrap();
    let mut source = X11Source::open(server.name()).unwrap();
    // A 16 × 16 cursor, red where set: all of it.
    let (bitmap, cursor) = (connection.generate_id().unwrap(), connection.generate_id().unwrap());
    connection.create_pixmap(1, bitmap, root, 16, 16).unwrap();
    let gc = connection.generate_id().unwrap();
    connection.create_gc(gc, bitmap, &CreateGCAux::new().foreground(1)).unwrap();
    let all = x11rb::protocol::xproto::Rectangle { x: 0, y: 0, width: 16, height: 16 };
    connection.poly_fill_rectangle(bitmap, gc, &[all]).unwrap();
    connection.create_cursor(cursor, bitmap, bitmap, 0xffff, 0, 0, 0, 0, 0, 3, 5).unwrap();
    connection.change_window_attributes(root, &ChangeWindowAttributesAux::new().cursor(cursor)).unwrap();
    client.sync();
    let frame = next(&mut source);
    assert!(colours(&frame).iter().all(|byte| *byte == 0), "the cursor is in the picture");
    let given = source.poll_cursor().unwrap();
    assert_eq!((given.x, given.y, given.visible), (50, 40, true));
    let shape = given.shape.unwrap();
    assert_eq!((shape.width, shape.height, shape.hot_x, shape.hot_y), (16, 16, 3, 5));
    assert_eq!(shape.bgra[..4], [0, 0, 255, 255]);
    settle(&mut source);
    assert!(source.poll_cursor().is_none());
    // Nothing announces a warp; after a while it is looked for.
    connection.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, 60, 41).unwrap();
    client.sync();
    assert!(source.poll_frame(NOW.plus_micros(20_000)).unwrap().is_none());
    let given = source.poll_cursor().unwrap();
    assert_eq!((given.x, given.y), (60, 41));
    assert!(given.shape.is_none());
    xfixes::query_version(connection, 5, 0).unwrap().reply().unwrap();
}

#[test]
fn server_that_shares_no_memory_is_captured_all_the_same() {
    let Some(server) = Server::start_with("120x90x24", &["-extension", "MIT-SHM"]) else { return };
    let client = server.client();
    let root = client.screen.root;
    let drawn = pattern(120, 90, 8);
    client.put(root, 0, 0, 120, 90, &drawn);
    let mut source = X11Source::open(server.name()).unwrap();
    assert!(!source.is_shared());
    assert_eq!(colours(&next(&mut source)), colours(&drawn));
    settle(&mut source);
    client.fill(root, 0x00aa_bb11, 10, 20, 30, 40);
    let captured = next(&mut source);
    assert_eq!(source.damage(), rectangle(10, 20, 30, 40));
    assert_eq!(colours(&captured), colours(&client.look(root, 0, 0, 120, 90)));
}

#[test]
fn screen_of_sixteen_bits_is_refused_with_its_depth() {
    let Some(server) = Server::start_with("120x90x16", &[]) else { return };
    let error = X11Source::open(server.name()).err().unwrap();
    assert!(error.to_string().contains("depth 16"), "{error}");
}

#[test]
fn display_without_a_server_is_an_error() {
    let error = X11Source::open(Some(":4242")).err().unwrap();
    assert!(error.to_string().contains("DISPLAY"), "{error}");
}
