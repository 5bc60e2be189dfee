//! Devices as the kernel shows them. Where there are none, that is said and proves nothing.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rift::Instant;
use rift_hal::{Frame, PixelFormat, Pollable, VideoSource};
use rift_v4l::{
    CaptureState, DeviceInfo, Edid, Encoding, FourCc, Memory, Options, V4lError, V4lSource, devices,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The first device that can be captured from, or a printed reason why there is none.
fn device() -> Option<DeviceInfo> {
    let mut found = devices();
    if found.is_empty() {
        eprintln!("skipped: this machine has no /dev/video*");
        return None;
    }
    match found.swap_remove(0) {
        Ok(device) => Some(device),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Waits until the device has a frame; ten seconds without one is a hang.
fn wait(source: &V4lSource) {
    let fd = source.poll_fd();
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)], Some(&limit));
    assert_eq!(ready, Ok(1), "the device gives frames");
}

#[test]
fn node_that_is_not_there_is_missing() {
    let refusal = V4lSource::open(Path::new("/dev/video-none"), &Options::default()).expect_err("missing");
    assert!(matches!(refusal, V4lError::Missing(_)), "{refusal}");
}

#[test]
fn node_that_is_no_video_device_is_refused_by_name() {
    let refusal = V4lSource::open(Path::new("/dev/null"), &Options::default()).expect_err("no video device");
    assert!(matches!(refusal, V4lError::NotCapture { .. }), "{refusal}");
    assert!(refusal.to_string().contains("/dev/null"), "{refusal}");
}

#[test]
fn device_gives_frames_of_the_size_it_says_and_forgets_the_older() {
    if device().is_none() {
        return;
    }
    // All of them: they may speak different dialects.
    for device in devices().into_iter().flatten() {
        eprintln!("{} {}", device.path.display(), device.card);
        check_frames(&device);
    }
}

fn check_frames(device: &DeviceInfo) {
    let mut source = V4lSource::open(&device.path, &Options::default()).expect("it opens");
    let mut frames = 0;
    while frames < 10 {
        wait(&source);
        let size = source.size();
        let now = Instant::from_millis(1_000_000);
        if let Some(frame) = source.poll_frame(now).expect("a frame") {
            assert_eq!((frame.width(), frame.height()), size);
            assert!(frame.captured_at() <= now);
            frames += 1;
        }
    }
    let again = source.current_frame(Instant::ZERO).expect("the current frame");
    assert!(again.is_some(), "the current frame stays");
}

#[test]
fn device_that_is_not_there_is_waited_for() {
    let path = Path::new("/dev/video-none");
    let mut source = V4lSource::wait_for(path, &Options::default()).expect("it needs no device");
    for attempt in 0..3 {
        wait(&source);
        let now = Instant::from_millis(1_000_000 + 1000 * attempt);
        assert!(source.poll_frame(now).expect("no error").is_none());
        assert!(source.current_frame(now).expect("no error").is_none());
        assert_eq!(source.state(), CaptureState::NoDevice);
        assert_eq!(source.state_since(), Instant::from_millis(1_000_000));
        assert!(matches!(source.error(), Some(V4lError::Missing(_))), "{:?}", source.error());
    }
    assert!(source.info().is_err() && source.timings().is_none());
}

#[test]
fn inputs_are_switched_while_streaming() {
    let Some(device) = device() else { return };
    let mut source = V4lSource::open(&device.path, &Options::default()).expect("it opens");
    let inputs = source.inputs();
    let [first, second, ..] = &inputs[..] else {
        eprintln!("skipped: {} has fewer than two inputs", device.path.display());
        return;
    };
    assert_ne!(first.name, second.name);
    let mut millis = 0;
    let mut until = |source: &mut V4lSource, state: CaptureState| {
        for _ in 0..200 {
            wait(source);
            millis += 16;
            let is_new = source.poll_frame(Instant::from_millis(millis)).expect("no error").is_some();
            if source.state() == state && (is_new || state != CaptureState::Streaming) {
                return Instant::from_millis(millis);
            }
        }
        panic!("still {:?}: {:?}", source.state(), source.error());
    };
    let first_has_timings = source.timings().is_some();
    for input in [second, first, second] {
        let now = until(&mut source, CaptureState::Streaming);
        source.select_input(input.index, now);
        assert!(source.current_frame(now).expect("no error").is_some(), "the last picture stays");
        assert_ne!(source.state(), CaptureState::Streaming);
    }
    let now = until(&mut source, CaptureState::Streaming);
    assert!(!(first_has_timings && source.timings().is_some()), "a camera input has no timings");
    source.select_input(99, now);
    let now = until(&mut source, CaptureState::Failed);
    source.select_input(first.index, now);
    until(&mut source, CaptureState::Streaming);
    assert_eq!(source.timings().is_some(), first_has_timings);
}

#[test]
fn device_is_set_to_the_size_that_was_asked_for() {
    let Some(device) = device() else { return };
    let Some((input, sizes)) = device.inputs.iter().find_map(|input| sizes_of(&device, input.index)) else {
        eprintln!("skipped: {} has no input of several sizes", device.path.display());
        return;
    };
    // The smaller ones: an emulated processor fills the frames.
    for &size in sizes.iter().rev().take(2) {
        let options = Options { size: Some(size), ..Options::default() };
        let source = frames_of(&device, input, &options);
        assert_eq!(source.size(), size);
    }
    let near = Options { size: Some((sizes[0].0 + 1, sizes[0].1 + 1)), ..Options::default() };
    assert_eq!(frames_of(&device, input, &near).size(), sizes[0], "the nearest there is");
    // The other tests begin at the first.
    frames_of(&device, device.inputs[0].index, &Options::default());
}

/// The sizes of a device at this input, if there are several.
fn sizes_of(device: &DeviceInfo, input: u32) -> Option<(u32, Vec<(u32, u32)>)> {
    let source = frames_of(device, input, &Options::default());
    let info = source.info().expect("it answers");
    let sizes: Vec<(u32, u32)> = info.sizes().into_iter().map(|(size, _)| size).collect();
    assert!(sizes.contains(&source.size()), "{sizes:?} hold the present one, {:?}", source.size());
    (sizes.len() > 1).then_some((input, sizes))
}

/// A source that has given a frame of this input.
fn frames_of(device: &DeviceInfo, input: u32, options: &Options) -> V4lSource {
    let mut source = V4lSource::wait_for(&device.path, options).expect("it waits");
    source.select_input(input, Instant::ZERO);
    for turn in 0..200 {
        wait(&source);
        let now = Instant::from_millis(1 + 16 * turn);
        let size = source.poll_frame(now).expect("no error").map(|frame| (frame.width(), frame.height()));
        if let Some(size) = size {
            assert_eq!(size, source.size());
            return source;
        }
    }
    panic!("no frame: {:?}, {:?}", source.state(), source.error());
}

#[test]
fn display_data_are_told_and_read_back() {
    let Some(device) = device() else { return };
    let input = device.inputs.first().map_or(0, |input| input.index);
    if rift_v4l::edid(&device.path, input).expect("it answers").is_none() {
        eprintln!("skipped: {} has no display data", device.path.display());
        return;
    }
    for edid in [Edid::ultra_hd(), Edid::full_hd()] {
        let mut source = V4lSource::wait_for(&device.path, &Options::default()).expect("a source");
        source.select_input(input, Instant::ZERO);
        source.tell_edid(edid.clone(), Instant::ZERO);
        wait(&source);
        source.poll_frame(Instant::from_millis(1000)).expect("no error");
        let told = rift_v4l::edid(&device.path, input).expect("it answers").expect("it has some");
        assert!(told.is_like(&edid), "{told:?} instead of {edid:?}");
    }
}

/// Polls until so many frames have come.
fn take(source: &mut V4lSource, frames: u32) {
    let mut taken = 0;
    while taken < frames {
        wait(source);
        taken += u32::from(source.poll_frame(Instant::from_millis(1)).expect("no error").is_some());
    }
}

#[test]
fn every_format_that_is_taken_gives_the_same_picture_in_either_memory() {
    if device().is_none() {
        return;
    }
    // All of them: one may know formats whose planes lie apart.
    for device in devices().into_iter().flatten() {
        let has = |name: FourCc| device.formats.contains(&name);
        let mut colours = Vec::new();
        for name in Encoding::ALL.into_iter().filter_map(Encoding::four_cc).filter(|&name| has(name)) {
            for memory in [Memory::Driver, Memory::Process] {
                let options = Options { format: Some(name), memory: Some(memory), ..Options::default() };
                let mut source = V4lSource::open(&device.path, &options).expect("it opens");
                take(&mut source, 4);
                let buffers = source.layout().buffers();
                let frame =
                    source.current_frame(Instant::from_millis(1)).expect("no error").expect("a frame");
                let (format, luma) = (frame.format(), luma_of_the_middle(&frame));
                let (width, height) = (frame.width(), frame.height());
                eprintln!("{name} {memory:?}: {format:?} {width}x{height}, {buffers} buffers, {luma}");
                colours.push(luma);
            }
        }
        assert!(!colours.is_empty(), "{:?}", device.formats);
        let (least, most) = (colours.iter().min(), colours.iter().max());
        assert!(least.zip(most).is_some_and(|(least, most)| most - least <= 4), "{colours:?}");
    }
}

#[test]
fn exported_memory_holds_the_frame() {
    if device().is_none() {
        return;
    }
    for device in devices().into_iter().flatten() {
        for name in [*b"YU12", *b"YM12", *b"NM12", *b"YUYV"].map(FourCc) {
            if !device.formats.contains(&name) {
                continue;
            }
            let options = Options { format: Some(name), ..Options::default() };
            let mut source = V4lSource::open(&device.path, &options).expect("it opens");
            assert!(source.export().expect("no error").is_none(), "there is no frame yet");
            take(&mut source, 3);
            let frame = source.current_frame(Instant::from_millis(1)).expect("no error").expect("a frame");
            let format = frame.format();
            let rows = |plane: usize| format.plane_size(plane, frame.width(), frame.height());
            let expected: Vec<Vec<u8>> = (0..format.planes())
                .map(|plane| frame.planes()[plane].row(rows(plane).1 - 1, rows(plane).0).to_vec())
                .collect();
            let sizes: Vec<(usize, usize)> = (0..format.planes()).map(rows).collect();
            let exported = source.export().expect("it exports").expect("it holds the frame");
            assert_eq!(exported.format, format);
            for ((plane, expected), (row, rows)) in exported.planes.iter().zip(&expected).zip(sizes) {
                let plane = plane.as_ref().expect("every plane is there");
                let last = plane.offset + plane.stride * (rows - 1);
                let bytes = shared_bytes(plane.fd, last + row);
                assert_eq!(&bytes[last..], expected, "{name}");
            }
            eprintln!("{name} of {}: {} planes exported", device.path.display(), format.planes());
            let options = Options { memory: Some(Memory::Process), ..options };
            drop(source);
            let mut source = V4lSource::open(&device.path, &options).expect("it opens");
            take(&mut source, 2);
            assert!(source.export().expect("no error").is_none(), "it is this process's own");
        }
    }
}

/// The first `len` bytes of memory that another device would be given.
#[expect(unsafe_code, reason = "memory is mapped")]
fn shared_bytes(fd: BorrowedFd<'_>, len: usize) -> Vec<u8> {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    let start = core::ptr::null_mut();
    // SAFETY: a new mapping anywhere replaces nothing.
    let start =
        unsafe { mmap(start, len, ProtFlags::READ, MapFlags::SHARED, fd, 0) }.expect("it can be mapped");
    // SAFETY: `len` bytes were mapped for reading, and the source is not polled, so that nobody writes into them.
    let bytes = unsafe { core::slice::from_raw_parts(start.cast::<u8>(), len) }.to_vec();
    // SAFETY: this was mapped above, and nothing refers to it any more.
    unsafe { munmap(start, len) }.expect("it was mapped");
    bytes
}

/// The luma of a frame's middle, whatever its format.
fn luma_of_the_middle(frame: &Frame<'_>) -> u8 {
    let (x, y) = (frame.width() as usize / 2 / 2 * 2 + 8, frame.height() as usize / 2);
    let at = |offset: usize, bytes: usize| frame.planes()[0].row(y, frame.width() as usize * bytes)[offset];
    match frame.format() {
        PixelFormat::Yuyv => at(x * 2, 2),
        PixelFormat::Uyvy => at(x * 2 + 1, 2),
        PixelFormat::Bgrx => {
            let [blue, green, red] = [0, 1, 2].map(|channel| f64::from(at(x * 4 + channel, 4)));
            (16.0 + (0.2126 * red + 0.7152 * green + 0.0722 * blue) * 219.0 / 255.0).round() as u8
        }
        PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Rgb565 | _ => at(x, 1),
    }
}
