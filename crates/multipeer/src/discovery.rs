//! Finding who is near.
//!
//! Discovery is a hint: it tells where somebody may be. Who it is, only the link's handshake
//! tells. Sessions use [`LocalNetwork`] unless the builder is given something else; another way
//! to find peers is one implementation of [`Discovery`] away.

mod local;
mod mdns;
mod neighbourhood;
mod network_check;
mod questions;
mod self_check;
mod sockets;
mod system;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
pub use multipeer_proto::{Announcement, Way, Ways, probe::ProbedHost};
use multipeer_proto::{PeerId, ServiceType};
use tokio::time::{Instant, sleep_until};

use crate::interfaces::Interfaces;

pub(crate) use self::sockets::{probe_socket, responder_socket};
pub use self::{
    local::{LocalNetwork, Responder},
    mdns::Mdns,
    neighbourhood::Neighbourhood,
};

/// Where and for what discovery works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Site {
    /// What the session is about.
    pub service: ServiceType,
    /// The UDP port on which this peer can be reached.
    pub port: u16,
    /// The interfaces to use.
    pub interfaces: Interfaces,
    /// The addresses on which this peer can be reached.
    pub addresses: Vec<SocketAddr>,
    /// Hosts that may be asked, whatever network they are on.
    pub hosts: Vec<ProbedHost>,
}

/// What discovery has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiscoveryEvent {
    /// A peer was heard, for the first time or again.
    Found {
        /// What it says.
        announcement: Announcement,
        /// Where it may be reached.
        addresses: Vec<SocketAddr>,
        /// How it was heard.
        way: Way,
    },
    /// A hint that a peer is gone.
    Gone {
        /// Who.
        peer: PeerId,
        /// How it was heard until now.
        way: Way,
    },
    /// Something keeps peers from being found.
    Problem(DiscoveryProblem),
}

/// What keeps peers from being found, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryProblem {
    /// There is no network. The session begins when one comes.
    #[error(
        "no network interface has an address: connect to a network; the session begins as soon as \
         there is one"
    )]
    NoNetwork,
    /// There are interfaces, and all of them are left out.
    #[error(
        "only interfaces that are left out have an address ({interfaces}): connect to a network, or ask for one of \
         these by its name"
    )]
    AllLeftOut {
        /// Their names and kinds.
        interfaces: String,
    },
    /// An interface cannot carry multicast.
    #[error(
        "interface {interface} has no route for multicast, or a firewall forbids it ({error}): \
         peers cannot be found there; allow UDP to 224.0.0.251 on it, or use another interface"
    )]
    NoMulticastRoute {
        /// The interface's name.
        interface: String,
        /// What the system said.
        error: String,
    },
    /// What is for a network of this machine goes into a tunnel.
    #[error(
        "the tunnel {tunnel} takes what is for the local network {network}, so that nobody there can be reached: allow the \
         local network in the VPN's settings (\"LAN access\"), or switch the VPN off"
    )]
    TunnelTakesLocal {
        /// The tunnel's name.
        tunnel: String,
        /// The network.
        network: String,
    },
    /// Nobody was found, and a tunnel has the default route.
    #[error(
        "nobody is found, and the tunnel {tunnel} has the default route: some VPNs cut off the local network; if there are \
         peers near, allow it in the VPN's settings (\"LAN access\"), or switch the VPN off"
    )]
    TunnelHasDefault {
        /// The tunnel's name.
        tunnel: String,
    },
    /// A firewall on this machine drops multicast DNS.
    #[error(
        "what this device says by multicast DNS on {interface} does not come back to it: a firewall on this device drops it; \
         allow UDP to 224.0.0.251 and ff02::fb, port 5353, in and out, and UDP port 19792"
    )]
    FirewallHere {
        /// The interface's name.
        interface: String,
    },
    /// An interface carries no multicast.
    #[error(
        "the interface {interface} carries no multicast: switch it on (`ip link set {interface} multicast on`), or use another \
         interface; until then peers are asked for one by one"
    )]
    NoMulticast {
        /// The interface's name.
        interface: String,
    },
    /// Another program keeps the port of multicast DNS for itself.
    #[error(
        "another program keeps UDP port 5353 for itself, so that multicast DNS cannot be used here: stop it, or have it \
         share the port (Avahi: disallow-other-stacks=no); until then peers are asked for one by one"
    )]
    PortHeld,
    /// Somebody answers questions, and is not heard by multicast.
    #[error(
        "multicast does not arrive on this network, as is usual with guest networks and some access points: peers are \
         found by asking each address, which takes some seconds; switch off \"client isolation\" or \"multicast \
         filtering\" at the access point, or allow UDP port 5353 in the firewall"
    )]
    MulticastBlocked,
    /// Nobody is heard by multicast, and the network is too large to ask every address.
    #[error(
        "nobody is heard on the network {network}, and it has too many addresses ({hosts}) to ask each of them: if there \
         are peers, allow multicast (UDP port 5353), or join one with a ticket or by its address"
    )]
    TooLarge {
        /// The network.
        network: String,
        /// How many addresses it has.
        hosts: u64,
    },
    /// Somebody announces so much that it cannot all be remembered.
    #[error(
        "somebody on this network announces more than can be remembered, as nobody does who means well: multicast DNS is \
         not listened to for some seconds, and what was heard is forgotten; find out who it is"
    )]
    Flooded,
    /// The responder failed.
    #[error("the mDNS responder failed: {error}")]
    Responder {
        /// What went wrong.
        error: String,
    },
}

/// Discovery that could not be started, for people to read.
pub type DiscoveryError = String;

/// Begins discovery for one session.
pub trait Provider: Send {
    /// Begins discovery. Nothing is announced and nobody is looked for yet.
    fn start(&self, site: Site) -> Result<Box<dyn Discovery>, DiscoveryError>;
}

/// Announces one peer and finds others.
///
/// Calls come from one task, and none may block.
pub trait Discovery: Send {
    /// Sets what is announced, at once if this peer is announced already.
    fn announce(&mut self, announcement: &Announcement);
    /// This peer is reached there from now on. Called while nothing is announced.
    fn move_to(&mut self, port: u16, addresses: Vec<SocketAddr>);
    /// The machine's networks are others than before: who is on the new ones is to be found at once. What watches them by
    /// itself need not do anything.
    fn look_at_networks(&mut self) {}
    /// Begins to announce and to look for others, who are all reported anew.
    fn look(&mut self);
    /// Begins or stops to look for others, while this peer stays announced. Who is found is reported anew
    /// when it begins again. Called after [`look`](Self::look) only; a way of discovery that costs nothing
    /// need not do anything.
    fn browse(&mut self, browse: bool) {
        _ = browse;
    }
    /// Withdraws the announcement and stops looking. What was found is forgotten.
    fn stop(&mut self);
    /// Finds out whether a peer is still there; an event tells: within 5 seconds when it is gone.
    fn verify(&mut self, peer: PeerId);
    /// The next event. Must be cancel safe: it is dropped and asked for again all the time.
    fn next(&mut self) -> BoxFuture<'_, DiscoveryEvent>;
    /// Withdraws everything and ends.
    fn shutdown(&mut self) -> BoxFuture<'_, ()>;
}

/// Waits until then; for ever, if there is no such moment.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Ids of sessions of this process that are over, at most.
const MAX_FORMER_IDS: usize = 1024;

/// This process under its former ids: announcements of those that are still under way, or in
/// somebody's cache, are nobody.
static FORMER_IDS: Mutex<VecDeque<PeerId>> = Mutex::new(VecDeque::new());

/// The id is not in use any more in this process.
pub(crate) fn retire(id: PeerId) {
    let mut former = FORMER_IDS.lock().unwrap_or_else(PoisonError::into_inner);
    if former.len() >= MAX_FORMER_IDS {
        former.pop_front();
    }
    former.push_back(id);
}

/// The id is in use again, as a stored identity may be.
pub(crate) fn reinstate(id: PeerId) {
    FORMER_IDS.lock().unwrap_or_else(PoisonError::into_inner).retain(|&former| former != id);
}

pub(crate) fn is_retired(id: PeerId) -> bool {
    FORMER_IDS.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
}
