//! What a client would like to do, said in the last message of its handshake (SPEC §4.16).

use super::frame::{FrameType, Frames, emit as emit_frame};
use super::{Reader, Writer};
use crate::channel::permissions::Permissions;

/// ```text
/// 0             4
/// +-------------+
/// | permissions |
/// +-------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it would like to do; bits this version does not know are dropped.
    pub permissions: Permissions,
}

impl Request {
    /// Bytes of the frame.
    pub const FRAME_LEN: usize = 6;

    /// Reads a body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let bits = Reader::new(body).u32()?;
        Some(Self { permissions: Permissions::from_bits_truncate(bits) })
    }
}

/// Writes a request's frame to the start of `out`. Returns its length, `None` when it does not fit.
pub fn emit(permissions: Permissions, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(out);
    emit_frame(&mut writer, FrameType::Request, |body| body.u32(permissions.bits()))?;
    Some(writer.len())
}

/// What is asked for by these frames: everything, when they do not say.
#[must_use]
pub fn wanted(frames: &[u8]) -> Permissions {
    let requests = Frames::new(frames).filter(|frame| frame.frame_type == FrameType::Request);
    requests
        .filter_map(|frame| Request::parse(frame.body))
        .last()
        .map_or(Permissions::all(), |request| request.permissions)
}
