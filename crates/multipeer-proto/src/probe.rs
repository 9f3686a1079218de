//! Finding who is near where multicast does not arrive: by questions that are broadcast, and by asking each address of a
//! small network. What is sent, when and to whom is decided here; the driver has the sockets.
//!
//! - A network on which multicast finds somebody is left alone.
//! - Nobody is asked again and again by those who have been there for long: who comes, asks.
//! - No answer is longer than its question, and it says what an announcement would.
//! - Questions are answered on the own networks, and those to one address alone also from elsewhere on the same site; so many
//!   in a second.

mod finding;
mod message;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use self::{
    finding::{Asked, Pauses},
    message::{Answer, Overheard, Presence, ProbeMessage, Question},
};
use crate::{
    announcement::Announcement,
    id::PeerId,
    limits::{
        ANSWERS_PER_SECOND, MAX_PROBED, MAX_PROBED_HOSTS, PROBE_PORT, PROBE_REFRESH, PROBE_TIMEOUT,
        PROBE_TRIES,
    },
    name::ServiceType,
    network::Network,
    recent::RecentCount,
    time::Timestamp,
    way::Way,
};

/// Questions that were handed on to others on this machine, of late.
const MAX_OVERHEARD: usize = 16;
/// Peers and networks to which it is said that this one goes, at most.
const MAX_FAREWELLS: usize = 64;
/// Pause between two peers that are asked again: many of them take turns.
const REFRESH_SHARE: Duration = Duration::from_millis(1500);

/// A network, and the interface through which it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbedNetwork {
    /// The number that the system has for the interface.
    pub interface: u32,
    /// The network.
    pub network: Network,
}

/// A host that is asked, whatever network it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbedHost {
    /// Its address.
    pub address: IpAddr,
    /// The port of the session's links there, if others are not meant.
    pub port: Option<u16>,
    /// Why it is asked: [`Way::Given`] or [`Way::Remembered`].
    pub way: Way,
}

/// Which socket is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeSocket {
    /// That on [`PROBE_PORT`], which other programs may have, too: questions arrive there.
    Shared,
    /// One of the session's own, on any port: answers arrive there.
    Own,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutput {
    /// Send a datagram; that it may be lost is expected.
    Send {
        /// From which socket.
        from: ProbeSocket,
        /// To which address; a broadcast address, perhaps.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Somebody is there, for the first time or again.
    Found {
        /// What it says.
        announcement: Announcement,
        /// Where it can be reached.
        address: SocketAddr,
        /// Why it was asked.
        way: Way,
    },
    /// Somebody does not answer any more.
    Gone {
        /// Who.
        peer: PeerId,
        /// Why it was asked.
        way: Way,
    },
    /// Nobody was found on a network, and it has too many addresses to ask them all.
    TooLarge {
        /// Which.
        network: Network,
    },
}

/// Finds peers by asking for them. Without any IO.
#[derive(Debug)]
pub struct Prober {
    service: ServiceType,
    /// Makes the tokens: an answer that has none of them was not asked for.
    key: [u8; 32],
    own: Option<Presence>,
    /// Whether others are looked for, and this peer answers them.
    looking: bool,
    /// Whether others are looked for.
    browsing: bool,
    networks: Vec<Asked>,
    hosts: BTreeMap<IpAddr, Asking>,
    found: BTreeMap<PeerId, Found>,
    answered: RecentCount,
    handed_on: RecentCount,
    overheard: VecDeque<(SocketAddr, u64)>,
    outputs: VecDeque<ProbeOutput>,
}

/// A host that is asked.
#[derive(Debug)]
struct Asking {
    port: Option<u16>,
    way: Way,
    pauses: Pauses,
}

/// A peer that was found.
#[derive(Debug)]
struct Found {
    way: Way,
    /// From where it speaks.
    from: SocketAddr,
    /// When to ask it next.
    next: Timestamp,
    /// Questions without an answer.
    unanswered: u32,
}

impl Prober {
    /// Looks for sessions about this. The key is 32 random bytes.
    pub fn new(service: ServiceType, key: [u8; 32]) -> Self {
        Self {
            service,
            key,
            own: None,
            looking: false,
            browsing: false,
            networks: Vec::new(),
            hosts: BTreeMap::new(),
            found: BTreeMap::new(),
            answered: RecentCount::new(Duration::from_secs(1) / ANSWERS_PER_SECOND),
            handed_on: RecentCount::new(Duration::from_secs(1) / ANSWERS_PER_SECOND),
            overheard: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What this peer answers from now on, and the port of its links.
    pub fn announce(&mut self, announcement: Announcement, port: u16) {
        self.own = Some(Presence::new(announcement, port));
    }

    /// Begins to look for others, who are all reported anew, and to answer them.
    pub fn look(&mut self, now: Timestamp) {
        self.looking = true;
        self.browse(now, true);
    }

    /// Begins, or stops, to look for others, while this peer goes on to answer.
    pub fn browse(&mut self, now: Timestamp, browse: bool) {
        self.browsing = browse;
        self.found.clear();
        self.hosts.values_mut().for_each(|asking| asking.pauses = Pauses::from(now));
        for asked in &mut self.networks {
            *asked = Asked::new(now, asked.on);
        }
    }

    /// Stops to look and to answer, and says so to those who may want to know.
    pub fn stop(&mut self) {
        if let Some(own) = self.own.as_ref().filter(|_| self.looking) {
            let bytes = ProbeMessage::farewell(own.record.id);
            let found = self.found.values().map(|found| found.from);
            let everyone = self.networks.iter().filter_map(Asked::farewell_to);
            let to: BTreeSet<SocketAddr> = found.chain(everyone).take(MAX_FAREWELLS).collect();
            self.outputs.extend(to.into_iter().map(|to| ProbeOutput::Send {
                from: ProbeSocket::Own,
                to,
                bytes: bytes.clone(),
            }));
        }
        (self.looking, self.browsing) = (false, false);
        self.found.clear();
    }

    /// The networks to look on, now. One that is new is asked as if looking had just begun.
    pub fn set_networks(
        &mut self,
        now: Timestamp,
        networks: impl IntoIterator<Item = ProbedNetwork>,
    ) {
        let mut former = std::mem::take(&mut self.networks);
        let mut has_new = false;
        for network in networks {
            let known = former.iter().position(|asked| asked.on == network);
            let asked =
                known.map_or_else(|| Asked::new(now, network), |known| former.swap_remove(known));
            has_new |= known.is_none();
            self.networks.push(asked);
        }
        if has_new {
            // Hosts that could not be reached may be now.
            self.hosts.values_mut().for_each(|asking| asking.pauses = Pauses::from(now));
        }
    }

    /// Hosts that are asked, whatever network they are on. At most 64; more are left out.
    pub fn ask_hosts(&mut self, now: Timestamp, hosts: impl IntoIterator<Item = ProbedHost>) {
        for host in hosts {
            let address = host.address.to_canonical();
            if self.hosts.len() < MAX_PROBED_HOSTS || self.hosts.contains_key(&address) {
                let pauses = Pauses::from(now);
                self.hosts.insert(address, Asking { port: host.port, way: host.way, pauses });
            }
        }
    }

    /// Somebody was heard by multicast, at these addresses: where they are, nobody need be asked.
    pub fn heard(&mut self, addresses: &[SocketAddr]) {
        // What another program on this machine says shows nothing of the network.
        let own = self.networks.iter().map(|asked| asked.on.network.address);
        let own: BTreeSet<IpAddr> = own.filter(|address| !address.is_loopback()).collect();
        let others: Vec<IpAddr> =
            addresses.iter().map(SocketAddr::ip).filter(|address| !own.contains(address)).collect();
        for asked in &mut self.networks {
            asked.has_multicast |= others.iter().any(|&address| asked.on.network.contains(address));
        }
    }

    /// Whether somebody was heard by multicast on any network.
    pub fn has_multicast(&self) -> bool {
        self.networks.iter().any(|asked| asked.has_multicast)
    }

    /// Finds out whether a peer is still there.
    pub fn verify(&mut self, now: Timestamp, peer: PeerId) {
        if let Some(found) = self.found.get_mut(&peer).filter(|found| found.unanswered == 0) {
            found.next = now;
        }
    }

    /// A datagram has arrived.
    pub fn handle(&mut self, now: Timestamp, from: SocketAddr, bytes: &[u8]) {
        if !self.looking {
            return;
        }
        match ProbeMessage::parse(bytes) {
            Some(ProbeMessage::Question(question)) if self.may_ask(from.ip(), &question) => {
                self.hand_on(now, from, bytes.len(), &question);
                self.answer(now, from, bytes.len(), question);
            }
            Some(ProbeMessage::Overheard(overheard)) if from.ip().to_canonical().is_loopback() => {
                let Overheard { from, size, question } = overheard;
                if let [from] = from[..]
                    && self.may_ask(from.ip(), &question)
                    && !self.overheard.contains(&(from, question.token))
                {
                    self.answer(now, from, size.into(), question);
                }
            }
            Some(ProbeMessage::Answer(answer)) => self.answered(now, from, &answer),
            Some(ProbeMessage::Farewell(farewell)) => {
                let found = self.found.get(&farewell.peer);
                if found.is_some_and(|found| found.from.ip() == from.ip()) {
                    self.lose(farewell.peer);
                }
            }
            _ => {}
        }
    }

    /// Who may ask: those on the own networks, and devices that are known from before.
    fn is_near(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|asked| asked.on.network.contains(address))
            || self.hosts.contains_key(&address)
    }

    /// Whose question is heard: that of who is near, and one to this address alone from elsewhere on the same site, which
    /// somebody was told by hand.
    fn may_ask(&self, address: IpAddr, question: &Question) -> bool {
        self.is_near(address) || (question.is_direct && is_private(address))
    }

    /// Of the programs on this machine, only one is handed what is sent to one address. It tells the others.
    fn hand_on(&mut self, now: Timestamp, from: SocketAddr, size: usize, question: &Question) {
        if !question.is_direct || self.handed_on.get(now) >= ANSWERS_PER_SECOND {
            return;
        }
        self.handed_on.add(now);
        if self.overheard.len() >= MAX_OVERHEARD {
            self.overheard.pop_front();
        }
        self.overheard.push_back((from, question.token));
        let everyone_here = SocketAddr::from(([127, 255, 255, 255], PROBE_PORT));
        let bytes = ProbeMessage::overheard(from, size, question.clone());
        self.outputs.push_back(ProbeOutput::Send {
            from: ProbeSocket::Own,
            to: everyone_here,
            bytes,
        });
    }

    fn answer(&mut self, now: Timestamp, to: SocketAddr, room: usize, question: Question) {
        let Some(own) = self.own.as_ref().filter(|_| question.service == self.service) else {
            return;
        };
        if question.asker.as_ref().is_some_and(|asker| asker.record.id == own.record.id)
            || self.answered.get(now) >= ANSWERS_PER_SECOND
        {
            return;
        }
        self.answered.add(now);
        if let Some(bytes) = ProbeMessage::answer(question.token, own, room) {
            // From the port that was asked: a firewall lets through what looks like an answer.
            self.outputs.push_back(ProbeOutput::Send { from: ProbeSocket::Shared, to, bytes });
        }
        // Who asks from elsewhere knows the way; this side may have none.
        if let Some(asker) = question.asker.filter(|_| self.is_near(to.ip())) {
            self.note(now, to, &asker);
        }
    }

    fn answered(&mut self, now: Timestamp, from: SocketAddr, answer: &Answer) {
        let asked = [Some(from.ip()), None].map(|target| self.token(target));
        // What is sent to everyone reaches nobody else.
        if asked.contains(&answer.token) && self.is_near(from.ip()) {
            self.note(now, from, &answer.presence);
        }
    }

    /// A peer is there, at the address from which it speaks.
    fn note(&mut self, now: Timestamp, from: SocketAddr, presence: &Presence) {
        let peer = presence.record.id;
        let is_own = self.own.as_ref().is_some_and(|own| own.record.id == peer);
        let has_room = self.found.len() < MAX_PROBED || self.found.contains_key(&peer);
        let host = self.hosts.get(&from.ip().to_canonical());
        let is_meant = host.and_then(|host| host.port).is_none_or(|port| port == presence.port);
        if !self.browsing || is_own || !has_room || !is_meant || presence.port == 0 {
            return;
        }
        let way = host.map_or(Way::Probe, |host| host.way);
        for asked in &mut self.networks {
            asked.has_answers |= asked.on.network.contains(from.ip());
        }
        let pause = PROBE_REFRESH.max(REFRESH_SHARE * u32::try_from(self.found.len()).unwrap_or(1));
        self.found.insert(peer, Found { way, from, next: now + pause, unanswered: 0 });
        let mut address = from;
        address.set_port(presence.port);
        let announcement = presence.record.announcement();
        self.outputs.push_back(ProbeOutput::Found { announcement, address, way });
    }

    fn lose(&mut self, peer: PeerId) {
        if let Some(Found { way, .. }) = self.found.remove(&peer) {
            self.outputs.push_back(ProbeOutput::Gone { peer, way });
        }
    }

    /// What the answer of whoever is asked at this address has to repeat; or of whoever is asked with all others.
    fn token(&self, target: Option<IpAddr>) -> u64 {
        let text = target.map_or_else(String::new, |target| target.to_canonical().to_string());
        let hash = blake3::keyed_hash(&self.key, text.as_bytes());
        let mut token = [0; 8];
        token.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_be_bytes(token)
    }

    fn ask(&mut self, to: SocketAddr, is_direct: bool) {
        let token = self.token(is_direct.then(|| to.ip()));
        let bytes = ProbeMessage::question(&self.service, token, is_direct, self.own.as_ref());
        self.outputs.push_back(ProbeOutput::Send { from: ProbeSocket::Own, to, bytes });
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Timestamp) {
        if !self.browsing {
            return;
        }
        let due = self.hosts.iter_mut().filter(|(_, asking)| asking.pauses.next <= now);
        for address in
            due.map(|(&address, asking)| (asking.pauses.go_on(now), address).1).collect::<Vec<_>>()
        {
            self.ask(SocketAddr::new(address, PROBE_PORT), true);
        }
        for index in 0..self.networks.len() {
            let due = self.networks[index].due(now);
            if let Some(everyone) = due.everyone {
                self.ask(everyone, false);
            }
            for address in due.addresses {
                self.ask(SocketAddr::new(address.into(), PROBE_PORT), true);
            }
            if due.is_too_large {
                let network = self.networks[index].on.network;
                self.outputs.push_back(ProbeOutput::TooLarge { network });
            }
        }
        self.ask_again(now);
    }

    /// Asks those who were found whether they are still there.
    fn ask_again(&mut self, now: Timestamp) {
        let due = self.found.iter().filter(|(_, found)| found.next <= now);
        for peer in due.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            let Some(found) = self.found.get_mut(&peer) else { continue };
            if found.unanswered >= PROBE_TRIES {
                self.lose(peer);
                continue;
            }
            found.unanswered += 1;
            found.next = now + PROBE_TIMEOUT;
            let to = found.from;
            self.ask(to, true);
        }
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<ProbeOutput> {
        self.outputs.pop_front()
    }

    /// When to come back with [`tick`](Self::tick), at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if !self.browsing {
            return None;
        }
        let networks = self.networks.iter().filter_map(Asked::next);
        let hosts = self.hosts.values().map(|asking| asking.pauses.next);
        networks.chain(hosts).chain(self.found.values().map(|found| found.next)).min()
    }
}

/// Whether an address is of a site of its own: RFC 1918, RFC 4193, and those of one link.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Everyone on the link of an interface (RFC 4291, section 2.7.1).
fn all_nodes(interface: u32) -> SocketAddr {
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    SocketAddrV6::new(group, PROBE_PORT, 0, interface).into()
}
