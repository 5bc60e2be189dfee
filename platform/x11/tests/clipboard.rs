//! What is copied on one side of a display is pasted on the other: against programs, and piece by piece.

#![allow(clippy::wildcard_enum_match_arm, reason = "X has a hundred kinds of event; a test waits for one")]
#![allow(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use core::time::Duration;
use std::sync::mpsc::{Receiver, channel};

use rift_x11::X11Clipboard;
use support::Server;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ChangeWindowAttributesAux, ConnectionExt, EventMask, PropMode, Property, SELECTION_NOTIFY_EVENT,
    SelectionNotifyEvent, SelectionRequestEvent,
};
use x11rb::wrapper::ConnectionExt as _;

/// After this a test that waits has hung.
const HANG: Duration = Duration::from_secs(20);

fn clipboard(server: &Server) -> (X11Clipboard, Receiver<String>) {
    let (copied, texts) = channel();
    let clipboard = X11Clipboard::start(server.name(), move |text| {
        // A test that is over hears no more.
        let _ = copied.send(text);
    });
    (clipboard.expect("a display with XFIXES"), texts)
}

#[test]
fn text_goes_from_one_to_the_other_and_back_without_echo() {
    let Some(server) = Server::start(64, 48) else { return };
    let ((one, heard_by_one), (other, heard_by_other)) = (clipboard(&server), clipboard(&server));
    let long = "Zeile mit Umlauten: äöü, 漢字 🦀\n".repeat(8000);
    for text in ["a", "häßlich 🦀", &long] {
        one.offer(text.to_owned()).expect("the display is there");
        assert!(heard_by_other.recv_timeout(HANG).expect("it was copied") == text);
        other.offer(format!("{text} back")).expect("the display is there");
        assert!(heard_by_one.recv_timeout(HANG).expect("it was copied") == format!("{text} back"));
    }
    drop((one, other));
    assert_eq!(heard_by_one.try_iter().count() + heard_by_other.try_iter().count(), 0, "nothing came twice");
}

#[test]
fn text_that_cannot_be_is_not_told_and_the_next_one_is() {
    let Some(server) = Server::start(64, 48) else { return };
    let ((one, _heard), (_other, heard_by_other)) = (clipboard(&server), clipboard(&server));
    one.offer("x".repeat((1 << 20) + 1)).expect("the display is there");
    one.offer(String::new()).expect("the display is there");
    // Taking the selection again tells of the newest text, however often.
    one.offer("short".to_owned()).expect("the display is there");
    let mut told = heard_by_other.recv_timeout(HANG).expect("it was copied");
    while let Ok(more) = heard_by_other.recv_timeout(Duration::from_millis(1)) {
        told = more;
    }
    assert_eq!(told, "short");
}

/// A program that hands out its text in pieces, as ICCCM §2.7.2 has it.
#[test]
fn long_text_of_a_program_comes_piece_by_piece() {
    let Some(server) = Server::start(64, 48) else { return };
    let (_clipboard, heard) = clipboard(&server);
    let client = server.client();
    let connection = &client.connection;
    let atom = |name: &str| {
        connection.intern_atom(false, name.as_bytes()).expect("sent").reply().expect("answered").atom
    };
    let (selection, incr, utf8) = (atom("CLIPBOARD"), atom("INCR"), atom("UTF8_STRING"));
    let owner = client.window(0, 0, 8, 8);
    connection.set_selection_owner(owner, selection, x11rb::CURRENT_TIME).expect("sent");
    connection.flush().expect("sent");
    let request: SelectionRequestEvent = client.wait(|event| match event {
        Event::SelectionRequest(request) => Some(*request),
        _ => None,
    });
    assert_eq!((request.selection, request.target), (selection, utf8));
    let (requestor, property) = (request.requestor, request.property);
    let watch = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
    connection.change_window_attributes(requestor, &watch).expect("sent");
    connection.change_property32(PropMode::REPLACE, requestor, property, incr, &[9]).expect("sent");
    let notify = SelectionNotifyEvent {
        response_type: SELECTION_NOTIFY_EVENT,
        sequence: 0,
        time: request.time,
        requestor,
        selection,
        target: utf8,
        property,
    };
    connection.send_event(false, requestor, EventMask::NO_EVENT, notify).expect("sent");
    connection.flush().expect("sent");
    for piece in ["Stück ", "für ", "Stück", ""] {
        client.wait(|event| match event {
            Event::PropertyNotify(event) if event.atom == property && event.state == Property::DELETE => {
                Some(())
            }
            _ => None,
        });
        connection
            .change_property8(PropMode::REPLACE, requestor, property, utf8, piece.as_bytes())
            .expect("sent");
        connection.flush().expect("sent");
    }
    assert_eq!(heard.recv_timeout(HANG).expect("it was copied"), "Stück für Stück");
}
