//! How a peer is reached.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use iroh::{
    TransportAddr,
    endpoint::{Connection, LocalTransportAddr},
};

/// The way that packets to a peer take at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// Which way.
    pub route: Route,
    /// The time from here to there and back, smoothed.
    pub round_trip: Duration,
}

/// Which way packets to a peer take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// Straight to it.
    Direct {
        /// Where it is.
        remote: SocketAddr,
        /// From which interface of this machine, if that can be told.
        interface: Option<String>,
    },
    /// Through a hub.
    Hub {
        /// Where the hub is.
        url: String,
    },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { remote, interface: Some(interface) } => {
                write!(f, "directly to {remote} on {interface}")
            }
            Self::Direct { remote, interface: None } => write!(f, "directly to {remote}"),
            Self::Hub { url } => write!(f, "through the hub at {url}"),
        }
    }
}

/// The path that a connection uses, unless it has none at the moment.
pub(crate) fn path_of(connection: &Connection) -> Option<Path> {
    let paths = connection.paths();
    let selected = paths.iter().find(iroh::endpoint::Path::is_selected);
    // At the very beginning none is selected yet.
    let path = selected.or_else(|| paths.iter().next())?;
    let route = match path.remote_addr() {
        TransportAddr::Ip(remote) => {
            let interface = match path.local_addr() {
                LocalTransportAddr::Ip(local) => (*local).and_then(interface_of),
                _ => None,
            };
            Route::Direct { remote: *remote, interface }
        }
        TransportAddr::Relay(url) => Route::Hub { url: url.to_string() },
        _ => return None,
    };
    Some(Path { route, round_trip: path.rtt() })
}

/// The interface that has this address.
fn interface_of(address: IpAddr) -> Option<String> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.into_iter().find(|interface| interface.ip() == address).map(|found| found.name)
}
