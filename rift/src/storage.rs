//! Every byte a session uses beside its own fields, owned by the caller.
//!
//! [`Storage`] has its capacities in its type and can be a `static`; a session takes anything that leads to one:
//! `&mut Storage` on a board, `Box<Storage>` where there is a heap. Impossible capacities do not compile.

use core::marker::PhantomData;
use core::ops::DerefMut;

use crate::channel::audio::AudioRings;
use crate::channel::video::incoming::PictureSlot;
use crate::fec::{MulAdd, Portable};
use crate::flight::Recorder;
use crate::limits::{AUDIO_KEPT_MAX, AUDIO_RECEIVED_MAX, SIGNAL_LEN_MAX};
use crate::profile::{Full, Profile, Signalling};
use crate::session::arrivals::ArrivedPacket;
use crate::session::sent::SentPacket;
use crate::wire::stream::Channel;

/// The two rings of one reliable stream.
#[derive(Debug)]
pub struct StreamRings<'m> {
    /// Bytes written and not yet acknowledged.
    pub send: &'m mut [u8],
    /// Bytes received and not yet read.
    pub receive: &'m mut [u8],
}

/// Where a session finds its memory. Lengths must not change while a session holds it.
pub trait Memory {
    /// Holds one picture while it is reassembled: `Vec<u8>` on std, `&'static mut [u8]` on a board.
    type Buffer: AsRef<[u8]> + AsMut<[u8]>;
    /// What multiplies where parity is made and used: the machine's vector units, or the core's portable code.
    type Kernel: MulAdd + Default;
    /// What the session is for.
    type Profile: Profile;
    /// How many [`Self::pictures`] there are.
    const PICTURES: usize;

    /// What was sent and not yet accounted for; a power of two long.
    fn sent(&mut self) -> &mut [SentPacket];
    /// When packets arrived; a power of two long.
    fn arrivals(&mut self) -> &mut [ArrivedPacket];
    /// Pictures being reassembled or lent; may be empty for a side that receives none.
    fn pictures(&mut self) -> &mut [PictureSlot<Self::Buffer>];
    /// The same, to look at.
    fn pictures_ref(&self) -> &[PictureSlot<Self::Buffer>];
    /// The rings of a stream.
    fn stream(&mut self, channel: Channel) -> StreamRings<'_>;
    /// Where audio packets lie.
    fn audio(&mut self) -> AudioRings<'_>;

    /// What was sent, and where the session's flight record goes: nowhere, but for memory that says otherwise.
    fn flight(&mut self) -> (&mut [SentPacket], Recorder<'_>) {
        (self.sent(), Recorder::NONE)
    }
}

/// The memory of one session.
///
/// - `SENT`, `ARRIVALS`: packets remembered each way; powers of two, at least 64, or 32 where only messages go. They must span a round trip and
///   the feedback interval at the highest packet rate, or losses are assumed where there were none.
/// - `PICTURES`: pictures in reassembly or lent; 0 for a side that only sends.
/// - `STREAM`: bytes of each ring of the control stream.
/// - `BULK`: bytes of each ring of the clipboard and the file stream, which bound what they carry in a round trip; 64
///   where nobody copies.
/// - `AUDIO`: bytes of the longest audio packet; 0 where nobody listens. Room for 20 of them is taken.
/// - `K`: what multiplies for the erasure code; it takes no room.
/// - `P`: what the session is for.
/// - `CURSOR`: bytes of each ring of the cursor stream where it is not as the control stream.
#[derive(Debug)]
pub struct Storage<
    B,
    const SENT: usize,
    const ARRIVALS: usize,
    const PICTURES: usize,
    const STREAM: usize,
    const BULK: usize = STREAM,
    const AUDIO: usize = 0,
    K = Portable,
    P = Full,
    const CURSOR: usize = STREAM,
> {
    kind: PhantomData<fn() -> (K, P)>,
    sent: [SentPacket; SENT],
    arrivals: [ArrivedPacket; ARRIVALS],
    pictures: [PictureSlot<B>; PICTURES],
    control: [[u8; STREAM]; 2],
    cursor: [[u8; CURSOR]; 2],
    bulk: [[[u8; BULK]; 2]; 2],
    audio_sent: [[u8; AUDIO]; AUDIO_KEPT_MAX],
    audio_received: [[u8; AUDIO]; AUDIO_RECEIVED_MAX],
}

/// The memory of a session that carries signalling and nothing else: a device's with its gateway, either side of it. Its
/// control stream takes the longest message at once.
pub type SignalStorage = Storage<[u8; 0], 32, 32, 0, SIGNAL_LEN_MAX, 64, 0, Portable, Signalling, 64>;

impl<
    B,
    const SENT: usize,
    const ARRIVALS: usize,
    const PICTURES: usize,
    const STREAM: usize,
    const BULK: usize,
    const AUDIO: usize,
    K,
    P: Profile,
    const CURSOR: usize,
> Storage<B, SENT, ARRIVALS, PICTURES, STREAM, BULK, AUDIO, K, P, CURSOR>
{
    /// Empty memory; pictures have no buffers yet, see [`Self::lend`].
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(SENT.is_power_of_two() && SENT >= P::PACKETS_MIN, "SENT is a ring");
            assert!(ARRIVALS.is_power_of_two() && ARRIVALS >= P::PACKETS_MIN, "ARRIVALS is a ring");
            assert!(PICTURES < 256, "pictures are searched one by one");
            assert!(STREAM >= 64 && STREAM <= u16::MAX as usize * 16, "a stream's window");
            assert!(CURSOR >= 64 && CURSOR <= u16::MAX as usize * 16, "a stream's window");
            assert!(BULK >= 64 && BULK <= u16::MAX as usize * 256, "a stream's window");
        }
        Self {
            kind: PhantomData,
            sent: [SentPacket::EMPTY; SENT],
            arrivals: [ArrivedPacket::EMPTY; ARRIVALS],
            pictures: [const { PictureSlot::EMPTY }; PICTURES],
            control: [[0; STREAM]; 2],
            cursor: [[0; CURSOR]; 2],
            bulk: [[[0; BULK]; 2]; 2],
            audio_sent: [[0; AUDIO]; AUDIO_KEPT_MAX],
            audio_received: [[0; AUDIO]; AUDIO_RECEIVED_MAX],
        }
    }

    /// Gives picture slot `index` the buffer it reassembles in; its length bounds a picture with its parity.
    /// Returns the buffer it had, or the new one when there is no such slot.
    pub fn lend(&mut self, index: usize, buffer: B) -> Option<B> {
        match self.pictures.get_mut(index) {
            Some(slot) => slot.lend(buffer),
            None => Some(buffer),
        }
    }
}

impl<
    B,
    const SENT: usize,
    const ARRIVALS: usize,
    const PICTURES: usize,
    const STREAM: usize,
    const BULK: usize,
    const AUDIO: usize,
    K,
    P: Profile,
    const CURSOR: usize,
> Default for Storage<B, SENT, ARRIVALS, PICTURES, STREAM, BULK, AUDIO, K, P, CURSOR>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<
    D,
    B,
    const SENT: usize,
    const ARRIVALS: usize,
    const PICTURES: usize,
    const STREAM: usize,
    const BULK: usize,
    const AUDIO: usize,
    K,
    P: Profile,
    const CURSOR: usize,
> Memory for D
where
    D: DerefMut<Target = Storage<B, SENT, ARRIVALS, PICTURES, STREAM, BULK, AUDIO, K, P, CURSOR>>,
    B: AsRef<[u8]> + AsMut<[u8]> + 'static,
    K: MulAdd + Default + 'static,
    P: Profile + 'static,
{
    type Buffer = B;
    type Kernel = K;
    type Profile = P;
    const PICTURES: usize = PICTURES;

    fn sent(&mut self) -> &mut [SentPacket] {
        &mut self.deref_mut().sent
    }

    fn arrivals(&mut self) -> &mut [ArrivedPacket] {
        &mut self.deref_mut().arrivals
    }

    fn pictures(&mut self) -> &mut [PictureSlot<B>] {
        &mut self.deref_mut().pictures
    }

    fn pictures_ref(&self) -> &[PictureSlot<B>] {
        &self.deref().pictures
    }

    fn stream(&mut self, channel: Channel) -> StreamRings<'_> {
        let storage = self.deref_mut();
        let [send, receive]: [&mut [u8]; 2] = match channel {
            Channel::Control => storage.control.each_mut().map(|ring| &mut ring[..]),
            Channel::Cursor => storage.cursor.each_mut().map(|ring| &mut ring[..]),
            Channel::Clipboard => storage.bulk[0].each_mut().map(|ring| &mut ring[..]),
            Channel::File => storage.bulk[1].each_mut().map(|ring| &mut ring[..]),
        };
        StreamRings { send, receive }
    }

    fn audio(&mut self) -> AudioRings<'_> {
        let storage = self.deref_mut();
        AudioRings {
            slot_len: AUDIO,
            send: storage.audio_sent.as_flattened_mut(),
            receive: storage.audio_received.as_flattened_mut(),
        }
    }
}
