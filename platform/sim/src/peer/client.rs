//! A client on the simulated network.

use core::fmt;

use rift::{
    AddressToken, Audio, Callee, Channel, CloseReason, Config, Discard, Ecn, Event, Handshake, Identity,
    Instant, NoPictures, Noise, Opening, PathId, PictureId, PublicKey, SendError, Session, Storage, Timer,
};

use super::outbox::Outbox;
use super::{Parcel, Typist, earlier};
use crate::network::Host;
use crate::packet::{NodeId, Packet};
use crate::picture::{DecodeError, Decoder};
use crate::random::Random;

/// Pictures in reassembly at once.
const PICTURES: usize = 8;
/// Datagrams that wait for a client that stands still; further ones are lost, as in a socket's buffer.
const SOCKET_MAX: usize = 256;
/// The longest picture, parity included.
const PICTURE_LEN_MAX: usize = 512 * 1024;

type ClientMemory = Storage<Vec<u8>, 1024, 1024, PICTURES, 4096, 4096, 1275>;

/// A picture that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When.
    pub at: Instant,
    /// Which.
    pub id: PictureId,
    /// Whether parity restored a part of it.
    pub repaired: bool,
}

/// A client that connects once and shows what comes.
pub struct ClientPeer<H: Handshake = Noise> {
    session: Session<Box<ClientMemory>, H>,
    host: NodeId,
    outbox: Outbox,
    random: Random,
    /// It stands still until then, and what comes waits in its socket, each with the time it came at.
    stopped_until: Option<Instant>,
    socket: Vec<(Instant, Packet)>,
    /// Addresses of paths beside the first, which leaves from the node's own.
    places: Vec<(PathId, NodeId)>,
    decoder: Decoder,
    /// Who produces input, if anybody does.
    pub typist: Option<Typist>,
    /// What it sends to the host, if anything.
    pub parcel: Option<Parcel>,
    /// The newest token the host gave for the next call.
    pub token: Option<AddressToken>,
    /// Everything shown.
    pub shown: Vec<Shown>,
    /// Pictures the decoder refused.
    pub refused: Vec<DecodeError>,
    /// What was to be heard, with the bytes of packets.
    pub heard: Vec<(Instant, Audio, Vec<u8>)>,
    /// What happened, pictures and bytes aside.
    pub events: Vec<(Instant, Event)>,
    /// Bytes of the control stream.
    pub control: Vec<u8>,
    /// Bytes of the cursor stream.
    pub cursors: Vec<u8>,
    /// Bytes of the clipboard and the file stream.
    pub bulk: [Vec<u8>; 2],
    /// Why datagrams were discarded.
    pub discards: Vec<Discard>,
}

impl ClientPeer {
    /// A client of this identity that calls the host of this key at `node`.
    #[must_use]
    pub fn new(
        config: &Config,
        identity: &Identity,
        host: PublicKey,
        node: NodeId,
        random: &mut Random,
        now: Instant,
    ) -> Self {
        let handshake = Noise::initiator(identity, random.bytes32(), Opening::XX);
        Self::with_handshake(config, handshake, host, node, random, now)
    }

    /// A client of this identity that calls a host that it knows, at `node`.
    #[must_use]
    pub fn calling(
        config: &Config,
        identity: &Identity,
        callee: &Callee,
        node: NodeId,
        random: &mut Random,
        now: Instant,
    ) -> Self {
        let handshake = Noise::initiator(identity, random.bytes32(), Opening::IK);
        let connection = connection(random);
        let session = Session::call(config, handshake, callee, connection, memory(), PathId(0), now);
        Self::with_session(session, node, random.fork(0xc11e))
    }
}

impl<H: Handshake> ClientPeer<H> {
    /// Goes on with another session: the old one and what was decoded of it are gone, the log goes on.
    pub fn go_on_as(&mut self, again: Self) {
        (self.session, self.decoder, self.outbox) = (again.session, again.decoder, again.outbox);
        (self.host, self.places) = (again.host, again.places);
    }

    /// A client with a handshake of the caller's.
    #[must_use]
    pub fn with_handshake(
        config: &Config,
        handshake: H,
        host: PublicKey,
        node: NodeId,
        random: &mut Random,
        now: Instant,
    ) -> Self {
        let connection = connection(random);
        let session = Session::connect(config, handshake, host, connection, memory(), PathId(0), now);
        Self::with_session(session, node, random.fork(0xc11e))
    }

    fn with_session(session: Session<Box<ClientMemory>, H>, node: NodeId, random: Random) -> Self {
        Self {
            session,
            host: node,
            outbox: Outbox::new(),
            random,
            decoder: Decoder::new(),
            stopped_until: None,
            socket: Vec::new(),
            places: Vec::new(),
            typist: None,
            parcel: None,
            token: None,
            shown: Vec::new(),
            heard: Vec::new(),
            refused: Vec::new(),
            events: Vec::new(),
            control: Vec::new(),
            cursors: Vec::new(),
            bulk: [Vec::new(), Vec::new()],
            discards: Vec::new(),
        }
    }

    /// Opens path `id` from another of this node's addresses.
    ///
    /// # Errors
    /// The session's.
    pub fn open_path(&mut self, now: Instant, id: PathId, from: NodeId) -> Result<(), SendError> {
        self.session.open_path(now, id, self.random.bytes32())?;
        self.places.retain(|&(known, place)| known != id && place != from);
        self.places.push((id, from));
        Ok(())
    }

    /// What leaves from `before` leaves from `after` now: a NAT has changed it, and the client does not know.
    pub fn rebind(&mut self, before: NodeId, after: NodeId) {
        for (_, place) in self.places.iter_mut().filter(|(_, place)| *place == before) {
            *place = after;
        }
    }

    /// Stands still until then, as a process that was stopped: what comes waits, with the time that the kernel gave it.
    pub const fn stop_until(&mut self, until: Instant) {
        self.stopped_until = Some(until);
    }

    /// Its session.
    #[must_use]
    pub const fn session(&self) -> &Session<Box<ClientMemory>, H> {
        &self.session
    }

    /// Its session, to act on.
    pub const fn session_mut(&mut self) -> &mut Session<Box<ClientMemory>, H> {
        &mut self.session
    }

    /// Key pictures shown.
    #[must_use]
    pub const fn keys_shown(&self) -> u32 {
        self.decoder.keys()
    }

    /// Why the session ended, if it did.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.events
            .iter()
            .find_map(|&(_, event)| if let Event::Closed(reason) = event { Some(reason) } else { None })
    }

    /// What its session waits for.
    pub fn timer(&mut self) -> Option<(Instant, Timer)> {
        self.session.poll_timeout()
    }

    /// Takes a datagram and what follows from it.
    ///
    /// # Errors
    /// Why the session discarded it.
    pub fn receive(
        &mut self,
        now: Instant,
        to: NodeId,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        self.receive_late(now, now, to, ecn, datagram)
    }

    /// Takes a datagram that waited since `received_at`.
    fn receive_late(
        &mut self,
        now: Instant,
        received_at: Instant,
        to: NodeId,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let path = self.places.iter().find(|(_, place)| *place == to).map_or(PathId(0), |&(id, _)| id);
        let result = self.session.handle_datagram(now, path, received_at, ecn, datagram);
        self.handle_events(now);
        result
    }

    fn handle_events(&mut self, now: Instant) {
        if self.session.wants_entropy() {
            self.session.add_entropy(now, self.random.bytes32());
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Picture(id) = event {
                self.show(now, id);
            } else if let Event::AddressToken(token) = event {
                self.token = Some(token);
            } else if event == Event::Audio {
                self.listen(now);
            } else if event == Event::Readable(Channel::Control) {
                read(&mut self.session, Channel::Control, &mut self.control);
            } else if event == Event::Readable(Channel::Cursor) {
                read(&mut self.session, Channel::Cursor, &mut self.cursors);
            } else if event == Event::Readable(Channel::Clipboard) {
                read(&mut self.session, Channel::Clipboard, &mut self.bulk[0]);
            } else if event == Event::Readable(Channel::File) {
                read(&mut self.session, Channel::File, &mut self.bulk[1]);
            } else {
                self.events.push((now, event));
            }
        }
    }

    fn listen(&mut self, now: Instant) {
        let mut bytes = [0; 1275];
        while let Some(audio) = self.session.read_audio(now, &mut bytes) {
            let packet =
                if let Audio::Packet { len, .. } = audio { bytes[..len].to_vec() } else { Vec::new() };
            self.heard.push((now, audio, packet));
        }
    }

    fn show(&mut self, now: Instant, id: PictureId) {
        let Some(media) = self.session.media(id) else {
            self.refused.push(DecodeError::Damaged);
            return;
        };
        let repaired = media.repaired;
        match self.decoder.decode(media.payload) {
            Ok(number) if PictureId(number) == id => self.shown.push(Shown { at: now, id, repaired }),
            Ok(_) => self.refused.push(DecodeError::Damaged),
            Err(error) => {
                self.refused.push(error);
                self.session.want_repair(now);
            }
        }
        self.session.release_media(id);
    }

    fn work(&mut self, now: Instant) {
        if let Some(typist) = &mut self.typist {
            let session = &mut self.session;
            typist.work(now, |event| session.send_input(now, event));
        }
        if let Some(parcel) = &mut self.parcel {
            parcel.work(now, &mut self.session);
        }
    }
}

fn memory() -> Box<ClientMemory> {
    let mut memory = Box::new(ClientMemory::new());
    for index in 0..PICTURES {
        memory.lend(index, vec![0; PICTURE_LEN_MAX]);
    }
    memory
}

fn connection(random: &mut Random) -> u32 {
    u32::try_from(random.next_u64() >> 32).expect("the upper half has 32 bits")
}

fn read<H: Handshake>(session: &mut Session<Box<ClientMemory>, H>, channel: Channel, out: &mut Vec<u8>) {
    let mut bytes = [0; 512];
    loop {
        let count = session.read(channel, &mut bytes);
        if count == 0 {
            return;
        }
        out.extend_from_slice(&bytes[..count]);
    }
}

impl<H: Handshake> Host for ClientPeer<H> {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        if self.stopped_until.is_some() {
            if self.socket.len() < SOCKET_MAX {
                self.socket.push((now, packet.clone()));
            }
            return;
        }
        if let Err(discard) = self.receive(now, packet.to, packet.ecn, &mut packet.bytes) {
            self.discards.push(discard);
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        if self.stopped_until.is_some() {
            return false;
        }
        if self.outbox.take(packet) {
            return true;
        }
        self.work(now);
        let transmit = self.session.poll_transmit(now, &NoPictures, self.outbox.buffer());
        self.handle_events(now);
        let Some(transmit) = transmit else { return false };
        self.outbox.fill(&transmit, self.host);
        let place = self.places.iter().find(|(id, _)| *id == transmit.path);
        self.outbox.leave_from(place.map(|&(_, place)| place));
        self.outbox.take(packet)
    }

    fn next_wake(&mut self) -> Option<Instant> {
        if self.stopped_until.is_some() {
            return self.stopped_until;
        }
        let typist = self.typist.as_ref().and_then(Typist::next_at);
        let typist = typist.filter(|_| self.session.permissions().is_some() && self.session.is_established());
        earlier(self.session.poll_timeout().map(|(at, _)| at), typist)
    }

    fn handle_wake(&mut self, now: Instant) {
        if self.stopped_until.is_some_and(|until| now < until) {
            return;
        }
        self.stopped_until = None;
        for (received_at, mut packet) in core::mem::take(&mut self.socket) {
            let result = self.receive_late(now, received_at, packet.to, packet.ecn, &mut packet.bytes);
            self.discards.extend(result.err());
        }
        self.session.handle_timeout(now);
        self.handle_events(now);
    }
}

impl<H: Handshake> fmt::Debug for ClientPeer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPeer").field("session", &self.session).finish_non_exhaustive()
    }
}
