//! The frames of SPEC §7–§14, written a second time from the specification alone: what an attacker's own
//! implementation would emit, and a check of `rift::wire`. Values that the specification forbids can be written.

use rift::wire::FrameType;
use rift::wire::input::Held;
use rift::wire::picture::PictureHead;
use rift::{Contact, Gamepad, InputEvent};

/// Appends a frame with its length (SPEC §7.1). Bodies are at most 16575 bytes.
pub fn frame(out: &mut Vec<u8>, code: u8, body: &[u8]) {
    out.push(code & 0x7f);
    match u8::try_from(body.len()) {
        Ok(len) if len < 192 => out.push(len),
        _ => {
            let [high, low] = u16::try_from(body.len() - 192).unwrap_or(u16::MAX).to_be_bytes();
            out.extend([high | 0xc0, low]);
        }
    }
    out.extend_from_slice(body);
}

/// Appends the last frame of a packet, which has no length.
pub fn last_frame(out: &mut Vec<u8>, code: u8, body: &[u8]) {
    out.push(code | 0x80);
    out.extend_from_slice(body);
}

/// Every frame type of the registry.
pub const TYPES: [FrameType; 34] = [
    FrameType::Padding,
    FrameType::ClockRequest,
    FrameType::ClockReply,
    FrameType::Feedback,
    FrameType::Close,
    FrameType::Admitted,
    FrameType::Pairing,
    FrameType::Successor,
    FrameType::Input,
    FrameType::InputAcknowledged,
    FrameType::Rumble,
    FrameType::InputShown,
    FrameType::Cursor,
    FrameType::StreamParameters,
    FrameType::Repair,
    FrameType::VideoPosition,
    FrameType::CaptureState,
    FrameType::Capabilities,
    FrameType::TileReport,
    FrameType::MoreParity,
    FrameType::WindowShard,
    FrameType::Window,
    FrameType::Shard,
    FrameType::Audio,
    FrameType::Stream,
    FrameType::StreamAcknowledged,
    FrameType::PathChallenge,
    FrameType::PathResponse,
    FrameType::NewConnection,
    FrameType::PathsInUse,
    FrameType::KeyRequest,
    FrameType::KeyReply,
    FrameType::DatagramLimit,
    FrameType::MtuProbe,
];

/// A body put together field by field.
#[derive(Clone, Debug, Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    /// Appends one byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Appends two bytes.
    #[must_use]
    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Appends four bytes.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Appends eight bytes.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends an input event (SPEC §10).
    #[must_use]
    pub fn event(self, event: &InputEvent) -> Self {
        if let InputEvent::Key { key, pressed } = event {
            return self.u8(if *pressed { 1 } else { 2 }).u16(key.code());
        }
        if let InputEvent::Text(character) = event {
            return self.u8(3).u32(u32::from(*character));
        }
        if let InputEvent::Button { button, pressed } = event {
            return self.u8(if *pressed { 4 } else { 5 }).u8(button.index());
        }
        if let InputEvent::PointerAbsolute { x, y } = event {
            return self.u8(6).u16(*x).u16(*y);
        }
        if let InputEvent::PointerRelative { dx, dy } = event {
            return self.u8(7).u16(dx.cast_unsigned()).u16(dy.cast_unsigned());
        }
        if let InputEvent::Wheel { dx, dy } = event {
            return self.u8(8).u16(dx.cast_unsigned()).u16(dy.cast_unsigned());
        }
        self.device_event(event)
    }

    fn device_event(self, event: &InputEvent) -> Self {
        if let InputEvent::GamepadConnected(gamepad) = event {
            return self.u8(9).u8(gamepad.index());
        }
        if let InputEvent::GamepadDisconnected(gamepad) = event {
            return self.u8(10).u8(gamepad.index());
        }
        if let InputEvent::GamepadButton { gamepad, button, pressed } = event {
            return self.u8(if *pressed { 11 } else { 12 }).u8(gamepad.index()).u8(button.index());
        }
        if let InputEvent::GamepadAxis { gamepad, axis, value } = event {
            return self.u8(13).u8(gamepad.index()).u8(axis.index()).u16(value.cast_unsigned());
        }
        if let InputEvent::TouchDown { contact, x, y } = event {
            return self.u8(14).u8(contact.index()).u16(*x).u16(*y);
        }
        if let InputEvent::TouchMove { contact, x, y } = event {
            return self.u8(15).u8(contact.index()).u16(*x).u16(*y);
        }
        if let InputEvent::TouchUp(contact) = event {
            return self.u8(16).u8(contact.index());
        }
        self.u8(0xff)
    }
}

impl Body {
    /// Appends what an input frame says of gamepads and touch (SPEC §10).
    #[must_use]
    pub fn devices(mut self, held: &Held) -> Self {
        let gamepads: Vec<_> = Gamepad::all().map(|gamepad| held.gamepad(gamepad)).collect();
        let contacts: Vec<_> = Contact::all().map(|contact| held.contact(contact)).collect();
        let mask =
            |set: Vec<bool>| set.iter().rev().fold(0, |mask: u16, &is_set| mask << 1 | u16::from(is_set));
        let touched = mask(contacts.iter().map(Option::is_some).collect());
        let plugged = mask(gamepads.iter().map(Option::is_some).collect());
        self = self.u8(u8::try_from(plugged).expect("four gamepads") | if touched == 0 { 0 } else { 0x10 });
        for state in gamepads.into_iter().flatten() {
            self =
                state.axes.iter().fold(self.u32(state.buttons), |body, axis| body.u16(axis.cast_unsigned()));
        }
        if touched == 0 {
            return self;
        }
        contacts.into_iter().flatten().fold(self.u16(touched), |body, (x, y)| body.u16(x).u16(y))
    }
}

/// The head of a shard (SPEC §11.4); its bytes follow.
#[must_use]
pub fn shard(picture: u16, shard: u16, data_shards: u16, parity_shards: u8, shard_len: u16) -> Body {
    Body::default().u16(picture).u16(shard).u16(data_shards).u8(parity_shards).u16(shard_len)
}

/// The head of a picture (SPEC §11.3) as `head` says.
#[must_use]
pub fn picture_head(head: &PictureHead) -> Body {
    let len = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let mut body = Body::default().u16(len).u8(0).u8(head.reference_distance).u32(head.total_len);
    body = body.u32(head.captured_us).u32(head.encoded_after_us).u32(head.sent_after_us);
    body = body.u8(u8::try_from(head.rectangles.len()).unwrap_or(u8::MAX));
    for rectangle in &head.rectangles {
        let place = rectangle.place;
        body = body.u16(place.x).u16(place.y).u16(place.width).u16(place.height);
        body = body.u8(rectangle.codec.code()).u32(rectangle.len);
    }
    body
}
