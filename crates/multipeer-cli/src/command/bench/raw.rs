//! iroh alone, bound as a session is and with its own settings: what the transport gives when
//! nothing is built on it.

use std::{
    fmt,
    net::SocketAddr,
    str::FromStr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, EndpointId, TransportAddr,
    endpoint::{BindOpts, Connection, RecvStream, SendStream, presets},
};

use super::BLOCK;
use crate::failure::Failure;

const ALPN: &[u8] = b"multipeer-bench";
/// The first byte of a stream on which everything is sent back.
const ECHO: u8 = 0;
/// The first byte of a stream that is read to its end.
const SINK: u8 = 1;
const ECHO_BYTES: usize = 64;

/// Where the other process's endpoint is.
pub(super) struct RawAddress {
    id: EndpointId,
    addresses: Vec<SocketAddr>,
}

impl fmt::Display for RawAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.addresses.iter().try_for_each(|address| write!(f, " {address}"))
    }
}

impl FromStr for RawAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let id = words.next().and_then(|id| id.parse().ok()).ok_or(())?;
        let addresses = words.map(str::parse).collect::<Result<_, _>>().map_err(drop)?;
        Ok(Self { id, addresses })
    }
}

fn failure(error: impl fmt::Display) -> Failure {
    Failure::Check(format!("raw iroh: {error}"))
}

async fn endpoint() -> Result<Endpoint, Failure> {
    let options = |bits| BindOpts::default().set_prefix_len(bits).set_is_default_route(false);
    Endpoint::builder(presets::Minimal)
        .clear_ip_transports()
        .alpns(vec![ALPN.to_vec()])
        .bind_addr_with_opts("127.0.0.1:0", options(8))
        .map_err(failure)?
        // A machine may have IPv6 switched off.
        .bind_addr_with_opts("[::1]:0", options(128).set_is_required(false))
        .map_err(failure)?
        .bind()
        .await
        .map_err(failure)
}

/// Starts to serve, until the process ends.
pub(super) async fn serve() -> Result<RawAddress, Failure> {
    let endpoint = endpoint().await?;
    let id = endpoint.id();
    let addresses = endpoint.bound_sockets();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let Ok(connection) = incoming.await else { continue };
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(serve_stream(send, receive));
            }
        }
    });
    Ok(RawAddress { id, addresses })
}

async fn serve_stream(mut send: SendStream, mut receive: RecvStream) -> Option<()> {
    let mut kind = [0];
    receive.read_exact(&mut kind).await.ok()?;
    if kind == [ECHO] {
        let mut buffer = [0; ECHO_BYTES];
        loop {
            receive.read_exact(&mut buffer).await.ok()?;
            send.write_all(&buffer).await.ok()?;
        }
    }
    let mut chunks: [Bytes; 32] = Default::default();
    while receive.read_many_chunks(&mut chunks).await.ok()?.is_some() {}
    send.finish().ok()?;
    // Until it has arrived.
    send.stopped().await.ok().map(drop)
}

/// A connection with the other process.
pub(super) struct RawLink {
    _endpoint: Endpoint,
    connection: Connection,
    echo: (SendStream, RecvStream),
}

impl RawLink {
    pub(super) async fn open(to: &RawAddress) -> Result<Self, Failure> {
        let endpoint = endpoint().await?;
        let to =
            EndpointAddr::from_parts(to.id, to.addresses.iter().copied().map(TransportAddr::Ip));
        let connection = endpoint.connect(to, ALPN).await.map_err(failure)?;
        let mut echo = connection.open_bi().await.map_err(failure)?;
        echo.0.write_all(&[ECHO]).await.map_err(failure)?;
        Ok(Self { _endpoint: endpoint, connection, echo })
    }

    pub(super) async fn round_trips(&mut self, count: usize) -> Result<Vec<Duration>, Failure> {
        let (send, receive) = &mut self.echo;
        let mut buffer = [7; ECHO_BYTES];
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            send.write_all(&buffer).await.map_err(failure)?;
            receive.read_exact(&mut buffer).await.map_err(failure)?;
            times.push(start.elapsed());
        }
        Ok(times)
    }

    /// Time from the first byte until the other process had the last.
    pub(super) async fn bulk(&mut self, total: u64) -> Result<Duration, Failure> {
        let block = Bytes::from(vec![7; BLOCK]);
        let start = Instant::now();
        let (mut send, mut receive) = self.connection.open_bi().await.map_err(failure)?;
        send.write_all(&[SINK]).await.map_err(failure)?;
        let mut left = total;
        while left > 0 {
            let size = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            send.write_chunk(block.slice(..size)).await.map_err(failure)?;
            left -= size as u64;
        }
        send.finish().map_err(failure)?;
        receive.read_to_end(0).await.map_err(failure)?;
        Ok(start.elapsed())
    }
}
