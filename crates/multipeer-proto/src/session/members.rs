//! Who is in: consent, joining, introductions, reconnection, and the comparison of member lists.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    Activity, DisconnectReason, Event, Output, PeerInfo, Session, Topology, hubs::Listener,
    resting::Rest, viability::Signs,
};
use crate::{
    frame::{Digest, Frame, GoodbyeReason, Introduce, Join, MemberRecord, Members},
    id::{LinkId, LinkRef, PeerId},
    limits::{
        IDLE_LINK_TIMEOUT, INTRODUCTION_TIMEOUT, MAX_ADDRESSES, MAX_FORMER, MAX_MEMBERS_PER_FRAME,
    },
    name::{DiscoveryInfo, DisplayName},
    recent::RecentCount,
    time::Timestamp,
    trust::{Subject, Verified, Voucher},
};

/// Pause between two digests to the same member, so that two who differ do not go on answering
/// each other.
const DIGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pause between two rounds in which newcomers are introduced, at least ...
const MIN_INTRODUCTION_INTERVAL: Duration = Duration::from_millis(500);
/// ... and for each member who is told. When as many come as there are members, telling of each by itself would take the
/// cube of their number.
const INTRODUCTION_INTERVAL_PER_MEMBER: Duration = Duration::from_millis(25);

/// A peer that is in the session, or may come in.
#[derive(Debug, Default)]
pub(super) struct Member {
    name: Option<DisplayName>,
    info: DiscoveryInfo,
    pub(super) incarnation: Option<u64>,
    /// How it was admitted, on the latest link.
    pub(super) verified: Option<Verified>,
    /// This peer's word for it, or that of the member by whom it came.
    pub(super) voucher: Option<Voucher>,
    /// Its lasting id, if it has another one than that of its links.
    lasting: Option<PeerId>,
    /// Who told of it, before it is connected.
    pub(super) introduced_by: Option<PeerId>,
    /// Whether the application was told that it is connected.
    pub(super) connected: bool,
    /// The link that carries its messages.
    pub(super) attached: Option<LinkId>,
    /// The link on which the present run of messages began, or is about to.
    pairing: Option<LinkRef>,
    /// At which TCP port it relays, if it is a hub.
    pub(super) relay_port: Option<u16>,
    /// Whether it wants to know who is near this peer.
    pub(super) listener: Listener,
    /// What it says that it is doing.
    pub(super) activity: Activity,
    /// What of it the application knows.
    pub(super) told_activity: Activity,
    /// How often it has nudged of late.
    pub(super) nudges: Option<RecentCount>,
    /// Its signs of life.
    pub(super) signs: Signs,
    /// Whether its link rests.
    pub(super) rest: Rest,
    /// Who would notice that it is gone while its link rests.
    pub(super) witnesses: Vec<PeerId>,
    /// When something of the application last came or went.
    pub(super) used_at: Timestamp,
    /// How many of its messages have arrived, as far as was reported.
    pub(super) received: u64,
    pub(super) addresses: Vec<SocketAddr>,
    /// Until when it must be attached.
    pub(super) deadline: Option<Timestamp>,
    /// Whether it comes by an invitation between the two, so that this peer introduces it.
    invited: bool,
    /// Whether the session leaves and waits for its confirmations.
    pub(super) draining: bool,
    digest_sent_at: Option<Timestamp>,
}

impl Member {
    pub(super) fn info(&self, id: PeerId) -> PeerInfo {
        match &self.name {
            Some(name) => {
                let (name, info) = (name.clone(), self.info.clone());
                PeerInfo { name, info, lasting_id: self.lasting, ..PeerInfo::unnamed(id) }
            }
            // A member is named by its hello; before it nobody sees this.
            None => PeerInfo::unnamed(id),
        }
    }

    /// When it is disconnected unless there is a link. Who is to hear that this peer leaves is waited for until it has left.
    fn gives_up_at(&self) -> Option<Timestamp> {
        self.deadline.filter(|_| !self.draining)
    }

    /// Whether it is known to have this incarnation.
    pub(super) fn is_of(&self, incarnation: u64) -> bool {
        self.incarnation == Some(incarnation)
    }

    fn add_address(&mut self, address: SocketAddr) {
        self.addresses.retain(|&known| known != address);
        self.addresses.insert(0, address);
        self.addresses.truncate(MAX_ADDRESSES);
    }
}

/// A peer that was in the session.
#[derive(Debug)]
pub(super) struct Former {
    incarnation: Option<u64>,
    /// Whether it may come back without being asked in again: its link died and nobody sent it
    /// away.
    may_return: bool,
    since: Timestamp,
}

impl Session {
    pub(super) fn is_full_for(&self, peer: PeerId) -> bool {
        !self.members.contains_key(&peer) && self.members.len() >= self.config.max_peers
    }

    /// Lets the peer in as soon as there is a link. False when there is no place left.
    pub(super) fn consent(&mut self, now: Timestamp, peer: PeerId, invited: bool) -> bool {
        if peer == self.config.id || self.is_full_for(peer) {
            return false;
        }
        let known = self.members.len();
        let member = self.members.entry(peer).or_default();
        member.invited |= invited && !member.connected;
        if !member.is_linked() && member.deadline.is_none() {
            member.deadline = Some(now + INTRODUCTION_TIMEOUT);
        }
        if self.members.len() != known {
            self.served_changed();
        }
        if let Some(link) = self.greeted_link(peer) {
            self.note_hello(peer, link);
        }
        true
    }

    /// Takes back the consent for a peer that is not connected yet.
    pub(super) fn withdraw_consent(&mut self, peer: PeerId) {
        if self.members.get(&peer).is_some_and(|member| !member.connected) {
            self.members.remove(&peer);
            self.served_changed();
        }
    }

    /// A link to a peer has said hello: is it the member that it was?
    pub(super) fn greet_member(&mut self, now: Timestamp, link: LinkId, peer: PeerId) {
        let hello = self.links.get(&link).and_then(|link| link.hello.as_ref());
        let Some(incarnation) = hello.map(|hello| hello.incarnation) else {
            return;
        };
        let Some(member) = self.members.get(&peer) else {
            return;
        };
        if member.incarnation.is_some_and(|known| known != incarnation) {
            self.end_membership(now, peer, DisconnectReason::Restarted);
        } else {
            self.note_hello(peer, link);
        }
    }

    fn note_hello(&mut self, peer: PeerId, link: LinkId) {
        let Some(link) = self.links.get(&link) else {
            return;
        };
        let (Some(hello), Some(profile), verified) =
            (&link.hello, link.profile.clone(), link.verified.clone())
        else {
            return;
        };
        let incarnation = hello.incarnation;
        if let Some(member) = self.members.get_mut(&peer) {
            member.verified = verified;
            member.lasting = profile.lasting.map(|lasting| lasting.id);
            member.name = Some(profile.name);
            member.info = profile.info;
            member.incarnation = Some(incarnation);
        }
    }

    /// Says "to me, you are in" over the link, if that is so.
    pub(super) fn offer_join(&mut self, now: Timestamp, id: LinkId) {
        if self.links.get(&id).is_none_or(|link| self.is_about_to_be_replaced(link)) {
            return;
        }
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let Some(member) = self.members.get_mut(&link.peer) else {
            return;
        };
        if link.hello.is_some() && !link.on_hold && link.join_sent.is_none() {
            let pairing = member.pairing;
            let received = if pairing.is_some() { member.received } else { 0 };
            let addresses = self.own_addresses.clone();
            let host = self.host == Some(self.config.id);
            let relay_port = self.config.relay_port;
            let join = Join { pairing, received, addresses, host, relay_port };
            // Should this link die before the answer comes, both sides still name the same run.
            member.pairing = pairing.or(link.reference);
            link.join_sent = Some(join.clone());
            link.deadline = now + IDLE_LINK_TIMEOUT;
            self.send(id, Frame::Join(join));
        }
        self.try_attach(now, id);
    }

    pub(super) fn handle_join(&mut self, now: Timestamp, id: LinkId, join: Join) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let peer = link.peer;
        link.join_received = Some(join);
        link.deadline = now + IDLE_LINK_TIMEOUT;
        let incarnation = link.hello.as_ref().map(|hello| hello.incarnation);
        let may_return = self
            .former
            .get(&peer)
            .is_some_and(|former| former.may_return && former.incarnation == incarnation);
        if may_return && !self.members.contains_key(&peer) && !self.consent(now, peer, false) {
            self.close_link(id, GoodbyeReason::Full, String::new());
            return;
        }
        // Without consent the link waits: the introduction may be under way.
        self.offer_join(now, id);
    }

    /// Both sides have said "you are in": the link carries messages from here on.
    fn try_attach(&mut self, now: Timestamp, id: LinkId) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let peer = link.peer;
        let (Some(sent), Some(got), Some(hello)) =
            (&link.join_sent, &link.join_received, &link.hello)
        else {
            return;
        };
        let Some(member) = self.members.get(&peer) else {
            return;
        };
        if member.attached == Some(id) {
            return;
        }
        let resumes = sent.pairing.is_some() && sent.pairing == got.pairing;
        let received = if resumes { got.received } else { 0 };
        let max_message_bytes = usize::try_from(hello.max_message_bytes).unwrap_or(usize::MAX);
        let (reference, remote) = (link.reference, link.remote);
        let (addresses, is_host) = (got.addresses.clone(), got.host);
        let relay_port = got.relay_port;
        let invited = member.invited;
        if member.connected && !resumes {
            // The other side has given this one up. Its messages begin anew.
            self.end_membership(now, peer, DisconnectReason::Forgotten);
            self.consent(now, peer, invited);
        }
        let Some(member) = self.members.get_mut(&peer) else {
            return;
        };
        if !resumes {
            member.pairing = reference;
            member.received = 0;
        }
        member.attached = Some(id);
        member.deadline = None;
        addresses.into_iter().rev().chain(remote).for_each(|address| member.add_address(address));
        let fresh = !member.connected;
        (member.connected, member.invited) = (true, false);
        member.relay_port = relay_port;
        member.listener = Listener::default();
        let has_rested = member.has_rested();
        member.rest = Rest::Awake;
        member.used_at = now;
        let info = member.info(peer);
        self.dials.remove(&peer);
        self.former.remove(&peer);
        if fresh {
            self.event(Event::Connected(info.clone()));
            self.name_nearby(peer);
        }
        self.outputs.push_back(Output::Attach {
            peer,
            link: id,
            fresh,
            received,
            max_message_bytes,
        });
        self.note_heard(now, peer);
        self.tell_activity(id, fresh);
        self.ask_hub(id, peer);
        self.settle_invitations(now, &info);
        if is_host {
            self.leave_inviting_to(now, peer);
        }
        if fresh && invited && self.config.topology == Topology::Mesh {
            self.introduce(now, peer, id);
        }
        self.send_removals(id, peer);
        self.catch_up(now, peer, id, has_rested);
        self.membership_changed(now);
    }

    /// Tells the new member of the others at once, and them of it soon: when many come at the same time,
    /// of all of them together.
    fn introduce(&mut self, now: Timestamp, peer: PeerId, link: LinkId) {
        self.send_members(now, link, peer);
        self.newcomers.insert(peer);
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let pause = INTRODUCTION_INTERVAL_PER_MEMBER.saturating_mul(members);
        // Who waits to be introduced does so for as long as an unused link lives.
        let pause = pause.clamp(MIN_INTRODUCTION_INTERVAL, IDLE_LINK_TIMEOUT / 4);
        let next = self.introduced_at.map_or(now, |at| now.max(at + pause));
        self.introduce_at.get_or_insert(next);
    }

    /// Tells the others of those who have come, if it is time.
    pub(super) fn introduce_newcomers(&mut self, now: Timestamp) {
        if self.introduce_at.is_none_or(|at| at > now) {
            return;
        }
        (self.introduce_at, self.introduced_at) = (None, Some(now));
        let newcomers = std::mem::take(&mut self.newcomers).into_iter();
        let records: Vec<MemberRecord> =
            newcomers.filter_map(|peer| self.record(now, peer)).collect();
        let links: Vec<(PeerId, LinkId)> =
            self.members.iter().filter_map(|(&id, member)| Some((id, member.attached?))).collect();
        for (to, link) in links {
            let of_others = records.iter().filter(|record| record.id != to).cloned();
            self.send_records(link, of_others.collect());
        }
        // The others learn of it when their lists are compared.
        self.wake_all(now);
    }

    fn send_records(&mut self, link: LinkId, records: Vec<MemberRecord>) {
        match <[MemberRecord; 1]>::try_from(records) {
            Ok([member]) => self.send(link, Frame::Introduce(Introduce { member })),
            Err(several) => {
                for records in several.chunks(MAX_MEMBERS_PER_FRAME) {
                    self.send(link, Frame::Members(Members { members: records.to_vec() }));
                }
            }
        }
    }

    pub(super) fn record(&mut self, now: Timestamp, id: PeerId) -> Option<MemberRecord> {
        let voucher = self.voucher_for(now, id);
        let member = self.members.get(&id)?;
        let (incarnation, addresses) = (member.incarnation?, member.addresses.clone());
        Some(MemberRecord { id, incarnation, addresses, voucher })
    }

    /// Tells the peer at the other end of the link of every other member.
    fn send_members(&mut self, now: Timestamp, link: LinkId, to: PeerId) {
        let linked = self.members.iter().filter(|(_, member)| member.is_linked());
        let others: Vec<PeerId> = linked.map(|(&id, _)| id).filter(|&id| id != to).collect();
        let records: Vec<MemberRecord> =
            others.into_iter().filter_map(|id| self.record(now, id)).collect();
        self.send_records(link, records);
    }

    /// A member tells of others: they are let in, and dialled.
    pub(super) fn handle_members(
        &mut self,
        now: Timestamp,
        from: PeerId,
        records: Vec<MemberRecord>,
    ) {
        // Who is linked with a host is linked with nobody else.
        let takes = self.config.topology == Topology::Mesh && self.is_connected(from);
        if !takes {
            return;
        }
        for record in records {
            let peer = record.id;
            if self.is_no_news(&record) {
                continue;
            }
            let gone_for_good = self.former.get(&peer).is_some_and(|former| {
                !former.may_return && former.incarnation == Some(record.incarnation)
            });
            let known = self.members.get(&peer).and_then(|member| member.incarnation);
            let of_another_start = known.is_some_and(|known| known != record.incarnation);
            let subject = Subject { peer, incarnation: record.incarnation };
            let allowed = self.may_bring_in(from)
                || record
                    .voucher
                    .as_ref()
                    .is_some_and(|voucher| self.check_voucher(now, subject, voucher).is_ok());
            if of_another_start {
                self.wake_if_resting(now, peer);
            }
            if gone_for_good
                || of_another_start
                || !allowed
                || self.removal_of(peer).is_some()
                || !self.consent(now, peer, false)
            {
                continue;
            }
            // The latest word counts, unless it is worth nothing and an earlier one is not.
            let holds = |voucher: &Voucher| self.check_voucher(now, subject, voucher).is_ok();
            let kept = self.members.get(&peer).and_then(|member| member.voucher.clone());
            let voucher = match (record.voucher, kept) {
                (Some(latest), Some(kept)) if latest != kept && !holds(&latest) && holds(&kept) => {
                    Some(kept)
                }
                (latest, kept) => latest.or(kept),
            };
            if let Some(member) = self.members.get_mut(&peer) {
                member.incarnation = Some(record.incarnation);
                member.introduced_by = Some(from);
                member.voucher = voucher;
                record.addresses.into_iter().rev().for_each(|a| member.add_address(a));
            }
            self.dial_soon(now, peer);
            // It may have been here first, and waited for this.
            self.prove_by_voucher(now, peer);
            if let Some(link) = self.greeted_link(peer) {
                self.greet_member(now, link, peer);
                self.offer_join(now, link);
            }
        }
    }

    /// Whether a member is told of that is linked already: when many meet, everyone tells of everyone.
    fn is_no_news(&self, record: &MemberRecord) -> bool {
        self.members.get(&record.id).is_some_and(|member| {
            let is_same = member.incarnation == Some(record.incarnation);
            let adds_nothing = record.voucher.is_none() || member.voucher == record.voucher;
            is_same && adds_nothing && member.is_linked()
        })
    }

    fn digest(&self) -> Digest {
        let linked = self.members.iter().filter(|(_, member)| member.is_linked());
        let ids = linked.map(|(id, _)| id).chain([&self.config.id]);
        let mut digest = Digest { sum: 0, count: 0 };
        for id in ids {
            let first = id.as_bytes().first_chunk().copied().unwrap_or_default();
            digest.sum = digest.sum.wrapping_add(u64::from_be_bytes(first));
            digest.count += 1;
        }
        digest
    }

    /// Sends the digest of the member list to the next member in the order of ids. When all
    /// members find their neighbour's list equal to their own, all lists are equal.
    pub(super) fn send_digest(&mut self, now: Timestamp) {
        let attached: Vec<(PeerId, LinkId)> =
            self.members.iter().filter_map(|(&id, member)| Some((id, member.attached?))).collect();
        let next = attached.iter().find(|(id, _)| *id > self.config.id).or(attached.first());
        if let Some(&(peer, link)) = next {
            self.send_digest_to(now, peer, link);
        }
    }

    pub(super) fn send_digest_to(&mut self, now: Timestamp, peer: PeerId, link: LinkId) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.digest_sent_at = Some(now);
        }
        let digest = self.digest();
        self.send(link, Frame::Digest(digest));
    }

    pub(super) fn handle_digest(
        &mut self,
        now: Timestamp,
        link: LinkId,
        peer: PeerId,
        digest: &Digest,
    ) {
        if *digest == self.digest() || self.config.topology != Topology::Mesh {
            return;
        }
        self.send_members(now, link, peer);
        let sent_at = self.members.get(&peer).and_then(|member| member.digest_sent_at);
        if sent_at.is_none_or(|at| now.since(at) >= DIGEST_PAUSE) {
            self.send_digest_to(now, peer, link);
        }
    }

    /// The link that carried a member's messages is gone: it has a while to come back.
    pub(super) fn member_link_gone(&mut self, now: Timestamp, peer: PeerId, link: LinkId) {
        let window = self.config.reconnect_window;
        if let Some(member) = self.members.get_mut(&peer)
            && member.attached == Some(link)
        {
            member.attached = None;
            if member.is_resting() {
                return;
            }
            member.rest = Rest::Awake;
            member.deadline = Some(now + window);
            self.tell_missing(peer);
            self.membership_changed(now);
        }
    }

    pub(super) fn members_timeout(&self) -> Option<Timestamp> {
        let deadlines = self.members.values().filter_map(Member::gives_up_at);
        deadlines.chain(self.introduce_at).min()
    }

    pub(super) fn expire_members(&mut self, now: Timestamp) {
        let late = self.members.iter().filter(|(_, m)| m.gives_up_at().is_some_and(|at| at <= now));
        for peer in late.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.disconnect(now, peer, DisconnectReason::TimedOut, GoodbyeReason::TimedOut, "");
        }
    }

    /// Ends a membership and every link to the peer.
    pub(super) fn disconnect(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        why: DisconnectReason,
        reason: GoodbyeReason,
        text: &str,
    ) {
        self.close_links_to(peer, reason, text);
        self.end_membership(now, peer, why);
    }

    /// Ends a membership; what comes over links that stay has nothing to do with it.
    fn end_membership(&mut self, now: Timestamp, peer: PeerId, why: DisconnectReason) {
        // Of who has been silent for a while the others know it.
        let is_known = self.members.get(&peer).is_some_and(|member| member.signs.is_missing());
        if why == DisconnectReason::Left || why == DisconnectReason::TimedOut && !is_known {
            self.tell_missing(peer);
        }
        let Some(member) = self.members.remove(&peer) else {
            return;
        };
        if why == DisconnectReason::Left {
            self.leave_alone(now, peer);
            if self.config.relay_port.is_some() {
                self.see_off(now, peer);
            }
        }
        self.served_changed();
        self.gone.remove(&peer);
        self.dials.remove(&peer);
        if !member.connected {
            return;
        }
        // Those who are only about to come belong to no session that has a host.
        if !self.config.is_host() && !self.members.values().any(|member| member.connected) {
            self.host = None;
        }
        let may_return = matches!(
            why,
            DisconnectReason::TimedOut
                | DisconnectReason::Forgotten
                // What it asks for can change, and a member can vouch.
                | DisconnectReason::Refused { reason: GoodbyeReason::NotAdmitted, .. }
        );
        self.remember(peer, Former { incarnation: member.incarnation, may_return, since: now });
        let info = member.info(peer);
        self.outputs.push_back(Output::Detach { peer });
        self.event(Event::Disconnected { peer: info, reason: why });
        self.forget_hub(now, peer);
        self.membership_changed(now);
    }

    fn remember(&mut self, peer: PeerId, former: Former) {
        self.former.insert(peer, former);
        if self.former.len() > MAX_FORMER {
            let oldest = self.former.iter().min_by_key(|(_, former)| former.since);
            if let Some(oldest) = oldest.map(|(&peer, _)| peer) {
                self.former.remove(&oldest);
            }
        }
    }

    /// Whether the peer was in the session, was not sent away, and may be dialled again.
    pub(super) fn may_return(&self, peer: PeerId) -> bool {
        self.former.get(&peer).is_some_and(|former| former.may_return)
            && !self.members.contains_key(&peer)
    }
}
