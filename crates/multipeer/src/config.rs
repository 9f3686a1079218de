//! How a session is to be.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use iroh::Endpoint;
use multipeer_proto::{
    Announce, Command, Config, DiscoveryInfo, DisplayName, Inviting, Joining, PeerId, ServiceType,
    Topology, Way, limits, probe::ProbedHost, resource::ReceiveLimits, trust::Admission,
};
use tokio::sync::mpsc;

use crate::{
    discovery::{self, LocalNetwork, Provider, Site},
    error::StartError,
    hub::{HubLimits, RelayServer},
    identity::Identity,
    interfaces::Interfaces,
    net::{
        Gate, Renewal, Request, Shared,
        driver::{Driver, Parts},
        endpoint,
    },
    paired::PairedDevices,
    passcode::{Passcode, PasscodeForm},
    resource::{AutoAccept, Settings},
    session::Session,
};

/// Settings of a session that is about to start.
///
/// Made by [`Session::builder`]. Everything is checked in [`start`](Self::start).
#[must_use = "nothing happens until `start`"]
pub struct SessionBuilder {
    service: String,
    name: String,
    info: Vec<(String, String)>,
    joining: Joining,
    admission: Option<Admission>,
    inviting: Inviting,
    topology: Topology,
    announce: Announce,
    renewal_interval: Duration,
    generated_passcode: Option<PasscodeForm>,
    max_peers: usize,
    max_message_size: usize,
    reconnect_window: Duration,
    unviable_after: Duration,
    rest_after: Duration,
    interfaces: Interfaces,
    port: Option<u16>,
    identity: Option<Identity>,
    paired: Vec<(PeerId, DisplayName)>,
    given: Vec<(PeerId, Vec<SocketAddr>)>,
    hosts: Vec<ProbedHost>,
    looking: bool,
    hub: Option<HubLimits>,
    discovery: Box<dyn Provider>,
    resources: Settings,
}

impl SessionBuilder {
    pub(crate) fn new(service: String, name: String) -> Self {
        Self {
            service,
            name,
            info: Vec::new(),
            joining: Joining::default(),
            admission: None,
            inviting: Inviting::default(),
            topology: Topology::default(),
            announce: Announce::default(),
            renewal_interval: limits::RENEWAL_INTERVAL,
            generated_passcode: None,
            max_peers: limits::DEFAULT_MAX_PEERS,
            max_message_size: limits::DEFAULT_MAX_MESSAGE_BYTES,
            reconnect_window: limits::DEFAULT_RECONNECT_WINDOW,
            unviable_after: limits::DEFAULT_UNVIABLE_AFTER,
            rest_after: limits::DEFAULT_REST_AFTER,
            interfaces: Interfaces::default(),
            port: None,
            identity: None,
            paired: Vec::new(),
            given: Vec::new(),
            hosts: Vec::new(),
            looking: true,
            hub: None,
            discovery: Box::new(LocalNetwork::default()),
            resources: Settings::default(),
        }
    }

    /// What this peer announces about itself: pairs of at most 255 bytes, 1300 in all.
    pub fn discovery_info<K: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.info = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self
    }

    /// Who decides about invitations: the session itself, or the application.
    pub fn joining(mut self, joining: Joining) -> Self {
        self.joining = joining;
        self
    }

    /// Whom the session takes; everyone unless said otherwise.
    ///
    /// ```no_run
    /// use multipeer::{Admission, Session};
    ///
    /// # async fn example() -> Result<(), multipeer::StartError> {
    /// let session = Session::builder("chat", "Alice")
    ///     .admission(Admission::passcode("481-516"))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn admission(mut self, admission: Admission) -> Self {
        self.admission = Some(admission);
        self
    }

    /// What everyone who is near is told: id, name and info unless said otherwise.
    ///
    /// With [`Announce::Private`] the session runs under an id made for this start, whatever
    /// [`identity`](Self::identity) says, and takes another, with another port, every
    /// 15 minutes in which it is linked with nobody ([`renewal_interval`](Self::renewal_interval)). Those whom it has admitted are told the name, the info and
    /// the identity, which they can check ([`PeerInfo::lasting_id`](crate::PeerInfo)).
    ///
    /// [`Announce::Paired`] is the same, and [`paired`](Self::paired) devices know it, near and on a link,
    /// by the identity, which must be given.
    pub fn announce(mut self, announce: Announce) -> Self {
        self.announce = announce;
        self
    }

    /// How often a session that announces privately takes another id while it is linked with nobody:
    /// every 15 minutes unless said otherwise, at the least every second. Never where a
    /// [`port`](Self::port) is given, by which it could be told anyway.
    pub fn renewal_interval(mut self, interval: Duration) -> Self {
        self.renewal_interval = interval.max(Duration::from_secs(1));
        self
    }

    /// Tries to reach this peer at these addresses, whether it is heard or not, as
    /// [`Session::add_peer`] does.
    pub fn peer(mut self, id: PeerId, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.given.push((id, addresses.into_iter().take(limits::MAX_ADDRESSES).collect()));
        self
    }

    /// Asks this host who is there, on whatever network it is, by a question to UDP port 19792. The port is that of the
    /// session there, if others are not meant. At most 64 hosts; more are left out. Who answers is near, and its id is
    /// what it says; [`peer`](Self::peer) is for where the id is known.
    pub fn host(mut self, address: IpAddr, port: Option<u16>) -> Self {
        self.hosts.push(ProbedHost { address, port, way: Way::Given });
        self
    }

    /// Who brings others into the session, and removes them: everyone unless said otherwise, or this
    /// peer alone.
    pub fn inviting(mut self, inviting: Inviting) -> Self {
        self.inviting = inviting;
        self
    }

    /// Who is linked with whom: everyone with everyone unless said otherwise, or clients with a host and with nobody
    /// else. All say the same, and each what it is; those that do not go together are not linked. The host alone invites and
    /// removes. A host that is a [`hub`](Self::hub), too, tells its clients of each other. What a client says to others the
    /// host passes on if it wants to, by sending it (`examples/host.rs`).
    ///
    /// ```no_run
    /// use multipeer::{Role, Session, Topology};
    ///
    /// # async fn example() -> Result<(), multipeer::StartError> {
    /// let host = Session::builder("quiz", "Quizmaster")
    ///     .topology(Topology::ClientServer { role: Role::Host })
    ///     .max_peers(512)
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = topology;
        self
    }

    /// Takes those, too, who know a passcode of six digits that is made at the start.
    /// [`Session::passcode`] tells it. When a peer has tried three wrong ones it is replaced, and
    /// [`Event::ProofsRefused`](crate::Event::ProofsRefused) tells the new one.
    pub fn generated_passcode(self) -> Self {
        self.generated_passcode_of(PasscodeForm::default())
    }

    /// As [`generated_passcode`](Self::generated_passcode), with more digits, or words.
    pub fn generated_passcode_of(mut self, form: PasscodeForm) -> Self {
        self.generated_passcode = Some(form);
        self
    }

    /// Other peers in the session, at most: 1 to 1024, 64 unless said otherwise.
    pub fn max_peers(mut self, peers: usize) -> Self {
        self.max_peers = peers;
        self
    }

    /// Bytes in the largest reliable message that this peer takes: 1 to 1 GiB, 16 MiB unless said
    /// otherwise. A message is held whole in memory, once for each peer that sends one.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Time that a peer whose link died has to come back before it counts as disconnected: 30 s
    /// unless said otherwise, at most a day.
    pub fn reconnect_window(mut self, window: Duration) -> Self {
        self.reconnect_window = window;
        self
    }

    /// Time without a sign of life after which a peer does not count as viable
    /// ([`Event::ViabilityChanged`](crate::Event)): 2 s unless said otherwise, at least 2 s. A sign of
    /// life comes every second from whoever is there.
    pub fn unviable_after(mut self, silence: Duration) -> Self {
        self.unviable_after = silence;
        self
    }

    /// Time in which nothing is said on a link after which it rests while this application is in the background
    /// ([`Session::set_activity`]): 10 s unless said otherwise, from a second to an hour.
    pub fn rest_after(mut self, silence: Duration) -> Self {
        self.rest_after = silence;
        self
    }

    /// Uses these interfaces only, by name, such as `en0` or `lo`, of whatever kind they are. The names are looked up
    /// at the start. Without any, every network is used, also one that comes later, and neither tunnels nor the networks
    /// of containers ([`InterfaceKind`](crate::InterfaceKind)).
    pub fn interfaces<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.interfaces.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Uses these interfaces, instead of those that were said before.
    pub fn with_interfaces(mut self, interfaces: Interfaces) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// Never uses these interfaces, by name.
    pub fn without_interfaces<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.interfaces = self.interfaces.without(names);
        self
    }

    /// Uses tunnels, too, such as those of a VPN: not unless said so.
    pub fn tunnels(mut self, used: bool) -> Self {
        self.interfaces = self.interfaces.tunnels(used);
        self
    }

    /// Uses the networks of containers and virtual machines on this machine, too: not unless said so.
    pub fn containers(mut self, used: bool) -> Self {
        self.interfaces = self.interfaces.containers(used);
        self
    }

    /// Uses this UDP port, instead of one that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = (port != 0).then_some(port);
        self
    }

    /// Uses this identity, instead of a fresh one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The devices with which this one is paired: those of them that announce themselves to paired ones
    /// are found under their names and with their lasting ids, and the 32 that were paired last know
    /// this one if it announces itself so. They are asked for where they were last. Whom of them to take is for [`admission`](Self::admission)
    /// to say.
    pub fn paired(mut self, devices: &PairedDevices) -> Self {
        self.paired = devices.latest().map(|device| (device.id, device.name.clone())).collect();
        let places = devices.latest().flat_map(|device| &device.addresses);
        let host = |&address| ProbedHost { address, port: None, way: Way::Remembered };
        self.hosts.extend(places.map(host));
        self
    }

    /// Whether to announce and to look from the start; true unless said otherwise. See
    /// [`Session::start_looking`].
    pub fn looking(mut self, looking: bool) -> Self {
        self.looking = looking;
        self
    }

    /// Makes this peer a hub, or not: it tells the others in the session who is near it, and relays between
    /// those who cannot reach each other, over a TCP port of its own. What it relays it cannot read.
    ///
    /// A hub is of use where it reaches others who do not reach each other: on two networks at once, or where
    /// an access point keeps its clients apart. A library built without its feature `hub` starts none.
    pub fn hub(mut self, hub: bool) -> Self {
        self.hub = hub.then(|| self.hub.unwrap_or_default());
        self
    }

    /// Makes this peer a [`hub`](Self::hub), and says how much it relays at most.
    pub fn hub_limits(mut self, limits: HubLimits) -> Self {
        self.hub = Some(limits);
        self
    }

    /// Finds peers in another way than [`LocalNetwork`] does.
    pub fn discovery(mut self, provider: impl Provider + 'static) -> Self {
        self.discovery = Box::new(provider);
        self
    }

    /// Takes what peers send, without asking, into a folder, if it has at most so many bytes. What
    /// has more, or does not say, is offered to the application.
    pub fn accept_resources(mut self, folder: impl Into<PathBuf>, max_bytes: u64) -> Self {
        self.resources.auto_accept = Some(AutoAccept { folder: folder.into(), max_bytes });
        self
    }

    /// The largest resource that this peer takes: bytes in all, and files, folders and links.
    /// Without a limit on bytes, and 100,000 entries, unless said otherwise.
    pub fn max_resource(mut self, max_bytes: u64, max_entries: u64) -> Self {
        self.resources.limits = ReceiveLimits { max_bytes, max_entries };
        self
    }

    /// How long an interrupted transfer waits for the peer to come back: 5 minutes unless said
    /// otherwise.
    pub fn resume_timeout(mut self, timeout: Duration) -> Self {
        self.resources.resume_timeout = timeout;
        self
    }

    /// Starts the session: it announces, browses, and takes links, until it is left.
    ///
    /// Without a network it starts all the same; [`Event::DiscoveryProblem`](crate::Event) says
    /// so, and it begins when one comes.
    ///
    /// # Errors
    ///
    /// [`StartError`] names the setting that breaks a rule, the port that is taken, or the
    /// interface that is not there.
    ///
    /// # Cancellation
    ///
    /// Dropping the future starts nothing and leaves nothing behind.
    pub async fn start(mut self) -> Result<Session, StartError> {
        self.check_ranges()?;
        let service = ServiceType::new(&self.service)?;
        let name = DisplayName::new(&self.name)?;
        let info = DiscoveryInfo::new(std::mem::take(&mut self.info))?;
        let passcode = self.generated_passcode.map(Passcode::generate);
        let gate = Gate { given: self.admission.take(), passcode };
        let admission = gate.admission();
        admission.check()?;
        let (identity, lasting) = match (self.announce, self.identity.take()) {
            (Announce::Paired, None) => return Err(StartError::NoIdentity),
            (Announce::Private | Announce::Paired, lasting) => (Identity::generate(), lasting),
            (_, identity) => (identity.unwrap_or_else(Identity::generate), None),
        };
        let endpoint = endpoint::bind(&identity, self.interfaces.names(), self.port).await?;
        let (port, addresses) = endpoint::whereabouts(&endpoint, &self.interfaces);
        let relay = self.hub.map(|limits| open_relay(&endpoint, limits)).transpose()?;
        let renews = self.announce != Announce::Public && self.port.is_none();
        let renewal = renews.then(|| Renewal::new(self.renewal_interval));
        let interfaces = self.interfaces.clone();
        let site = Site {
            service: service.clone(),
            port,
            interfaces,
            addresses: addresses.clone(),
            hosts: std::mem::take(&mut self.hosts),
        };
        let discovery =
            self.discovery.start(site).map_err(|error| StartError::Discovery { error })?;

        let mut config = Config::new(identity.keys(), service, name.clone(), incarnation());
        self.configure(&mut config);
        config.info = info;
        config.admission = admission;
        config.lasting = lasting.as_ref().map(Identity::keys);
        config.paired = self.paired;
        config.relay_port = relay.as_ref().map(RelayServer::port);

        let shared = Arc::new(Shared::new(self.resources));
        let (sender, requests) = mpsc::unbounded_channel();
        let driver = Driver::new(Parts {
            session: multipeer_proto::Session::new(config),
            endpoint,
            discovery,
            shared: shared.clone(),
            gate,
            requests,
            requests_sender: sender.downgrade(),
            port,
            addresses,
            renewal,
            relay,
            max_message_bytes: self.max_message_size,
            interfaces: self.interfaces,
        });
        for (peer, addresses) in self.given {
            _ = sender.send(Request::Command(Command::Add { peer, addresses }));
        }
        if self.looking {
            _ = sender.send(Request::Command(Command::StartLooking));
        }
        let id = identity.peer_id();
        discovery::reinstate(id);
        let (over, ended) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            discovery::retire(driver.run().await);
            _ = over.send(true);
        });
        Ok(Session::new(id, name, port, shared, sender, ended))
    }

    /// What the protocol takes as it is.
    fn configure(&self, config: &mut Config) {
        config.unix_start = since_1970();
        config.inviting = self.inviting;
        config.topology = self.topology;
        config.announce = self.announce;
        config.joining = self.joining;
        config.max_peers = self.max_peers;
        config.max_message_bytes = self.max_message_size;
        config.reconnect_window = self.reconnect_window;
        config.unviable_after = self.unviable_after;
        config.rest_after = self.rest_after;
    }

    fn check_ranges(&self) -> Result<(), StartError> {
        let day = Duration::from_secs(24 * 60 * 60);
        let out_of_range =
            |setting, rule, value| Err(StartError::OutOfRange { setting, rule, value });
        if let Some((rule, count)) = self.generated_passcode.and_then(PasscodeForm::problem) {
            return out_of_range("a generated passcode", rule, count.to_string());
        }
        if !(1..=1024).contains(&self.max_peers) {
            return out_of_range("max_peers", "1 to 1024", self.max_peers.to_string());
        }
        if !(1..=1 << 30).contains(&self.max_message_size) {
            let value = self.max_message_size.to_string();
            return out_of_range("max_message_size", "1 byte to 1 GiB", value);
        }
        if self.unviable_after < limits::DEFAULT_UNVIABLE_AFTER {
            let value = format!("{} ms", self.unviable_after.as_millis());
            return out_of_range("unviable_after", "at least 2 s", value);
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(60 * 60)).contains(&self.rest_after) {
            let value = format!("{} ms", self.rest_after.as_millis());
            return out_of_range("rest_after", "1 s to an hour", value);
        }
        if self.reconnect_window > day {
            let value = format!("{} s", self.reconnect_window.as_secs());
            return out_of_range("reconnect_window", "at most a day", value);
        }
        Ok(())
    }
}

/// The relay of a hub, at the addresses where its links are.
fn open_relay(endpoint: &Endpoint, limits: HubLimits) -> Result<RelayServer, StartError> {
    let sockets = endpoint.bound_sockets();
    let port = sockets.first().map_or(0, SocketAddr::port);
    let addresses = sockets.iter().map(SocketAddr::ip).collect();
    RelayServer::start(&addresses, port, limits)
}

/// A number that no earlier start of the same identity had: the time, in microseconds.
pub(crate) fn incarnation() -> u64 {
    u64::try_from(since_1970().as_micros()).unwrap_or_default().max(1)
}

pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
