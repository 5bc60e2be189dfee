//! The only place that touches libx264: about ten functions, wrapped so that nothing outside can misuse them.
//!
//! It knows parameters, planes and coded units; it refuses to know frames, picture numbers and policy.
//! Invariant: `handle` is open from [`Raw::open`] until the drop, and used by one caller at a time (`&mut`).

#![expect(unsafe_code, reason = "libx264 is a C library")]

use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

use x264_sys as sys;

use crate::output::{Collector, Unit};

/// Everything that is fixed when the encoder opens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rate_millihertz: u32,
    pub(crate) threads: u8,
    pub(crate) references: u8,
    pub(crate) slice_macroblocks: Option<u32>,
    pub(crate) preset: &'static CStr,
}

/// What may change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// 1000 bits per second the decoder's buffer fills with.
    pub(crate) kilobits: i32,
    /// 1000 bits the decoder's buffer holds.
    pub(crate) buffer_kilobits: i32,
    /// The quantiser to use where the rate allows it.
    pub(crate) quantiser: f32,
}

/// How the planes of [`Input`] lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    I420,
    Nv12,
}

/// One picture to encode: planes and their strides. [`Layout::Nv12`] has two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) layout: Layout,
    pub(crate) planes: [(&'a [u8], usize); 3],
}

/// The macroblocks that differ from the picture encoded last.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) columns: Range<usize>,
    pub(crate) rows: Range<usize>,
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) key: bool,
    /// The mean quantiser over the picture.
    pub(crate) quantiser: f64,
}

/// An open encoder.
pub(crate) struct Raw {
    handle: NonNull<sys::x264_t>,
    parameters: Box<sys::x264_param_t>,
    picture: Box<sys::x264_picture_t>,
    size: (usize, usize),
    /// A flag word for each macroblock, in scan order; libx264 is given its address, so it never moves.
    macroblocks: Box<[u8]>,
}

// SAFETY: libx264 binds a handle to no thread; it only forbids two calls at once, which `&mut self` rules out.
unsafe impl Send for Raw {}

impl core::fmt::Debug for Raw {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Raw").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Raw {
    /// Opens an encoder, or `None` when libx264 refuses the parameters or has no memory.
    pub(crate) fn open(setup: &Setup, rate: &Rate) -> Option<Self> {
        let mut parameters = defaults(setup.preset)?;
        fill(&mut parameters, setup, rate);
        // SAFETY: the parameters are initialised, and no file name in them is set.
        let handle = unsafe { sys::x264_encoder_open(&raw mut *parameters) };
        let handle = NonNull::new(handle)?;
        let mut picture = Box::new(MaybeUninit::<sys::x264_picture_t>::uninit());
        // SAFETY: the pointer is to writable memory of the right type, which the call initialises as a whole.
        unsafe { sys::x264_picture_init(picture.as_mut_ptr()) };
        // SAFETY: `x264_picture_init` zeroes the whole structure before it sets fields, so all of it is initialised.
        let picture = unsafe { picture.assume_init() };
        let size = (setup.width as usize, setup.height as usize);
        let macroblocks = vec![0; size.0.div_ceil(16) * size.1.div_ceil(16)].into_boxed_slice();
        Some(Self { handle, parameters, picture, size, macroblocks })
    }

    /// Changes rate and quality from the next picture on. `false`: refused, and nothing changed.
    pub(crate) fn reconfigure(&mut self, rate: &Rate) -> bool {
        let before = self.parameters.rc;
        fill_rate(&mut self.parameters, rate);
        // SAFETY: the handle is open, no call is running on it, and the parameters are those it was opened with
        // except for the rate.
        let status = unsafe { sys::x264_encoder_reconfig(self.handle.as_ptr(), &raw mut *self.parameters) };
        if status < 0 {
            self.parameters.rc = before;
        }
        status >= 0
    }

    /// Never again refers to the picture of time `pts` or a later one.
    pub(crate) fn invalidate(&mut self, pts: i64) -> bool {
        // SAFETY: the handle is open and no encode is running on it.
        let status = unsafe { sys::x264_encoder_invalidate_reference(self.handle.as_ptr(), pts) };
        status >= 0
    }

    /// Encodes one picture. Macroblocks outside of `changed` are taken to be those of the picture encoded last, which
    /// must then be the one this refers to; `None`: nothing is known of them. Its units have gone to `collector` when this returns. `None`: it failed.
    ///
    /// # Panics
    /// When the planes do not hold a picture of the encoder's size.
    pub(crate) fn encode(
        &mut self,
        input: &Input<'_>,
        pts: i64,
        key: bool,
        changed: Option<&Changed>,
        collector: &Collector<'_, '_>,
    ) -> Option<Output> {
        self.lend(input);
        self.mark(changed);
        self.picture.i_type = if key { sys::X264_TYPE_IDR as c_int } else { sys::X264_TYPE_P as c_int };
        self.picture.i_pts = pts;
        self.picture.opaque = core::ptr::from_ref(collector).cast_mut().cast::<c_void>();
        let mut units: *mut sys::x264_nal_t = null_mut();
        let mut count: c_int = 0;
        let mut out = MaybeUninit::<sys::x264_picture_t>::zeroed();
        // SAFETY: the handle is open; `lend` has checked that the planes hold the picture, and they and the collector
        // outlive the call: with sliced threads and no lookahead libx264 keeps neither after it returns.
        let size = unsafe {
            sys::x264_encoder_encode(
                self.handle.as_ptr(),
                &raw mut units,
                &raw mut count,
                &raw mut *self.picture,
                out.as_mut_ptr(),
            )
        };
        self.picture.opaque = null_mut();
        self.picture.img.plane = [null_mut(); 4];
        if size <= 0 {
            return None;
        }
        // SAFETY: all bytes were zeroed, which is a value of every field, and the encoder wrote valid ones over them.
        let out = unsafe { out.assume_init() };
        Some(Output { key: out.b_keyframe != 0, quantiser: out.prop.f_crf_avg })
    }

    /// Tells which macroblocks are as they were: they are skipped unless the quantiser has become finer.
    fn mark(&mut self, changed: Option<&Changed>) {
        let Some(Changed { columns, rows }) = changed else {
            self.picture.prop.mb_info = null_mut();
            return;
        };
        let across = self.size.0.div_ceil(16);
        for (y, row) in self.macroblocks.chunks_exact_mut(across).enumerate() {
            row.fill(sys::X264_MBINFO_CONSTANT as u8);
            if rows.contains(&y) {
                row[columns.clone()].fill(0);
            }
        }
        self.picture.prop.mb_info = self.macroblocks.as_mut_ptr();
    }

    fn lend(&mut self, input: &Input<'_>) {
        let (width, height) = self.size;
        let (chroma_width, planes, layout) = match input.layout {
            Layout::I420 => (width / 2, 3, sys::X264_CSP_I420),
            Layout::Nv12 => (width, 2, sys::X264_CSP_NV12),
        };
        let image = &mut self.picture.img;
        image.i_csp = layout as c_int;
        image.i_plane = planes as c_int;
        for (index, (data, stride)) in input.planes.iter().enumerate().take(planes) {
            let (row, rows) = if index == 0 { (width, height) } else { (chroma_width, height / 2) };
            assert!(*stride >= row && data.len() >= stride * (rows - 1) + row, "plane {index} is too small");
            image.plane[index] = data.as_ptr().cast_mut();
            image.i_stride[index] = c_int::try_from(*stride).expect("a stride fits 31 bits");
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the handle is open, nothing runs on it, and nothing uses it after this.
        unsafe { sys::x264_encoder_close(self.handle.as_ptr()) };
    }
}

fn defaults(preset: &CStr) -> Option<Box<sys::x264_param_t>> {
    let mut parameters = Box::new(MaybeUninit::<sys::x264_param_t>::uninit());
    // SAFETY: the pointer is to writable memory of the right type and both names are strings that end in a nul.
    let status = unsafe {
        sys::x264_param_default_preset(parameters.as_mut_ptr(), preset.as_ptr(), c"zerolatency".as_ptr())
    };
    if status < 0 {
        return None;
    }
    // SAFETY: on success every field has been given its default (the call zeroes the structure first).
    Some(unsafe { parameters.assume_init() })
}

fn fill(parameters: &mut sys::x264_param_t, setup: &Setup, rate: &Rate) {
    let int = |value: u32| c_int::try_from(value).unwrap_or(c_int::MAX);
    parameters.i_log_level = sys::X264_LOG_NONE;
    parameters.i_width = int(setup.width);
    parameters.i_height = int(setup.height);
    parameters.i_csp = sys::X264_CSP_I420 as c_int;
    parameters.i_bitdepth = 8;
    parameters.i_fps_num = setup.rate_millihertz;
    parameters.i_fps_den = 1000;
    parameters.i_timebase_num = 1000;
    parameters.i_timebase_den = setup.rate_millihertz;
    parameters.b_vfr_input = 0;

    parameters.i_threads = c_int::from(setup.threads);
    parameters.b_sliced_threads = c_int::from(setup.threads > 1);
    parameters.i_sync_lookahead = 0;
    parameters.i_slice_max_mbs = setup.slice_macroblocks.map_or(0, int);

    // Old pictures are kept for repair, but only the newest usable one is searched: the search is what costs time.
    parameters.i_dpb_size = c_int::from(setup.references);
    parameters.i_frame_reference = 1;
    parameters.i_keyint_max = sys::X264_KEYINT_MAX_INFINITE as c_int;
    parameters.i_scenecut_threshold = 0;
    parameters.b_intra_refresh = 0;
    parameters.i_bframe = 0;

    parameters.analyse.b_mb_info = 1;

    parameters.b_repeat_headers = 1;
    parameters.b_annexb = 1;
    parameters.b_aud = 0;
    parameters.vui.b_fullrange = 0;
    parameters.vui.i_colorprim = 1;
    parameters.vui.i_transfer = 1;
    parameters.vui.i_colmatrix = 1;

    parameters.rc.i_rc_method = sys::X264_RC_CRF as c_int;
    parameters.rc.f_qcompress = 1.0;
    parameters.rc.f_ip_factor = 1.0;
    parameters.rc.b_mb_tree = 0;
    parameters.rc.i_lookahead = 0;
    parameters.rc.f_vbv_buffer_init = 1.0;
    fill_rate(parameters, rate);
    parameters.nalu_process = Some(on_unit);
}

fn fill_rate(parameters: &mut sys::x264_param_t, rate: &Rate) {
    parameters.rc.i_vbv_max_bitrate = rate.kilobits;
    parameters.rc.i_vbv_buffer_size = rate.buffer_kilobits;
    parameters.rc.f_rf_constant = rate.quantiser;
}

/// Called by libx264 on its own threads, several at once, as each unit is finished.
extern "C" fn on_unit(handle: *mut sys::x264_t, unit: *mut sys::x264_nal_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the collector `Raw::encode` borrows for the whole call during which units appear;
    // a collector may be shared between threads.
    let collector = unsafe { &*opaque.cast::<Collector<'_, '_>>() };
    // SAFETY: libx264 lends the unit to this call alone.
    let unit = unsafe { &mut *unit };
    let payload = usize::try_from(unit.i_payload).unwrap_or(0);
    let description = Unit {
        kind: unit.i_type,
        first_macroblock: unit.i_first_mb,
        last_macroblock: unit.i_last_mb,
        // The bound that x264.h gives for `x264_nal_encode`.
        len_max: payload * 3 / 2 + 5 + 64,
    };
    collector.accept(&description, |space| {
        // SAFETY: `space` has `len_max` bytes, and handle and unit are those of this callback.
        unsafe { sys::x264_nal_encode(handle, space.as_mut_ptr(), unit) };
        usize::try_from(unit.i_payload).unwrap_or(0)
    });
}
