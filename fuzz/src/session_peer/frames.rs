//! Frames as a peer would send them that knows the rules and breaks some: fields stand near those that would be right,
//! so that a fuzzer reaches what lies behind the first check.

use rift::wire::picture::{CodedRectangle, PictureHead};
use rift::{
    Button, Codec, Contact, Gamepad, GamepadAxis, GamepadButton, InputEvent, Instant, Rectangle, Scancode,
};

use crate::bytes::{Bytes, Noise};
use crate::messages::{self, Body};

/// Where an honest peer would go on.
#[derive(Debug, Default)]
pub(super) struct Frames {
    input: u32,
    picture: u32,
    sound: u32,
    stream: [u32; 4],
    acknowledged: [u32; 4],
    reported: u32,
}

impl Frames {
    /// Appends one frame to a packet's text.
    pub(super) fn append(&mut self, bytes: &mut Bytes<'_>, now: Instant, out: &mut Vec<u8>, is_last: bool) {
        let (code, body) = self.draw(bytes, now);
        if is_last {
            messages::last_frame(out, code, &body);
        } else if body.len() < 16_000 {
            messages::frame(out, code, &body);
        }
    }

    fn draw(&mut self, bytes: &mut Bytes<'_>, now: Instant) -> (u8, Vec<u8>) {
        let low = u32::try_from(now.as_micros() & 0xffff_ffff).expect("32 bits");
        let body = Body::default();
        let (code, body) = match bytes.below(20) {
            0 => (bytes.u8(), body.bytes(bytes.run(1400))),
            1 => (0x01, body.u32(bytes.near(low))),
            2 => {
                let arrived = if bytes.flag() { bytes.u64() } else { u64::from(bytes.near(low)) };
                (0x02, body.u32(bytes.near(low)).u64(arrived).u32(bytes.near(0)))
            }
            3 | 4 => (0x03, self.feedback(bytes, low)),
            5 => match bytes.u8() {
                code @ 0..=15 => (0x04, body.u16(code.into())),
                _ => (0x00, body.bytes(bytes.run(32))),
            },
            6 => (0x05, body.u32(bytes.near(0x0407))),
            7..=9 => (0x08, self.input(bytes)),
            10 => (0x09, body.u32(bytes.near(self.input))),
            11 => {
                let place = body.u16(bytes.u16()).u16(bytes.u16()).u8(bytes.u8());
                (0x0c, place.u32(bytes.near(1)))
            }
            12 => {
                let message = body.u32(bytes.near(self.picture)).u16(1 + bytes.u16() % 16385).u16(480);
                (0x10, message.u32(bytes.u32()).u8(bytes.u8() % 4))
            }
            13 => (0x11, body.u32(bytes.near(self.picture)).u32(bytes.near(self.picture))),
            14 => (0x12, body.u32(bytes.near(self.picture))),
            15 => (0x14, self.shard(bytes)),
            16 => (0x14, self.picture(bytes)),
            17 => self.stream(bytes),
            18 => {
                let channel = bytes.below(4);
                let next = bytes.near(self.acknowledged[channel]);
                self.acknowledged[channel] = next;
                let limit = bytes.near(next);
                let body = body.u8(u8::try_from(channel).expect("below 4")).u32(next).u32(limit);
                let runs = (0..bytes.below(4)).fold(body, |body, _| {
                    let start = bytes.near(next);
                    body.u32(start).u32(bytes.near(start))
                });
                (0x19, runs)
            }
            19 if bytes.u8() < 64 => {
                let wish = body.u8(bytes.u8() % 5).u8(bytes.u8() % 4).u16(bytes.u16()).u16(9);
                (0x0a, wish.u16(bytes.u16() % 5002))
            }
            19 if bytes.u8() < 64 => {
                let shown = body.u32(bytes.near(self.picture)).u32(bytes.near(self.input));
                (0x0b, shown.u32(bytes.near(low)).u32(bytes.near(0)))
            }
            19 if bytes.u8() < 64 => (0x20, self.sound(bytes, low)),
            19 if bytes.flag() => {
                let state = body.u8(bytes.u8() % 9).u16(bytes.u16()).u32(bytes.u32());
                (0x13, state.bytes(bytes.run(50)))
            }
            19 if bytes.flag() => (0x2c + (bytes.u8() & 1), body.u32(bytes.near(1)).bytes(bytes.run(48))),
            _ if bytes.flag() => {
                let codecs = body.u8(bytes.u8() % 10).bytes(bytes.run(9)).u8(bytes.u8() % 5);
                (0x15, codecs.u16(bytes.u16()).u16(bytes.u16()).u32(bytes.u32()))
            }
            _ if bytes.flag() => (0x16, body.u32(bytes.near(self.picture)).bytes(bytes.run(200))),
            _ => (0x0e, body.bytes(bytes.run(64))),
        };
        (code, body.0)
    }

    fn sound(&mut self, bytes: &mut Bytes<'_>, low: u32) -> Body {
        self.sound = bytes.near(self.sound);
        let along = bytes.u8() % 5;
        let mut sound = Body::default().u16(low16(self.sound)).u32(bytes.near(low)).u8(along);
        for _ in 0..along {
            sound = sound.u32(bytes.near(0)).u16(u16::from(bytes.u8() % 32));
        }
        sound.bytes(bytes.run(160))
    }

    fn feedback(&mut self, bytes: &mut Bytes<'_>, low: u32) -> Body {
        let first = bytes.near(self.reported);
        let count = 1 + u16::from(bytes.u8());
        self.reported = first.wrapping_add(count.into());
        let (every, item) = (bytes.u16(), bytes.u16());
        let mut body = Body::default().u8(0).u32(first).u32(bytes.near(low)).u16(count);
        for index in 0..count {
            let arrived = every >> (index % 16) & 1 == 1;
            body = body.u16(if arrived { item.wrapping_add(index % 7) | 0x8000 } else { 0 });
        }
        body
    }

    fn input(&mut self, bytes: &mut Bytes<'_>) -> Body {
        let first = bytes.near(self.input);
        let keys = bytes.u8() % 34;
        let buttons = if keys & 1 == 1 { bytes.u8() } else { 0 };
        let mut body = Body::default().u32(first).u8(buttons).u8(keys);
        let step = u16::from(bytes.u8());
        for key in 1..=u16::from(keys) {
            body = body.u16(key + step);
        }
        // Now and then everything is held on a gamepad and a contact or two.
        let devices = if keys & 3 == 3 { bytes.u8() & 0x17 } else { 0 };
        body = body.u8(devices);
        for _ in 0..(devices & 0x0f).count_ones() {
            body = (0..6).fold(body.u32(u32::from(bytes.u16()) << 3), |body, _| body.u16(bytes.u8().into()));
        }
        if devices & 0x10 != 0 {
            let contacts = u16::from(bytes.u8());
            body =
                (0..contacts.count_ones()).fold(body.u16(contacts), |body, _| body.u16(bytes.u16()).u16(7));
        }
        let shape = bytes.u8();
        let count = shape & 63;
        for index in 0..count {
            // Many presses of different keys are a story of two bytes.
            body = if shape & 64 != 0 {
                let key = Scancode::new(1 + u16::from(index) + step).expect("at most 319");
                body.event(&InputEvent::Key { key, pressed: shape & 128 != 0 })
            } else {
                body.event(&event(bytes))
            };
        }
        self.input = first.wrapping_add(count.into());
        body
    }

    fn shard(&mut self, bytes: &mut Bytes<'_>) -> Body {
        let picture = bytes.near(self.picture);
        let (k, m) = (1 + u16::from(bytes.u8() % 8), bytes.u8() % 4);
        let k = if bytes.u8() < 250 { k } else { bytes.u16() };
        let shard = u16::from(bytes.u8()) % (k.saturating_add(m.into())).max(1);
        let content = bytes.run(1200);
        let len = u16::try_from(content.len()).expect("at most 1200");
        let shard_len = if bytes.u8() < 240 { len } else { bytes.u16() };
        messages::shard(low16(picture), shard, k, m, shard_len).bytes(content)
    }

    /// A whole picture in one shard, mostly a sound one, each newer than the last.
    fn picture(&mut self, bytes: &mut Bytes<'_>) -> Body {
        self.picture = bytes.near(self.picture);
        let content = Noise::new(self.picture.into()).bytes(usize::from(bytes.u8()));
        let codec = [Codec::H264, Codec::Tiles, Codec::Jpeg][bytes.below(3)];
        let len = u32::try_from(content.len()).expect("at most 255");
        let rectangle = CodedRectangle { place: Rectangle::sized(64, 48), codec, len };
        let mut head = PictureHead {
            reference_distance: bytes.u8() % 4,
            total_len: 0,
            captured_us: bytes.u32(),
            encoded_after_us: 1,
            sent_after_us: bytes.u8().into(),
            rectangles: [rectangle].into_iter().collect(),
        };
        head.total_len = len + u32::try_from(head.len()).expect("a head is short");
        let whole = messages::picture_head(&head).bytes(&content).0;
        let shard_len = u16::try_from(whole.len()).expect("below 300");
        messages::shard(low16(self.picture), 0, 1, 0, shard_len).bytes(&whole)
    }

    fn stream(&mut self, bytes: &mut Bytes<'_>) -> (u8, Body) {
        let channel = bytes.below(4);
        let offset = bytes.near(self.stream[channel]);
        let data = bytes.run(1100);
        self.stream[channel] = offset.wrapping_add(u32::try_from(data.len()).expect("at most 1100"));
        let code = u8::try_from(channel).expect("below 4");
        (0x18, Body::default().u8(code).u32(offset).bytes(data))
    }
}

/// Some input event.
pub(crate) fn event(bytes: &mut Bytes<'_>) -> InputEvent {
    let code = bytes.u8();
    let pressed = code & 8 != 0;
    match code % 8 {
        0..=2 => {
            let key = Scancode::new(1 + u16::from(bytes.u8() % 110)).expect("at most 110");
            InputEvent::Key { key, pressed }
        }
        3 => InputEvent::Text(char::from(bytes.u8())),
        4 => {
            let button = Button::new(bytes.u8() % Button::COUNT).expect("below the count");
            InputEvent::Button { button, pressed }
        }
        5 => InputEvent::PointerAbsolute { x: bytes.u16(), y: bytes.u16() },
        6 => InputEvent::PointerRelative { dx: bytes.u16().cast_signed(), dy: 1 },
        _ if code & 0x30 == 0x30 => device_event(code, bytes),
        _ => InputEvent::Wheel { dx: 0, dy: bytes.u16().cast_signed() },
    }
}

fn device_event(code: u8, bytes: &mut Bytes<'_>) -> InputEvent {
    let gamepad = Gamepad::new(code >> 6).expect("one of four");
    let contact = Contact::new(code >> 6).expect("one of ten");
    let button = GamepadButton::new(bytes.u8() % GamepadButton::COUNT).expect("below the count");
    match bytes.u8() % 7 {
        0 => InputEvent::GamepadConnected(gamepad),
        1 => InputEvent::GamepadDisconnected(gamepad),
        2 => InputEvent::GamepadButton { gamepad, button, pressed: code & 8 != 0 },
        3 => InputEvent::GamepadAxis { gamepad, axis: GamepadAxis::X, value: bytes.u16().cast_signed() },
        4 => InputEvent::TouchDown { contact, x: bytes.u16(), y: 3 },
        5 => InputEvent::TouchMove { contact, x: bytes.u16(), y: 4 },
        _ => InputEvent::TouchUp(contact),
    }
}

fn low16(number: u32) -> u16 {
    u16::try_from(number & 0xffff).expect("16 bits")
}
