//! What a batch of datagrams may be made of.

use rift::crypto::Side;
use rift::wire::{FrameType, Frames};
use rift::{
    Class, Codec, Config, CursorPosition, Permissions, PictureId, PictureInfo, Pictures, Rectangle,
    RectangleData, StreamParameters,
};
use wavry_fuzz::pair::{self, Attacker, START};

/// SPEC §3.4.
#[test]
fn batch_of_shards_holds_shards_alone() {
    let (_, mut host) = pair::connected(&Config { bitrate_bps_start: 80_000_000, ..Config::default() });
    host.admit(START, Permissions::all());
    let parameters = StreamParameters { width: 64, height: 48, rate_millihertz: 60_000, codec: Codec::H264 };
    host.set_stream(PictureId(1), parameters).expect("established");
    let mut pictures = Pictures::new([vec![0; 20_000]]);
    let info = PictureInfo { id: PictureId(1), reference: None, captured_at: START, encoded_at: START };
    let rectangle =
        RectangleData { place: Rectangle::sized(64, 48), codec: Codec::H264, parts: &[&[7; 15_000]] };
    let picture = pictures.push(&info, &[rectangle]).expect("it fits");
    host.send_picture(START, picture).expect("there is room");
    let mut ear = Attacker::of(Side::Responder, host.connection());
    let (mut out, mut batches, mut others, mut now) = ([0; 65_536], 0, 0, START);
    for x in 0..200 {
        // Something small waits all the time.
        host.send_cursor(now, CursorPosition { x, ..CursorPosition::default() }).expect("established");
        while let Some(sent) = host.poll_transmit(now, &pictures, &mut out) {
            let segment = sent.segment.map_or(sent.len, usize::from);
            let datagrams = sent.len.div_ceil(segment);
            for datagram in out[..sent.len].chunks_mut(segment) {
                let types: Vec<FrameType> =
                    Frames::new(ear.open(datagram)).map(|frame| frame.frame_type).collect();
                let is_shard = types == [FrameType::Shard];
                assert_eq!(is_shard, sent.class == Class::Media, "{types:?}");
                assert!(is_shard || datagrams == 1, "{types:?} in a batch");
            }
            batches += usize::from(datagrams > 1);
            others += usize::from(sent.class == Class::Realtime);
        }
        now = now.plus_micros(500);
        host.handle_timeout(now);
    }
    assert!(batches > 0 && others > 50, "{batches} batches, {others} others");
}
