//! The last thing of a run: nothing is broken, somebody leaves, and everyone must hear it.

use std::{collections::BTreeSet, time::Duration};

use rand::seq::IndexedRandom;

use super::{
    Run, Violation,
    world::{Happening, Result, World},
};
use crate::{Command, DisconnectReason, PeerId, limits::LEAVE_TIMEOUT};

/// Time in which everyone must have heard it: what is said last may be under way for a while when the patience is over.
const HEARD_WITHIN: Duration = LEAVE_TIMEOUT.saturating_add(Duration::from_secs(1));

/// Somebody leaves.
pub(super) struct Farewell {
    who: Run,
    members: Vec<Run>,
    /// Those who have not heard it yet.
    unaware: BTreeSet<Run>,
}

impl World {
    /// One of those who are together says something to everyone, and leaves.
    pub(super) fn say_farewell(&mut self) -> Result {
        let runs = self.runs();
        let Some(&who) = runs.choose(&mut self.random) else {
            self.done = true;
            return Ok(());
        };
        let Some(index) = self.index_of(who) else { return Ok(()) };
        let Some(host) = &self.hosts[index] else { return Ok(()) };
        let members: Vec<Run> =
            host.session.peers().filter_map(|member| self.run_of(member.id)).collect();
        let unaware = members.iter().copied().collect();
        self.farewell = Some(Farewell { who, members, unaware });
        self.send_to_all(index);
        self.after(HEARD_WITHIN, Happening::EndFarewell);
        self.command(index, Command::Leave)
    }

    pub(super) fn heard_farewell(&mut self, at: Run, peer: PeerId, reason: &DisconnectReason) {
        if let Some(farewell) = &mut self.farewell
            && farewell.who.id == peer
            && *reason == DisconnectReason::Left
        {
            farewell.unaware.remove(&at);
        }
    }

    pub(super) fn end_farewell(&mut self) -> Result {
        self.done = true;
        let Some(Farewell { who, members, unaware }) = self.farewell.take() else { return Ok(()) };
        if let Some(&at) = unaware.first() {
            return Err(Violation::LeftInSilence { at, who });
        }
        members.into_iter().try_for_each(|to| self.checker.check_last(who, to))
    }
}
