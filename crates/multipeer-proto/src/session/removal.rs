//! Removing members: signed, passed on to everyone, and remembered for a while.

use std::collections::BTreeMap;

use super::{DisconnectReason, Event, RemoveError, Session, members::Member};
use crate::{
    frame::{Frame, GoodbyeReason, Remove},
    id::{LinkId, PeerId},
    limits::{MAX_REMOVALS, REMOVAL_DURATION},
    time::Timestamp,
    trust::Removal,
};

/// A peer that cannot come back for a while.
#[derive(Debug)]
pub(super) struct Removed {
    removal: Removal,
    until: Timestamp,
}

impl Session {
    /// Whether this peer can remove another, and why not.
    pub fn may_remove(&self, peer: PeerId) -> Result<(), RemoveError> {
        if self.phase != super::Phase::Running {
            Err(RemoveError::SessionOver)
        } else if !self.is_connected(peer) {
            Err(RemoveError::NotConnected(peer))
        } else if !self.may_bring_in(self.config.id) {
            Err(RemoveError::NotHost)
        } else {
            Ok(())
        }
    }

    pub(super) fn remove(&mut self, now: Timestamp, peer: PeerId, text: String) {
        if self.may_remove(peer).is_ok() {
            let until = self.unix(now) + REMOVAL_DURATION.as_secs();
            let removal = self.sign_removal(peer, text, until);
            self.expel(now, removal, None);
        }
    }

    fn sign_removal(&self, peer: PeerId, text: String, until: u64) -> Removal {
        let issuer = (&self.config.keys, self.config.incarnation);
        Removal::issue(issuer, &self.config.service, peer, text, until)
    }

    /// A member says that somebody is removed.
    pub(super) fn handle_remove(&mut self, now: Timestamp, from: PeerId, removal: Removal) {
        let known = self.removed.get(&removal.subject);
        if removal.subject == self.config.id
            || removal.subject == removal.issuer
            || known.is_some_and(|known| known.removal.until >= removal.until)
        {
            return;
        }
        // A member that was only told of counts: it may be the one who removed. So does what this peer
        // itself said before it was started anew.
        let is_issuer = |member: &Member| member.is_of(removal.issuer_incarnation);
        if removal.issuer != self.config.id
            && !self.members.get(&removal.issuer).is_some_and(is_issuer)
        {
            // Somebody who has left, or whom this peer has not met: others say the same.
            return;
        }
        let signed = || removal.check(&self.config.keys, &self.config.service, self.unix(now));
        if self.may_bring_in(removal.issuer) && signed() {
            self.expel(now, removal, Some(from));
        } else {
            self.event(Event::RemovalRefused { by: removal.issuer, subject: removal.subject });
        }
    }

    /// Disconnects whom the removal names, remembers it, and tells the others.
    fn expel(&mut self, now: Timestamp, removal: Removal, heard_from: Option<PeerId>) {
        let subject = removal.subject;
        let lasts = removal.until.saturating_sub(self.unix(now)).min(REMOVAL_DURATION.as_secs());
        let until = now + std::time::Duration::from_secs(lasts);
        let (by, text) = (removal.issuer, removal.text.clone());
        let passed_on = Frame::Remove(Remove { removal: removal.clone() });
        self.removed.insert(subject, Removed { removal, until });
        if self.removed.len() > MAX_REMOVALS && self.forget_a_removal() == Some(subject) {
            // Passed on it would come back from those who had no room for it either, for ever.
            return;
        }
        let others: Vec<LinkId> = self
            .members
            .iter()
            .filter(|&(&id, _)| id != subject && Some(id) != heard_from)
            .filter_map(|(_, member)| member.attached)
            .collect();
        for link in others {
            self.send(link, passed_on.clone());
        }
        // The others are told once they have a link.
        self.wake_all(now);
        let why = DisconnectReason::Removed { by, text: text.clone() };
        self.disconnect(now, subject, why, GoodbyeReason::Removed, &text);
    }

    /// Makes room at the cost of the member who has removed the most, whose oldest is forgotten: nobody can
    /// push out what others said by removing ids that it made up. Returns whose removal that was.
    fn forget_a_removal(&mut self) -> Option<PeerId> {
        let mut counts: BTreeMap<PeerId, usize> = BTreeMap::new();
        for removed in self.removed.values() {
            *counts.entry(removed.removal.issuer).or_default() += 1;
        }
        let (most, _) = counts.into_iter().max_by_key(|&(_, count)| count)?;
        let theirs = self.removed.iter().filter(|(_, known)| known.removal.issuer == most);
        let (&oldest, _) =
            theirs.min_by_key(|(subject, known)| (known.removal.until, **subject))?;
        self.removed.remove(&oldest);
        Some(oldest)
    }

    /// Tells who has just been attached of those who are removed: it may not have been there, and
    /// it must not bring them back.
    pub(super) fn send_removals(&mut self, link: LinkId, to: PeerId) {
        let mut removals = Vec::new();
        for (&subject, removed) in &self.removed {
            let removal = &removed.removal;
            let knows = |member: &Member| member.is_of(removal.issuer_incarnation);
            if subject == to || (removal.issuer == to && self.members.get(&to).is_some_and(knows)) {
                continue;
            }
            removals.push(removal.clone());
            let own = (removal.issuer, removal.issuer_incarnation);
            if own != (self.config.id, self.config.incarnation) && self.may_bring_in(self.config.id)
            {
                // Its issuer may have left, or been started anew as this peer may have been itself, or the
                // newcomer has not met it: it knows this peer, as it is now.
                removals.push(self.sign_removal(subject, removal.text.clone(), removal.until));
            }
        }
        for removal in removals {
            self.send(link, Frame::Remove(Remove { removal }));
        }
    }

    /// Why the peer cannot be in the session, if it was removed.
    pub(crate) fn removal_of(&self, peer: PeerId) -> Option<&str> {
        self.removed.get(&peer).map(|removed| removed.removal.text.as_str())
    }

    pub(super) fn removals_timeout(&self) -> Option<Timestamp> {
        self.removed.values().map(|removed| removed.until).min()
    }

    pub(super) fn expire_removals(&mut self, now: Timestamp) {
        self.removed.retain(|_, removed| removed.until > now);
    }
}
