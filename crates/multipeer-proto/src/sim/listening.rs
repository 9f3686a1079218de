//! What hosts hear of each other: signs of life, as long as something gets through.

use std::time::Duration;

use super::{
    Run, Violation,
    world::{Happening, Result, World},
};
use crate::{
    Input, LinkId, PeerId,
    limits::{DEFAULT_UNVIABLE_AFTER, LISTEN_INTERVAL},
};

/// Time between two looks: as late as a busy host may be.
const LOOK: Duration = LISTEN_INTERVAL.saturating_mul(2);

impl World {
    /// Tells a host which of its links bring something, and looks whom it takes for viable.
    pub(super) fn listen(&mut self, run: Run) -> Result {
        let Some(index) = self.index_of(run) else { return Ok(()) };
        let Some(host) = &self.hosts[index] else { return Ok(()) };
        if host.over {
            return Ok(());
        }
        let alive = |&link: &LinkId| {
            let (id, side) = self.end_of(index, link)?;
            let other = self.connections.get(&id)?.end(side.other());
            let gone = other.closed || self.index_of(other.run).is_none() || self.is_stalled(id);
            (!gone).then_some((link, other.run.id))
        };
        let heard: Vec<(LinkId, PeerId)> = host.links.keys().filter_map(alive).collect();
        let links = heard.iter().map(|&(link, _)| link).collect();
        // Of whom nothing is to be heard.
        let resting = host.lanes.keys().copied().filter(|&peer| host.session.is_resting(peer));
        let resting: Vec<PeerId> = resting.collect();
        let now = self.now;
        let mut used = Vec::new();
        if let Some(host) = &mut self.hosts[index] {
            let known = heard.into_iter().map(|(_, peer)| peer).chain(resting);
            host.heard.extend(known.map(|peer| (peer, now)));
            let lanes = host.lanes.values_mut();
            used.extend(lanes.filter_map(|lane| if lane.look() { lane.link } else { None }));
        }
        self.after(LOOK, Happening::Listen { run });
        self.input(run, Input::Heard { links, used })?;
        // Told at the latest at the second look after that.
        let patience = DEFAULT_UNVIABLE_AFTER + 2 * LOOK;
        let Some(host) = &self.hosts[index] else { return Ok(()) };
        let ghost = host.lanes.keys().copied().find(|peer| {
            let heard = host.heard.get(peer).copied().unwrap_or_default();
            host.session.is_viable(*peer) && now.since(heard) > patience
        });
        ghost.map_or(Ok(()), |peer| Err(Violation::Ghost { at: run, peer }))
    }
}
