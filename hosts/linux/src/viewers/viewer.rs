//! One viewer: what is known of it, and what it is given.

use core::net::{IpAddr, SocketAddr};

use rift::{
    CaptureState, CloseReason, CursorPosition, Instant, Permissions, PictureId, PictureRef, SendError,
    StreamParameters,
};
use rift_x264::Reduction;
use tracing::debug;

use super::ViewerSession;
use crate::allow::Client;
use crate::cursor::ShapeSender;
use crate::governor::Load;
use crate::ladders::Ladders;
use crate::lane::Lane;
use crate::orders::CursorState;
use crate::status::ViewerStatus;

/// Bits per second to begin with: within the machine nothing is in the way;
const START_BPS_LOOPBACK: u32 = 300_000_000;
/// a local network usually carries this, and a slow one says so within a few pictures;
const START_BPS_LOCAL: u32 = 30_000_000;
/// and most ways beyond it carry this.
const START_BPS_FAR: u32 = 10_000_000;

/// What is known of one viewer.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) client: Client,
    /// What it asks to do: it is given no more.
    pub(super) wanted: Permissions,
    /// The how-manieth to come.
    pub(super) arrival: u64,
    pub(super) since: Instant,
    /// It is there, and no recording of its call.
    pub(super) is_live: bool,
    /// How its pictures are coded, once that is settled.
    pub(super) lane: Option<Lane>,
    /// Bytes of the largest picture it has room for.
    pub(super) picture_len_max: usize,
    /// The newest picture it was given.
    pub(super) sent: Option<PictureId>,
    /// It is not known to have none.
    pub(super) has_picture: bool,
    /// Pictures were left out: it needs to be led back.
    pub(super) is_behind: bool,
    pub(super) asked_at: Option<Instant>,
    /// Why this side ended its session.
    pub(super) farewell: Option<CloseReason>,
    pub(super) shapes: ShapeSender,
}

impl Viewer {
    /// It has come, as the `arrival`-th.
    pub(super) fn new(client: Client, wanted: Permissions, arrival: u64, now: Instant) -> Self {
        Self {
            client,
            wanted,
            arrival,
            since: now,
            is_live: false,
            lane: None,
            picture_len_max: usize::MAX,
            sent: None,
            has_picture: false,
            is_behind: false,
            asked_at: None,
            farewell: None,
            shapes: ShapeSender::new(),
        }
    }
}

/// What a viewer at this address is granted before anything is known of the way to it, in bits per second.
pub(super) fn start_bitrate_bps(from: SocketAddr) -> u32 {
    match from.ip().to_canonical() {
        ip if ip.is_loopback() => START_BPS_LOOPBACK,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => START_BPS_LOCAL,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => START_BPS_LOCAL,
        IpAddr::V4(_) | IpAddr::V6(_) => START_BPS_FAR,
    }
}

impl Viewer {
    /// Whether it may steer as far as the list is asked, and asks to.
    pub(super) fn may_steer(&self) -> bool {
        (self.client.permissions & self.wanted).may_steer()
    }

    /// Whether it asks for pictures.
    pub(super) const fn watches(&self) -> bool {
        self.wanted.contains(Permissions::VIEW)
    }

    /// What operators are told of it.
    pub(super) fn status(
        &self,
        now: Instant,
        from: SocketAddr,
        session: &ViewerSession,
        steers: bool,
    ) -> ViewerStatus {
        ViewerStatus {
            name: self.client.name.clone(),
            from,
            since: self.since,
            steers,
            round_trip_us: session.stats(now).round_trip_us,
            bitrate_bps: session.budget().bitrate_bps,
            datagram_len: session.datagram_len(),
        }
    }
}

/// Queues a picture for one viewer, or (`None`) leaves it out. Returns whether it will have it, if it may.
pub(super) fn give(
    now: Instant,
    session: &mut ViewerSession,
    viewer: &mut Viewer,
    picture: Option<PictureRef>,
) -> bool {
    let Some(picture) = picture else {
        viewer.is_behind = true;
        return false;
    };
    // What it has no room for would be sent for nothing (SPEC §11.9).
    if picture.len() > viewer.picture_len_max {
        viewer.is_behind = true;
        return false;
    }
    match session.send_picture(now, picture) {
        Ok(()) => {
            viewer.sent = Some(picture.id());
            viewer.has_picture = true;
            viewer.is_behind = false;
        }
        // Whoever may not see, or is not there, needs nothing.
        Err(SendError::NotConnected | SendError::NotPermitted) => {}
        Err(error) => {
            debug!(client = %viewer.client.name, id = picture.id().0, %error, "picture left out");
            viewer.is_behind = true;
            return false;
        }
    }
    true
}

pub(super) fn tell_capture(now: Instant, session: &mut ViewerSession, state: CaptureState) {
    // A session that is over need not know.
    let _ = session.send_capture_state(now, state);
}

/// Says where the cursor is, in pixels of the pictures that this viewer is shown.
pub(super) fn show_cursor(
    now: Instant,
    session: &mut ViewerSession,
    viewer: &mut Viewer,
    cursor: &CursorState,
    ladders: &[Ladders; Lane::ALL.len()],
) {
    let CursorState { x, y, visible, shape } = cursor;
    if let Some(shape) = shape {
        viewer.shapes.want(shape);
        viewer.shapes.send(now, session);
    }
    let shape = shape.as_ref().map_or(0, |shape| shape.head.shape);
    let reduction = viewer.lane.and_then(|lane| ladders[lane.index()].shown());
    let (of, into) = reduction.map_or((1, 1), Reduction::parts);
    let [x, y] = [*x, *y].map(|at| (u32::from(at) * u32::from(into) / u32::from(of)) as u16);
    // A session that is over needs no cursor.
    let _ = session.send_cursor(now, CursorPosition { x, y, visible: *visible, shape });
}

pub(super) fn tell_stream(session: &mut ViewerSession, first: PictureId, parameters: StreamParameters) {
    // A session that is over needs no parameters.
    let _ = session.set_stream(first, parameters);
}

pub(super) fn load(now: Instant, session: &ViewerSession) -> Load {
    let budget = session.budget();
    Load {
        bitrate_bps: budget.bitrate_bps,
        pacing_bps: budget.pacing_bps,
        rate_millihertz_max: budget.picture_rate_millihertz_max,
        backlog_bytes: session.video_backlog_bytes(),
        round_trip_us: session.stats(now).round_trip_us,
    }
}
