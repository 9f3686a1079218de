//! The relay of a hub: it takes packets from those in the session, and hands them on to others of them.
//!
//! It is iroh's relay server. What goes through it is the links' own packets, encrypted from end to end; a
//! relay sees who sends how much to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use http_body_util::Empty;
use iroh::PublicKey;
use iroh_relay::{
    KeyCache,
    http::RELAY_PROBE_PATH,
    server::{
        Access, AccessControl, ClientRateLimit, ClientRequest, ConnectionId, Metrics,
        http_server::{BytesBody, Handlers, RelayService},
    },
};
use multipeer_proto::{Knock, PeerId, Timestamp, Turnstile};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::debug;

use super::{ACCEPT_PAUSE, HubLimits};
use crate::{error::StartError, identity::peer_of};

/// Time for a connection to say who it is.
pub(super) const ESTABLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections of one peer: one, and those that it has just given up.
const MAX_CONNECTIONS_PER_PEER: usize = 4;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Tries to find a port that is free on all addresses.
const PORT_TRIES: usize = 16;
/// Keys that are kept decoded.
const KEY_CACHE: usize = 1024;

/// What one of so many may send.
fn share(limits: HubLimits, peers: usize) -> Option<ClientRateLimit> {
    let peers = u32::try_from(peers.max(1)).unwrap_or(u32::MAX);
    let share = (limits.bytes_per_second / peers).min(limits.bytes_per_second_per_peer);
    Some(ClientRateLimit::new(NonZeroU32::new(share.max(1))?))
}

/// Those for whom the hub relays, and who of them is there.
#[derive(Default)]
struct Guests {
    served: RwLock<BTreeSet<PeerId>>,
    present: Mutex<BTreeMap<PeerId, usize>>,
    limits: HubLimits,
    /// Where the shares are set; known as soon as there is one.
    service: Mutex<Option<RelayService>>,
}

impl Guests {
    fn is_served(&self, peer: PeerId) -> bool {
        self.served.read().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }

    /// Gives each who is there its share.
    fn share_out(&self, present: usize) {
        if let Some(service) = &*self.service.lock().unwrap_or_else(PoisonError::into_inner) {
            service.set_client_rate_limit(share(self.limits, present));
        }
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests").field("present", &self.present).finish_non_exhaustive()
    }
}

/// What the relay asks when somebody comes, who has shown its key.
#[derive(Debug, Clone)]
struct Door(Arc<Guests>);

impl AccessControl for Door {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let peer = peer_of(request.endpoint_id());
        if !self.0.is_served(peer) {
            let reason = Some("this hub relays for the members of its session".to_owned());
            return Access::Deny { reason };
        }
        let mut present = self.0.present.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = present.entry(peer).or_default();
        if *connections >= MAX_CONNECTIONS_PER_PEER {
            return Access::Deny { reason: Some("too many connections of this peer".to_owned()) };
        }
        *connections += 1;
        let count = present.len();
        drop(present);
        self.0.share_out(count);
        Access::Allow
    }

    fn on_disconnect(&self, id: PublicKey, _: ConnectionId) {
        let peer = peer_of(id);
        let mut present = self.0.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = present.get_mut(&peer) {
            *connections -= 1;
            if *connections == 0 {
                present.remove(&peer);
            }
        }
        let count = present.len();
        drop(present);
        self.0.share_out(count);
    }
}

/// A relay that runs until it is dropped or shut down.
pub(crate) struct RelayServer {
    service: RelayService,
    guests: Arc<Guests>,
    port: u16,
    tasks: JoinSet<()>,
}

impl RelayServer {
    /// Begins to relay at these addresses, at this port if it is free on all of them and else at another.
    pub(crate) fn start(
        addresses: &BTreeSet<IpAddr>,
        port: u16,
        limits: HubLimits,
    ) -> Result<Self, StartError> {
        let (port, listeners) = listen(addresses, port)?;
        let guests = Arc::new(Guests { limits, ..Guests::default() });
        let service = service(Door(guests.clone()), share(limits, 1), KEY_CACHE);
        *guests.service.lock().unwrap_or_else(PoisonError::into_inner) = Some(service.clone());
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(accept(listener, service.clone()));
        }
        Ok(Self { service, guests, port, tasks })
    }

    /// How many peers are there.
    #[cfg(test)]
    pub(super) fn present(&self) -> usize {
        self.guests.present.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The TCP port at which it relays.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Relays for these from now on, and for nobody else.
    pub(crate) fn serve(&self, peers: impl Iterator<Item = PeerId>) {
        let served: BTreeSet<PeerId> = peers.collect();
        let mut present = self.guests.served.write().unwrap_or_else(PoisonError::into_inner);
        if *present == served {
            return;
        }
        let former = std::mem::replace(&mut *present, served);
        let gone: Vec<PeerId> = former.difference(&present).copied().collect();
        drop(present);
        for peer in gone {
            if let Ok(id) = PublicKey::from_bytes(peer.as_bytes()) {
                self.service.clients().disconnect(id, None);
            }
        }
    }

    /// Stops, and has no connection left when it returns.
    pub(crate) async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        // It holds the relay, and the relay holds it.
        *self.guests.service.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.service.shutdown().await;
    }
}

/// A relay for those whom `access` lets in, each of whom may send so much, with so many keys kept decoded.
pub(super) fn service(
    access: impl AccessControl,
    limit: Option<ClientRateLimit>,
    keys: usize,
) -> RelayService {
    RelayService::new(
        handlers(),
        http::HeaderMap::new(),
        limit,
        KeyCache::new(keys),
        Arc::new(access),
        Arc::new(Metrics::default()),
    )
}

/// What the relay answers besides: whether it is there, by which others choose it.
fn handlers() -> Handlers {
    let mut handlers = Handlers::default();
    handlers.insert(
        (http::Method::GET, RELAY_PROBE_PATH),
        Box::new(|_, response| Ok(response.body(Box::new(Empty::new()) as BytesBody)?)),
    );
    handlers
}

/// Accepts connections, and holds who comes too often to a limit.
async fn accept(listener: TcpListener, service: RelayService) {
    let start = Instant::now();
    let mut turnstile = Turnstile::default();
    let mut connections: JoinSet<SocketAddr> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    let now = Timestamp::after_start(start.elapsed());
                    // Who has a TCP connection has shown where it is.
                    if turnstile.knock(now, remote, true) == Knock::Enter {
                        connections.spawn(serve(service.clone(), stream, remote));
                    }
                }
                Err(error) => {
                    debug!(%error, "the relay could not accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(served) = connections.join_next() => {
                if let Ok(remote) = served {
                    turnstile.finished(remote);
                }
            }
        }
    }
}

/// Has one connection say who it is. What it sends then is the relay's business.
async fn serve(service: RelayService, stream: TcpStream, remote: SocketAddr) -> SocketAddr {
    // What goes through is someone's packet, who waits for the answer.
    _ = stream.set_nodelay(true);
    service.handle_connection(stream, None, ESTABLISH_TIMEOUT).await;
    remote
}

/// Opens a listener at each address, all at one port.
fn listen(
    addresses: &BTreeSet<IpAddr>,
    preferred: u16,
) -> Result<(u16, Vec<TcpListener>), StartError> {
    let mut failure = "it has no address".to_owned();
    for attempt in 0..PORT_TRIES {
        let mut port = if attempt == 0 { preferred } else { 0 };
        let mut listeners = Vec::new();
        let opened = addresses.iter().try_for_each(|&ip| {
            let listener = listen_at(SocketAddr::new(ip, port))?;
            port = listener.local_addr()?.port();
            listeners.push(listener);
            Ok::<_, std::io::Error>(())
        });
        match opened {
            Ok(()) if port != 0 => return Ok((port, listeners)),
            Ok(()) => {}
            Err(error) => failure = error.to_string(),
        }
    }
    Err(StartError::Relay { error: failure })
}

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The other family has a listener of its own.
        socket.set_only_v6(true)?;
    }
    // A hub that starts again is at its old port at once.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::StreamExt;
    use iroh::{
        Endpoint, RelayMode, RelayUrl, Watcher,
        endpoint::{RelayStatus, presets},
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    pub(in super::super) fn url_of(port: u16) -> RelayUrl {
        format!("http://127.0.0.1:{port}").parse().unwrap()
    }

    /// An endpoint that waits at the relay as soon as it is let.
    async fn guest(relay: &RelayServer) -> Endpoint {
        let builder = Endpoint::builder(presets::Minimal).clear_ip_transports();
        let builder = builder.bind_addr("127.0.0.1:0").unwrap();
        let relays = RelayMode::custom([url_of(relay.port())]);
        builder.relay_mode(relays).bind().await.unwrap()
    }

    pub(in super::super) async fn wait_for(guest: &Endpoint, is_so: impl Fn(&RelayStatus) -> bool) {
        let mut reports = guest.home_relay_status().stream();
        let so = async { while !reports.next().await.unwrap().iter().any(&is_so) {} };
        tokio::time::timeout(PATIENCE, so).await.expect("the relay answers");
    }

    pub(in super::super) fn relay() -> RelayServer {
        let addresses = [IpAddr::from([127, 0, 0, 1])].into();
        RelayServer::start(&addresses, 0, HubLimits::default()).unwrap()
    }

    #[tokio::test]
    async fn a_hub_relays_for_members_and_turns_strangers_away() {
        let relay = relay();
        let [member, stranger] = [guest(&relay).await, guest(&relay).await];
        wait_for(&member, |status| status.auth_denied_reason().is_some()).await;
        relay.serve([peer_of(member.id())].into_iter());
        wait_for(&member, RelayStatus::is_connected).await;
        wait_for(&stranger, |status| {
            status.auth_denied_reason().is_some_and(|reason| reason.contains("members"))
        })
        .await;
        assert_eq!(relay.present(), 1);
        member.close().await;
        stranger.close().await;
        relay.shutdown().await;
    }

    #[tokio::test]
    async fn who_is_no_member_any_more_is_relayed_no_more() {
        let relay = relay();
        let member = guest(&relay).await;
        relay.serve([peer_of(member.id())].into_iter());
        wait_for(&member, RelayStatus::is_connected).await;
        relay.serve(std::iter::empty());
        wait_for(&member, |status| status.auth_denied_reason().is_some()).await;
        member.close().await;
        relay.shutdown().await;
    }

    #[test]
    fn everyone_who_is_there_has_an_equal_share_and_nobody_more_than_one_may_have() {
        let limits = HubLimits { bytes_per_second_per_peer: 100, bytes_per_second: 250 };
        let share = |peers| share(limits, peers).unwrap().bytes_per_second.get();
        assert_eq!([0, 1, 2, 5, 1000].map(share), [100, 100, 100, 50, 1]);
    }

    #[tokio::test]
    async fn all_addresses_have_one_port_and_a_port_that_is_taken_is_left() {
        let addresses: BTreeSet<IpAddr> =
            ["127.0.0.1", "::1"].map(|text| text.parse().unwrap()).into();
        let (port, listeners) = listen(&addresses, 0).unwrap();
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap().port() == port));
        assert_eq!(listeners.len(), 2);
        let (other, _second) = listen(&addresses, port).unwrap();
        assert_ne!(other, port);
    }
}
