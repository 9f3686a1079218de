//! Peers for whom somebody else answered, and where.
//!
//! Anybody can announce anybody's id. Who answers there cannot prove to be that peer, and is not dialled in a loop. Which of
//! several addresses it was that answered the transport does not say, and it tries those of earlier dials again: so an
//! address counts as false only if it was the only one for a while. Where there are others, whoever answers first is
//! found out again and again, after pauses that grow, until the peer itself is quicker; or it dials this one.

use std::net::SocketAddr;

use super::{Relay, Session};
use crate::{
    id::PeerId,
    limits::{IMPOSTOR_PAUSE, MAX_NEARBY},
    time::Timestamp,
};

#[derive(Debug)]
pub(super) struct Doubt {
    /// When it is forgotten: addresses go from one device to another.
    until: Timestamp,
    /// Where another one answered, if that is certain.
    false_at: Option<SocketAddr>,
}

/// Where a dial leads.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) relays: Vec<Relay>,
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.relays.is_empty()
    }
}

impl Session {
    /// Where to dial the peer.
    pub(super) fn places_to_dial(&self, peer: PeerId, failures: u32) -> Places {
        let addresses = self.addresses_of(peer).into_iter();
        Places {
            addresses: addresses.filter(|&address| !self.is_false_at(peer, address)).collect(),
            relays: self.relays_to(peer, failures),
        }
    }

    /// Whether another one answered at the address instead of the peer.
    pub(super) fn is_false_at(&self, peer: PeerId, address: SocketAddr) -> bool {
        self.doubts.get(&peer).is_some_and(|doubt| doubt.false_at == Some(address))
    }

    /// Whether another one has answered for the peer of late.
    pub(super) fn is_doubted(&self, peer: PeerId) -> bool {
        self.doubts.contains_key(&peer)
    }

    /// Another one answered for the peer, at one of these addresses.
    pub(super) fn doubt(&mut self, now: Timestamp, peer: PeerId, dialled: &[SocketAddr]) {
        if self.is_doubted(peer) {
            // It may have been the former one.
            return;
        }
        // Who is dialled is near or a member, so that this fills only where many are doubted who have gone since.
        if self.doubts.len() >= MAX_NEARBY
            && let Some(oldest) = self.doubts.iter().min_by_key(|(_, doubt)| doubt.until)
        {
            let oldest = *oldest.0;
            self.doubts.remove(&oldest);
        }
        let false_at = if let &[address] = dialled { Some(address) } else { None };
        self.doubts.insert(peer, Doubt { until: now + IMPOSTOR_PAUSE, false_at });
    }

    pub(super) fn forget_doubts(&mut self, now: Timestamp) {
        self.doubts.retain(|_, doubt| doubt.until > now);
    }

    pub(super) fn doubts_timeout(&self) -> Option<Timestamp> {
        self.doubts.values().map(|doubt| doubt.until).min()
    }
}
