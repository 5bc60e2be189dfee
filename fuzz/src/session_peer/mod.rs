//! A peer that has the keys and respects nothing, against a host's and against a client's session: neither panics, works
//! without end, hands out what was not granted, or leaves anything pressed (SPEC §6–§14).

mod frames;
mod watch;

use rift::crypto::Side;
use rift::limits::SIGNAL_LEN_MAX;
use rift::{
    Channel, CloseReason, Codec, Config, CursorPosition, Ecn, Instant, Memory, NoPictures, Permissions,
    PictureId, PictureInfo, Pictures, Rectangle, RectangleData, Session, StreamParameters,
};

use crate::bytes::Bytes;
use crate::known::Known;
use crate::pair::{self, Attacker, PATH, START};
use frames::Frames;
pub(crate) use frames::event;
use watch::Watch;

/// What an input begins with that attacks sessions of signalling alone: seven bits.
const SIGNALLING: u8 = 0x35;
/// Steps of one story: bounds its time.
const STEPS_MAX: usize = 400;

/// Plays a malicious client or host; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let shape = bytes.u8();
    let datagram_len = if shape & 1 == 1 { 1200 } else { 1452 };
    let config = Config { datagram_len, ..Config::default() };
    let is_against_host = bytes.flag();
    if shape >> 1 == SIGNALLING {
        let (client, host) = pair::signalling(&config);
        if is_against_host {
            against_host(host, SIGNAL_LEN_MAX, &mut bytes);
        } else {
            against_client(client, SIGNAL_LEN_MAX, &mut bytes);
        }
        return;
    }
    let (client, host) = pair::connected(&config);
    if is_against_host {
        against_host(host, pair::STREAM, &mut bytes);
    } else {
        against_client(client, pair::STREAM, &mut bytes);
    }
}

/// The world around the session that is attacked.
struct World {
    now: Instant,
    attacker: Attacker,
    frames: Frames,
    watch: Watch,
}

impl World {
    fn new(side: Side, connection: u32, window: usize) -> Self {
        Self {
            now: START,
            attacker: Attacker::of(side, connection),
            frames: Frames::default(),
            watch: Watch::new(side, window),
        }
    }

    /// Lets time pass: mostly little.
    fn pass(&mut self, bytes: &mut Bytes<'_>) {
        let micros = match bytes.u8() {
            short @ 0..=127 => u64::from(short) * 100,
            middle @ 128..=223 => u64::from(middle) * 1000,
            long => u64::from(long) * 10_000,
        };
        self.now = self.now.plus_micros(micros);
    }

    /// A packet of several frames, and the time at which the kernel is said to have got it.
    fn packet(&mut self, bytes: &mut Bytes<'_>) -> (Vec<u8>, Instant, Ecn) {
        let shape = bytes.u8();
        let mut text = Vec::new();
        for left in (0..=shape % 8).rev() {
            self.frames.append(bytes, self.now, &mut text, left == 0 && shape & 8 != 0);
        }
        let number = match shape >> 5 {
            0..=4 => self.attacker.next,
            5 => self.attacker.next + u64::from(bytes.u8()),
            6 => self.attacker.next.saturating_sub(bytes.u8().into()),
            _ => self.attacker.next + u64::from(bytes.u16()) * 64,
        };
        self.attacker.next = self.attacker.next.max(number + 1);
        let received_at = self.now.minus_micros(if shape & 16 != 0 { bytes.u16().into() } else { 0 });
        (self.attacker.seal(number, &text), received_at, Ecn::from_bits(shape))
    }
}

fn against_host<M: Memory>(mut host: Session<M, Known>, window: usize, bytes: &mut Bytes<'_>) {
    let mut world = World::new(Side::Responder, host.connection(), window);
    let mut pictures = Pictures::new([const { Vec::new() }; 4].map(|_: Vec<u8>| vec![0; 6000]));
    let mut newest = PictureId(0);
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        match bytes.below(16) {
            0..=7 => attack(&mut host, &mut world, bytes),
            8 => world.pass(bytes),
            9 => {
                let permissions = permissions(bytes);
                world.watch.admit(permissions, host.is_established());
                host.admit(world.now, permissions);
            }
            10 => {
                let parameters = StreamParameters {
                    width: 640,
                    height: 480,
                    rate_millihertz: bytes.u32(),
                    codec: Codec::H264,
                };
                let _ = host.set_stream(PictureId(newest.0 + 1), parameters);
            }
            11 | 12 => newest = show(&mut host, &mut pictures, newest, bytes, world.now),
            13 => converse(&mut host, window, bytes, world.now),
            14 => {
                let cursor =
                    CursorPosition { x: bytes.u8().into(), y: 0, visible: true, shape: bytes.u8().into() };
                let _ = host.send_cursor(world.now, cursor);
            }
            _ => {
                if bytes.below(8) == 0 {
                    host.close(world.now, CloseReason::Revoked);
                    world.watch.closed_here();
                }
            }
        }
        host.handle_timeout(world.now);
        world.watch.settle(&mut host, world.now, &pictures, &mut world.attacker);
    }
    end(&mut host, &mut world, &pictures);
}

fn against_client<M: Memory>(mut client: Session<M, Known>, window: usize, bytes: &mut Bytes<'_>) {
    let mut world = World::new(Side::Initiator, client.connection(), window);
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        match bytes.below(16) {
            0..=8 => attack(&mut client, &mut world, bytes),
            9 | 10 => world.pass(bytes),
            11 | 12 => {
                let event = event(bytes);
                let _ = client.send_input(world.now, event);
            }
            13 => converse(&mut client, window, bytes, world.now),
            14 => match bytes.below(4) {
                0 => client.want_repair(world.now),
                1 => drop(client.release_input(world.now)),
                2 => world.watch.hold_pictures = bytes.flag(),
                _ => world.watch.return_pictures(&mut client),
            },
            _ => {
                if bytes.below(8) == 0 {
                    client.close(world.now, CloseReason::Done);
                    world.watch.closed_here();
                }
            }
        }
        client.handle_timeout(world.now);
        world.watch.settle(&mut client, world.now, &NoPictures, &mut world.attacker);
        world.watch.look_at_pictures(&mut client, world.now);
    }
    end(&mut client, &mut world, &NoPictures);
}

/// One datagram of the attacker.
fn attack<M: Memory>(session: &mut Session<M, Known>, world: &mut World, bytes: &mut Bytes<'_>) {
    let (mut datagram, received_at, ecn) = world.packet(bytes);
    let before = session.stats(world.now);
    let result = session.handle_datagram(world.now, PATH, received_at, ecn, &mut datagram);
    let after = session.stats(world.now);
    let discarded = [
        after.discarded_authentication - before.discarded_authentication,
        after.discarded_malformed - before.discarded_malformed,
        after.discarded_no_room - before.discarded_no_room,
        after.discarded_replay - before.discarded_replay,
    ];
    assert_eq!(discarded.iter().sum::<u64>(), u64::from(result.is_err()), "each discard is counted once");
    assert_eq!(discarded[0], 0, "what the peer sealed opens");
}

/// Everything passes: the session is over, and nothing is pressed any more.
fn end<M: Memory>(session: &mut Session<M, Known>, world: &mut World, pictures: &impl rift::PictureStore) {
    for _ in 0..4 {
        world.now = world.now.plus_micros(6_000_000);
        session.handle_timeout(world.now);
        world.watch.settle(session, world.now, pictures, &mut world.attacker);
    }
    assert!(session.is_closed(), "a silent peer's session ends (SPEC §6.2)");
    world.watch.must_be_over();
}

fn permissions(bytes: &mut Bytes<'_>) -> Permissions {
    match bytes.u8() {
        0..=95 => Permissions::default_control(),
        96..=127 => Permissions::view_only(),
        128..=143 => Permissions::POINTER,
        144.. => Permissions::from_bits_truncate(bytes.u16().into()),
    }
}

/// The application writes to and reads from a stream.
fn converse<M: Memory>(session: &mut Session<M, Known>, window: usize, bytes: &mut Bytes<'_>, now: Instant) {
    let channel = Channel::ALL[bytes.below(Channel::ALL.len())];
    let mut text = [0x55; 700];
    let count = usize::from(bytes.u16()) % text.len();
    let waiting = session.readable(channel);
    if bytes.flag() {
        assert_eq!(session.read(channel, &mut text[..count]), count.min(waiting), "as much as there is");
    } else if let Ok(written) = session.write(now, channel, &text[..count]) {
        assert!(written <= count && written <= window, "no more than there is room for");
    }
}

/// The host's application encodes a picture.
fn show<M: Memory>(
    host: &mut Session<M, Known>,
    pictures: &mut Pictures<Vec<u8>, 4>,
    newest: PictureId,
    bytes: &mut Bytes<'_>,
    now: Instant,
) -> PictureId {
    let id = PictureId(newest.0 + 1);
    let content = vec![bytes.u8(); usize::from(bytes.u16()) % 5900];
    let reference = (bytes.u8() < 200).then_some(newest).filter(|id| id.0 > 0);
    let rectangle =
        RectangleData { place: Rectangle::sized(640, 480), codec: Codec::H264, parts: &[&content] };
    let info = PictureInfo { id, reference, captured_at: now.minus_micros(3000), encoded_at: now };
    let picture = pictures.push(&info, &[rectangle]).expect("it fits a slot");
    let _ = host.send_picture(now, picture);
    id
}
