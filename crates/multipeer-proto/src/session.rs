//! The state machine of one peer in a session.

mod attention;
#[cfg(test)]
mod attention_tests;
mod certifying;
mod dialling;
mod errors;
mod given;
#[cfg(test)]
mod given_tests;
mod hubs;
#[cfg(test)]
mod hubs_tests;
mod impostors;
#[cfg(test)]
mod impostors_tests;
mod info;
mod invitations;
mod io;
mod links;
mod members;
mod nearby;
mod one_link;
#[cfg(test)]
mod one_link_tests;
#[cfg(test)]
mod pairing_tests;
#[cfg(test)]
mod party;
#[cfg(test)]
mod party_tests;
mod proving;
#[cfg(test)]
mod proving_tests;
mod removal;
mod resting;
#[cfg(test)]
mod resting_tests;
mod roaming;
#[cfg(test)]
mod roaming_tests;
#[cfg(test)]
mod tests;
mod topology;
#[cfg(test)]
mod topology_tests;
mod viability;
#[cfg(test)]
mod viability_tests;
mod vouching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

pub use self::{
    attention::{Activity, NudgeError},
    errors::{DialError, DisconnectReason, InviteError, RemoveError},
    hubs::Relay,
    info::PeerInfo,
    io::{
        Announce, Command, Config, Direction, Event, Input, Inviting, Joining, Output, Statistics,
    },
    topology::{Role, Topology},
};
use self::{
    dialling::Dial,
    hubs::Repeater,
    impostors::Doubt,
    invitations::{Incoming, Outgoing},
    links::Link,
    members::{Former, Member},
    nearby::Nearby,
    proving::WrongProofs,
    removal::Removed,
    resting::Rest,
};
use crate::{
    announcement::Announcement,
    frame::{Confirm, Echo, Frame, GoodbyeReason},
    id::{InvitationId, LinkId, LinkRef, PeerId},
    limits::{DIGEST_INTERVAL, LEAVE_TIMEOUT},
    name::DiscoveryInfo,
    network::Network,
    time::Timestamp,
    trust::{Keys, Pairing, Verified},
};

/// The state machine of one peer.
///
/// - **Inputs**: [`handle`](Self::handle) takes everything that happens, with its moment.
/// - **Outputs**: [`poll`](Self::poll) gives what is to be done; take all of it after every input.
/// - **Time**: hand in [`Input::Tick`] at the latest at [`poll_timeout`](Self::poll_timeout).
/// - **Getters** change nothing.
///
/// Handed the same inputs, it gives the same outputs.
#[derive(Debug)]
pub struct Session {
    config: Config,
    outputs: VecDeque<Output>,
    links: BTreeMap<LinkId, Link>,
    /// The latest link to each peer that is known to be dead, for the next hello.
    gone: BTreeMap<PeerId, LinkRef>,
    members: BTreeMap<PeerId, Member>,
    former: BTreeMap<PeerId, Former>,
    dials: BTreeMap<PeerId, Dial>,
    doubts: BTreeMap<PeerId, Doubt>,
    /// The number of the latest attempt to dial anyone.
    attempts: u64,
    outgoing: BTreeMap<InvitationId, Outgoing>,
    incoming: BTreeMap<(PeerId, InvitationId), Incoming>,
    /// The number of the latest invitation that the session sent by itself. They count down from
    /// the top, so that they never meet the application's.
    automatic_invitations: u64,
    nearby: BTreeMap<PeerId, Nearby>,
    /// Those whose addresses were given by hand.
    given: BTreeMap<PeerId, Vec<SocketAddr>>,
    looking: bool,
    own_addresses: Vec<SocketAddr>,
    /// The networks that this peer is part of, if that was said.
    own_networks: Option<Vec<Network>>,
    /// Those that it was part of before they changed.
    former_networks: Vec<Network>,
    activity: Activity,
    /// Whether the application has more events than it takes.
    behind: bool,
    repeater: Repeater,
    /// The relays through which it reaches others; at the first it waits for links.
    relays: Vec<Relay>,
    /// Those of whom the others are to be told.
    newcomers: BTreeSet<PeerId>,
    introduce_at: Option<Timestamp>,
    introduced_at: Option<Timestamp>,
    /// The latest move, while links may follow it.
    moved: Option<roaming::Move>,
    /// When this peer was last told which links brought something.
    listened_at: Timestamp,
    digest_at: Option<Timestamp>,
    wrong_proofs: WrongProofs,
    pairing: Pairing,
    /// Who alone invites and removes, if somebody does.
    host: Option<PeerId>,
    removed: BTreeMap<PeerId, Removed>,
    phase: Phase,
    statistics: Statistics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Waits until what was sent is confirmed, at most until this moment.
    Leaving(Timestamp),
    Over,
}

impl Session {
    /// A session that neither looks nor has anyone in it yet.
    pub fn new(config: Config) -> Self {
        let host = config.is_host().then_some(config.id);
        let pairing = config.pairing();
        Self {
            config,
            pairing,
            outputs: VecDeque::new(),
            links: BTreeMap::new(),
            gone: BTreeMap::new(),
            members: BTreeMap::new(),
            former: BTreeMap::new(),
            dials: BTreeMap::new(),
            doubts: BTreeMap::new(),
            attempts: 0,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            automatic_invitations: u64::MAX,
            nearby: BTreeMap::new(),
            given: BTreeMap::new(),
            looking: false,
            own_addresses: Vec::new(),
            own_networks: None,
            former_networks: Vec::new(),
            activity: Activity::default(),
            behind: false,
            repeater: Repeater::default(),
            relays: Vec::new(),
            newcomers: BTreeSet::new(),
            introduce_at: None,
            introduced_at: None,
            moved: None,
            listened_at: Timestamp::ZERO,
            digest_at: None,
            wrong_proofs: WrongProofs::default(),
            host,
            removed: BTreeMap::new(),
            phase: Phase::Running,
            statistics: Statistics::default(),
        }
    }

    /// Takes what happened at `now`. Moments must not go back.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if self.phase == Phase::Over {
            if let Input::LinkUp { link, .. } = input {
                self.close_link(link, GoodbyeReason::Left, String::new());
            }
            return;
        }
        match input {
            Input::Command(command) => self.handle_command(now, command),
            Input::LinkUp { link, peer, direction, remote, keys } => {
                self.handle_link_up(now, link, peer, direction, remote, keys);
            }
            Input::LinkDown { link } => self.handle_link_down(now, link),
            Input::DialFailed { peer, attempt, error } => {
                self.handle_dial_failed(now, peer, attempt, &error);
            }
            Input::Frame { link, frame } => self.handle_frame(now, link, frame),
            Input::Misbehaved { link, error } => self.misbehaved(now, link, &error),
            Input::Arrived { peer, received } => self.handle_arrived(peer, received),
            Input::Drained { peer } => self.handle_drained(now, peer),
            Input::Discovered { announcement, addresses, way } => {
                self.handle_discovered(now, announcement, &addresses, way);
            }
            Input::Lost { peer, way } => self.handle_lost(now, peer, way),
            Input::Heard { links, used } => {
                self.note_used(now, &used);
                self.handle_heard(now, &links);
                self.see_to_rest(now);
            }
            Input::Paused { peer, link, quiet } => self.handle_paused(now, peer, link, quiet),
            Input::Wanted { peer } => self.wake(now, peer),
            Input::Moved { link, remote } => self.handle_moved(link, remote),
            Input::OwnAddresses(addresses) => self.handle_own_addresses(now, addresses),
            Input::OwnNetworks(networks) => self.handle_own_networks(now, networks),
            Input::Behind(behind) => self.handle_behind(behind),
            Input::Tick => {}
        }
        self.advance(now);
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Tick`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let leaving = match self.phase {
            Phase::Over => return None,
            Phase::Leaving(deadline) => Some(deadline),
            Phase::Running => None,
        };
        [
            leaving,
            self.digest_at,
            self.links_timeout(),
            self.dials_timeout(),
            self.invitations_timeout(),
            self.members_timeout(),
            self.nearby_timeout(),
            self.doubts_timeout(),
            self.removals_timeout(),
            self.hubs_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// This peer.
    pub fn id(&self) -> PeerId {
        self.config.id
    }

    /// The peers in the session, this one not among them.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> {
        self.members
            .iter()
            .filter(|(_, member)| member.connected)
            .map(|(&id, member)| member.info(id))
    }

    /// A peer, if it is in the session.
    pub fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        self.connected_member(peer).map(|member| member.info(peer))
    }

    /// A peer, if it is near.
    pub fn near(&self, peer: PeerId) -> Option<&PeerInfo> {
        self.nearby.get(&peer).map(Nearby::info)
    }

    /// The peers that are near.
    pub fn nearby(&self) -> impl Iterator<Item = PeerInfo> {
        self.nearby.values().map(|nearby| nearby.info().clone())
    }

    /// What is known of a peer: as a member, or as one that is near.
    pub fn known(&self, peer: PeerId) -> Option<PeerInfo> {
        self.peer(peer).or_else(|| self.near(peer).cloned())
    }

    /// Why an invitation that was just commanded cannot even begin. Ask before the outputs are
    /// polled.
    pub fn refused_invitation(&self, asked: InvitationId) -> Option<InviteError> {
        self.outputs.iter().find_map(|output| match output {
            Output::InviteAnswered { invitation, result: Err(error) } if *invitation == asked => {
                Some(error.clone())
            }
            _ => None,
        })
    }

    /// What went wrong so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// How a peer in the session has shown that it may be here.
    pub fn verified(&self, peer: PeerId) -> Option<&Verified> {
        let member = self.connected_member(peer)?;
        member.verified.as_ref()
    }

    /// Digits that people at both ends of the link to a peer can compare: twenty, in groups of four.
    /// They are equal when nobody is in between, and differ from link to link.
    pub fn comparison(&self, peer: PeerId) -> Option<String> {
        let link = self.attached(peer).or_else(|| self.greeted_link(peer))?;
        self.links.get(&link)?.comparison.clone()
    }

    /// Whether this peer announces itself and looks for others.
    pub fn is_looking(&self) -> bool {
        self.looking
    }

    /// Whether this peer is linked with nobody, and about to be with nobody.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Running
            && self.links.is_empty()
            && self.members.is_empty()
            && self.outgoing.is_empty()
            && self.dials.values().all(|dial| !dial.is_in_progress())
    }

    /// Who alone invites and removes, if somebody does.
    pub fn host(&self) -> Option<PeerId> {
        self.host
    }

    /// The link that carries a peer's messages, as both ends name it.
    pub fn attached_link(&self, peer: PeerId) -> Option<LinkRef> {
        let member = self.members.get(&peer)?;
        self.links.get(&member.attached?)?.reference
    }

    /// How many links, members, dials, invitations and nearby peers are kept: all of it bounded.
    pub fn table_sizes(&self) -> [usize; 10] {
        [
            self.links.len(),
            self.gone.len(),
            self.members.len(),
            self.former.len(),
            self.dials.len(),
            self.outgoing.len() + self.incoming.len(),
            self.nearby.len(),
            self.wrong_proofs.len(),
            self.removed.len(),
            self.repeater.len(),
        ]
    }

    fn handle_command(&mut self, now: Timestamp, command: Command) {
        match command {
            Command::Invite { invitation, peer, context, timeout } => {
                self.invite(now, invitation, peer, context, timeout);
            }
            Command::CancelInvite { invitation } => self.cancel_invite(now, invitation),
            Command::AnswerInvitation { peer, invitation, decline } => {
                self.answer_invitation(now, peer, invitation, decline);
            }
            Command::Add { peer, addresses } => self.add(now, peer, addresses),
            Command::StartLooking => self.start_looking(now),
            Command::StopLooking => self.stop_looking(),
            Command::SetInfo(info) => self.set_info(info),
            Command::Ping { peer, token, padding } => {
                if let Some(link) = self.attached(peer) {
                    self.send(link, Frame::Ping(Echo { token, padding }));
                }
            }
            Command::SetAdmission(admission) => self.set_admission(admission),
            Command::Renew { keys, incarnation } => self.renew(keys, incarnation),
            Command::JudgeCertificate { link, rejected } => {
                self.judge_certificate(now, link, rejected);
            }
            Command::Remove { peer, text } => self.remove(now, peer, text),
            Command::Nudge { peer, text } => self.nudge(peer, text),
            Command::SetActivity(activity) => self.set_activity(now, activity),
            Command::Leave => self.leave(now),
        }
    }

    /// Does whatever is due at `now`.
    fn advance(&mut self, now: Timestamp) {
        if let Phase::Leaving(deadline) = self.phase
            && (deadline <= now || self.members.values().all(|member| !member.draining))
        {
            self.finish_leaving(now);
            return;
        }
        self.expire_links(now);
        self.expire_invitations(now);
        self.expire_members(now);
        self.introduce_newcomers(now);
        self.forget_doubts(now);
        self.expire_nearby(now);
        self.expire_removals(now);
        self.repeat_near(now);
        self.stop_serving_the_gone(now);
        self.choose_relays();
        self.start_dials(now);
        self.compare_memberships(now);
    }

    fn leave(&mut self, now: Timestamp) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Leaving(now + LEAVE_TIMEOUT);
        self.stop_looking();
        for invitation in self.outgoing.keys().copied().collect::<Vec<_>>() {
            self.end_outgoing(now, invitation, Err(InviteError::SessionOver));
        }
        for peer in self.members.keys().copied().collect::<Vec<_>>() {
            let Some(member) = self.members.get_mut(&peer) else { continue };
            // One that was just woken is about to have a link.
            member.draining = member.attached.is_some() || member.has_rested();
            if member.attached.is_some() && member.rest == Rest::Awake {
                self.outputs.push_back(Output::Drain { peer });
            } else {
                // Whose link rests, or is about to, is to hear that this peer leaves.
                self.wake(now, peer);
            }
        }
        let members = &self.members;
        self.dials.retain(|peer, _| members.get(peer).is_some_and(|member| member.draining));
    }

    fn handle_drained(&mut self, now: Timestamp, peer: PeerId) {
        if let Some(member) = self.members.get_mut(&peer)
            && member.draining
        {
            member.draining = false;
            self.disconnect(now, peer, DisconnectReason::Local, GoodbyeReason::Left, "");
        }
    }

    fn finish_leaving(&mut self, now: Timestamp) {
        for peer in self.members.keys().copied().collect::<Vec<_>>() {
            self.disconnect(now, peer, DisconnectReason::Local, GoodbyeReason::Left, "");
        }
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.close_link(link, GoodbyeReason::Left, String::new());
        }
        self.phase = Phase::Over;
        self.outputs.push_back(Output::Left);
    }

    fn set_info(&mut self, info: DiscoveryInfo) {
        self.config.info = info;
        if self.looking {
            self.outputs.push_back(Output::Announce(self.announcement()));
        }
    }

    fn renew(&mut self, keys: Keys, incarnation: u64) {
        if !self.is_idle() {
            return;
        }
        if self.host == Some(self.config.id) {
            self.host = Some(keys.id());
        }
        self.config.id = keys.id();
        self.config.keys = keys;
        self.config.incarnation = incarnation;
        self.gone.clear();
        if self.looking {
            self.outputs.push_back(Output::Announce(self.announcement()));
        }
    }

    fn announcement(&self) -> Announcement {
        let (peer, role) = (self.config.id, self.config.topology.role());
        match self.config.announce {
            Announce::Public => {
                let (name, info) = (self.config.name.clone(), self.config.info.clone());
                Announcement { peer, name: Some(name), info, tags: None, role }
            }
            private => {
                let tags = (private == Announce::Paired).then(|| self.pairing.announced(peer));
                Announcement { peer, name: None, info: DiscoveryInfo::default(), tags, role }
            }
        }
    }

    fn handle_arrived(&mut self, peer: PeerId, received: u64) {
        if let Some(member) = self.members.get_mut(&peer)
            && member.connected
        {
            member.received = received;
            if let Some(link) = member.attached {
                self.send(link, Frame::Confirm(Confirm { received }));
            }
        }
    }

    fn send(&mut self, link: LinkId, frame: Frame) {
        self.outputs.push_back(Output::SendFrame { link, frame });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// The peer, if it is in the session as far as the application knows.
    fn connected_member(&self, peer: PeerId) -> Option<&Member> {
        self.members.get(&peer).filter(|member| member.connected)
    }

    /// The link that carries the peer's messages, if there is one.
    fn attached(&self, peer: PeerId) -> Option<LinkId> {
        self.members.get(&peer)?.attached
    }

    /// Whether this peer leaves the first word to the other one: of each pair one does, and everyone to half of
    /// the others.
    fn yields_to(&self, peer: PeerId) -> bool {
        let last = |id: PeerId| id.as_bytes()[31];
        let smaller_yields = (last(peer) ^ last(self.config.id)) & 1 == 1;
        (peer < self.config.id) != smaller_yields
    }

    /// A number that spreads what many peers would otherwise do at the same moment. It needs no
    /// secret, only to differ from pair to pair and from time to time.
    fn spread(&self, peer: PeerId, round: u64) -> u64 {
        let seed = self.config.incarnation ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bytes = self.config.id.as_bytes().iter().chain(peer.as_bytes());
        // FNV-1a.
        bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// Membership changed: compare with a neighbour soon.
    fn membership_changed(&mut self, now: Timestamp) {
        // Where there is one list, nobody has to compare theirs.
        if self.config.topology == Topology::Mesh {
            let due = now + crate::limits::DIGEST_DELAY;
            self.digest_at = Some(self.digest_at.map_or(due, |at| at.min(due)));
        }
        self.near_changed(now);
    }

    fn compare_memberships(&mut self, now: Timestamp) {
        if self.digest_at.is_some_and(|at| at <= now) {
            self.send_digest(now);
            let anyone = self.members.values().any(|member| member.connected);
            self.digest_at = anyone.then_some(now + DIGEST_INTERVAL);
        }
    }
}
