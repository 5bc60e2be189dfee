//! The client with its window replaced: its own network thread, session and decoder, and somebody who looks at every
//! picture and presses keys.

use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use rift::{CaptureState, Identity, InputEvent, Instant, Permissions, Suite};
use rift_mio::{Clock, PICTURE_BUFFER_LEN};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wavry_client::args::{CodecKind, HandshakeKind};
use wavry_client::decode::PictureDecoder;
use wavry_client::error::ClientError;
use wavry_client::link::{Job, Link, Order, Orders, Status};
use wavry_client::net::{Network, Target};
use wavry_client::session::Ends;
use wavry_client::stages::{Breakdown, Stages, Stamps};

use super::host::Place;
use super::likeness::Reference;

const BUFFERS: usize = 8;
const JOBS: usize = 4;
const ORDERS: usize = 1024;
const SHAPES: usize = 4;
/// Of a picture that is only looked at in passing, so many rows are left out for one that counts.
const GLANCE_STEP: usize = 8;

/// What was seen of one picture.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// Its size.
    pub size: (u32, u32),
    /// When the card took it, on this process's clock.
    pub captured: Option<Instant>,
    /// When it was encoded, on the same clock.
    pub encoded: Option<Instant>,
    /// When all of it had arrived.
    pub received: Instant,
    /// When it was decoded.
    pub decoded: Instant,
    /// How alike it and the card's frame are, in dB.
    pub psnr_db: f64,
}

/// A viewer of a host.
pub struct Viewer {
    link: Arc<Link>,
    orders: Orders,
    jobs: Receiver<Job>,
    spares: SyncSender<Vec<u8>>,
    /// Held so that the network's thread can hand shapes over; a card has no cursor.
    _shapes: Receiver<(u32, wavry_client::cursor::Shape)>,
    thread: Option<JoinHandle<Result<(), ClientError>>>,
    decoder: PictureDecoder,
    references: Vec<Reference>,
    clock: Clock,
    /// Where the time of pictures goes.
    pub stages: Stages,
    /// Each state of the capture that was heard of since this was last emptied.
    pub states: Vec<CaptureState>,
    /// Pictures that could not be decoded.
    pub unusable: u32,
}

impl Viewer {
    /// Begins a session with the host at `place`; `references` are the card's frames by size.
    ///
    /// # Errors
    /// There is no decoder or thread.
    pub fn connect(
        place: &Place,
        address: (&str, u16),
        identity: Identity,
        references: Vec<Reference>,
    ) -> anyhow::Result<Self> {
        let link = Link::new().context("making an eventfd")?;
        let (orders, orders_end) = sync_channel(ORDERS);
        let (jobs, jobs_end) = sync_channel(JOBS);
        let (spares, spares_end) = sync_channel(BUFFERS);
        let (shapes, shapes_end) = sync_channel(SHAPES);
        for _ in 0..BUFFERS {
            spares.try_send(vec![0; PICTURE_BUFFER_LEN]).context("there is room for all buffers")?;
        }
        let target = Target {
            host: address.0.to_owned(),
            port: address.1,
            key: place.host_id,
            identity,
            handshake: HandshakeKind::Rift,
            codec: CodecKind::H264,
            datagram_len: 1200,
            busy_poll_us: 0,
            wanted: Permissions::all(),
            state: place.state.join("viewer"),
            successor: None,
            suite: Suite::Classical,
            known: Suite::Classical,
            meeting: None,
            direct: Vec::new(),
        };
        let ends = Ends {
            link: Arc::clone(&link),
            orders: orders_end,
            jobs,
            spares: spares_end,
            shapes,
            clipboard: None,
            sound: None,
            files: None,
        };
        let clock = Clock::new();
        let network = Network::new(target, clock, ends);
        let thread = std::thread::Builder::new().name("network".into()).spawn(|| network.run())?;
        Ok(Self {
            orders: Orders::new(orders, Arc::clone(&link)),
            link,
            jobs: jobs_end,
            spares,
            _shapes: shapes_end,
            thread: Some(thread),
            decoder: PictureDecoder::new()?,
            references,
            clock,
            stages: Stages::new(),
            states: Vec::new(),
            unusable: 0,
        })
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Does what the person at the client did.
    pub fn input(&mut self, event: InputEvent) {
        self.orders.give(Order::Input(event));
        self.orders.announce();
    }

    /// What the client knows of the capture.
    #[must_use]
    pub fn capture(&self) -> Option<CaptureState> {
        self.link.latest().capture.now().copied()
    }

    /// What the client would write over the picture.
    #[must_use]
    pub fn card(&self) -> Option<String> {
        self.capture().and_then(|state| wavry_client::capture::card(&state, self.now()))
    }

    /// The size that the host says its pictures have.
    #[must_use]
    pub fn stream_size(&self) -> Option<(u32, u32)> {
        let parameters = self.link.latest().parameters;
        parameters.map(|parameters| (parameters.width.into(), parameters.height.into()))
    }

    /// Sessions that followed the first.
    #[must_use]
    pub fn reconnects(&self) -> u32 {
        self.link.latest().reconnects
    }

    /// Loss and round trip as the client sees them: packets of 1000, and microseconds.
    #[must_use]
    pub fn path(&self) -> (f64, u32) {
        let latest = *self.link.latest();
        (latest.traffic.loss_permille(), latest.stats.round_trip_us)
    }

    /// Pictures given up on the way.
    #[must_use]
    pub fn pictures_lost(&self) -> u64 {
        self.link.latest().traffic.pictures_lost
    }

    /// Waits for a picture until `until` at most and decodes it. `is_judged`: every row of it is compared.
    ///
    /// # Errors
    /// The session is over.
    pub fn turn(&mut self, until: Instant, is_judged: bool) -> anyhow::Result<Option<Picture>> {
        self.listen()?;
        let Ok(job) = self.jobs.try_recv() else {
            self.wait(until)?;
            return Ok(None);
        };
        let decoded = self.decoder.decode(&job);
        let now = self.clock.now();
        let (first, whole, host_times) = (job.media.first_at, job.media.whole_at, job.host_times);
        let picture = match decoded {
            Ok((frame, _)) => frame.map(|frame| {
                let size = (frame.width(), frame.height());
                let reference = self.references.iter().find(|reference| reference.size == size);
                let step = if is_judged { 1 } else { GLANCE_STEP };
                let psnr_db = reference.map_or(0.0, |reference| reference.psnr_db(&frame, step));
                let [captured, encoded] =
                    [0, 1].map(|index: usize| host_times.map(|times: [Instant; 3]| times[index]));
                Picture { size, captured, encoded, received: whole, decoded: now, psnr_db }
            }),
            Err(_) => {
                self.unusable += 1;
                self.orders.give(Order::WantRepair);
                self.orders.announce();
                None
            }
        };
        // The channel has room for all buffers there are.
        let _ = self.spares.try_send(job.media.buffer);
        if let (Some([captured, encoded, sent]), Some(_)) = (host_times, picture) {
            let stamps = Stamps { captured, encoded, sent, first, whole, decoded: now, presented: now };
            self.stages.add(now, Breakdown::of(&stamps));
        }
        Ok(picture)
    }

    fn listen(&mut self) -> anyhow::Result<()> {
        let latest = *self.link.latest();
        if latest.status == Status::Over {
            bail!("the session is over");
        }
        if let Some(&state) = latest.capture.now()
            && self.states.last() != Some(&state)
        {
            self.states.push(state);
        }
        Ok(())
    }

    fn wait(&self, until: Instant) -> anyhow::Result<()> {
        let left = until.until(self.clock.now()).clamp(Duration::from_micros(100), LOOK);
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::from_borrowed_fd(self.link.view_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.link.clear_view();
        Ok(())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.orders.quit();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Whoever looks at the clock sees it at least so often.
const LOOK: Duration = Duration::from_millis(20);
