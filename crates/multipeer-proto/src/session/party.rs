//! Several sessions on a network where everything arrives at once, for tests of what takes more than two.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use super::{
    tests::{config, id, started},
    *,
};
use crate::{
    frame::Goodbye,
    limits::LISTEN_INTERVAL,
    trust::{Admission, LinkKeys},
    way::Way,
};

/// Sessions, numbered from 1, and the links between them.
#[derive(Default)]
pub(super) struct Party {
    pub(super) sessions: BTreeMap<u8, Session>,
    pub(super) links: BTreeMap<LinkId, [u8; 2]>,
    next_link: u64,
    pub(super) now: Timestamp,
    pub(super) events: Vec<(u8, Event)>,
    /// Whose invitations came to nothing, and why.
    pub(super) failures: Vec<(u8, InviteError)>,
    /// Those between whom a hub is needed.
    apart: BTreeSet<[u8; 2]>,
    /// Who sent a frame to whom.
    pub(super) frames: Vec<(u8, u8)>,
    /// Those whose applications have something under way on every link.
    pub(super) busy: BTreeSet<u8>,
    /// The relay at which each waits.
    pub(super) homes: BTreeMap<u8, Relay>,
}

/// A moment in 2027, so that what is dated can be early and late.
pub(super) const UNIX: Duration = Duration::from_secs(1_800_000_000);

pub(super) fn address(byte: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, byte], 1))
}

impl Party {
    pub(super) fn of(admissions: impl IntoIterator<Item = Admission>) -> Self {
        let mut party = Self::default();
        for (byte, admission) in (1..).zip(admissions) {
            party.add(Config { admission, ..config(byte) }, byte);
        }
        party
    }

    pub(super) fn add(&mut self, config: Config, byte: u8) {
        let config = Config { joining: Joining::Ask, unix_start: UNIX, ..config };
        self.sessions.insert(byte, started(config));
        self.input(byte, Input::OwnAddresses(vec![address(byte)]));
    }

    pub(super) fn command(&mut self, byte: u8, command: Command) {
        self.input(byte, Input::Command(command));
        self.run();
    }

    pub(super) fn input(&mut self, byte: u8, input: Input) {
        self.sessions.get_mut(&byte).unwrap().handle(self.now, input);
    }

    /// One hears of the other.
    pub(super) fn announce(&mut self, to: u8, of: u8) {
        let PeerInfo { id: peer, name, info, .. } = PeerInfo::unnamed(id(of));
        let announcement = Announcement { peer, name: Some(name), info, tags: None, role: None };
        self.input(
            to,
            Input::Discovered { announcement, addresses: vec![address(of)], way: Way::Mdns },
        );
    }

    pub(super) fn invite(&mut self, from: u8, to: u8) {
        self.announce(from, to);
        let invitation = InvitationId(u64::from(to));
        let timeout = Duration::from_secs(30);
        let context = Bytes::new();
        self.command(from, Command::Invite { invitation, peer: id(to), context, timeout });
    }

    pub(super) fn remove(&mut self, by: u8, subject: u8, text: &str) {
        let command = Command::Remove { peer: id(subject), text: text.to_owned() };
        self.command(by, command);
    }

    /// Lets time pass, with everything that is due.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for turn in 0.. {
            assert!(turn < 10_000, "somebody wants to be woken over and over");
            let due = self.sessions.values().filter_map(Session::poll_timeout).min();
            self.now = due.filter(|&at| at < end).unwrap_or(end).max(self.now);
            for byte in self.bytes() {
                self.input(byte, Input::Tick);
            }
            self.run();
            if self.now >= end {
                return;
            }
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.sessions.keys().copied().collect()
    }

    pub(super) fn run(&mut self) {
        let mut outputs = 0;
        while let Some((byte, output)) =
            self.sessions.iter_mut().find_map(|(&byte, session)| Some((byte, session.poll()?)))
        {
            outputs += 1;
            assert!(outputs < 10_000, "no end of it: {byte} wants {output:?}");
            self.carry_out(byte, output);
        }
    }

    pub(super) fn carry_out(&mut self, byte: u8, output: Output) {
        match output {
            Output::Dial { peer, attempt, relays, .. } => {
                let other = peer.as_bytes()[0];
                let apart = self.are_apart(byte, other);
                // Where both wait at the same relay, there is a way.
                let homes = [byte, other].map(|byte| self.homes.get(&byte).map(|home| home.hub));
                let hub = relays.iter().any(|relay| homes == [Some(relay.hub); 2]);
                if apart && !hub {
                    let error = DialError::Failed("no answer".to_owned());
                    return self.input(byte, Input::DialFailed { peer, attempt, error });
                }
                self.next_link += 1;
                let link = LinkId(self.next_link);
                self.links.insert(link, [byte, other]);
                let [number, ..] = self.next_link.to_le_bytes();
                for (side, peer, direction) in [
                    (byte, other, Direction::Dialled { attempt }),
                    (other, byte, Direction::Accepted),
                ] {
                    let keys = LinkKeys::new([number; 32], [number ^ side; 32]);
                    let remote = (!apart).then(|| address(peer));
                    let peer = id(peer);
                    let up = Input::LinkUp { link, peer, direction, remote, keys };
                    self.input(side, up);
                }
            }
            Output::SendFrame { link, frame } => {
                if let Some(to) = self.other_end(link, byte) {
                    self.frames.push((byte, to));
                    self.input(to, Input::Frame { link, frame });
                }
            }
            Output::CloseLink { link, reason, text } => {
                if let Some(to) = self.other_end(link, byte) {
                    let frame = Frame::Goodbye(Goodbye { reason, text });
                    self.input(to, Input::Frame { link, frame });
                    self.input(to, Input::LinkDown { link });
                    self.links.remove(&link);
                }
            }
            Output::Pause { peer, link } => {
                let quiet = !self.busy.contains(&byte);
                self.input(byte, Input::Paused { peer, link, quiet });
            }
            Output::UseRelays(relays) => match relays.first() {
                Some(&home) => _ = self.homes.insert(byte, home),
                None => _ = self.homes.remove(&byte),
            },
            Output::Event(event) => self.events.push((byte, event)),
            Output::InviteAnswered { result: Err(error), .. } => self.failures.push((byte, error)),
            _ => {}
        }
    }

    /// Everyone listens for so long, and hears whoever is linked.
    pub(super) fn listen(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.wait(LISTEN_INTERVAL);
            for byte in self.bytes() {
                let links = self.links.iter().filter(|(_, ends)| ends.contains(&byte));
                let links = links.map(|(&link, _)| link).collect();
                self.input(byte, Input::Heard { links, used: Vec::new() });
            }
            self.run();
        }
    }

    /// Whose links to one of them there are.
    pub(super) fn linked(&self, byte: u8) -> Vec<u8> {
        let ends = self.links.values().filter(|ends| ends.contains(&byte));
        let mut linked: Vec<u8> = ends.map(|&[a, b]| if a == byte { b } else { a }).collect();
        linked.sort_unstable();
        linked
    }

    /// Has two be where they cannot reach each other, from now on.
    pub(super) fn part(&mut self, a: u8, b: u8) {
        self.apart.insert([a.min(b), a.max(b)]);
        self.cut(a, b);
    }

    fn are_apart(&self, a: u8, b: u8) -> bool {
        self.apart.contains(&[a.min(b), a.max(b)])
    }

    pub(super) fn other_end(&self, link: LinkId, byte: u8) -> Option<u8> {
        let [a, b] = *self.links.get(&link)?;
        Some(if a == byte { b } else { a })
    }

    /// Cuts every link between two.
    pub(super) fn cut(&mut self, a: u8, b: u8) {
        let between = |ends: &[u8; 2]| ends.contains(&a) && ends.contains(&b);
        let links = self.links.iter().filter(|(_, ends)| between(ends));
        for link in links.map(|(&link, _)| link).collect::<Vec<_>>() {
            self.links.remove(&link);
            self.input(a, Input::LinkDown { link });
            self.input(b, Input::LinkDown { link });
        }
    }

    pub(super) fn peers(&self, byte: u8) -> Vec<u8> {
        self.sessions[&byte].peers().map(|peer| peer.id.as_bytes()[0]).collect()
    }

    pub(super) fn verified(&self, byte: u8, of: u8) -> Option<Verified> {
        self.sessions[&byte].verified(id(of)).cloned()
    }

    /// Why the peer was disconnected, as one was told.
    pub(super) fn reasons(&self, byte: u8, of: u8) -> Vec<DisconnectReason> {
        let reasons = self.events.iter().filter_map(|(at, event)| match event {
            Event::Disconnected { peer, reason } if (*at, peer.id) == (byte, id(of)) => {
                Some(reason.clone())
            }
            _ => None,
        });
        reasons.collect()
    }

    pub(super) fn failures(&self, byte: u8) -> Vec<InviteError> {
        let failures = self.failures.iter().filter(|(at, _)| *at == byte);
        failures.map(|(_, error)| error.clone()).collect()
    }

    /// Takes every invitation that has been reported.
    pub(super) fn accept_all(&mut self) {
        for (byte, event) in std::mem::take(&mut self.events) {
            if let Event::Invitation { peer, invitation, .. } = &event {
                let (peer, invitation) = (peer.id, *invitation);
                let answer = Command::AnswerInvitation { peer, invitation, decline: None };
                self.command(byte, answer);
            }
            self.events.push((byte, event));
        }
        self.run();
    }

    pub(super) fn bring_in(&mut self, by: u8, whom: u8) {
        self.invite(by, whom);
        self.accept_all();
    }
}
