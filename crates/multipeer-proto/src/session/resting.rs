//! Links at rest: a peer in the background keeps few links, and whom it has no link with stays in the session.
//!
//! It asks for the rest of a link on which nothing of the application has come or gone for a while, and uses it for
//! nothing new until it is answered. The other side ends the link if nothing is under way on it there either. From then on
//! each knows of the other that it is there, and whoever has something to say dials; messages go on where they stopped.
//!
//! Nothing is heard of a peer whose link rests. Those to whom it keeps its links notice that it is gone, and say so to
//! all; that is a hint, upon which it is dialled. So it is when all of them are gone, too, whom each names before the rest
//! begins, and after a long rest in any case. And so that somebody is there to say so, nobody lets so many rest that only
//! a few are left in touch with it.

use std::collections::BTreeSet;

use super::{Activity, Output, Phase, Session, Topology, members::Member};
use crate::{
    frame::{Frame, GoodbyeReason, Missing, Rest as Ask},
    id::{LinkId, PeerId},
    limits::{KEPT_LINKS, LONGEST_REST, REST_PATIENCE},
    time::Timestamp,
};

/// Whether the link to a member rests, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Rest {
    /// It is in use, or looked for.
    #[default]
    Awake,
    /// It has rested, and there is none yet.
    Woken,
    /// It is being found out whether anything is under way on it.
    Pausing {
        /// Whether the other side has asked.
        asked: bool,
    },
    /// This side has asked, and waits for the answer.
    Asked {
        since: Timestamp,
        /// Whether this side has had something to say since.
        wanted: bool,
    },
    /// There is no link, and nobody looks for one.
    Resting { since: Timestamp },
}

impl Member {
    /// Whether it can be said that it is there: by a link, or by one at rest.
    pub(super) fn is_linked(&self) -> bool {
        self.attached.is_some() || self.is_resting()
    }

    pub(super) fn is_resting(&self) -> bool {
        matches!(self.rest, Rest::Resting { .. })
    }

    /// Whether its link rests, or did until it was woken.
    pub(super) fn has_rested(&self) -> bool {
        self.is_resting() || self.rest == Rest::Woken
    }
}

impl Session {
    /// Whether a peer is in the session and its link rests: there is none until either has something to say, or the peer
    /// may be gone.
    pub fn is_resting(&self, peer: PeerId) -> bool {
        self.connected_member(peer).is_some_and(Member::is_resting)
    }

    /// Something of the application has come or gone on these links.
    pub(super) fn note_used(&mut self, now: Timestamp, links: &[LinkId]) {
        for &link in links {
            if let Some(peer) = self.links.get(&link).map(|link| link.peer)
                && let Some(member) = self.members.get_mut(&peer)
            {
                member.used_at = now;
            }
        }
    }

    /// From now on the time counts in which nothing comes or goes.
    pub(super) fn begin_to_rest(&mut self, now: Timestamp) {
        self.members.values_mut().for_each(|member| member.used_at = now);
    }

    /// Has links rest that are not used, and looks after those that do.
    pub(super) fn see_to_rest(&mut self, now: Timestamp) {
        self.give_up_asking(now);
        self.look_after_long_rests(now);
        self.look_after_the_unseen(now);
        self.stay_in_touch(now);
        if !self.wants_rest() {
            return;
        }
        let kept = self.kept();
        for &peer in &kept {
            self.wake_if_resting(now, peer);
        }
        let rest_after = self.config.rest_after;
        for (&peer, member) in &mut self.members {
            let Some(link) = member.attached.filter(|_| !kept.contains(&peer)) else { continue };
            let answers = !member.signs.is_missing();
            if member.rest == Rest::Awake && answers && now.since(member.used_at) >= rest_after {
                member.rest = Rest::Pausing { asked: false };
                self.outputs.push_back(Output::Pause { peer, link });
            }
        }
    }

    /// Whether this peer is to have few links. A hub's are for the others, and a client has no other way.
    fn wants_rest(&self) -> bool {
        self.activity == Activity::Background
            && self.phase == Phase::Running
            && self.config.topology == Topology::Mesh
            && self.config.relay_port.is_none()
    }

    /// Those to whom this peer keeps its links: hubs, the host, and as many as it takes to be a few.
    fn kept(&self) -> BTreeSet<PeerId> {
        let ids = self.by_use(|member| member.is_linked() && !member.signs.is_missing());
        let needed = ids.iter().filter(|&&id| self.is_needed(id)).count();
        ids.into_iter().take(needed.max(KEPT_LINKS)).collect()
    }

    /// The members of which this peer would notice within moments that they are gone, and they of it.
    fn in_touch(&self) -> Vec<PeerId> {
        self.by_use(|member| {
            let is_awake = matches!(member.rest, Rest::Awake | Rest::Woken);
            member.connected && is_awake && !member.signs.is_missing()
        })
    }

    /// Some members: first those whose links are the last to rest, in an order that is not the same for everyone, and the
    /// same from one look to the next.
    fn by_use(&self, choose: impl Fn(&Member) -> bool) -> Vec<PeerId> {
        let is_asking = |member: &Member| {
            self.activity == Activity::Foreground && member.activity == Activity::Background
        };
        let mut chosen: Vec<(&PeerId, &Member)> =
            self.members.iter().filter(|(_, member)| choose(member)).collect();
        chosen.sort_by_cached_key(|&(&id, member)| {
            (!self.is_needed(id), is_asking(member), self.spread(id, 0))
        });
        chosen.into_iter().map(|(&id, _)| id).collect()
    }

    fn is_needed(&self, peer: PeerId) -> bool {
        self.is_hub(peer) || self.host == Some(peer)
    }

    /// What this peer says when it wants a link to rest.
    fn ask(&self) -> Frame {
        let mut witnesses = self.in_touch();
        witnesses.truncate(KEPT_LINKS);
        Frame::Rest(Ask { wanted: true, witnesses })
    }

    /// Whether nothing is under way on a link, as the driver found.
    pub(super) fn handle_paused(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        link: LinkId,
        quiet: bool,
    ) {
        let Some(member) = self.members.get_mut(&peer).filter(|m| m.attached == Some(link)) else {
            return;
        };
        let Rest::Pausing { asked } = member.rest else { return };
        member.used_at = now;
        if !quiet {
            member.rest = Rest::Awake;
            if asked {
                self.send(link, no());
            }
            return;
        }
        let ask = self.ask();
        self.send(link, ask);
        if asked {
            self.rest(now, peer, link);
        } else if let Some(member) = self.members.get_mut(&peer) {
            member.rest = Rest::Asked { since: now, wanted: false };
        }
    }

    /// The other side asks for rest, or does not want it.
    pub(super) fn handle_rest(&mut self, now: Timestamp, link: LinkId, peer: PeerId, ask: &Ask) {
        let may_rest = ask.wanted && self.may_let_rest(peer, &ask.witnesses);
        let Some(member) = self.members.get_mut(&peer).filter(|m| m.attached == Some(link)) else {
            return;
        };
        member.witnesses.clone_from(&ask.witnesses);
        match (ask.wanted, member.rest) {
            (true, Rest::Asked { .. }) => self.rest(now, peer, link),
            (true, _) if !may_rest => self.send(link, no()),
            (true, before) => {
                member.rest = Rest::Pausing { asked: true };
                // Else the question is under way.
                if before == Rest::Awake {
                    self.outputs.push_back(Output::Pause { peer, link });
                }
            }
            (false, Rest::Asked { .. }) => self.resume(now, peer),
            (false, _) => {}
        }
    }

    /// Whether a link may rest whose other end asks for it, and names these witnesses.
    fn may_let_rest(&self, peer: PeerId, witnesses: &[PeerId]) -> bool {
        let keeps = || {
            if self.wants_rest() {
                return self.kept().contains(&peer);
            }
            self.in_touch().iter().filter(|&&id| id != peer).count() < KEPT_LINKS
        };
        let seen = self.seen(Some(peer));
        self.phase == Phase::Running
            && self.config.relay_port.is_none()
            && !keeps()
            && witnesses.iter().any(|witness| seen.contains(witness))
    }

    /// The link is used as before.
    fn resume(&mut self, now: Timestamp, peer: PeerId) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.rest = Rest::Awake;
            member.used_at = now;
            let draining = member.draining;
            self.outputs.push_back(Output::Resume { peer });
            if draining {
                self.outputs.push_back(Output::Drain { peer });
            }
        }
    }

    /// Ends the link; both sides know that it rests.
    pub(super) fn rest(&mut self, now: Timestamp, peer: PeerId, link: LinkId) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        let wanted = matches!(member.rest, Rest::Asked { wanted: true, .. }) || member.draining;
        member.rest = Rest::Resting { since: now };
        // It has just asked, or agreed.
        self.note_heard(now, peer);
        self.drop_link(now, link, GoodbyeReason::Resting);
        if wanted {
            self.wake(now, peer);
        }
    }

    /// There is something to say to the peer, or to hear of it.
    pub(super) fn wake(&mut self, now: Timestamp, peer: PeerId) {
        let window = self.config.reconnect_window;
        let Some(member) = self.members.get_mut(&peer) else { return };
        match &mut member.rest {
            Rest::Awake | Rest::Woken => {}
            Rest::Pausing { asked } => {
                let (asked, link) = (*asked, member.attached);
                self.resume(now, peer);
                if let Some(link) = link.filter(|_| asked) {
                    self.send(link, no());
                }
            }
            // Whether there is a link the answer tells.
            Rest::Asked { wanted, .. } => *wanted = true,
            Rest::Resting { .. } => {
                member.rest = Rest::Woken;
                member.deadline = Some(now + window);
                self.note_heard(now, peer);
                self.dial_at_once(now, peer);
            }
        }
    }

    /// What is said of a peer may be true: it is asked.
    pub(super) fn wake_if_resting(&mut self, now: Timestamp, peer: PeerId) {
        if self.is_resting(peer) {
            self.wake(now, peer);
        }
    }

    /// There is something to say to everyone.
    pub(super) fn wake_all(&mut self, now: Timestamp) {
        for peer in self.members.keys().copied().collect::<Vec<_>>() {
            self.wake(now, peer);
        }
    }

    /// There is a link, for which something may have waited.
    pub(super) fn catch_up(
        &mut self,
        now: Timestamp,
        peer: PeerId,
        link: LinkId,
        has_rested: bool,
    ) {
        let is_mesh = self.config.topology == Topology::Mesh;
        if is_mesh && has_rested {
            // Each may have been told of others meanwhile.
            self.send_digest_to(now, peer, link);
        }
        let missing = self.members.iter().filter(|(_, m)| m.connected && m.signs.is_missing());
        let missing = missing.filter(|&(&id, _)| is_mesh && self.may_rest_between(peer, id));
        // While there was no link it could not be told.
        for peer in missing.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.send(link, Frame::Missing(Missing { peer }));
        }
        if self.members.get(&peer).is_some_and(|member| member.draining) {
            self.outputs.push_back(Output::Drain { peer });
        }
    }

    /// Whether the link between two members may rest, as far as is known here.
    fn may_rest_between(&self, one: PeerId, other: PeerId) -> bool {
        let members = [one, other].map(|id| self.members.get(&id));
        one != other && members.iter().flatten().any(|m| m.activity == Activity::Background)
    }

    /// Uses links again about which nobody answers.
    fn give_up_asking(&mut self, now: Timestamp) {
        let late = self.members.iter().filter(|(_, member)| {
            matches!(member.rest, Rest::Asked { since, .. } if now.since(since) >= REST_PATIENCE)
        });
        for peer in late.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.resume(now, peer);
        }
    }

    /// Dials those whose links have rested long: nobody may have noticed that they are gone.
    fn look_after_long_rests(&mut self, now: Timestamp) {
        let longest = self.config.rest_after * LONGEST_REST;
        let overdue = self.members.iter().filter_map(|(&peer, member)| {
            let Rest::Resting { since } = member.rest else { return None };
            // Not all at the same moment, nor both ends of one.
            let thousandths = u32::try_from(self.spread(peer, 0) % 300).unwrap_or_default();
            (now.since(since) >= longest.saturating_sub(longest * thousandths / 1000))
                .then_some(peer)
        });
        for peer in overdue.collect::<Vec<_>>() {
            self.wake(now, peer);
        }
    }

    /// Dials those of whom nobody is left who would tell that they are gone.
    fn look_after_the_unseen(&mut self, now: Timestamp) {
        let resting = self.by_use(Member::is_resting);
        if resting.is_empty() {
            return;
        }
        let seen = self.seen(None);
        // Who is in touch with nobody is most likely away itself.
        if seen.is_empty() {
            return;
        }
        for peer in resting.into_iter().filter(|peer| !seen.contains(peer)) {
            self.wake(now, peer);
        }
    }

    /// The members but one that answer this peer, those of whom one of these is a witness, and so on: a few that are
    /// witnesses of each other alone may all be gone.
    fn seen(&self, but: Option<PeerId>) -> BTreeSet<PeerId> {
        let answers = |member: &Member| member.attached.is_some() && !member.signs.is_missing();
        let answering = self.members.iter().filter(|&(&id, m)| Some(id) != but && answers(m));
        let mut seen: BTreeSet<PeerId> = answering.map(|(&id, _)| id).collect();
        let mut unseen = self.by_use(Member::is_resting);
        loop {
            let before = unseen.len();
            unseen.retain(|peer| {
                let witnesses = self.members.get(peer).map(|member| &member.witnesses);
                let is_seen = witnesses.into_iter().flatten().any(|id| seen.contains(id));
                !(is_seen && seen.insert(*peer))
            });
            if unseen.len() == before {
                return seen;
            }
        }
    }

    /// Has a few links in use: of those whose links rest, others tell that they are gone.
    fn stay_in_touch(&mut self, now: Timestamp) {
        let resting = self.by_use(Member::is_resting);
        if resting.is_empty() {
            return;
        }
        let lacking = KEPT_LINKS.saturating_sub(self.in_touch().len());
        for peer in resting.into_iter().take(lacking) {
            self.wake(now, peer);
        }
    }

    /// A member does not answer, its link is lost, or it is one no more from here on: those are told whose links to it may
    /// rest.
    pub(super) fn tell_missing(&mut self, missing: PeerId) {
        if self.phase != Phase::Running || self.config.topology != Topology::Mesh {
            return;
        }
        let linked = || self.members.iter().filter_map(|(id, m)| Some((*id, m, m.attached?)));
        // Who hears of nobody is most likely away itself.
        if linked().all(|(_, member, _)| member.signs.is_missing()) {
            return;
        }
        let told = linked().filter(|&(peer, ..)| self.may_rest_between(peer, missing));
        for link in told.map(|(_, _, link)| link).collect::<Vec<_>>() {
            self.send(link, Frame::Missing(Missing { peer: missing }));
        }
    }
}

/// The link is not to rest.
fn no() -> Frame {
    Frame::Rest(Ask { wanted: false, witnesses: Vec::new() })
}
