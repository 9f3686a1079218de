//! Strangers by the dozen that link themselves to a peer as fast as it lets them, begin a word and
//! never end it: what a session must put up with.
//!
//! `strangers ID ADDRESS SECONDS` prints how many links there were and how many were refused.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use iroh::{
    Endpoint, EndpointAddr, PublicKey, TransportAddr,
    endpoint::{Connection, presets},
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// Strangers, each with an id of its own and one link at a time.
const STRANGERS: usize = 32;
/// Pause of one after each attempt: together they make some 1,600 in a second at the most.
const PAUSE: Duration = Duration::from_millis(20);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Default)]
struct Counts {
    linked: AtomicUsize,
    refused: AtomicUsize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [id, address, seconds] = words.as_slice() else {
        return Err("usage: strangers ID ADDRESS SECONDS".into());
    };
    let address: SocketAddr = address.parse()?;
    let to = EndpointAddr::from_parts(id.parse::<PublicKey>()?, [TransportAddr::Ip(address)]);
    let deadline = Instant::now() + Duration::from_secs(seconds.parse()?);
    let counts = Arc::new(Counts::default());
    let mut strangers = JoinSet::new();
    for _ in 0..STRANGERS {
        let endpoint = Endpoint::builder(presets::Minimal).bind().await?;
        strangers.spawn(disturb(endpoint, to.clone(), counts.clone(), deadline));
    }
    strangers.join_all().await;
    let [linked, refused] =
        [&counts.linked, &counts.refused].map(|count| count.load(Ordering::Relaxed));
    println!(r#"{{"event":"strangers","linked":{linked},"refused":{refused}}}"#);
    Ok(())
}

async fn disturb(endpoint: Endpoint, to: EndpointAddr, counts: Arc<Counts>, deadline: Instant) {
    while let Ok(linked) = timeout_at(deadline, endpoint.connect(to.clone(), b"multipeer")).await {
        match linked {
            Ok(connection) => {
                counts.linked.fetch_add(1, Ordering::Relaxed);
                _ = timeout_at(deadline, never_end(&connection)).await;
            }
            Err(_) => _ = counts.refused.fetch_add(1, Ordering::Relaxed),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Announces a hello of 64 KiB and leaves out its last byte, until the link is closed.
async fn never_end(connection: &Connection) -> Result<()> {
    let (mut writer, _reader) = connection.open_bi().await?;
    let mut frame = vec![0; 5 + 64 * 1024 - 1];
    frame[..5].copy_from_slice(&[0x01, 0x80, 0x01, 0x00, 0x00]);
    writer.write_all(&frame).await?;
    connection.closed().await;
    Ok(())
}
