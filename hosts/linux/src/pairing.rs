//! First contact at the host: who asked for it, the window, and the strangers who come through it.
//!
//! The window opens by an order of the control socket or of the host's own command line and by nothing else. The PIN
//! goes back to whoever gave the order, at a terminal, and into no log.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use rift::{
    BackingOff, CloseReason, Guess, Identity, Instant, PairingWindow, Permissions, Pin, PublicKey, SendError,
    SessionIndex, Suite,
};
use tracing::{info, warn};

use crate::allow::{self, Client};
use crate::control::{Asker, Request, Word};
use crate::viewers::{Driver, ViewerSession};

/// Strangers in sessions of their own at once: as many as there are guesses, and one to be told that there is none.
const STRANGERS_MAX: usize = 4;

/// What somebody at this machine ordered.
#[derive(Clone, Debug)]
pub struct PairOrder {
    /// The PIN that the other side shows; `None`: this side draws one and shows it.
    pub pin: Option<Pin>,
    /// What the one who pairs may do.
    pub permissions: Permissions,
    /// What to call it.
    pub name: String,
    /// Also while somebody watches the screen on which the PIN may show.
    pub while_watched: bool,
}

impl PairOrder {
    /// As a line for the control socket.
    #[must_use]
    pub fn to_line(&self) -> String {
        let pin = self.pin.as_ref().map_or("", Pin::digits);
        let (bits, watched) = (self.permissions.bits(), u8::from(self.while_watched));
        format!("pair\t{pin}\t{bits}\t{watched}\t{}\n", self.name)
    }

    /// Reads such a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_line(line: &str) -> Result<Self, String> {
        let wrong = || "this host does not understand that; is it of the same version?".to_owned();
        let fields: Vec<&str> = line.strip_suffix('\n').ok_or_else(wrong)?.split('\t').collect();
        let ["pair", pin, bits, watched, name] = fields[..] else { return Err(wrong()) };
        let pin =
            (!pin.is_empty()).then(|| Pin::parse(pin)).transpose().map_err(|error| error.to_string())?;
        let bits = bits.parse().ok().and_then(Permissions::from_bits).ok_or_else(wrong)?;
        Ok(Self { pin, permissions: bits, name: name.to_owned(), while_watched: watched == "1" })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Desk {
    requests: Option<Receiver<Request>>,
    state: PathBuf,
    window: PairingWindow,
    /// The order that is being carried out.
    order: Option<(PairOrder, Asker)>,
    /// Sessions that came through the window.
    strangers: Vec<SessionIndex>,
    /// The endpoint hears strangers.
    is_open: bool,
}

impl Desk {
    /// Nobody has asked for anything. Orders come from `requests`; who is paired goes on the list in `state`.
    #[must_use]
    pub fn new(state: PathBuf, requests: Option<Receiver<Request>>) -> Self {
        Self {
            requests,
            state,
            window: PairingWindow::new(),
            order: None,
            strangers: Vec::with_capacity(STRANGERS_MAX),
            is_open: false,
        }
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Whether a PIN shows somewhere that must not be seen by who watches this machine's screen.
    #[must_use]
    pub fn hides_the_screen(&self) -> bool {
        self.order.as_ref().is_some_and(|(order, _)| !order.while_watched)
    }

    /// Takes orders, closes what has run out. `watchers`: how many see the screen where a PIN may show.
    pub fn work(&mut self, now: Instant, driver: &mut Driver, watchers: usize) {
        while let Some(request) = self.requests.as_ref().and_then(|requests| requests.try_recv().ok()) {
            self.open(now, request, watchers);
        }
        if let Some((_, asker)) = &mut self.order {
            if asker.is_gone() {
                info!("pairing was withdrawn");
                self.window.close();
                self.order = None;
                // Nobody who is at it now would get on the list.
                for &index in &self.strangers {
                    if let Some(session) = driver.session_mut(index) {
                        session.close(now, CloseReason::PairingOver);
                    }
                }
            } else if !self.window.is_open(now) && self.strangers.is_empty() {
                let text = if self.window.guesses() > 0 {
                    "nobody paired in time"
                } else {
                    "too many wrong PINs; if those were not yours, somebody else is trying"
                };
                self.conclude(Word::Failed(text));
            }
        }
        let is_open = self.window.is_open(now);
        if is_open != self.is_open {
            self.is_open = is_open;
            driver.set_pairing_window(is_open);
        }
    }

    /// Opens the window, if nothing is against it.
    pub fn open(&mut self, now: Instant, request: Request, watchers: usize) {
        let Request { order, mut asker } = request;
        if self.order.is_some() {
            return asker.say(Word::Failed("somebody else is pairing with this host just now"));
        }
        if watchers > 0 && !order.while_watched {
            let text = format!(
                "{watchers} watching the shared screen: if this terminal is on it, they would see the PIN; \
                 --while-watched says that it is not"
            );
            return asker.say(Word::Failed(&text));
        }
        let is_shown_here = order.pin.is_none();
        let pin = match order.pin.clone().map_or_else(draw, Ok) {
            Ok(pin) => pin,
            Err(error) => return asker.say(Word::Failed(&format!("no random bytes: {error}"))),
        };
        let digits = pin.digits().to_owned();
        match self.window.open(now, pin) {
            Ok(()) if is_shown_here => asker.say(Word::Progress(&format!("PIN: {digits}"))),
            Ok(()) => asker.say(Word::Progress("waiting for the one that shows this PIN")),
            Err(BackingOff { until }) => {
                let seconds = until.micros_since(now).div_ceil(1_000_000);
                let text = format!("too many wrong PINs: pairing waits for another {seconds} s");
                return asker.say(Word::Failed(&text));
            }
        }
        info!(name = %order.name, "the pairing window is open");
        self.order = Some((order, asker));
    }

    /// Whether strangers are heard.
    #[must_use]
    pub const fn is_pairing(&self) -> bool {
        self.is_open
    }

    /// Whether a stranger gets a session.
    #[must_use]
    pub fn has_room(&self, now: Instant) -> bool {
        self.window.is_open(now) && self.strangers.len() < STRANGERS_MAX
    }

    /// A stranger's session has begun.
    pub fn begin(&mut self, index: SessionIndex) {
        self.strangers.push(index);
    }

    /// A stranger has a share: the PIN is tried, or it is told that pairing is over.
    pub fn try_pin(&mut self, now: Instant, session: &mut ViewerSession, identity: &Identity) {
        let mut entropy = [0; 32];
        let guess = self.window.guess(now).filter(|_| getrandom::fill(&mut entropy).is_ok());
        let tried = guess.map(|guess: Guess| session.pair(now, &identity.public(), guess, entropy));
        match tried {
            Some(Ok(())) => {}
            Some(Err(SendError::NotConnected | SendError::NotPermitted | _)) | None => {
                session.close(now, CloseReason::PairingOver);
            }
        }
    }

    /// A stranger knew the PIN: it goes on the list.
    pub fn paired(&mut self, peer: PublicKey) {
        self.window.paired();
        let Some((order, _)) = &self.order else { return };
        let (name, permissions) = (order.name.clone(), order.permissions);
        let client = Client { id: peer, name, permissions, suite: Suite::Classical };
        info!(id = %peer, name = %order.name, "paired");
        // Waits for the disk: rarely, and everybody's pictures can wait that long.
        match allow::change(&self.state, |list| list.put(client)) {
            Ok(()) => {
                let name = order.name.clone();
                self.conclude(Word::Done(&format!("paired with {peer} ({name})")));
            }
            Err(error) => {
                warn!(%error, "a paired client was not kept");
                self.conclude(Word::Failed(&error.to_string()));
            }
        }
    }

    /// A session has ended. Returns whether it was a stranger's.
    pub fn end(&mut self, index: SessionIndex, reason: CloseReason) -> bool {
        let Some(place) = self.strangers.iter().position(|&known| known == index) else { return false };
        self.strangers.swap_remove(place);
        if reason == CloseReason::WrongPin {
            let left = self.window.guesses();
            warn!(left, "a wrong PIN was tried");
            if let Some((_, asker)) = &mut self.order {
                asker.say(Word::Progress(&format!("a wrong PIN was tried; {left} guesses are left")));
            }
        }
        true
    }

    fn conclude(&mut self, word: Word<'_>) {
        self.window.close();
        if let Some((_, mut asker)) = self.order.take() {
            asker.say(word);
        }
    }
}

fn draw() -> Result<Pin, getrandom::Error> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy)?;
    Ok(Pin::draw(entropy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_way_through_the_socket() {
        let order = PairOrder {
            pin: Some(Pin::parse("123456").unwrap()),
            permissions: Permissions::view_only(),
            name: "the laptop".into(),
            while_watched: true,
        };
        let read = PairOrder::from_line(&order.to_line()).unwrap();
        assert_eq!(read.pin.unwrap().digits(), "123456");
        assert_eq!((read.permissions, read.name.as_str()), (Permissions::view_only(), "the laptop"));
        assert!(read.while_watched);
        for line in
            ["", "pair", "pair\t\t7\t1\tx", "pair\t12\t7\t1\tx\n", "pair\t\t-1\t0\tx\n", "x\t\t7\t1\tx\n"]
        {
            assert!(PairOrder::from_line(line).is_err(), "{line:?}");
        }
    }
}
