//! A host that draws.

use core::net::SocketAddr;

use rift::{
    Codec, Config, Event, Identity, InputEvent, Instant, Noise, Opening, Permissions, PictureId, PictureInfo,
    Pictures, PublicKey, Rectangle, RectangleData, Session, StreamParameters,
};
use rift_hal::{Frame, PixelFormat, Plane};
use rift_jpeg::JpegEncoder;
use rift_sim::Random;
use rift_smoltcp::{Decision, HostApplication};
use rift_tiles::{Encoder, Grid, Parts as EncoderParts, Request, Rgb565, Sizes, TileRecord, TileSet};
use wavry_interop::parties::{HostStorage, host_identity};

use super::{FRAME_LEN, HEIGHT, PHOTO, WIDTH};

/// An encoder's memory.
struct Vectors(Vec<u32>, Vec<TileRecord>, Vec<u32>, Vec<u32>, Vec<u32>);

impl rift_tiles::Memory for Vectors {
    fn parts(&mut self) -> EncoderParts<'_> {
        let Self(shown, tiles, block, cells, moves) = self;
        EncoderParts { shown, tiles, block, cells, moves }
    }
}

/// Shares what it draws, and takes down what is typed.
pub(crate) struct Sharer {
    /// Who it says it is.
    pub(crate) identity: Identity,
    random: Random,
    encoder: Encoder<Rgb565, Vectors>,
    pictures: Pictures<Vec<u8>, 8>,
    jpeg: JpegEncoder,
    pub(crate) frame: Vec<u8>,
    id: u32,
    /// The next picture tells again what was lost.
    mends: bool,
    pub(crate) is_watched: bool,
    pub(crate) got: Vec<InputEvent>,
}

impl Sharer {
    pub(crate) fn new(seed: u64) -> Self {
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
            identity: host_identity(),
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
    pub(crate) fn draw(&mut self) {
        let (x, y) = (self.random.below(120) as usize, self.random.below(90) as usize);
        let colour = self.random.next_u64().to_le_bytes();
        for row in y..y + 30 {
            let at = (row * usize::from(WIDTH) + x) * 2;
            self.frame[at..at + 80].chunks_exact_mut(2).for_each(|pixel| pixel.copy_from_slice(&colour[..2]));
        }
    }

    pub(crate) fn work(&mut self, now: Instant, session: &mut Session<Box<HostStorage>, Noise>) {
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
        Noise::responder(&self.identity, self.random.bytes32(), opening)
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
