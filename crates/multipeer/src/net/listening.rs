//! Which links bring something, and which paths they take.

use std::time::Duration;

use iroh::endpoint::Connection;
use multipeer_proto::{Input, PeerId, limits::LISTEN_INTERVAL};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::driver::Driver;
use crate::{
    event::Event,
    path::{Path, path_of},
};

/// Looks at all links while there are any.
pub(super) fn looks() -> Interval {
    const EVERY: Duration = LISTEN_INTERVAL;
    let mut looks = interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// A count that grows with everything that the other end, and nobody else, has sent.
pub(super) fn frames_received(connection: &Connection) -> u64 {
    let frames = connection.stats().frame_rx;
    [frames.acks, frames.path_acks, frames.ping, frames.stream, frames.datagram].iter().sum()
}

impl Driver {
    /// Tells the session which links have brought something, and the application which paths are others
    /// than before.
    pub(super) fn listen(&mut self) {
        let mut heard = Vec::new();
        for (&id, link) in &mut self.links {
            let received = frames_received(&link.connection);
            if std::mem::replace(&mut link.received, received) != received {
                heard.push(id);
            }
        }
        self.handle(Input::Heard { links: heard });
        let attached = self.lane_links.iter();
        let paths: Vec<(PeerId, Path)> = attached
            .filter_map(|(&peer, link)| Some((peer, path_of(&self.links.get(link)?.connection)?)))
            .collect();
        for (peer, path) in paths {
            let before = self.routes.insert(peer, path.route.clone());
            if before.is_some_and(|before| before != path.route) {
                let peer = self.peer(peer);
                self.shared.events.push(Event::PathChanged { peer, path });
            }
        }
    }
}
