//! Connections between simulated hosts: how they come about, what they carry, how they end.

use rand::RngExt;

use super::{
    Run, Violation,
    faults::IDLE,
    network::{Connection, ConnectionId, End, Packet, Side, Stream},
    world::{Happening, RETRANSMIT, Result, World, address_of},
};
use crate::{
    Direction, Frame, GoodbyeReason, Input, LinkId, PeerId, Relay, frame::Goodbye, trust::LinkKeys,
};

/// What stands for a link's secrets: the same for the same numbers, and for no others.
fn link_bytes(ConnectionId(id): ConnectionId, number: u8) -> [u8; 32] {
    let mut bytes = [number; 32];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    bytes
}

impl World {
    pub(super) fn connect(
        &mut self,
        from: Run,
        peer: PeerId,
        attempt: u64,
        leads_there: bool,
        relays: &[Relay],
    ) {
        let target = self.run_of(peer).and_then(|to| self.index_of(to).map(|index| (to, index)));
        let ends = self.index_of(from).zip(target);
        let found = ends
            .and_then(|(a, (to, b))| {
                let direct = leads_there && self.reachable(a, b);
                let hub = relays.iter().find_map(|relay| self.hub_between(relay.hub, from, to));
                (direct || hub.is_some()).then_some((a, to, b, hub.filter(|_| !direct)))
            })
            .filter(|_| self.settling_since.is_some() || !self.random.random_bool(0.05));
        let Some((a, to, b, hub)) = found else {
            self.within(10, 5000, Happening::DialFailed { from, peer, attempt });
            return;
        };
        self.report.relayed += u64::from(hub.is_some());
        let connection = ConnectionId(self.ids + self.scheduled);
        let mut ends = Connection {
            attempt,
            dialler: End::new(a, from),
            dialled: End::new(b, to),
            hub,
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

    /// The hub, if it relays between the two at the moment.
    fn hub_between(&self, hub: PeerId, from: Run, to: Run) -> Option<Run> {
        let hub = self.run_of(hub)?;
        let waits = |run| {
            let index = self.index_of(run)?;
            let host = self.hosts[index].as_ref()?;
            let is_there = host.relays.first() == Some(&hub.id) || host.at_relays.contains(&hub.id);
            is_there.then_some(())
        };
        waits(from)?;
        waits(to)?;
        self.relays(hub, from, to).then_some(hub)
    }

    /// Whether a hub is there and reaches both, relays for both, and both use its relay.
    fn relays(&self, hub: Run, a: Run, b: Run) -> bool {
        self.index_of(hub).is_some_and(|index| {
            let session = self.hosts[index].as_ref().map(|host| &host.session);
            let serves = |run: Run| session.is_some_and(|s| s.served().any(|id| id == run.id));
            // Who has left has handed over what it had to say.
            let reaches = |run| self.index_of(run).is_none_or(|guest| self.uses(guest, hub, index));
            [a, b].into_iter().all(|run| serves(run) && reaches(run))
        })
    }

    /// Whether a host uses the relay of a hub, and reaches it.
    fn uses(&self, guest: usize, hub: Run, hub_index: usize) -> bool {
        let host = self.hosts[guest].as_ref();
        host.is_some_and(|host| host.relays.contains(&hub.id)) && self.reachable(guest, hub_index)
    }

    /// A hub relays for others than before, or somebody uses other relays.
    pub(super) fn cut_off_at_relays(&mut self) {
        let through = self.connections.iter().filter_map(|(&id, c)| Some((id, c.hub?, c)));
        let cut = through.filter(|(_, hub, c)| !self.relays(*hub, c.dialler.run, c.dialled.run));
        for connection in cut.map(|(id, ..)| id).collect::<Vec<_>>() {
            self.time_out(connection);
        }
    }

    /// A hub is gone: those linked through it hear nothing of each other any more.
    pub(super) fn relay_gone(&mut self, hub: Run) {
        let through = self.connections.iter().filter(|(_, c)| c.hub == Some(hub));
        for connection in through.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.time_out(connection);
        }
    }

    /// The ends of a connection find out by themselves whether it is still alive.
    pub(super) fn time_out(&mut self, connection: ConnectionId) {
        for side in [Side::Dialler, Side::Dialled] {
            self.within(IDLE.0, IDLE.1, Happening::IdleTimeout { connection, side });
        }
    }

    pub(super) fn link_up(&mut self, id: ConnectionId, side: Side) -> Result {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        let attempt = connection.attempt;
        let remote = connection.hub.is_none().then_some(connection.end(side.other()).host);
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
        let remote = remote.map(address_of);
        self.input(run, Input::LinkUp { link, peer, direction, remote, keys })
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
            let (a, b) = (&connection.dialler, &connection.dialled);
            let reaches = match connection.hub {
                Some(hub) => self.relays(hub, a.run, b.run),
                None => self.reachable(a.host, b.host),
            };
            connection.dead || !reaches
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
            (Some(Packet::Messages { number, chunks }), _) => {
                self.receive(run, peer, number, chunks)
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
    ) -> Result {
        if reason == GoodbyeReason::Duplicate
            && let Some((id, side)) = self.end_of(index, link)
            && let Some((at, peer)) = self.in_use(id, side)
        {
            return Err(Violation::EndedInUse { at, peer });
        }
        if reason.is_said() {
            let goodbye = Frame::Goodbye(Goodbye { reason, text });
            self.transmit(index, link, Stream::Control, Packet::Control(goodbye));
        }
        self.transmit(index, link, Stream::Control, Packet::Close);
        if reason == GoodbyeReason::Resting {
            self.come_to_rest(index, link);
        }
        if let Some((id, side)) = self.end_of(index, link)
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.end_mut(side).closed = true;
            // Should the goodbye get stuck, the other end notices by itself.
            let side = side.other();
            self.within(5000, 6000, Happening::LinkDown { connection: id, side });
        }
        Ok(())
    }

    /// Whose link it is, and to whom, if both ends use it and it works.
    fn in_use(&self, id: ConnectionId, side: Side) -> Option<(Run, PeerId)> {
        let connection = self.connections.get(&id)?;
        let (own, other) = (connection.end(side), connection.end(side.other()));
        let uses = |end: &End, peer: PeerId| {
            let host = self.index_of(end.run).and_then(|index| self.hosts[index].as_ref());
            let lane = host.and_then(|host| host.lanes.get(&peer));
            !end.closed && lane.is_some_and(|lane| lane.link.is_some() && lane.link == end.link)
        };
        let used = uses(own, other.run.id) && uses(other, own.run.id);
        (used && !connection.dead).then_some((own.run, other.run.id))
    }
}
