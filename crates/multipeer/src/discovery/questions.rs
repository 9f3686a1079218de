//! Discovery by questions, for networks on which multicast does not arrive: the sockets. What is asked, and when, the
//! protocol's [`Prober`] decides.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use multipeer_proto::{
    Announcement, PeerId, Timestamp, Way,
    limits::{MAX_PROBE_BYTES, PROBE_PORT},
    probe::{ProbeOutput, ProbeSocket, Prober},
};
use socket2::Domain;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use tracing::{debug, trace};

use super::{DiscoveryEvent, DiscoveryProblem, Site, probe_socket, until};
use crate::interfaces::source_towards;

/// Datagrams that wait to be looked at. More are lost, as on the network.
const MAX_WAITING: usize = 256;
/// Pause between two looks at the machine's networks.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Time that multicast has to tell of a peer that has answered a question, before it is said that it does not arrive.
const MULTICAST_PATIENCE: Duration = Duration::from_secs(3);

/// Asks for peers, and answers.
pub(super) struct Questions {
    prober: Prober,
    site: Site,
    announcement: Option<Announcement>,
    start: Instant,
    shared: Sockets,
    own: Sockets,
    datagrams: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    /// Reads the sockets; ends with this.
    _readers: JoinSet<()>,
    check: Interval,
    /// The machine's own addresses on the networks that are used.
    own_addresses: Vec<IpAddr>,
    /// When it is to be said that multicast does not arrive, unless somebody is heard by then.
    doubt: Option<Instant>,
    was_told: bool,
}

/// A socket for each family that the machine has.
#[derive(Default)]
struct Sockets {
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
}

impl Sockets {
    fn open(
        port: u16,
        readers: &mut JoinSet<()>,
        sink: &mpsc::Sender<(SocketAddr, Vec<u8>)>,
    ) -> Self {
        let mut open = |domain| {
            let socket =
                probe_socket(domain, port).and_then(|socket| UdpSocket::from_std(socket.into()));
            let socket = socket.map(Arc::new);
            if let Err(error) = &socket {
                debug!(?domain, port, %error, "no questions there");
            }
            let socket = socket.ok()?;
            readers.spawn(read(socket.clone(), sink.clone()));
            Some(socket)
        };
        Self { v4: open(Domain::IPV4), v6: open(Domain::IPV6) }
    }

    fn to(&self, to: SocketAddr) -> Option<&UdpSocket> {
        if to.is_ipv4() { self.v4.as_deref() } else { self.v6.as_deref() }
    }
}

async fn read(socket: Arc<UdpSocket>, sink: mpsc::Sender<(SocketAddr, Vec<u8>)>) {
    // One more than is read of any: what is longer is not taken for what it begins with.
    let mut buffer = [0; MAX_PROBE_BYTES + 129];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => {
                if let Err(mpsc::error::TrySendError::Closed(_)) =
                    sink.try_send((from, buffer[..len].to_vec()))
                {
                    return;
                }
            }
            // What an earlier datagram met with, on some systems.
            Err(error) => trace!(%error, "a question was not received"),
        }
    }
}

impl Questions {
    pub(super) fn new(site: Site) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let mut readers = JoinSet::new();
        let (sink, datagrams) = mpsc::channel(MAX_WAITING);
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut questions = Self {
            prober: Prober::new(site.service.clone(), key),
            site,
            announcement: None,
            start: Instant::now(),
            shared: Sockets::open(PROBE_PORT, &mut readers, &sink),
            own: Sockets::open(0, &mut readers, &sink),
            datagrams,
            _readers: readers,
            check,
            own_addresses: Vec::new(),
            doubt: None,
            was_told: false,
        };
        let hosts = questions.site.hosts.clone();
        questions.prober.ask_hosts(questions.now(), hosts);
        Ok(questions)
    }

    fn now(&self) -> Timestamp {
        Timestamp::after_start(self.start.elapsed())
    }

    pub(super) fn announce(&mut self, announcement: &Announcement) {
        self.announcement = Some(announcement.clone());
        self.prober.announce(announcement.clone(), self.site.port);
    }

    pub(super) fn move_to(&mut self, port: u16, addresses: Vec<SocketAddr>) {
        (self.site.port, self.site.addresses) = (port, addresses);
    }

    pub(super) fn look(&mut self) {
        (self.doubt, self.was_told) = (None, false);
        self.look_at_networks();
        self.prober.look(self.now());
    }

    pub(super) fn browse(&mut self, browse: bool) {
        self.prober.browse(self.now(), browse);
    }

    pub(super) fn stop(&mut self) {
        self.doubt = None;
        self.prober.stop();
        self.carry_out();
    }

    pub(super) fn verify(&mut self, peer: PeerId) {
        self.prober.verify(self.now(), peer);
    }

    /// Somebody was heard by multicast.
    pub(super) fn heard(&mut self, addresses: &[SocketAddr]) {
        self.prober.heard(addresses);
        if self.prober.has_multicast() {
            self.doubt = None;
        }
    }

    pub(super) fn look_at_networks(&mut self) {
        let networks = self.site.interfaces.networks();
        self.own_addresses = networks.iter().map(|on| on.network.address).collect();
        self.prober.set_networks(self.now(), networks);
    }

    /// Sends what there is to send. Returns what is to be told, if there is something.
    fn carry_out(&mut self) -> Option<DiscoveryEvent> {
        while let Some(output) = self.prober.poll() {
            match output {
                ProbeOutput::Send { from, to, bytes } => self.send(from, to, &bytes),
                ProbeOutput::Found { announcement, address, way } => {
                    if way == Way::Probe && !self.was_told && !self.prober.has_multicast() {
                        self.doubt.get_or_insert(Instant::now() + MULTICAST_PATIENCE);
                    }
                    let addresses = vec![address];
                    return Some(DiscoveryEvent::Found { announcement, addresses, way });
                }
                ProbeOutput::Gone { peer, way } => return Some(DiscoveryEvent::Gone { peer, way }),
                ProbeOutput::TooLarge { network } => {
                    let problem = DiscoveryProblem::TooLarge {
                        network: format!("{}/{}", network.address, network.prefix_len),
                        hosts: network.host_count().unwrap_or(u64::MAX),
                    };
                    return Some(DiscoveryEvent::Problem(problem));
                }
            }
        }
        None
    }

    /// Whether the way to somebody is by an interface that is used. Other programs on this machine are heard whatever is.
    fn is_used_towards(&self, address: SocketAddr) -> bool {
        address.ip().is_loopback()
            || source_towards(address).is_ok_and(|own| self.own_addresses.contains(&own))
    }

    fn send(&self, from: ProbeSocket, to: SocketAddr, bytes: &[u8]) {
        let (first, second) = match from {
            ProbeSocket::Shared => (&self.shared, &self.own),
            ProbeSocket::Own => (&self.own, &self.own),
        };
        let Some(socket) = first.to(to).or_else(|| second.to(to)) else { return };
        if let Err(error) = socket.try_send_to(bytes, to) {
            trace!(%to, %error, "a question was not sent");
        }
    }

    /// The next event. Cancel safe.
    pub(super) async fn next(&mut self) -> DiscoveryEvent {
        loop {
            if let Some(event) = self.carry_out() {
                return event;
            }
            let wake_at = self.prober.poll_timeout().map(|at| self.start + at.since_start());
            tokio::select! {
                Some((from, bytes)) = self.datagrams.recv() => {
                    if self.is_used_towards(from) {
                        self.prober.handle(self.now(), from, &bytes);
                    }
                }
                () = until(wake_at) => self.prober.tick(self.now()),
                () = until(self.doubt) => {
                    (self.doubt, self.was_told) = (None, true);
                    return DiscoveryEvent::Problem(DiscoveryProblem::MulticastBlocked);
                }
                _ = self.check.tick() => self.look_at_networks(),
            }
        }
    }
}
