//! The client for boards, whole, in virtual time over a lossy cable: what a host draws is what it shows, what is typed at it
//! arrives, and it comes back when its host or its own power was gone.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

use embassy_futures::join::join;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use rift::{
    Codec, Config, Event, InputEvent, Instant, Noise, Opening, Permissions, PictureId, PictureInfo, Pictures,
    PublicKey, Rectangle, RectangleData, Scancode, Session, StreamParameters,
};
use rift_hal::{Decoder, Frame, PixelFormat, Plane};
use rift_jpeg::JpegEncoder;
use rift_sim::Random;
use rift_smoltcp::{Decision, HostApplication, HostDriver};
use rift_tiles::{Encoder, Grid, Parts as EncoderParts, Request, Rgb565, Sizes, TileRecord, TileSet};
use wavry_interop::board::{PORT, Place, network, set_clock, stack};
use wavry_interop::frames::Card;
use wavry_interop::parties::{HostStorage, host_identity};
use wavry_interop::{End, Wire};
use wavry_thin::{
    Entropy, InputSource, Memory, Observer, Parts, PinnedHost, Provision, Report, Room, Stage, State,
    Surface, WithEngine,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

const WIDTH: u16 = 160;
const HEIGHT: u16 = 120;
const FRAME_LEN: usize = WIDTH as usize * HEIGHT as usize * 2;
const STEP_US: u64 = 500;
const HANG_US: u64 = 60_000_000;
/// What is shown as JPEG now and then: the first tile.
const PHOTO: Rectangle = Rectangle { x: 0, y: 0, width: 64, height: 64 };
const HOST: Place = Place::new(0, 2);

type Shared<T> = Rc<RefCell<T>>;

/// A screen whose pixels the test sees.
struct Pixels(Vec<u8>, Shared<Vec<u8>>);

impl Surface for Pixels {
    fn size(&self) -> (u16, u16) {
        (WIDTH, HEIGHT)
    }

    fn stride(&self) -> usize {
        usize::from(WIDTH) * 2
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn written(&mut self, _: Rectangle) {
        self.1.borrow_mut().copy_from_slice(&self.0);
    }
}

/// An engine for JPEG, in software; counts what it decodes.
struct Engine {
    pixels: Vec<u8>,
    decoded: Shared<u32>,
}

#[derive(Debug, thiserror::Error)]
#[error("no JPEG")]
struct NoJpeg;

impl Decoder for Engine {
    type Error = NoJpeg;

    fn decode(&mut self, data: &[u8], captured_at: Instant) -> Result<Option<Frame<'_>>, NoJpeg> {
        let mut decoder = JpegDecoder::new(ZCursor::new(data));
        let rgb = decoder.decode().map_err(|_| NoJpeg)?;
        let (width, height) = decoder.dimensions().ok_or(NoJpeg)?;
        self.pixels = rgb.chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0], 0]).collect();
        *self.decoded.borrow_mut() += 1;
        let planes = [Plane { data: &self.pixels, stride: width * 4 }, Plane::EMPTY, Plane::EMPTY];
        let (width, height) = (width as u32, height as u32);
        Ok(Some(Frame::new(PixelFormat::Bgrx, width, height, planes, captured_at).map_err(|_| NoJpeg)?))
    }
}

struct Script(Shared<VecDeque<InputEvent>>);

impl InputSource for Script {
    async fn next(&mut self) -> InputEvent {
        loop {
            if let Some(event) = self.0.borrow_mut().pop_front() {
                return event;
            }
            embassy_time::Timer::after_millis(3).await;
        }
    }
}

struct Dice(Random);

impl Entropy for Dice {
    fn fill(&mut self, bytes: &mut [u8]) -> bool {
        self.0.fill(bytes);
        true
    }
}

struct Flash(Shared<Vec<u8>>);

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(&self.0.borrow()[at as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0.borrow_mut()[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.borrow_mut()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// Who the board said it is, how often it had started, and whether pictures show.
struct Log {
    starts: Shared<Vec<(PublicKey, u32)>>,
    is_watching: Shared<bool>,
    /// When it last said that it lives.
    alive_at: Instant,
}

impl Observer for Log {
    fn report(&mut self, report: Report<'_>) {
        if let Report::Identity(key, starts) = report {
            self.starts.borrow_mut().push((key, starts));
        } else if let Report::Stage(stage) = report {
            *self.is_watching.borrow_mut() = stage == Stage::Watching;
        }
    }

    /// A watchdog would have restarted a board that is silent for longer.
    fn alive(&mut self) {
        let now = rift_embassy::now();
        let silent_us = now.micros_since(self.alive_at);
        assert!(silent_us <= 1_000_000, "the watchdog heard nothing for {silent_us} µs");
        self.alive_at = now;
    }
}

/// A board that is switched on.
struct Board(Pin<Box<dyn Future<Output = ()>>>);

/// What the test keeps of a board.
#[derive(Clone)]
struct Seen {
    pixels: Shared<Vec<u8>>,
    typed: Shared<VecDeque<InputEvent>>,
    flash: Shared<Vec<u8>>,
    starts: Shared<Vec<(PublicKey, u32)>>,
    is_watching: Shared<bool>,
    /// Rectangles of JPEG that its engine was given.
    decoded: Shared<u32>,
}

impl Board {
    fn switch_on(seen: &Seen, end: End, seed: u64, now: Instant) -> Self {
        set_clock(now);
        let (stack, mut runner) = stack(end, Place::new(0, 1), seed);
        let parts = Parts {
            surface: WithEngine::new(
                Pixels(vec![0; FRAME_LEN], Rc::clone(&seen.pixels)),
                Codec::Jpeg,
                Engine { pixels: Vec::new(), decoded: Rc::clone(&seen.decoded) },
            ),
            input: Script(Rc::clone(&seen.typed)),
            entropy: Dice(Random::new(seed)),
            flash: Flash(Rc::clone(&seen.flash)),
            observer: Log {
                starts: Rc::clone(&seen.starts),
                is_watching: Rc::clone(&seen.is_watching),
                alive_at: now,
            },
        };
        let address = SocketAddr::from((HOST.address, PORT));
        let host = Some(PinnedHost { address, key: Some(host_identity().public()), successor: None });
        let buffer = || Box::leak(vec![0; 100_000].into_boxed_slice());
        let room = Room {
            memory: Box::leak(Box::new(Memory::new())),
            state: Box::leak(Box::new(State::new())),
            pictures: [buffer(), buffer()],
        };
        Self(Box::pin(async move {
            join(wavry_thin::run(parts, Provision { host }, stack, room), runner.run()).await;
        }))
    }

    fn step(&mut self, now: Instant) {
        set_clock(now);
        let ended = self.0.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(ended.is_pending(), "only a fault ends it");
    }
}

/// An encoder's memory.
struct Vectors(Vec<u32>, Vec<TileRecord>, Vec<u32>, Vec<u32>, Vec<u32>);

impl rift_tiles::Memory for Vectors {
    fn parts(&mut self) -> EncoderParts<'_> {
        let Self(shown, tiles, block, cells, moves) = self;
        EncoderParts { shown, tiles, block, cells, moves }
    }
}

/// Shares what it draws, and takes down what is typed.
struct Sharer {
    random: Random,
    encoder: Encoder<Rgb565, Vectors>,
    pictures: Pictures<Vec<u8>, 8>,
    jpeg: JpegEncoder,
    frame: Vec<u8>,
    id: u32,
    /// The next picture tells again what was lost.
    mends: bool,
    is_watched: bool,
    got: Vec<InputEvent>,
}

impl Sharer {
    fn new(seed: u64) -> Self {
        let grid = Grid::new(WIDTH, HEIGHT).expect("a size");
        let sizes = Sizes::of(grid);
        let words = |len| vec![0; len];
        let memory = Vectors(
            words(sizes.shown),
            vec![TileRecord::EMPTY; sizes.tiles],
            words(sizes.block),
            words(sizes.cells),
            words(sizes.moves),
        );
        Self {
            random: Random::new(seed),
            encoder: Encoder::new(grid, memory).expect("the memory is as large as it says"),
            pictures: Pictures::new([(); 8].map(|()| vec![0; 100_000])),
            jpeg: JpegEncoder::new(),
            frame: vec![0x55; FRAME_LEN],
            id: 0,
            mends: true,
            is_watched: false,
            got: Vec::new(),
        }
    }

    /// Something moves on the screen.
    fn draw(&mut self) {
        let (x, y) = (self.random.below(120) as usize, self.random.below(90) as usize);
        let colour = self.random.next_u64().to_le_bytes();
        for row in y..y + 30 {
            let at = (row * usize::from(WIDTH) + x) * 2;
            self.frame[at..at + 80].chunks_exact_mut(2).for_each(|pixel| pixel.copy_from_slice(&colour[..2]));
        }
    }

    fn work(&mut self, now: Instant, session: &mut Session<Box<HostStorage>, Noise>) {
        if !self.is_watched || session.video_backlog_bytes() > 0 {
            return;
        }
        let plane = Plane { data: &self.frame, stride: usize::from(WIDTH) * 2 };
        let planes = [plane, Plane::EMPTY, Plane::EMPTY];
        let frame =
            Frame::new(PixelFormat::Rgb565, WIDTH.into(), HEIGHT.into(), planes, now).expect("it fits");
        let is_lent =
            self.id.is_multiple_of(5) && session.capabilities().is_some_and(|can| can.can(Codec::Jpeg));
        let mut photo = Vec::new();
        if is_lent {
            // The first tile is shown as JPEG, and told exactly by the pictures that follow.
            self.jpeg.encode(&frame, PHOTO, 80, &mut photo).expect("it is a part of the frame");
            let grid = self.encoder.grid();
            let mut words = vec![0; TileSet::words(grid)];
            let mut set = TileSet::new(grid, &mut words).expect("there is room");
            set.insert(0);
            self.encoder.lend(self.id + 1, &frame, &set).expect("it is of the screen's size");
        }
        let id = self.id + 1;
        let request = Request { id, damage: None, soft_len: None, refines: !is_lent, checks: 2 };
        let mut bytes = vec![0; 90_000];
        let made = self.encoder.encode(&frame, &request, &mut bytes).expect("there is room");
        self.id += 1;
        // One that mends tells all that the viewer may lack; any other needs the one before.
        let reference = (!core::mem::take(&mut self.mends)).then(|| PictureId(self.id - 1));
        let info = PictureInfo { id: PictureId(self.id), reference, captured_at: now, encoded_at: now };
        let place = Rectangle::sized(WIDTH, HEIGHT);
        let tiles = RectangleData { place, codec: Codec::Tiles, parts: &[&bytes[..made.len]] };
        let jpeg = RectangleData { place: PHOTO, codec: Codec::Jpeg, parts: &[&photo] };
        let both = [jpeg, tiles];
        let picture = self.pictures.push(&info, if is_lent { &both } else { &both[1..] }).expect("it fits");
        if session.send_picture(now, picture).is_err() {
            self.encoder.restart();
            self.mends = true;
        }
    }
}

impl HostApplication<Box<HostStorage>, Noise> for Sharer {
    type Pictures = Pictures<Vec<u8>, 8>;

    fn pictures(&self) -> &Self::Pictures {
        &self.pictures
    }

    fn responder(&mut self, opening: Opening) -> Noise {
        Noise::responder(&host_identity(), self.random.bytes32(), opening)
    }

    fn established(&mut self, _: Instant, _: PublicKey, _: SocketAddr) -> Decision<Box<HostStorage>> {
        let memory = Box::new(HostStorage::new());
        Decision::Admit { config: Config::default(), memory, permissions: Permissions::default_control() }
    }

    fn event(&mut self, now: Instant, session: &mut Session<Box<HostStorage>, Noise>, event: Event) {
        if event == Event::EntropyWanted {
            session.add_entropy(now, self.random.bytes32());
        } else if let Event::Authenticated(_) = event {
            let parameters = StreamParameters {
                width: WIDTH,
                height: HEIGHT,
                rate_millihertz: 30_000,
                codec: Codec::Tiles,
            };
            session.set_stream(PictureId(self.id + 1), parameters).expect("established");
            self.encoder.restart();
            self.mends = true;
            self.is_watched = true;
        } else if let Event::RepairWanted { after } = event {
            self.encoder.repair(after.map_or(0, |after| after.0));
            self.mends = true;
        } else if let Event::Input(event) = event {
            self.got.push(event);
        } else if let Event::Closed(_) = event {
            self.is_watched = false;
        }
    }

    fn closed(&mut self, _: Box<HostStorage>) {}
}

type Driver = HostDriver<Card<End>, Box<HostStorage>, Noise>;

/// Draws, and types, until the board shows everything and everything has arrived.
fn live(
    board: &mut Board,
    host: &mut (Driver, Sharer),
    seen: &Seen,
    wire: &Shared<Wire>,
    now: &mut Instant,
    what: &str,
) {
    let typed: Vec<InputEvent> = (2..40)
        .flat_map(|code| [true, false].map(|pressed| (code, pressed)))
        .map(|(code, pressed)| InputEvent::Key { key: Scancode::new(code).expect("a key"), pressed })
        .collect();
    let (driver, sharer) = host;
    sharer.got.clear();
    let (begun, mut drawn, mut is_typed) = (*now, 0, false);
    loop {
        *now = now.plus_micros(STEP_US);
        wire.borrow_mut().advance(*now);
        // Only what is done while pictures show is for the host; those of a host that was killed show until it is missed.
        let is_watching = *seen.is_watching.borrow() && sharer.is_watched;
        if drawn < 30 && is_watching && now.micros_since(begun) > drawn * 40_000 {
            sharer.draw();
            drawn += 1;
        }
        if is_watching && !is_typed && drawn > 5 {
            seen.typed.borrow_mut().extend(&typed);
            is_typed = true;
        }
        if let Some(session) = driver.session() {
            sharer.work(*now, session);
        }
        let _ = driver.turn(*now, sharer);
        board.step(*now);
        if drawn == 30 && sharer.got == typed && *seen.pixels.borrow() == sharer.frame {
            eprintln!("{what}: {} ms", now.micros_since(begun) / 1000);
            return;
        }
        let wrong =
            seen.pixels.borrow().iter().zip(&sharer.frame).filter(|(one, other)| one != other).count();
        assert!(
            now.micros_since(begun) < HANG_US,
            "{what}: {drawn} drawn, {wrong} bytes differ, {} of {} events",
            sharer.got.len(),
            typed.len()
        );
    }
}

/// One test, since embassy's clock is one to a process.
#[test]
fn board_shows_what_is_drawn_and_comes_back_from_everything() {
    for (seed, loss) in [(1, 0.0), (2, 0.1)] {
        let mut now = rift_embassy::now().plus_micros(1_000);
        let seen = Seen {
            pixels: Rc::new(RefCell::new(vec![0; FRAME_LEN])),
            typed: Rc::default(),
            flash: Rc::new(RefCell::new(vec![0xff; 4096])),
            starts: Rc::default(),
            is_watching: Rc::default(),
            decoded: Rc::default(),
        };
        let host = |end, now| {
            let network = network(end, HOST, PORT, seed, now);
            (HostDriver::new(network, &host_identity().public(), [9; 32]), Sharer::new(seed))
        };
        let (wire, [one, other]) = Wire::new(seed, loss, 4_000);
        wire.borrow_mut().advance(now);
        let mut board = Board::switch_on(&seen, one, seed, now);
        let mut sharing = host(other, now);
        live(&mut board, &mut sharing, &seen, &wire, &mut now, "first");

        // The host is killed and started again.
        let (_, sharer) = sharing;
        let mut sharing = host(wavry_interop::frames::other_end(&wire), now);
        sharing.1.frame = sharer.frame;
        sharing.1.draw();
        live(&mut board, &mut sharing, &seen, &wire, &mut now, "the host is back");

        // The board's power goes, and comes back.
        drop(board);
        seen.pixels.borrow_mut().fill(0);
        *seen.is_watching.borrow_mut() = false;
        let end = wavry_interop::frames::first_end(&wire);
        let mut board = Board::switch_on(&seen, end, seed, now);
        live(&mut board, &mut sharing, &seen, &wire, &mut now, "the board is back");
        let starts = seen.starts.borrow();
        assert!(starts.len() == 2 && starts[0].0 == starts[1].0, "it is who it was: {starts:?}");
        assert_eq!((starts[0].1, starts[1].1), (1, 2));
        assert!(*seen.decoded.borrow() > 10, "its engine was used: {} times", seen.decoded.borrow());
    }
}
