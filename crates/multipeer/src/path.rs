//! How a peer is reached.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use iroh::{
    RelayUrl, TransportAddr,
    endpoint::{Connection, LocalTransportAddr},
};
use multipeer_proto::PeerId;

use crate::net::Relays;

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
    /// Through a hub, which cannot read them.
    Hub {
        /// The hub.
        hub: PeerId,
    },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { remote, interface: Some(interface) } => {
                write!(f, "directly to {remote} on {interface}")
            }
            Self::Direct { remote, interface: None } => write!(f, "directly to {remote}"),
            Self::Hub { hub } => write!(f, "through hub {}", hub.short()),
        }
    }
}

/// Between which ends the packets of a connection go: what a [`Path`] is told by, without asking the system for
/// the names of its interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ends {
    Direct { remote: SocketAddr, local: Option<IpAddr> },
    Relayed(RelayUrl),
}

impl Ends {
    /// Those at the moment, unless there are none.
    pub(crate) fn of(connection: &Connection) -> Option<Self> {
        current(connection).map(|(ends, _)| ends)
    }

    /// Where the other end is, if it is reached without a hub.
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        match self {
            Self::Direct { remote, .. } => Some(*remote),
            Self::Relayed(_) => None,
        }
    }
}

impl Path {
    /// The path that a connection uses, unless it has none at the moment.
    pub(crate) fn of(connection: &Connection, relays: &Relays) -> Option<Self> {
        let (ends, round_trip) = current(connection)?;
        let route = match ends {
            Ends::Direct { remote, local } => {
                Route::Direct { remote, interface: local.and_then(interface_of) }
            }
            Ends::Relayed(url) => Route::Hub { hub: relays.hub_at(&url)? },
        };
        Some(Self { route, round_trip })
    }
}

fn current(connection: &Connection) -> Option<(Ends, Duration)> {
    let paths = connection.paths();
    let selected = paths.iter().find(iroh::endpoint::Path::is_selected);
    // At the very beginning none is selected yet.
    let path = selected.or_else(|| paths.iter().next())?;
    let ends = match path.remote_addr() {
        TransportAddr::Ip(remote) => {
            let local = match path.local_addr() {
                LocalTransportAddr::Ip(local) => *local,
                _ => None,
            };
            Ends::Direct { remote: *remote, local }
        }
        TransportAddr::Relay(url) => Ends::Relayed(url.clone()),
        _ => return None,
    };
    Some((ends, path.rtt()))
}

/// The interface that has this address.
fn interface_of(address: IpAddr) -> Option<String> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.into_iter().find(|interface| interface.ip() == address).map(|found| found.name)
}
