//! This peer has another address than before: its links move by themselves, or are replaced.
//!
//! The transport moves a link to the new address when it learns of it, for which it takes its time on networks
//! that lead nowhere else. So every peer is asked for a sign of life at once, and a link on which none
//! comes is given up before the transport would, as is one that still leads to a network that this peer has left:
//! the transport may send there whatever answers elsewhere.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Session, viability};
use crate::{
    frame::GoodbyeReason,
    id::{LinkId, PeerId},
    limits::{LISTEN_INTERVAL, MAX_ADDRESSES},
    network::Network,
    time::Timestamp,
};

/// Time for the answers of those who can still be reached.
const PATIENCE: Duration = LISTEN_INTERVAL.saturating_mul(3);

/// An address was lost under which others may have reached this peer.
#[derive(Debug)]
pub(super) struct Move {
    at: Timestamp,
    /// Networks in which it has no address any more.
    left: BTreeSet<Network>,
}

impl Session {
    pub(super) fn handle_own_addresses(&mut self, now: Timestamp, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(MAX_ADDRESSES);
        let former = std::mem::replace(&mut self.own_addresses, addresses);
        if former == self.own_addresses {
            return;
        }
        self.dial_all_soon(now);
        let is_own = |address: &SocketAddr| self.own_addresses.contains(address);
        let lost: Vec<IpAddr> =
            former.iter().filter(|address| !is_own(address)).map(SocketAddr::ip).collect();
        if lost.is_empty() {
            return;
        }
        let before = self.moved.take().map(|moved| moved.left).into_iter().flatten();
        // An interface that is down may keep its address, and with it its network.
        let networks = self.own_networks().into_iter().flatten().chain(&self.former_networks);
        let left = networks.filter(|network| lost.contains(&network.address)).copied();
        // Of an address of which another port is used nothing is lost, nor of one that is back.
        let has_address = |network: &Network| {
            self.own_addresses.iter().any(|address| address.ip() == network.address)
        };
        let left = left.chain(before).filter(|network| !has_address(network)).collect();
        self.moved = Some(Move { at: now, left });
        self.probe_all();
        // Those whose links rest are to know where it is now.
        self.wake_all(now);
    }

    pub(super) fn handle_own_networks(&mut self, now: Timestamp, networks: Vec<Network>) {
        if self.own_networks.as_ref() != Some(&networks) {
            self.former_networks = self.own_networks.replace(networks).unwrap_or_default();
            self.dial_all_soon(now);
        }
    }

    /// The networks that this peer is part of, if that was said.
    pub(super) fn own_networks(&self) -> Option<&[Network]> {
        self.own_networks.as_deref()
    }

    /// Gives up links on which nothing came since this peer has moved.
    pub(super) fn leave_links_behind(&mut self, now: Timestamp) {
        let Some(moved) = &self.moved else { return };
        if now.since(moved.at) < PATIENCE {
            // An answer that came before this look cannot be told from what came before the move.
            return self.probe_all();
        }
        // What is heard of at one look may be from before.
        let since = moved.at + LISTEN_INTERVAL;
        let links = self.members.iter().filter_map(|(&peer, member)| {
            let link = member.attached?;
            let is_behind = member.signs.latest() <= since || self.leads_to(&moved.left, link);
            is_behind.then_some((peer, link))
        });
        let links: Vec<(PeerId, LinkId)> = links.collect();
        self.moved = None;
        for (peer, link) in links {
            self.drop_link(now, link, GoodbyeReason::TimedOut);
            self.use_link_that_waited(now, peer);
            // The other side does not know yet that there is anything to dial for.
            self.dial_at_once(now, peer);
        }
    }

    /// Whether what is sent on the link goes to one of the networks that this peer has left.
    fn leads_to(&self, left: &BTreeSet<Network>, link: LinkId) -> bool {
        let Some(remote) = self.links.get(&link).and_then(|link| link.remote) else { return false };
        let networks = self.own_networks().into_iter().flatten().chain(left);
        let mut leads_there = networks.filter(|network| network.contains(remote.ip())).peekable();
        leads_there.peek().is_some() && leads_there.all(|network| left.contains(network))
    }

    fn probe_all(&mut self) {
        for link in self.attached_links() {
            self.send(link, viability::probe());
        }
    }

    pub(super) fn attached_links(&self) -> Vec<LinkId> {
        self.members.values().filter_map(|member| member.attached).collect()
    }
}
