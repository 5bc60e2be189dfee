//! A client's host, where a gateway's introduction leads.

use embassy_net::udp::UdpSocket;
use embassy_time::Duration;
use embedded_storage::nor_flash::NorFlash;
use rift::{CloseReason, Config, Noise, Opening, PathId, PublicKey, Session, SignalStorage};
use rift_embassy::{Scratch, now, run_client};

use super::{Client, HANDSHAKE_US};
use crate::entropy::Entropy;
use crate::gateway::{
    Asking, NoIntroduction, PinnedGateway, SignalPlace, candidates, is_somebody_there, punch,
};
use crate::input::InputSource;
use crate::report::{Fault, Observer, Stage};
use crate::screen::Surface;
use crate::settings::PinnedHost;

/// How long why it was not introduced stays on the screen, before it is tried again.
const PAUSE: Duration = Duration::from_secs(3);

impl<S: Surface, I: InputSource, E: Entropy, F: NorFlash, O: Observer> Client<'_, S, I, E, F, O> {
    /// Whom to call next: who is found, or its host at the address to which a gateway introduces it, when nothing else is left.
    /// A host that was reached so is asked for again each time, as a NAT forgets.
    pub(super) async fn whom_by_any_way(
        &mut self,
        socket: &mut UdpSocket<'static>,
        scratch: &mut Scratch,
    ) -> Result<Option<PinnedHost>, Fault> {
        let found = self.whom(socket).await;
        let (Some(gateway), Some(known)) = (self.desk.gateway, self.begun.settings.host) else {
            return found;
        };
        let Some(attempt) = self.calls.next(&known) else { return found };
        let is_wanted = self.desk.has_introduced() || self.finder.is_at_a_loss(&known, &self.calls);
        if found.is_err() || !is_wanted || !self.bind(socket) {
            return found;
        }
        self.stage(Stage::Asking, Some(gateway.address));
        self.observer.alive();
        let asked = self.ask(socket, scratch, gateway, attempt.key).await?;
        self.observer.alive();
        self.desk.introduced(asked.is_ok());
        match asked {
            Ok(address) => Ok(Some(PinnedHost { address, ..known })),
            Err(why) => {
                self.stage(Stage::NotIntroduced(why), Some(gateway.address));
                self.pause(PAUSE).await;
                found
            }
        }
    }

    /// One conversation with the gateway, and the checks that follow from it.
    async fn ask(
        &mut self,
        socket: &mut UdpSocket<'static>,
        scratch: &mut Scratch,
        gateway: PinnedGateway,
        host: PublicKey,
    ) -> Result<Result<core::net::SocketAddr, NoIntroduction>, Fault> {
        let ephemeral = self.draw()?;
        let connection = self.draw()?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let handshake = Noise::initiator(&self.identity, *ephemeral, Opening::XX);
        let mut materials = self.desk.storage.take().map(|storage| (handshake, storage));
        let place = &mut *self.desk.place;
        self.observer.with_deep_stack(&mut || {
            if let Some((handshake, storage)) = materials.take() {
                connect(place, handshake, gateway.key, connection, storage);
            }
        });
        let own = candidates(self.stack, socket.endpoint().port);
        let (begun, observer) = (&mut self.begun, &mut self.observer);
        let mut asking = Asking::new(gateway, host, own, self.desk.line, begun, observer);
        let session = place.first_mut().expect("the storage is given back below, whatever comes");
        let reason = run_client(socket, gateway.address, session, scratch, &mut asking).await;
        let Asking { candidates: own, answer, is_dry, .. } = asking;
        let storage = &mut self.desk.storage;
        self.observer.with_deep_stack(&mut || *storage = place.pop().map(Session::into_memory));
        if is_dry {
            return Err(Fault::NoEntropy);
        }
        let met = match answer {
            Some(Ok(met)) => met,
            Some(Err(why)) => return Ok(Err(why)),
            None => return self.why_nothing(socket, gateway, reason).await.map(Err),
        };
        let found = punch(socket, &met, &own, || self.observer.alive()).await;
        Ok(found.ok_or(NoIntroduction::NoWay))
    }

    /// Why a conversation ended without an answer. Who has another key hears nothing that he could answer in it, but answers
    /// STUN.
    async fn why_nothing(
        &mut self,
        socket: &mut UdpSocket<'static>,
        gateway: PinnedGateway,
        reason: CloseReason,
    ) -> Result<NoIntroduction, Fault> {
        let id = *self.draw()?.first_chunk().unwrap_or(&[0; 12]);
        let is_unanswered = reason == CloseReason::Unanswered;
        let is_another = reason == CloseReason::WrongPeer
            || is_unanswered
                && is_somebody_there(socket, gateway.address, id, || self.observer.alive()).await;
        Ok(if is_another {
            NoIntroduction::OtherKey
        } else if is_unanswered || reason == CloseReason::Local || reason == CloseReason::Idle {
            NoIntroduction::Silent
        } else {
            NoIntroduction::Busy
        })
    }
}

/// A conversation with the gateway that has this key. Not inlined: one session by value is enough for a stack.
#[inline(never)]
fn connect(
    place: &mut SignalPlace,
    handshake: Noise,
    gateway: PublicKey,
    connection: u32,
    storage: &'static mut SignalStorage,
) {
    let config = Config { handshake_us: HANDSHAKE_US, ..Config::default() };
    let session = Session::connect(&config, handshake, gateway, connection, storage, PathId(0), now());
    let is_placed = place.push(session).is_ok();
    debug_assert!(is_placed, "the place was left empty");
}
