//! Peers in the background, and what becomes of their links.

use std::time::Duration;

use rand::RngExt;

use super::{
    Run, Violation,
    scenario::Scenario,
    world::{Happening, Result, World},
};
use crate::{
    Activity, Command, Input, LinkId, PeerId,
    limits::{KEPT_LINKS, REST_PATIENCE},
};

/// Pause between two looks whether everyone has come to rest.
const REST_CHECK: Duration = Duration::from_millis(250);
/// Questions that are answered with no, or not at all, before the links must rest all the same.
const TRIES: u32 = 30;

impl World {
    /// Finds out whether nothing is under way to a peer; at times the application is about to have something.
    pub(super) fn pause(&mut self, index: usize, run: Run, peer: PeerId, link: LinkId) {
        let is_busy = self.random.random_bool(0.2);
        let Some(lane) = self.lane(index, peer).filter(|lane| lane.link == Some(link)) else {
            return;
        };
        let quiet = lane.outbox.is_empty() && !is_busy;
        lane.paused = quiet;
        let input = Box::new(Input::Paused { peer, link, quiet });
        self.within(0, 2, Happening::Input { run, input });
    }

    /// A link was ended that rests from now on.
    pub(super) fn come_to_rest(&mut self, index: usize, link: LinkId) {
        self.report.rests += 1;
        let Some(host) = &mut self.hosts[index] else { return };
        let run = host.run;
        let lane = host.lanes.iter_mut().find(|(_, lane)| lane.link == Some(link));
        let Some((&peer, lane)) = lane else { return };
        (lane.paused, lane.resting) = (false, true);
        host.heard.insert(peer, self.now);
        if !lane.outbox.is_empty() {
            self.want(index, run, peer);
        }
    }

    /// The application has something for a peer: is there a link that takes it?
    pub(super) fn want(&mut self, index: usize, run: Run, peer: PeerId) {
        let Some(lane) = self.lane(index, peer) else { return };
        if lane.paused || std::mem::take(&mut lane.resting) {
            let input = Box::new(Input::Wanted { peer });
            self.after(Duration::ZERO, Happening::Input { run, input });
        }
    }

    /// Everyone is together. Some go to the background, and keep few links.
    pub(super) fn settle(&mut self) -> Result {
        self.settling_since = Some(self.now);
        for run in self.runs() {
            if self.random.random_bool(0.4) {
                self.background.insert(run);
                self.input(run, Input::Command(Command::SetActivity(Activity::Background)))?;
            }
        }
        self.after(REST_CHECK, Happening::CheckRest);
        Ok(())
    }

    pub(super) fn check_rest(&mut self) -> Result {
        let Some(since) = self.settling_since else { return Ok(()) };
        match self.missing().or_else(|| self.too_many_links()) {
            None => {
                if !self.random.random_bool(0.3) || !self.vanish() {
                    self.say_farewell();
                }
                Ok(())
            }
            Some(violation) if self.now.since(since) > self.longest_settling() => Err(violation),
            Some(_) => {
                self.after(REST_CHECK, Happening::CheckRest);
                Ok(())
            }
        }
    }

    fn longest_settling(&self) -> Duration {
        TRIES * (self.rest_after + REST_PATIENCE)
    }

    /// Whether somebody in the background keeps more links to those in the foreground than it has to.
    fn too_many_links(&self) -> Option<Violation> {
        if self.scenario == Scenario::ClientServer {
            return None;
        }
        self.hosts.iter().enumerate().find_map(|(index, host)| {
            let host = host.as_ref()?;
            let at = host.run;
            if !self.background.contains(&at) || self.scenario.is_hub(index) {
                return None;
            }
            let foreground = self.runs().into_iter().filter(|run| !self.background.contains(run));
            let linked = foreground.filter(|run| host.session.attached_link(run.id).is_some());
            let links = linked.count();
            (links > KEPT_LINKS).then_some(Violation::TooManyLinks { at, links })
        })
    }
}
