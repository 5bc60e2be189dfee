//! Any bytes to every parser: none panics, and what parses is written again, by the specification alone, as the bytes it
//! was read from and parses as the same (SPEC §2–§14).

use rift::wire::audio::AudioMessage;
use rift::wire::bind::{BIND_LEN_MAX, BIND_MAC_LEN, BindBody, BindMessage};
use rift::wire::capabilities::{CapabilitiesMessage, TileReport};
use rift::wire::capture::CaptureStateMessage;
use rift::wire::check::Check;
use rift::wire::clipboard::ClipboardHead;
use rift::wire::clock::{ClockReply, ClockRequest};
use rift::wire::close::{Admitted, Close};
use rift::wire::cursor::{CursorPosition, ShapeHead};
use rift::wire::feedback::Feedback;
use rift::wire::file::{FileHead, FileMessage};
use rift::wire::handshake::{
    CallPayload, CookieReply, FirstFlight, Fragment, Reply, TOKEN_LEN, Versions, connection_of,
};
use rift::wire::input::{InputAcknowledged, InputMessage, InputShownMessage, RumbleMessage};
use rift::wire::pairing::PairingMessage;
use rift::wire::path::{DatagramLimit, NewConnection, PathProbe, PathsInUse, Reset};
use rift::wire::picture::PictureHead;
use rift::wire::relay::Envelope;
use rift::wire::renewal::Renewing;
use rift::wire::request::{Request, wanted};
use rift::wire::shard::{ShardHead, WindowHead};
use rift::wire::stream::{StreamAcknowledged, StreamPart};
use rift::wire::successor::Successor;
use rift::wire::video::{MoreParity, Repair, StreamParametersMessage, VideoPosition, Window};
use rift::wire::{DataHeader, Frame, FrameType, Frames, Kind};

use crate::messages::{self, Body};

/// Reads the bytes as everything they could be; see the module.
pub fn run(data: &[u8]) {
    datagram(data);
    payload(data);
    for frame_type in messages::TYPES {
        body(frame_type, data);
    }
    picture(data);
    file(data);
    beside(data);
    if let Some(reset) = Reset::parse(data) {
        assert_eq!(reset.to_bytes()[..], *data, "a reset");
    }
    if let Some(head) = ShapeHead::parse(data) {
        assert_eq!(head.to_bytes(), data[..ShapeHead::LEN], "a shape's head");
        assert!(head.pixels_len() <= 256 * 256 * 4, "a shape is bounded");
    }
}

/// What travels beside sessions: to and from relays and peers that look for each other; and what was copied.
fn beside(data: &[u8]) {
    if let Some(message) = BindMessage::parse(data) {
        let mut out = [0; BIND_LEN_MAX];
        let len = message.emit(&mut out).expect("what was read fits");
        let is_signed = matches!(message.body, BindBody::Bind { .. } | BindBody::Bound { .. });
        let mac_len = if is_signed { BIND_MAC_LEN } else { 0 };
        assert_eq!(out[..len - mac_len], data[..data.len() - mac_len], "a message to or from a relay");
        assert_eq!(message.emit(&mut out[..len - 1]), None, "there is no room for it");
        assert!(len == data.len() && BindMessage::is_kind(data[0]), "a message to or from a relay");
    }
    if let Some(check) = Check::parse(data) {
        assert_eq!(check.to_bytes(|_| check.mac)[..], *data, "a check");
    }
    if let Some(envelope) = Envelope::parse(data) {
        let again = [&Envelope::head(envelope.tag), envelope.datagram].concat();
        assert_eq!(again, data, "an envelope");
    }
    if let Some(head) = data.first_chunk().and_then(ClipboardHead::parse) {
        assert_eq!(head.to_bytes()[..], data[..ClipboardHead::LEN], "the head of what was copied");
        assert!(head.len <= ClipboardHead::LEN_MAX, "SPEC §14.4");
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let head = ClipboardHead::of_text(text).expect("no input is as long as a clipboard");
        assert_eq!(ClipboardHead::parse(&head.to_bytes()), Some(head), "the head of what was copied");
    }
}

/// Messages about files, one behind the other, each with its head.
fn file(mut data: &[u8]) {
    while let Some((head, rest)) = data.split_first_chunk() {
        let Some(head) = FileHead::parse(head) else { return };
        let Some((body, behind)) = rest.split_at_checked(usize::from(head.len)) else { return };
        let Some(message) = FileMessage::parse(&head, body) else { return };
        let mut out = vec![0; FileHead::LEN + body.len()];
        assert_eq!(message.emit(head.transfer, &mut out), Some(out.len()), "a message about a file");
        assert_eq!(FileMessage::parse(&head, &out[FileHead::LEN..]), Some(message), "a message about a file");
        // A reason that is not known is read as another one.
        let is_exact = !matches!(message, FileMessage::Cancel(_));
        assert!(!is_exact || out == data[..out.len()], "a message about a file");
        assert_eq!(message.emit(head.transfer, &mut out[1..]), None, "there is no room for it");
        data = behind;
    }
}

fn datagram(data: &[u8]) {
    if let Some(header) = DataHeader::parse(data) {
        assert_eq!(header.to_bytes(), data[..DataHeader::LEN], "a header");
        assert_eq!(Kind::of(data[0]), Some(Kind::Data), "a header is data's");
    }
    if let Some(flight) = FirstFlight::parse(data)
        && flight.version == 1
    {
        let mut out = vec![0; data.len()];
        let written = FirstFlight::emit(&mut out, flight.opening(), flight.noise, |_| flight.mac1);
        assert!(written.is_some_and(|len| len <= data.len()), "a first flight");
        let len = flight.with_mac1.len();
        assert_eq!(out[..len], data[..len], "a first flight");
    }
    if let Some(fragment) = Fragment::parse(data) {
        let head =
            [&[0x17, fragment.version, fragment.newest, fragment.index][..], &fragment.flight].concat();
        let written = [&head, fragment.piece, &fragment.mac1, &fragment.mac2].concat();
        assert!(written == data && fragment.authenticated.len() + 32 == data.len(), "a fragment");
    }
    if let Some(flight) = FirstFlight::parse_whole(data) {
        assert!(flight.authenticated.len() + 32 <= data.len(), "a whole flight");
    }
    if let Some(call) = CallPayload::parse(data) {
        let mut out = vec![0; data.len()];
        assert_eq!(call.emit(&mut out), Some(data.len()), "a call");
        assert_eq!(out, data, "a call");
    }
    if let Some(cookie) = CookieReply::parse(data) {
        assert_eq!(cookie.to_bytes()[..], *data, "a cookie");
    }
    if let Some(versions) = Versions::parse(data)
        && versions.spoken == [1]
    {
        assert_eq!(Versions::to_bytes(&versions.mac1)[..], *data, "the versions of this host");
    }
    if let Some(reply) = Reply::parse(data) {
        let mut out = data.to_vec();
        assert_eq!(Reply::emit_head(&mut out, reply.kind, reply.connection), Some(()), "a reply");
        assert_eq!(out, data, "a reply");
    }
    assert_eq!(connection_of(data).is_some(), data.len() >= 4, "a connection id is 4 bytes");
}

/// A walk over frames ends, and frames written again are walked as the same.
fn payload(data: &[u8]) {
    let mut frames = Frames::new(data);
    let mut written = Vec::new();
    let mut found = Vec::new();
    for frame in frames.by_ref() {
        assert!(frame.body.len() <= data.len(), "a body is a part of its payload");
        body(frame.frame_type, frame.body);
        if frame.body.len() < 192 + 0x4000 {
            messages::frame(&mut written, frame.frame_type.code(), frame.body);
            found.push(frame);
        }
        assert!(found.len() <= data.len(), "a frame has at least a byte");
    }
    let mut again = Frames::new(&written);
    assert!(again.by_ref().eq(found), "frames written again");
    assert!(!again.is_malformed(), "frames written again");
}

/// Asserts that `message` is the front of `body`, where its format leaves no choice.
fn front(what: FrameType, message: &Body, body: &[u8]) {
    assert_eq!(body.get(..message.0.len()), Some(&message.0[..]), "{what:?}");
}

#[expect(clippy::too_many_lines, reason = "a table: one arm for each type of frame")]
fn body(frame_type: FrameType, data: &[u8]) {
    let empty = Body::default;
    let message = match frame_type {
        FrameType::Padding | FrameType::MtuProbe => None,
        FrameType::ClockRequest => ClockRequest::parse(data).map(|m| empty().u32(m.sent_us)),
        FrameType::ClockReply => {
            ClockReply::parse(data).map(|m| empty().u32(m.request_us).u64(m.arrived_us).u32(m.held_us))
        }
        FrameType::Feedback => return feedback(data),
        FrameType::Close => Close::parse(data).map(|m| empty().u16(m.code)),
        FrameType::Admitted => return admitted(data),
        FrameType::AddressToken => None,
        FrameType::Request => Request::parse(data).map(|m| {
            assert_eq!(wanted(&[&[0xaf][..], data].concat()), m.permissions, "SPEC §4.16");
            empty()
        }),
        FrameType::Successor => Successor::parse(data).map(|m| empty().bytes(m.key.as_bytes())),
        FrameType::Pairing => PairingMessage::parse(data).map(|m| match m {
            PairingMessage::Share(value) => empty().u8(0).bytes(&value),
            PairingMessage::Confirmation(value) => empty().u8(1).bytes(&value),
        }),
        FrameType::Input => return input(data),
        FrameType::InputAcknowledged => InputAcknowledged::parse(data).map(|m| empty().u32(m.next)),
        FrameType::Rumble => return rumble(data),
        FrameType::InputShown => InputShownMessage::parse(data)
            .map(|m| empty().u32(m.picture.0).u32(m.event).u32(m.received_us).u32(m.injected_after_us)),
        FrameType::Cursor => return cursor(data),
        FrameType::StreamParameters => StreamParametersMessage::parse(data).map(|m| {
            let parameters = m.parameters;
            assert!(parameters.width.max(parameters.height) <= 16384, "SPEC §11.2");
            let body = empty().u32(m.first.0).u16(parameters.width).u16(parameters.height);
            body.u32(parameters.rate_millihertz).u8(parameters.codec.code())
        }),
        FrameType::Repair => Repair::parse(data).map(|m| empty().u32(m.after.0).u32(m.seen.0)),
        FrameType::VideoPosition => VideoPosition::parse(data).map(|m| empty().u32(m.picture.0)),
        FrameType::CaptureState => CaptureStateMessage::parse(data).map(|m| {
            let words = m.signal.as_str().as_bytes();
            assert!(words.iter().all(|byte| (b' '..=b'~').contains(byte)), "SPEC §11.8");
            empty().u8(m.condition.code()).u16(m.change).u32(m.age_ms).bytes(words)
        }),
        FrameType::Capabilities => return capabilities(data),
        FrameType::TileReport => TileReport::parse(data).map(|m| {
            assert!((1..=192).contains(&m.wrong.len()), "SPEC §11.10");
            empty().u32(m.after.0).bytes(&m.wrong)
        }),
        FrameType::MoreParity => MoreParity::parse(data).map(|m| empty().u32(m.picture.0).u8(m.parity)),
        FrameType::Shard => ShardHead::parse(data).map(|(m, bytes)| {
            assert!(m.shard < m.data_shards + u16::from(m.parity_shards), "SPEC §11.4");
            assert!((1..=usize::from(m.shard_len)).contains(&bytes.len()), "SPEC §11.4");
            messages::shard(m.picture, m.shard, m.data_shards, m.parity_shards, m.shard_len).bytes(bytes)
        }),
        FrameType::WindowShard => WindowHead::parse(data).map(|(m, bytes)| {
            let WindowHead { shard: m, before } = m;
            assert!(m.shard >= m.data_shards && m.shard < m.data_shards + 8, "SPEC §11.13");
            assert_eq!(bytes.len(), usize::from(m.shard_len), "SPEC §11.13");
            assert!(before.iter().all(|&shards| shards <= 128), "SPEC §11.13");
            let head = messages::shard(m.picture, m.shard, m.data_shards, m.parity_shards, m.shard_len);
            head.bytes(&before).bytes(bytes)
        }),
        FrameType::Window => Window::parse(data).map(|m| empty().u8(m.pictures)),
        FrameType::Audio => return audio(data),
        FrameType::Stream => {
            StreamPart::parse(data).map(|m| empty().u8(m.channel.code()).u32(m.offset).bytes(m.data))
        }
        FrameType::StreamAcknowledged => StreamAcknowledged::parse(data).map(|m| {
            let body = empty().u8(m.channel.code()).u32(m.next).u32(m.limit);
            m.beyond.iter().fold(body, |body, (start, end)| body.u32(*start).u32(*end))
        }),
        FrameType::PathChallenge | FrameType::PathResponse => {
            PathProbe::parse(data).map(|m| empty().bytes(&m.data))
        }
        FrameType::PathsInUse => PathsInUse::parse(data).map(|m| {
            let number = |number: Option<u16>| number.unwrap_or(0xffff);
            let body = empty().u16(m.change).u16(m.used).u16(number(m.standby));
            body.u16(number(m.tried[0])).u16(number(m.tried[1])).u16(m.opened)
        }),
        FrameType::DatagramLimit => DatagramLimit::parse(data).map(|m| empty().u16(m.len)),
        FrameType::NewConnection => NewConnection::parse(data)
            .map(|m| empty().u16(m.number).u32(m.connection).u32(m.first).bytes(&m.token)),
        FrameType::KeyRequest | FrameType::KeyReply => {
            Renewing::parse(data).map(|m| empty().u32(m.generation).bytes(&m.message))
        }
    };
    if let Some(message) = message {
        front(frame_type, &message, data);
    }
}

fn feedback(data: &[u8]) {
    let Some(feedback) = Feedback::parse(data) else { return };
    assert_eq!(feedback.items().count(), feedback.len(), "an item a packet");
    assert!((1..=512).contains(&feedback.len()) && !feedback.is_empty(), "SPEC §12.2");
    let items = feedback.items().map(|item| {
        item.map_or(0, |arrival| {
            let steps = u16::try_from(arrival.before_us / Feedback::STEP_US).expect("13 bits");
            0x8000 | u16::from(arrival.ecn.bits()) << 13 | steps
        })
    });
    let count = u16::try_from(feedback.len()).expect("at most 512");
    let head = Body::default().u8(feedback.path).u32(feedback.first).u32(feedback.reference_us).u16(count);
    front(FrameType::Feedback, &head, data);
    for (item, pair) in items.zip(data[head.0.len()..].chunks(2)) {
        // What has not arrived has no meaning in its other bits.
        if item != 0 {
            assert_eq!(item.to_be_bytes(), pair, "an item");
        } else {
            assert_eq!(pair[0] & 0x80, 0, "an item");
        }
    }
}

fn capabilities(data: &[u8]) {
    let Some(message) = CapabilitiesMessage::parse(data) else { return };
    let told = &message.0;
    assert!((1..=8).contains(&told.codecs.len()), "SPEC §11.9");
    assert!(told.width_max.max(told.height_max) <= 16384 && told.width_max.min(told.height_max) > 0);
    let mut body = Body::default().u8(u8::try_from(told.codecs.len()).expect("at most 8"));
    for codec in &told.codecs {
        body = body.u8(codec.code());
    }
    body = body.u8(u8::from(told.colours.rgb888) | u8::from(told.colours.rgb565) << 1);
    body = body.u16(told.width_max).u16(told.height_max).u32(told.picture_len_max);
    assert_eq!(CapabilitiesMessage::parse(&body.0), Some(message), "capabilities");
}

fn admitted(data: &[u8]) {
    let Some(message) = Admitted::parse(data) else { return };
    let body = Body::default().u32(message.permissions.bits());
    // Bits this version does not know are dropped (SPEC §8.1).
    let known = body.0.iter().zip(data).all(|(written, read)| read & written == *written);
    assert!(known, "no permission appears from nowhere");
    assert_eq!(Admitted::parse(&body.0), Some(message), "admitted");
}

fn cursor(data: &[u8]) {
    let Some(message) = CursorPosition::parse(data) else { return };
    let body = Body::default().u16(message.x).u16(message.y).u8(message.visible.into()).u32(message.shape);
    assert_eq!(CursorPosition::parse(&body.0), Some(message), "a cursor");
    assert_eq!((&body.0[..4], &body.0[5..]), (&data[..4], &data[5..9]), "a cursor");
}

fn input(data: &[u8]) {
    let Some(message) = InputMessage::parse(data) else { return };
    assert!(message.events.len() <= 64 && message.held.keys().len() <= 32, "SPEC §10.3, §10.6");
    let buttons = message.held.buttons().fold(0, |bits, button| bits | 1 << button.index());
    let keys = message.held.keys();
    let mut body = Body::default().u32(message.first).u8(buttons);
    body = body.u8(u8::try_from(keys.len()).expect("at most 32"));
    for key in keys {
        body = body.u16(key.code());
    }
    body = body.devices(&message.held);
    for event in &message.events {
        body = body.event(event);
    }
    let again = InputMessage::parse(&body.0);
    assert_eq!(again, Some(message), "input");
}

fn audio(data: &[u8]) {
    let Some(message) = AudioMessage::parse(data) else { return };
    let packets: Vec<_> = message.packets().collect();
    assert!(
        (1..=4).contains(&packets.len()) && packets.iter().all(|(_, bytes)| !bytes.is_empty()),
        "SPEC §14.6"
    );
    let along = u8::try_from(packets.len() - 1).expect("at most 3");
    let mut body = Body::default().u16(message.sequence).u32(message.captured_us).u8(along);
    for (captured_us, bytes) in &packets[1..] {
        let len = u16::try_from(bytes.len()).expect("a frame is shorter");
        body = body.u32(message.captured_us.wrapping_sub(*captured_us)).u16(len);
    }
    body = packets[1..].iter().chain(&packets[..1]).fold(body, |body, (_, bytes)| body.bytes(bytes));
    assert_eq!(body.0, data, "sound");
}

fn rumble(data: &[u8]) {
    let Some(message) = RumbleMessage::parse(data) else { return };
    let body = message.wishes().fold(Body::default(), |body, (rumble, change)| {
        assert!(rumble.millis <= 5000, "SPEC §10.8");
        let body = body.u8(rumble.gamepad.index()).u8(change);
        body.u16(rumble.strong).u16(rumble.weak).u16(rumble.millis)
    });
    assert_eq!(body.0, data, "rumble");
}

fn picture(data: &[u8]) {
    let Some((head, len)) = PictureHead::parse(data) else { return };
    let written = messages::picture_head(&head);
    let mut out = [0; PictureHead::LEN_MAX];
    let emitted = head.emit(&mut out).expect("the longest head fits");
    assert_eq!(written.0, out[..emitted], "a picture's head");
    assert!(emitted <= len && head.rectangles.iter().all(|one| !one.place.is_empty()), "SPEC §11.3");
    assert!(!head.is_empty(), "a head has bytes");
    let sum: u64 = head.rectangles.iter().map(|one| u64::from(one.len)).sum();
    assert_eq!(sum + len as u64, u64::from(head.total_len), "rectangles add up");
    // A longer head of a later version is skipped; only one of this version is the same bytes.
    if emitted == len && data[2] == 0 {
        assert_eq!(PictureHead::parse(&out[..emitted]), Some((head, len)), "a picture's head");
        assert_eq!(out[..emitted], data[..len], "a picture's head");
    }
}

/// Whether a frame would be acted upon at all: used by those who watch what a session sends.
///
/// # Panics
/// When its body breaks its format: an honest session never sends that.
pub fn must_be_sound(frame: &Frame<'_>) {
    let data = frame.body;
    let sound = match frame.frame_type {
        FrameType::Padding | FrameType::MtuProbe => true,
        FrameType::ClockRequest => ClockRequest::parse(data).is_some(),
        FrameType::ClockReply => ClockReply::parse(data).is_some(),
        FrameType::Feedback => Feedback::parse(data).is_some(),
        FrameType::Close => Close::parse(data).is_some(),
        FrameType::Admitted => Admitted::parse(data).is_some(),
        FrameType::AddressToken => data.len() == TOKEN_LEN,
        FrameType::Request => Request::parse(data).is_some(),
        FrameType::Pairing => PairingMessage::parse(data).is_some(),
        FrameType::Successor => Successor::parse(data).is_some(),
        FrameType::Input => InputMessage::parse(data).is_some(),
        FrameType::InputAcknowledged => InputAcknowledged::parse(data).is_some(),
        FrameType::Rumble => RumbleMessage::parse(data).is_some(),
        FrameType::InputShown => InputShownMessage::parse(data).is_some(),
        FrameType::Cursor => CursorPosition::parse(data).is_some(),
        FrameType::StreamParameters => StreamParametersMessage::parse(data).is_some(),
        FrameType::Repair => Repair::parse(data).is_some(),
        FrameType::VideoPosition => VideoPosition::parse(data).is_some(),
        FrameType::CaptureState => CaptureStateMessage::parse(data).is_some(),
        FrameType::Capabilities => CapabilitiesMessage::parse(data).is_some(),
        FrameType::TileReport => TileReport::parse(data).is_some(),
        FrameType::MoreParity => MoreParity::parse(data).is_some(),
        FrameType::Shard => ShardHead::parse(data).is_some(),
        FrameType::WindowShard => WindowHead::parse(data).is_some(),
        FrameType::Window => Window::parse(data).is_some(),
        FrameType::Audio => AudioMessage::parse(data).is_some(),
        FrameType::Stream => StreamPart::parse(data).is_some(),
        FrameType::StreamAcknowledged => StreamAcknowledged::parse(data).is_some(),
        FrameType::PathChallenge | FrameType::PathResponse => PathProbe::parse(data).is_some(),
        FrameType::PathsInUse => PathsInUse::parse(data).is_some(),
        FrameType::DatagramLimit => DatagramLimit::parse(data).is_some(),
        FrameType::NewConnection => NewConnection::parse(data).is_some(),
        FrameType::KeyRequest | FrameType::KeyReply => Renewing::parse(data).is_some(),
    };
    assert!(sound, "a session sent a broken {:?}", frame.frame_type);
}
