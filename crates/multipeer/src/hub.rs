//! What makes a peer a hub, and how another finds its relay. Whom a hub tells what is decided in
//! `multipeer-proto`; here it relays.

mod forwarder;
#[cfg(feature = "hub")]
mod relay;
#[cfg(feature = "hub")]
mod sink;
#[cfg(not(feature = "hub"))]
mod without;

use std::time::Duration;

pub(crate) use forwarder::Forwarder;
#[cfg(feature = "hub")]
pub(crate) use relay::RelayServer;
#[cfg(feature = "hub")]
use sink::Sink;
#[cfg(not(feature = "hub"))]
pub(crate) use without::RelayServer;
#[cfg(not(feature = "hub"))]
use without::Sink;

/// Pause after a connection that could not be accepted, as when there are no more files to be had.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much a hub relays at most, in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLimits {
    /// From one peer: 512 MiB unless said otherwise.
    pub bytes_per_second_per_peer: u32,
    /// From all together, of which each has an equal share: 1 GiB unless said otherwise.
    pub bytes_per_second: u32,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self { bytes_per_second_per_peer: 512 << 20, bytes_per_second: 1 << 30 }
    }
}
