//! Programs on the network, and what an operating system does to them: it lets them stand still while datagrams wait.

use std::collections::VecDeque;

use rift::Instant;
use rift_sim::{Host, Packet};

use crate::client::ClientProgram;
use crate::host::HostProgram;

/// Datagrams that wait for a program that stands still; further ones are lost, as in a socket's buffer.
const SOCKET_MAX: usize = 160;

/// What a node runs.
#[derive(Debug)]
pub enum Program {
    /// A client.
    Client(Box<ClientProgram>),
    /// A host.
    Host(Box<HostProgram>),
    /// An attacker's machine, which only counts what it is sent.
    Listener,
}

/// A program and its socket.
#[derive(Debug)]
pub struct Node {
    /// What runs here.
    pub program: Program,
    stopped_until: Option<Instant>,
    socket: VecDeque<Packet>,
}

impl Node {
    /// A node that runs this.
    #[must_use]
    pub const fn new(program: Program) -> Self {
        Self { program, stopped_until: None, socket: VecDeque::new() }
    }

    /// The program stands still until then.
    pub const fn stop_until(&mut self, until: Instant) {
        self.stopped_until = Some(until);
    }

    /// Forgets what waits: the program that would have read it is gone.
    pub fn clear_socket(&mut self) {
        self.socket.clear();
    }

    /// The client.
    ///
    /// # Panics
    /// When this node runs something else.
    #[must_use]
    pub fn client(&self) -> &ClientProgram {
        let Program::Client(client) = &self.program else { panic!("no client runs here") };
        client
    }

    /// The client, to act on.
    ///
    /// # Panics
    /// When this node runs something else.
    pub fn client_mut(&mut self) -> &mut ClientProgram {
        let Program::Client(client) = &mut self.program else { panic!("no client runs here") };
        client
    }

    /// The host.
    ///
    /// # Panics
    /// When this node runs something else.
    #[must_use]
    pub fn host(&self) -> &HostProgram {
        let Program::Host(host) = &self.program else { panic!("no host runs here") };
        host
    }

    /// The host, to act on.
    ///
    /// # Panics
    /// When this node runs something else.
    pub fn host_mut(&mut self) -> &mut HostProgram {
        let Program::Host(host) = &mut self.program else { panic!("no host runs here") };
        host
    }

    fn take(&mut self, now: Instant, packet: &mut Packet) {
        match &mut self.program {
            Program::Client(client) => client.handle_packet(now, packet),
            Program::Host(host) => host.handle_packet(now, packet),
            Program::Listener => {}
        }
    }
}

impl Host for Node {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        if self.stopped_until.is_none() && self.socket.is_empty() {
            self.take(now, packet);
        } else if self.socket.len() < SOCKET_MAX {
            self.socket.push_back(packet.clone());
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        match &mut self.program {
            _ if self.stopped_until.is_some() => false,
            Program::Client(client) => client.poll_packet(now, packet),
            Program::Host(host) => host.poll_packet(now, packet),
            Program::Listener => false,
        }
    }

    fn next_wake(&mut self) -> Option<Instant> {
        match &mut self.program {
            _ if self.stopped_until.is_some() => self.stopped_until,
            _ if !self.socket.is_empty() => Some(Instant::ZERO),
            Program::Client(client) => client.next_wake(),
            Program::Host(host) => host.next_wake(),
            Program::Listener => None,
        }
    }

    fn handle_wake(&mut self, now: Instant) {
        if self.stopped_until.is_some_and(|until| now < until) {
            return;
        }
        self.stopped_until = None;
        // One at a time, for what follows from each leaves before the next is read; timers come after.
        if let Some(mut packet) = self.socket.pop_front() {
            self.take(now, &mut packet);
            return;
        }
        match &mut self.program {
            Program::Client(client) => client.handle_wake(now),
            Program::Host(host) => host.handle_wake(now),
            Program::Listener => {}
        }
    }
}
