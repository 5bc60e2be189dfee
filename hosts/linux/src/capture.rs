//! The thread that takes frames, encodes them and hands them to the network.
//!
//! Nothing is queued: a frame is taken only when the network takes a picture, and it is the newest one then. A change
//! is encoded as soon as it is seen; a still screen is made good and then costs nothing.
//!
//! Pictures of a card that encodes are passed on instead.
//!
//! Invariant: the frame is polled last before anything waits for the source's descriptor, because asking for the
//! cursor may have taken events off the wire.

mod coded;

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use rift::{Instant, PictureId, PictureInfo, Rectangle, ShapeHead};
use rift_hal::{Cursor, CursorShape, Pollable, VideoSource};
use rift_mio::Clock;
use rift_tiles::{Rgb565, Rgb888};
use rift_x264::X264Error;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tracing::{debug, info};

use crate::chain::Bounds;
use crate::coder::{Coder, Job, LaneCoder, Made, Outcome};
use crate::governor::{Action, Need, Pace, Purpose, Quality};
use crate::lane::{Lane, LaneOrders};
use crate::metrics::Cause;
use crate::orders::{Captured, Coded, CursorState, Order, Outlet, Shape};
use crate::passthrough::Passthrough;
use crate::signal::SignalLog;
use crate::source::{Source, SourceError};
use crate::tile_coder::TileCoder;

/// How often a source that nobody waits for is looked at, in microseconds, so that its events do not pile up.
const HOUSEKEEPING_US: u64 = 100_000;
/// A still picture is good with this mean quantiser or less: 45 dB and more for text.
const QUANTISER_GOOD: u8 = 15;
/// A change of at most this part of a picture that was good is encoded as well as the rest of it at once.
const SMALL_DIVISOR: u32 = 24;
/// Why capturing ended.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Encoder(#[from] X264Error),
    #[error("cannot wait for the source: {0}")]
    Wait(#[from] rustix::io::Errno),
}

/// Starts the thread. `spare` gives back the buffers of pictures that were handed over; `fps` is the highest rate and
/// `picture_len_max` the bytes of the largest picture that can be sent.
///
/// # Errors
/// The system gave no thread.
pub fn start(
    source: Source,
    (fps, picture_len_max): (u32, usize),
    orders: Arc<LaneOrders>,
    outlet: Outlet,
    spare: Receiver<Vec<u8>>,
) -> std::io::Result<JoinHandle<()>> {
    let clock = Clock::new();
    let rate = fps * 1000;
    let mut capture = Capture {
        tracks: Lane::ALL.map(|lane| match lane {
            Lane::H264 => Track::new(lane, Box::new(Coder::new(rate))),
            Lane::Tiles888 => Track::new(lane, Box::new(TileCoder::<Rgb888>::new(rate, picture_len_max))),
            Lane::Tiles565 => Track::new(lane, Box::new(TileCoder::<Rgb565>::new(rate, picture_len_max))),
            Lane::Photos888 => {
                Track::new(lane, Box::new(TileCoder::<Rgb888>::with_photos(rate, picture_len_max)))
            }
            Lane::Photos565 => {
                Track::new(lane, Box::new(TileCoder::<Rgb565>::with_photos(rate, picture_len_max)))
            }
        }),
        next: PictureId(1),
        through: Passthrough::new(rate),
        coded_bitrate_bps: 0,
        coded_at: Instant::ZERO,
        source,
        cursor: CursorState::default(),
        signal: SignalLog::new(clock.now()),
        clock,
        orders,
        outlet,
        spare,
    };
    thread::Builder::new().name("capture".into()).spawn(move || {
        let end = match capture.run() {
            Ok(()) => "it was told to".to_owned(),
            Err(error) => error.to_string(),
        };
        capture.outlet.send(Captured::Ended(end));
    })
}

/// What a lane has of its own.
struct Track {
    lane: Lane,
    coder: Box<dyn LaneCoder>,
    pace: Pace,
    /// What changed since its last picture.
    changed: Rectangle,
}

impl Track {
    fn new(lane: Lane, coder: Box<dyn LaneCoder>) -> Self {
        Self { lane, coder, pace: Pace::new(), changed: Rectangle::default() }
    }

    /// Hands the wishes of an order over to the encoder.
    fn hear(&mut self, order: &Order) {
        if order.key_wanted {
            self.coder.want(None);
        }
        if let Some(after) = order.after_wanted {
            self.coder.want(Some(after));
        }
        if let Some(wrong) = &order.wrong_tiles {
            self.coder.want_tiles(wrong);
        }
    }

    /// What to do; a lane that nobody watches waits to be told.
    fn action(&self, now: Instant, order: &Order) -> Action {
        if !order.is_watched {
            return Action::Wait(None);
        }
        let need = Need {
            open: order.open,
            period_us: order.period_us,
            changed: !self.changed.is_empty(),
            repair_due: self.coder.repair_due(&bounds(order)),
        };
        self.pace.action(now, &need)
    }
}

struct Capture {
    source: Source,
    tracks: [Track; Lane::ALL.len()],
    /// The number of the next picture, whichever lane it is in.
    next: PictureId,
    /// For a source that encodes: what may be sent, the rate it was told, and when its pictures were last taken.
    through: Passthrough,
    coded_bitrate_bps: u32,
    coded_at: Instant,
    cursor: CursorState,
    signal: SignalLog,
    clock: Clock,
    orders: Arc<LaneOrders>,
    outlet: Outlet,
    spare: Receiver<Vec<u8>>,
}

impl Capture {
    fn run(&mut self) -> Result<(), CaptureError> {
        if matches!(self.source, Source::V4l(_)) {
            self.orders.offer_inputs();
        }
        let order = self.orders.of(Lane::H264).take();
        if let Ok(Some(frame)) = self.source.current_frame(self.clock.now()) {
            let size = (frame.width(), frame.height());
            self.tracks[Lane::H264.index()].coder.prepare(size, order.bitrate_bps)?;
        }
        loop {
            let orders = Lane::ALL.map(|lane| self.orders.of(lane).take());
            if orders.iter().any(|order| order.stop) {
                return Ok(());
            }
            if let (Some(index), Source::V4l(card)) = (self.orders.take_input(), &mut self.source) {
                info!(index, "the card is switched to another input");
                card.select_input(index, self.clock.now());
            }
            self.turn(&orders)?;
        }
    }

    /// Encodes pictures or waits for a reason to.
    fn turn(&mut self, orders: &[Order; Lane::ALL.len()]) -> Result<(), CaptureError> {
        if self.source.is_coded() {
            return self.turn_coded(orders);
        }
        for (track, order) in self.tracks.iter_mut().zip(orders) {
            track.hear(order);
        }
        if self.source.is_starting() {
            // An encoder takes a while to be made, and so does a card's first frame.
            let bitrate_bps = orders[Lane::H264.index()].bitrate_bps;
            self.tracks[Lane::H264.index()].coder.prepare(self.source.size(), bitrate_bps)?;
        }
        let now = self.clock.now();
        let housekeeping = now.plus_micros(HOUSEKEEPING_US);
        if !orders.iter().any(|order| order.is_watched) {
            self.look(now)?;
            return self.wait(Some(housekeeping), false);
        }
        let next = self.next_step(now, orders);
        if let Action::Wait(due) = next {
            if due.is_none() {
                self.look(now)?;
            }
            return self.wait(Some(due.map_or(housekeeping, |due| due.min(housekeeping))), false);
        }
        self.look(now)?;
        match self.next_step(now, orders) {
            Action::Encode(_) => {}
            Action::Watch(due) => return self.wait(due, true),
            Action::Wait(due) => return self.wait(due, false),
        }
        for (index, order) in orders.iter().enumerate() {
            if let Action::Encode(purpose) = self.tracks[index].action(now, order) {
                self.encode(now, index, purpose, order)?;
            }
        }
        Ok(())
    }

    /// What all lanes together let it do: encode if one of them can, watch the source if one of them would.
    fn next_step(&self, now: Instant, orders: &[Order; Lane::ALL.len()]) -> Action {
        let earlier = |one: Option<Instant>, other: Option<Instant>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let actions = self.tracks.iter().zip(orders).map(|(track, order)| track.action(now, order));
        actions.fold(Action::Wait(None), |all, one| match (all, one) {
            (Action::Encode(purpose), _) | (_, Action::Encode(purpose)) => Action::Encode(purpose),
            (Action::Watch(due) | Action::Wait(due), Action::Watch(other))
            | (Action::Watch(due), Action::Wait(other)) => Action::Watch(earlier(due, other)),
            (Action::Wait(due), Action::Wait(other)) => Action::Wait(earlier(due, other)),
        })
    }

    /// Takes note of what changed.
    fn look(&mut self, now: Instant) -> Result<(), CaptureError> {
        self.look_at_frame(now)?;
        if let Some(cursor) = self.source.poll_cursor() {
            follow(&mut self.cursor, &cursor);
            self.outlet.show_cursor(&self.cursor);
        }
        self.look_at_frame(now)
    }

    fn look_at_frame(&mut self, now: Instant) -> Result<(), CaptureError> {
        let captured_at = self.source.poll_frame(now)?.map(|frame| frame.captured_at());
        if let Some(captured_at) = captured_at {
            let damage = self.source.damage();
            for track in &mut self.tracks {
                track.changed = track.changed.union(damage);
            }
            let metrics = &self.outlet.board.metrics;
            metrics.capture.add(self.clock.now().micros_since(captured_at));
            let (lost, faulty) = self.source.losses();
            metrics.set_dropped(Cause::Device, lost);
            metrics.set_dropped(Cause::Faulty, faulty);
            self.outlet.board.set_moment(self.source.moment());
        }
        self.tell_signal(now);
        Ok(())
    }

    /// Tells viewers, log and operators what the capture is doing, when that changed.
    fn tell_signal(&mut self, now: Instant) {
        let Some(state) = self.source.capture_state() else { return };
        if !self.signal.write(now, &state, self.source.capture_error()) {
            return;
        }
        self.outlet.board.metrics.enter(now, state.condition);
        self.outlet.show_capture(state);
    }

    fn wait(&self, until: Option<Instant>, for_source: bool) -> Result<(), CaptureError> {
        const LANES: usize = Lane::ALL.len();
        let orders = Lane::ALL.map(|lane| self.orders.of(lane).event());
        let source = self.source.poll_fd();
        let all: [_; LANES + 1] = core::array::from_fn(|at| orders.get(at).unwrap_or(&source));
        let mut fds = all.map(|fd| PollFd::new(fd, PollFlags::IN));
        let fds = if for_source { &mut fds[..] } else { &mut fds[..LANES] };
        let timeout = until.map(|until| {
            let left = until.until(self.clock.now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        match poll(fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn encode(
        &mut self,
        now: Instant,
        index: usize,
        purpose: Purpose,
        order: &Order,
    ) -> Result<(), CaptureError> {
        let tells_damage = self.source.tells_damage();
        let Some(frame) = self.source.current_frame(now)? else {
            // Nothing was captured yet: the first frame makes itself known.
            return self.wait(Some(now.plus_micros(HOUSEKEEPING_US)), true);
        };
        let place = Rectangle::sized(side(frame.width()), side(frame.height()));
        let captured_at = frame.captured_at();
        let track = &mut self.tracks[index];
        let is_settled = tells_damage && track.pace.is_settled();
        let changed = tells_damage.then_some(track.changed);
        let is_small = area(track.changed) <= area(place) / SMALL_DIVISOR;
        let (boost, damage) = match purpose {
            // Nothing changed: the encoder goes over what is coarser than it need be, and skips the rest.
            Purpose::Refine => (true, Some(Rectangle::default())),
            Purpose::Change => (is_settled && is_small, changed),
            Purpose::Repair => (is_settled, None),
        };
        let job = Job {
            now,
            bitrate_bps: order.bitrate_bps,
            reduction: order.reduction,
            bounds: bounds(order),
            boost,
            damage,
            number: self.next,
            picture_len_max: order.picture_len_max,
        };
        let mut bytes = self.spare.try_recv().unwrap_or_default();
        bytes.clear();
        let outcome = track.coder.encode(&frame, &job, &mut bytes)?;
        let fresh = if tells_damage { self.source.damage() } else { Rectangle::default() };
        self.note_fresh(index, fresh);
        let metrics = &self.outlet.board.metrics;
        let track = &mut self.tracks[index];
        track.changed = Rectangle::default();
        let made = match outcome {
            Outcome::Made(made) => made,
            Outcome::Nothing => {
                track.changed = fresh;
                track.pace.encoded(now, order.period_us, purpose, Quality::Good);
                return Ok(());
            }
            Outcome::Failed => {
                metrics.dropped(Cause::Encoder);
                track.changed = place;
                track.pace.encoded(now, order.period_us, purpose, Quality::Fair);
                return Ok(());
            }
        };
        if made.is_partial {
            track.changed = self.source.damage();
        }
        track.pace.encoded(now, order.period_us, purpose, quality(tells_damage, made.quantiser));
        self.next = PictureId(made.id.0.wrapping_add(1));
        let encoded_at = self.clock.now();
        metrics.encoded([now, made.converted_at, encoded_at], bytes.len(), made.is_copied);
        debug!(
            lane = ?track.lane,
            id = made.id.0,
            ?purpose,
            lead = ?made.lead,
            bytes = bytes.len(),
            quantiser = made.quantiser,
            boost,
            order.bitrate_bps,
            took_us = encoded_at.micros_since(now),
            "encoded"
        );
        self.send(index, &made, purpose, (captured_at, encoded_at), bytes);
        Ok(())
    }

    /// Hands a picture over that was made for this purpose, with when it was captured and encoded.
    fn send(
        &self,
        index: usize,
        made: &Made,
        purpose: Purpose,
        (captured_at, encoded_at): (Instant, Instant),
        bytes: Vec<u8>,
    ) {
        let track = &self.tracks[index];
        self.orders.of(track.lane).spend();
        self.outlet.send(Captured::Picture(Coded {
            lane: track.lane,
            info: PictureInfo { id: made.id, reference: made.reference, captured_at, encoded_at },
            place: Rectangle::sized(made.size.0, made.size.1),
            bytes,
            photos: track.coder.photos().to_vec(),
            parameters: made.parameters,
            reduction: made.reduction,
            is_change: purpose == Purpose::Change,
        }));
    }

    /// What had changed anew when one lane asked for its frame has changed for the others too.
    fn note_fresh(&mut self, index: usize, fresh: Rectangle) {
        for (_, track) in self.tracks.iter_mut().enumerate().filter(|(other, _)| *other != index) {
            track.changed = track.changed.union(fresh);
        }
    }
}

/// What bounds repairs in a lane.
const fn bounds(order: &Order) -> Bounds {
    Bounds { round_trip_us: order.round_trip_us, anyone_has_picture: order.anyone_has_picture }
}

/// How good a picture of this quantiser is; one of a source that does not say when it is still is never refined.
const fn quality(tells_damage: bool, quantiser: u8) -> Quality {
    if !tells_damage || quantiser <= QUANTISER_GOOD { Quality::Good } else { Quality::Fair }
}

/// Makes `known` what a source said of its cursor.
fn follow(known: &mut CursorState, cursor: &Cursor<'_>) {
    (known.x, known.y, known.visible) = (cursor.x, cursor.y, cursor.visible);
    if let Some(shape) = &cursor.shape {
        known.shape = named(shape).map(Arc::new).or(known.shape.take());
    }
}

/// A shape with its name: a hash of all that can be seen of it. `None` for one that cannot be sent.
fn named(shape: &CursorShape<'_>) -> Option<Shape> {
    let CursorShape { width, height, hot_x, hot_y, bgra } = *shape;
    let sides = [width, height, hot_x, hot_y].into_iter().flat_map(u16::to_le_bytes);
    // FNV-1a, 32 bits: shapes are few, and a collision shows a wrong cursor, nothing more.
    let hash = sides
        .chain(bgra.iter().copied())
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let head = ShapeHead { shape: hash.max(1), width, height, hot_x, hot_y };
    let is_sound = ShapeHead::parse(&head.to_bytes()).is_some() && head.pixels_len() == bgra.len();
    is_sound.then(|| Shape { head, bgra: bgra.to_vec() })
}

fn area(rectangle: Rectangle) -> u32 {
    u32::from(rectangle.width) * u32::from(rectangle.height)
}

fn side(pixels: u32) -> u16 {
    u16::try_from(pixels).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bgra: &[u8]) -> CursorShape<'_> {
        CursorShape { width: 2, height: 1, hot_x: 1, hot_y: 0, bgra }
    }

    #[test]
    fn shapes_are_named_by_what_they_look_like() {
        let name = |shape: &CursorShape<'_>| named(shape).map(|shape| shape.head.shape);
        let first = name(&shape(&[1, 2, 3, 4, 5, 6, 7, 8]));
        assert!(first.is_some_and(|name| name != 0));
        assert_eq!(first, name(&shape(&[1, 2, 3, 4, 5, 6, 7, 8])));
        assert_ne!(first, name(&shape(&[1, 2, 3, 4, 5, 6, 7, 9])));
        assert_ne!(first, name(&CursorShape { hot_x: 0, ..shape(&[1, 2, 3, 4, 5, 6, 7, 8]) }));
    }

    #[test]
    fn shapes_that_cannot_be_sent_are_left_out() {
        let bytes = [0; 8];
        assert_eq!(named(&shape(&bytes[..7])), None);
        assert_eq!(named(&CursorShape { hot_x: 2, ..shape(&bytes) }), None);
        assert_eq!(named(&CursorShape { width: 0, ..shape(&[]) }), None);
    }
}
