//! Peers whose addresses were given by hand, and the tickets that give them.

use std::net::SocketAddr;

use super::{
    Session,
    nearby::{Source, is_link_local},
};
use crate::{
    id::PeerId,
    limits::{MAX_GIVEN, MAX_TICKET_PEERS},
    ticket::{Ticket, TicketPeer},
    time::Timestamp,
};

impl Session {
    /// Tries to reach a peer at these addresses from now on, as if it were heard.
    pub(super) fn add(&mut self, now: Timestamp, peer: PeerId, addresses: Vec<SocketAddr>) {
        let room = self.given.len() < MAX_GIVEN || self.given.contains_key(&peer);
        if peer != self.config.id && room {
            self.given.insert(peer, addresses);
            if self.looking {
                self.note_given(now, peer);
            }
        }
    }

    pub(super) fn note_given(&mut self, now: Timestamp, peer: PeerId) {
        let Some(addresses) = self.given.get(&peer).cloned() else { return };
        self.note_near(now, self.unheard(peer), &addresses, Source::Given);
    }

    /// What somebody needs to reach this session: where this peer is, and the hubs in the session. Without a passcode.
    pub fn ticket(&self) -> Ticket {
        let own = TicketPeer { id: self.config.id, addresses: shareable(&self.own_addresses) };
        let hubs = self.members.iter().filter(|(_, member)| member.relay_port.is_some());
        let hubs = hubs
            .filter(|(_, member)| member.attached.is_some())
            .map(|(&id, member)| TicketPeer { id, addresses: shareable(&member.addresses) });
        let peers = std::iter::once(own).chain(hubs).take(MAX_TICKET_PEERS).collect();
        Ticket { service: self.config.service.clone(), peers, passcode: None }
    }
}

/// The addresses that say something elsewhere, too.
fn shareable(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let useful = addresses.iter().copied().filter(|address| !is_link_local(address.ip()));
    let (loopback, others): (Vec<_>, Vec<_>) = useful.partition(|a| a.ip().is_loopback());
    // On a machine without a network only those on the machine itself can be meant.
    if others.is_empty() { loopback } else { others }
}
