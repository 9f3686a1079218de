//! A simulator: many peers on a bad network, in virtual time, from one seed.
//!
//! A run has two parts. First the network and the hosts misbehave: links die with or without
//! notice, are slow, cross each other; the network splits; hosts crash and start again, under the
//! same id or another; discovery lies; datagrams are lost, doubled and reordered. Then all of it
//! heals, and the peers must find back together; then some go to the
//! background, and one leaves, or vanishes with those who would notice first. The invariants of ARCHITECTURE.md are checked at
//! every step, and what only the end can tell at the end.
//!
//! The same seed gives the same run: `cargo xtask sim --seed 4711` replays it with a log.

mod check;
mod discovery;
mod farewell;
mod faults;
mod forgers;
mod healing;
mod host;
mod links;
mod listening;
mod messages;
mod network;
mod resting;
mod scenario;
mod vanishing;
mod world;

use std::{fmt, time::Duration};

pub use self::check::Violation;
use self::world::World;
use crate::PeerId;

/// A start of a host: two of them are never the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// The peer.
    pub id: PeerId,
    /// Which start of it.
    pub incarnation: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id.short(), self.incarnation)
    }
}

/// What to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Everything that is random comes from it.
    pub seed: u64,
    /// Peers at the start: 2 to this many.
    pub max_peers: usize,
    /// Whether to print what happens.
    pub log: bool,
}

impl Options {
    /// The usual run for a seed: of sixteen, one is with many.
    pub const fn new(seed: u64) -> Self {
        let max_peers = if seed % 16 == 5 { 24 } else { 12 };
        Self { seed, max_peers, log: false }
    }
}

/// What a run did, to see that it did something.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Peers at the end.
    pub peers: usize,
    /// Steps of the simulation.
    pub steps: u64,
    /// Faults of every kind.
    pub faults: u64,
    /// Times that a peer was reported connected.
    pub connections: u64,
    /// Links through a hub.
    pub relayed: u64,
    /// Links that were replaced and went on where the former one stopped.
    pub resumptions: u64,
    /// Times that one end of a link had it rest.
    pub rests: u64,
    /// Peers that were gone at the end, one in the background and those to whom it kept links.
    pub vanished: u64,
    /// Reliable messages delivered.
    pub delivered: u64,
    /// Best-effort messages delivered.
    pub delivered_unreliable: u64,
    /// Reliable messages handed back to their sender as not confirmed.
    pub returned: u64,
    /// Virtual time from the end of the faults until everyone had found back.
    pub healed_after: Duration,
}

/// A run in which an invariant did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The run.
    pub seed: u64,
    /// The virtual time at which it showed.
    pub at: Duration,
    /// What was wrong.
    pub violation: Box<Violation>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, violation } = self;
        write!(
            f,
            "seed {seed} at {:.3} s: {violation}\nreplay with: cargo xtask sim --seed {seed}",
            at.as_secs_f64()
        )
    }
}

impl std::error::Error for Failure {}

/// Runs one simulation to its end.
pub fn run(options: Options) -> Result<Report, Failure> {
    World::new(options).run()
}
