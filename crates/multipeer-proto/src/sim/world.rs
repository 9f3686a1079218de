//! The event loop: virtual time, hosts, and what passes between them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    Failure, Options, Report, Run, Violation,
    check::Checker,
    farewell::Farewell,
    host::{Host, config_of},
    network::{ConnectionId, Connections, Packet, Side, Stream},
    scenario::{Room, Scenario},
};
use crate::{
    Announcement, Command, DialError, Event, Frame, Input, InvitationId, Joining, Output, PeerId,
    Relay, Timestamp,
};

/// Steps of one run: far more than any that makes progress.
const MAX_STEPS: u64 = 2_000_000;
/// How long a packet that cannot get through waits until it is sent again.
pub(super) const RETRANSMIT: Duration = Duration::from_millis(50);

/// An address at which nobody answers.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), 9);

/// The port of every hub's relay.
const RELAY_PORT: u16 = 3340;

/// Where a host is.
pub(super) fn address_of(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(host).unwrap_or(0)], 1))
}

pub(super) type Result<T = ()> = std::result::Result<T, Violation>;

#[derive(Debug)]
pub(super) enum Happening {
    Wake {
        run: Run,
    },
    Arrive {
        connection: ConnectionId,
        side: Side,
        stream: Stream,
    },
    Datagram {
        connection: ConnectionId,
        side: Side,
        payload: Bytes,
    },
    LinkUp {
        connection: ConnectionId,
        side: Side,
    },
    LinkDown {
        connection: ConnectionId,
        side: Side,
    },
    /// The end's connection has been silent for as long as the transport waits.
    IdleTimeout {
        connection: ConnectionId,
        side: Side,
    },
    Connect {
        from: Run,
        peer: PeerId,
        attempt: u64,
        /// Whether one of the addresses that are dialled is the peer's.
        leads_there: bool,
        relays: Vec<Relay>,
    },
    DialFailed {
        from: Run,
        peer: PeerId,
        attempt: u64,
    },
    Announce {
        run: Run,
    },
    /// The host looks which links have brought something.
    Listen {
        run: Run,
    },
    Hear {
        run: Run,
        announcement: Announcement,
    },
    Verified {
        run: Run,
        peer: PeerId,
    },
    Input {
        run: Run,
        input: Box<Input>,
    },
    Invite {
        run: Run,
        peer: PeerId,
    },
    Start {
        host: usize,
    },
    Restart {
        host: usize,
        id: PeerId,
    },
    Fault,
    Heal,
    CheckHealed {
        stable_since: Option<Timestamp>,
    },
    CheckRest,
    EndVanishing,
    EndFarewell,
}

pub(super) struct World {
    pub(super) options: Options,
    pub(super) random: ChaCha8Rng,
    pub(super) now: Timestamp,
    pub(super) hosts: Vec<Option<Host>>,
    /// The part of the network that each host is in.
    pub(super) parts: Vec<u8>,
    pub(super) connections: Connections,
    pub(super) report: Report,
    pub(super) checker: Checker,
    pub(super) healing_since: Option<Timestamp>,
    pub(super) ids: u64,
    pub(super) joining: Joining,
    pub(super) window: Duration,
    pub(super) rest_after: Duration,
    /// When some of those who had found together went to the background, ...
    pub(super) settling_since: Option<Timestamp>,
    /// ... and who.
    pub(super) background: BTreeSet<Run>,
    pub(super) scenario: Scenario,
    /// The room of each id that there ever was.
    pub(super) rooms: BTreeMap<PeerId, Room>,
    /// What forgers may replay.
    pub(super) overheard: Vec<Frame>,
    /// Whether somebody was removed: of two that remove each other at once either may stay.
    pub(super) has_removed: bool,
    pub(super) farewell: Option<Farewell>,
    /// Those who are gone for good, of whom everyone must have noticed it in the end.
    pub(super) vanished: Vec<Run>,
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    pub(super) scheduled: u64,
    pub(super) done: bool,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let scenario = Scenario::of_seed(options.seed);
        let peers = random.random_range(2..=options.max_peers.max(2)).min(scenario.max_hosts());
        let joining = if random.random_bool(0.3) { Joining::Ask } else { Joining::Automatic };
        let window = Duration::from_secs(random.random_range(2..=20));
        let rest_after = Duration::from_millis(random.random_range(500..=3000));
        let mut world = Self {
            options,
            random,
            now: Timestamp::ZERO,
            hosts: (0..peers).map(|_| None).collect(),
            parts: vec![0; peers],
            connections: BTreeMap::new(),
            report: Report::default(),
            checker: Checker::default(),
            healing_since: None,
            ids: 0,
            joining,
            window,
            rest_after,
            scenario,
            rooms: BTreeMap::new(),
            overheard: Vec::new(),
            has_removed: false,
            farewell: None,
            vanished: Vec::new(),
            settling_since: None,
            background: BTreeSet::new(),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            scheduled: 0,
            done: false,
        };
        for host in 0..peers {
            world.within(0, 2000, Happening::Start { host });
        }
        let chaos = world.random.random_range(5000..25_000);
        for _ in 0..chaos / 400 {
            world.within(0, chaos, Happening::Fault);
        }
        world.after(Duration::from_millis(chaos), Happening::Heal);
        world
    }

    pub(super) fn run(mut self) -> std::result::Result<Report, Failure> {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            let Some(happening) = self.happenings.remove(&number) else {
                continue;
            };
            self.now = at;
            self.report.steps += 1;
            self.log(|| format!("{happening:?}"));
            let step = self.step(happening);
            let spins = self.report.steps > MAX_STEPS;
            if let Err(violation) = step.and(if spins { Err(Violation::Spins) } else { Ok(()) }) {
                let (seed, at) = (self.options.seed, self.now.since_start());
                return Err(Failure { seed, at, violation: Box::new(violation) });
            }
            if self.done {
                break;
            }
        }
        self.report.peers = self.runs().len();
        Ok(self.report)
    }

    fn step(&mut self, happening: Happening) -> Result {
        match happening {
            Happening::Wake { run } => self.input(run, Input::Tick),
            Happening::Arrive { connection, side, stream } => self.arrive(connection, side, stream),
            Happening::Datagram { connection, side, payload } => {
                self.datagram(connection, side, &payload)
            }
            Happening::LinkUp { connection, side } => self.link_up(connection, side),
            Happening::LinkDown { connection, side } => self.link_down(connection, side),
            Happening::IdleTimeout { connection, side } => {
                if self.is_stalled(connection) {
                    return self.link_down(connection, side);
                }
                Ok(())
            }
            Happening::Connect { from, peer, attempt, leads_there, relays } => {
                self.connect(from, peer, attempt, leads_there, &relays);
                Ok(())
            }
            Happening::DialFailed { from, peer, attempt } => {
                let error = DialError::Failed("no answer".to_owned());
                self.input(from, Input::DialFailed { peer, attempt, error })
            }
            Happening::Announce { run } => {
                self.announce(run);
                Ok(())
            }
            Happening::Listen { run } => self.listen(run),
            Happening::Hear { run, announcement } => self.hear(run, announcement),
            Happening::Verified { run, peer } => self.verified(run, peer),
            Happening::Input { run, input } => self.input(run, *input),
            Happening::Invite { run, peer } => self.invite(run, peer),
            Happening::Start { host } => self.start(host, None),
            Happening::Restart { host, id } => self.start(host, Some(id)),
            Happening::Fault => self.fault(),
            Happening::Heal => self.heal(),
            Happening::CheckHealed { stable_since } => self.check_healed(stable_since),
            Happening::CheckRest => self.check_rest(),
            Happening::EndVanishing => self.end_vanishing(),
            Happening::EndFarewell => self.end_farewell(),
        }
    }

    // Time.

    pub(super) fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    pub(super) fn at(&mut self, at: Timestamp, happening: Happening) {
        self.scheduled += 1;
        self.queue.push(Reverse((at.max(self.now), self.scheduled)));
        self.happenings.insert(self.scheduled, happening);
    }

    /// Somewhen between so many and so many milliseconds from now.
    pub(super) fn within(&mut self, least: u64, most: u64, happening: Happening) {
        let delay = self.millis(least, most);
        self.after(delay, happening);
    }

    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_micros(self.random.random_range(least * 1000..=most * 1000))
    }

    /// The latency of one packet: mostly small, at times long.
    pub(super) fn latency(&mut self) -> Duration {
        if self.random.random_bool(0.05) { self.millis(50, 800) } else { self.millis(1, 20) }
    }

    pub(super) fn log(&self, line: impl FnOnce() -> String) {
        if self.options.log {
            println!("{:>9.3} {}", self.now.since_start().as_secs_f64(), line());
        }
    }

    // Hosts.

    pub(super) fn index_of(&self, run: Run) -> Option<usize> {
        self.hosts.iter().position(|host| host.as_ref().is_some_and(|host| host.run == run))
    }

    pub(super) fn runs(&self) -> Vec<Run> {
        self.hosts.iter().flatten().filter(|host| !host.over).map(|host| host.run).collect()
    }

    pub(super) fn run_of(&self, peer: PeerId) -> Option<Run> {
        self.runs().into_iter().find(|run| run.id == peer)
    }

    pub(super) fn reachable(&self, a: usize, b: usize) -> bool {
        self.parts[a] == self.parts[b] && self.scenario.are_neighbours(a, b)
    }

    /// Starts a host, under the id that is given or a new one.
    pub(super) fn start(&mut self, host: usize, id: Option<PeerId>) -> Result {
        if self.hosts[host].as_ref().is_some_and(|host| !host.over) {
            return Ok(());
        }
        self.ids += 1;
        let id = id.unwrap_or_else(|| PeerId::from_bytes(self.random.random()));
        let run = Run { id, incarnation: self.ids };
        let room = self.scenario.room(host);
        if room == Room::Forger && self.healing_since.is_some() {
            return Ok(());
        }
        self.rooms.insert(id, room);
        let mut config = config_of(run);
        (config.joining, config.reconnect_window) = (self.joining, self.window);
        config.rest_after = self.rest_after;
        config.admission = self.scenario.admission(host, self.hosts.len());
        config.topology = self.scenario.topology(host);
        config.relay_port = self.scenario.is_hub(host).then_some(RELAY_PORT);
        self.hosts[host] = Some(Host::new(run, config));
        let address = address_of(host);
        self.input(run, Input::OwnAddresses(vec![address]))?;
        self.input(run, Input::Command(Command::StartLooking))?;
        self.within(0, 100, Happening::Announce { run });
        self.within(0, 500, Happening::Listen { run });
        Ok(())
    }

    /// Hands an input to a host, if it still runs, and does what comes of it.
    pub(super) fn input(&mut self, run: Run, input: Input) -> Result {
        let Some(index) = self.index_of(run) else {
            return Ok(());
        };
        let now = self.now;
        let Some(host) = &mut self.hosts[index] else {
            return Ok(());
        };
        host.confirm(now);
        host.session.handle(now, input);
        while let Some(host) = &mut self.hosts[index]
            && let Some(output) = host.session.poll()
        {
            self.log(|| format!("    {run}: {output:?}"));
            self.output(index, run, output)?;
        }
        let Some(host) = &mut self.hosts[index] else {
            return Ok(());
        };
        host.check_bounds(self.scenario == Scenario::Forgers)?;
        if let Some(at) = host.poll_timeout()
            && host.wake_at.is_none_or(|wake_at| at < wake_at || wake_at <= now)
        {
            host.wake_at = Some(at);
            // A deadline that has passed would come again at once, for ever.
            self.at(at.max(now + Duration::from_micros(1)), Happening::Wake { run });
        }
        Ok(())
    }

    fn output(&mut self, index: usize, run: Run, output: Output) -> Result {
        match output {
            Output::Dial { peer, attempt, addresses, relays, .. } => {
                if let Some(host) = &mut self.hosts[index] {
                    host.at_relays.extend(relays.iter().map(|relay| relay.hub));
                }
                let latency = self.latency() + self.latency();
                let leads_there = addresses.iter().any(|&address| address != NOWHERE);
                let dial = Happening::Connect { from: run, peer, attempt, leads_there, relays };
                self.after(latency, dial);
            }
            Output::SendFrame { link, frame } => {
                let frame = self.forge(run.id, frame);
                self.transmit(index, link, Stream::Control, Packet::Control(frame));
            }
            Output::CloseLink { link, reason, text } => self.close(index, link, reason, text)?,
            Output::Attach { peer, link, fresh, received, .. } => {
                return self.attach(index, peer, link, fresh, received);
            }
            Output::Confirmed { peer, received } => {
                self.confirmed(index, run, peer, received)?;
            }
            Output::Pause { peer, link } => self.pause(index, run, peer, link),
            Output::Resume { peer } => {
                if let Some(lane) = self.lane(index, peer) {
                    lane.paused = false;
                }
            }
            Output::Drain { peer } => {
                if let Some(lane) = self.lane(index, peer) {
                    lane.draining = true;
                }
                self.check_drained(index, run, peer);
            }
            Output::Detach { peer } => self.detach(index, run, peer),
            Output::Look(announced) => {
                if let Some(host) = &mut self.hosts[index] {
                    host.announced = announced;
                }
            }
            Output::Announce(_) | Output::Browse(_) | Output::Pong { .. } => {}
            Output::Serve => self.cut_off_at_relays(),
            Output::UseRelays(relays) => {
                let hubs: Vec<PeerId> = relays.iter().map(|relay| relay.hub).collect();
                if let Some(host) = &mut self.hosts[index] {
                    host.at_relays.retain(|hub| hubs.contains(hub));
                    host.relays = hubs;
                }
                self.cut_off_at_relays();
            }
            Output::Verify { peer } => {
                self.within(100, 3000, Happening::Verified { run, peer });
            }
            Output::InviteAnswered { result, invitation: InvitationId(number) } => {
                if result.is_err() {
                    let host = self.hosts[index].as_ref();
                    if let Some(&peer) = host.and_then(|host| host.invited.get(&number)) {
                        self.within(500, 4000, Happening::Invite { run, peer });
                    }
                }
            }
            Output::Event(event) => return self.event(index, run, event),
            Output::Left => {
                if let Some(host) = &mut self.hosts[index] {
                    host.over = true;
                }
                self.relay_gone(run);
                self.within(200, 3000, Happening::Start { host: index });
            }
        }
        Ok(())
    }

    fn event(&mut self, index: usize, run: Run, event: Event) -> Result {
        let looking = self.hosts[index].as_ref().is_some_and(|host| host.announced);
        match event {
            Event::PeerFound(peer) => {
                self.checker.found(run, peer.id, looking)?;
                self.within(0, 500, Happening::Invite { run, peer: peer.id });
            }
            Event::PeerLost(peer) => self.checker.lost(run, peer.id, looking)?,
            Event::Connected(peer) => {
                self.report.connections += 1;
                let rooms = [run.id, peer.id].map(|id| self.rooms.get(&id));
                if rooms[0] != rooms[1] && !self.is_forger(run.id) {
                    return Err(Violation::NotAdmitted { at: run, peer: peer.id });
                }
                self.checker.connected(run, peer.id)?;
            }
            Event::ViabilityChanged { peer, viable } => {
                self.checker.viability(run, peer, viable)?;
            }
            Event::Disconnected { peer, reason } => {
                self.checker.disconnected(run, peer.id)?;
                self.heard_farewell(run, peer.id, &reason)?;
                self.within(0, 3000, Happening::Invite { run, peer: peer.id });
            }
            Event::Invitation { peer, invitation, .. } => {
                let willing = self.healing_since.is_some() || self.random.random_bool(0.8);
                let decline = (!willing).then(|| "not now".to_owned());
                let answer = Command::AnswerInvitation { peer: peer.id, invitation, decline };
                let input = Box::new(Input::Command(answer));
                self.within(0, 2000, Happening::Input { run, input });
            }
            Event::PeerUpdated(_)
            | Event::Connecting(_)
            | Event::InvitationFailed { .. }
            | Event::ProofsRefused { .. }
            | Event::Nudged { .. }
            | Event::ActivityChanged { .. }
            | Event::RemovalRefused { .. }
            | Event::CertificateShown { .. }
            | Event::InvitationWithdrawn { .. } => {}
        }
        Ok(())
    }

    /// What a user does in a session where the application asks.
    fn invite(&mut self, run: Run, peer: PeerId) -> Result {
        let Some(index) = self.index_of(run) else {
            return Ok(());
        };
        let Some(host) = &mut self.hosts[index] else {
            return Ok(());
        };
        let wanted = host.joining == Joining::Ask
            && host.session.nearby().any(|nearby| nearby.id == peer)
            && !host.session.peers().any(|member| member.id == peer);
        if !wanted {
            return Ok(());
        }
        host.next_invitation += 1;
        let invitation = InvitationId(host.next_invitation);
        host.invited.insert(host.next_invitation, peer);
        let timeout = Duration::from_secs(self.random.random_range(1..20));
        let context = Bytes::from_static(b"join us");
        self.input(run, Input::Command(Command::Invite { invitation, peer, context, timeout }))
    }
}
