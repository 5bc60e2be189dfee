//! Switches the machine behind a host's capture card, and shows nothing.
//!
//! An action is a key that needs the right *power* (SPEC §8.10): a host that was told how does it instead of pressing the
//! key. What comes of it is the host's to log; here it is known that the host took it.

use core::time::Duration;

use rift::{InputEvent, Permissions, Scancode};
use rift_mio::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::info;

use crate::args::{Power, PowerAction};
use crate::errand::Errand;
use crate::error::ClientError;
use crate::link::{Link, Order, Orders, Status};
use crate::{Place, host_place};

/// Longer than any handshake, and than any loss on the way is mended in.
const PATIENCE: Duration = Duration::from_secs(20);
/// Who steers may change as a session begins: a right that is not there is waited for so long.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is looked whether the host took the key.
const LOOK: Duration = Duration::from_millis(20);

impl PowerAction {
    /// The key that asks for it: KEY_POWER, KEY_POWER2, KEY_RESTART, KEY_WAKEUP of `linux/input-event-codes.h`.
    const fn key(self) -> Option<Scancode> {
        Scancode::new(match self {
            Self::On => 116,
            Self::Off => 356,
            Self::Reset => 408,
            Self::Wake => 143,
        })
    }
}

/// Asks a host for it, and waits until the host has taken that.
///
/// # Errors
/// [`ClientError`], with words that say what to do.
pub fn power(options: &Power) -> Result<(), ClientError> {
    let (host, port) = host_place(options.host.as_deref(), options.host_id)?;
    let place = Place { host: host.clone(), port, id: options.host_id, meeting: None, direct: Vec::new() };
    let wanted = Permissions::VIEW | Permissions::KEYBOARD | Permissions::POWER;
    let target = place.target(&options.common, options.handshake, wanted)?;
    let id = target.identity.public();
    let mut errand = Errand::begin(target, None)?;
    let asked = ask(options.action, &errand.link, &mut errand.orders, errand.clock);
    // What happened first is what is told.
    errand.end()?;
    match asked {
        Asked::Taken => {
            info!(action = ?options.action, "{host} took it");
            Ok(())
        }
        Asked::Forbidden => Err(ClientError::NoPower { host, id }),
        Asked::Lost => Err(ClientError::Ended { host, what: "did not take it in time".to_owned() }),
    }
}

enum Asked {
    Taken,
    Forbidden,
    Lost,
}

fn ask(action: PowerAction, link: &Link, orders: &mut Orders, clock: Clock) -> Asked {
    let until = clock.now() + PATIENCE;
    let (mut is_pressed, mut forbidden_since) = (false, None);
    while clock.now() < until {
        let (status, permissions) = {
            let latest = link.latest();
            (latest.status, latest.permissions)
        };
        match (status, permissions) {
            // What was pressed in a session that was lost may have been taken or not: it is not pressed again.
            (Status::Over, _) => return Asked::Lost,
            (Status::Lost(_) | Status::Connecting, _) if is_pressed => return Asked::Lost,
            (Status::Live, Some(may)) if !may.contains(Permissions::KEYBOARD | Permissions::POWER) => {
                let since = *forbidden_since.get_or_insert_with(|| clock.now());
                if clock.now() - since > GRACE {
                    return Asked::Forbidden;
                }
            }
            (Status::Live, Some(_)) if !is_pressed => {
                let Some(key) = action.key() else { return Asked::Lost };
                for pressed in [true, false] {
                    orders.give(Order::Input(InputEvent::Key { key, pressed }));
                }
                orders.announce();
                is_pressed = true;
            }
            (Status::Live, Some(_)) if link.is_input_taken() => return Asked::Taken,
            (Status::Live | Status::Connecting | Status::Lost(_), _) => {}
        }
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        // What it says does not matter: it is looked anyway.
        let _ = poll(&mut [PollFd::from_borrowed_fd(link.view_fd(), PollFlags::IN)], Some(&look));
        link.clear_view();
    }
    Asked::Lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_key_that_needs_the_right() {
        let without = Permissions::all() - Permissions::POWER;
        for action in [PowerAction::On, PowerAction::Off, PowerAction::Reset, PowerAction::Wake] {
            let event = InputEvent::Key { key: action.key().expect("it is a key"), pressed: true };
            assert!(Permissions::all().allow_while(&event, |_| false), "{action:?}");
            assert!(!without.allow_while(&event, |_| false), "{action:?}");
        }
    }
}
