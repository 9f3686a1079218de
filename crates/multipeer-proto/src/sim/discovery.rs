//! What simulated hosts hear of each other: late, twice, or not at all.

use std::net::SocketAddr;

use rand::RngExt;

use super::{
    Run,
    world::{Happening, NOWHERE, Result, World},
};
use crate::{Announcement, Input, PeerId, PeerInfo, Way};

impl World {
    pub(super) fn announce(&mut self, run: Run) {
        let Some(index) = self.index_of(run) else {
            return;
        };
        let Some(host) = &self.hosts[index] else {
            return;
        };
        if host.over {
            return;
        }
        let announced = host.announced;
        let announcement = self.announcement_of(run.id);
        if announced {
            for (other, heard_by) in self.listeners() {
                let heard = self.reachable(index, other) && self.random.random_bool(0.8);
                // Late, and at times twice: also to the host itself.
                for _ in 0..if heard { self.random.random_range(1..=2) } else { 0 } {
                    let announcement = announcement.clone();
                    let happening = Happening::Hear { run: heard_by, announcement };
                    let delay = if self.random.random_bool(0.02) { 5000 } else { 100 };
                    self.within(1, delay, happening);
                }
            }
        }
        self.within(1000, 3000, Happening::Announce { run });
    }

    pub(super) fn listeners(&self) -> Vec<(usize, Run)> {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter_map(|(index, host)| Some((index, host.as_ref()?.run))).collect()
    }

    pub(super) fn hear(&mut self, run: Run, announcement: Announcement) -> Result {
        let listens = self.hosts.iter().flatten().any(|host| host.run == run && host.announced);
        // Who has stopped browsing hears late news at most.
        if !listens && self.random.random_bool(0.9) {
            return Ok(());
        }
        // At times the address that leads there is heard a moment later than another.
        let in_part = self.random.random_bool(0.1);
        let address = if in_part { NOWHERE } else { SocketAddr::from(([10, 0, 0, 1], 1)) };
        if in_part {
            let announcement = announcement.clone();
            self.within(0, 1000, Happening::Hear { run, announcement });
        }
        let way = Way::Mdns;
        self.input(run, Input::Discovered { announcement, addresses: vec![address], way })
    }

    pub(super) fn verified(&mut self, run: Run, peer: PeerId) -> Result {
        let there = self.run_of(peer).is_some_and(|other| {
            let ends = self.index_of(run).zip(self.index_of(other));
            let announced =
                self.hosts.iter().flatten().any(|host| host.run == other && host.announced);
            announced && ends.is_some_and(|(a, b)| self.reachable(a, b))
        });
        if there {
            let announcement = self.announcement_of(peer);
            self.hear(run, announcement)
        } else {
            self.input(run, Input::Lost { peer, way: Way::Mdns })
        }
    }

    fn announcement_of(&self, peer: PeerId) -> Announcement {
        let PeerInfo { id, name, info, .. } = PeerInfo::unnamed(peer);
        let host = self.run_of(peer).and_then(|run| self.index_of(run));
        let role = host.and_then(|host| self.scenario.topology(host).role());
        Announcement { peer: id, name: Some(name), info, tags: None, role }
    }
}
