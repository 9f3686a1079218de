//! Why peers do not find each other: looks at this machine and its networks, changes nothing, and says what is in the way.
//!
//! ```no_run
//! # async fn example() {
//! use multipeer::doctor::Doctor;
//!
//! let report = Doctor::default().examine().await;
//! for diagnosis in &report.diagnoses {
//!     println!("{diagnosis}");
//! }
//! # }
//! ```

mod adapters;
mod multicast;
mod partners;
mod sockets;
mod surroundings;
mod verdict;

use std::time::Duration;

use socket2::Domain;
use tokio::time::timeout;

pub use self::{
    adapters::Adapter,
    partners::Partner,
    sockets::PortCheck,
    surroundings::Surroundings,
    verdict::{Cause, Diagnosis},
};
use crate::{
    discovery::{DiscoveryProblem, LocalNetwork, responder_socket},
    interfaces::{InterfaceKind, Interfaces},
};

/// The longest that an examination takes, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(12);
/// Time for the programs that are asked for rules of firewalls.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Time to listen for what was said by multicast. Responders wait up to 120 ms (RFC 6762, section 6).
const LISTEN_PATIENCE: Duration = Duration::from_secs(4);
/// The same for one's own alone, which comes back at once: time for a second try.
const TRIAL_PATIENCE: Duration = Duration::from_millis(1500);

/// Examines this machine's networks. Needs no privilege, and changes nothing.
#[derive(Debug, Clone)]
pub struct Doctor {
    interfaces: Interfaces,
    name: String,
    patience: Duration,
    discovery: LocalNetwork,
}

impl Default for Doctor {
    fn default() -> Self {
        Self {
            interfaces: Interfaces::default(),
            name: "doctor".to_owned(),
            patience: PATIENCE,
            discovery: LocalNetwork::default(),
        }
    }
}

/// What an examination found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The machine's network interfaces.
    pub adapters: Vec<Adapter>,
    /// The ports that a session needs, and whether it could have them.
    pub ports: Vec<PortCheck>,
    /// What else on the machine matters.
    pub surroundings: Surroundings,
    /// What a session said that looked for others meanwhile.
    pub problems: Vec<DiscoveryProblem>,
    /// Other machines on which an examination is under way.
    pub partners: Vec<Partner>,
    /// What follows from all that, the most likely cause of trouble first. Never empty.
    pub diagnoses: Vec<Diagnosis>,
}

impl Report {
    /// Whether something is in the way.
    pub fn finds_trouble(&self) -> bool {
        self.diagnoses.iter().any(|diagnosis| diagnosis.cause.is_trouble())
    }
}

/// Whether multicast DNS that this machine sends comes back to it, on each interface; and if nobody was found, whether a
/// tunnel may be why. Takes 1.5 s.
pub(crate) async fn try_multicast(interfaces: Interfaces, is_alone: bool) -> Vec<DiscoveryProblem> {
    let mut adapters = adapters::look(&interfaces);
    // What is for this machine alone is no network.
    adapters.retain(|adapter| adapter.is_of_use() && adapter.kind != InterfaceKind::Loopback);
    let has_port = responder_socket(Domain::IPV4).is_ok();
    let heard = multicast::listen(&adapters, has_port, TRIAL_PATIENCE).await;
    let adapters = multicast::note(adapters, &heard, &[]);
    let problem = |adapter: Adapter| {
        let interface = adapter.name;
        if adapter.has_multicast == Some(false) {
            Some(DiscoveryProblem::NoMulticast { interface })
        } else if adapter.hears_itself == Some(false) {
            Some(DiscoveryProblem::FirewallHere { interface })
        } else {
            None
        }
    };
    let mut problems: Vec<DiscoveryProblem> = adapters.into_iter().filter_map(problem).collect();
    if let Some((tunnel, InterfaceKind::Tunnel)) =
        surroundings::way_out().filter(|(name, kind)| is_alone && !interfaces.include(name, *kind))
    {
        problems.push(DiscoveryProblem::TunnelHasDefault { tunnel });
    }
    problems
}

impl Doctor {
    /// Uses these interfaces, as a session would.
    #[must_use]
    pub fn interfaces(mut self, interfaces: Interfaces) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// What the other machine's doctor calls this one; 63 bytes at most.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Takes no longer than this: 12 s unless said otherwise, at least 5 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.max(Duration::from_secs(5));
        self
    }

    /// Finds the other machine's doctor so.
    #[must_use]
    pub fn discovery(mut self, discovery: LocalNetwork) -> Self {
        self.discovery = discovery;
        self
    }

    /// Looks at everything. A doctor that runs at the same time on another machine is found, and both test the way
    /// between them.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the examination and leaves nothing behind.
    pub async fn examine(self) -> Report {
        let adapters = adapters::look(&self.interfaces);
        let ports = sockets::look();
        let port_error = ports.iter().find(|p| p.port == Some(mdns_sd::MDNS_PORT));
        let port_error = port_error.and_then(|port| port.error.clone());
        let (heard, meeting) = tokio::join!(
            multicast::listen(&adapters, port_error.is_none(), LISTEN_PATIENCE),
            partners::meet(&self.interfaces, &self.name, self.discovery, self.patience)
        );
        // After everyone was asked: the system knows by then who is there.
        let looked = tokio::task::spawn_blocking(move || Surroundings::look(port_error));
        let surroundings = timeout(LOOK_TIMEOUT, looked).await;
        let surroundings = surroundings.ok().and_then(Result::ok).unwrap_or_default();
        let mut report = Report {
            adapters: multicast::note(adapters, &heard, &surroundings.neighbours),
            ports,
            surroundings,
            problems: meeting.problems,
            partners: meeting.partners,
            diagnoses: Vec::new(),
        };
        report.diagnoses = verdict::conclude(&report);
        report
    }
}
