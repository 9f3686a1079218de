//! What the application sees of the session, kept up with it.
//!
//! Only what has changed is looked at: with hundreds of peers, each of whom changes something, looking at all of
//! them each time would take longer than everything else.

use std::collections::{BTreeMap, BTreeSet};

use multipeer_proto::{Activity, Event, Output, PeerId, Statistics, trust::Verified};

use super::driver::Driver;
use crate::{passcode::Passcode, peer::Peer};

/// Who is there, as the session task last said.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// This peer's id and port.
    pub(crate) own: Option<(PeerId, u16)>,
    pub(crate) peers: BTreeMap<PeerId, Known>,
    pub(crate) nearby: BTreeMap<PeerId, Peer>,
    pub(crate) statistics: Statistics,
    /// Who alone invites and removes, if somebody does.
    pub(crate) host: Option<PeerId>,
    /// The code that the session made.
    pub(crate) passcode: Option<Passcode>,
}

/// What is known of a peer in the session.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) peer: Peer,
    /// How it has shown that it may be here.
    pub(crate) verified: Verified,
    /// What people at both ends of the link can compare.
    pub(crate) comparison: Option<String>,
    /// Whether it answers.
    pub(crate) viable: bool,
    /// Whether it is in the foreground, as it says.
    pub(crate) activity: Activity,
}

/// The peer of whom an output says that something about it has changed.
fn concerned(output: &Output) -> Option<PeerId> {
    let event = match output {
        Output::Event(event) => event,
        Output::Attach { peer, .. } | Output::Detach { peer } => return Some(*peer),
        _ => return None,
    };
    Some(match event {
        Event::PeerFound(peer)
        | Event::PeerUpdated(peer)
        | Event::PeerLost(peer)
        | Event::Connected(peer)
        | Event::Invitation { peer, .. }
        | Event::InvitationFailed { peer, .. }
        | Event::Disconnected { peer, .. } => peer.id,
        Event::Connecting(peer)
        | Event::InvitationWithdrawn { peer, .. }
        | Event::ProofsRefused { peer }
        | Event::CertificateShown { peer, .. }
        | Event::RemovalRefused { by: peer, .. }
        | Event::Nudged { peer, .. }
        | Event::ActivityChanged { peer, .. }
        | Event::ViabilityChanged { peer, .. } => *peer,
    })
}

impl Driver {
    /// Has the application see the session as it is now.
    pub(super) fn publish_view(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        let mut view = self.shared.view_mut();
        view.own = Some((self.session.id(), self.port));
        view.host = self.session.host();
        view.statistics = self.session.statistics();
        view.passcode.clone_from(&self.gate.passcode);
        for id in changed {
            match self.known(id) {
                Some(known) => _ = view.peers.insert(id, known),
                None => _ = view.peers.remove(&id),
            }
            match self.session.near(id) {
                Some(info) => _ = view.nearby.insert(id, Peer::from(info.clone())),
                None => _ = view.nearby.remove(&id),
            }
        }
    }

    fn known(&self, id: PeerId) -> Option<Known> {
        Some(Known {
            peer: Peer::from(self.session.peer(id)?),
            verified: self.session.verified(id)?.clone(),
            comparison: self.session.comparison(id),
            viable: self.session.is_viable(id),
            activity: self.session.activity(id).unwrap_or_default(),
        })
    }

    /// Notes what an output changes in what the application sees.
    pub(super) fn note_change(&mut self, output: &Output) -> bool {
        let peer = concerned(output);
        self.changed.extend(peer);
        // The closing of a link may have been counted.
        peer.is_some() || matches!(output, Output::CloseLink { .. })
    }
}

/// The peers of whom something has changed since the application was last told.
pub(super) type Changed = BTreeSet<PeerId>;
