//! What a device tells by itself, and the one descriptor that says when anything is worth a look.

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rift::Instant;
use rustix::event::epoll;
use rustix::fs::inotify;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use crate::device::{Device, READ, WRITE, blank, ioctl, request};

const TAKE_EVENT: vidioc::_IOC_TYPE = request::<sys::v4l2_event>(READ, 89);
const SUBSCRIBE: vidioc::_IOC_TYPE = request::<sys::v4l2_event_subscription>(WRITE, 90);

impl Device {
    /// Asks to be told of changes of the current input's signal; `false` if the driver tells none.
    pub(crate) fn subscribe(&self) -> bool {
        let mut wanted: sys::v4l2_event_subscription = blank();
        wanted.type_ = sys::V4L2_EVENT_SOURCE_CHANGE;
        wanted.id = self.input().map_or(0, |input| input.index);
        ioctl(self.as_fd(), SUBSCRIBE, &mut wanted).is_ok()
    }

    /// Takes all that was told; whether the signal changed.
    pub(crate) fn take_events(&self) -> bool {
        let mut has_changed = false;
        for _ in 0..EVENTS_MAX {
            let mut event: sys::v4l2_event = blank();
            if ioctl(self.as_fd(), TAKE_EVENT, &mut event).is_err() {
                break;
            }
            has_changed |= event.type_ == sys::V4L2_EVENT_SOURCE_CHANGE;
        }
        has_changed
    }
}

/// A descriptor that outlives every device: readable when the device has something, a time is over, or something came
/// or changed hands below `/dev`.
#[derive(Debug)]
pub(crate) struct Bell {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// Tells of new nodes; `None` where the system has no watch left, and then the timer finds them.
    nodes: Option<OwnedFd>,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        let nodes = watch_nodes().ok();
        if let Some(nodes) = &nodes {
            epoll::add(&epoll, nodes, epoll::EventData::new_u64(2), epoll::EventFlags::IN)?;
        }
        Ok(Self { epoll, timer, nodes })
    }

    /// Takes all that was told of `/dev`; whether a video node came or changed hands.
    pub(crate) fn take_arrivals(&self) -> bool {
        let Some(nodes) = &self.nodes else { return false };
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(nodes, &mut buffer);
        let mut has_arrived = false;
        for _ in 0..EVENTS_MAX * 8 {
            let Ok(event) = reader.next() else { break };
            let name = event.file_name().map_or(&[][..], core::ffi::CStr::to_bytes);
            has_arrived |= name.starts_with(b"video");
        }
        has_arrived
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Rings for frames and events of this device, until [`Self::ignore`] or until it is closed. Only for one that
    /// streams: others report an error all the time.
    pub(crate) fn heed(&self, device: &Device) -> io::Result<()> {
        let events = epoll::EventFlags::IN | epoll::EventFlags::PRI;
        Ok(epoll::add(&self.epoll, device, epoll::EventData::new_u64(1), events)?)
    }

    pub(crate) fn ignore(&self, device: &Device) {
        // It may not be heeded, and that is as well.
        let _ = epoll::delete(&self.epoll, device);
    }

    /// Rings at `due` at the latest; what rang for an earlier time is silenced.
    pub(crate) fn set(&self, now: Instant, due: Instant) {
        // A time of zero would mean never.
        let left = due.until(now).max(core::time::Duration::from_nanos(1));
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: left };
        // It fails for values out of range only, and these are not.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }
}

/// A node is made first and given its owner after that.
fn watch_nodes() -> io::Result<OwnedFd> {
    let nodes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&nodes, "/dev", inotify::WatchFlags::CREATE | inotify::WatchFlags::ATTRIB)?;
    Ok(nodes)
}

/// A driver keeps a few events for each handle; more than these are taken at the next look.
const EVENTS_MAX: u32 = 16;
