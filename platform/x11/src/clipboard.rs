//! The clipboard as text: what others copy is told, what is offered here others may paste.
//!
//! The one part of this crate with a thread: whoever copied here must answer whoever pastes, whenever that is. It
//! follows ICCCM (§2.2, §2.7.2 for long texts) and XFIXES, which says when somebody else has copied. Text that is not
//! UTF-8 or longer than may be sent is passed over; nothing here is ever logged.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rift::ClipboardHead;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::xfixes::{self, SelectionEventMask, SelectionNotifyEvent as OwnerNotifyEvent};
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask,
    PropMode, Property, PropertyNotifyEvent, SELECTION_NOTIFY_EVENT, SelectionNotifyEvent,
    SelectionRequestEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;
use x11rb::{COPY_DEPTH_FROM_PARENT, COPY_FROM_PARENT, CURRENT_TIME, NONE};

use crate::Error;
use crate::connection::{connect, require};

x11rb::atom_manager! {
    /// Names that the server gives numbers to.
    Atoms:
    AtomsCookie {
        CLIPBOARD,
        TARGETS,
        INCR,
        UTF8_STRING,
        TEXT_PLAIN: b"text/plain;charset=utf-8",
        WAVRY_TEXT,
        WAVRY_END,
    }
}

/// Bytes of a text at most.
const LEN_MAX: usize = ClipboardHead::LEN_MAX as usize;
/// Bytes a request has beside a property's.
const REQUEST_HEAD: usize = 64;

/// The clipboard of a display; see the module. Dropping it ends its thread and takes back what was offered.
#[derive(Debug)]
pub struct X11Clipboard {
    connection: Arc<RustConnection>,
    window: Window,
    atoms: Atoms,
    offered: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl X11Clipboard {
    /// Follows the clipboard of `display` (`None` = the environment's). `copied` is called, on a thread of its own, with
    /// every text that another program copies.
    ///
    /// # Errors
    /// [`Error::Connect`]; [`Error::Extension`] without XFIXES; a thread that cannot be started is [`Error::Gone`].
    pub fn start(display: Option<&str>, copied: impl FnMut(String) + Send + 'static) -> Result<Self, Error> {
        let (connection, screen) = connect(display)?;
        require(&connection, xfixes::X11_EXTENSION_NAME)?;
        xfixes::query_version(&connection, 5, 0)?.reply()?;
        let atoms = Atoms::new(&connection)?.reply()?;
        let window = connection.generate_id()?;
        connection.create_window(
            COPY_DEPTH_FROM_PARENT,
            window,
            screen.root,
            -1,
            -1,
            1,
            1,
            0,
            WindowClass::INPUT_ONLY,
            COPY_FROM_PARENT,
            &CreateWindowAux::new(),
        )?;
        let events = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        connection.change_window_attributes(window, &events)?.check()?;
        let mask = SelectionEventMask::SET_SELECTION_OWNER;
        xfixes::select_selection_input(&connection, window, atoms.CLIPBOARD, mask)?.check()?;
        let (connection, offered) = (Arc::new(connection), Arc::new(Mutex::new(String::new())));
        let served = Served {
            connection: Arc::clone(&connection),
            window,
            atoms,
            offered: Arc::clone(&offered),
            incoming: None,
            copied,
        };
        let thread = std::thread::Builder::new().name("clipboard".to_owned()).spawn(|| served.run());
        let thread = Some(thread.map_err(|_| Error::Gone)?);
        Ok(Self { connection, window, atoms, offered, thread })
    }

    /// Lets others paste this text, in place of whatever was copied before.
    ///
    /// # Errors
    /// [`Error::Connection`] when the display is gone.
    pub fn offer(&self, text: String) -> Result<(), Error> {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = text;
        self.connection.set_selection_owner(self.window, self.atoms.CLIPBOARD, CURRENT_TIME)?;
        self.connection.flush()?;
        Ok(())
    }
}

impl Drop for X11Clipboard {
    fn drop(&mut self) {
        let end = ClientMessageEvent::new(32, self.window, self.atoms.WAVRY_END, [0; 5]);
        let sent = self.connection.send_event(false, self.window, EventMask::NO_EVENT, end);
        let is_told = sent.is_ok() && self.connection.flush().is_ok();
        // Where the display is gone the thread has ended by itself.
        if let Some(thread) = self.thread.take().filter(|thread| is_told || thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Served<F> {
    connection: Arc<RustConnection>,
    window: Window,
    atoms: Atoms,
    offered: Arc<Mutex<String>>,
    /// A long text that comes piece by piece; `None` inside = it is too long, and only read to its end.
    incoming: Option<Option<Vec<u8>>>,
    copied: F,
}

impl<F: FnMut(String)> Served<F> {
    fn run(mut self) {
        // An error is the end of the display, and with it of the clipboard.
        while let Ok(true) = self.turn() {}
    }

    /// Waits for something and acts on it; `false` = it is over.
    fn turn(&mut self) -> Result<bool, Error> {
        let event = self.connection.wait_for_event()?;
        if let Event::ClientMessage(event) = &event {
            return Ok(event.type_ != self.atoms.WAVRY_END);
        } else if let Event::XfixesSelectionNotify(event) = &event {
            self.ask(event)?;
        } else if let Event::SelectionNotify(event) = &event {
            self.take(event)?;
        } else if let Event::PropertyNotify(event) = &event {
            self.take_more(event)?;
        } else if let Event::SelectionRequest(event) = &event {
            self.answer(event)?;
        }
        Ok(true)
    }

    /// Somebody has copied: asks for the text.
    fn ask(&mut self, event: &OwnerNotifyEvent) -> Result<(), Error> {
        if event.owner == self.window || event.owner == NONE {
            return Ok(());
        }
        self.incoming = None;
        let atoms = &self.atoms;
        self.connection.convert_selection(
            self.window,
            atoms.CLIPBOARD,
            atoms.UTF8_STRING,
            atoms.WAVRY_TEXT,
            event.selection_timestamp,
        )?;
        self.connection.flush()?;
        Ok(())
    }

    /// The text is there, or comes piece by piece, or there is none.
    fn take(&mut self, event: &SelectionNotifyEvent) -> Result<(), Error> {
        if event.property != self.atoms.WAVRY_TEXT {
            return Ok(());
        }
        let (kind, bytes) = self.property()?;
        if kind == self.atoms.INCR {
            self.incoming = Some(Some(Vec::new()));
        } else if let Some(bytes) = bytes {
            self.tell(bytes);
        }
        Ok(())
    }

    fn take_more(&mut self, event: &PropertyNotifyEvent) -> Result<(), Error> {
        let is_ours = event.atom == self.atoms.WAVRY_TEXT && event.state == Property::NEW_VALUE;
        if !is_ours || self.incoming.is_none() {
            return Ok(());
        }
        let (_, piece) = self.property()?;
        match (self.incoming.take(), piece) {
            (Some(Some(bytes)), Some(piece)) if piece.is_empty() => self.tell(bytes),
            (_, Some(piece)) if piece.is_empty() => {}
            (Some(Some(mut bytes)), Some(piece)) if bytes.len() + piece.len() <= LEN_MAX => {
                bytes.extend_from_slice(&piece);
                self.incoming = Some(Some(bytes));
            }
            _ => self.incoming = Some(None),
        }
        Ok(())
    }

    /// What the property holds, which is deleted: its type, and its bytes unless they are too many.
    fn property(&self) -> Result<(u32, Option<Vec<u8>>), Error> {
        let words = u32::try_from(LEN_MAX / 4 + 1).unwrap_or(u32::MAX);
        let property = self.atoms.WAVRY_TEXT;
        let reply =
            self.connection.get_property(true, self.window, property, AtomEnum::ANY, 0, words)?.reply()?;
        let is_whole = reply.bytes_after == 0 && reply.value.len() <= LEN_MAX;
        if reply.bytes_after > 0 {
            self.connection.delete_property(self.window, property)?;
            self.connection.flush()?;
        }
        Ok((reply.type_, (is_whole && (reply.format == 8 || reply.value.is_empty())).then_some(reply.value)))
    }

    fn tell(&mut self, bytes: Vec<u8>) {
        if let Ok(text) = String::from_utf8(bytes)
            && !text.is_empty()
        {
            (self.copied)(text);
        }
    }

    /// Somebody pastes what is offered here.
    fn answer(&self, event: &SelectionRequestEvent) -> Result<(), Error> {
        let atoms = &self.atoms;
        // Clients older than ICCCM name no property.
        let property = if event.property == NONE { event.target } else { event.property };
        let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_text = event.target == atoms.UTF8_STRING || event.target == atoms.TEXT_PLAIN;
        let fits = offered.len() + REQUEST_HEAD <= self.connection.maximum_request_bytes();
        let (requestor, connection) = (event.requestor, &self.connection);
        let is_given = if event.selection != atoms.CLIPBOARD {
            false
        } else if event.target == atoms.TARGETS {
            let targets = [atoms.TARGETS, atoms.UTF8_STRING, atoms.TEXT_PLAIN];
            connection.change_property32(PropMode::REPLACE, requestor, property, AtomEnum::ATOM, &targets)?;
            true
        } else if is_text && fits {
            let text = offered.as_bytes();
            connection.change_property8(PropMode::REPLACE, requestor, property, event.target, text)?;
            true
        } else {
            false
        };
        let notify = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: event.time,
            requestor,
            selection: event.selection,
            target: event.target,
            property: if is_given { property } else { NONE },
        };
        connection.send_event(false, requestor, EventMask::NO_EVENT, notify)?;
        connection.flush()?;
        Ok(())
    }
}
