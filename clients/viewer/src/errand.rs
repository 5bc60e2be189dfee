//! A session that is for one thing, and shows nothing.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rift_mio::Clock;

use crate::cursor::Shape;
use crate::error::ClientError;
use crate::link::{Job, Link, Orders};
use crate::net::{Network, Target};
use crate::send::SharedSender;
use crate::session::Ends;

/// One under way.
pub(crate) struct Errand {
    pub(crate) link: Arc<Link>,
    pub(crate) orders: Orders,
    pub(crate) clock: Clock,
    thread: JoinHandle<Result<(), ClientError>>,
    /// With no buffer to put them into, pictures are given up.
    _jobs: Receiver<Job>,
    _spares: SyncSender<Vec<u8>>,
    _shapes: Receiver<(u32, Shape)>,
}

impl Errand {
    /// Calls `target`, to send it `files` if there are any.
    ///
    /// # Errors
    /// [`ClientError::System`].
    pub(crate) fn begin(target: Target, files: Option<SharedSender>) -> Result<Self, ClientError> {
        let link = Link::new().map_err(|error| ClientError::System("make an eventfd", error))?;
        let (sender, orders) = sync_channel(8);
        let ((jobs, _jobs), (_spares, spares), (shapes, _shapes)) =
            (sync_channel(1), sync_channel(1), sync_channel(1));
        let ends = Ends {
            link: Arc::clone(&link),
            orders,
            jobs,
            spares,
            shapes,
            clipboard: None,
            sound: None,
            files,
        };
        let clock = Clock::new();
        let network = Network::new(target, clock, ends);
        let thread = std::thread::Builder::new().name("network".into()).spawn(|| network.run());
        let thread = thread.map_err(|error| ClientError::System("start a thread", error))?;
        let orders = Orders::new(sender, Arc::clone(&link));
        Ok(Self { link, orders, clock, thread, _jobs, _spares, _shapes })
    }

    /// Ends it.
    ///
    /// # Errors
    /// What ended it before.
    pub(crate) fn end(mut self) -> Result<(), ClientError> {
        self.orders.quit();
        self.thread.join().map_err(|_| ClientError::NetworkGone)?
    }
}
