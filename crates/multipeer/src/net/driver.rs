//! The task that owns the session.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use iroh::{
    Endpoint, EndpointAddr,
    endpoint::{Incoming, IncomingAddr, VarInt},
};
use multipeer_proto::{
    Command, DialError, Direction, GoodbyeReason, Input, InvitationId, InviteError, Knock, LinkId,
    Origin, PeerId, Session, Timestamp, Turnstile, message::Datagram,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, Interval, sleep_until, timeout},
};
use tracing::{debug, trace};

use super::{
    Gate, Renewal, Request, endpoint,
    gate::link_keys,
    home::Home,
    link::{self, Link, LinkInput},
    listening,
    shared::Shared,
    view::Changed,
};
use crate::{
    discovery::{self, Discovery, DiscoveryEvent},
    event::Event,
    hub::RelayServer,
    identity::peer_of,
    interfaces::Interfaces,
    path::{Ends, Route},
    peer::Peer,
    resource,
    session::PingMode,
};

/// Reports of links that wait for the session task.
const MAX_WAITING_INPUTS: usize = 1024;
/// Time for an incoming connection to prove itself.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pings that wait for their answer.
const MAX_PINGS: usize = 256;
/// Time for links to say goodbye, and for the endpoint to close.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the driver is made of.
pub(crate) struct Parts {
    pub(crate) session: Session,
    pub(crate) endpoint: Endpoint,
    pub(crate) discovery: Box<dyn Discovery>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    pub(crate) requests_sender: mpsc::WeakUnboundedSender<Request>,
    pub(crate) gate: Gate,
    pub(crate) port: u16,
    /// The addresses on which this peer can be reached.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether and how the id is renewed.
    pub(crate) renewal: Option<Renewal>,
    /// Where others hand this peer packets for each other, if it is a hub.
    pub(crate) relay: Option<RelayServer>,
    pub(crate) max_message_bytes: usize,
    pub(crate) interfaces: Interfaces,
}

/// The task that owns the session, and everything that it looks after.
pub(crate) struct Driver {
    pub(super) session: Session,
    pub(super) endpoint: Endpoint,
    pub(super) discovery: Box<dyn Discovery>,
    pub(super) shared: Arc<Shared>,
    pub(super) gate: Gate,
    requests: mpsc::UnboundedReceiver<Request>,
    /// Weak, so that the session ends when the application has dropped all its handles.
    pub(super) requests_sender: mpsc::WeakUnboundedSender<Request>,
    inputs: mpsc::Receiver<LinkInput>,
    pub(super) inputs_sender: mpsc::Sender<LinkInput>,
    pub(super) links: BTreeMap<LinkId, Link>,
    /// Which link carries a peer's messages.
    pub(super) lane_links: BTreeMap<PeerId, LinkId>,
    next_link: u64,
    /// Invitations that wait for their answer.
    pub(super) invitations: BTreeMap<InvitationId, oneshot::Sender<Result<Peer, InviteError>>>,
    pings: BTreeMap<(PeerId, u64), oneshot::Sender<()>>,
    next_ping: u64,
    /// A peer that is connected as soon as its lane is attached.
    pub(super) connecting: Option<Peer>,
    /// What the application is to be told once the session's view shows it.
    pub(super) happened: Vec<Event>,
    /// What a peer that is being disconnected had not confirmed; goes into the event.
    pub(super) unconfirmed: Vec<Bytes>,
    /// Dials and handshakes.
    pub(super) tasks: JoinSet<()>,
    /// Those that serve links.
    link_tasks: JoinSet<()>,
    turnstile: Turnstile,
    looks: Interval,
    /// Which way the packets to each peer took at the last look, and between which ends.
    pub(super) routes: BTreeMap<PeerId, (Ends, Route)>,
    /// The addresses of the endpoint, each time that they change.
    pub(super) addresses: BoxStream<'static, EndpointAddr>,
    pub(super) start: Instant,
    pub(super) port: u16,
    pub(super) renewal: Option<Renewal>,
    pub(super) relay: Option<RelayServer>,
    /// What the application is to see anew.
    pub(super) changed: Changed,
    pub(super) home: Home,
    pub(super) max_message_bytes: usize,
    pub(super) interfaces: Interfaces,
    pub(super) left: bool,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let (inputs_sender, inputs) = mpsc::channel(MAX_WAITING_INPUTS);
        let addresses = endpoint::addresses(&parts.endpoint);
        let mut driver = Self {
            session: parts.session,
            endpoint: parts.endpoint,
            discovery: parts.discovery,
            shared: parts.shared,
            gate: parts.gate,
            requests: parts.requests,
            requests_sender: parts.requests_sender,
            inputs,
            inputs_sender,
            links: BTreeMap::new(),
            lane_links: BTreeMap::new(),
            next_link: 0,
            invitations: BTreeMap::new(),
            pings: BTreeMap::new(),
            next_ping: 0,
            connecting: None,
            happened: Vec::new(),
            unconfirmed: Vec::new(),
            tasks: JoinSet::new(),
            link_tasks: JoinSet::new(),
            turnstile: Turnstile::default(),
            looks: listening::looks(),
            routes: BTreeMap::new(),
            addresses,
            start: Instant::now(),
            port: parts.port,
            renewal: parts.renewal,
            relay: parts.relay,
            changed: Changed::default(),
            home: Home::default(),
            max_message_bytes: parts.max_message_bytes,
            interfaces: parts.interfaces,
            left: false,
        };
        // Before any request: a ticket is to name them.
        driver.moved(parts.addresses);
        driver.publish_view();
        driver
    }

    /// Runs until the session is over, and leaves nothing behind. Returns the last id that it had.
    pub(crate) async fn run(mut self) -> PeerId {
        while !self.left {
            self.step().await;
        }
        self.discovery.shutdown().await;
        self.tasks.shutdown().await;
        // Links have their goodbyes to say, and nobody reads their reports any more.
        self.inputs.close();
        let goodbyes = async { while self.link_tasks.join_next().await.is_some() {} };
        _ = timeout(CLOSE_TIMEOUT, goodbyes).await;
        self.link_tasks.shutdown().await;
        _ = timeout(CLOSE_TIMEOUT, self.endpoint.close()).await;
        _ = timeout(CLOSE_TIMEOUT, self.shared.relays.shutdown()).await;
        if let Some(relay) = self.relay.take() {
            _ = timeout(CLOSE_TIMEOUT, relay.shutdown()).await;
        }
        self.publish_view();
        self.shared.events.close();
        self.session.id()
    }

    /// Waits for the next thing to happen and does what comes of it.
    async fn step(&mut self) {
        let wake_at = self.session.poll_timeout().map(|at| self.start + at.since_start());
        let wake_at = wake_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        // While the application is behind, the session takes in no news. What waits for it is
        // bounded that way, and nothing is lost: peers announce again, links are dialled again.
        let behind = self.shared.events.is_backlogged();
        if behind != self.session.is_behind() {
            self.handle(Input::Behind(behind));
        }
        let events = self.shared.events.clone();
        let renew_at = self.renewal.as_ref().map_or(wake_at, Renewal::at);
        tokio::select! {
            request = self.requests.recv() => match request {
                Some(request) => self.handle_request(request),
                // Nobody is left who could want anything.
                None => self.handle(Input::Command(Command::Leave)),
            },
            Some(input) = self.inputs.recv() => self.handle_link_input(input),
            incoming = self.endpoint.accept(), if !behind => {
                if let Some(incoming) = incoming {
                    self.accept(incoming);
                } else {
                    self.left = true;
                }
            }
            event = self.discovery.next(), if !behind => self.handle_discovery(event),
            () = events.wait_for_room(), if behind => {}
            () = sleep_until(wake_at) => self.handle(Input::Tick),
            // Also without any link: the silence of who is away has to be told.
            _ = self.looks.tick(), if !self.session.is_idle() => self.listen(),
            Some(addresses) = self.addresses.next() => {
                let addresses = self.interfaces.reachable(addresses.ip_addrs().copied());
                self.moved(addresses);
            }
            () = sleep_until(renew_at), if self.renewal.is_some() => self.renew().await,
            Some(_) = self.tasks.join_next() => {}
            Some(_) = self.link_tasks.join_next() => {}
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::after_start(self.start.elapsed())
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = self.now();
        trace!(me = %self.session.id().short(), ?input, "session");
        self.session.handle(now, input);
        self.carry_out();
    }

    /// This peer has these addresses now.
    pub(super) fn moved(&mut self, addresses: Vec<SocketAddr>) {
        self.discovery.look_at_networks();
        let networks = self.interfaces.networks();
        let networks = networks.into_iter().map(|network| network.network).collect();
        self.handle(Input::OwnNetworks(networks));
        self.handle(Input::OwnAddresses(addresses));
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Command(command) => self.handle(Input::Command(command)),
            Request::Invite { invitation, peer, context, timeout, begun, answer } => {
                self.invitations.insert(invitation, answer);
                let command = Command::Invite { invitation, peer, context, timeout };
                self.session.handle(self.now(), Input::Command(command));
                let refusal = self.session.refused_invitation(invitation);
                _ = begun.send(refusal.map_or(Ok(()), Err));
                self.carry_out();
            }
            Request::SetAdmission(admission) => self.set_admission(admission),
            Request::Remove { peer, text, answer } => {
                let allowed = self.session.may_remove(peer);
                if allowed.is_ok() {
                    self.handle(Input::Command(Command::Remove { peer, text }));
                }
                _ = answer.send(allowed);
            }
            Request::Nudge { peer, text, answer } => {
                let allowed = self.session.may_nudge(peer, &text);
                if allowed.is_ok() {
                    self.handle(Input::Command(Command::Nudge { peer, text }));
                }
                _ = answer.send(allowed);
            }
            Request::Wanted(peer) => self.handle(Input::Wanted { peer }),
            Request::Ticket(answer) => _ = answer.send(self.session.ticket()),
            Request::Run(task) => _ = self.tasks.spawn(task),
            Request::Ping { peer, bytes, mode, answered } => {
                self.ping(peer, bytes, mode, answered);
            }
        }
    }

    fn ping(&mut self, peer: PeerId, bytes: usize, mode: PingMode, answered: oneshot::Sender<()>) {
        self.pings.retain(|_, waiting| !waiting.is_closed());
        if self.pings.len() >= MAX_PINGS {
            return;
        }
        self.next_ping += 1;
        let token = self.next_ping;
        self.pings.insert((peer, token), answered);
        let padding = Bytes::from(vec![0; bytes]);
        match mode {
            PingMode::Reliable => {
                self.handle(Input::Command(Command::Ping { peer, token, padding }));
            }
            PingMode::Unreliable => {
                if let Some(lane) = self.shared.lane(peer) {
                    // Too large by now, or lost: no answer comes, and the caller learns that.
                    _ = lane.send_datagram(&Datagram::Ping { token, padding });
                }
            }
        }
    }

    pub(super) fn handle_pong(&mut self, peer: PeerId, token: u64) {
        if let Some(waiting) = self.pings.remove(&(peer, token)) {
            _ = waiting.send(());
        }
    }

    fn handle_link_input(&mut self, input: LinkInput) {
        match input {
            LinkInput::Up { connection, direction } => {
                let peer = peer_of(connection.remote_id());
                let remote = link::remote_address(&connection);
                let Some(keys) = link_keys(&connection) else {
                    // It has ended already, or is of no use.
                    connection.close(VarInt::from_u32(GoodbyeReason::Unneeded.code()), b"");
                    if let Direction::Dialled { attempt } = direction {
                        let error = DialError::Failed("the link could not be secured".to_owned());
                        self.handle(Input::DialFailed { peer, attempt, error });
                    }
                    return;
                };
                self.next_link += 1;
                let id = LinkId(self.next_link);
                let inputs = self.inputs_sender.clone();
                let link = link::spawn(&mut self.link_tasks, id, connection, direction, inputs);
                self.links.insert(id, link);
                self.handle(Input::LinkUp { link: id, peer, direction, remote, keys });
            }
            LinkInput::HandshakeOver { origin } => self.turnstile.finished(origin),
            LinkInput::DialFailed { peer, attempt, error } => {
                debug!(peer = %peer.short(), %error, "dial failed");
                self.handle(Input::DialFailed { peer, attempt, error });
            }
            LinkInput::Frame { link, frame } => self.handle(Input::Frame { link, frame }),
            LinkInput::Misbehaved { link, error } => {
                debug!(?link, error, "a peer broke the protocol");
                self.handle(Input::Misbehaved { link, error });
            }
            LinkInput::Arrived { peer, received } => self.handle(Input::Arrived { peer, received }),
            LinkInput::Pong { peer, token } => self.handle_pong(peer, token),
            LinkInput::Resource { link, lane, writer, reader } => {
                let shared = self.shared.clone();
                self.tasks.spawn(resource::handle_stream(shared, lane, link, writer, reader));
            }
            LinkInput::Down { link } => {
                self.links.remove(&link);
                self.link_down(link);
            }
        }
    }

    pub(super) fn link_down(&mut self, link: LinkId) {
        self.detach_link(link, false);
        self.handle(Input::LinkDown { link });
    }

    /// The link carries nobody's messages any more. Where it rests, the session is told when another is wanted.
    pub(super) fn detach_link(&mut self, link: LinkId, rests: bool) {
        let peer = self.lane_links.iter().find(|(_, attached)| **attached == link);
        if let Some(peer) = peer.map(|(&peer, _)| peer) {
            self.lane_links.remove(&peer);
            if self.shared.lane(peer).is_some_and(|lane| lane.link_gone(link, rests)) {
                self.handle(Input::Wanted { peer });
            }
        }
    }

    fn accept(&mut self, incoming: Incoming) {
        let (origin, is_there) = match incoming.remote_addr() {
            IncomingAddr::Ip(remote) => (Origin::from(remote), incoming.remote_addr_validated()),
            // A hub has seen the key.
            IncomingAddr::Relay { endpoint_id, .. } => (Origin::Hub(peer_of(endpoint_id)), true),
            _ => return incoming.refuse(),
        };
        match self.turnstile.knock(self.now(), origin, is_there) {
            Knock::Enter => {}
            Knock::Validate => {
                // It comes again, at once, or was never there.
                _ = incoming.retry();
                return;
            }
            Knock::Refuse => return incoming.refuse(),
        }
        let inputs = self.inputs_sender.clone();
        self.tasks.spawn(async move {
            let handshake = async { incoming.accept()?.await };
            let connection = timeout(HANDSHAKE_TIMEOUT, handshake).await;
            _ = inputs.send(LinkInput::HandshakeOver { origin }).await;
            if let Ok(Ok(connection)) = connection {
                let input = LinkInput::Up { connection, direction: Direction::Accepted };
                _ = inputs.send(input).await;
            }
        });
    }

    fn handle_discovery(&mut self, event: DiscoveryEvent) {
        match event {
            DiscoveryEvent::Found { announcement, .. }
                if discovery::is_retired(announcement.peer) => {}
            DiscoveryEvent::Found { announcement, addresses, way } => {
                self.handle(Input::Discovered { announcement, addresses, way });
            }
            DiscoveryEvent::Gone { peer, way } => self.handle(Input::Lost { peer, way }),
            DiscoveryEvent::Problem(problem) => {
                self.shared.events.push(Event::DiscoveryProblem(problem));
            }
        }
    }
}
