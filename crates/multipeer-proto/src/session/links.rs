//! Links: hello, version negotiation, one link for each pair, and their ends.

use std::net::SocketAddr;

use super::{
    Direction, DisconnectReason, InviteError, Output, PeerInfo, Session, Topology, proving::Proving,
};
use crate::{
    frame::{Frame, Goodbye, GoodbyeReason, Hello, Join, Profile},
    id::{LinkId, LinkRef, PeerId},
    limits::{
        HELLO_TIMEOUT, IDLE_LINK_TIMEOUT, MAX_PENDING_LINKS, MAX_PENDING_PER_ADDRESS,
        MAX_TEXT_BYTES,
    },
    session::errors::VersionRange,
    time::Timestamp,
    trust::{CertificateError, LinkKeys, LinkRole, Verified, comparison},
    turnstile::AddressBlock,
};

/// Links to one peer at a time. Two cross, and a third may stand for one that just died.
const MAX_LINKS_PER_PEER: usize = 4;
/// Frames that a peer may send before it is in the session: hello, a few invitations and their
/// withdrawal, a join.
const MAX_FRAMES_BEFORE_JOIN: u32 = 32;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: PeerId,
    pub(super) remote: Option<SocketAddr>,
    /// How both ends name it; known to the dialled side after the hello.
    pub(super) reference: Option<LinkRef>,
    /// What binds proofs to it.
    pub(super) keys: LinkKeys,
    /// Once the peer is admitted on this link and has presented itself.
    pub(super) hello: Option<Hello>,
    pub(super) profile: Option<Profile>,
    /// Until then.
    pub(super) proving: Option<Proving>,
    /// How it was admitted.
    pub(super) verified: Option<Verified>,
    /// By what lasting id, before it has presented itself.
    pub(super) known: Option<PeerId>,
    /// What people at both ends can compare, once the peer is admitted.
    pub(super) comparison: Option<String>,
    pub(super) join_sent: Option<Join>,
    pub(super) join_received: Option<Join>,
    /// Whether it waits for a sign that the other side, which dialled it, wants it rather than another.
    pub(super) on_hold: bool,
    /// When it is closed unless it has come to something.
    pub(super) deadline: Timestamp,
    frames_before_join: u32,
}

impl Link {
    /// The peer as it presents itself.
    pub(super) fn info(&self) -> Option<PeerInfo> {
        let Profile { name, info, lasting } = self.profile.clone()?;
        Some(PeerInfo {
            lasting_id: lasting.map(|lasting| lasting.id),
            name,
            info,
            ..PeerInfo::unnamed(self.peer)
        })
    }

    /// Whether the peer has no proof and a member may be about to vouch for it.
    pub(super) fn awaits_voucher(&self) -> bool {
        self.proving.as_ref().is_some_and(Proving::awaits_voucher)
    }

    /// Whether the application is asked about the peer's certificate.
    pub(super) fn awaits_verdict(&self) -> bool {
        self.proving.as_ref().is_some_and(Proving::awaits_verdict)
    }

    /// Whether a frame has its place at this point of the link's life.
    fn takes(&self, frame: &Frame) -> bool {
        match frame {
            Frame::Hello(_) => self.proving.as_ref().is_some_and(Proving::awaits_hello),
            Frame::Proof(_) => self.proving.as_ref().is_some_and(Proving::awaits_proof),
            Frame::Certificate(_) => self.proving.as_ref().is_some_and(Proving::awaits_certificate),
            Frame::Profile(_) => self.proving.as_ref().is_some_and(Proving::awaits_profile),
            Frame::Goodbye(_) => true,
            Frame::Invite(_) | Frame::Accept(_) | Frame::Decline(_) | Frame::Cancel(_) => {
                self.hello.is_some()
            }
            Frame::Join(_) => self.hello.is_some() && self.join_received.is_none(),
            Frame::Members(_)
            | Frame::Introduce(_)
            | Frame::Remove(_)
            | Frame::Enquire(_)
            | Frame::Digest(_)
            | Frame::Confirm(_)
            | Frame::Nudge(_)
            | Frame::Attention(_)
            | Frame::Listen(_)
            | Frame::Near(_)
            | Frame::Rest(_)
            | Frame::Missing(_)
            | Frame::Ping(_)
            | Frame::Pong(_) => self.join_sent.is_some() && self.join_received.is_some(),
        }
    }

    /// The dialler and the acceptor, and which of them the peer is.
    pub(super) fn ends(&self, own: PeerId) -> ([PeerId; 2], LinkRole) {
        if self.reference.is_some_and(|reference| reference.dialler == own) {
            ([own, self.peer], LinkRole::Acceptor)
        } else {
            ([self.peer, own], LinkRole::Dialler)
        }
    }
}

impl Session {
    pub(super) fn handle_link_up(
        &mut self,
        now: Timestamp,
        link: LinkId,
        peer: PeerId,
        direction: Direction,
        remote: Option<SocketAddr>,
        keys: LinkKeys,
    ) {
        if let Direction::Dialled { attempt } = direction {
            self.dial_succeeded(now, peer, attempt);
        }
        let refusal = self.link_refusal(now, peer, direction, remote);
        // The two dialled each other, and the other's link was quicker: it carries messages and streams already, or is
        // about to.
        let is_late = matches!(direction, Direction::Dialled { .. }) && self.has_offered_join(peer);
        if is_late && refusal.is_none() {
            let (reason, text) = (GoodbyeReason::Duplicate, String::new());
            self.outputs.push_back(Output::CloseLink { link, reason, text });
            return;
        }
        if let Some((reason, text)) = refusal {
            self.statistics.refused_links += 1;
            self.outputs.push_back(Output::CloseLink { link, reason, text });
            return;
        }
        let reference = match direction {
            Direction::Dialled { attempt } => Some(LinkRef { dialler: self.config.id, attempt }),
            Direction::Accepted => None,
        };
        let deadline = now + HELLO_TIMEOUT;
        let (proving, exchanges) = self.begin_proving(peer, direction, &keys);
        let tags = self.tags_to_show(peer, &proving, &keys);
        let remembers = proving.remembers();
        self.links.insert(
            link,
            Link {
                peer,
                remote,
                reference,
                keys,
                hello: None,
                profile: None,
                proving: Some(proving),
                verified: None,
                known: None,
                comparison: None,
                join_sent: None,
                join_received: None,
                on_hold: false,
                deadline,
                frames_before_join: 0,
            },
        );
        let hello = Hello {
            version: self.config.versions.1,
            min_version: self.config.versions.0,
            service: self.config.service.clone(),
            incarnation: self.config.incarnation,
            attempt: match direction {
                Direction::Dialled { attempt } => attempt,
                Direction::Accepted => 0,
            },
            gone: self.gone.get(&peer).copied(),
            max_message_bytes: self.config.max_message_bytes as u64,
            exchanges,
            remembers,
            introduced_by: self.members.get(&peer).and_then(|member| member.introduced_by),
            tags,
            role: self.config.topology.role(),
        };
        self.send(link, Frame::Hello(hello));
    }

    /// Why a link that has come about is not wanted, if it is not.
    fn link_refusal(
        &self,
        now: Timestamp,
        peer: PeerId,
        direction: Direction,
        remote: Option<SocketAddr>,
    ) -> Option<(GoodbyeReason, String)> {
        if peer == self.config.id {
            Some((GoodbyeReason::Protocol, "this is the peer itself".to_owned()))
        } else if let Some(text) = self.removal_of(peer) {
            Some((GoodbyeReason::Removed, text.to_owned()))
        } else if self.is_leaving() && !self.is_awaited(peer) {
            Some((GoodbyeReason::Left, String::new()))
        } else if self.is_overrun(peer, direction, remote) {
            Some((GoodbyeReason::Busy, String::new()))
        } else if self.proofs_wait(now, peer) {
            Some((
                GoodbyeReason::Busy,
                "after too many wrong proofs; it will listen again in a while".to_owned(),
            ))
        } else {
            None
        }
    }

    /// Whether strangers hold too many links already. Members and the invited always get one.
    fn is_overrun(&self, peer: PeerId, direction: Direction, remote: Option<SocketAddr>) -> bool {
        let of_this_peer = self.links.values().filter(|link| link.peer == peer).count();
        if direction != Direction::Accepted || self.is_wanted(peer) {
            return of_this_peer >= MAX_LINKS_PER_PEER;
        }
        let strangers = || self.links.values().filter(|link| !self.is_wanted(link.peer));
        let network = remote.and_then(AddressBlock::of);
        let neighbours =
            strangers().filter(|link| link.remote.and_then(AddressBlock::of) == network);
        of_this_peer >= MAX_LINKS_PER_PEER
            || strangers().count() >= MAX_PENDING_LINKS
            || (network.is_some() && neighbours.count() >= MAX_PENDING_PER_ADDRESS)
    }

    pub(super) fn handle_frame(&mut self, now: Timestamp, id: LinkId, frame: Frame) {
        // A frame of a link that was closed here may still be under way.
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let peer = link.peer;
        if link.join_received.is_none() {
            link.frames_before_join += 1;
        }
        let in_order = link.takes(&frame);
        if !in_order {
            return self.misbehaved(now, id, "a frame came where it has no place");
        }
        if link.frames_before_join > MAX_FRAMES_BEFORE_JOIN {
            return self.misbehaved(now, id, "too many frames before joining");
        }
        match frame {
            Frame::Hello(hello) => self.handle_hello(now, id, hello),
            Frame::Proof(proof) => self.handle_proof(now, id, &proof),
            Frame::Certificate(shown) => self.handle_certificate(now, id, shown),
            Frame::Profile(profile) => self.handle_profile(now, id, profile),
            Frame::Remove(remove) => self.handle_remove(now, peer, remove.removal),
            Frame::Goodbye(goodbye) => self.handle_goodbye(now, id, &goodbye),
            Frame::Invite(invite) => self.handle_invite(now, id, peer, invite),
            Frame::Accept(accept) => self.handle_accept(now, id, peer, accept.invitation),
            Frame::Decline(decline) => self.handle_decline(now, peer, &decline),
            Frame::Cancel(cancel) => self.handle_cancel(peer, cancel.invitation),
            Frame::Join(join) => self.handle_join(now, id, join),
            Frame::Members(members) => self.handle_members(now, peer, members.members),
            Frame::Introduce(introduce) => {
                self.handle_members(now, peer, vec![introduce.member]);
            }
            Frame::Enquire(enquire) => self.handle_enquire(now, id, enquire.peer),
            Frame::Digest(digest) => self.handle_digest(now, id, peer, &digest),
            Frame::Confirm(confirm) => {
                if self.attached(peer) == Some(id) {
                    let received = confirm.received;
                    self.outputs.push_back(Output::Confirmed { peer, received });
                }
            }
            Frame::Nudge(nudge) => self.handle_nudge(now, peer, nudge.text),
            Frame::Attention(attention) => self.handle_activity(peer, attention.background),
            Frame::Listen(listen) => self.handle_listen(now, peer, listen.wanted),
            Frame::Near(near) => self.handle_near(now, id, peer, near),
            Frame::Rest(rest) => self.handle_rest(now, id, peer, &rest),
            Frame::Missing(missing) => self.wake_if_resting(now, missing.peer),
            Frame::Ping(echo) => self.send(id, Frame::Pong(echo)),
            Frame::Pong(echo) => self.outputs.push_back(Output::Pong { peer, token: echo.token }),
        }
    }

    fn handle_hello(&mut self, now: Timestamp, id: LinkId, hello: Hello) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let peer = link.peer;
        let (oldest, newest) = self.config.versions;
        if hello.version < oldest || hello.min_version > newest {
            let ours = VersionRange(oldest, newest);
            let theirs = VersionRange(hello.min_version, hello.version);
            let text = format!("this side speaks {ours}, the other side {theirs}");
            let error = InviteError::Version { ours, theirs };
            return self.turn_away(now, id, GoodbyeReason::Version, text, &error);
        }
        let own = self.config.topology;
        let refusal = if hello.service != self.config.service {
            Some((GoodbyeReason::Service, format!("this side runs {}", self.config.service)))
        } else if !own.fits(hello.role) {
            let other = hello.role.map_or(Topology::Mesh, |role| Topology::ClientServer { role });
            let text = format!("one side {}, the other {}", own.as_text(), other.as_text());
            Some((GoodbyeReason::Topology, text))
        } else {
            None
        };
        if let Some((reason, text)) = refusal {
            let error = InviteError::Refused { reason, text: text.clone() };
            return self.turn_away(now, id, reason, text, &error);
        }
        if link.reference.is_none() {
            link.reference = Some(LinkRef { dialler: peer, attempt: hello.attempt });
        }
        self.prove(now, id, hello);
    }

    /// The peer may be here, and has presented itself.
    pub(super) fn present(&mut self, now: Timestamp, id: LinkId, hello: Hello, profile: Profile) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let peer = link.peer;
        if link.known.is_some() && link.known != profile.lasting.as_ref().map(|lasting| lasting.id)
        {
            return self.misbehaved(now, id, "its lasting id is not the one by which it was taken");
        }
        if let Some(lasting) = &profile.lasting {
            let (ends, role) = link.ends(self.config.id);
            if !lasting.check(&self.config.keys, role, ends, &link.keys) {
                return self.misbehaved(now, id, "the proof of its lasting id is wrong");
            }
        }
        let (gone, incarnation) = (hello.gone, hello.incarnation);
        link.deadline = now + IDLE_LINK_TIMEOUT;
        link.hello = Some(hello);
        link.profile = Some(profile);
        link.comparison = Some(comparison(&link.keys));
        self.drop_superseded_links(now, id, peer, gone, incarnation);
        self.greet_member(now, id, peer);
        self.settle_on_link(now, id, peer);
    }

    pub(super) fn has_link(&self, peer: PeerId) -> bool {
        self.links.values().any(|link| link.peer == peer)
    }

    fn handle_goodbye(&mut self, now: Timestamp, id: LinkId, goodbye: &Goodbye) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let peer = link.peer;
        let was_attached = self.attached(peer) == Some(id);
        let Goodbye { reason, text } = goodbye;
        let (reason, text) = (*reason, text.clone());
        let is_one_link = reason == GoodbyeReason::NotAdmitted;
        match reason {
            GoodbyeReason::Duplicate => {
                self.drop_link(now, id, reason);
                self.resend_invitations(now, peer);
            }
            GoodbyeReason::Resting if was_attached => self.rest(now, peer, id),
            GoodbyeReason::Unneeded | GoodbyeReason::TimedOut | GoodbyeReason::Resting => {
                self.drop_link(now, id, reason);
                self.fail_sent_invitations(now, peer, id, &InviteError::Refused { reason, text });
            }
            _ => {
                self.drop_link(now, id, reason);
                self.fail_invitations(
                    now,
                    peer,
                    &InviteError::Refused { reason, text: text.clone() },
                );
                let why = match reason {
                    GoodbyeReason::Left => DisconnectReason::Left,
                    GoodbyeReason::Removed => DisconnectReason::Expelled { text },
                    _ => DisconnectReason::Refused { reason, text },
                };
                // A stranger's link may be refused while another link of the same peer is in use, or is
                // about to be: by then somebody may have vouched.
                let has_other =
                    self.attached(peer).is_some() || (is_one_link && self.has_link(peer));
                if was_attached || !has_other {
                    self.disconnect(now, peer, why, reason, "");
                }
            }
        }
        self.use_link_that_waited(now, peer);
    }

    /// The other side sent what it must not: the link is closed, and a member is one no more.
    pub(super) fn misbehaved(&mut self, now: Timestamp, id: LinkId, error: &str) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let peer = link.peer;
        self.statistics.protocol_errors += 1;
        let joined = link.join_sent.is_some() && link.join_received.is_some();
        self.close_link(id, GoodbyeReason::Protocol, error.to_owned());
        let reason = GoodbyeReason::Protocol;
        self.fail_invitations(now, peer, &InviteError::Refused { reason, text: error.to_owned() });
        if joined {
            let why = DisconnectReason::ProtocolError { error: error.to_owned() };
            self.disconnect(now, peer, why, reason, error);
        }
    }

    pub(super) fn handle_link_down(&mut self, now: Timestamp, id: LinkId) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let peer = link.peer;
        self.forget_link(now, id);
        self.fail_sent_invitations(now, peer, id, &InviteError::LinkLost);
        self.use_link_that_waited(now, peer);
        self.verify(peer);
    }

    /// Closes a link of a peer that may well stay.
    pub(super) fn drop_link(&mut self, now: Timestamp, id: LinkId, reason: GoodbyeReason) {
        self.forget_link(now, id);
        self.outputs.push_back(Output::CloseLink { link: id, reason, text: String::new() });
    }

    /// Removes a link from the tables; its member, if it has one, is to be dialled again.
    fn forget_link(&mut self, now: Timestamp, id: LinkId) {
        let Some(link) = self.remove_link(id) else {
            return;
        };
        if let Some(reference) = link.reference
            && self.members.contains_key(&link.peer)
        {
            self.gone.insert(link.peer, reference);
        }
        self.incoming_link_gone(link.peer);
        self.member_link_gone(now, link.peer, id);
    }

    /// Takes a link out of the table, whyever it ends.
    fn remove_link(&mut self, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id)?;
        if let Some(shown_at) = link.proving.as_ref().and_then(Proving::shown_at)
            && !self.is_connected(link.peer)
        {
            // Who has seen this side's proof and shows none may have tried a guess, or its link died.
            self.wrong_proofs.count(shown_at);
        }
        Some(link)
    }

    /// Says goodbye and closes a link for good.
    pub(super) fn close_link(&mut self, id: LinkId, reason: GoodbyeReason, mut text: String) {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        if let Some(link) = self.remove_link(id) {
            self.incoming_link_gone(link.peer);
            if let Some(member) = self.members.get_mut(&link.peer)
                && member.attached == Some(id)
            {
                member.attached = None;
            }
        }
        self.outputs.push_back(Output::CloseLink { link: id, reason, text });
    }

    /// Closes a link whose peer this side does not want, which ends what was asked of the peer.
    pub(super) fn turn_away(
        &mut self,
        now: Timestamp,
        id: LinkId,
        reason: GoodbyeReason,
        text: String,
        error: &InviteError,
    ) {
        let Some(peer) = self.links.get(&id).map(|link| link.peer) else { return };
        self.statistics.refused_links += 1;
        self.close_link(id, reason, text);
        self.fail_invitations(now, peer, error);
    }

    /// Closes all links to a peer.
    pub(super) fn close_links_to(&mut self, peer: PeerId, reason: GoodbyeReason, text: &str) {
        let ids: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.peer == peer).map(|(&id, _)| id).collect();
        for id in ids {
            self.close_link(id, reason, text.to_owned());
        }
    }

    pub(super) fn links_timeout(&self) -> Option<Timestamp> {
        self.links
            .iter()
            .filter(|&(&id, link)| !self.is_in_use(id, link))
            .map(|(_, link)| link.deadline)
            .min()
    }

    /// Whether the link has come to something and needs no deadline of its own.
    fn is_in_use(&self, id: LinkId, link: &Link) -> bool {
        self.attached(link.peer) == Some(id)
            || (link.hello.is_some() && self.has_invitation(link.peer, id))
    }

    pub(super) fn expire_links(&mut self, now: Timestamp) {
        let expired: Vec<(LinkId, bool)> = self
            .links
            .iter()
            .filter(|&(&id, link)| link.deadline <= now && !self.is_in_use(id, link))
            .map(|(&id, link)| (id, link.join_received.is_some() || link.hello.is_none()))
            .collect();
        for (id, awaited) in expired {
            if self.links.get(&id).is_some_and(Link::awaits_voucher) {
                self.refuse_unvouched(now, id);
                continue;
            }
            if self.links.get(&id).is_some_and(Link::awaits_verdict) {
                self.refuse_certificate(now, id, CertificateError::NoVerdict);
                continue;
            }
            // A join that nobody vouched for, and a link on which hello never came, failed; one
            // that just was not needed did not.
            let reason = match (awaited, self.links.get(&id).is_some_and(|l| l.hello.is_some())) {
                (true, true) => GoodbyeReason::NotInvited,
                (true, false) => GoodbyeReason::TimedOut,
                (false, _) => GoodbyeReason::Unneeded,
            };
            let peer = self.links.get(&id).map(|link| link.peer);
            self.drop_link(now, id, reason);
            if let Some(peer) = peer {
                self.use_link_that_waited(now, peer);
            }
        }
    }

    fn is_leaving(&self) -> bool {
        self.phase != super::Phase::Running
    }

    /// Whether this peer leaves, and has something to say to the peer before it does.
    fn is_awaited(&self, peer: PeerId) -> bool {
        self.members.get(&peer).is_some_and(|member| member.draining)
    }

    /// Whether the peer is in the session, as far as the application knows.
    pub(super) fn is_connected(&self, peer: PeerId) -> bool {
        self.connected_member(peer).is_some()
    }

    /// Whether a new link to the peer would be used: it is a member, or invited.
    pub(super) fn is_wanted(&self, peer: PeerId) -> bool {
        self.members.contains_key(&peer) || self.has_outgoing(peer)
    }
}
