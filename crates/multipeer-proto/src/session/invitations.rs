//! Invitations, in both directions.

use std::time::Duration;

use bytes::Bytes;

use super::{DialError, Event, InviteError, Joining, Output, PeerInfo, Session};
use crate::{
    frame::{Accept, Cancel, Decline, DeclineReason, Frame, GoodbyeReason, Invite},
    id::{InvitationId, LinkId, PeerId},
    limits::{
        DEFAULT_INVITE_TIMEOUT, FOUND_IN_PART, MAX_CONTEXT_BYTES, MAX_INVITATIONS,
        MAX_INVITE_TIMEOUT, MAX_TEXT_BYTES,
    },
    time::Timestamp,
};

/// An invitation that this peer sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) peer: PeerId,
    context: Bytes,
    since: Timestamp,
    deadline: Timestamp,
    sent_on: Option<LinkId>,
    /// Whether the session sent it by itself.
    automatic: bool,
}

/// An invitation that another peer sent and the application has not answered.
#[derive(Debug)]
pub(super) struct Incoming {
    deadline: Timestamp,
}

impl Session {
    pub(super) fn invite(
        &mut self,
        now: Timestamp,
        invitation: InvitationId,
        peer: PeerId,
        context: Bytes,
        timeout: Duration,
    ) {
        let deadline = now + timeout.min(MAX_INVITE_TIMEOUT);
        match self.check_invite(peer, &context) {
            Ok(()) => {
                let outgoing = Outgoing {
                    peer,
                    context,
                    since: now,
                    deadline,
                    sent_on: None,
                    automatic: false,
                };
                self.begin_invite(now, invitation, outgoing);
            }
            Err(error) => {
                self.outputs.push_back(Output::InviteAnswered { invitation, result: Err(error) });
            }
        }
    }

    /// Invites a peer without being asked to, as [`Joining::Automatic`] wants.
    pub(super) fn invite_automatically(&mut self, now: Timestamp, peer: PeerId) {
        self.automatic_invitations -= 1;
        let outgoing = Outgoing {
            peer,
            context: Bytes::new(),
            since: now,
            deadline: now + DEFAULT_INVITE_TIMEOUT,
            sent_on: None,
            automatic: true,
        };
        self.begin_invite(now, InvitationId(self.automatic_invitations), outgoing);
    }

    fn check_invite(&self, peer: PeerId, context: &Bytes) -> Result<(), InviteError> {
        let limit = self.config.max_peers;
        if self.phase != super::Phase::Running {
            Err(InviteError::SessionOver)
        } else if peer == self.config.id {
            Err(InviteError::Myself)
        } else if context.len() > MAX_CONTEXT_BYTES {
            Err(InviteError::ContextTooLong { bytes: context.len() })
        } else if self.members.get(&peer).is_some_and(|member| member.connected) {
            Err(InviteError::AlreadyConnected)
        } else if self.outgoing.values().any(|other| other.peer == peer && !other.automatic) {
            Err(InviteError::AlreadyInvited)
        } else if !self.nearby.contains_key(&peer) && !self.has_link(peer) {
            Err(InviteError::UnknownPeer(peer))
        } else if !self.may_bring_in(self.config.id) {
            Err(InviteError::NotHost)
        } else if let Some(text) = self.removal_of(peer) {
            Err(InviteError::Removed { text: text.to_owned() })
        } else if self.is_full_for(peer) || self.outgoing.len() >= MAX_INVITATIONS {
            Err(InviteError::Full { limit })
        } else {
            Ok(())
        }
    }

    fn begin_invite(&mut self, now: Timestamp, invitation: InvitationId, outgoing: Outgoing) {
        let peer = outgoing.peer;
        self.outgoing.insert(invitation, outgoing);
        // The other side asked already: that is answer enough.
        let theirs: Vec<InvitationId> = self.incoming_from(peer);
        for invitation in theirs {
            self.accept_invitation(now, peer, invitation);
        }
        if let Some(link) = self.greeted_link(peer) {
            self.send_invitation(now, peer, link);
        }
    }

    /// Sends the invitation for the peer, if there is one, over a link that has said hello.
    pub(super) fn send_invitation(&mut self, now: Timestamp, peer: PeerId, link: LinkId) {
        let mut frames = Vec::new();
        for (&invitation, outgoing) in &mut self.outgoing {
            if outgoing.peer == peer && outgoing.sent_on != Some(link) {
                outgoing.sent_on = Some(link);
                frames.push(Invite {
                    invitation,
                    context: outgoing.context.clone(),
                    timeout_millis: millis(outgoing.deadline.since(now)),
                });
            }
        }
        for invite in frames {
            self.send(link, Frame::Invite(invite));
        }
    }

    pub(super) fn handle_invite(
        &mut self,
        now: Timestamp,
        link: LinkId,
        peer: PeerId,
        invite: Invite,
    ) {
        let invitation = invite.invitation;
        let known = self.members.contains_key(&peer) || self.has_outgoing(peer);
        let reason = if known {
            None
        } else if !self.may_bring_in(peer) && !self.may_bring_in(self.config.id) {
            Some(DeclineReason::NotHost)
        } else if !self.looking {
            Some(DeclineReason::NotLooking)
        } else if self.is_full_for(peer) {
            Some(DeclineReason::Full)
        } else if self.incoming.len() >= MAX_INVITATIONS {
            Some(DeclineReason::Busy)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.statistics.refused_links += 1;
            let decline = Decline { invitation, reason, text: String::new() };
            self.send(link, Frame::Decline(decline));
            return;
        }
        if known || self.config.joining == Joining::Automatic {
            self.accept_invitation(now, peer, invitation);
            return;
        }
        // The same invitation comes again when the link that it came on is replaced.
        if self.incoming.contains_key(&(peer, invitation)) {
            return;
        }
        let timeout = Duration::from_millis(invite.timeout_millis).min(MAX_INVITE_TIMEOUT);
        self.incoming.insert((peer, invitation), Incoming { deadline: now + timeout });
        let Some(link) = self.links.get(&link) else { return };
        if let (Some(peer), Some(verified)) = (link.info(), link.verified.clone()) {
            let context = invite.context;
            self.event(Event::Invitation { peer, invitation, context, verified });
        }
    }

    pub(super) fn answer_invitation(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        invitation: InvitationId,
        decline: Option<String>,
    ) {
        if !self.incoming.contains_key(&(peer, invitation)) {
            return;
        }
        match decline {
            None => self.accept_invitation(now, peer, invitation),
            Some(text) => self.decline(peer, invitation, DeclineReason::Declined, text),
        }
    }

    fn accept_invitation(&mut self, now: Timestamp, peer: PeerId, invitation: InvitationId) {
        if !self.consent(now, peer, true) {
            self.decline(peer, invitation, DeclineReason::Full, String::new());
            return;
        }
        self.incoming.remove(&(peer, invitation));
        if let Some(link) = self.greeted_link(peer) {
            self.send(link, Frame::Accept(Accept { invitation }));
            self.offer_join(now, link);
        }
    }

    fn decline(
        &mut self,
        peer: PeerId,
        invitation: InvitationId,
        reason: DeclineReason,
        mut text: String,
    ) {
        self.incoming.remove(&(peer, invitation));
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        if let Some(link) = self.greeted_link(peer) {
            self.send(link, Frame::Decline(Decline { invitation, reason, text }));
        }
    }

    pub(super) fn handle_accept(
        &mut self,
        now: Timestamp,
        link: LinkId,
        peer: PeerId,
        invitation: InvitationId,
    ) {
        // One that was withdrawn meanwhile is nothing any more; the withdrawal is under way.
        if self.outgoing.get(&invitation).is_none_or(|outgoing| outgoing.peer != peer) {
            return;
        }
        if self.consent(now, peer, true) {
            self.offer_join(now, link);
        } else {
            let limit = self.config.max_peers;
            self.end_outgoing(now, invitation, Err(InviteError::Full { limit }));
            self.close_link(link, GoodbyeReason::Full, String::new());
        }
    }

    pub(super) fn handle_decline(&mut self, now: Timestamp, peer: PeerId, decline: &Decline) {
        let Decline { invitation, reason, text } = decline.clone();
        if self.outgoing.get(&invitation).is_some_and(|outgoing| outgoing.peer == peer) {
            self.end_outgoing(now, invitation, Err(InviteError::Declined { reason, text }));
            self.close_if_unneeded(peer);
        }
    }

    pub(super) fn cancel_invite(&mut self, now: Timestamp, invitation: InvitationId) {
        self.withdraw(now, invitation, InviteError::Cancelled);
    }

    fn withdraw(&mut self, now: Timestamp, invitation: InvitationId, error: InviteError) {
        let Some(outgoing) = self.outgoing.get(&invitation) else {
            return;
        };
        let peer = outgoing.peer;
        if let Some(link) = outgoing.sent_on {
            self.send(link, Frame::Cancel(Cancel { invitation }));
        }
        self.end_outgoing(now, invitation, Err(error));
        self.withdraw_consent(peer);
        self.close_if_unneeded(peer);
    }

    pub(super) fn handle_cancel(&mut self, peer: PeerId, invitation: InvitationId) {
        if self.incoming.remove(&(peer, invitation)).is_some() {
            self.event(Event::InvitationWithdrawn { peer, invitation });
        } else {
            self.withdraw_consent(peer);
        }
    }

    /// Closes the link to a peer with whom there is nothing left to do.
    fn close_if_unneeded(&mut self, peer: PeerId) {
        if !self.is_wanted(peer) && self.incoming_from(peer).is_empty() {
            self.close_links_to(peer, GoodbyeReason::Unneeded, "");
        }
    }

    /// The peer is connected: whatever was asked in either direction is answered.
    pub(super) fn settle_invitations(&mut self, now: Timestamp, info: &PeerInfo) {
        for invitation in self.outgoing_to(info.id) {
            self.end_outgoing(now, invitation, Ok(info.clone()));
        }
        for invitation in self.incoming_from(info.id) {
            self.incoming.remove(&(info.id, invitation));
            self.event(Event::InvitationWithdrawn { peer: info.id, invitation });
        }
    }

    pub(super) fn fail_invitations(&mut self, now: Timestamp, peer: PeerId, error: &InviteError) {
        for invitation in self.outgoing_to(peer) {
            self.end_outgoing(now, invitation, Err(error.clone()));
        }
    }

    /// The peer was not reached. An invitation outlives this at first, unless another one answered: who was found a moment
    /// ago may have been heard in part, without the address that leads to it.
    pub(super) fn note_unreached(&mut self, now: Timestamp, peer: PeerId, error: &DialError) {
        let is_final = *error == DialError::Impostor;
        let error = InviteError::Unreachable { error: error.to_string() };
        for invitation in self.outgoing_to(peer) {
            let since = self.outgoing.get(&invitation).map(|outgoing| outgoing.since);
            if is_final || since.is_some_and(|since| now.since(since) >= FOUND_IN_PART) {
                self.end_outgoing(now, invitation, Err(error.clone()));
            }
        }
    }

    /// The link over which invitations were sent is gone, for a reason that concerns them.
    pub(super) fn fail_sent_invitations(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        link: LinkId,
        error: &InviteError,
    ) {
        for invitation in self.outgoing_to(peer) {
            if self.outgoing.get(&invitation).is_some_and(|o| o.sent_on == Some(link)) {
                self.end_outgoing(now, invitation, Err(error.clone()));
            }
        }
    }

    /// The link is gone because another one takes its place.
    pub(super) fn resend_invitations(&mut self, now: Timestamp, peer: PeerId) {
        if let Some(link) = self.greeted_link(peer) {
            self.send_invitation(now, peer, link);
        }
    }

    pub(super) fn end_outgoing(
        &mut self,
        now: Timestamp,
        invitation: InvitationId,
        result: Result<PeerInfo, InviteError>,
    ) {
        let Some(outgoing) = self.outgoing.remove(&invitation) else {
            return;
        };
        let peer = outgoing.peer;
        if let Err(error) = &result {
            let first = self.note_failed_invitation(now, peer, error);
            if error.is_refused_admission() {
                // To try again unasked would only be another wrong proof.
                self.stop_inviting(peer);
            }
            if first || !outgoing.automatic {
                let peer = self.known(peer).unwrap_or_else(|| PeerInfo::unnamed(peer));
                self.event(Event::InvitationFailed { peer, error: error.clone() });
            }
        }
        if !outgoing.automatic {
            self.outputs.push_back(Output::InviteAnswered { invitation, result });
        }
    }

    /// A link is gone: without another one to the same peer its invitations cannot be answered.
    pub(super) fn incoming_link_gone(&mut self, peer: PeerId) {
        if self.has_link(peer) {
            return;
        }
        for invitation in self.incoming_from(peer) {
            self.incoming.remove(&(peer, invitation));
            self.event(Event::InvitationWithdrawn { peer, invitation });
        }
    }

    pub(super) fn invitations_timeout(&self) -> Option<Timestamp> {
        let outgoing = self.outgoing.values().map(|outgoing| outgoing.deadline);
        outgoing.chain(self.incoming.values().map(|incoming| incoming.deadline)).min()
    }

    pub(super) fn expire_invitations(&mut self, now: Timestamp) {
        let late = self.outgoing.iter().filter(|(_, outgoing)| outgoing.deadline <= now);
        for invitation in late.map(|(&invitation, _)| invitation).collect::<Vec<_>>() {
            self.withdraw(now, invitation, InviteError::TimedOut);
        }
        let late = self.incoming.iter().filter(|(_, incoming)| incoming.deadline <= now);
        for (peer, invitation) in late.map(|(&key, _)| key).collect::<Vec<_>>() {
            self.decline(peer, invitation, DeclineReason::TimedOut, String::new());
            self.event(Event::InvitationWithdrawn { peer, invitation });
        }
    }

    /// Withdraws everything that was asked: there is a host now, who alone asks.
    pub(super) fn leave_inviting_to(&mut self, now: Timestamp, host: PeerId) {
        if self.host.is_some() {
            return;
        }
        self.host = Some(host);
        for invitation in self.outgoing.keys().copied().collect::<Vec<_>>() {
            self.withdraw(now, invitation, InviteError::NotHost);
        }
    }

    pub(super) fn has_outgoing(&self, peer: PeerId) -> bool {
        self.outgoing.values().any(|outgoing| outgoing.peer == peer)
    }

    /// Whether the application has invited the peer.
    pub(super) fn is_asked_for(&self, peer: PeerId) -> bool {
        self.outgoing.values().any(|outgoing| outgoing.peer == peer && !outgoing.automatic)
    }

    /// Whether an invitation needs this link.
    pub(super) fn has_invitation(&self, peer: PeerId, link: LinkId) -> bool {
        !self.incoming_from(peer).is_empty()
            || self.outgoing.values().any(|o| o.peer == peer && o.sent_on == Some(link))
    }

    fn outgoing_to(&self, peer: PeerId) -> Vec<InvitationId> {
        let to_peer = self.outgoing.iter().filter(|(_, outgoing)| outgoing.peer == peer);
        to_peer.map(|(&invitation, _)| invitation).collect()
    }

    fn incoming_from(&self, peer: PeerId) -> Vec<InvitationId> {
        let all = (peer, InvitationId(0))..=(peer, InvitationId(u64::MAX));
        self.incoming.range(all).map(|(&(_, invitation), _)| invitation).collect()
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
