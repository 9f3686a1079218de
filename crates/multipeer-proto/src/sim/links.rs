//! Connections between simulated hosts: how they come about, what they carry, how they end.

use rand::RngExt;

use super::{
    Run,
    network::{Connection, ConnectionId, End, Packet, Side, Stream},
    world::{Happening, RETRANSMIT, Result, World},
};
use crate::{
    Direction, Frame, GoodbyeReason, Input, LinkId, PeerId, frame::Goodbye, trust::LinkKeys,
};

/// What stands for a link's secrets: the same for the same numbers, and for no others.
fn link_bytes(ConnectionId(id): ConnectionId, number: u8) -> [u8; 32] {
    let mut bytes = [number; 32];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    bytes
}

impl World {
    pub(super) fn connect(&mut self, from: Run, peer: PeerId, attempt: u64) {
        let target = self.run_of(peer).and_then(|to| self.index_of(to).map(|index| (to, index)));
        let found = self
            .index_of(from)
            .zip(target)
            .filter(|&(a, (_, b))| self.reachable(a, b) && !self.random.random_bool(0.05));
        let Some((a, (to, b))) = found else {
            self.within(10, 5000, Happening::DialFailed { from, peer, attempt });
            return;
        };
        let connection = ConnectionId(self.ids + self.scheduled);
        let mut ends = Connection {
            attempt,
            dialler: End::new(a, from),
            dialled: End::new(b, to),
            dead: false,
        };
        // At times the network dies just then, and at most one end sees the connection.
        ends.dead = self.healing_since.is_none() && self.random.random_bool(0.03);
        let dead = ends.dead;
        self.connections.insert(connection, ends);
        self.within(0, 5, Happening::LinkUp { connection, side: Side::Dialler });
        if dead {
            self.within(3000, 6000, Happening::LinkDown { connection, side: Side::Dialler });
        } else {
            self.within(0, 40, Happening::LinkUp { connection, side: Side::Dialled });
        }
    }

    pub(super) fn link_up(&mut self, id: ConnectionId, side: Side) -> Result {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let attempt = connection.attempt;
        let peer = connection.end(side.other()).run.id;
        let end = connection.end(side);
        let run = end.run;
        if end.closed {
            return Ok(());
        }
        let Some(index) = self.index_of(run) else {
            return Ok(());
        };
        let Some(host) = &mut self.hosts[index] else {
            return Ok(());
        };
        let link = host.new_link(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.end_mut(side).link = Some(link);
        }
        let direction = match side {
            Side::Dialler => Direction::Dialled { attempt },
            Side::Dialled => Direction::Accepted,
        };
        // The same at both ends, and at no other link.
        let (exporter, random) = (link_bytes(id, 0), link_bytes(id, 1 + side as u8));
        let keys = LinkKeys::new(exporter, random);
        self.input(run, Input::LinkUp { link, peer, direction, remote: None, keys })
    }

    /// Sends a packet from a host over one of its links.
    pub(super) fn transmit(&mut self, index: usize, link: LinkId, stream: Stream, packet: Packet) {
        let latency = self.latency();
        let at = self.now + latency;
        let Some((id, side)) = self.end_of(index, link) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.end(side).closed {
            return;
        }
        let side = side.other();
        let at = connection.end_mut(side).push(stream, packet, at);
        self.at(at, Happening::Arrive { connection: id, side, stream });
    }

    pub(super) fn end_of(&self, index: usize, link: LinkId) -> Option<(ConnectionId, Side)> {
        let host = self.hosts[index].as_ref()?;
        let &id = host.links.get(&link)?;
        let connection = self.connections.get(&id)?;
        let is_dialler =
            connection.dialler.run == host.run && connection.dialler.link == Some(link);
        Some((id, if is_dialler { Side::Dialler } else { Side::Dialled }))
    }

    /// Whether nothing gets through the connection at the moment.
    pub(super) fn is_stalled(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_none_or(|connection| {
            connection.dead || !self.reachable(connection.dialler.host, connection.dialled.host)
        })
    }

    pub(super) fn arrive(&mut self, id: ConnectionId, side: Side, stream: Stream) -> Result {
        let stalled = self.is_stalled(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let peer = connection.end(side.other()).run.id;
        let dead = connection.dead;
        let end = connection.end_mut(side);
        if end.closed || dead {
            return Ok(());
        }
        let (run, link) = (end.run, end.link);
        let attached = link.is_some()
            && self
                .index_of(run)
                .and_then(|index| self.lane(index, peer))
                .is_some_and(|lane| lane.link == link);
        if stalled || link.is_none() || (stream == Stream::Messages && !attached) {
            self.after(RETRANSMIT, Happening::Arrive { connection: id, side, stream });
            return Ok(());
        }
        let packet = self.connections.get_mut(&id).and_then(|c| c.end_mut(side).pop(stream));
        match (packet, link) {
            (Some(Packet::Control(frame)), Some(link)) => {
                self.input(run, Input::Frame { link, frame })
            }
            (Some(Packet::Close), _) => self.link_down(id, side),
            (Some(Packet::Message { number, payload }), _) => {
                self.receive(run, peer, number, &payload)
            }
            (None, _) | (_, None) => Ok(()),
        }
    }

    pub(super) fn link_down(&mut self, id: ConnectionId, side: Side) -> Result {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        connection.dead = true;
        let end = connection.end_mut(side);
        if std::mem::replace(&mut end.closed, true) {
            return Ok(());
        }
        let (run, link) = (end.run, end.link);
        self.within(0, 5000, Happening::LinkDown { connection: id, side: side.other() });
        match link {
            Some(link) => self.input(run, Input::LinkDown { link }),
            None => Ok(()),
        }
    }

    pub(super) fn close(
        &mut self,
        index: usize,
        link: LinkId,
        reason: GoodbyeReason,
        text: String,
    ) {
        let goodbye = Frame::Goodbye(Goodbye { reason, text });
        self.transmit(index, link, Stream::Control, Packet::Control(goodbye));
        self.transmit(index, link, Stream::Control, Packet::Close);
        if let Some((id, side)) = self.end_of(index, link)
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.end_mut(side).closed = true;
            // Should the goodbye get stuck, the other end notices by itself.
            let side = side.other();
            self.within(5000, 6000, Happening::LinkDown { connection: id, side });
        }
    }
}
