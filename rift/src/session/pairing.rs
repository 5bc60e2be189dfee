//! Pairing within a session that is established and not admitted (SPEC §8.5–§8.7).
//!
//! ```text
//! client                                  host
//!   pair()      share ──────────────────▶   PairingRequested, pair()
//!               ◀────────────────── share
//!               confirmation ───────────▶   Paired
//!   Paired      ◀─────────── confirmation
//! ```
//!
//! The client repeats its newest message until it is answered; the host answers each repetition as it did before.
//! Invariant: a session takes one share and one confirmation. Whatever else comes, another share or a wrong
//! confirmation, gives nobody a second try.

use subtle::ConstantTimeEq;

use super::sent::Carried;
use super::{CloseReason, Discard, SendError, Session};
use crate::crypto::{Handshake, PublicKey, Side};
use crate::limits::PAIRING_US;
use crate::pairing::{Confirmations, Exchange, Guess};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::frame::{FrameType, emit};
use crate::wire::pairing::PairingMessage;

/// How far a pairing has come.
#[derive(Clone, Debug)]
enum Stage {
    /// Nothing was said.
    Silent,
    /// Host: the client's share is here; the application has not answered.
    Asked { theirs: [u8; 32] },
    /// Client: its share is out.
    Sharing { exchange: Exchange },
    /// Host: its share is out.
    Answered { theirs: [u8; 32], share: [u8; 32], confirmations: Confirmations },
    /// Client: its confirmation is out.
    Confirming { theirs: [u8; 32], confirmations: Confirmations },
    /// Each side has convinced this one, and the host says so.
    Paired { theirs: [u8; 32], own: [u8; 32] },
}

/// A pairing's state, in every session; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Pairing {
    stage: Stage,
    /// When the newest message leaves, again perhaps.
    due: Option<Instant>,
    /// The session is over then: it is for pairing, and it takes too long.
    gives_up: Option<Instant>,
}

impl Pairing {
    pub(crate) const fn new() -> Self {
        Self { stage: Stage::Silent, due: None, gives_up: None }
    }

    /// This session is for pairing: it has so long and no longer.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.gives_up = Some(now.plus_micros(PAIRING_US));
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.due, self.gives_up) {
            (Some(due), Some(gives_up)) => Some(due.min(gives_up)),
            (due, gives_up) => due.or(gives_up),
        }
    }

    pub(super) fn has_given_up(&self, now: Instant) -> bool {
        self.gives_up.is_some_and(|at| at <= now)
    }

    /// What is to be said, if anything has been asked or answered.
    const fn message(&self) -> Option<PairingMessage> {
        match &self.stage {
            Stage::Silent | Stage::Asked { .. } => None,
            Stage::Sharing { exchange } => Some(PairingMessage::Share(exchange.share())),
            Stage::Answered { share, .. } => Some(PairingMessage::Share(*share)),
            Stage::Confirming { confirmations, .. } => Some(PairingMessage::Confirmation(confirmations.own)),
            Stage::Paired { own, .. } => Some(PairingMessage::Confirmation(*own)),
        }
    }
}

/// What a message leads to.
enum Outcome {
    /// It is taken, or was taken before.
    Fine,
    /// It fits nothing.
    Unexpected,
    /// The peer does not know the PIN.
    Wrong,
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Whether this session is for pairing and nothing else: the client did not know the host's key.
    #[must_use]
    pub const fn is_stranger(&self) -> bool {
        self.is_stranger
    }

    /// Tries the PIN of `guess` with the peer. Client: once [`Event::Authenticated`](super::Event::Authenticated) was
    /// told, in a session begun with [`Self::approach`]. Host: once
    /// [`Event::PairingRequested`](super::Event::PairingRequested) was told. `own` is this side's static key; `entropy`
    /// was never used before.
    ///
    /// [`Event::Paired`](super::Event::Paired) follows, and then this side keeps the peer's key; or the session ends
    /// with [`CloseReason::WrongPin`] or [`CloseReason::PairingOver`].
    ///
    /// Work: one multiplication of a point at the client, two at the host.
    ///
    /// # Errors
    /// [`SendError::NotConnected`]; [`SendError::NotPermitted`] when this session is not for pairing, it is not this
    /// side's turn, or it has tried already.
    pub fn pair(
        &mut self,
        now: Instant,
        own: &PublicKey,
        guess: Guess,
        entropy: [u8; 32],
    ) -> Result<(), SendError> {
        let peer = self.peer.filter(|_| self.is_established()).ok_or(SendError::NotConnected)?;
        if !self.is_stranger {
            return Err(SendError::NotPermitted);
        }
        let exchange = || Exchange::new(self.side, &guess, own, &peer, &self.transcript, entropy);
        let stage = match (&self.pairing.stage, self.side) {
            (Stage::Silent, Side::Initiator) => Stage::Sharing { exchange: exchange() },
            (Stage::Asked { theirs }, Side::Responder) => {
                let exchange = exchange();
                let Some(confirmations) = exchange.confirmations(&self.transcript, theirs) else {
                    self.fail_pairing(now, CloseReason::WrongPin);
                    return Ok(());
                };
                Stage::Answered { theirs: *theirs, share: exchange.share(), confirmations }
            }
            (_, _) => return Err(SendError::NotPermitted),
        };
        self.pairing.stage = stage;
        self.pairing.due = Some(now);
        Ok(())
    }

    pub(super) fn handle_pairing(&mut self, now: Instant, body: &[u8]) -> Result<(), Discard> {
        let message = PairingMessage::parse(body).ok_or(Discard::Malformed)?;
        if !self.is_stranger {
            return Err(Discard::Unexpected);
        }
        let outcome = match self.side {
            Side::Initiator => self.on_answer(now, message),
            Side::Responder => self.on_question(now, message),
        };
        match outcome {
            Outcome::Fine => Ok(()),
            Outcome::Unexpected => Err(Discard::Unexpected),
            Outcome::Wrong => {
                self.fail_pairing(now, CloseReason::WrongPin);
                Ok(())
            }
        }
    }

    /// Host: takes what the client says.
    fn on_question(&mut self, now: Instant, message: PairingMessage) -> Outcome {
        let (stage, is_repeated) = match (&self.pairing.stage, message) {
            (Stage::Silent, PairingMessage::Share(theirs)) => {
                self.pending.pairing_requested = true;
                (Some(Stage::Asked { theirs }), false)
            }
            (Stage::Asked { theirs }, PairingMessage::Share(again)) if *theirs == again => (None, false),
            (Stage::Answered { theirs, .. }, PairingMessage::Share(again)) if *theirs == again => {
                (None, true)
            }
            (Stage::Answered { confirmations, .. }, PairingMessage::Confirmation(theirs)) => {
                if !bool::from(confirmations.theirs.ct_eq(&theirs)) {
                    return Outcome::Wrong;
                }
                self.pending.paired = true;
                (Some(Stage::Paired { theirs, own: confirmations.own }), true)
            }
            (Stage::Paired { theirs, .. }, PairingMessage::Confirmation(again)) if *theirs == again => {
                (None, true)
            }
            (_, _) => return Outcome::Unexpected,
        };
        if let Some(stage) = stage {
            self.pairing.stage = stage;
        }
        if is_repeated {
            self.pairing.due = Some(now);
        }
        Outcome::Fine
    }

    /// Client: takes what the host says.
    fn on_answer(&mut self, now: Instant, message: PairingMessage) -> Outcome {
        let stage = match (&self.pairing.stage, message) {
            (Stage::Sharing { exchange }, PairingMessage::Share(theirs)) => {
                let Some(confirmations) = exchange.confirmations(&self.transcript, &theirs) else {
                    return Outcome::Wrong;
                };
                self.pairing.due = Some(now);
                Stage::Confirming { theirs, confirmations }
            }
            (Stage::Confirming { theirs, .. }, PairingMessage::Share(again)) if *theirs == again => {
                return Outcome::Fine;
            }
            (Stage::Confirming { confirmations, .. }, PairingMessage::Confirmation(theirs)) => {
                if !bool::from(confirmations.theirs.ct_eq(&theirs)) {
                    return Outcome::Wrong;
                }
                self.pending.paired = true;
                self.pairing.due = None;
                Stage::Paired { theirs, own: confirmations.own }
            }
            (Stage::Paired { theirs, .. }, PairingMessage::Confirmation(again)) if *theirs == again => {
                return Outcome::Fine;
            }
            (_, _) => return Outcome::Unexpected,
        };
        self.pairing.stage = stage;
        Outcome::Fine
    }

    /// Ends the session because the pairing came to nothing, and tells the peer.
    pub(super) fn fail_pairing(&mut self, now: Instant, reason: CloseReason) {
        self.pairing = Pairing::new();
        self.finish(now, Some(reason.code()), reason);
    }

    /// Puts the message that is due into a packet. The client's is due again until it is answered.
    pub(super) fn write_pairing(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if self.pairing.due.is_none_or(|due| due > now) {
            return;
        }
        let Some(message) = self.pairing.message() else { return };
        if emit(writer, FrameType::Pairing, |body| message.emit(body)).is_some() {
            *carried |= Carried::ELICITING;
            let again = now.plus_micros(self.repeat_us());
            self.pairing.due = (self.side == Side::Initiator).then_some(again);
        }
    }
}
