//! The state machine: whatever peers send that it has met, in whatever order, it stays bounded and sane.
#![no_main]

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use multipeer_proto::{
    Activity, Command, Config, DialError, Direction, DisplayName, Event, Frame, FrameDecoder,
    Input, InvitationId, Joining, LinkId, Output, PeerId, Role, ServiceType, Session, Timestamp,
    Topology,
    trust::{Admission, Keys, LinkKeys},
};

/// What is attacked: each kind of session.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Mesh,
    Asking,
    Hub,
    Host,
    Client,
    /// It asks for a passcode, which nobody here has.
    Closed,
}

const KINDS: [Kind; 6] =
    [Kind::Mesh, Kind::Asking, Kind::Hub, Kind::Host, Kind::Client, Kind::Closed];

/// A session of this kind.
fn config(kind: Kind) -> Config {
    let mut config = peer(7);
    match kind {
        Kind::Mesh => {}
        Kind::Asking => config.joining = Joining::Ask,
        Kind::Hub => config.relay_port = Some(3340),
        Kind::Host => config.topology = Topology::ClientServer { role: Role::Host },
        Kind::Client => config.topology = Topology::ClientServer { role: Role::Client },
        Kind::Closed => config.admission = Admission::passcode("481-516"),
    }
    config
}

/// One whom a session of this kind may meet.
fn other(kind: Kind, byte: u8) -> Config {
    let mut config = peer(byte);
    config.topology = match kind {
        Kind::Host => Topology::ClientServer { role: Role::Client },
        Kind::Client => Topology::ClientServer { role: Role::Host },
        _ => Topology::Mesh,
    };
    config.relay_port = (byte == 9).then_some(3340);
    config
}

fn peer(byte: u8) -> Config {
    let service = ServiceType::new("fuzz").unwrap();
    let name = DisplayName::new("Fuzz").unwrap();
    Config::new(Keys::from_secret(&[byte; 32]), service, name, 1)
}

struct Attack {
    kind: Kind,
    session: Session,
    now: Timestamp,
    connected: BTreeSet<PeerId>,
    /// Those at the other ends of its links, for whom the attacker speaks, too.
    others: [Session; 2],
    /// The links to them that were made last.
    links: [LinkId; 2],
    /// What they said, to be replayed.
    said: Vec<Frame>,
    invitations: u64,
}

impl Attack {
    /// The session, and two others who are as far with it as honest peers come.
    fn new(kind: Kind) -> Self {
        let sessions = [config(kind), other(kind, 1), other(kind, 9)].map(|config| {
            let mut session = Session::new(config);
            session.handle(Timestamp::ZERO, Input::Command(Command::StartLooking));
            session
        });
        let [session, first, second] = sessions;
        let mut attack = Self {
            kind,
            session,
            now: Timestamp::ZERO,
            connected: BTreeSet::new(),
            others: [first, second],
            links: [LinkId(1), LinkId(2)],
            said: Vec::new(),
            invitations: 0,
        };
        for side in [0, 1] {
            attack.meet(side);
            attack.invite(side);
        }
        attack.answer();
        assert_eq!(attack.connected.is_empty(), kind == Kind::Closed, "honest peers come in");
        attack
    }

    /// The two are linked, for the first time or again.
    fn meet(&mut self, side: usize) {
        let link = LinkId(self.links[side].0 + 2);
        self.links[side] = link;
        let dialled = Direction::Dialled { attempt: link.0 };
        let (here, there) =
            if side == 0 { (Direction::Accepted, dialled) } else { (dialled, Direction::Accepted) };
        let up = |peer, direction, random| {
            let keys = LinkKeys::new([side as u8; 32], [random; 32]);
            Input::LinkUp { link, peer, direction, remote: None, keys }
        };
        let (me, peer) = (self.session.id(), self.others[side].id());
        self.others[side].handle(self.now, up(me, there, 4));
        self.handle(up(peer, here, 3));
    }

    /// Each of the others answers what was said to it, a few times.
    fn answer(&mut self) {
        for _ in 0..4 {
            for side in [0, 1] {
                while let Some(output) = self.others[side].poll() {
                    if let Output::SendFrame { link, frame } = output {
                        if self.said.len() < 256 {
                            self.said.push(frame.clone());
                        }
                        self.handle(Input::Frame { link, frame });
                    }
                }
            }
        }
    }

    /// One invites the other: clients are invited by their host.
    fn invite(&mut self, side: usize) {
        self.invitations += 1;
        let invite = |peer| Command::Invite {
            invitation: InvitationId(self.invitations),
            peer,
            context: Bytes::new(),
            timeout: Duration::from_secs(30),
        };
        let (me, peer) = (self.session.id(), self.others[side].id());
        if self.kind == Kind::Client {
            self.others[side].handle(self.now, Input::Command(invite(me)));
        } else {
            self.command(invite(peer));
        }
    }

    fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    /// Lets something happen to the session, and does what it asks for.
    fn handle(&mut self, input: Input) {
        self.session.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.session.poll() {
            outputs += 1;
            assert!(outputs < 10_000, "one input made ten thousand outputs");
            self.carry_out(output);
        }
        assert!(self.session.table_sizes().iter().all(|&size| size <= 1024));
    }

    fn carry_out(&mut self, output: Output) {
        let is_entry = matches!(output, Output::Event(Event::Connected(_)) | Output::Attach { .. });
        assert!(!is_entry || self.kind != Kind::Closed, "a stranger without the passcode is in");
        match output {
            Output::Event(Event::Connected(peer)) => {
                assert!(self.connected.insert(peer.id), "connected twice");
            }
            Output::Event(Event::Disconnected { peer, .. }) => {
                assert!(self.connected.remove(&peer.id), "disconnected without connected");
            }
            Output::SendFrame { link: on, frame } => {
                let side = usize::from(on.0 % 2 == 0);
                self.others[side].handle(self.now, Input::Frame { link: on, frame });
            }
            Output::Dial { peer, attempt, .. } => {
                let error = DialError::Failed("nobody is there".to_owned());
                self.session.handle(self.now, Input::DialFailed { peer, attempt, error });
            }
            Output::Pause { peer, link } => {
                let quiet = self.invitations % 2 == 0;
                self.session.handle(self.now, Input::Paused { peer, link, quiet });
            }
            Output::Drain { peer } => self.session.handle(self.now, Input::Drained { peer }),
            _ => {}
        }
    }

    /// The application, or the network, does something.
    fn act(&mut self, what: u8, side: usize) {
        let peer = self.others[side].id();
        match what % 16 {
            0 => self.command(Command::StopLooking),
            1 => self.command(Command::StartLooking),
            2 => self.command(Command::SetActivity(Activity::Background)),
            3 => self.command(Command::SetActivity(Activity::Foreground)),
            4 => self.invite(side),
            5 => self.handle(Input::Heard {
                links: vec![self.links[side]],
                used: vec![self.links[side]],
            }),
            6 => self.handle(Input::Heard { links: vec![self.links[side]], used: Vec::new() }),
            7 => self.handle(Input::LinkDown { link: self.links[side] }),
            8 => self.handle(Input::Wanted { peer }),
            9 => self.command(Command::Remove { peer, text: "away".to_owned() }),
            10 => self.command(Command::Nudge { peer, text: "look".to_owned() }),
            11 => self.command(Command::Leave),
            12 => self.handle(Input::Behind(side == 0)),
            13 => self.now = self.now + Duration::from_mins(1),
            14 => self.meet(side),
            _ => self.handle(Input::Tick),
        }
    }
}

/// Frames in which every byte is the attacker's.
fn frames_of(bytes: &[u8]) -> Vec<Frame> {
    let mut decoder = FrameDecoder::default();
    decoder.extend(bytes);
    std::iter::from_fn(|| decoder.poll_frame().ok().flatten()).collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, data)) = data.split_first() else { return };
    let mut attack = Attack::new(KINDS[usize::from(kind) % KINDS.len()]);
    for piece in data.chunks(97) {
        // Who, what kind of thing, and how long it takes.
        let (head, body) = (piece[0], &piece[1..]);
        let side = usize::from(head & 1);
        let link = attack.links[side];
        attack.now = attack.now + Duration::from_millis(u64::from(head >> 3) * 40);
        match head >> 1 & 3 {
            0 => body.iter().for_each(|&what| attack.act(what, side)),
            1 => {
                for &which in body {
                    if let Some(frame) = attack.said.get(usize::from(which)).cloned() {
                        attack.handle(Input::Frame { link, frame });
                    }
                }
            }
            _ => {
                for frame in frames_of(body) {
                    attack.handle(Input::Frame { link, frame });
                }
            }
        }
        attack.answer();
    }
});
