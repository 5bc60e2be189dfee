//! Who is sent what: each viewer its lane's pictures, each lane what its viewers' networks take.

use rift::{CloseReason, Codec, Instant, PictureId, PublicKey, RectangleData, SessionIndex};
use tracing::{info, warn};

use super::viewer::{Viewer, give, load, show_cursor, tell_stream};
use super::{CATCH_UP_US, Driver, ViewerSession, Viewers};
use crate::governor::{Grant, in_group};
use crate::lane::Lane;
use crate::metrics::Cause;
use crate::orders::{Coded, WrongTiles};
use crate::resolution::Stream;

/// A viewer that has not said by then what it can show is one that shows H.264 (SPEC §11.9), in microseconds.
const SILENCE_US: u64 = 300_000;

/// Clients whose lanes are remembered: more than may watch at once.
pub(super) const KNOWN_MAX: usize = 64;

/// What a client could show when it was here last.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownViewer {
    id: PublicKey,
    lane: Lane,
    picture_len_max: usize,
}

impl Viewers {
    /// Who comes back is shown pictures at once, as it was last time; it will say if it can no longer show them.
    pub(super) fn enter_known_lane(
        &mut self,
        now: Instant,
        index: SessionIndex,
        session: &mut ViewerSession,
    ) {
        let Some(viewer) = self.viewers.get_mut(&index).filter(|viewer| viewer.watches()) else { return };
        let known = self.known.iter().find(|known| known.id == viewer.client.id);
        let Some(&KnownViewer { lane, picture_len_max, .. }) = known else { return };
        viewer.picture_len_max = picture_len_max;
        self.enter(now, index, session, lane);
    }

    /// Remembers what a client can show; the oldest is forgotten where there are too many.
    fn remember(&mut self, known: KnownViewer) {
        self.known.retain(|other| other.id != known.id);
        if self.known.len() == KNOWN_MAX {
            self.known.remove(0);
        }
        self.known.push(known);
    }

    /// Gives a viewer the lane that its capabilities ask for.
    pub(super) fn choose_lane(&mut self, now: Instant, index: SessionIndex, session: &mut ViewerSession) {
        let Some(viewer) = self.viewers.get_mut(&index).filter(|viewer| viewer.watches()) else { return };
        let Some(capabilities) = session.capabilities() else { return };
        viewer.picture_len_max = capabilities.picture_len_max as usize;
        let chosen = Lane::of(capabilities);
        let stream = chosen.and_then(|lane| self.streams[lane.index()]);
        let fits = stream.is_none_or(|stream| {
            stream.width <= capabilities.width_max && stream.height <= capabilities.height_max
        });
        let Some(lane) = chosen.filter(|_| fits) else {
            warn!(client = %viewer.client.name, ?capabilities, "refused: it cannot show what is shared here");
            viewer.farewell = Some(CloseReason::Refused);
            return session.close(now, CloseReason::Refused);
        };
        let (id, picture_len_max) = (viewer.client.id, viewer.picture_len_max);
        self.remember(KnownViewer { id, lane, picture_len_max });
        self.enter(now, index, session, lane);
    }

    /// Settles the lanes of those who have said nothing for too long.
    pub(super) fn settle_lanes(&mut self, now: Instant, driver: &mut Driver) {
        let is_silent = |viewer: &Viewer| {
            viewer.watches()
                && viewer.lane.is_none()
                && viewer.farewell.is_none()
                && viewer.since.plus_micros(SILENCE_US) <= now
        };
        if !self.viewers.values().any(is_silent) {
            return;
        }
        for (index, _, session) in driver.sessions_mut() {
            if self.viewers.get(&index).is_some_and(is_silent) {
                self.enter(now, index, session, Lane::H264);
            }
        }
    }

    /// From now on this viewer is sent this lane's pictures, the first of which needs no other.
    fn enter(&mut self, now: Instant, index: SessionIndex, session: &mut ViewerSession, lane: Lane) {
        let Some(viewer) = self.viewers.get_mut(&index) else { return };
        if viewer.lane == Some(lane) {
            return;
        }
        viewer.lane = Some(lane);
        viewer.has_picture = false;
        info!(client = %viewer.client.name, ?lane, "is shown pictures");
        show_cursor(now, session, viewer, &self.cursor, &self.ladders);
        if let Some(parameters) = self.streams[lane.index()] {
            tell_stream(session, PictureId(self.newest.0 + 1), parameters);
        }
        self.feed.orders.of(lane).change(|order| order.want(None));
    }

    /// Tells a lane of tiles that one of its viewers shows wrongly.
    pub(super) fn mend_tiles(&mut self, index: SessionIndex, session: &ViewerSession) {
        let lane = self.viewers.get(&index).and_then(|viewer| viewer.lane);
        let (Some(lane), Some((_, wrong))) = (lane, session.tile_report()) else { return };
        let wrong = WrongTiles::new(wrong);
        self.feed.orders.of(lane).change(|order| order.wrong_tiles = Some(wrong));
    }

    /// Gives a picture to everybody who can use it.
    pub(super) fn deliver(&mut self, now: Instant, driver: &mut Driver, coded: Coded) {
        let Coded { lane, info, place, bytes, photos, parameters, reduction, is_change } = coded;
        if is_change {
            self.ladders[lane.index()].note_change(now, bytes.len());
        }
        if let Some(parameters) = parameters {
            self.streams[lane.index()] = Some(parameters);
            let size = (parameters.width, parameters.height);
            self.ladders[lane.index()].note_stream(Stream { size, reduction });
            for (index, _, session) in driver.sessions_mut() {
                if let Some(viewer) = self.viewers.get_mut(&index).filter(|viewer| viewer.lane == Some(lane))
                {
                    tell_stream(session, info.id, parameters);
                    show_cursor(now, session, viewer, &self.cursor, &self.ladders);
                    self.choose_lane(now, index, session);
                }
            }
        }
        self.newest = self.newest.max(info.id);
        let (mut parts, mut rest) = (Vec::with_capacity(photos.len() + 1), &bytes[..]);
        for (place, len) in photos {
            let (photo, after) = rest.split_at(len);
            parts.push((place, Codec::Jpeg, [photo]));
            rest = after;
        }
        parts.push((place, lane.codec(), [rest]));
        let rectangles: Vec<_> = parts
            .iter()
            .map(|(place, codec, parts)| RectangleData { place: *place, codec: *codec, parts })
            .collect();
        let pushed = self.pictures.push(&info, &rectangles);
        // No place for it: the capture thread makes another.
        let _ = self.feed.spare.try_send(bytes);
        let picture = match pushed {
            Ok(picture) => picture,
            Err(error) => {
                warn!(?error, id = info.id.0, "a picture cannot be sent");
                let before = PictureId(info.id.0.saturating_sub(1));
                self.feed.orders.of(lane).change(|order| order.want(Some(before)));
                return;
            }
        };
        let lead = self.lead(lane).and_then(|index| driver.session_mut(index));
        let lead = lead.map(|session| load(now, session));
        for (index, _, session) in driver.sessions_mut() {
            let Some(viewer) = self.viewers.get_mut(&index).filter(|viewer| viewer.lane == Some(lane)) else {
                continue;
            };
            let own = load(now, session);
            let may_wait = lead.is_none_or(|lead| in_group(&own, &lead));
            let can_follow = may_wait || own.has_room(self.policy.period_us);
            if !give(now, session, viewer, can_follow.then_some(picture)) {
                self.feed.board.metrics.dropped(Cause::Viewer);
            }
        }
    }

    /// Whose grant counts most in a lane: who steers, or who has been there longest.
    fn lead(&self, lane: Lane) -> Option<SessionIndex> {
        let here = || self.viewers.iter().filter(|(_, viewer)| viewer.lane == Some(lane));
        let steering = here().find(|(index, _)| self.steering == Some(**index));
        let lead = steering.or_else(|| here().min_by_key(|(_, viewer)| viewer.arrival));
        lead.map(|(&index, _)| index)
    }

    /// Tells the capture thread what to do next, lane by lane.
    pub(super) fn order(&mut self, now: Instant, driver: &mut Driver) {
        if let Some(departure) = driver.take_departure() {
            self.feed.board.metrics.departure.add(departure.late_us());
        }
        for lane in Lane::ALL {
            self.order_lane(now, driver, lane);
        }
    }

    fn order_lane(&mut self, now: Instant, driver: &mut Driver, lane: Lane) {
        let lead = self.lead(lane);
        let (mut lead_at, mut round_trip_us, mut has_picture) = (0, 0, false);
        let mut picture_len_max = usize::MAX;
        self.loads.clear();
        for (index, _, session) in driver.sessions_mut() {
            let Some(viewer) = self.viewers.get_mut(&index).filter(|viewer| viewer.lane == Some(lane)) else {
                continue;
            };
            if lead == Some(index) {
                lead_at = self.loads.len();
            }
            let load = load(now, session);
            round_trip_us = round_trip_us.max(u64::from(load.round_trip_us));
            has_picture |= viewer.has_picture;
            picture_len_max = picture_len_max.min(viewer.picture_len_max);
            let patience = CATCH_UP_US.max(load.round_trip_us.into());
            let is_asked = viewer.asked_at.is_some_and(|at| at.plus_micros(patience) > now);
            if viewer.is_behind && !is_asked && load.has_room(self.policy.period_us) {
                viewer.asked_at = Some(now);
                let sent = viewer.sent;
                self.feed.orders.of(lane).change(|order| order.want(sent));
            }
            self.loads.push(load);
        }
        let own_us = self.policy.period_us;
        let ladders = &mut self.ladders[lane.index()];
        let mut reduction = None;
        let grant = Grant::of(&self.loads, lead_at, own_us).map(|grant| {
            let choice = ladders.settle(now, own_us, grant.period_us, grant.bitrate_bps);
            reduction = choice.reduction;
            Grant { period_us: choice.period_us, ..grant }
        });
        if grant.is_none() {
            ladders.forget_viewers();
        }
        self.feed.orders.of(lane).change(|order| {
            order.is_watched = grant.is_some();
            order.open = grant.is_some_and(|grant| grant.open);
            order.round_trip_us = round_trip_us;
            order.anyone_has_picture = has_picture;
            order.picture_len_max = picture_len_max;
            if let Some(grant) = grant {
                order.bitrate_bps = grant.encoder_bitrate_bps(own_us);
                order.period_us = grant.period_us;
                order.reduction = reduction;
            }
        });
    }
}
