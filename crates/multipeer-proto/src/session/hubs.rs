//! Hubs: peers that tell the others in the session who is near them, and relay between those who cannot reach
//! each other.
//!
//! What a hub tells is a hint, like everything that discovery finds: who is there is shown on the link. And a
//! link through a hub is secured end to end; the hub moves packets that it cannot read.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    Activity, Output, Phase, Session,
    nearby::{Nearby, Source, is_link_local},
};
use crate::{
    frame::{Frame, Listen, Near, NearRecord},
    id::{LinkId, PeerId},
    limits::{
        FAREWELL_TIME, MAX_ADDRESSES, MAX_NEAR_PER_FRAME, MAX_RELAYS, MAX_REPEATED, REPEAT_INTERVAL,
    },
    time::Timestamp,
};

/// Where a hub takes packets for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relay {
    /// The hub.
    pub hub: PeerId,
    /// The TCP address of its relay, as seen from here.
    pub address: SocketAddr,
}

/// What this peer, which is a hub, has told those who listen.
#[derive(Debug, Default)]
pub(super) struct Repeater {
    told: BTreeMap<PeerId, NearRecord>,
    round: u64,
    /// When to tell them what has changed.
    due: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Those who have left, and until when they are relayed for.
    leaving: BTreeMap<PeerId, Timestamp>,
}

impl Repeater {
    pub(super) fn len(&self) -> usize {
        self.told.len().max(self.leaving.len())
    }
}

/// What a member wants to know of who is near this peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Listener {
    #[default]
    Deaf,
    /// It has asked, and is to be told of everyone.
    Asking,
    /// It knows of everyone, and is told what changes.
    Told,
}

impl Session {
    /// Whether a peer in the session is a hub, as it says.
    pub fn is_hub(&self, peer: PeerId) -> bool {
        self.connected_member(peer).is_some_and(|member| member.relay_port.is_some())
    }

    /// Those for whom this peer relays, if it is a hub: who is in the session, or about to be, or has just left.
    pub fn served(&self) -> impl Iterator<Item = PeerId> {
        // Who was removed since it left is nobody to say goodbye for.
        let leaving = || self.repeater.leaving.keys().filter(|&&id| self.removal_of(id).is_none());
        let peers = move || self.members.keys().chain(leaving()).copied();
        self.config.relay_port.into_iter().flat_map(move |_| peers())
    }

    // Who is near.

    /// Who is near has changed: those who listen are to be told soon.
    pub(super) fn near_changed(&mut self, now: Timestamp) {
        if self.config.relay_port.is_some() {
            let next = self.repeater.last.map_or(now, |last| now.max(last + REPEAT_INTERVAL));
            self.repeater.due.get_or_insert(next);
        }
    }

    pub(super) fn handle_listen(&mut self, now: Timestamp, peer: PeerId, wanted: bool) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.listener = if wanted { Listener::Asking } else { Listener::Deaf };
            self.near_changed(now);
        }
    }

    pub(super) fn hubs_timeout(&self) -> Option<Timestamp> {
        self.repeater.due.into_iter().chain(self.repeater.leaving.values().copied()).min()
    }

    /// Tells those who listen, if it is time.
    pub(super) fn repeat_near(&mut self, now: Timestamp) {
        if self.repeater.due.is_none_or(|due| due > now) {
            return;
        }
        let near = self.near_records();
        let former = std::mem::replace(&mut self.repeater.told, near.clone());
        let changed: Vec<NearRecord> = near
            .values()
            .filter(|record| former.get(&record.id) != Some(record))
            .cloned()
            .collect();
        let gone: Vec<PeerId> = former.into_keys().filter(|id| !near.contains_key(id)).collect();
        (self.repeater.due, self.repeater.last) = (None, Some(now));
        self.repeater.round += 1;
        let listeners: Vec<(PeerId, LinkId, Listener)> = self
            .members
            .iter()
            .filter_map(|(&id, member)| Some((id, member.attached?, member.listener)))
            .collect();
        for (to, link, listener) in listeners {
            match listener {
                Listener::Deaf => {}
                Listener::Told if changed.is_empty() && gone.is_empty() => {}
                Listener::Told => self.send_near(link, to, changed.iter(), gone.clone(), false),
                Listener::Asking => {
                    self.send_near(link, to, near.values(), Vec::new(), true);
                    if let Some(member) = self.members.get_mut(&to) {
                        member.listener = Listener::Told;
                    }
                }
            }
        }
    }

    /// Everyone whom this peer has heard of by itself: those in the session first.
    fn near_records(&self) -> BTreeMap<PeerId, NearRecord> {
        let members = self.members.keys().filter(|&&id| self.attached(id).is_some());
        let others = self.nearby.iter().filter(|(_, nearby)| nearby.is_heard()).map(|(id, _)| id);
        let mut records = BTreeMap::new();
        for &id in members.chain(others) {
            if records.len() < MAX_REPEATED && self.removal_of(id).is_none() {
                records.insert(id, self.near_record(id));
            }
        }
        records
    }

    fn near_record(&self, id: PeerId) -> NearRecord {
        let heard = self.nearby.get(&id).filter(|nearby| nearby.is_heard());
        // What a member has told this peer alone, its name above all, is not for those whom it has not admitted.
        let announcement =
            heard.map_or_else(|| self.unheard(id), |nearby| nearby.announcement().clone());
        let told = self.members.get(&id).map(|member| member.addresses.iter().copied());
        let heard = heard.map(|nearby| nearby.addresses(self.own_networks())).into_iter().flatten();
        let mut addresses: Vec<SocketAddr> = heard.chain(told.into_iter().flatten()).collect();
        // In one order, so that what is heard again is no news.
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        NearRecord::new(announcement, addresses)
    }

    fn send_near<'a>(
        &mut self,
        link: LinkId,
        to: PeerId,
        records: impl Iterator<Item = &'a NearRecord>,
        gone: Vec<PeerId>,
        complete: bool,
    ) {
        let of_others: Vec<NearRecord> =
            records.filter(|record| record.id != to).cloned().collect();
        let round = self.repeater.round;
        let mut chunks = of_others.chunks(MAX_NEAR_PER_FRAME);
        // The last frame says the rest, and comes also where there is nobody to tell of.
        let last = chunks.next_back().unwrap_or_default().to_vec();
        for chunk in chunks {
            let near = Near { round, peers: chunk.to_vec(), gone: Vec::new(), complete: false };
            self.send(link, Frame::Near(near));
        }
        self.send(link, Frame::Near(Near { round, peers: last, gone, complete }));
    }

    /// Whether this peer wants to know who is near the hubs.
    fn wants_near(&self) -> bool {
        self.looking
            && self.phase == Phase::Running
            && self.activity == Activity::Foreground
            && !self.behind
    }

    /// Asks a hub who is near it, if the peer at the other end of the link is one.
    pub(super) fn ask_hub(&mut self, link: LinkId, peer: PeerId) {
        if self.wants_near() && self.is_hub(peer) {
            self.send(link, Frame::Listen(Listen { wanted: true }));
        }
    }

    /// Tells the hubs whether this peer still wants to know who is near them.
    pub(super) fn tell_hubs(&mut self) {
        let wanted = self.wants_near();
        let hubs = self.members.values().filter(|member| member.relay_port.is_some());
        for link in hubs.filter_map(|hub| hub.attached).collect::<Vec<_>>() {
            self.send(link, Frame::Listen(Listen { wanted }));
        }
    }

    pub(super) fn handle_near(&mut self, now: Timestamp, link: LinkId, hub: PeerId, near: Near) {
        if !self.is_hub(hub) {
            return self.misbehaved(now, link, "it tells who is near, and is no hub");
        }
        // It may not know yet that this peer has stopped to listen.
        if !self.wants_near() {
            return;
        }
        let mut told = self.told_by(hub).count();
        for record in near.peers {
            if record.id == self.config.id {
                continue;
            }
            let is_known = self.nearby.get(&record.id).is_some_and(|n| n.is_told_by(hub));
            if !is_known && told >= MAX_REPEATED {
                self.statistics.nearby_overflow += 1;
                continue;
            }
            told += usize::from(!is_known);
            let announcement = record.announcement();
            self.note_near(now, announcement, &record.addresses, Source::Hub(hub, near.round));
        }
        let mut gone = near.gone;
        if near.complete {
            gone.extend(
                self.told_by(hub).filter(|(_, round)| *round != near.round).map(|(id, _)| id),
            );
        }
        for peer in gone {
            self.forget_told(now, peer, hub);
        }
    }

    /// The hub is not in the session any more: what it told is worth nothing.
    pub(super) fn forget_hub(&mut self, now: Timestamp, hub: PeerId) {
        for peer in self.told_by(hub).map(|(peer, _)| peer).collect::<Vec<_>>() {
            self.forget_told(now, peer, hub);
        }
    }

    // Relays.

    /// Those for whom this peer relays are others than before, if it is a hub.
    pub(super) fn served_changed(&mut self) {
        if self.config.relay_port.is_some() {
            self.outputs.push_back(Output::Serve);
        }
    }

    /// Somebody has left, and says goodbye to the others, perhaps through this hub.
    pub(super) fn see_off(&mut self, now: Timestamp, peer: PeerId) {
        if self.repeater.leaving.len() < MAX_REPEATED {
            self.repeater.leaving.insert(peer, now + FAREWELL_TIME);
        }
    }

    pub(super) fn stop_serving_the_gone(&mut self, now: Timestamp) {
        let before = self.repeater.leaving.len();
        self.repeater.leaving.retain(|_, until| *until > now);
        if self.repeater.leaving.len() != before {
            self.served_changed();
        }
    }

    /// A link takes another way: the relay of a hub at its other end is elsewhere, too.
    pub(super) fn handle_moved(&mut self, id: LinkId, remote: Option<SocketAddr>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.remote = remote;
        }
    }

    /// Has this peer use the relays of hubs that answer, and wait for others at that of the hub that they, too, will
    /// choose.
    pub(super) fn choose_relays(&mut self) {
        if self.phase != Phase::Running {
            // What is said last goes through them, though the link to the hub may be closed first.
            return;
        }
        let mut relays: Vec<Relay> = self.linked_relays().collect();
        relays.sort_unstable_by_key(|&relay| self.preference(relay));
        relays.truncate(MAX_RELAYS);
        if relays != self.relays {
            self.outputs.push_back(Output::UseRelays(relays.clone()));
            self.relays = relays;
        }
    }

    /// Those that answer come first, and of these the hub with the smallest id, as everywhere.
    fn preference(&self, relay: Relay) -> (bool, Relay) {
        (!self.is_viable(relay.hub), relay)
    }

    /// The relays of the hubs that are linked without another hub.
    fn linked_relays(&self) -> impl Iterator<Item = Relay> {
        self.members.iter().filter_map(|(&hub, member)| {
            let port = member.relay_port?;
            let remote = self.links.get(&member.attached?)?.remote?;
            let ip = remote.ip().to_canonical();
            // An address that says nothing without an interface has no place in a relay's.
            (!is_link_local(ip)).then_some(Relay { hub, address: SocketAddr::new(ip, port) })
        })
    }

    /// The relays through which a peer is dialled besides: not where it was heard and has not been tried yet, for
    /// then it is most likely to be reached without.
    pub(super) fn relays_to(&self, peer: PeerId, failures: u32) -> Vec<Relay> {
        let is_heard = self.nearby.get(&peer).is_some_and(Nearby::is_heard);
        if is_heard && failures == 0 && !self.is_connected(peer) {
            return Vec::new();
        }
        self.relays.iter().copied().filter(|relay| relay.hub != peer).collect()
    }
}
