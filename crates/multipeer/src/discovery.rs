//! Finding who is near.
//!
//! Discovery is a hint: it tells where somebody may be. Who it is, only the link's handshake
//! tells. Sessions use [`Mdns`] unless the builder is given something else; another responder
//! (Bonjour, Avahi, a fixed list) is one implementation of [`Discovery`] away.

mod mdns;
mod neighbourhood;
mod network_check;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
pub use multipeer_proto::Announcement;
use multipeer_proto::{PeerId, ServiceType};

pub use self::{mdns::Mdns, neighbourhood::Neighbourhood};

/// Where and for what discovery works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Site {
    /// What the session is about.
    pub service: ServiceType,
    /// The UDP port on which this peer can be reached.
    pub port: u16,
    /// The interfaces to use, by name; all usable ones when it is empty.
    pub interfaces: Vec<String>,
    /// The addresses on which this peer can be reached.
    pub addresses: Vec<SocketAddr>,
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
    },
    /// A hint that a peer is gone.
    Gone {
        /// Who.
        peer: PeerId,
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
