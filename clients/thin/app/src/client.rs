//! The client's life, from the network cable to the picture and back.

#[cfg(feature = "gateway")]
mod introduced;

use core::net::{IpAddr, SocketAddr};

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::udp::UdpSocket;
use embassy_time::{Duration, Timer, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use rift::channel::capabilities::{Capabilities, Colours};
use rift::{
    Callee, CloseReason, Config, Identity, Noise, Opening, PairingWindow, PathId, Pin, PublicKey, Session,
};
use rift_embassy::{Scratch, now, run_client};
use zeroize::Zeroizing;

use crate::begun::{Begun, begin};
use crate::calling::{Attempt, Calls, patience_ms};
use crate::entropy::Entropy;
use crate::finder::Finder;
#[cfg(feature = "gateway")]
use crate::gateway::Desk;
use crate::input::{InputQueue, InputSource};
use crate::report::{Fault, Observer, Pace, Report, Sign, Stage, show_fault, show_stage};
use crate::room::{Memory, Parts, Place, Provision, Room, ThinSession, ThinStorage};
use crate::screen::{Screen, Surface};
use crate::settings::PinnedHost;
use crate::viewer::{Pairing, Viewer};

/// How often, in milliseconds, the client looks whether it lives while it waits.
const ALIVE_MS: u64 = 500;
/// The first port of the client's own; each session has another, so that none hears what was meant for the last.
const PORT_FIRST: u16 = 49_152;
const PORTS: u16 = 16_384;
/// How long a host has to answer to an attempt before the next is made, in another way perhaps.
const HANDSHAKE_US: u32 = 2_500_000;

/// Runs the client until a [`Fault`], which shows on the screen then. `stack` has its addresses from its own configuration,
/// and its runner runs beside this.
pub async fn run<S, I, E, F, O>(
    parts: Parts<S, I, E, F, O>,
    provision: Provision,
    stack: Stack<'static>,
    room: Room,
) -> Fault
where
    S: Surface,
    I: InputSource,
    E: Entropy,
    F: NorFlash,
    O: Observer,
{
    let Parts { surface, input, entropy, flash, mut observer } = parts;
    let Room { memory, state, pictures } = room;
    #[cfg(feature = "gateway")]
    let desk = Desk::new(provision.gateway, &mut memory.gateway);
    let Memory { storage, place, decoder, cursor, scratch, buffers, .. } = memory;
    let [their_heads, own_heads] = &mut state.heads;
    let [incoming, outgoing] = buffers;
    let mut screen = Screen::new(surface, decoder, cursor);
    screen.clear();
    let begun = match begin(flash, entropy, provision) {
        Ok(begun) => begun,
        Err(fault) => {
            show_fault(screen.bare(), format_args!("{fault}"));
            return fault;
        }
    };
    let identity = Identity::from_secret(begun.settings.secret);
    observer.report(Report::Identity(identity.public(), begun.settings.boots));
    let picture_len = pictures.iter().map(|buffer| buffer.len()).min().unwrap_or(0);
    for (index, buffer) in pictures.into_iter().enumerate() {
        let replaced = storage.lend(index, buffer);
        debug_assert!(replaced.is_none(), "new storage has no buffers");
    }
    let socket = UdpSocket::new(stack, their_heads, incoming, own_heads, outgoing);
    let mut client = Client {
        screen,
        input,
        observer,
        identity,
        stack,
        queue: InputQueue::new(),
        window: PairingWindow::new(),
        pin: None,
        calls: Calls::new(begun.settings.boots),
        finder: Finder::new(&provision),
        #[cfg(feature = "gateway")]
        desk,
        begun,
        sessions: 0,
        picture_len: u32::try_from(picture_len).unwrap_or(u32::MAX),
        pace: None,
    };
    let fault = client.live(socket, storage, place, scratch).await;
    show_fault(client.screen.bare(), format_args!("{fault}"));
    fault
}

struct Client<'m, S, I, E, F, O> {
    screen: Screen<'m, S>,
    input: I,
    observer: O,
    begun: Begun<E, F>,
    identity: Identity,
    stack: Stack<'static>,
    queue: InputQueue,
    /// Guesses at the PIN below; one of a board that belongs to a host already stays closed.
    window: PairingWindow,
    pin: Option<Pin>,
    sessions: u16,
    calls: Calls,
    finder: Finder,
    #[cfg(feature = "gateway")]
    desk: Desk,
    /// Bytes of each picture buffer.
    picture_len: u32,
    /// That of the last session, until it is shown.
    pace: Option<Pace>,
}

impl<S: Surface, I: InputSource, E: Entropy, F: NorFlash, O: Observer> Client<'_, S, I, E, F, O> {
    async fn live(
        &mut self,
        mut socket: UdpSocket<'static>,
        mut storage: &'static mut ThinStorage,
        place: &mut Place,
        scratch: &mut Scratch,
    ) -> Fault {
        // Switching the board on is the local act that pairing asks for (SPEC §8.8).
        if let Err(fault) = self.open_window() {
            return fault;
        }
        loop {
            self.come_to_an_address().await;
            if self.is_unpaired() && !self.window.is_open(now()) {
                self.pin = None;
                self.stage(Stage::PairingClosed, None);
                self.await_hands().await;
                if let Err(fault) = self.open_window() {
                    return fault;
                }
                continue;
            }
            #[cfg(not(feature = "gateway"))]
            let looking = self.whom(&mut socket);
            #[cfg(feature = "gateway")]
            let looking = self.whom_by_any_way(&mut socket, scratch);
            let host = match looking.await {
                Ok(Some(host)) => host,
                Ok(None) => {
                    self.stage(Stage::NoHost, None);
                    self.pause(Duration::from_secs(2)).await;
                    continue;
                }
                Err(fault) => return fault,
            };
            let (back, reason) = match self.visit(&mut socket, storage, place, scratch, host).await {
                Ok(ended) => ended,
                Err(fault) => return fault,
            };
            storage = back;
            self.stage(Stage::Pausing(reason), Some(host.address));
            self.pause(Duration::from_millis(patience_ms(reason))).await;
        }
    }

    /// Waits for the cable and an address, and says so.
    async fn come_to_an_address(&mut self) {
        let stack = self.stack;
        if !stack.is_link_up() {
            self.stage(Stage::NoLink, None);
            while !stack.is_link_up() {
                let _ = with_timeout(Duration::from_millis(ALIVE_MS), stack.wait_link_up()).await;
                self.observer.alive();
            }
        }
        if !stack.is_config_up() {
            self.stage(Stage::NoAddress, None);
            while !stack.is_config_up() {
                let _ = with_timeout(Duration::from_millis(ALIVE_MS), stack.wait_config_up()).await;
                self.observer.alive();
            }
        }
        let own = stack.config_v4().map(|config| IpAddr::V4(config.address.address()));
        #[cfg(feature = "ipv6")]
        let own = own.or(stack.config_v6().map(|config| IpAddr::V6(config.address.address())));
        if let Some(own) = own {
            self.observer.report(Report::Address(own));
        }
    }

    /// One session, from its first datagram to its end. Gives the memory back.
    async fn visit(
        &mut self,
        socket: &mut UdpSocket<'static>,
        storage: &'static mut ThinStorage,
        place: &mut Place,
        scratch: &mut Scratch,
        host: PinnedHost,
    ) -> Result<(&'static mut ThinStorage, CloseReason), Fault> {
        if !self.claim_port(socket) {
            return Ok((storage, CloseReason::Unanswered));
        }
        let ephemeral = self.draw()?;
        let connection = self.draw()?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let attempt = self.calls.next(&host);
        let opening = attempt.map_or(Opening::XX, |attempt| attempt.opening);
        let handshake = Noise::initiator(&self.identity, *ephemeral, opening);
        let entropy = self.draw()?;
        let config = Config { handshake_us: HANDSHAKE_US, ..Config::default() };
        let callee = attempt.filter(|_| opening == Opening::IK).map(|attempt| self.calls.callee(attempt.key));
        let mut materials = Some((handshake, storage));
        self.observer.with_deep_stack(&mut || {
            if let Some((handshake, storage)) = materials.take() {
                match (&callee, attempt) {
                    (Some(callee), _) => call(place, &config, handshake, callee, connection, storage),
                    (None, Some(Attempt { key, .. })) => {
                        connect(place, &config, handshake, key, connection, storage);
                    }
                    (None, None) => approach(place, &config, handshake, connection, storage),
                }
            }
        });
        let session =
            place.first_mut().expect("it was put there just now, and the deep stack runs what it is given");
        let (width_max, height_max) = self.screen.size();
        let capabilities = Capabilities {
            colours: Colours::RGB565,
            width_max,
            height_max,
            picture_len_max: self.picture_len,
            ..Capabilities::of(self.screen.codecs())
        };
        if session.set_capabilities(capabilities).is_err() {
            return Err(Fault::Screen);
        }
        self.stage(host.key.map_or(Stage::Pairing, |_| Stage::Connecting), Some(host.address));
        let pairing = Pairing { own: self.identity.public(), window: &mut self.window, entropy: *entropy };
        let mut viewer = Viewer::new(
            &mut self.screen,
            (&mut self.input, &mut self.queue),
            &mut self.begun,
            &mut self.observer,
            Sign { own: self.identity.public(), host: Some(host.address), pin: None, pace: None },
            host.key.is_none().then_some(pairing),
        );
        let reason = run_client(socket, host.address, session, scratch, &mut viewer).await;
        let (fault, paired, token, is_let_in) = (viewer.fault, viewer.paired, viewer.token, viewer.is_let_in);
        self.pace = viewer.sign.pace;
        if let Some(fault) = fault {
            return Err(fault);
        }
        if let Some(Attempt { key, .. }) = attempt {
            self.calls.ended(key, reason, token);
            if is_let_in {
                self.begun.prove(key).map_err(Fault::Settings)?;
                self.keep_place(host.address)?;
            }
        }
        if let Some(key) = paired {
            self.window.paired();
            self.pin = None;
            self.begun.belong(host.address, key).map_err(Fault::Settings)?;
            self.observer.report(Report::Paired(key));
        }
        let mut back = None;
        self.observer.with_deep_stack(&mut || back = place.pop().map(Session::into_memory));
        Ok((back.expect("it was put there above, and nobody else has the place"), reason))
    }

    /// Whom to call next; `None`: nobody is known or found.
    async fn whom(&mut self, socket: &mut UdpSocket<'static>) -> Result<Option<PinnedHost>, Fault> {
        let known = self.begun.settings.host;
        if !self.finder.is_due(known.as_ref(), &self.calls) {
            return Ok(self.finder.known(known));
        }
        self.stage(Stage::Searching, None);
        let id = self.draw()?.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if self.bind(socket) {
            let observer = &mut self.observer;
            self.finder.search(socket, self.stack, id, known.as_ref(), || observer.alive()).await;
        }
        Ok(self.finder.choose(known))
    }

    /// Gives the socket a port for the next session: one that a way to the host was made for is kept.
    fn claim_port(&mut self, socket: &mut UdpSocket<'static>) -> bool {
        #[cfg(feature = "gateway")]
        if self.desk.take_way() {
            return true;
        }
        self.bind(socket)
    }

    /// The host has let the board in there.
    fn keep_place(&mut self, address: SocketAddr) -> Result<(), Fault> {
        #[cfg(feature = "gateway")]
        if self.desk.has_introduced() {
            // A NAT gives it another address each time, and nobody else may call there.
            return Ok(());
        }
        self.begun.moved(address).map_err(Fault::Settings)
    }

    /// Whether it belongs to no host yet, and may come to belong to one.
    fn is_unpaired(&self) -> bool {
        self.begun.settings.host.map_or(Finder::CAN_SEARCH, |host| host.key.is_none())
    }

    /// Gives the socket a port of its own for the next session. Ports from 49152 are never 0 and the socket is closed before,
    /// so it is never without one, in which nothing could be sent.
    fn bind(&mut self, socket: &mut UdpSocket<'static>) -> bool {
        socket.close();
        self.sessions = self.sessions.wrapping_add(1);
        socket.bind(PORT_FIRST + self.sessions % PORTS).is_ok()
    }

    fn draw(&mut self) -> Result<Zeroizing<[u8; 32]>, Fault> {
        self.begun.draws.draw().map_err(|_| Fault::NoEntropy)
    }

    /// Draws a PIN that a person may type at the host, unless the board belongs to one or has to wait.
    fn open_window(&mut self) -> Result<(), Fault> {
        if !self.is_unpaired() {
            return Ok(());
        }
        let drawn = self.draw()?;
        let pin = Pin::draw(*drawn.first_chunk().unwrap_or(&[0; 16]));
        if self.window.open(now(), pin.clone()).is_ok() {
            self.observer.report(Report::Pin(pin.digits()));
            self.pin = Some(pin);
        }
        Ok(())
    }

    fn stage(&mut self, stage: Stage, host: Option<SocketAddr>) {
        self.observer.report(Report::Stage(stage));
        let pin = self.pin.as_ref().map(Pin::digits);
        // What the last session was like is told with its end, and no longer.
        let pace = self.pace.take();
        let sign = Sign { own: self.identity.public(), host, pin, pace };
        show_stage(&mut self.screen, stage, &sign);
    }

    /// Waits, while what is done at the board is taken note of.
    async fn pause(&mut self, time: Duration) {
        let until = embassy_time::Instant::now() + time;
        while embassy_time::Instant::now() < until {
            let tick = until.min(embassy_time::Instant::now() + Duration::from_millis(ALIVE_MS));
            if let Either::First(event) = select(self.input.next(), Timer::at(tick)).await {
                self.queue.push(event);
            }
            self.observer.alive();
        }
    }

    /// Waits until somebody does something.
    async fn await_hands(&mut self) {
        loop {
            let tick = Timer::after_millis(ALIVE_MS);
            if let Either::First(event) = select(self.input.next(), tick).await {
                self.queue.push(event);
                return;
            }
            self.observer.alive();
        }
    }
}

/// A session with a host whose key is known. Neither this nor what follows is inlined: one session by value is enough for a
/// stack.
#[inline(never)]
fn connect(
    place: &mut Place,
    config: &Config,
    handshake: Noise,
    host: PublicKey,
    connection: u32,
    storage: &'static mut ThinStorage,
) {
    put(place, Session::connect(config, handshake, host, connection, storage, PathId(0), now()));
}

/// The same, a round trip sooner.
#[inline(never)]
fn call(
    place: &mut Place,
    config: &Config,
    handshake: Noise,
    callee: &Callee,
    connection: u32,
    storage: &'static mut ThinStorage,
) {
    put(place, Session::call(config, handshake, callee, connection, storage, PathId(0), now()));
}

/// A session with a host to pair with.
#[inline(never)]
fn approach(
    place: &mut Place,
    config: &Config,
    handshake: Noise,
    connection: u32,
    storage: &'static mut ThinStorage,
) {
    put(place, Session::approach(config, handshake, connection, storage, PathId(0), now()));
}

fn put(place: &mut Place, session: ThinSession) {
    let is_placed = place.push(session).is_ok();
    debug_assert!(is_placed, "the place was left empty");
}
