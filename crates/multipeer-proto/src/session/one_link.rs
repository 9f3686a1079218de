//! One link for each pair: which of several stays.
//!
//! Both ends must come to the same end without asking each other. The rank of a link decides, and the end that has
//! dialled the link of the higher rank decides first: while its own dial is under way, it does not say that it joins
//! over another link, and once it has said so, it gives its dial up. The other end, once it was told so, keeps that link
//! until it ends, whatever comes on one of a higher rank: that was said before, and took longer. So no link ends that both
//! use.

use std::cmp::Reverse;

use super::{Session, links::Link};
use crate::{
    frame::GoodbyeReason,
    id::{LinkId, LinkRef, PeerId},
    time::Timestamp,
};

impl Link {
    /// What decides which of two links stays: both ends see the same. The one dialled by the
    /// smaller id, and of two by the same peer the later one.
    fn rank(&self) -> Option<(Reverse<PeerId>, u64)> {
        let reference = self.reference?;
        Some((Reverse(reference.dialler), reference.attempt))
    }
}

impl Session {
    /// Closes links of the peer that it knows to be dead, and those of its former self.
    pub(super) fn drop_superseded_links(
        &mut self,
        now: Timestamp,
        newest: LinkId,
        peer: PeerId,
        gone: Option<LinkRef>,
        incarnation: u64,
    ) {
        let superseded: Vec<LinkId> = self
            .links
            .iter()
            .filter(|&(&id, link)| id != newest && link.peer == peer)
            .filter(|(_, link)| {
                let of_former_self =
                    link.hello.as_ref().is_some_and(|hello| hello.incarnation != incarnation);
                of_former_self || (gone.is_some() && link.reference == gone)
            })
            .map(|(&id, _)| id)
            .collect();
        for id in superseded {
            self.drop_link(now, id, GoodbyeReason::Duplicate);
        }
    }

    /// The peer has said hello on the link: is it the one?
    pub(super) fn settle_on_link(&mut self, now: Timestamp, id: LinkId, peer: PeerId) {
        let waits = self.links.get(&id).is_some_and(|link| self.is_given_up(link));
        if let Some(link) = self.links.get_mut(&id).filter(|_| waits) {
            link.on_hold = true;
            return;
        }
        self.prefer(now, id, peer);
    }

    /// Whether the peer, which dialled the link, has said that it joins over another one: then it has ended this one, or is
    /// about to, unless it ends the other.
    fn is_given_up(&self, link: &Link) -> bool {
        let by_peer = link.reference.is_some_and(|reference| reference.dialler == link.peer);
        let mut others = self.links.values().filter(|other| other.peer == link.peer);
        by_peer && others.any(|other| other.join_received.is_some() && other.rank() < link.rank())
    }

    fn prefer(&mut self, now: Timestamp, id: LinkId, peer: PeerId) {
        if self.keep_one_link(now, peer) == Some(id) {
            self.send_invitation(now, peer, id);
            self.offer_join(now, id);
        }
    }

    /// Of several links to the peer that have said hello, keeps the one that the other end keeps
    /// too, and returns it.
    fn keep_one_link(&mut self, now: Timestamp, peer: PeerId) -> Option<LinkId> {
        let greeted: Vec<(LinkId, _)> = self
            .links
            .iter()
            .filter(|(_, link)| link.peer == peer && link.hello.is_some() && !link.on_hold)
            .filter_map(|(&id, link)| Some((id, link.rank()?)))
            .collect();
        let (kept, _) = *greeted.iter().max_by_key(|(_, rank)| *rank)?;
        for (id, _) in greeted {
            if id != kept {
                self.drop_link(now, id, GoodbyeReason::Duplicate);
            }
        }
        Some(kept)
    }

    /// Whether one of this side's own dials is about to take the place of the link: to use that would be to end what
    /// it had begun to carry.
    pub(super) fn is_about_to_be_replaced(&self, link: &Link) -> bool {
        let own = |other: &Link| other.reference.is_some_and(|r| r.dialler == self.config.id);
        let mut others = self.links.values().filter(|other| other.peer == link.peer);
        others.any(|other| other.hello.is_none() && own(other) && other.rank() > link.rank())
    }

    /// Whether a link to the peer is in use, as far as this side goes.
    pub(super) fn has_offered_join(&self, peer: PeerId) -> bool {
        self.links.values().any(|link| link.peer == peer && link.join_sent.is_some())
    }

    /// A link to the peer came to nothing: another may have waited for that.
    pub(super) fn use_link_that_waited(&mut self, now: Timestamp, peer: PeerId) {
        if let Some(link) = self.greeted_link(peer) {
            self.offer_join(now, link);
        } else if let Some((&id, link)) =
            self.links.iter_mut().find(|(_, link)| link.peer == peer && link.on_hold)
        {
            link.on_hold = false;
            self.prefer(now, id, peer);
        }
    }

    /// The link to the peer that has said hello, if there is one.
    pub(super) fn greeted_link(&self, peer: PeerId) -> Option<LinkId> {
        self.links
            .iter()
            .find(|(_, link)| link.peer == peer && link.hello.is_some() && !link.on_hold)
            .map(|(&id, _)| id)
    }
}
