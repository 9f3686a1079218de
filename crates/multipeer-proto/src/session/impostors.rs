//! Peers for whom somebody else answered, and where.
//!
//! Anybody can announce anybody's id. Who answers there cannot prove to be that peer, and one who answers faster than the
//! peer itself must not keep it from being reached: from then on its addresses are tried one at a time, without those at
//! which another one answered.

use std::net::SocketAddr;

use super::{Relay, Session};
use crate::{
    id::PeerId,
    limits::{IMPOSTOR_PAUSE, MAX_ADDRESSES, MAX_NEARBY},
    time::Timestamp,
};

#[derive(Debug)]
pub(super) struct Doubt {
    /// When all of it is forgotten: addresses go from one device to another.
    until: Timestamp,
    /// Where another one answered. The latest comes last.
    pub(super) false_at: Vec<SocketAddr>,
    /// Places that were tried in vain since the last one that was told of.
    tried: usize,
}

/// Where a dial leads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) relays: Vec<Relay>,
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.relays.is_empty()
    }

    /// How many there are, of those that are tried one at a time. A relay makes sure itself who waits there.
    fn count(&self) -> usize {
        self.addresses.len() + usize::from(!self.relays.is_empty())
    }

    fn only(mut self, number: usize) -> Self {
        if number < self.addresses.len() {
            return Self { addresses: vec![self.addresses.swap_remove(number)], relays: vec![] };
        }
        Self { addresses: vec![], ..self }
    }
}

impl Session {
    /// Where to dial the peer next.
    pub(super) fn places_to_dial(&self, peer: PeerId, failures: u32) -> Places {
        let places = self.true_places(peer, failures);
        match self.doubts.get(&peer) {
            Some(doubt) => {
                let number = doubt.tried % places.count().max(1);
                places.only(number)
            }
            None => places,
        }
    }

    /// Where the peer may be, without the places at which another one answered.
    fn true_places(&self, peer: PeerId, failures: u32) -> Places {
        let addresses = self.addresses_of(peer).into_iter();
        Places {
            addresses: addresses.filter(|&address| !self.is_false_at(peer, address)).collect(),
            relays: self.relays_to(peer, failures),
        }
    }

    /// Whether another one answered at the address instead of the peer.
    pub(super) fn is_false_at(&self, peer: PeerId, address: SocketAddr) -> bool {
        self.doubts.get(&peer).is_some_and(|doubt| doubt.false_at.contains(&address))
    }

    /// A dial came to nothing. Returns whether there is another place to be tried before that is told.
    pub(super) fn has_another_place(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        dialled: &[SocketAddr],
        is_impostor: bool,
        failures: u32,
    ) -> bool {
        if is_impostor {
            self.doubt(now, peer, dialled);
        } else if let Some(doubt) = self.doubts.get_mut(&peer) {
            doubt.tried += 1;
        }
        let count = self.true_places(peer, failures).count();
        let Some(doubt) = self.doubts.get_mut(&peer) else { return false };
        if doubt.tried < count {
            return true;
        }
        doubt.tried = 0;
        false
    }

    fn doubt(&mut self, now: Timestamp, peer: PeerId, dialled: &[SocketAddr]) {
        // Who is dialled is near or a member, so that this fills only where many are doubted who have gone since.
        if self.doubts.len() >= MAX_NEARBY
            && !self.doubts.contains_key(&peer)
            && let Some(oldest) = self.doubts.iter().min_by_key(|(_, doubt)| doubt.until)
        {
            let oldest = *oldest.0;
            self.doubts.remove(&oldest);
        }
        let until = now + IMPOSTOR_PAUSE;
        let doubt =
            self.doubts.entry(peer).or_insert(Doubt { until, false_at: Vec::new(), tried: 0 });
        doubt.until = until;
        // Of several, any may have been the one.
        if let &[address] = dialled {
            doubt.false_at.push(address);
            let surplus = doubt.false_at.len().saturating_sub(MAX_ADDRESSES);
            doubt.false_at.drain(..surplus);
        }
    }

    pub(super) fn forget_doubts(&mut self, now: Timestamp) {
        self.doubts.retain(|_, doubt| doubt.until > now);
    }

    pub(super) fn doubts_timeout(&self) -> Option<Timestamp> {
        self.doubts.values().map(|doubt| doubt.until).min()
    }
}
