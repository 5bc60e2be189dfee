//! Who watches and who shares, whatever drives their sessions.

use rift::{
    CloseReason, Codec, Config, Event, Identity, InputEvent, Instant, Memory, Noise, Opening, PathId,
    Permissions, PictureId, PictureInfo, Pictures, PublicKey, Rectangle, RectangleData, Scancode, Session,
    Storage, StreamParameters,
};
use rift_sim::Random;
use rift_sim::picture::{DecodeError, Decoder, Encoder};

/// The memory of a watching board: within the 96 KiB it may use beside its picture buffers.
pub type ThinStorage = Storage<Vec<u8>, 256, 512, 2, 4096>;
/// The memory of a sharing board, and the watching side's when it only sends.
pub type HostStorage = Storage<Vec<u8>, 512, 512, 0, 4096>;

/// Bytes of a picture buffer: a key picture with its parity.
const BUFFER_LEN: usize = 120_000;
/// Bytes of a usual picture; a key picture has five times as many.
const PICTURE_LEN: usize = 6_000;
const PICTURE_PERIOD_US: u64 = 16_000;
const KEY_PERIOD_US: u64 = 7_000;

/// Pictures a watcher wants to see.
pub const PICTURES: u32 = 40;
/// Keys a watcher presses and releases.
pub const KEYS: usize = 60;

/// The host's identity.
#[must_use]
pub fn host_identity() -> Identity {
    Identity::from_secret([2; 32])
}

fn client_identity() -> Identity {
    Identity::from_secret([1; 32])
}

/// A session that asks for [`host_identity`].
#[must_use]
pub fn session<M: Memory>(seed: u64, memory: M, now: Instant) -> Session<M, Noise> {
    let handshake = Noise::initiator(&client_identity(), Random::new(seed).fork(7).bytes32(), Opening::XX);
    let connection = u32::try_from(seed & 0xffff).expect("16 bits") + 1;
    Session::connect(
        &Config::default(),
        handshake,
        host_identity().public(),
        connection,
        memory,
        PathId(0),
        now,
    )
}

/// The memory of a watching board, with its picture buffers.
#[must_use]
pub fn thin_memory() -> Box<ThinStorage> {
    let mut storage = Box::new(ThinStorage::new());
    for index in 0..2 {
        assert!(storage.lend(index, vec![0; BUFFER_LEN]).is_none(), "new storage has no buffers");
    }
    storage
}

/// Event number `index` of what a watcher types: each key is pressed, then released.
#[must_use]
pub fn typed(index: usize) -> InputEvent {
    let code = u16::try_from(2 + index / 2 % 100).expect("a key's code");
    InputEvent::Key { key: Scancode::new(code).expect("a key's code"), pressed: index.is_multiple_of(2) }
}

/// The key an event is about.
fn key(event: &InputEvent) -> Option<Scancode> {
    if let InputEvent::Key { key, .. } = event { Some(*key) } else { None }
}

/// Watches and types, then says goodbye.
#[derive(Debug)]
pub struct Watcher {
    random: Random,
    decoder: Decoder,
    shown: u32,
    typed: usize,
    next_key: Option<Instant>,
    damaged: Vec<DecodeError>,
    /// Why the session ended, once it has.
    pub closed: Option<CloseReason>,
}

impl Watcher {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            random: Random::new(8),
            decoder: Decoder::new(),
            shown: 0,
            typed: 0,
            next_key: None,
            damaged: Vec::new(),
            closed: None,
        }
    }

    /// Takes an event.
    pub fn event<M: Memory>(&mut self, now: Instant, session: &mut Session<M, Noise>, event: Event) {
        if event == Event::EntropyWanted {
            session.add_entropy(now, self.random.bytes32());
        } else if let Event::Admitted(_) = event {
            self.next_key = Some(now);
        } else if let Event::Picture(id) = event {
            let decoded = session.media(id).map(|media| self.decoder.decode(media.payload));
            match decoded {
                Some(Ok(_)) => self.shown += 1,
                Some(Err(DecodeError::MissingReference(_))) => session.want_repair(now),
                Some(Err(error)) => self.damaged.push(error),
                None => self.damaged.push(DecodeError::Damaged),
            }
            session.release_media(id);
        } else if let Event::Closed(reason) = event {
            self.closed = Some(reason);
        }
    }

    /// Types, and says goodbye when all is seen and heard.
    pub fn work<M: Memory>(&mut self, now: Instant, session: &mut Session<M, Noise>) {
        if let Some(due) = self.next_key
            && due <= now
            && self.typed < 2 * KEYS
            && session.send_input(now, typed(self.typed)).is_ok()
        {
            self.typed += 1;
            self.next_key = Some(now.plus_micros(KEY_PERIOD_US));
        }
        let is_done = self.shown >= PICTURES && self.typed == 2 * KEYS && session.input_backlog() == 0;
        if is_done && session.is_established() {
            session.close(now, CloseReason::Done);
        }
    }

    /// What is wrong with what was seen.
    ///
    /// # Errors
    /// In words.
    pub fn verdict(&self) -> Result<(), String> {
        let is_right = self.shown >= PICTURES && self.damaged.is_empty();
        if is_right && self.closed == Some(CloseReason::Local) {
            return Ok(());
        }
        Err(format!("{self:?}"))
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}

/// Shares pictures and takes down what is typed.
#[derive(Debug)]
pub struct Sharer {
    random: Random,
    encoder: Encoder,
    coded: Vec<u8>,
    /// Where the pictures lie.
    pub pictures: Pictures<Vec<u8>, 8>,
    next_picture: Instant,
    is_watched: bool,
    got: Vec<InputEvent>,
    /// Why the session ended, once it has.
    pub closed: Option<CloseReason>,
}

impl Sharer {
    /// Nothing shared yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        Self {
            encoder: Encoder::new(random.fork(1)),
            random: random.fork(2),
            coded: Vec::new(),
            pictures: Pictures::new([(); 8].map(|()| vec![0; BUFFER_LEN])),
            next_picture: Instant::ZERO,
            is_watched: false,
            got: Vec::new(),
            closed: None,
        }
    }

    /// The answering side of a new handshake.
    pub fn responder(&mut self, opening: Opening) -> Noise {
        Noise::responder(&host_identity(), self.random.bytes32(), opening)
    }

    /// What a peer that has proven this key may do; `None` = nothing.
    #[must_use]
    pub fn permissions(peer: PublicKey) -> Option<Permissions> {
        (peer == client_identity().public()).then(Permissions::default_control)
    }

    /// Takes an event.
    pub fn event<M: Memory>(&mut self, now: Instant, session: &mut Session<M, Noise>, event: Event) {
        if event == Event::EntropyWanted {
            session.add_entropy(now, self.random.bytes32());
        } else if let Event::Authenticated(_) = event {
            let parameters =
                StreamParameters { width: 640, height: 360, rate_millihertz: 60_000, codec: Codec::H264 };
            session.set_stream(PictureId(1), parameters).expect("the session is established");
            self.is_watched = true;
        } else if let Event::RepairWanted { after } = event {
            match after {
                Some(id) => self.encoder.invalidate(id.0 + 1),
                None => self.encoder.request_key(),
            }
        } else if let Event::Input(event) = event {
            // A host that hears nothing lets go by itself (SPEC §10.4), and the client's own release follows.
            let is_again = self.got.iter().rev().find(|got| key(got) == key(&event)) == Some(&event);
            if !is_again {
                self.got.push(event);
            }
        } else if let Event::Closed(reason) = event {
            self.is_watched = false;
            self.closed = Some(reason);
        }
    }

    /// Captures and sends a picture, if one is due.
    pub fn work<M: Memory>(&mut self, now: Instant, session: &mut Session<M, Noise>) {
        if !self.is_watched || now < self.next_picture || session.video_backlog_bytes() > 0 {
            return;
        }
        self.next_picture = now.plus_micros(PICTURE_PERIOD_US);
        let made = self.encoder.encode(PICTURE_LEN, 1.0, &mut self.coded);
        let info = PictureInfo {
            id: PictureId(made.number),
            reference: made.reference.map(PictureId),
            captured_at: now,
            encoded_at: now,
        };
        let place = Rectangle::sized(640, 360);
        let rectangle = RectangleData { place, codec: Codec::H264, parts: &[&self.coded] };
        let picture = self.pictures.push(&info, &[rectangle]).expect("a picture fits its buffer");
        if session.send_picture(now, picture).is_err() {
            self.encoder.request_key();
        }
    }

    /// What is wrong with what was typed.
    ///
    /// # Errors
    /// In words.
    pub fn verdict(&self) -> Result<(), String> {
        let wanted: Vec<InputEvent> = (0..2 * KEYS).map(typed).collect();
        if self.got == wanted && self.closed == Some(CloseReason::Done) {
            return Ok(());
        }
        Err(format!(
            "{} of {} events, closed {:?}: {:?}",
            self.got.len(),
            wanted.len(),
            self.closed,
            self.got
        ))
    }
}
