//! The QUIC endpoint: on which interfaces and port, and with which settings.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    time::Duration,
};

use futures_util::{StreamExt, stream::BoxStream};
use iroh::{
    Endpoint, EndpointAddr, RelayMode, Watcher,
    endpoint::{
        BindOpts, Builder, ConnectOptions, ConnectingError, Connection, ConnectionError,
        QuicTransportConfig, VarInt, presets,
    },
};
use multipeer_proto::DialError;
use tokio::time::{Instant, sleep};

use crate::{error::StartError, identity::Identity, interfaces::Interfaces};

/// The application protocol, for TLS (RFC 7301).
const ALPN: &[u8] = b"multipeer";

/// Who dialled asks for a sign of life after so long, ...
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// ... so that the other end need not, unless who dialled is another implementation.
const ACCEPTED_KEEP_ALIVE: Duration = Duration::from_secs(3);
/// ... and a link from which none came for so long is dead.
///
/// The transport asks again after pauses that double; when the network is back after this time, a
/// new link is there before the old one has asked again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// A path on which nothing comes for so long is given up, where there is another: through a hub, as a rule. The
/// dialler's signs of life come on each path.
const PATH_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// What a round trip is thought to take before there was one: the first packet is sent again after three
/// times as long. Peers are near.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);
/// What a link may have under way before it is part of the session, in bytes. An invitation with
/// its whole context fits; more than that a stranger cannot make this side hold.
const STRANGER_WINDOW_BYTES: u32 = 128 * 1024;
/// What a member may have under way, in bytes.
pub(super) const MEMBER_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// What one stream may have under way, in bytes: 1 Gbit/s at a round trip of 10 ms. Larger ones were
/// not faster, and noq closes a connection when a stream has more than 1,024 gaps, which from 2.4 MB
/// on a bad network may bring about (docs/performance.md).
const STREAM_WINDOW_BYTES: u32 = 1280 * 1024;
/// Bytes of datagrams that wait to be sent, and that wait to be read.
pub(super) const DATAGRAM_BUFFER_BYTES: usize = 256 * 1024;
/// Time for an address to become usable, and the pause between two tries.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
const ADDRESS_PAUSE: Duration = Duration::from_millis(200);
/// Tries to find a port that is free for both address families.
const PORT_TRIES: usize = 16;

/// Binds an endpoint. An empty list of interfaces means all of them.
pub(crate) async fn bind(
    identity: &Identity,
    interfaces: &[String],
    port: Option<u16>,
) -> Result<Endpoint, StartError> {
    // One port for both families: an SRV record has room for one.
    let tries = if port.is_some() { 1 } else { PORT_TRIES };
    let mut failure = StartError::Socket { error: "no port was tried".to_owned() };
    for _ in 0..tries {
        let chosen = match port {
            Some(port) => port,
            None => free_port()?,
        };
        match bind_port(identity, interfaces, chosen).await {
            Err(error @ (StartError::PortTaken { .. } | StartError::Socket { .. })) => {
                failure = error;
            }
            result => return result,
        }
    }
    Err(failure)
}

/// Binds an endpoint to one port. An IPv6 address cannot be bound before the system has made sure
/// that nobody else has it (RFC 4862, section 5.4), so where there is no other, this waits.
async fn bind_port(
    identity: &Identity,
    interfaces: &[String],
    port: u16,
) -> Result<Endpoint, StartError> {
    let deadline = Instant::now() + ADDRESS_TIMEOUT;
    loop {
        let builder = sockets(builder(identity), interfaces, port)?;
        let endpoint = builder.bind().await.map_err(|error| bind_error(&error, port))?;
        if !endpoint.bound_sockets().is_empty() {
            return Ok(endpoint);
        }
        if Instant::now() >= deadline {
            let error = format!("no address of {} can be used", interfaces.join(", "));
            return Err(StartError::Socket { error });
        }
        sleep(ADDRESS_PAUSE).await;
    }
}

/// The port and the addresses on which an endpoint is reached.
pub(crate) fn whereabouts(endpoint: &Endpoint, interfaces: &Interfaces) -> (u16, Vec<SocketAddr>) {
    let port = endpoint.bound_sockets().first().map_or(0, SocketAddr::port);
    (port, interfaces.reachable(endpoint.addr().ip_addrs().copied()))
}

/// The endpoint's addresses, now and each time that they change.
pub(super) fn addresses(endpoint: &Endpoint) -> BoxStream<'static, EndpointAddr> {
    endpoint.watch_addr().stream().boxed()
}

fn builder(identity: &Identity) -> Builder {
    // Nothing here leaves the local network: no relay, no lookup service, no port mapping.
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::custom([]))
        .secret_key(identity.secret_key())
        .alpns(vec![ALPN.to_vec()])
        .transport_config(transport_config(ACCEPTED_KEEP_ALIVE))
        .clear_ip_transports()
}

/// Begins a link: to whom, and with the settings of the end that dials.
pub(super) async fn connect(
    endpoint: &Endpoint,
    to: EndpointAddr,
) -> Result<Connection, DialError> {
    let options = ConnectOptions::new().with_transport_config(transport_config(KEEP_ALIVE));
    let connecting = endpoint.connect_with_opts(to, ALPN, options).await;
    let connecting = connecting.map_err(|error| DialError::Failed(innermost(&error)))?;
    connecting.await.map_err(|error| match &error {
        ConnectingError::ConnectionError { source, .. } if is_impostor(source) => {
            DialError::Impostor
        }
        error => DialError::Failed(innermost(error)),
    })
}

/// Whether somebody answered whose key is not the one that was asked for, or who does not speak this protocol at all.
fn is_impostor(error: &ConnectionError) -> bool {
    let code = match error {
        ConnectionError::TransportError(error) => error.code,
        ConnectionError::ConnectionClosed(close) => close.error_code,
        _ => return false,
    };
    // CRYPTO_ERROR, of which there is one for each TLS alert (RFC 9001, section 4.8).
    (0x100..0x200).contains(&u64::from(code))
}

/// The innermost reason, which says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The settings of a link's end that asks for a sign of life so often.
pub(crate) fn transport_config(keep_alive: Duration) -> QuicTransportConfig {
    let config = QuicTransportConfig::builder()
        .initial_rtt(INITIAL_ROUND_TRIP)
        .keep_alive_interval(keep_alive)
        .default_path_keep_alive_interval(keep_alive)
        .default_path_max_idle_timeout(PATH_IDLE_TIMEOUT)
        // One for control and one for messages; a member may open more.
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW_BYTES))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    match IDLE_TIMEOUT.try_into() {
        Ok(timeout) => config.max_idle_timeout(Some(timeout)).build(),
        Err(_) => config.build(),
    }
}

fn sockets(mut builder: Builder, interfaces: &[String], port: u16) -> Result<Builder, StartError> {
    let impossible =
        |error: iroh::endpoint::InvalidSocketAddr| StartError::Socket { error: error.to_string() };
    if interfaces.is_empty() {
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        // A machine may have either family switched off.
        return builder
            .bind_addr(v4)
            .and_then(|b| b.bind_addr_with_opts(v6, BindOpts::default().set_is_required(false)))
            .map_err(impossible);
    }
    for (address, prefix_len) in addresses_of(interfaces)? {
        let address = with_port(address, port);
        let options = BindOpts::default()
            .set_prefix_len(prefix_len)
            .set_is_default_route(false)
            .set_is_required(address.is_ipv4());
        builder = builder.bind_addr_with_opts(address, options).map_err(impossible)?;
    }
    Ok(builder)
}

/// Leaves out the addresses to which this endpoint has no way.
///
/// iroh 1.4 drops the scope of link-local IPv6 addresses, so only a socket that is bound to one
/// interface can answer from there; from another the link would hang after its first packet. So would
/// those to the peer's other addresses later, as iroh tries with each dial what it was given before.
pub(crate) fn usable(mut addresses: Vec<SocketAddr>, on_named_interfaces: bool) -> Vec<SocketAddr> {
    if !on_named_interfaces {
        addresses.retain(
            |address| !matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local()),
        );
    }
    addresses
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The addresses of these interfaces, each with the length of its network's prefix.
fn addresses_of(interfaces: &[String]) -> Result<Vec<(SocketAddr, u8)>, StartError> {
    let all = if_addrs::get_if_addrs()
        .map_err(|error| StartError::Socket { error: error.to_string() })?;
    let mut addresses = Vec::new();
    for name in interfaces {
        let before = addresses.len();
        for interface in all.iter().filter(|interface| interface.name == *name) {
            addresses.push(match &interface.addr {
                if_addrs::IfAddr::V4(v4) => (SocketAddr::new(IpAddr::V4(v4.ip), 0), v4.prefixlen),
                if_addrs::IfAddr::V6(v6) => {
                    let scope = if v6.ip.is_unicast_link_local() { interface.index } else { None };
                    let address = SocketAddrV6::new(v6.ip, 0, 0, scope.unwrap_or(0));
                    (SocketAddr::V6(address), v6.prefixlen)
                }
            });
        }
        if addresses.len() == before {
            let names: BTreeSet<&str> = all.iter().map(|i| i.name.as_str()).collect();
            let available = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(StartError::NoSuchInterface { name: name.clone(), available });
        }
    }
    Ok(addresses)
}

/// A port that nobody has at the moment.
fn free_port() -> Result<u16, StartError> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .or_else(|_| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)))
        .and_then(|socket| socket.local_addr())
        .map(|address| address.port())
        .map_err(|error| StartError::Socket { error: error.to_string() })
}

fn bind_error(error: &iroh::endpoint::BindError, port: u16) -> StartError {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    let mut text = error.to_string();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            if io.kind() == ErrorKind::AddrInUse {
                return StartError::PortTaken { port };
            }
            text = io.to_string();
        }
        source = cause.source();
    }
    StartError::Socket { error: text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses_are_for_sockets_of_one_interface() {
        let [v4, v6, local] = ["192.0.2.1:1", "[2001:db8::1]:1", "[fe80::1%2]:1"]
            .map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(usable(vec![local, v4, v6], false), [v4, v6]);
        assert_eq!(usable(vec![local, v4, v6], true), [local, v4, v6]);
        assert_eq!(usable(vec![local], false), []);
    }
}
