//! Whether the peers in the session answer.
//!
//! The transport sends a sign of life every second where nothing else is under way, so silence says something. A
//! peer from which none came for a while is not viable: it may be gone, or asleep, or about to come back.
//! Whether its link is dead is for the transport to say, and for how long it may come back for the
//! reconnect window.

use std::time::Duration;

use bytes::Bytes;

use super::{Event, Session};
use crate::{
    frame::{Echo, Frame},
    id::{LinkId, PeerId},
    limits::LISTEN_INTERVAL,
    time::Timestamp,
};

/// When this peer itself has not listened for so long, it was asleep, and the silence its own.
const ASLEEP: Duration = LISTEN_INTERVAL.saturating_mul(4);
/// The number of a ping that nobody waits for.
const PROBE: u64 = 0;

/// A member's signs of life.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// When the latest came.
    latest: Timestamp,
    /// Whether the application was told that none come.
    missing: bool,
}

impl Signs {
    pub(super) fn latest(&self) -> Timestamp {
        self.latest
    }

    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }
}

/// What everyone answers.
pub(super) fn probe() -> Frame {
    Frame::Ping(Echo { token: PROBE, padding: Bytes::new() })
}

impl Session {
    /// Whether a peer in the session answers, as far as this one can tell.
    pub fn is_viable(&self, peer: PeerId) -> bool {
        self.connected_member(peer).is_some_and(|member| !member.signs.missing)
    }

    /// These links have brought something of late.
    pub(super) fn handle_heard(&mut self, now: Timestamp, links: &[LinkId]) {
        let slept = now.since(self.listened_at) > ASLEEP;
        self.listened_at = now;
        for &link in links {
            if let Some(peer) = self.links.get(&link).map(|link| link.peer)
                && self.attached(peer) == Some(link)
            {
                self.note_heard(now, peer);
            }
        }
        let patience = self.config.unviable_after;
        let (mut lost, mut probed) = (Vec::new(), Vec::new());
        for (&peer, member) in self.members.iter_mut().filter(|(_, member)| member.connected) {
            if member.is_resting() || slept && !member.signs.missing {
                member.signs.latest = now;
            }
            if now.since(member.signs.latest) < patience {
                continue;
            }
            if !std::mem::replace(&mut member.signs.missing, true) {
                lost.push(peer);
            }
            probed.extend(member.attached);
        }
        for peer in lost {
            self.event(Event::ViabilityChanged { peer, viable: false });
            self.tell_missing(peer);
            self.verify(peer);
        }
        // The transport asks again after ever longer pauses; with something new to send it does so at
        // once, and the answer comes as soon as the network is back.
        for link in probed {
            self.send(link, probe());
        }
        self.leave_links_behind(now);
    }

    /// There is a sign of life.
    pub(super) fn note_heard(&mut self, now: Timestamp, peer: PeerId) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.signs.latest = now;
            if std::mem::take(&mut member.signs.missing) && member.connected {
                self.event(Event::ViabilityChanged { peer, viable: true });
            }
        }
    }
}
