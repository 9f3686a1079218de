//! What goes wrong, at random.

use std::{net::SocketAddr, time::Duration};

use rand::RngExt;

use super::{
    Run,
    network::{ConnectionId, Side},
    scenario::Scenario,
    world::{Happening, Result, World},
};
use crate::{Activity, Command, DiscoveryInfo, Input, Network, PeerId, Way};

/// Time without a sign of life after which the transport gives a connection up.
pub(super) const IDLE: (u64, u64) = (4000, 4500);

impl World {
    /// One fault, or one thing that an application does at an awkward moment.
    pub(super) fn fault(&mut self) -> Result {
        let host = self.random.random_range(0..self.hosts.len());
        self.report.faults += 1;
        match self.random.random_range(0..100) {
            0..40 => {
                for _ in 0..self.random.random_range(1..8) {
                    self.send_to_all(host);
                    self.send_unreliable_to_all(host);
                }
                Ok(())
            }
            40..55 => {
                self.kill_connection();
                Ok(())
            }
            55..62 => {
                self.split();
                Ok(())
            }
            62..70 => {
                self.parts.fill(0);
                Ok(())
            }
            70..77 => {
                self.crash(host);
                Ok(())
            }
            77..80 => self.command(host, Command::Leave),
            80..84 => {
                self.command(host, Command::StopLooking)?;
                let restart = Box::new(Input::Command(Command::StartLooking));
                if let Some(run) = self.hosts[host].as_ref().map(|host| host.run) {
                    self.within(0, 4000, Happening::Input { run, input: restart });
                }
                Ok(())
            }
            84..88 => {
                let info = DiscoveryInfo::new([("n", self.ids.to_string())]);
                self.command(host, Command::SetInfo(info.unwrap_or_default()))
            }
            88..94 if self.scenario == Scenario::Removal => self.remove(host),
            94..96 => {
                let activity = [Activity::Foreground, Activity::Background];
                let activity = activity[self.random.random_range(0..2)];
                self.command(host, Command::SetActivity(activity))
            }
            96..97 => self.move_to_another_address(host),
            97..98 => self.fall_behind(host),
            _ => self.false_alarm(host),
        }
    }

    /// The application does not come to take its events for a while.
    fn fall_behind(&mut self, host: usize) -> Result {
        let Some(run) = self.hosts[host].as_ref().map(|host| host.run) else { return Ok(()) };
        let input = Box::new(Input::Behind(false));
        self.within(0, 10_000, Happening::Input { run, input });
        self.input(run, Input::Behind(true))
    }

    /// The host has another address; its links may have moved with it, or be silent until somebody gives
    /// them up.
    fn move_to_another_address(&mut self, host: usize) -> Result {
        let Some(run) = self.hosts[host].as_ref().map(|host| host.run) else { return Ok(()) };
        match self.random.random_range(0..4) {
            0 | 1 => self.silence_links(host),
            2 => self.leave_a_network(host, run)?,
            _ => {}
        }
        let last = self.random.random_range(1..=254);
        self.input(run, Input::OwnAddresses(vec![SocketAddr::from(([10, 0, 1, last], 1))]))
    }

    fn silence_links(&mut self, host: usize) {
        let links = self.hosts[host].as_ref().map(|host| host.links.clone());
        for id in links.into_iter().flat_map(std::collections::BTreeMap::into_values) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.dead = true;
            }
            for side in [Side::Dialler, Side::Dialled] {
                self.within(IDLE.0, IDLE.1, Happening::LinkDown { connection: id, side });
            }
        }
    }

    /// The host was part of another network besides, through which all its links lead as far as it knows. They do not die of it.
    fn leave_a_network(&mut self, host: usize, run: Run) -> Result {
        let [kept, left] = [([10, 0, 0, 200], 8), ([192, 0, 2, 1], 24)]
            .map(|(own, prefix_len)| Network { address: own.into(), prefix_len });
        let remote = Some(SocketAddr::new(left.address, 9));
        let links = self.hosts[host].as_ref().map(|host| host.links.keys().copied());
        for link in links.into_iter().flatten().collect::<Vec<_>>() {
            self.input(run, Input::Moved { link, remote })?;
        }
        self.input(run, Input::OwnNetworks(vec![kept, left]))?;
        let addresses = [kept, left].map(|network| SocketAddr::new(network.address, 1));
        self.input(run, Input::OwnAddresses(addresses.to_vec()))?;
        self.input(run, Input::OwnNetworks(vec![kept]))
    }

    /// A member removes another, once in a run.
    fn remove(&mut self, index: usize) -> Result {
        let Some(host) = self.hosts[index].as_ref().filter(|_| !self.has_removed) else {
            return Ok(());
        };
        let Some(peer) = host.session.peers().map(|peer| peer.id).next() else { return Ok(()) };
        if host.session.may_remove(peer).is_ok() {
            self.has_removed = true;
            return self.command(index, Command::Remove { peer, text: "too loud".to_owned() });
        }
        Ok(())
    }

    pub(super) fn command(&mut self, host: usize, command: Command) -> Result {
        match self.hosts[host].as_ref().map(|host| host.run) {
            Some(run) => self.input(run, Input::Command(command)),
            None => Ok(()),
        }
    }

    /// A connection dies, and its ends notice when they notice.
    fn kill_connection(&mut self) {
        let alive: Vec<ConnectionId> =
            self.connections.iter().filter(|(_, c)| !c.dead).map(|(&id, _)| id).collect();
        if alive.is_empty() {
            return;
        }
        let connection = alive[self.random.random_range(0..alive.len())];
        if let Some(ends) = self.connections.get_mut(&connection) {
            ends.dead = true;
        }
        for side in [Side::Dialler, Side::Dialled] {
            self.within(0, 6000, Happening::LinkDown { connection, side });
        }
    }

    /// The network falls into two or three parts.
    fn split(&mut self) {
        let parts = self.random.random_range(2..=3);
        for part in &mut self.parts {
            *part = self.random.random_range(0..parts);
        }
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            self.time_out(connection);
        }
    }

    /// A host stops without a word, and starts again under its old id or a new one.
    pub(super) fn crash(&mut self, index: usize) {
        let Some(run) = self.stop(index) else { return };
        if self.random.random_bool(0.5) {
            // Within the others' reconnect window more often than not.
            let delay = Duration::from_millis(self.random.random_range(0..6000));
            self.after(delay, Happening::Restart { host: index, id: run.id });
        } else {
            self.within(0, 6000, Happening::Start { host: index });
        }
    }

    /// A host stops without a word.
    pub(super) fn stop(&mut self, index: usize) -> Option<Run> {
        let host = self.hosts[index].take()?;
        let affected: Vec<(ConnectionId, Side)> = self
            .connections
            .iter_mut()
            .filter_map(|(&id, connection)| {
                let side = if connection.dialler.run == host.run {
                    Side::Dialled
                } else if connection.dialled.run == host.run {
                    Side::Dialler
                } else {
                    return None;
                };
                connection.dead = true;
                connection.end_mut(side.other()).closed = true;
                Some((id, side))
            })
            .collect();
        self.relay_gone(host.run);
        for (connection, side) in affected {
            self.within(0, IDLE.1, Happening::LinkDown { connection, side });
        }
        Some(host.run)
    }

    /// Discovery claims that somebody is gone who is not, or has never been.
    fn false_alarm(&mut self, host: usize) -> Result {
        let runs = self.runs();
        let Some(run) = self.hosts[host].as_ref().map(|host| host.run) else {
            return Ok(());
        };
        let peer = if self.random.random_bool(0.1) || runs.is_empty() {
            PeerId::from_bytes(self.random.random())
        } else {
            runs[self.random.random_range(0..runs.len())].id
        };
        self.input(run, Input::Lost { peer, way: Way::Mdns })
    }
}
