//! Which links bring something, and which paths they take.

use iroh::endpoint::Connection;
use multipeer_proto::{Input, limits::LISTEN_INTERVAL};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::driver::Driver;
use crate::{
    event::Event,
    path::{Ends, Path},
};

/// Looks at all links, for as long as there is something to hear.
pub(super) fn looks() -> Interval {
    let mut looks = interval(LISTEN_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// A count that grows with everything that the other end, and nobody else, has sent.
fn frames_received(connection: &Connection) -> u64 {
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
        let lanes = self.lane_links.iter();
        let used = lanes
            .filter(|&(&peer, _)| self.shared.with_lane(peer, |lane| lane.look()) == Some(true));
        let used = used.map(|(_, &link)| link).collect();
        self.handle(Input::Heard { links: heard, used });
        if self.session.is_behind() {
            // It is told once it has caught up.
            return;
        }
        let (mut moved, mut turned) = (Vec::new(), Vec::new());
        for (&peer, &id) in &self.lane_links {
            let Some(link) = self.links.get(&id) else { continue };
            let Some(ends) = Ends::of(&link.connection) else { continue };
            if self.routes.get(&peer).is_some_and(|(known, _)| *known == ends) {
                continue;
            }
            turned.push((id, ends.remote()));
            // Only now the system is asked, as it is for the names of interfaces.
            let Some(path) = Path::of(&link.connection, &self.shared.relays) else { continue };
            let before = self.routes.insert(peer, (ends, path.route.clone()));
            // One that was not known yet when the peer came is news, too.
            if before.is_none_or(|(_, before)| before != path.route) {
                moved.push((peer, path));
            }
        }
        for (link, remote) in turned {
            self.handle(Input::Moved { link, remote });
        }
        for (peer, path) in moved {
            let peer = self.peer(peer);
            self.shared.events.push(Event::PathChanged { peer, path });
        }
    }
}
