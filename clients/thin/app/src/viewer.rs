//! What the client does with a session: pictures to the screen, hands to the host.

use embassy_futures::select::{Either, select};
use embassy_time::Timer;
use embedded_storage::nor_flash::NorFlash;
use rift::limits::TILE_REPORT_MAX;
use rift::{
    AddressToken, Channel, CloseReason, Codec, Event, Handshake, InputEvent, Instant, Memory, PairingWindow,
    PictureId, PublicKey, Session, Stats, StreamParameters,
};
use rift_embassy::Application;
use rift_tiles::{Grid, TileSet};

use crate::begun::Begun;
use crate::entropy::Entropy;
use crate::input::{InputQueue, InputSource};
use crate::report::{Fault, Observer, Pace, Report, Sign, Stage, show_stage};
use crate::screen::{Screen, Surface};

/// Words of a set of tiles: for 2048 of them, as a screen of 2048 × 4096 pixels has.
const WRONG_WORDS: usize = 64;
/// How often the board's watchdog is told that all is well while nothing happens, in microseconds.
const ALIVE_US: u64 = 500_000;
/// How soon input is offered again to a session that had no room, in microseconds.
const RETRY_US: u64 = 5_000;
/// How often the figures of a session are told, in microseconds.
const STATS_US: u64 = 1_000_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Viewer<'a, 'm, S, I, E, F, O> {
    screen: &'a mut Screen<'m, S>,
    input: &'a mut I,
    begun: &'a mut Begun<E, F>,
    observer: &'a mut O,
    queue: &'a mut InputQueue,
    parameters: Option<StreamParameters>,
    has_picture: bool,
    stats_at: Instant,
    /// What had come by then, in bytes.
    bytes_at: u64,
    /// When to look again although nothing is done at the board. A time, not a length: the network wakes the driver more
    /// often than that.
    tick_at: Instant,
    /// What is said while no picture shows.
    pub(crate) sign: Sign<'a>,
    /// Who has proven, in a session for pairing, that the PIN is known there.
    pub(crate) paired: Option<PublicKey>,
    /// What a session for pairing needs.
    pairing: Option<Pairing<'a>>,
    /// The newest token of the host, for the next call.
    pub(crate) token: Option<AddressToken>,
    /// The host let this board in.
    pub(crate) is_let_in: bool,
    /// Why the board cannot go on: there was no entropy when the session asked for some, or no memory for its host's word.
    pub(crate) fault: Option<Fault>,
}

/// One attempt at pairing.
#[derive(Debug)]
pub(crate) struct Pairing<'a> {
    pub(crate) own: PublicKey,
    pub(crate) window: &'a mut PairingWindow,
    pub(crate) entropy: [u8; 32],
}

impl<'a, 'm, S: Surface, I: InputSource, E: Entropy, F: NorFlash, O: Observer> Viewer<'a, 'm, S, I, E, F, O> {
    pub(crate) const fn new(
        screen: &'a mut Screen<'m, S>,
        (input, queue): (&'a mut I, &'a mut InputQueue),
        begun: &'a mut Begun<E, F>,
        observer: &'a mut O,
        sign: Sign<'a>,
        pairing: Option<Pairing<'a>>,
    ) -> Self {
        Self {
            screen,
            input,
            begun,
            observer,
            queue,
            parameters: None,
            has_picture: false,
            stats_at: Instant::ZERO,
            bytes_at: 0,
            tick_at: Instant::ZERO,
            sign,
            paired: None,
            pairing,
            token: None,
            is_let_in: false,
            fault: None,
        }
    }

    /// A place on the board's screen as one of the picture, which begins in the same corner and may be smaller.
    fn in_picture(&self, event: InputEvent) -> InputEvent {
        let InputEvent::PointerAbsolute { x, y } = event else { return event };
        let Some(parameters) = self.parameters else { return event };
        let (width, height) = self.screen.size();
        let x = of_part(x, width, parameters.width);
        InputEvent::PointerAbsolute { x, y: of_part(y, height, parameters.height) }
    }

    /// Takes note of how the session goes, and shows it while nothing else does.
    fn tell(&mut self, now: Instant, stats: &Stats) {
        // The first figures have no time that they are of.
        if self.stats_at != Instant::ZERO {
            let bytes = stats.bytes_received.saturating_sub(self.bytes_at);
            self.sign.pace = Some(Pace::of(stats.round_trip_us, bytes, now.micros_since(self.stats_at)));
            self.say_admitted();
        }
        (self.stats_at, self.bytes_at) = (now, stats.bytes_received);
    }

    /// Says that the host let this board in, and how the session goes, until a picture shows.
    fn say_admitted(&mut self) {
        if self.is_let_in && !self.has_picture {
            show_stage(self.screen, Stage::Admitted, &self.sign);
        }
    }

    fn show<M: Memory, H: Handshake>(&mut self, now: Instant, session: &mut Session<M, H>, id: PictureId) {
        let (Some(media), Some(parameters)) = (session.media(id), self.parameters) else { return };
        let size = (parameters.width, parameters.height);
        let (mut at, mut checked, mut wrong) = (0, 0, 0);
        let mut words = [0; WRONG_WORDS];
        let grid = Grid::new(size.0, size.1);
        let mut set = grid.and_then(|grid| TileSet::new(grid, &mut words));
        let mut outcome = Ok(());
        if !self.has_picture {
            self.screen.clear();
        }
        for rectangle in &media.head.rectangles {
            let end = at + rectangle.len as usize;
            let bytes = media.payload.get(at..end).unwrap_or_default();
            at = end;
            if rectangle.codec != Codec::Tiles {
                outcome = self.screen.show_coded(rectangle.codec, rectangle.place, bytes);
                if outcome.is_err() {
                    break;
                }
                continue;
            }
            match self.screen.show(bytes, size, set.as_mut()) {
                Ok(decoded) => {
                    checked += decoded.checked;
                    wrong += decoded.wrong;
                }
                Err(error) => outcome = Err(error),
            }
        }
        // Drawing takes its time: the clock is read after it.
        let (len, took_us) = (media.payload.len(), rift_embassy::now().micros_since(media.first_at));
        session.release_media(id);
        if let Err(error) = outcome {
            self.observer.report(Report::Refused(error));
            session.want_repair(now);
            return;
        }
        if !self.has_picture {
            self.has_picture = true;
            self.observer.report(Report::Stage(Stage::Watching));
        }
        self.observer.report(Report::Picture { id: id.0, len, checked, wrong, took_us });
        let mut report = [0; TILE_REPORT_MAX];
        let report_len = set.map_or(0, |set| set.emit(&mut report));
        if report_len > 0 {
            // A session that is over takes none, and needs none.
            let _ = session.report_tiles(id, &report[..report_len]);
        }
    }
}

impl<M: Memory, H: Handshake, S: Surface, I: InputSource, E: Entropy, F: NorFlash, O: Observer>
    Application<M, H> for Viewer<'_, '_, S, I, E, F, O>
{
    fn event(&mut self, now: Instant, session: &mut Session<M, H>, event: Event) {
        if let Event::Picture(id) = event {
            self.show(now, session, id);
        } else if let Event::StreamParameters(parameters) = event {
            self.parameters = Some(parameters);
            self.screen.clear_beside((parameters.width, parameters.height));
        } else if let Event::Admitted(_) = event {
            self.is_let_in = true;
            self.queue.begin();
            self.observer.report(Report::Stage(Stage::Admitted));
            self.say_admitted();
        } else if let Event::Authenticated(_) = event
            && let Some(attempt) = self.pairing.take()
            && let Some(guess) = attempt.window.guess(now)
        {
            // A session that does not take it ends by itself, and the person tries again.
            let _ = session.pair(now, &attempt.own, guess, attempt.entropy);
        } else if let Event::Paired(host) = event {
            self.paired = Some(host);
            session.close(now, CloseReason::Done);
        } else if event == Event::EntropyWanted {
            match self.begun.draws.draw() {
                Ok(drawn) => session.add_entropy(now, *drawn),
                Err(_) => {
                    self.fault = Some(Fault::NoEntropy);
                    session.close(now, CloseReason::Done);
                }
            }
        } else if let Event::AddressToken(token) = event {
            self.token = Some(token);
        } else if let Event::Successor(key) = event {
            self.observer.report(Report::Successor(key));
            // Waits for the flash memory: once for each key that a host ever has.
            if let Err(error) = self.begun.promise(key) {
                self.fault = Some(Fault::Settings(error));
                session.close(now, CloseReason::Done);
            }
        } else if let Event::Cursor(position) = event {
            self.screen.place_cursor(position);
        } else if event == Event::Readable(Channel::Cursor) {
            let mut bytes = [0; 256];
            loop {
                let len = session.read(Channel::Cursor, &mut bytes);
                if len == 0 {
                    break;
                }
                self.screen.push_cursor(&bytes[..len]);
            }
        } else if let Event::Closed(_) = event {
            self.queue.end();
            self.screen.drop_cursor();
        }
    }

    async fn wanted(&mut self) {
        let tick = Timer::at(embassy_time::Instant::from_micros(self.tick_at.as_micros()));
        if let Either::First(event) = select(self.input.next(), tick).await {
            self.observer.report(Report::Input(&event));
            self.queue.push(self.in_picture(event));
        }
    }

    fn command(&mut self, now: Instant, session: &mut Session<M, H>) {
        self.observer.alive();
        self.queue.flush(|event| session.send_input(now, event));
        let pause_us = if self.queue.is_waiting() { RETRY_US } else { ALIVE_US };
        self.tick_at = now.plus_micros(pause_us);
        if session.is_established() && now.micros_since(self.stats_at) >= STATS_US {
            let stats = session.stats(now);
            self.tell(now, &stats);
            self.observer.report(Report::Stats(&stats));
        }
    }
}

/// `place` of a `whole`, 65535 being its far edge, as a place of the `part` it begins with.
fn of_part(place: u16, whole: u16, part: u16) -> u16 {
    let scaled = u32::from(place) * u32::from(whole) / u32::from(part).max(1);
    u16::try_from(scaled).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beside_a_smaller_picture_are_its_edge() {
        assert_eq!(of_part(30_000, 480, 480), 30_000);
        assert_eq!(of_part(u16::MAX / 2, 480, 240), u16::MAX - 1);
        assert_eq!(of_part(u16::MAX, 480, 240), u16::MAX);
        assert_eq!(of_part(u16::MAX, u16::MAX, 1), u16::MAX);
    }
}
