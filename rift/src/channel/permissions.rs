//! What an admitted peer may do (SPEC §8). Checked once, at dispatch, and again at the sink.

use crate::channel::input::InputEvent;
use crate::crypto::Side;
use crate::wire::stream::Channel;

bitflags::bitflags! {
    /// The rights of one admitted peer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Permissions: u32 {
        /// See the pictures.
        const VIEW = 1 << 0;
        /// Move the pointer, press its buttons, turn the wheel.
        const POINTER = 1 << 1;
        /// Press keys and enter text.
        const KEYBOARD = 1 << 2;
        /// SysRq, virtual-terminal switches.
        const SYSTEM_KEYS = 1 << 3;
        /// Gamepads.
        const GAMEPAD = 1 << 4;
        /// Touch.
        const TOUCH = 1 << 5;
        /// Read the host's clipboard.
        const CLIPBOARD_READ = 1 << 6;
        /// Write the host's clipboard.
        const CLIPBOARD_WRITE = 1 << 7;
        /// Send files to the host.
        const FILE_SEND = 1 << 8;
        /// Receive files from the host.
        const FILE_RECEIVE = 1 << 9;
        /// Hear the host.
        const AUDIO = 1 << 10;
        /// Be heard by the host.
        const MICROPHONE = 1 << 11;
        /// Record the session.
        const RECORD = 1 << 12;
        /// Power and reset.
        const POWER = 1 << 13;
        /// Change the host's settings.
        const ADMIN = 1 << 14;
    }
}

impl Permissions {
    /// What a paired peer gets unless somebody decides otherwise: view, pointer, keyboard, audio.
    #[must_use]
    pub const fn default_control() -> Self {
        Self::VIEW.union(Self::POINTER).union(Self::KEYBOARD).union(Self::AUDIO)
    }

    /// Watch and listen only.
    #[must_use]
    pub const fn view_only() -> Self {
        Self::VIEW.union(Self::AUDIO)
    }

    /// Whether anything here lets the peer act on the host's devices.
    #[must_use]
    pub const fn may_steer(self) -> bool {
        self.intersects(Self::POINTER.union(Self::KEYBOARD).union(Self::GAMEPAD).union(Self::TOUCH))
    }

    /// Whether `sender`, of a client with these rights and its host, may send on a stream (SPEC §8.4).
    #[must_use]
    pub(crate) const fn allow_stream(self, sender: Side, channel: Channel) -> bool {
        match (channel, sender) {
            (Channel::Control | Channel::Cursor, _) => true,
            (Channel::Clipboard, Side::Initiator) => self.contains(Self::CLIPBOARD_WRITE),
            (Channel::Clipboard, Side::Responder) => self.contains(Self::CLIPBOARD_READ),
            // A file goes one way, and its answers the other.
            (Channel::File, _) => self.intersects(Self::FILE_SEND.union(Self::FILE_RECEIVE)),
        }
    }

    /// Whether a peer with these rights may cause `event` (SPEC §8.2).
    #[must_use]
    pub const fn allow(self, event: &InputEvent) -> bool {
        match event {
            InputEvent::Key { key, .. } => {
                self.contains(Self::KEYBOARD) && (key.code() != KEY_SYSRQ || self.contains(Self::SYSTEM_KEYS))
            }
            InputEvent::Text(_) => self.contains(Self::KEYBOARD),
            InputEvent::Button { .. }
            | InputEvent::PointerAbsolute { .. }
            | InputEvent::PointerRelative { .. }
            | InputEvent::Wheel { .. } => self.contains(Self::POINTER),
            InputEvent::GamepadConnected(_)
            | InputEvent::GamepadDisconnected(_)
            | InputEvent::GamepadButton { .. }
            | InputEvent::GamepadAxis { .. } => self.contains(Self::GAMEPAD),
            InputEvent::TouchDown { .. } | InputEvent::TouchMove { .. } | InputEvent::TouchUp(_) => {
                self.contains(Self::TOUCH)
            }
        }
    }
}

/// `KEY_SYSRQ`: with it the kernel can be made to reboot.
const KEY_SYSRQ: u16 = 99;
