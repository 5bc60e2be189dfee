//! What must hold whatever happens. Each function returns a sentence for everything that does not.

use core::time::Duration;

use rift::limits::{INPUT_UNACKNOWLEDGED_MAX, PENDING_HANDSHAKES};
use rift::wire::input::Held;
use rift::{InputEvent, PublicKey};
use rift_sim::Captured;
use rift_sim::picture::MAGIC;

use crate::client::Life;
use crate::host::Visit;
use crate::scenario::END;
use crate::world::World;

/// Datagrams that a program may send in a second: several times what its pictures, reports and input need.
const DATAGRAMS_MAX: usize = 3000;
/// Bytes of pictures that may wait for one guest: four of them, the largest of which are key pictures.
const VIDEO_BACKLOG_MAX: usize = 1 << 20;
/// Bytes of the control stream that may be under way at the end.
const UNDER_WAY_MAX: usize = 200;
/// The last picture may be this old at the end.
const PICTURE_AGE_MAX: Duration = Duration::from_millis(500);

/// Nothing grows beyond its bound. `before` datagrams had been sent at the last look, a second ago.
#[must_use]
pub fn growth(world: &World, before: usize) -> Vec<String> {
    let mut found = Vec::new();
    let host = &world.network.host(world.host).host().peer;
    if host.pending() > PENDING_HANDSHAKES {
        found.push(format!("{} handshakes are half done", host.pending()));
    }
    for guest in &host.guests {
        let backlog = guest.session.video_backlog_bytes();
        if backlog > VIDEO_BACKLOG_MAX {
            found.push(format!("{backlog} bytes of pictures wait for a guest"));
        }
    }
    let client = world.network.host(world.client).client().peer();
    let backlog = client.map_or(0, |peer| peer.session().input_backlog());
    if backlog > INPUT_UNACKNOWLEDGED_MAX {
        found.push(format!("{backlog} input events wait"));
    }
    let new = &world.network.captured()[before..];
    let of_host = new.iter().filter(|sent| sent.from == world.host).count();
    for (who, count) in [("host", of_host), ("clients", new.len() - of_host)] {
        if count > DATAGRAMS_MAX {
            found.push(format!("{count} datagrams in a second from the {who}"));
        }
    }
    found
}

/// Everything that is to be seen once it is over; counts what came of it.
pub fn ends(world: &mut World) {
    let mut found = stuck(world);
    let [client_key, _, _] = world.identities.clone().map(|identity| identity.public());
    let lives = world.network.host_mut(world.client).client_mut().finish().to_vec();
    let strange = world.network.host_mut(world.stranger).client_mut().finish().to_vec();
    let visits = world.network.host_mut(world.host).host_mut().finish().to_vec();
    found.extend(pictures(&lives));
    found.extend(strangers(&strange, &visits, client_key));
    found.extend(input(&lives, &visits));
    found.extend(streams(&lives, &visits, &world.file));
    found.extend(plaintext(world));
    let (sent, heard) = (world.injector.sent_bytes, world.network.node_stats(world.attacker).received_bytes);
    if heard > 3 * sent {
        found.push(format!("{heard} bytes to an address that had sent {sent}"));
    }
    found.into_iter().for_each(|found| world.complain(found));
    let totals = world.totals_mut();
    totals.sessions = lives.iter().filter(|life| life.was_admitted).count() as u64;
    totals.pictures = lives.iter().map(|life| life.shown.len() as u64).sum();
    totals.inputs = visits.iter().map(|visit| visit.input.len() as u64).sum();
}

/// At the end a session is there, and nothing waits in it.
fn stuck(world: &World) -> Vec<String> {
    let Some(peer) = world.network.host(world.client).client().peer() else {
        return vec!["at the end there is no session".to_owned()];
    };
    let mut found = Vec::new();
    let session = peer.session();
    if !session.is_established() || session.permissions().is_none() {
        found.push("at the end the client is not let in".to_owned());
    }
    if session.input_backlog() > 0 || peer.typist.as_ref().is_some_and(|typist| !typist.is_done()) {
        found.push(format!("at the end {} input events wait", session.input_backlog()));
    }
    let end = world.local(world.client, END);
    let age = peer.shown.last().map(|shown| end.since(shown.at));
    if age.is_none_or(|age| age > PICTURE_AGE_MAX) {
        found.push(format!("at the end the last picture is {age:?} old"));
    }
    for guest in &world.network.host(world.host).host().peer.guests {
        let events = guest.input.iter().map(|(_, event)| event);
        if !held(events).is_empty() {
            found.push("at the end a key or a button is stuck".to_owned());
        }
    }
    found
}

/// No picture was delivered damaged, or without what it leans on, or twice.
fn pictures(lives: &[Life]) -> Vec<String> {
    let refused = lives.iter().flat_map(|life| &life.refused);
    let mut found: Vec<String> =
        refused.map(|why| format!("a picture was delivered that is {why:?}")).collect();
    if lives.iter().any(|life| !life.shown.is_sorted_by(|one, next| one.id < next.id)) {
        found.push("pictures were shown out of order".to_owned());
    }
    found
}

/// Nobody gets in who is not known, and who only repeats what the client said does nothing.
fn strangers(strange: &[Life], visits: &[Visit], known: PublicKey) -> Vec<String> {
    let mut found = Vec::new();
    if visits.iter().any(|visit| visit.peer != Some(known)) {
        found.push("somebody unknown has a session".to_owned());
    }
    if strange.iter().any(|life| life.was_admitted || !life.shown.is_empty() || !life.heard.is_empty()) {
        found.push("the stranger was let in".to_owned());
    }
    let idle = |visit: &&Visit| !visit.was_live;
    for visit in visits.iter().filter(idle) {
        if !visit.input.is_empty() || !visit.heard.is_empty() || !visit.file.is_empty() {
            found.push("a session on trial did something".to_owned());
        }
    }
    found
}

/// Each session's input came once and in order, to one session of the host, and all of the last one came.
#[must_use]
pub fn input(lives: &[Life], visits: &[Visit]) -> Vec<String> {
    let mut found = Vec::new();
    let mut owners: Vec<Option<usize>> = vec![None; lives.len()];
    for (index, visit) in visits.iter().enumerate() {
        let got: Vec<InputEvent> = visit.input.iter().map(|&(_, event)| event).collect();
        // Too few could be anybody's.
        if got.len() < 3 {
            continue;
        }
        let fits = |life: &Life| exactly_once(&life.sent, &got).is_some();
        match lives.iter().position(fits) {
            None => {
                found.push(format!("the input of visit {index} is no beginning of what any session sent"))
            }
            Some(life) => match owners[life].replace(index) {
                None => {}
                Some(other) => {
                    found.push(format!("visits {other} and {index} both took session {life}'s input"))
                }
            },
        }
        if visit.is_over && !held(&got).is_empty() {
            found.push(format!("visit {index} is over and something is held"));
        }
    }
    let Some((last, owner)) = lives.last().zip(owners.last()) else { return found };
    let got = owner.map(|index| visits[index].input.iter().map(|&(_, event)| event).collect());
    let got: Vec<InputEvent> = got.unwrap_or_default();
    if last.sent.len() > 3 && exactly_once(&last.sent, &got) != Some(wholes(&last.sent)) {
        found.push(format!("of {} input events of the last session {} came", last.sent.len(), got.len()));
    }
    found
}

/// Events that are never merged, and how far the pointer and the wheel went.
type Whole = (usize, [i64; 4]);

/// What of `sent` has come when all has come.
fn wholes(sent: &[InputEvent]) -> Whole {
    sent.iter().fold((0, [0; 4]), |(count, sums), event| match way(event) {
        Some(way) => (count, add(sums, way)),
        None => (count + usize::from(!is_place(event)), sums),
    })
}

/// How much of `sent` is in `got`, whose events that are never merged must be the first of those of `sent`, once and
/// in order. What silence released, and what was pressed again after it, may stand between them.
#[must_use]
pub fn exactly_once(sent: &[InputEvent], got: &[InputEvent]) -> Option<Whole> {
    let firm: Vec<&InputEvent> =
        sent.iter().filter(|event| way(event).is_none() && !is_place(event)).collect();
    let mut sums = [0; 4];
    // How many may have been taken, with what the client then held: a release may be silence's or the client's.
    let mut tellings = vec![(0, Held::NOTHING)];
    for event in got {
        if let Some(way) = way(event) {
            sums = add(sums, way);
        } else if !is_place(event) {
            let taken = tellings.iter().filter(|(taken, _)| firm.get(*taken) == Some(&event));
            let taken: Vec<_> = taken.map(|(taken, held)| (taken + 1, after(held, event))).collect();
            tellings.retain(|(_, held)| is_release(event) || is_held(held, event));
            tellings.extend(taken);
            tellings.sort_by_key(|&(taken, _)| taken);
            tellings.dedup_by_key(|(taken, _)| *taken);
        }
    }
    tellings.last().map(|&(taken, _)| (taken, sums))
}

fn after(held: &Held, event: &InputEvent) -> Held {
    let mut held = held.clone();
    held.apply(event);
    held
}

/// What a relative event adds.
const fn way(event: &InputEvent) -> Option<[i16; 4]> {
    if let InputEvent::PointerRelative { dx, dy } = *event {
        return Some([dx, dy, 0, 0]);
    }
    if let InputEvent::Wheel { dx, dy } = *event { Some([0, 0, dx, dy]) } else { None }
}

fn add(sums: [i64; 4], way: [i16; 4]) -> [i64; 4] {
    core::array::from_fn(|axis| sums[axis] + i64::from(way[axis]))
}

const fn is_place(event: &InputEvent) -> bool {
    matches!(event, InputEvent::PointerAbsolute { .. })
}

const fn is_release(event: &InputEvent) -> bool {
    matches!(event, InputEvent::Key { pressed: false, .. } | InputEvent::Button { pressed: false, .. })
}

fn is_held(held: &Held, event: &InputEvent) -> bool {
    if let InputEvent::Key { key, .. } = *event {
        return held.has_key(key);
    }
    matches!(*event, InputEvent::Button { button, .. } if held.has_button(button))
}

fn held<'e>(events: impl IntoIterator<Item = &'e InputEvent>) -> Held {
    events.into_iter().fold(Held::NOTHING, |held, event| after(&held, event))
}

/// Streams are beginnings of what was written, and the last session's are whole but for what has just been written.
fn streams(lives: &[Life], visits: &[Visit], file: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for (who, heard, written) in [
        (
            "client",
            lives.iter().map(|life| &life.heard).collect::<Vec<_>>(),
            visits.iter().map(|visit| &visit.written).collect::<Vec<_>>(),
        ),
        (
            "host",
            visits.iter().map(|visit| &visit.heard).collect(),
            lives.iter().map(|life| &life.written).collect(),
        ),
    ] {
        for heard in heard.iter().filter(|heard| !heard.is_empty()) {
            if !written.iter().any(|written| written.starts_with(heard)) {
                found.push(format!("the control stream to the {who} is not what was written"));
            }
        }
    }
    if let Some(last) = lives.last()
        && !visits.iter().any(|visit| {
            last.written.starts_with(&visit.heard) && last.written.len() <= visit.heard.len() + UNDER_WAY_MAX
        })
    {
        found.push("the last session's control stream did not arrive at the host".to_owned());
    }
    if visits.iter().any(|visit| !file.starts_with(&visit.file)) {
        found.push("the file arrived damaged".to_owned());
    }
    found
}

/// Nothing that was said in a session is on the wire as it was said.
fn plaintext(world: &World) -> Vec<String> {
    let mut secrets: Vec<Vec<u8>> =
        vec![b"client says ".to_vec(), b"host says ".to_vec(), b" to guest ".to_vec()];
    secrets.extend(world.identities.iter().map(|identity| identity.public().as_bytes().to_vec()));
    if world.file.len() >= 1000 {
        secrets.extend(world.file.chunks_exact(16).step_by(60).map(<[u8]>::to_vec));
    }
    // The head of each of the first pictures: magic, number, reference.
    secrets.extend((1..1024_u32).map(|number| [&MAGIC[..], &number.to_le_bytes()].concat()));
    let found = find_any(&secrets, world.network.captured());
    found.map(|at| format!("plaintext in datagram {at}")).into_iter().collect()
}

/// The first datagram with any of these in it. Each must be at least 6 bytes, so that chance does not find it.
#[must_use]
pub fn find_any(secrets: &[Vec<u8>], captured: &[Captured]) -> Option<usize> {
    let mut starts = vec![false; 1 << 16];
    let start = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    secrets.iter().for_each(|secret| starts[start(secret)] = true);
    let has = |bytes: &[u8]| {
        let mut places = bytes.windows(2).enumerate().filter(|(_, pair)| starts[start(pair)]);
        places.any(|(at, _)| secrets.iter().any(|secret| bytes[at..].starts_with(secret)))
    };
    captured.iter().position(|sent| has(&sent.bytes))
}
