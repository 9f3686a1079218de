//! Connections between simulated hosts: ordered streams that stall when the network splits, and
//! whose ends learn of their death at different times.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::Run;
use crate::{Frame, LinkId, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Dialler,
    Dialled,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Dialled,
            Self::Dialled => Self::Dialler,
        }
    }
}

/// A stream of a connection. They overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Control,
    Messages,
}

/// What travels on a stream.
#[derive(Debug, Clone)]
pub(super) enum Packet {
    Control(Frame),
    /// Messages as they are on the wire, and the number of the first.
    Messages {
        number: u64,
        chunks: Vec<Bytes>,
    },
    /// The other end closed the connection; comes behind everything on the control stream.
    Close,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) run: Run,
    /// The host's number for it, once the host knows of it.
    pub(super) link: Option<LinkId>,
    /// The host is done with it.
    pub(super) closed: bool,
    /// What is under way to this end, in order, and when the last of it arrives.
    control: (VecDeque<Packet>, Timestamp),
    messages: (VecDeque<Packet>, Timestamp),
}

impl End {
    pub(super) fn new(host: usize, run: Run) -> Self {
        let nothing = || (VecDeque::new(), Timestamp::ZERO);
        Self { host, run, link: None, closed: false, control: nothing(), messages: nothing() }
    }

    fn stream(&mut self, stream: Stream) -> &mut (VecDeque<Packet>, Timestamp) {
        match stream {
            Stream::Control => &mut self.control,
            Stream::Messages => &mut self.messages,
        }
    }

    /// Sends a packet that would arrive at `at`; returns when it does, behind those before it.
    pub(super) fn push(&mut self, stream: Stream, packet: Packet, at: Timestamp) -> Timestamp {
        let (packets, last) = self.stream(stream);
        packets.push_back(packet);
        *last = at.max(*last);
        *last
    }

    pub(super) fn pop(&mut self, stream: Stream) -> Option<Packet> {
        self.stream(stream).0.pop_front()
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) attempt: u64,
    pub(super) dialler: End,
    pub(super) dialled: End,
    /// The hub through which the two are linked, if they cannot reach each other.
    pub(super) hub: Option<Run>,
    /// Nothing gets through any more, though neither end may know.
    pub(super) dead: bool,
}

impl Connection {
    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialler => &self.dialler,
            Side::Dialled => &self.dialled,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Dialled => &mut self.dialled,
        }
    }
}

pub(super) type Connections = BTreeMap<ConnectionId, Connection>;
