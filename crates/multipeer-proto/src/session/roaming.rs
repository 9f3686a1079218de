//! This peer has another address than before: its links move by themselves, or are replaced.
//!
//! The transport moves a link to the new address when it learns of it, for which it takes its time on networks
//! that lead nowhere else. So every peer is asked for a sign of life at once, and a link on which none
//! comes is given up before the transport would.

use std::{net::SocketAddr, time::Duration};

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

impl Session {
    pub(super) fn handle_own_addresses(&mut self, now: Timestamp, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(MAX_ADDRESSES);
        let former = std::mem::replace(&mut self.own_addresses, addresses);
        if former == self.own_addresses {
            return;
        }
        self.dial_all_soon(now);
        if former.iter().any(|address| !self.own_addresses.contains(address)) {
            self.moved_at = Some(now);
            self.probe_all();
        }
    }

    pub(super) fn handle_own_networks(&mut self, now: Timestamp, networks: Vec<Network>) {
        if self.own_networks.as_ref() != Some(&networks) {
            self.own_networks = Some(networks);
            self.dial_all_soon(now);
        }
    }

    /// The networks that this peer is part of, if that was said.
    pub(super) fn own_networks(&self) -> Option<&[Network]> {
        self.own_networks.as_deref()
    }

    /// Gives up links on which nothing came since this peer has moved.
    pub(super) fn leave_links_behind(&mut self, now: Timestamp) {
        let Some(moved_at) = self.moved_at else { return };
        if now.since(moved_at) < PATIENCE {
            // An answer that came before this look cannot be told from what came before the move.
            return self.probe_all();
        }
        self.moved_at = None;
        // What is heard of at one look may be from before.
        let since = moved_at + LISTEN_INTERVAL;
        let silent = self.members.iter().filter(|(_, member)| member.signs.latest() <= since);
        let links = silent.filter_map(|(&peer, member)| Some((peer, member.attached?)));
        for (peer, link) in links.collect::<Vec<(PeerId, LinkId)>>() {
            self.drop_link(now, link, GoodbyeReason::TimedOut);
            self.use_link_that_waited(now, peer);
        }
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
