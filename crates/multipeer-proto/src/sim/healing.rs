//! The second part of a run: everything works again, and everyone must find back.

use std::time::Duration;

use super::{
    Violation,
    scenario::{Room, Scenario},
    world::{Happening, Result, World},
};
use crate::{Activity, Command, Input, PeerId, Timestamp};

/// Time that a network may take to heal before that counts as failed.
const HEAL_LIMIT: Duration = Duration::from_mins(1);
/// Pause between two looks whether everyone has found back.
const HEAL_CHECK: Duration = Duration::from_millis(250);
/// How long everyone must stay together.
const STABLE_FOR: Duration = Duration::from_secs(3);

impl World {
    pub(super) fn heal(&mut self) -> Result {
        self.healing_since = Some(self.now);
        self.parts.fill(0);
        // Those who mean harm do not have to be reached in the end, and can keep others waiting.
        for index in 0..self.hosts.len() {
            if self.scenario.room(index) == Room::Forger {
                self.crash(index);
            }
        }
        for run in self.runs() {
            self.input(run, Input::Command(Command::StartLooking))?;
            self.input(run, Input::Command(Command::SetActivity(Activity::Foreground)))?;
        }
        self.after(HEAL_CHECK, Happening::CheckHealed { stable_since: None });
        Ok(())
    }

    pub(super) fn check_healed(&mut self, stable_since: Option<Timestamp>) -> Result {
        let Some(since) = self.healing_since else {
            return Ok(());
        };
        let stable_since = match self.missing() {
            None => Some(stable_since.unwrap_or(self.now)),
            Some(violation) if self.now.since(since) > HEAL_LIMIT => return Err(violation),
            Some(_) => None,
        };
        if let Some(stable) = stable_since
            && self.now.since(stable) >= STABLE_FOR
        {
            self.report.healed_after = stable.since(since);
            self.checker.check_fates(&self.runs())?;
            return self.settle();
        }
        self.after(HEAL_CHECK, Happening::CheckHealed { stable_since });
        Ok(())
    }

    /// What still keeps the network from being whole.
    pub(super) fn missing(&self) -> Option<Violation> {
        let alive = self.runs();
        if self.hosts.iter().flatten().any(|host| host.over) {
            return Some(Violation::NotHealed { missing: "a host is still down".to_owned() });
        }
        let removed = |id: PeerId| {
            self.hosts.iter().flatten().any(|host| host.session.removal_of(id).is_some())
        };
        for (index, host) in self.hosts.iter().enumerate() {
            let Some(host) = host else { continue };
            if removed(host.run.id) {
                if host.session.peers().next().is_some() {
                    let missing = format!("{} was removed and still has company", host.run);
                    return Some(Violation::NotHealed { missing });
                }
                continue;
            }
            let mut expected: Vec<PeerId> = alive.iter().map(|run| run.id).collect();
            let room = self.rooms.get(&host.run.id);
            let is_apart = |id: PeerId| {
                let other = self.run_of(id).and_then(|run| self.index_of(run));
                other.is_some_and(|other| !self.scenario.belong_together(index, other))
            };
            expected.retain(|&id| {
                id != host.run.id && self.rooms.get(&id) == room && !removed(id) && !is_apart(id)
            });
            expected.sort_unstable();
            let listed: Vec<PeerId> = host.session.peers().map(|peer| peer.id).collect();
            if listed != expected {
                return Some(Violation::OtherMembers { at: host.run, listed, expected });
            }
            // Whom a host does not hear, the hubs have told it of.
            let near: Vec<PeerId> = host.session.nearby().map(|peer| peer.id).collect();
            let is_told = self.scenario == Scenario::Hubs && self.settling_since.is_none();
            if is_told && expected.iter().any(|id| !near.contains(id)) {
                let missing = format!("{} has near {near:?} and not {expected:?}", host.run);
                return Some(Violation::NotHealed { missing });
            }
            for other in self.hosts.iter().flatten().filter(|other| other.run != host.run) {
                if !expected.contains(&other.run.id) {
                    continue;
                }
                if !host.session.is_viable(other.run.id) {
                    let missing = format!("{} takes {} for unviable", host.run, other.run);
                    return Some(Violation::NotHealed { missing });
                }
                let link = host.session.attached_link(other.run.id);
                let rests = host.session.is_resting(other.run.id);
                if rests && other.session.is_resting(host.run.id) {
                    continue;
                }
                if link.is_none() || link != other.session.attached_link(host.run.id) {
                    let (between, and) = (host.run, other.run);
                    return Some(Violation::DifferentLinks { between, and });
                }
            }
        }
        let settled = self.checker.is_settled(&alive);
        let missing = "messages are still under way".to_owned();
        (!settled).then_some(Violation::NotHealed { missing })
    }
}
