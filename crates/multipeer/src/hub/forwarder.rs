//! An address of this machine for the relay of a hub, which stays the same and always answers.
//!
//! iroh 1.4 never forgets at which relay a peer was, and sends there whenever it dials that peer. Where nobody answers
//! any more, packets wait, and while too many do it sends nothing through other relays either (iroh issues 4325 and
//! 4476). So it is never told where a hub is: what it knows is a port of this machine. From there its connection goes to
//! the hub, wherever that is now, and while it is nowhere to something that takes packets and drops them.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use multipeer_proto::PeerId;
use tokio::{
    io::{AsyncWriteExt, BufReader, copy_buf},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::debug;

use super::{ACCEPT_PAUSE, Sink};

/// Time for a hub to answer: less than it takes until much waits to be sent there.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause until a hub that should be there, and did not answer, is tried again; it doubles ...
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// ... so many times.
const MAX_DOUBLINGS: u32 = 6;
/// Connections at a time: iroh has one, and for moments another with which it measures.
const MAX_CONNECTIONS: usize = 8;
/// Bytes in flight, each way.
const BUFFER: usize = 64 << 10;
/// Time for what iroh has said last, as goodbyes, to get to the hub.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One hub's address here. Dropped, it takes its connections along.
pub(crate) struct Forwarder {
    port: u16,
    target: watch::Sender<Option<SocketAddr>>,
    sink: Sink,
    tasks: JoinSet<()>,
}

impl Forwarder {
    /// Begins to listen, for this peer's own endpoint.
    pub(crate) fn start(own: PeerId) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let port = listener.local_addr()?.port();
        let sink = Sink::new(own).map_err(io::Error::other)?;
        let target = watch::Sender::new(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(forward(listener, target.subscribe(), sink.clone()));
        Ok(Self { port, target, sink, tasks })
    }

    /// Where iroh finds the hub.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The hub is there from now on, or nowhere.
    pub(crate) fn lead_to(&self, target: Option<SocketAddr>) {
        self.target.send_if_modified(|present| std::mem::replace(present, target) != target);
    }

    /// Ends, with all connections, once what iroh has said last is with the hub.
    pub(crate) async fn shutdown(self) {
        let Self { target, sink, mut tasks, .. } = self;
        drop(target);
        while tasks.join_next().await.is_some() {}
        sink.shutdown().await;
    }
}

async fn forward(
    listener: TcpListener,
    mut target: watch::Receiver<Option<SocketAddr>>,
    sink: Sink,
) {
    let mut connections = JoinSet::new();
    // Times that the hub did not answer, one after the other; and when it is tried again.
    let mut failures = 0;
    let mut again_at = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((near, _)) => if connections.len() < MAX_CONNECTIONS {
                    connections.spawn(carry(near, target.clone(), sink.clone()));
                },
                Err(error) => {
                    debug!(%error, "a connection to a hub's relay could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(carried) = connections.join_next() => if let Ok(true) = carried {
                failures = 0;
            },
            () = sink.taken() => if target.borrow().is_some() {
                let pause = FIRST_PAUSE * (1 << failures.min(MAX_DOUBLINGS));
                failures += 1;
                again_at.get_or_insert(Instant::now() + pause);
            },
            () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => {
                again_at = None;
                // iroh connects anew at once.
                sink.let_go();
            }
            changed = target.changed() => {
                if changed.is_err() {
                    break;
                }
                (failures, again_at) = (0, None);
                if target.borrow().is_some() {
                    sink.let_go();
                }
            }
        }
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    _ = timeout(LAST_WORDS, ended).await;
}

/// Carries a connection to the hub, for as long as that is where it was, or else into the sink. Returns whether
/// there was a hub.
async fn carry(
    mut near: TcpStream,
    mut target: watch::Receiver<Option<SocketAddr>>,
    sink: Sink,
) -> bool {
    _ = near.set_nodelay(true);
    let present = *target.borrow_and_update();
    if let Some(address) = present
        && let Some(mut far) = reach(address).await
    {
        let is_elsewhere = async {
            if target.wait_for(|now| *now != present).await.is_err() {
                // Nobody leads it any more: what is under way may arrive.
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = join(&mut near, &mut far) => {}
            () = is_elsewhere => {}
        }
        return true;
    }
    sink.swallow(near).await;
    false
}

/// Has each of two say to the other what it has to say, all of it, also when the other says nothing any more.
async fn join(near: &mut TcpStream, far: &mut TcpStream) {
    let (near_reader, near_writer) = near.split();
    let (far_reader, far_writer) = far.split();
    tokio::join!(say(near_reader, far_writer), say(far_reader, near_writer));
}

async fn say(from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
    let mut from = BufReader::with_capacity(BUFFER, from);
    if copy_buf(&mut from, &mut to).await.is_err() {
        // Were it left unread, the system would tell the one that it is over before it has heard the other.
        _ = copy_buf(&mut from, &mut tokio::io::sink()).await;
    }
    _ = to.shutdown().await;
}

async fn reach(address: SocketAddr) -> Option<TcpStream> {
    let connected = timeout(REACH_TIMEOUT, TcpStream::connect(address)).await.ok()?;
    let stream = connected.inspect_err(|error| debug!(%address, %error, "no relay there")).ok()?;
    // What goes through is someone's packet, who waits for the answer.
    _ = stream.set_nodelay(true);
    Some(stream)
}

#[cfg(test)]
#[cfg(feature = "hub")]
mod tests {
    use iroh::{
        Endpoint, EndpointAddr, RelayMode, SecretKey, TransportAddr,
        endpoint::{Connection, RelayStatus, presets},
    };
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::{
        HubLimits,
        hub::{
            RelayServer,
            relay::tests::{relay, url_of, wait_for},
        },
        identity::peer_of,
    };

    const ALPN: &[u8] = b"test";
    const PATIENCE: Duration = Duration::from_secs(10);

    /// An endpoint that has no way to others but the relay that its forwarder leads to.
    async fn guest() -> (Endpoint, Forwarder) {
        let key = SecretKey::generate();
        let forwarder = Forwarder::start(peer_of(key.public())).unwrap();
        (endpoint(key, &forwarder).await, forwarder)
    }

    async fn endpoint(key: SecretKey, forwarder: &Forwarder) -> Endpoint {
        let builder = Endpoint::builder(presets::Minimal).clear_ip_transports();
        let builder = builder.secret_key(key).alpns(vec![ALPN.to_vec()]);
        let relays = RelayMode::custom([url_of(forwarder.port())]);
        builder.relay_mode(relays).bind().await.unwrap()
    }

    fn address(relay: &RelayServer) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, relay.port()).into()
    }

    async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
        timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}"))
    }

    async fn comes_to(relay: &RelayServer) {
        let comes = async {
            while relay.present() == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        in_time("somebody comes to the hub", comes).await;
    }

    async fn echo(connection: &Connection) {
        let (mut writer, mut reader) = connection.open_bi().await.unwrap();
        writer.write_all(b"?").await.unwrap();
        writer.finish().unwrap();
        assert_eq!(reader.read_to_end(1).await.unwrap(), b"?");
    }

    /// Two who are linked through a relay: the one, its forwarder, and its connection to the other, which echoes.
    async fn linked(relay: &RelayServer) -> (Endpoint, Forwarder, Connection, JoinSet<Forwarder>) {
        let [(a, way), (b, way_of_b)] = [guest().await, guest().await];
        relay.serve([peer_of(a.id()), peer_of(b.id())].into_iter());
        way.lead_to(Some(address(relay)));
        way_of_b.lead_to(Some(address(relay)));
        for endpoint in [&a, &b] {
            wait_for(endpoint, RelayStatus::is_connected).await;
        }
        let mut tasks = JoinSet::new();
        let to = EndpointAddr::from_parts(b.id(), [TransportAddr::Relay(url_of(way.port()))]);
        tasks.spawn(async move {
            let connection = b.accept().await.unwrap().await.unwrap();
            while let Ok((mut writer, mut reader)) = connection.accept_bi().await {
                writer.write_all(&reader.read_to_end(1).await.unwrap()).await.unwrap();
                writer.finish().unwrap();
            }
            way_of_b
        });
        let connection = in_time("they are linked", a.connect(to, ALPN)).await.unwrap();
        (a, way, connection, tasks)
    }

    #[tokio::test]
    async fn a_hub_that_is_nowhere_holds_up_nothing_that_goes_through_another() {
        let relay = relay();
        let (a, _way, connection, _tasks) = linked(&relay).await;
        let nowhere = Forwarder::start(peer_of(a.id())).unwrap();
        let mut dials = JoinSet::new();
        // More than iroh keeps for a relay.
        for _ in 0..200 {
            let way = TransportAddr::Relay(url_of(nowhere.port()));
            let to = EndpointAddr::from_parts(SecretKey::generate().public(), [way]);
            let a = a.clone();
            dials.spawn(async move { a.connect(to, ALPN).await.is_ok() });
        }
        for _ in 0..20 {
            in_time("nothing is held up", echo(&connection)).await;
            sleep(Duration::from_millis(100)).await;
        }
        dials.shutdown().await;
        a.close().await;
        nowhere.shutdown().await;
    }

    #[tokio::test]
    async fn a_hub_is_found_wherever_it_comes_back() {
        let former = relay();
        let (a, way, connection, _tasks) = linked(&former).await;
        echo(&connection).await;
        let served = [peer_of(a.id())];
        former.shutdown().await;
        way.lead_to(None);
        let relay = relay();
        relay.serve(served.into_iter());
        way.lead_to(Some(address(&relay)));
        comes_to(&relay).await;
        a.close().await;
        relay.shutdown().await;
    }

    #[tokio::test]
    async fn a_hub_that_did_not_answer_is_tried_again() {
        let former = relay();
        let address = address(&former);
        former.shutdown().await;
        let (a, way) = guest().await;
        way.lead_to(Some(address));
        wait_for(&a, RelayStatus::is_connected).await;
        let relay =
            RelayServer::start(&[address.ip()].into(), address.port(), HubLimits::default())
                .unwrap();
        assert_eq!(relay.port(), address.port());
        relay.serve([peer_of(a.id())].into_iter());
        comes_to(&relay).await;
        a.close().await;
        relay.shutdown().await;
    }

    #[tokio::test]
    async fn what_is_said_last_arrives_though_nobody_hears_the_answer() {
        const LAST: usize = 4 << 20;
        let hub = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let way = Forwarder::start(peer_of(SecretKey::generate().public())).unwrap();
        way.lead_to(Some(hub.local_addr().unwrap()));
        let mut near = TcpStream::connect((Ipv4Addr::LOCALHOST, way.port())).await.unwrap();
        let (mut far, _) = in_time("it comes to the hub", hub.accept()).await.unwrap();
        let heard = tokio::spawn(async move {
            // It answers first, which nobody hears, and listens only then.
            far.write_all(&vec![1; 64 << 10]).await.unwrap();
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.map(|_| heard.len())
        });
        near.write_all(&vec![0; LAST]).await.unwrap();
        drop(near);
        in_time("it ends", way.shutdown()).await;
        assert_eq!(heard.await.unwrap().unwrap(), LAST);
    }

    #[tokio::test]
    async fn no_other_program_is_taken_in() {
        let (_a, way) = guest().await;
        let stranger = endpoint(SecretKey::generate(), &way).await;
        wait_for(&stranger, |status| status.auth_denied_reason().is_some()).await;
        stranger.close().await;
    }
}
