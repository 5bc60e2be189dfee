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
use crate::limits::{AUDIO_KEPT_MAX, AUDIO_RECEIVED_MAX};
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
/// - `SENT`, `ARRIVALS`: packets remembered each way; powers of two, at least 64. They must span a round trip and
///   the feedback interval at the highest packet rate, or losses are assumed where there were none.
/// - `PICTURES`: pictures in reassembly or lent; 0 for a side that only sends.
/// - `STREAM`: bytes of each ring of the control and the cursor stream.
/// - `BULK`: bytes of each ring of the clipboard and the file stream, which bound what they carry in a round trip; 64
///   where nobody copies.
/// - `AUDIO`: bytes of the longest audio packet; 0 where nobody listens. Room for 20 of them is taken.
/// - `K`: what multiplies for the erasure code; it takes no room.
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
> {
    kernel: PhantomData<fn() -> K>,
    sent: [SentPacket; SENT],
    arrivals: [ArrivedPacket; ARRIVALS],
    pictures: [PictureSlot<B>; PICTURES],
    streams: [[[u8; STREAM]; 2]; 2],
    bulk: [[[u8; BULK]; 2]; 2],
    audio_sent: [[u8; AUDIO]; AUDIO_KEPT_MAX],
    audio_received: [[u8; AUDIO]; AUDIO_RECEIVED_MAX],
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
> Storage<B, SENT, ARRIVALS, PICTURES, STREAM, BULK, AUDIO, K>
{
    /// Empty memory; pictures have no buffers yet, see [`Self::lend`].
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(SENT.is_power_of_two() && SENT >= 64, "SENT is a ring");
            assert!(ARRIVALS.is_power_of_two() && ARRIVALS >= 64, "ARRIVALS is a ring");
            assert!(PICTURES < 256, "pictures are searched one by one");
            assert!(STREAM >= 64 && STREAM <= u16::MAX as usize * 16, "a stream's window");
            assert!(BULK >= 64 && BULK <= u16::MAX as usize * 256, "a stream's window");
        }
        Self {
            kernel: PhantomData,
            sent: [SentPacket::EMPTY; SENT],
            arrivals: [ArrivedPacket::EMPTY; ARRIVALS],
            pictures: [const { PictureSlot::EMPTY }; PICTURES],
            streams: [[[0; STREAM]; 2]; 2],
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
> Default for Storage<B, SENT, ARRIVALS, PICTURES, STREAM, BULK, AUDIO, K>
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
> Memory for D
where
    D: DerefMut<Target = Storage<B, SENT, ARRIVALS, PICTURES, STREAM, BULK, AUDIO, K>>,
    B: AsRef<[u8]> + AsMut<[u8]> + 'static,
    K: MulAdd + Default + 'static,
{
    type Buffer = B;
    type Kernel = K;

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
            Channel::Control => storage.streams[0].each_mut().map(|ring| &mut ring[..]),
            Channel::Cursor => storage.streams[1].each_mut().map(|ring| &mut ring[..]),
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
