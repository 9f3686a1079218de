//! What simulated applications send, and what of it arrives.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rand::RngExt;

use super::{
    Run, Violation,
    host::Lane,
    network::{ConnectionId, Packet, Side, Stream},
    world::{Happening, Result, World},
};
use crate::{
    Input, LinkId, PeerId,
    message::{MessageDecoder, MessageError, Messages, encode_stream_header},
};

/// Bytes of a message at most.
const MAX_BYTES: usize = 216;

/// Reads a piece of a message stream, as if the stream began with it.
fn decode(first: u64, chunks: Vec<Bytes>) -> std::result::Result<Vec<Messages>, MessageError> {
    let mut header = BytesMut::new();
    encode_stream_header(first, &mut header);
    // The kind is read before it is known that these are messages.
    header.advance(1);
    let (mut decoder, mut messages) = (MessageDecoder::new(MAX_BYTES), Vec::new());
    for chunk in std::iter::once(header.freeze()).chain(chunks) {
        decoder.decode(chunk, |arrived| messages.push(arrived))?;
    }
    Ok(messages)
}

impl World {
    pub(super) fn lane(&mut self, index: usize, peer: PeerId) -> Option<&mut Lane> {
        self.hosts[index].as_mut()?.lanes.get_mut(&peer)
    }

    pub(super) fn attach(
        &mut self,
        index: usize,
        peer: PeerId,
        link: LinkId,
        fresh: bool,
        received: u64,
    ) -> Result {
        let Some((id, side)) = self.end_of(index, link) else {
            return Ok(());
        };
        let Some(connection) = self.connections.get(&id) else {
            return Ok(());
        };
        let run = connection.end(side.other()).run;
        let Some(host) = &mut self.hosts[index] else {
            return Ok(());
        };
        let at = host.run;
        host.heard.insert(peer, self.now);
        if fresh {
            host.lanes.insert(peer, Lane::new(run, host.outbox_bytes));
        } else {
            self.report.resumptions += 1;
        }
        let Some(lane) = host.lanes.get_mut(&peer) else {
            return Ok(());
        };
        lane.link = Some(link);
        (lane.paused, lane.resting) = (false, false);
        if let Err(error) = lane.outbox.handle_resumed(received) {
            return Err(Violation::BadConfirmation { at, from: peer, error });
        }
        self.pump(index, peer);
        Ok(())
    }

    /// Writes what waits in the outbox to the link.
    pub(super) fn pump(&mut self, index: usize, peer: PeerId) {
        while let Some(lane) = self.lane(index, peer)
            && let Some(link) = lane.link
        {
            let number = lane.outbox.cursor();
            let mut chunks = Vec::new();
            lane.outbox.transmit(1, &mut chunks);
            if chunks.is_empty() {
                break;
            }
            self.transmit(index, link, Stream::Messages, Packet::Messages { number, chunks });
        }
    }

    pub(super) fn receive(
        &mut self,
        run: Run,
        peer: PeerId,
        mut number: u64,
        chunks: Vec<Bytes>,
    ) -> Result {
        let now = self.now;
        let Some(index) = self.index_of(run) else {
            return Ok(());
        };
        let Some(host) = &mut self.hosts[index] else {
            return Ok(());
        };
        let mut new = Vec::new();
        for mut messages in decode(number, chunks).map_err(|error| Violation::BadMessages {
            at: run,
            from: peer,
            error,
        })? {
            let count = messages.len() as u64;
            host.receive(now, peer, number, &mut messages)?;
            number += count;
            new.extend(messages);
        }
        for mut message in new {
            let from = Run { id: peer, incarnation: message.get_u64() };
            self.report.delivered += 1;
            self.checker.delivered(from, run, message.get_u64())?;
        }
        self.input(run, Input::Tick)
    }

    /// What an application does: a message to everyone who is connected, if it fits.
    pub(super) fn send_to_all(&mut self, index: usize) {
        let Some(host) = &self.hosts[index] else {
            return;
        };
        let from = host.run;
        for peer in host.lanes.keys().copied().collect::<Vec<_>>() {
            let padding = self.random.random_range(0..MAX_BYTES - 16);
            let Some(lane) = self.lane(index, peer) else {
                continue;
            };
            let room = lane.outbox.has_room_for(&Bytes::from(vec![0; padding + 16]));
            if room && !lane.draining {
                let to = lane.run;
                let mut payload = BytesMut::new();
                payload.put_u64(from.incarnation);
                payload.put_u64(self.checker.sent(from, to));
                payload.put_bytes(0, padding);
                if let Some(lane) = self.lane(index, peer) {
                    _ = lane.outbox.push(&payload.freeze());
                }
                self.pump(index, peer);
                self.want(index, from, peer);
            }
        }
    }

    /// A best-effort message to everyone who is connected: lost, doubled and late at times.
    pub(super) fn send_unreliable_to_all(&mut self, index: usize) {
        let Some(host) = &self.hosts[index] else {
            return;
        };
        let links: Vec<LinkId> = host.lanes.values().filter_map(|lane| lane.link).collect();
        for link in links {
            for _ in 0..self.random.random_range(0..=2) {
                if let Some((connection, side)) = self.end_of(index, link) {
                    let payload = Bytes::from_static(b"sample");
                    let side = side.other();
                    self.within(1, 900, Happening::Datagram { connection, side, payload });
                }
            }
        }
    }

    pub(super) fn datagram(&mut self, id: ConnectionId, side: Side, payload: &Bytes) -> Result {
        if self.is_stalled(id) || payload.is_empty() {
            return Ok(());
        }
        let Some(connection) = self.connections.get(&id) else {
            return Ok(());
        };
        let (end, peer) = (connection.end(side), connection.end(side.other()).run.id);
        let (run, link) = (end.run, end.link);
        let Some(index) = self.index_of(run) else {
            return Ok(());
        };
        // The driver hands over datagrams of the attached link only.
        if link.is_some() && self.lane(index, peer).is_some_and(|lane| lane.link == link) {
            self.report.delivered_unreliable += 1;
            if !self.checker.is_connected(run, peer) {
                return Err(Violation::MessageFromStranger { at: run, from: peer });
            }
        }
        Ok(())
    }

    pub(super) fn confirmed(
        &mut self,
        index: usize,
        run: Run,
        peer: PeerId,
        received: u64,
    ) -> Result {
        let Some(lane) = self.lane(index, peer) else {
            return Ok(());
        };
        if let Err(error) = lane.outbox.handle_confirmed(received) {
            return Err(Violation::BadConfirmation { at: run, from: peer, error });
        }
        self.check_drained(index, run, peer);
        Ok(())
    }

    pub(super) fn check_drained(&mut self, index: usize, run: Run, peer: PeerId) {
        if self.lane(index, peer).is_some_and(|lane| lane.draining && lane.outbox.is_empty()) {
            let input = Box::new(Input::Drained { peer });
            self.after(Duration::ZERO, Happening::Input { run, input });
        }
    }

    pub(super) fn detach(&mut self, index: usize, run: Run, peer: PeerId) {
        let Some(host) = &mut self.hosts[index] else {
            return;
        };
        let Some(mut lane) = host.lanes.remove(&peer) else {
            return;
        };
        for mut message in lane.outbox.take_unconfirmed() {
            message.advance(8);
            self.report.returned += 1;
            self.checker.returned(run, lane.run, message.get_u64());
        }
    }
}
