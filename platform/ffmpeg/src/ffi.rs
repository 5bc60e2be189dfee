//! The only place that touches libavcodec: a context, a packet and a frame, wrapped so that nothing outside can
//! misuse them.
//!
//! It knows bytes in and planes out; it refuses to know policy. Invariant: the three pointers are valid from
//! [`Raw::open`] until the drop, and the planes lent live no longer than the borrow they are lent under.

#![expect(unsafe_code, reason = "libavcodec is a C library")]

use core::ffi::{c_char, c_int, c_void};
use core::ptr::NonNull;
use core::slice;
use std::sync::Once;

use ffmpeg_sys_next as sys;

/// Bytes libavcodec may read past a packet's end.
const PADDING: usize = sys::AV_INPUT_BUFFER_PADDING_SIZE as usize;

/// What a packet's buffer starts with; a larger picture makes it grow.
const PACKET_CAPACITY: usize = 256 * 1024;

/// Why libavcodec gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No memory.
    Memory,
    /// The bytes are no picture.
    Invalid,
}

/// A decoded picture's properties.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// 8-bit 4:2:0 in three planes.
    pub(crate) planar_420: bool,
    /// Something was missing or broken and has been made up.
    pub(crate) damaged: bool,
}

/// A decoder, its input buffer and its newest frame.
#[derive(Debug)]
pub(crate) struct Raw {
    context: NonNull<sys::AVCodecContext>,
    packet: NonNull<sys::AVPacket>,
    frame: NonNull<sys::AVFrame>,
    /// Bytes the packet's buffer holds, the padding not counted; 0: there is no buffer.
    capacity: usize,
}

// SAFETY: a context belongs to no thread; libavcodec only forbids two calls at once, which `&mut self` rules out.
unsafe impl Send for Raw {}

impl Raw {
    /// Opens a decoder. `None`: libavcodec lacks H.264, or there is no memory.
    pub(crate) fn open(threads: u8, pixels_max: u32) -> Option<Self> {
        silence();
        // SAFETY: it takes any id and gives a static description or null.
        let codec = unsafe { sys::avcodec_find_decoder(sys::AVCodecID::AV_CODEC_ID_H264) };
        if codec.is_null() {
            return None;
        }
        // SAFETY: the codec is a valid description.
        let context = NonNull::new(unsafe { sys::avcodec_alloc_context3(codec) })?;
        // SAFETY: it takes nothing.
        let packet = unsafe { sys::av_packet_alloc() };
        // SAFETY: it takes nothing.
        let frame = unsafe { sys::av_frame_alloc() };
        let (Some(packet), Some(frame)) = (NonNull::new(packet), NonNull::new(frame)) else {
            free(Some(context), packet, frame);
            return None;
        };
        // From here on the drop frees all three.
        let mut this = Self { context, packet, frame, capacity: 0 };
        this.configure(threads, pixels_max);
        // SAFETY: context and codec are valid and belong together; no options are passed.
        let status = unsafe { sys::avcodec_open2(this.context.as_ptr(), codec, core::ptr::null_mut()) };
        (status >= 0).then_some(this)
    }

    fn configure(&mut self, threads: u8, pixels_max: u32) {
        // SAFETY: the context is valid and nobody else has a reference to it.
        let context = unsafe { self.context.as_mut() };
        context.flags |= sys::AV_CODEC_FLAG_LOW_DELAY as c_int;
        context.thread_count = c_int::from(threads);
        context.thread_type = sys::FF_THREAD_SLICE;
        context.max_pixels = i64::from(pixels_max);
        // Broken bits are to be noticed. Concealment stays on: it is what finds missing parts, and marks the frame.
        context.err_recognition = sys::AV_EF_CAREFUL | sys::AV_EF_BITSTREAM | sys::AV_EF_BUFFER;
    }

    /// Decodes one packet. `Ok(None)`: taken, and there is nothing to show.
    pub(crate) fn decode(&mut self, data: &[u8]) -> Result<Option<Picture>, Failure> {
        self.fill_packet(data)?;
        // SAFETY: the context is open and the packet holds `data` and its padding.
        let status = unsafe { sys::avcodec_send_packet(self.context.as_ptr(), self.packet.as_ptr()) };
        if status < 0 {
            return Err(failure(status));
        }
        // SAFETY: the context is open and the frame valid; what the frame held before is released by the call.
        let status = unsafe { sys::avcodec_receive_frame(self.context.as_ptr(), self.frame.as_ptr()) };
        if status == sys::AVERROR(sys::EAGAIN) {
            return Ok(None);
        }
        if status < 0 {
            return Err(failure(status));
        }
        Ok(Some(self.describe()))
    }

    /// Forgets every picture: decoding goes on with the next key picture.
    pub(crate) fn flush(&mut self) {
        // SAFETY: the context is open; frames lent have been given back, since this borrows mutably.
        unsafe { sys::avcodec_flush_buffers(self.context.as_ptr()) };
    }

    /// Plane `index` of the newest frame, `rows` rows of `row` bytes, and its stride. `None`: it holds fewer.
    pub(crate) fn plane(&self, index: usize, row: usize, rows: usize) -> Option<(&[u8], usize)> {
        // SAFETY: the frame is valid and only changed under `&mut self`.
        let frame = unsafe { self.frame.as_ref() };
        let data = NonNull::new(*frame.data.get(index)?)?;
        let stride = usize::try_from(*frame.linesize.get(index)?).ok()?;
        if stride < row || rows == 0 {
            return None;
        }
        let len = stride * (rows - 1) + row;
        // SAFETY: the frame owns `rows` rows of `stride` bytes at `data` (its size and format were checked by whoever
        // asks), and keeps them unchanged until the next call that takes `&mut self`.
        let bytes = unsafe { slice::from_raw_parts(data.as_ptr(), len) };
        Some((bytes, stride))
    }

    fn describe(&self) -> Picture {
        // SAFETY: the frame is valid and only changed under `&mut self`.
        let frame = unsafe { self.frame.as_ref() };
        let planar_420 = frame.format == sys::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int
            || frame.format == sys::AVPixelFormat::AV_PIX_FMT_YUVJ420P as c_int;
        Picture {
            width: u32::try_from(frame.width).unwrap_or(0),
            height: u32::try_from(frame.height).unwrap_or(0),
            planar_420,
            damaged: frame.flags & sys::AV_FRAME_FLAG_CORRUPT != 0 || frame.decode_error_flags != 0,
        }
    }

    /// Copies `data` into the packet's own buffer, which is made anew only when it is too small or still in use.
    fn fill_packet(&mut self, data: &[u8]) -> Result<(), Failure> {
        if data.is_empty() {
            // To libavcodec an empty packet is the end of the stream.
            return Err(Failure::Invalid);
        }
        let size = c_int::try_from(data.len()).map_err(|_| Failure::Invalid)?;
        if self.capacity < data.len() || !self.packet_is_ours() {
            self.grow_packet(data.len())?;
        }
        // SAFETY: the packet is valid and nobody else has a reference to it.
        let packet = unsafe { self.packet.as_mut() };
        packet.size = size;
        // SAFETY: the buffer holds `capacity + PADDING` bytes, `capacity` is at least `data.len()`, and nobody else
        // refers to it.
        let buffer = unsafe { slice::from_raw_parts_mut(packet.data, data.len() + PADDING) };
        let (bytes, padding) = buffer.split_at_mut(data.len());
        bytes.copy_from_slice(data);
        padding.fill(0);
        Ok(())
    }

    /// Whether the decoder keeps no reference to the packet's buffer.
    fn packet_is_ours(&self) -> bool {
        // SAFETY: the packet is valid.
        let buffer = unsafe { self.packet.as_ref() }.buf;
        // SAFETY: the buffer is null, which is checked first, or the packet's own.
        !buffer.is_null() && unsafe { sys::av_buffer_is_writable(buffer) } == 1
    }

    fn grow_packet(&mut self, len: usize) -> Result<(), Failure> {
        self.capacity = 0;
        // SAFETY: the packet is valid; what it held is released.
        unsafe { sys::av_packet_unref(self.packet.as_ptr()) };
        let capacity = len.next_power_of_two().max(PACKET_CAPACITY);
        let size = c_int::try_from(capacity).map_err(|_| Failure::Invalid)?;
        // SAFETY: the packet is valid and empty; the call adds the padding by itself.
        if unsafe { sys::av_new_packet(self.packet.as_ptr(), size) } < 0 {
            return Err(Failure::Memory);
        }
        // libavcodec may look at the whole buffer, and hands out uninitialised memory.
        // SAFETY: the packet is valid.
        let start = unsafe { self.packet.as_ref() }.data;
        // SAFETY: the buffer just made holds `capacity + PADDING` bytes.
        unsafe { start.write_bytes(0, capacity + PADDING) };
        self.capacity = capacity;
        Ok(())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        free(Some(self.context), self.packet.as_ptr(), self.frame.as_ptr());
    }
}

/// Frees what is not null.
fn free(
    context: Option<NonNull<sys::AVCodecContext>>,
    mut packet: *mut sys::AVPacket,
    mut frame: *mut sys::AVFrame,
) {
    // SAFETY: the frame is null or valid, and not used after this.
    unsafe { sys::av_frame_free(&raw mut frame) };
    // SAFETY: the packet is null or valid, and not used after this.
    unsafe { sys::av_packet_free(&raw mut packet) };
    let mut context = context.map_or(core::ptr::null_mut(), NonNull::as_ptr);
    // SAFETY: the context is null or valid, and not used after this.
    unsafe { sys::avcodec_free_context(&raw mut context) };
}

fn failure(status: c_int) -> Failure {
    if status == sys::AVERROR(sys::ENOMEM) { Failure::Memory } else { Failure::Invalid }
}

/// Hostile bytes must not write to the terminal: errors are returned, never printed.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the callback touches none of its arguments and may be called from any thread.
        unsafe { sys::av_log_set_callback(Some(ignore)) };
    });
}

unsafe extern "C" fn ignore(_: *mut c_void, _: c_int, _: *const c_char, _: *mut sys::__va_list_tag) {}
