//! What the capture thread does with a card that encodes: nothing but pass its pictures on.
//!
//! There is one lane then, H.264: whoever shows tiles only sees nothing of such a card. Nothing is skipped to be in time
//! with a viewer either, because what is skipped costs a key picture; a network that takes no picture for longer than
//! the card can wait does cost one.

use rift::{Instant, PictureId, PictureInfo, Rectangle};
use rift_hal::VideoSource as _;
use tracing::{debug, info, warn};

use super::{Capture, CaptureError, HOUSEKEEPING_US, side};
use crate::governor::is_another_rate;
use crate::lane::Lane;
use crate::metrics::Cause;
use crate::orders::{Captured, Coded, Order};
use crate::passthrough::Given;

impl Capture {
    /// Passes the next picture on, or waits for a reason to.
    pub(super) fn turn_coded(&mut self, orders: &[Order; Lane::ALL.len()]) -> Result<(), CaptureError> {
        let order = &orders[Lane::H264.index()];
        if order.key_wanted || order.after_wanted.is_some() {
            self.through.want_key();
        }
        let now = self.clock.now();
        let housekeeping = now.plus_micros(HOUSEKEEPING_US);
        if !order.is_watched || !order.open {
            if self.coded_at.plus_micros(HOUSEKEEPING_US) <= now {
                self.leave_out(now);
            }
            return self.wait(Some(housekeeping), false);
        }
        if self.through.asks_key(now, order.round_trip_us, order.anyone_has_picture) {
            let is_asked = self.source.ask_key();
            debug!(is_asked, "the card is asked for a key picture");
        }
        if is_another_rate(self.coded_bitrate_bps, order.bitrate_bps) {
            self.coded_bitrate_bps = order.bitrate_bps;
            let is_set = self.source.set_coded_bitrate(order.bitrate_bps);
            debug!(is_set, order.bitrate_bps, "the card's bit rate");
        }
        let has_passed = self.pass(now, order);
        self.tell_signal(now);
        if has_passed { Ok(()) } else { self.wait(Some(housekeeping), true) }
    }

    /// Takes what waits at the card, so that it goes on, and sends none of it.
    fn leave_out(&mut self, now: Instant) {
        self.coded_at = now;
        while self.source.poll_coded(now).is_some() {
            self.through.skip();
            self.outlet.board.metrics.dropped(Cause::Viewer);
        }
        self.tell_signal(now);
    }

    /// Takes the card's next picture and sends it if it may be. Returns whether there was one.
    fn pass(&mut self, now: Instant, order: &Order) -> bool {
        self.coded_at = now;
        let size = self.source.size();
        let size = (side(size.0), side(size.1));
        let Some(frame) = self.source.poll_coded(now) else { return false };
        let metrics = &self.outlet.board.metrics;
        metrics.capture.add(self.clock.now().micros_since(frame.captured_at));
        let given = Given { bytes: frame.bytes, follows: frame.follows, size };
        let is_too_long = frame.bytes.len() + self.through.parameters().len() > order.picture_len_max;
        if is_too_long {
            warn!(bytes = frame.bytes.len(), "a picture of the card is longer than a viewer has room for");
            self.through.skip();
        }
        let passed = if is_too_long { None } else { self.through.pass(self.next, given) };
        let Some(passed) = passed else {
            metrics.dropped(Cause::Encoder);
            return true;
        };
        let mut bytes = self.spare.try_recv().unwrap_or_default();
        bytes.clear();
        if passed.needs_parameters {
            bytes.extend_from_slice(self.through.parameters());
        }
        bytes.extend_from_slice(frame.bytes);
        let id = self.next;
        let captured_at = frame.captured_at;
        self.next = PictureId(id.0.wrapping_add(1));
        metrics.encoded([now; 3], bytes.len(), false);
        let (lost, faulty) = self.source.losses();
        metrics.set_dropped(Cause::Device, lost);
        metrics.set_dropped(Cause::Faulty, faulty);
        self.outlet.board.set_moment(self.source.moment());
        if let Some(stream) = passed.stream {
            info!(stream.width, stream.height, "the card encodes; its pictures are passed on");
        }
        debug!(id = id.0, reference = passed.reference.map(|id| id.0), bytes = bytes.len(), "passed on");
        let lane = Lane::H264;
        self.orders.of(lane).spend();
        let info = PictureInfo { id, reference: passed.reference, captured_at, encoded_at: now };
        let place = Rectangle::sized(size.0, size.1);
        self.outlet.send(Captured::Picture(Coded {
            lane,
            info,
            place,
            bytes,
            photos: Vec::new(),
            parameters: passed.stream,
            reduction: None,
            is_change: false,
        }));
        true
    }
}
