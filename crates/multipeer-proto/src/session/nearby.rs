//! Who is near, by what discovery tells, and what of it the application was told.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use super::{Activity, Event, Joining, Output, PeerInfo, Phase, Session};
use crate::{
    announcement::Announcement,
    id::PeerId,
    limits::{LOST_GRACE, MAX_ADDRESSES, MAX_NEARBY},
    time::Timestamp,
};

/// Time after looking began again in which a peer reported before must be heard, or it is lost.
const LOOK_AGAIN_GRACE: Duration = Duration::from_secs(3);
/// The first pause after an automatic invitation that failed; it doubles.
const MIN_INVITE_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between automatic invitations.
const MAX_INVITE_PAUSE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Nearby {
    announcement: Announcement,
    /// The one heard of last comes first.
    addresses: Vec<SocketAddr>,
    /// What the application was told.
    info: PeerInfo,
    /// When it counts as lost unless it is heard again.
    suspect: Option<Timestamp>,
    failed_invitations: u32,
    invite_not_before: Timestamp,
    /// One of the two sides did not admit the other: inviting again unasked would not help.
    not_admitted: bool,
}

impl Nearby {
    fn new(now: Timestamp, announcement: Announcement, info: PeerInfo) -> Self {
        Self {
            announcement,
            addresses: Vec::new(),
            info,
            suspect: None,
            failed_invitations: 0,
            invite_not_before: now,
            not_admitted: false,
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().copied()
    }

    pub(super) fn info(&self) -> &PeerInfo {
        &self.info
    }
}

impl Session {
    pub(super) fn start_looking(&mut self, now: Timestamp) {
        if self.looking || self.phase != Phase::Running {
            return;
        }
        self.looking = true;
        self.doubt_all_nearby(now);
        self.outputs.push_back(Output::Announce(self.announcement()));
        self.outputs.push_back(Output::Look(true));
        if self.activity == Activity::Background {
            self.outputs.push_back(Output::Browse(false));
        }
    }

    /// Whoever is still there is about to be heard again.
    pub(super) fn doubt_all_nearby(&mut self, now: Timestamp) {
        for nearby in self.nearby.values_mut() {
            nearby.suspect = Some(now + LOOK_AGAIN_GRACE);
        }
    }

    pub(super) fn stop_looking(&mut self) {
        if !self.looking {
            return;
        }
        self.looking = false;
        for nearby in self.nearby.values_mut() {
            nearby.suspect = None;
        }
        self.outputs.push_back(Output::Look(false));
    }

    pub(super) fn handle_discovered(
        &mut self,
        now: Timestamp,
        announcement: Announcement,
        addresses: &[SocketAddr],
    ) {
        let peer = announcement.peer;
        // News of one's own, and late news from before looking was stopped, are none.
        if peer == self.config.id || !self.looking {
            return;
        }
        if !self.nearby.contains_key(&peer) && self.nearby.len() >= MAX_NEARBY {
            self.statistics.nearby_overflow += 1;
            return;
        }
        if self.nearby.get(&peer).is_none_or(|nearby| nearby.announcement != announcement) {
            let info = self.recognise(&announcement);
            let event = if let Some(nearby) = self.nearby.get_mut(&peer) {
                (nearby.announcement, nearby.info) = (announcement, info.clone());
                Event::PeerUpdated(info)
            } else {
                self.nearby.insert(peer, Nearby::new(now, announcement, info.clone()));
                Event::PeerFound(info)
            };
            self.event(event);
        }
        let Some(nearby) = self.nearby.get_mut(&peer) else { return };
        nearby.suspect = None;
        for &address in addresses.iter().rev().filter(|address| is_usable(address)) {
            nearby.addresses.retain(|&known| known != address);
            nearby.addresses.insert(0, address);
        }
        nearby.addresses.truncate(MAX_ADDRESSES);
        self.dial_soon(now, peer);
        if self.may_return(peer) {
            self.consent(now, peer, false);
        }
    }

    /// The peer as it presents itself, or as it is known to this one, which is paired with it.
    fn recognise(&self, announcement: &Announcement) -> PeerInfo {
        let mut info = PeerInfo::from(announcement);
        let tags = announcement.tags.as_ref();
        if let Some((id, name)) = tags.and_then(|tags| self.pairing.recognise(info.id, tags)) {
            info.lasting_id = Some(id);
            if let Some(name) = name.filter(|_| announcement.name.is_none()) {
                info.name = name.clone();
            }
        }
        info
    }

    pub(super) fn handle_lost(&mut self, now: Timestamp, peer: PeerId) {
        if !self.looking {
            return;
        }
        // A hint, no more: responders that rename, and caches that expire, are wrong at times.
        if let Some(nearby) = self.nearby.get_mut(&peer)
            && nearby.suspect.is_none()
        {
            nearby.suspect = Some(now + LOST_GRACE);
            self.verify(peer);
        }
    }

    /// Asks the network whether the peer is still there, if it was heard of at all.
    pub(super) fn verify(&mut self, peer: PeerId) {
        if self.looking && self.nearby.contains_key(&peer) {
            self.outputs.push_back(Output::Verify { peer });
        }
    }

    /// An invitation failed: the session does not repeat it at once by itself. Returns whether it
    /// was the first since the peer was found.
    pub(super) fn note_failed_invitation(&mut self, now: Timestamp, peer: PeerId) -> bool {
        let spread = self.spread(peer, self.attempts);
        let Some(nearby) = self.nearby.get_mut(&peer) else { return false };
        let pause = MIN_INVITE_PAUSE
            .saturating_mul(1 << nearby.failed_invitations.min(16))
            .min(MAX_INVITE_PAUSE);
        nearby.failed_invitations += 1;
        // Both sides would invite at the same moment again.
        let thousandths = u32::try_from(spread % 1000).unwrap_or_default();
        nearby.invite_not_before = now + pause + pause * thousandths / 1000;
        nearby.failed_invitations == 1
    }

    /// Leaves it to the application to invite the peer again.
    pub(super) fn stop_inviting(&mut self, peer: PeerId) {
        if let Some(nearby) = self.nearby.get_mut(&peer) {
            nearby.not_admitted = true;
        }
    }

    /// Invites again those of whom the application was told that they were not admitted.
    pub(super) fn invite_refused_again(&mut self) {
        for nearby in self.nearby.values_mut() {
            nearby.not_admitted = false;
        }
    }

    /// Whether the session invites anybody by itself at the moment.
    fn invites_by_itself(&self) -> bool {
        self.looking
            && self.phase == Phase::Running
            && self.activity == Activity::Foreground
            && self.config.joining == Joining::Automatic
            && self.may_bring_in(self.config.id)
            && self.outgoing.len() < crate::limits::MAX_INVITATIONS
    }

    /// Those whom the session is to invite by itself, sooner or later, and when.
    fn to_be_invited(&self) -> impl Iterator<Item = (PeerId, Timestamp)> {
        let candidates = self.invites_by_itself().then_some(&self.nearby).into_iter().flatten();
        let invited: BTreeSet<PeerId> = self.outgoing.values().map(|out| out.peer).collect();
        candidates
            .filter(move |&(&peer, nearby)| {
                !nearby.not_admitted
                    && !self.members.contains_key(&peer)
                    && !invited.contains(&peer)
                    && self.removal_of(peer).is_none()
                    && !self.is_full_for(peer)
            })
            .map(|(&peer, nearby)| (peer, nearby.invite_not_before))
    }

    pub(super) fn nearby_timeout(&self) -> Option<Timestamp> {
        let suspects = self.nearby.values().filter_map(|nearby| nearby.suspect);
        suspects.chain(self.to_be_invited().map(|(_, at)| at)).min()
    }

    pub(super) fn expire_nearby(&mut self, now: Timestamp) {
        let lost = self.nearby.iter().filter(|(_, n)| n.suspect.is_some_and(|at| at <= now));
        for peer in lost.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            if let Some(lost) = self.nearby.remove(&peer) {
                self.event(Event::PeerLost(lost.info));
            }
        }
        let due = self.to_be_invited().filter(|&(_, at)| at <= now).map(|(peer, _)| peer);
        for peer in due.collect::<Vec<_>>() {
            if self.invites_by_itself() {
                self.invite_automatically(now, peer);
            }
        }
    }
}

/// Whether an address could be a peer's at all.
fn is_usable(address: &SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}
