//! What keeps this machine from finding anyone, as far as it can tell by itself while a session runs.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{DiscoveryProblem, Site, network_check::NetworkCheck, until};
use crate::{doctor, interfaces::Interfaces};

/// Pause between two looks at the machine's interfaces.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Time for others to be heard by multicast, before it is tried whether it goes out and comes back at all.
const PATIENCE: Duration = Duration::from_secs(4);

/// What there is to tell.
pub(super) enum Finding {
    /// Something is in the way.
    Problem(DiscoveryProblem),
    /// What was in the way is gone.
    Clear,
}

/// Looks after the machine's network while others are looked for.
pub(super) struct SelfCheck {
    interfaces: Interfaces,
    network: NetworkCheck,
    look: Interval,
    is_on: bool,
    /// Problems that were there at the last look, so that each is told once.
    present: Vec<DiscoveryProblem>,
    /// What is still to be told, the last one first.
    news: Vec<DiscoveryProblem>,
    /// When to try multicast, unless somebody else is heard by then.
    trial_at: Option<Instant>,
    trial: JoinSet<Vec<DiscoveryProblem>>,
    /// Whether anybody was heard, in whatever way.
    is_alone: bool,
}

impl SelfCheck {
    pub(super) fn new(site: &Site) -> Self {
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            interfaces: site.interfaces.clone(),
            network: NetworkCheck::default(),
            look,
            is_on: false,
            present: Vec::new(),
            news: Vec::new(),
            trial_at: None,
            trial: JoinSet::new(),
            is_alone: true,
        }
    }

    /// Others are looked for from now on.
    pub(super) fn begin(&mut self) {
        (self.is_on, self.is_alone) = (true, true);
        self.trial_at = Some(Instant::now() + PATIENCE);
        self.look.reset_immediately();
    }

    pub(super) fn end(&mut self) {
        (self.is_on, self.trial_at) = (false, None);
        self.trial.abort_all();
    }

    /// Somebody is there, at one of these addresses.
    pub(super) fn heard(&mut self, addresses: &[SocketAddr], by_multicast: bool) {
        // Another session on this machine says nothing of the network. It may know an address that is not known here yet.
        if !addresses.iter().any(|address| self.network.is_own(address.ip())) {
            self.is_alone = false;
            if by_multicast {
                self.trial_at = None;
            }
        }
    }

    /// The next finding. Cancel safe.
    pub(super) async fn next(&mut self) -> Finding {
        loop {
            if let Some(problem) = self.news.pop() {
                return Finding::Problem(problem);
            }
            tokio::select! {
                _ = self.look.tick(), if self.is_on => {
                    let problems = self.network.problems(&self.interfaces);
                    let new = problems.iter().filter(|problem| !self.present.contains(problem));
                    self.news.extend(new.cloned());
                    let is_clear = problems.is_empty() && !self.present.is_empty();
                    self.present = problems;
                    if is_clear {
                        return Finding::Clear;
                    }
                }
                () = until(self.trial_at) => {
                    self.trial_at = None;
                    self.trial.spawn(doctor::try_multicast(self.interfaces.clone(), self.is_alone));
                }
                Some(Ok(problems)) = self.trial.join_next() => self.news.extend(problems),
            }
        }
    }
}
