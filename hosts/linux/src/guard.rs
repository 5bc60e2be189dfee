//! The second look at what a viewer may do, where it is done.

use std::collections::BTreeSet;

use rift::{InputEvent, Permissions, Scancode};

/// Checks permissions a second time, by what it has let through itself.
#[derive(Debug, Default)]
pub struct Guard {
    held: BTreeSet<Scancode>,
}

impl Guard {
    /// Whether somebody with these permissions may cause this now. Letting go is always allowed: what is held must
    /// never stay so because a right was withdrawn.
    #[must_use]
    pub fn lets(&mut self, permissions: Permissions, event: &InputEvent) -> bool {
        if let InputEvent::Key { key, pressed: false } = event {
            self.held.remove(key);
        }
        let lets_go = matches!(
            event,
            InputEvent::Key { pressed: false, .. }
                | InputEvent::Button { pressed: false, .. }
                | InputEvent::GamepadButton { pressed: false, .. }
                | InputEvent::GamepadAxis { value: 0, .. }
                | InputEvent::GamepadDisconnected(_)
                | InputEvent::TouchUp(_)
        );
        if lets_go {
            return true;
        }
        let is_allowed = permissions.allow_while(event, |key| self.held.contains(&key));
        if let InputEvent::Key { key, pressed: true } = event
            && is_allowed
        {
            self.held.insert(*key);
        }
        is_allowed
    }

    /// Everything was let go.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use rift::Button;

    use super::*;

    #[test]
    fn permissions_are_checked_at_the_sink_and_letting_go_is_always_allowed() {
        let key = Scancode::new(30).unwrap();
        let may = |permissions, event| Guard::default().lets(permissions, &event);
        for pressed in [false, true] {
            for permissions in [Permissions::view_only(), Permissions::default_control()] {
                let allowed = !pressed || permissions.contains(Permissions::KEYBOARD);
                assert_eq!(may(permissions, InputEvent::Key { key, pressed }), allowed);
                assert_eq!(may(permissions, InputEvent::Button { button: Button::LEFT, pressed }), allowed);
            }
        }
        assert!(!may(Permissions::view_only(), InputEvent::Text('a')));
        assert!(!may(Permissions::POINTER, InputEvent::Text('a')));
        assert!(!may(Permissions::KEYBOARD, InputEvent::PointerAbsolute { x: 0, y: 0 }));
    }

    #[test]
    fn sink_switches_no_terminal_and_presses_no_sysrq_without_system_keys() {
        let event = |code, pressed| InputEvent::Key { key: Scancode::new(code).unwrap(), pressed };
        let (control, alt, f2, sysrq) = (29, 56, 60, 99);
        for (permissions, may) in [
            (Permissions::default_control(), false),
            (Permissions::default_control() | Permissions::SYSTEM_KEYS, true),
        ] {
            let mut guard = Guard::default();
            assert_eq!(guard.lets(permissions, &event(sysrq, true)), may);
            assert!(guard.lets(permissions, &event(control, true)));
            assert!(guard.lets(permissions, &event(alt, true)));
            assert_eq!(guard.lets(permissions, &event(f2, true)), may);
            assert!(guard.lets(permissions, &event(f2, false)));
            assert!(guard.lets(permissions, &event(control, false)));
            assert!(guard.lets(permissions, &event(f2, true)), "Alt+F2 alone is anybody's");
            assert_eq!(guard.lets(permissions, &event(control, true)), may, "and so it stays");
        }
    }
}
