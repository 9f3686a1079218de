//! The last thing of some runs: a peer in the background is gone, with all to whom it kept a link, and everyone must notice.

use std::time::Duration;

use rand::seq::IteratorRandom;

use super::{
    Run, Violation,
    scenario::Scenario,
    world::{Happening, Result, World},
};
use crate::limits::KEPT_LINKS;

/// Time in which everyone must have noticed. First those are missed whose links are in use, then, each after as long again,
/// those who named them as their witnesses.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// The same where hubs are among them, without whom others are not reached any more: of all of these it has to be found out,
/// before it is clear whose word counts.
const NOTICED_WITHOUT_HUBS_WITHIN: Duration = Duration::from_secs(20);

impl World {
    /// Has those vanish, unless nobody has a link at rest.
    pub(super) fn vanish(&mut self) -> bool {
        let hosts = self.hosts.iter().flatten();
        let rests = hosts.filter(|host| {
            let (peers, session) = (host.session.peers(), &host.session);
            let resting = peers.filter(|peer| session.is_resting(peer.id)).count();
            // Of more than a few the rest are in touch with nobody.
            let in_use = session.peers().count() - resting;
            self.background.contains(&host.run) && resting > 0 && in_use <= KEPT_LINKS + 1
        });
        let Some(host) = rests.choose(&mut self.random) else { return false };
        let kept = host.session.peers().map(|peer| peer.id);
        let kept = kept.filter(|&peer| host.session.attached_link(peer).is_some());
        let gone: Vec<Run> = kept.filter_map(|peer| self.run_of(peer)).chain([host.run]).collect();
        for index in gone.iter().filter_map(|&run| self.index_of(run)).collect::<Vec<_>>() {
            self.stop(index);
        }
        self.report.vanished = gone.len() as u64;
        self.vanished = gone;
        let within = match self.scenario {
            Scenario::Hubs => NOTICED_WITHOUT_HUBS_WITHIN,
            _ => NOTICED_WITHIN,
        };
        self.after(within, Happening::EndVanishing);
        true
    }

    pub(super) fn end_vanishing(&mut self) -> Result {
        self.done = true;
        for host in self.hosts.iter().flatten() {
            if let Some(gone) = self.vanished.iter().find(|run| host.session.is_viable(run.id)) {
                return Err(Violation::Ghost { at: host.run, peer: gone.id });
            }
        }
        Ok(())
    }
}
