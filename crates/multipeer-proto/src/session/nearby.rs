//! Who is near, by what discovery tells, and what of it the application was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Activity, Event, InviteError, Joining, Output, PeerInfo, Phase, Role, Session};
use crate::{
    announcement::Announcement,
    id::PeerId,
    limits::{LEFT_GRACE, LOST_GRACE, MAX_ADDRESSES, MAX_NEARBY},
    name::DiscoveryInfo,
    network::Network,
    time::Timestamp,
    way::{Way, Ways},
};

/// Time after looking began again in which a peer reported before must be heard, or it is lost.
const LOOK_AGAIN_GRACE: Duration = Duration::from_secs(3);
/// The first pause after an automatic invitation that failed; it doubles.
const MIN_INVITE_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between automatic invitations to who said no, ...
const MAX_INVITE_PAUSE: Duration = Duration::from_mins(1);
/// ... and to who did not answer, and may do so any moment.
const MAX_UNANSWERED_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Nearby {
    announcement: Announcement,
    /// The one heard of last comes first.
    places: Vec<Place>,
    /// What the application was told.
    info: PeerInfo,
    /// How this peer hears it by itself.
    heard: Ways,
    /// Whether its addresses were given by hand: it is never lost.
    given: bool,
    /// The hubs that hear it, each with the round in which it last said so.
    told_by: BTreeMap<PeerId, u64>,
    /// When it counts as lost unless it is heard again.
    suspect: Option<Timestamp>,
    failed_invitations: u32,
    invite_not_before: Timestamp,
    /// One of the two sides did not admit the other: inviting again unasked would not help.
    not_admitted: bool,
}

/// An address that a peer may have.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    /// Whether nobody says so but who announces it, who may be anybody.
    is_claimed: bool,
}

/// How it is known that a peer is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// This peer hears it by itself.
    Heard(Way),
    /// A hub told of it, in this round.
    Hub(PeerId, u64),
    /// Its addresses were given by hand.
    Given,
}

impl Source {
    /// Whether nobody vouches for what it says. Who answers at an address that this side chose is there.
    fn is_claim(self) -> bool {
        matches!(self, Self::Heard(Way::Mdns | Way::SystemResponder | Way::Probe))
    }
}

impl Nearby {
    fn new(now: Timestamp, announcement: Announcement, info: PeerInfo) -> Self {
        Self {
            announcement,
            places: Vec::new(),
            info,
            heard: Ways::default(),
            given: false,
            told_by: BTreeMap::new(),
            suspect: None,
            failed_invitations: 0,
            invite_not_before: now,
            not_admitted: false,
        }
    }

    /// The addresses to which this peer goes: an announcement alone does not lead out of its own networks.
    pub(super) fn addresses(&self, own: Option<&[Network]>) -> impl Iterator<Item = SocketAddr> {
        let places = self.places.iter();
        let places = places.filter(move |place| !place.is_claimed || leads_to(own, place.address));
        places.map(|place| place.address)
    }

    pub(super) fn info(&self) -> &PeerInfo {
        &self.info
    }

    pub(super) fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// Whether this peer hears it by itself, and not only through a hub.
    pub(super) fn is_heard(&self) -> bool {
        !self.heard.is_empty() || self.suspect.is_some()
    }

    /// Every way in which it is known to be near.
    fn ways(&self) -> Ways {
        let mut ways = self.heard;
        if !self.told_by.is_empty() {
            ways.insert(Way::Hub);
        }
        if self.given {
            ways.insert(Way::Given);
        }
        ways
    }

    pub(super) fn is_told_by(&self, hub: PeerId) -> bool {
        self.told_by.contains_key(&hub)
    }

    /// Through which hub alone it is heard, if that is so.
    fn heard_through(&self) -> Option<PeerId> {
        let hub = self.told_by.keys().next().copied();
        hub.filter(|_| !self.is_heard())
    }

    /// The latest that it was heard at, or that were given, come first; what hubs tell comes behind.
    fn add_addresses(&mut self, addresses: &[SocketAddr], source: Source) {
        for &address in addresses.iter().rev().filter(|address| is_usable(address)) {
            let known = self.places.iter().position(|place| place.address == address);
            let was_claimed = known.is_none_or(|known| self.places[known].is_claimed);
            let is_claimed = was_claimed && source.is_claim();
            let at = match (known, source) {
                (Some(known), Source::Hub(..)) => known,
                (None, Source::Hub(..)) => self.places.len(),
                _ => 0,
            };
            if let Some(known) = known {
                self.places.remove(known);
            }
            self.places.insert(at, Place { address, is_claimed });
        }
        self.places.truncate(MAX_ADDRESSES);
    }
}

impl Session {
    pub(super) fn start_looking(&mut self, now: Timestamp) {
        if self.looking || self.phase != Phase::Running {
            return;
        }
        self.looking = true;
        self.doubt_all_nearby(now);
        for peer in self.given.keys().copied().collect::<Vec<_>>() {
            self.note_given(now, peer);
        }
        self.outputs.push_back(Output::Announce(self.announcement()));
        self.outputs.push_back(Output::Look(true));
        if self.activity == Activity::Background {
            self.outputs.push_back(Output::Browse(false));
        }
        self.tell_hubs();
    }

    /// Whoever is still there is about to be heard again.
    pub(super) fn doubt_all_nearby(&mut self, now: Timestamp) {
        // Who is known in another way alone is not heard anyway; and nobody stays of whom nothing is known any more.
        let doubtful = |nearby: &&mut Nearby| nearby.is_heard() || nearby.ways().is_empty();
        for nearby in self.nearby.values_mut().filter(doubtful) {
            // How it was heard before says nothing any more.
            (nearby.heard, nearby.suspect) = (Ways::default(), Some(now + LOOK_AGAIN_GRACE));
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
        self.tell_hubs();
    }

    pub(super) fn handle_discovered(
        &mut self,
        now: Timestamp,
        announcement: Announcement,
        addresses: &[SocketAddr],
        way: Way,
    ) {
        // News of one's own, and late news from before looking was stopped, are none.
        if announcement.peer != self.config.id && self.looking {
            self.note_near(now, announcement, addresses, Source::Heard(way));
        }
    }

    /// A peer is near: this one hears it by itself, or a hub says so.
    pub(super) fn note_near(
        &mut self,
        now: Timestamp,
        announcement: Announcement,
        addresses: &[SocketAddr],
        source: Source,
    ) {
        let peer = announcement.peer;
        if !self.nearby.contains_key(&peer) && !self.make_room(addresses, source) {
            self.statistics.nearby_overflow += 1;
            return;
        }
        let known = self.nearby.get(&peer);
        // What a peer says counts more than what a hub says that it says.
        let is_news = known.is_none_or(|nearby| {
            nearby.announcement != announcement
                && match source {
                    Source::Heard(_) => true,
                    Source::Hub(..) => !nearby.is_heard(),
                    // It says where the peer is, and nothing of what it says.
                    Source::Given => false,
                }
        });
        let is_new = known.is_none();
        let news = is_news.then(|| self.recognise(&announcement));
        let nearby = self
            .nearby
            .entry(peer)
            .or_insert_with(|| Nearby::new(now, announcement.clone(), PeerInfo::unnamed(peer)));
        let mut info = nearby.info.clone();
        if let Some(news) = news {
            (info, nearby.announcement) = (news, announcement);
        }
        match source {
            Source::Heard(way) => {
                nearby.heard.insert(way);
                nearby.suspect = None;
            }
            Source::Hub(hub, round) => _ = nearby.told_by.insert(hub, round),
            Source::Given => nearby.given = true,
        }
        nearby.add_addresses(addresses, source);
        (info.heard_through, info.ways) = (nearby.heard_through(), nearby.ways());
        if is_new || nearby.info != info {
            nearby.info = info.clone();
            self.event(if is_new { Event::PeerFound(info) } else { Event::PeerUpdated(info) });
        }
        self.near_changed(now);
        self.dial_soon(now, peer);
        if self.may_return(peer) {
            self.consent(now, peer, false);
        }
    }

    /// Whether there is room for one more who is near, at these addresses. Whoever leads nowhere gets half of it at the most,
    /// and who was invited in vain goes for who comes.
    fn make_room(&mut self, addresses: &[SocketAddr], source: Source) -> bool {
        let own = self.own_networks();
        let is_of_use = |address: &SocketAddr| is_usable(address) && leads_to(own, *address);
        let leads_somewhere = !source.is_claim() || addresses.iter().any(is_of_use);
        if self.nearby.len() < if leads_somewhere { MAX_NEARBY } else { MAX_NEARBY / 2 } {
            return true;
        }
        let in_vain = self.nearby.iter().find(|&(peer, nearby)| {
            nearby.failed_invitations > 0
                && !nearby.given
                && !self.members.contains_key(peer)
                && !self.has_outgoing(*peer)
        });
        let Some(in_vain) = in_vain.map(|(&peer, _)| peer).filter(|_| leads_somewhere) else {
            return false;
        };
        if let Some(lost) = self.nearby.remove(&in_vain) {
            self.event(Event::PeerLost(lost.info));
        }
        true
    }

    /// What stands for the announcement of a peer that was not heard: nothing but its id, and what it has to be to go
    /// with this one.
    pub(super) fn unheard(&self, peer: PeerId) -> Announcement {
        let role = self.config.topology.role().map(Role::other);
        Announcement { peer, name: None, info: DiscoveryInfo::default(), tags: None, role }
    }

    /// A peer that has not announced its name has told it on the link.
    pub(super) fn name_nearby(&mut self, peer: PeerId) {
        let Some(nearby) = self.nearby.get(&peer).filter(|_| self.looking) else { return };
        let PeerInfo { heard_through, ways, .. } = nearby.info;
        let info = PeerInfo { heard_through, ways, ..self.recognise(&nearby.announcement) };
        if let Some(nearby) = self.nearby.get_mut(&peer)
            && nearby.info != info
        {
            nearby.info = info.clone();
            self.event(Event::PeerUpdated(info));
        }
    }

    /// Those of whom a hub tells, each with the round in which it last did.
    pub(super) fn told_by(&self, hub: PeerId) -> impl Iterator<Item = (PeerId, u64)> {
        let told =
            move |(&peer, nearby): (&PeerId, &Nearby)| Some((peer, *nearby.told_by.get(&hub)?));
        self.nearby.iter().filter_map(told)
    }

    /// A hub does not tell of the peer any more.
    pub(super) fn forget_told(&mut self, now: Timestamp, peer: PeerId, hub: PeerId) {
        if let Some(nearby) = self.nearby.get_mut(&peer)
            && nearby.told_by.remove(&hub).is_some()
        {
            self.review_nearby(now, peer);
        }
    }

    /// One way in which a peer was heard is gone: is there another?
    fn review_nearby(&mut self, now: Timestamp, peer: PeerId) {
        // Who does not look is told nothing, and learns it when it looks again.
        if !self.looking {
            return;
        }
        let Some(nearby) = self.nearby.get_mut(&peer) else { return };
        let (heard_through, ways) = (nearby.heard_through(), nearby.ways());
        if !nearby.is_heard() && ways.is_empty() {
            if let Some(lost) = self.nearby.remove(&peer) {
                self.event(Event::PeerLost(lost.info));
            }
        } else if (nearby.info.heard_through, nearby.info.ways) != (heard_through, ways) {
            (nearby.info.heard_through, nearby.info.ways) = (heard_through, ways);
            let info = nearby.info.clone();
            self.event(Event::PeerUpdated(info));
        }
        self.near_changed(now);
    }

    /// The peer as it presents itself, or as it is known to this one, which is linked or paired with it.
    fn recognise(&self, announcement: &Announcement) -> PeerInfo {
        let mut info = PeerInfo::from(announcement);
        if announcement.name.is_none()
            && let Some(member) = self.connected_member(info.id)
        {
            info.name = member.info(info.id).name;
        }
        let tags = announcement.tags.as_ref();
        if let Some((id, name)) = tags.and_then(|tags| self.pairing.recognise(info.id, tags)) {
            info.lasting_id = Some(id);
            if let Some(name) = name.filter(|_| announcement.name.is_none()) {
                info.name = name.clone();
            }
        }
        info
    }

    pub(super) fn handle_lost(&mut self, now: Timestamp, peer: PeerId, way: Way) {
        if !self.looking {
            return;
        }
        let Some(nearby) = self.nearby.get_mut(&peer) else { return };
        if !nearby.heard.contains(way) {
            return;
        }
        let mut others = nearby.heard;
        others.remove(way);
        if others.is_empty() {
            // A hint, no more: responders that rename, and caches that expire, are wrong at times.
            if nearby.suspect.is_none() {
                nearby.suspect = Some(now + LOST_GRACE);
                self.verify(peer);
            }
        } else {
            nearby.heard = others;
            self.review_nearby(now, peer);
        }
    }

    /// Asks the network whether the peer is still there, if it was heard of at all.
    pub(super) fn verify(&mut self, peer: PeerId) {
        if self.looking && self.nearby.get(&peer).is_some_and(Nearby::is_heard) {
            self.outputs.push_back(Output::Verify { peer });
        }
    }

    /// An invitation failed: the session does not repeat it at once by itself. Returns whether it
    /// was the first since the peer was found.
    pub(super) fn note_failed_invitation(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        error: &InviteError,
    ) -> bool {
        let longest = match error {
            InviteError::Unreachable { .. } | InviteError::LinkLost if !self.is_doubted(peer) => {
                MAX_UNANSWERED_PAUSE
            }
            _ => MAX_INVITE_PAUSE,
        };
        let spread = self.spread(peer, self.attempts);
        let Some(nearby) = self.nearby.get_mut(&peer) else { return false };
        let pause =
            MIN_INVITE_PAUSE.saturating_mul(1 << nearby.failed_invitations.min(16)).min(longest);
        nearby.failed_invitations += 1;
        // Both sides would invite at the same moment again.
        let thousandths = u32::try_from(spread % 1000).unwrap_or_default();
        nearby.invite_not_before = now + pause + pause * thousandths / 1000;
        nearby.failed_invitations == 1
    }

    /// A peer has left the session: most likely it goes altogether, and is not invited before that must be known.
    pub(super) fn leave_alone(&mut self, now: Timestamp, peer: PeerId) {
        if let Some(nearby) = self.nearby.get_mut(&peer) {
            nearby.invite_not_before = nearby.invite_not_before.max(now + LEFT_GRACE);
        }
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
        let own = self.own_networks();
        candidates
            .filter(move |&(&peer, nearby)| {
                !nearby.not_admitted
                    && (!nearby.told_by.is_empty()
                        || nearby.addresses(own).any(|address| !self.is_false_at(peer, address)))
                    && self.config.topology.fits(nearby.announcement.role)
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
            if let Some(nearby) = self.nearby.get_mut(&peer) {
                (nearby.heard, nearby.suspect) = (Ways::default(), None);
                self.review_nearby(now, peer);
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

/// Whether an address says nothing without the interface on which it is meant.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Whether an address is on one of these networks, or anywhere if none were said.
fn leads_to(own: Option<&[Network]>, address: SocketAddr) -> bool {
    own.is_none_or(|own| own.iter().any(|network| network.contains(address.ip())))
}

/// Whether an address could be a peer's at all.
fn is_usable(address: &SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}
