//! Every message survives the wire, and no bytes are too strange to be read.

extern crate std;

use std::vec::Vec;

use proptest::prelude::*;

use super::audio::{AudioMessage, Previous};
use super::capture::CaptureStateMessage;
use super::clipboard::ClipboardHead;
use super::clock::{ClockReply, ClockRequest};
use super::close::{Admitted, Close};
use super::cursor::{CursorPosition, ShapeHead};
use super::feedback::{Arrival, Ecn, Feedback};
use super::file::{FileHead, FileMessage, FileName, FileReason};
use super::frame::{emit, emit_last};
use super::handshake::{CallPayload, CookieReply, FirstFlight, Reply, Versions, connection_of};
use super::input::{Held, InputAcknowledged, InputMessage, InputShownMessage, RumbleMessage};
use super::picture::{CodedRectangle, PictureHead};
use super::request;
use super::shard::ShardHead;
use super::stream::{Channel, StreamAcknowledged, StreamPart};
use super::video::{MoreParity, Repair, StreamParametersMessage, VideoPosition};
use super::{DataHeader, Frame, FrameType, Frames, Kind, Writer};
use crate::channel::capture::{CaptureCondition, SignalDescription};
use crate::channel::input::devices::{Contact, Gamepad, GamepadAxis, GamepadButton, Rumble};
use crate::channel::input::{Button, InputEvent, Scancode};
use crate::channel::permissions::Permissions;
use crate::channel::video::{Codec, PictureId, Rectangle, StreamParameters};
use crate::crypto::Opening;

/// Writes one frame and gives its body back as the parser finds it.
fn body_of(frame_type: FrameType, write: impl FnOnce(&mut Writer<'_>) -> Option<()>) -> Vec<u8> {
    let mut out = [0; 2048];
    let mut writer = Writer::new(&mut out);
    emit(&mut writer, frame_type, write).unwrap();
    let len = writer.len();
    let mut frames = Frames::new(&out[..len]);
    let frame = frames.next().unwrap();
    assert_eq!((frame.frame_type, frames.next(), frames.is_malformed()), (frame_type, None, false));
    frame.body.to_vec()
}

fn event() -> impl Strategy<Value = InputEvent> {
    prop_oneof![
        (1..=767u16, any::<bool>())
            .prop_map(|(code, pressed)| InputEvent::Key { key: Scancode::new(code).unwrap(), pressed }),
        any::<char>().prop_map(InputEvent::Text),
        (0..8u8, any::<bool>())
            .prop_map(|(index, pressed)| InputEvent::Button { button: Button::new(index).unwrap(), pressed }),
        any::<(u16, u16)>().prop_map(|(x, y)| InputEvent::PointerAbsolute { x, y }),
        any::<(i16, i16)>().prop_map(|(dx, dy)| InputEvent::PointerRelative { dx, dy }),
        any::<(i16, i16)>().prop_map(|(dx, dy)| InputEvent::Wheel { dx, dy }),
        device_event(),
    ]
}

fn device_event() -> impl Strategy<Value = InputEvent> {
    prop_oneof![
        gamepad().prop_map(InputEvent::GamepadConnected),
        gamepad().prop_map(InputEvent::GamepadDisconnected),
        (gamepad(), 0..19u8, any::<bool>()).prop_map(|(gamepad, button, pressed)| {
            InputEvent::GamepadButton { gamepad, button: GamepadButton::new(button).unwrap(), pressed }
        }),
        (gamepad(), 0..6u8, any::<i16>()).prop_map(|(gamepad, axis, value)| {
            InputEvent::GamepadAxis { gamepad, axis: GamepadAxis::new(axis).unwrap(), value }
        }),
        (contact(), any::<(u16, u16)>()).prop_map(|(contact, (x, y))| InputEvent::TouchDown {
            contact,
            x,
            y
        }),
        (contact(), any::<(u16, u16)>()).prop_map(|(contact, (x, y))| InputEvent::TouchMove {
            contact,
            x,
            y
        }),
        contact().prop_map(InputEvent::TouchUp),
    ]
}

fn gamepad() -> impl Strategy<Value = Gamepad> {
    (0..4u8).prop_map(|index| Gamepad::new(index).unwrap())
}

fn contact() -> impl Strategy<Value = Contact> {
    (0..10u8).prop_map(|index| Contact::new(index).unwrap())
}

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::H264), Just(Codec::Tiles), Just(Codec::Jpeg)]
}

fn rectangle() -> impl Strategy<Value = CodedRectangle> {
    (any::<(u16, u16)>(), (1..=u16::MAX, 1..=u16::MAX), codec(), 0..1_000_000u32).prop_map(
        |((x, y), (width, height), codec, len)| CodedRectangle {
            place: Rectangle { x, y, width, height },
            codec,
            len,
        },
    )
}

proptest! {
    #[test]
    fn input_survives_the_wire(first: u32, events in prop::collection::vec(event(), 0..=64)) {
        let mut held = Held::NOTHING;
        events.iter().for_each(|event| held.apply(event));
        let body = body_of(FrameType::Input, |body| InputMessage::emit(body, first, &held, events.iter()));
        let message = InputMessage::parse(&body).unwrap();
        prop_assert_eq!(message.first, first);
        prop_assert_eq!(message.held, held);
        prop_assert_eq!(&message.events[..], &events[..]);
    }

    #[test]
    fn capture_state_survives_the_wire(code in 0..8u8, change: u16, age_ms: u32, text in ".{0,60}") {
        let condition = CaptureCondition::of(code).unwrap();
        let signal = SignalDescription::new(&text);
        prop_assert_eq!(signal.as_str().len(), text.chars().count().min(SignalDescription::LEN_MAX));
        let message = CaptureStateMessage { condition, change, age_ms, signal };
        let body = body_of(FrameType::CaptureState, |body| message.emit(body));
        prop_assert_eq!(CaptureStateMessage::parse(&body), Some(message));
        prop_assert_eq!(condition.code(), code);
    }

    #[test]
    fn rumble_survives_the_wire(wishes in prop::collection::vec(
        (gamepad(), any::<u8>(), any::<(u16, u16)>(), 0..=5000u16), 1..=4,
    )) {
        let wishes: Vec<_> = wishes
            .into_iter()
            .map(|(gamepad, change, (strong, weak), millis)| (Rumble { gamepad, strong, weak, millis }, change))
            .collect();
        let body = body_of(FrameType::Rumble, |body| RumbleMessage::emit(body, wishes.iter().copied()));
        prop_assert_eq!(RumbleMessage::parse(&body).unwrap().wishes().collect::<Vec<_>>(), wishes);
        prop_assert_eq!(RumbleMessage::parse(&body[1..]), None);
    }

    #[test]
    fn input_shown_survives_the_wire(picture: u32, event: u32, received_us: u32, injected_after_us: u32) {
        let picture = PictureId(picture);
        let message = InputShownMessage { picture, event, received_us, injected_after_us };
        let body = body_of(FrameType::InputShown, |body| message.emit(body));
        prop_assert_eq!(InputShownMessage::parse(&body), Some(message));
    }

    #[test]
    fn sound_survives_the_wire(
        sequence: u16,
        captured_us: u32,
        packets in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 1..300)), 1..=4),
    ) {
        let (own, along) = packets.split_first().unwrap();
        let heads = along.iter().map(|(before_us, bytes)| Previous {
            before_us: *before_us,
            len: u16::try_from(bytes.len()).unwrap(),
        });
        let body = body_of(FrameType::Audio, |body| {
            AudioMessage::emit_head(body, sequence, captured_us, heads)?;
            along.iter().chain([own]).try_for_each(|(_, bytes)| body.bytes(bytes))
        });
        let message = AudioMessage::parse(&body).unwrap();
        prop_assert_eq!((message.sequence, message.captured_us), (sequence, captured_us));
        let found: Vec<_> = message.packets().map(|(at, bytes)| (at, bytes.to_vec())).collect();
        let others = along.iter().map(|(before, bytes)| (captured_us.wrapping_sub(*before), bytes.clone()));
        let expected: Vec<_> = core::iter::once((captured_us, own.1.clone())).chain(others).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn feedback_survives_the_wire(
        first: u32,
        reference_us: u32,
        steps in prop::collection::vec(prop::option::of((0..8192u32, 0..4u8)), 1..=512),
    ) {
        let items = steps.iter().map(|item| {
            item.map(|(steps, ecn)| Arrival { before_us: steps * Feedback::STEP_US, ecn: Ecn::from_bits(ecn) })
        });
        let body = body_of(FrameType::Feedback, |body| Feedback::emit(body, 3, first, reference_us, items.clone()));
        let message = Feedback::parse(&body).unwrap();
        prop_assert_eq!((message.first, message.reference_us, message.len()), (first, reference_us, steps.len()));
        prop_assert!(message.items().eq(items));
    }

    #[test]
    fn picture_head_survives_the_wire(
        distance: u8,
        times: (u32, u32, u32),
        rectangles in prop::collection::vec(rectangle(), 1..=16),
    ) {
        let mut head = PictureHead {
            reference_distance: distance,
            total_len: 0,
            captured_us: times.0,
            encoded_after_us: times.1,
            sent_after_us: times.2,
            rectangles: rectangles.iter().copied().collect(),
        };
        let sum: u32 = rectangles.iter().map(|rectangle| rectangle.len).sum();
        head.total_len = sum + u32::try_from(head.len()).unwrap();
        let mut out = [0; PictureHead::LEN_MAX];
        let len = head.emit(&mut out).unwrap();
        prop_assert_eq!(&out[PictureHead::SENT_AT..PictureHead::SENT_AT + 4], &times.2.to_be_bytes());
        prop_assert_eq!(PictureHead::parse(&out[..len]), Some((head, len)));
    }

    #[test]
    fn shard_survives_the_wire(picture: u16, k in 1..1000u16, m: u8, which: u16, len in 1..1200usize) {
        let total = k + u16::from(m);
        let shard = which % total;
        let head = ShardHead {
            picture,
            shard,
            data_shards: k,
            parity_shards: m,
            shard_len: u16::try_from(len).unwrap(),
        };
        let mut out = [7; 1300];
        let mut writer = Writer::new(&mut out);
        emit_last(&mut writer, FrameType::Shard).unwrap();
        head.emit(&mut writer).unwrap();
        let end = writer.len() + len;
        prop_assert_eq!(writer.len(), ShardHead::FRAME_LEN);
        let frame = Frames::new(&out[..end]).next().unwrap();
        let (parsed, bytes) = ShardHead::parse(frame.body).unwrap();
        prop_assert_eq!((parsed, bytes.len()), (head, len));
        // Every shard but the last of the data must have the full length.
        let cut = ShardHead::parse(&frame.body[..frame.body.len() - 1]);
        prop_assert_eq!(cut.is_some(), shard + 1 == k && len > 1);
    }

    #[test]
    fn small_messages_survive_the_wire(a: u32, b: u32, c: u64, x: u16, y: u16, flag: bool) {
        let request = ClockRequest { sent_us: a };
        prop_assert_eq!(ClockRequest::parse(&body_of(FrameType::ClockRequest, |w| request.emit(w))), Some(request));
        let reply = ClockReply { request_us: a, arrived_us: c, held_us: b };
        prop_assert_eq!(ClockReply::parse(&body_of(FrameType::ClockReply, |w| reply.emit(w))), Some(reply));
        let close = Close { code: x };
        prop_assert_eq!(Close::parse(&body_of(FrameType::Close, |w| close.emit(w))), Some(close));
        let admitted = Admitted { permissions: Permissions::from_bits_truncate(a) };
        prop_assert_eq!(Admitted::parse(&body_of(FrameType::Admitted, |w| admitted.emit(w))), Some(admitted));
        let cursor = CursorPosition { x, y, visible: flag, shape: a };
        prop_assert_eq!(CursorPosition::parse(&body_of(FrameType::Cursor, |w| cursor.emit(w))), Some(cursor));
        let repair = Repair { after: PictureId(a), seen: PictureId(b) };
        prop_assert_eq!(Repair::parse(&body_of(FrameType::Repair, |w| repair.emit(w))), Some(repair));
        let more = MoreParity { picture: PictureId(a), parity: x.to_be_bytes()[1] };
        prop_assert_eq!(MoreParity::parse(&body_of(FrameType::MoreParity, |w| more.emit(w))), Some(more));
        let position = VideoPosition { picture: PictureId(a) };
        prop_assert_eq!(VideoPosition::parse(&body_of(FrameType::VideoPosition, |w| position.emit(w))), Some(position));
        let taken = InputAcknowledged { next: a };
        prop_assert_eq!(InputAcknowledged::parse(&body_of(FrameType::InputAcknowledged, |w| taken.emit(w))), Some(taken));
        let channel = Channel::ALL[usize::from(flag)];
        let stream = StreamAcknowledged { channel, next: a, limit: b, beyond: [(a, b), (b, a)].into_iter().collect() };
        prop_assert_eq!(StreamAcknowledged::parse(&body_of(FrameType::StreamAcknowledged, |w| stream.emit(w))), Some(stream));
    }

    #[test]
    fn stream_parameters_outside_their_range_are_refused(first: u32, width: u16, height: u16, rate: u32, codec in codec()) {
        let parameters = StreamParameters { width, height, rate_millihertz: rate, codec };
        let message = StreamParametersMessage { first: PictureId(first), parameters };
        let parsed = StreamParametersMessage::parse(&body_of(FrameType::StreamParameters, |w| message.emit(w)));
        let in_range = (1..=16384).contains(&width) && (1..=16384).contains(&height);
        prop_assert_eq!(parsed, in_range.then_some(message));
    }

    #[test]
    fn file_messages_survive_the_wire(transfer: u32, size: u64, digest: [u8; 32], name in "[a-zäß0-9_-]{1,40}", data in prop::collection::vec(any::<u8>(), 1..2000)) {
        let name = FileName::new(&name).unwrap();
        for message in [
            FileMessage::Offer { size, digest, name },
            FileMessage::Accept { offset: size },
            FileMessage::Data(&data),
            FileMessage::Done,
            FileMessage::Cancel(FileReason::Damaged),
        ] {
            let mut out = [0; 2100];
            let len = message.emit(transfer, &mut out).unwrap();
            let head = FileHead::parse(out.first_chunk().unwrap()).unwrap();
            prop_assert_eq!((head.transfer, FileHead::LEN + usize::from(head.len)), (transfer, len));
            prop_assert_eq!(FileMessage::parse(&head, &out[FileHead::LEN..len]), Some(message));
            prop_assert_eq!(message.emit(transfer, &mut out[..len - 1]), None);
        }
    }

    #[test]
    fn no_file_message_is_too_strange(kind: u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let head = FileHead { kind, transfer: 1, len: u16::try_from(body.len()).unwrap() };
        if let Some(FileMessage::Offer { name, .. }) = FileMessage::parse(&head, &body) {
            prop_assert!(!name.as_str().contains(['/', '\\', '\0']) && name.as_str() != "..");
        }
    }

    #[test]
    fn frame_bodies_of_every_length_survive(lengths in prop::collection::vec(0..600usize, 1..20)) {
        let mut out = std::vec![0; 20_000];
        let mut writer = Writer::new(&mut out);
        for (index, &len) in lengths.iter().enumerate() {
            emit(&mut writer, FrameType::Stream, |body| {
                body.reserve(len)?.fill(u8::try_from(index).unwrap());
                Some(())
            })
            .unwrap();
        }
        let end = writer.len();
        let mut frames = Frames::new(&out[..end]);
        for (index, &len) in lengths.iter().enumerate() {
            let frame = frames.next().unwrap();
            prop_assert_eq!(frame.body, &std::vec![u8::try_from(index).unwrap(); len][..]);
        }
        prop_assert_eq!(frames.next(), None);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let mut frames = Frames::new(&bytes);
        let mut steps = 0;
        for Frame { body, .. } in frames.by_ref() {
            steps += 1;
            let _ = (InputMessage::parse(body), Feedback::parse(body).map(|feedback| feedback.items().count()));
            let _ = (ShardHead::parse(body), PictureHead::parse(body), StreamPart::parse(body));
            let _ = (ShapeHead::parse(body), StreamParametersMessage::parse(body), ClockReply::parse(body));
        }
        prop_assert!(steps <= bytes.len());
        let _ = (DataHeader::parse(&bytes), FirstFlight::parse(&bytes), Reply::parse(&bytes));
        let _ = (CallPayload::parse(&bytes), CookieReply::parse(&bytes), Versions::parse(&bytes));
    }

    #[test]
    fn a_frame_that_does_not_fit_leaves_nothing(room in 0..12usize) {
        let mut out = std::vec![0; room];
        let mut writer = Writer::new(&mut out);
        let message = ClockReply { request_us: 1, arrived_us: 2, held_us: 3 };
        let written = emit(&mut writer, FrameType::ClockReply, |body| message.emit(body));
        prop_assert_eq!((written, writer.len()), (None, 0));
    }
}

/// SPEC §7.2.
#[test]
fn unknown_frames_are_skipped_and_critical_ones_end_the_walk() {
    let known = [0x12, 4, 0, 0, 0, 9];
    let walk = |unknown: u8| {
        let bytes = [&[unknown, 3, 1, 2, 3][..], &known].concat();
        let mut frames = Frames::new(&bytes);
        (frames.by_ref().count(), frames.is_malformed())
    };
    assert_eq!(walk(0x3f), (1, false));
    assert_eq!(walk(0x7f), (0, true));
    let mut cut = Frames::new(&[0x12, 200]);
    assert_eq!((cut.next(), cut.is_malformed()), (None, true));
}

/// SPEC §14.5/1.
#[test]
fn names_that_lead_elsewhere_or_deceive_are_refused() {
    for name in ["report.pdf", "Änderung 2.txt", "a", "x.tar.gz", "写真.jpg"] {
        assert!(FileName::new(name).is_some(), "{name}");
    }
    let long = "n".repeat(201);
    for name in [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:x",
        ".bashrc",
        "x.",
        " x",
        "x ",
        "a\nb",
        "a\u{0}b",
        "gpj.\u{202e}exe",
        "a\u{200b}b",
        "\u{feff}a",
        "a\u{7f}",
        "con|x",
        &long,
    ] {
        assert!(FileName::new(name).is_none(), "{name:?}");
    }
}

#[test]
fn clipboard_longer_than_may_be_is_refused() {
    let head = ClipboardHead::of_text("häß").unwrap();
    assert_eq!((head.kind, head.len), (ClipboardHead::TEXT, 5));
    assert_eq!(ClipboardHead::parse(&head.to_bytes()), Some(head));
    let long = ClipboardHead { kind: 1, len: ClipboardHead::LEN_MAX + 1 };
    assert_eq!(ClipboardHead::parse(&long.to_bytes()), None);
}

#[test]
fn shape_that_cannot_be_is_refused() {
    let head = ShapeHead { shape: 5, width: 32, height: 16, hot_x: 31, hot_y: 15 };
    assert_eq!(ShapeHead::parse(&head.to_bytes()), Some(head));
    for wrong in [
        ShapeHead { shape: 0, ..head },
        ShapeHead { width: 0, ..head },
        ShapeHead { width: 257, ..head },
        ShapeHead { hot_x: 32, ..head },
        ShapeHead { hot_y: 16, ..head },
    ] {
        assert_eq!(ShapeHead::parse(&wrong.to_bytes()), None);
    }
}

/// SPEC §2.1.
#[test]
fn first_byte_alone_names_the_kind() {
    let named = (0..=255u8).filter(|&first| Kind::of(first).is_some()).count();
    // STUN 4, handshake 16, reset, probe, relay 6, data 64 (SPEC §2.1).
    assert_eq!(named, 4 + 16 + 2 + 6 + 64);
    let header = DataHeader { phase: false, connection: 0x0102_0304, packet_number: 0x000a_0b0c };
    assert_eq!(header.to_bytes(), [0x40, 1, 2, 3, 4, 0x0a, 0x0b, 0x0c]);
    assert_eq!(DataHeader::parse(&header.to_bytes()), Some(header));
    let header = DataHeader { phase: true, ..header };
    assert_eq!(header.to_bytes(), [0x41, 1, 2, 3, 4, 0x0a, 0x0b, 0x0c]);
    assert_eq!(DataHeader::parse(&header.to_bytes()), Some(header));
    // A flag nobody has defined (SPEC §2.2).
    assert_eq!(DataHeader::parse(&[0x42, 1, 2, 3, 4, 0, 0, 0]), None);
}

#[test]
fn first_flight_is_padded_and_says_where_its_macs_are() {
    let mut out = [0xa5; 1300];
    for (opening, len, noise) in [(Opening::XX, 128, &[5; 36][..]), (Opening::IK, 1200, &[6; 150])] {
        let mac = |bytes: &[u8]| [u8::try_from(bytes.len()).unwrap(); 16];
        assert_eq!(FirstFlight::emit(&mut out, opening, noise, mac), Some(len));
        let parsed = FirstFlight::parse(&out[..len]).unwrap();
        let at = 5 + noise.len();
        assert_eq!((parsed.version, parsed.opening(), parsed.noise), (1, opening, noise));
        assert_eq!((parsed.mac1, parsed.mac2), ([u8::try_from(at).unwrap(); 16], [0; 16]));
        assert_eq!((parsed.authenticated.len(), parsed.with_mac1.len()), (at, at + 16));
        assert!(out[at + 32..len].iter().all(|&byte| byte == 0), "padding");
        assert_eq!(FirstFlight::parse(&out[..len + 1]), None, "too long");
        let mut scribbled = out;
        scribbled[len - 1] = 1;
        assert_eq!(FirstFlight::parse(&scribbled[..len]), None, "padding is zeros");
        assert_eq!(FirstFlight::parse(&out[..len - 1]), None, "too short to be answered");
        let mut older_newest = out;
        older_newest[2] = 0;
        assert_eq!(FirstFlight::parse(&older_newest[..len]), None, "newer than what its sender speaks");
        let mut beyond = out;
        beyond[3..5].copy_from_slice(&u16::try_from(len - 31).unwrap().to_be_bytes());
        assert_eq!(FirstFlight::parse(&beyond[..len]), None, "MACs behind the end");
        beyond[3..5].copy_from_slice(&4u16.to_be_bytes());
        assert_eq!(FirstFlight::parse(&beyond[..len]), None, "MACs within the head");
    }
}

#[test]
fn later_handshake_messages_survive_the_wire() {
    let mut out = [0; 64];
    for kind in [Kind::Response, Kind::Confirmation, Kind::Answer] {
        assert_eq!(Reply::emit_head(&mut out, kind, 0x0102_0304), Some(()));
        let reply = Reply::parse(&out[..9]).unwrap();
        assert_eq!((reply.kind, reply.connection, reply.noise.len()), (kind, 0x0102_0304, 4));
    }
    assert_eq!(Reply::emit_head(&mut out, Kind::Cookie, 1), None);
    let call = CallPayload { counter: 7, connection: 9, token: [3; 24], frames: &[0x2f, 1, 0] };
    let len = call.emit(&mut out).unwrap();
    assert_eq!(CallPayload::parse(&out[..len]), Some(call));
    assert_eq!(CallPayload::parse(&out[..35]), None);
    let cookie = CookieReply { sealed: core::array::from_fn(|at| u8::try_from(at).unwrap()) };
    assert_eq!(CookieReply::parse(&cookie.to_bytes()), Some(cookie));
    assert_eq!(CookieReply::parse(&cookie.to_bytes()[..32]), None);
    let versions = Versions::to_bytes(&[7; 16]);
    assert_eq!(Versions::parse(&versions), Some(Versions { mac1: [7; 16], spoken: &[1] }));
    assert_eq!(Versions::parse(&versions[..17]), None, "a host that speaks nothing");
    assert_eq!(connection_of(&[1, 2, 3]), None);
}

#[test]
fn request_is_found_among_other_frames() {
    let mut out = [0; 16];
    let len = request::emit(Permissions::VIEW, &mut out).unwrap();
    assert_eq!(len, request::Request::FRAME_LEN);
    assert_eq!(request::wanted(&out[..len]), Permissions::VIEW);
    let among = [&[0x3f, 1, 9][..], &out[..len], &[0x00, 0]].concat();
    assert_eq!(request::wanted(&among), Permissions::VIEW);
    assert_eq!(request::wanted(&[]), Permissions::all(), "who does not say wants everything");
}
