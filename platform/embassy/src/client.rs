//! One session, as the side that asks.

use core::net::SocketAddr;

use embassy_net::udp::UdpSocket;
use rift::{CloseReason, Ecn, Event, Handshake, Instant, Memory, NoPictures, PathId, Session};

use crate::link::{Link, Scratch, Woken, not_before, now};
use crate::{RECEIVES_PER_ROUND, ROUNDS_MAX};

/// What a session says last waits so long for room in the socket.
#[cfg(feature = "farewell")]
const FAREWELL_US: u64 = 200_000;

/// What a client does with its session. Nothing here may block.
pub trait Application<M: Memory, H: Handshake> {
    /// Something happened in the session. Commands given to it are acted on at once.
    fn event(&mut self, now: Instant, session: &mut Session<M, H>, event: Event);

    /// Ends when [`Self::command`] is to be called: a key was pressed, a time has come. It is dropped and called anew many
    /// times, so what it waits for must not be lost by that: wait until a time, not for a while.
    fn wanted(&mut self) -> impl Future<Output = ()>;

    /// Tells the session what there is to tell.
    fn command(&mut self, now: Instant, session: &mut Session<M, H>);
}

/// Drives `session`, made with [`Session::connect`] on `PathId(0)`, to its end; its host is at `remote`, and `socket` is
/// bound. Returns why it ended, when the last datagrams have been given to the stack: it takes none for who is gone from
/// the cable, and with the feature `farewell` is not waited for long.
pub async fn run_client<M: Memory, H: Handshake>(
    socket: &UdpSocket<'_>,
    remote: SocketAddr,
    session: &mut Session<M, H>,
    scratch: &mut Scratch,
    application: &mut impl Application<M, H>,
) -> CloseReason {
    let mut client = Client {
        link: Link::new(socket, scratch),
        remote,
        session,
        application,
        closed: None,
        #[cfg(feature = "farewell")]
        until: None,
    };
    let mut woken = Woken::Driver;
    loop {
        let time = now();
        client.session.handle_timeout(time);
        if woken == Woken::Application {
            client.application.command(time, client.session);
        }
        client.receive(time).await;
        for _ in 0..ROUNDS_MAX {
            client.transmit(time).await;
            if !client.tell(time) {
                break;
            }
        }
        let is_said = client.link.flush().await;
        #[cfg(feature = "farewell")]
        let is_said = is_said || client.until.is_some_and(|until| until <= time);
        if let Some(reason) = client.closed
            && client.session.is_closed()
            && is_said
        {
            return reason;
        }
        let due = client.session.poll_timeout().map(|(due, _)| due);
        #[cfg(feature = "farewell")]
        let due = [due, client.until].into_iter().flatten().min();
        let due = not_before(due, time);
        woken = client.link.wait(due, client.application.wanted()).await;
    }
}

struct Client<'a, 's, M: Memory, H: Handshake, A> {
    link: Link<'a, 's>,
    remote: SocketAddr,
    session: &'a mut Session<M, H>,
    application: &'a mut A,
    closed: Option<CloseReason>,
    /// Until when its last datagrams may wait.
    #[cfg(feature = "farewell")]
    until: Option<Instant>,
}

impl<M: Memory, H: Handshake, A: Application<M, H>> Client<'_, '_, M, H, A> {
    async fn receive(&mut self, time: Instant) {
        for _ in 0..RECEIVES_PER_ROUND {
            let Some((from, datagram)) = self.link.receive().await else { return };
            if from == self.remote {
                // Discards are counted by the session.
                let _ = self.session.handle_datagram(time, PathId(0), time, Ecn::NotEct, datagram);
                self.tell(time);
            }
        }
    }

    async fn transmit(&mut self, time: Instant) {
        while self.link.flush().await
            && let Some(room) = self.link.room()
            && let Some(transmit) = self.session.poll_transmit(time, &NoPictures, room)
        {
            self.link.fill(self.remote, &transmit);
        }
    }

    /// Whether anything happened.
    fn tell(&mut self, time: Instant) -> bool {
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            if let Event::Closed(reason) = event {
                self.closed = Some(reason);
                #[cfg(feature = "farewell")]
                self.until.get_or_insert(time.plus_micros(FAREWELL_US));
            }
            self.application.event(time, self.session, event);
            any = true;
        }
        any
    }
}
