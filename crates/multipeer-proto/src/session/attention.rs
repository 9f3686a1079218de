//! Whether a person is looking: what peers say of themselves, and how one asks another to look.

use super::{Event, Output, Phase, Session};
use crate::{
    frame::{Attention, Frame, Nudge},
    id::{LinkId, PeerId},
    limits::{MAX_NUDGES, MAX_TEXT_BYTES, NUDGE_INTERVAL},
    recent::RecentCount,
    time::Timestamp,
};

/// Whether the application is before its user's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activity {
    /// It is, or does not say.
    #[default]
    Foreground,
    /// It is not: it asks for less of the network, and may be slow to answer.
    Background,
}

impl Activity {
    /// As one word, the same in every language and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Foreground => "foreground",
            Self::Background => "background",
        }
    }
}

/// Why a peer cannot be nudged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NudgeError {
    /// The peer is not in the session, or has no link at the moment.
    #[error("peer {peer} is not connected at the moment", peer = .0.short())]
    NotConnected(PeerId),
    /// The text is too long.
    #[error("a nudge has at most {MAX_TEXT_BYTES} bytes of text, and this has {bytes}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The session is over.
    #[error("the session is over")]
    SessionOver,
}

impl Session {
    /// Whether a peer in the session is in the foreground, as it says.
    pub fn activity(&self, peer: PeerId) -> Option<Activity> {
        Some(self.connected_member(peer)?.activity)
    }

    /// Whether a peer can be nudged with this, and why not.
    pub fn may_nudge(&self, peer: PeerId, text: &str) -> Result<(), NudgeError> {
        if self.phase != Phase::Running {
            Err(NudgeError::SessionOver)
        } else if text.len() > MAX_TEXT_BYTES {
            Err(NudgeError::TooLong { bytes: text.len() })
        } else if self.attached(peer).is_none() {
            Err(NudgeError::NotConnected(peer))
        } else {
            Ok(())
        }
    }

    pub(super) fn nudge(&mut self, peer: PeerId, text: String) {
        if self.may_nudge(peer, &text).is_ok()
            && let Some(link) = self.attached(peer)
        {
            self.send(link, Frame::Nudge(Nudge { text }));
        }
    }

    pub(super) fn handle_nudge(&mut self, now: Timestamp, peer: PeerId, text: String) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        let nudges = member.nudges.get_or_insert(RecentCount::new(NUDGE_INTERVAL));
        // Whoever nudges without end gets no attention by it.
        if nudges.get(now) < MAX_NUDGES {
            nudges.add(now);
            self.event(Event::Nudged { peer, text });
        }
    }

    pub(super) fn set_activity(&mut self, now: Timestamp, activity: Activity) {
        if std::mem::replace(&mut self.activity, activity) == activity {
            return;
        }
        for link in self.attached_links() {
            self.send_activity(link);
        }
        match activity {
            Activity::Foreground => self.wake_all(now),
            Activity::Background => self.begin_to_rest(now),
        }
        self.tell_hubs();
        if self.looking {
            let foreground = activity == Activity::Foreground;
            self.outputs.push_back(Output::Browse(foreground));
            if foreground {
                // Whoever went meanwhile is not heard again.
                self.doubt_all_nearby(now);
            }
        }
    }

    /// Tells what this peer is doing, if the other may think something else.
    pub(super) fn tell_activity(&mut self, link: LinkId, is_new: bool) {
        if !is_new || self.activity != Activity::default() {
            self.send_activity(link);
        }
    }

    fn send_activity(&mut self, link: LinkId) {
        let background = self.activity == Activity::Background;
        self.send(link, Frame::Attention(Attention { background }));
    }

    pub(super) fn handle_activity(&mut self, peer: PeerId, background: bool) {
        let activity = if background { Activity::Background } else { Activity::Foreground };
        if let Some(member) = self.members.get_mut(&peer) {
            member.activity = activity;
            self.report_activity(peer);
        }
    }

    /// Tells the application what a member is doing, if it thinks something else, and keeps up.
    fn report_activity(&mut self, peer: PeerId) {
        if let Some(member) = self.members.get_mut(&peer)
            && !self.behind
            && member.told_activity != member.activity
        {
            let activity = member.activity;
            member.told_activity = activity;
            self.event(Event::ActivityChanged { peer, activity });
        }
    }

    /// Whether the application has more events waiting than it takes, and hears of hubs and of activity later.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// What members can say again and again is left out while the application does not keep up.
    pub(super) fn handle_behind(&mut self, behind: bool) {
        if std::mem::replace(&mut self.behind, behind) == behind {
            return;
        }
        self.tell_hubs();
        for peer in self.members.keys().copied().collect::<Vec<_>>() {
            self.report_activity(peer);
        }
    }
}
