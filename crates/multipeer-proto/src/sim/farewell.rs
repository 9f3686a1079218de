//! The last thing of a run: nothing is broken, somebody leaves, and everyone must hear it.

use std::{collections::BTreeSet, time::Duration};

use rand::seq::IteratorRandom;

use super::{
    Run, Violation,
    world::{Happening, Result, World},
};
use crate::{Command, DisconnectReason, Input, PeerId, limits::LEAVE_TIMEOUT};

/// Time in which everyone must have heard it: what is said last may be under way for a while when the patience is over.
const HEARD_WITHIN: Duration = LEAVE_TIMEOUT.saturating_add(Duration::from_millis(1100));

/// Somebody leaves.
pub(super) struct Farewell {
    who: Run,
    /// Those who have not heard it yet.
    unaware: BTreeSet<Run>,
}

impl World {
    /// One of those who are together says something to everyone, and leaves.
    pub(super) fn say_farewell(&mut self) {
        let hosts = self.hosts.iter().enumerate();
        let hosts = hosts.filter_map(|(index, host)| Some((index, host.as_ref()?)));
        let Some((index, host)) = hosts.filter(|(_, host)| !host.over).choose(&mut self.random)
        else {
            self.done = true;
            return;
        };
        let who = host.run;
        let members = host.session.peers();
        let unaware = members.filter_map(|member| self.run_of(member.id)).collect();
        self.farewell = Some(Farewell { who, unaware });
        self.send_to_all(index);
        // At once, or while links are woken for what it said.
        let leave = Box::new(Input::Command(Command::Leave));
        self.within(0, 100, Happening::Input { run: who, input: leave });
        self.after(HEARD_WITHIN, Happening::EndFarewell);
    }

    /// Who is told that somebody has left has heard its last word before.
    pub(super) fn heard_farewell(
        &mut self,
        at: Run,
        peer: PeerId,
        reason: &DisconnectReason,
    ) -> Result {
        match &mut self.farewell {
            Some(Farewell { who, unaware })
                if who.id == peer && *reason == DisconnectReason::Left =>
            {
                unaware.remove(&at);
                self.checker.check_last(*who, at)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn end_farewell(&mut self) -> Result {
        self.done = true;
        let Some(Farewell { who, unaware }) = self.farewell.take() else { return Ok(()) };
        match unaware.first() {
            Some(&at) => Err(Violation::LeftInSilence { at, who }),
            None => Ok(()),
        }
    }
}
