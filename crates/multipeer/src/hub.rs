//! What makes a peer a hub. Whom it tells what is decided in `multipeer-proto`; here it relays.

#[cfg(feature = "hub")]
mod relay;
#[cfg(not(feature = "hub"))]
mod without;

#[cfg(feature = "hub")]
pub(crate) use relay::RelayServer;
#[cfg(not(feature = "hub"))]
pub(crate) use without::RelayServer;

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
