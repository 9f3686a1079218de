//! Two sessions, and two raw iroh endpoints with the same transport settings, on loopback.

use std::time::{Duration, Instant};

use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, TransportAddr,
    endpoint::{BindOpts, Connection, RecvStream, SendStream, presets},
};
use multipeer::{Event, Events, Session, discovery::Neighbourhood};
use tokio::{runtime::Runtime, sync::Mutex, task::JoinHandle};

pub(crate) fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

pub(crate) struct Pair {
    alice: Session,
    bob: Session,
    alice_events: Mutex<Events>,
    bob_events: std::sync::Arc<Mutex<Events>>,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        let neighbourhood = Neighbourhood::default();
        let start = |name| {
            let builder = Session::builder("bench", name).interfaces(["lo"]);
            builder.discovery(neighbourhood.clone()).start()
        };
        let (alice, bob) = (start("Alice").await.unwrap(), start("Bob").await.unwrap());
        let (mut alice_events, mut bob_events) = (alice.events(), bob.events());
        for events in [&mut alice_events, &mut bob_events] {
            while !matches!(events.next().await, Some(Event::PeerConnected(_))) {}
        }
        let bob_events = std::sync::Arc::new(Mutex::new(bob_events));
        Self { alice, bob, alice_events: Mutex::new(alice_events), bob_events }
    }
}

async fn message(events: &mut Events) -> Bytes {
    loop {
        if let Some(Event::Message { data, .. }) = events.next().await {
            return data;
        }
    }
}

/// Bob's application sends back what it gets.
fn echo(pair: &Pair, count: u64) -> JoinHandle<()> {
    let (bob, events, alice) = (pair.bob.clone(), pair.bob_events.clone(), pair.alice.id());
    tokio::spawn(async move {
        let mut events = events.lock().await;
        for _ in 0..count {
            let data = message(&mut events).await;
            bob.send(alice, data).await.unwrap();
        }
    })
}

async fn round_trips(pair: &Pair, count: u64) -> Vec<Duration> {
    let echo = echo(pair, count);
    let mut events = pair.alice_events.lock().await;
    let payload = Bytes::from_static(&[7; 64]);
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        pair.alice.send(pair.bob.id(), payload.clone()).await.unwrap();
        message(&mut events).await;
        times.push(start.elapsed());
    }
    echo.await.unwrap();
    times
}

pub(crate) async fn round_trip(pair: &Pair, count: u64) -> Duration {
    round_trips(pair, count).await.into_iter().sum()
}

pub(crate) async fn median_round_trip(pair: &Pair, count: u64) -> Duration {
    middle(round_trips(pair, count).await)
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Time from the first message sent until the last one was handed to Bob's application.
pub(crate) async fn one_way(pair: &Pair, bytes: usize, count: u64) -> Duration {
    let events = pair.bob_events.clone();
    let receiver = tokio::spawn(async move {
        let mut events = events.lock().await;
        for _ in 0..count {
            message(&mut events).await;
        }
    });
    let (alice, to) = (pair.alice.clone(), pair.bob.id());
    let payload = Bytes::from(vec![7; bytes]);
    let start = Instant::now();
    let sender = tokio::spawn(async move {
        for _ in 0..count {
            alice.send(to, payload.clone()).await.unwrap();
        }
    });
    sender.await.unwrap();
    receiver.await.unwrap();
    start.elapsed()
}

pub(crate) struct RawPair {
    _endpoints: [Endpoint; 2],
    _echo: Connection,
    to_echo: Mutex<(SendStream, RecvStream)>,
    bulk: Mutex<SendStream>,
    sink: std::sync::Arc<Mutex<RecvStream>>,
}

impl RawPair {
    pub(crate) async fn new() -> Self {
        let (a, b) = (endpoint().await, endpoint().await);
        let addresses = b.bound_sockets().into_iter().map(TransportAddr::Ip);
        let to = EndpointAddr::from_parts(b.id(), addresses);
        let accepting = b.clone();
        let accept = tokio::spawn(async move {
            accepting.accept().await.unwrap().accept().unwrap().await.unwrap()
        });
        let connection = a.connect(to, b"bench").await.unwrap();
        let accepted = accept.await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let mut bulk = connection.open_uni().await.unwrap();
        // A stream exists for the other side once something was written to it.
        send.write_all(&[0; 64]).await.unwrap();
        bulk.write_all(&[0]).await.unwrap();
        let (mut echo_send, mut echo_receive) = accepted.accept_bi().await.unwrap();
        let mut sink = accepted.accept_uni().await.unwrap();
        sink.read_exact(&mut [0]).await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            while echo_receive.read_exact(&mut buffer).await.is_ok() {
                echo_send.write_all(&buffer).await.unwrap();
            }
        });
        receive.read_exact(&mut [0; 64]).await.unwrap();
        Self {
            _endpoints: [a, b],
            _echo: accepted,
            to_echo: Mutex::new((send, receive)),
            bulk: Mutex::new(bulk),
            sink: std::sync::Arc::new(Mutex::new(sink)),
        }
    }
}

async fn endpoint() -> Endpoint {
    let options = |bits| BindOpts::default().set_prefix_len(bits).set_is_default_route(false);
    Endpoint::builder(presets::Minimal)
        .clear_ip_transports()
        .alpns(vec![b"bench".to_vec()])
        .bind_addr_with_opts("127.0.0.1:0", options(8))
        .unwrap()
        .bind_addr_with_opts("[::1]:0", options(128))
        .unwrap()
        .bind()
        .await
        .unwrap()
}

async fn raw_round_trips(raw: &RawPair, count: u64) -> Vec<Duration> {
    let mut streams = raw.to_echo.lock().await;
    let (send, receive) = &mut *streams;
    let mut buffer = [7; 64];
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        send.write_all(&buffer).await.unwrap();
        receive.read_exact(&mut buffer).await.unwrap();
        times.push(start.elapsed());
    }
    times
}

pub(crate) async fn round_trip_raw(raw: &RawPair, count: u64) -> Duration {
    raw_round_trips(raw, count).await.into_iter().sum()
}

pub(crate) async fn median_round_trip_raw(raw: &RawPair, count: u64) -> Duration {
    middle(raw_round_trips(raw, count).await)
}

/// As many bytes over one stream, in writes of 64 KiB: what the link gives.
pub(crate) async fn one_way_raw(raw: &RawPair, bytes: usize, count: u64) -> Duration {
    let total = bytes as u64 * count;
    let sink = raw.sink.clone();
    let receiver = tokio::spawn(async move {
        let mut sink = sink.lock().await;
        let mut chunks: [Bytes; 32] = Default::default();
        let mut received = 0;
        while received < total {
            let count = sink.read_many_chunks(&mut chunks).await.unwrap().unwrap();
            received += chunks[..count].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        }
    });
    let block = Bytes::from(vec![7; 64 * 1024]);
    let start = Instant::now();
    let mut left = total;
    let mut bulk = raw.bulk.lock().await;
    while left > 0 {
        let size = left.min(block.len() as u64);
        bulk.write_chunk(block.slice(..usize::try_from(size).unwrap())).await.unwrap();
        left -= size;
    }
    receiver.await.unwrap();
    start.elapsed()
}
