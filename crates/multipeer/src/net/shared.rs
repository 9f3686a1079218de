//! What the application's handle and the driver share.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use multipeer_proto::{Activity, PeerId, Statistics, trust::Verified};
use tokio::sync::Notify;

use super::Lane;
use crate::{
    event::EventQueue,
    passcode::Passcode,
    peer::Peer,
    resource::{Registry, Settings},
};

/// Who is there, as the session task last said.
#[derive(Debug, Default, Clone)]
pub(crate) struct View {
    /// This peer's id and port.
    pub(crate) own: Option<(PeerId, u16)>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) nearby: Vec<Peer>,
    pub(crate) statistics: Statistics,
    pub(crate) known: BTreeMap<PeerId, Known>,
    /// Who alone invites and removes, if somebody does.
    pub(crate) host: Option<PeerId>,
    /// The code that the session made.
    pub(crate) passcode: Option<Passcode>,
}

/// What is known of a peer in the session.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// How it has shown that it may be here.
    pub(crate) verified: Verified,
    /// What people at both ends of the link can compare.
    pub(crate) comparison: Option<String>,
    /// Whether it answers.
    pub(crate) viable: bool,
    /// Whether it is in the foreground, as it says.
    pub(crate) activity: Activity,
}

/// The driver writes, the application's handles read. No lock here is held across an await or
/// while user code runs.
#[derive(Default)]
pub(crate) struct Shared {
    lanes: RwLock<BTreeMap<PeerId, Arc<Lane>>>,
    /// A lane was added, or the session is over.
    lanes_changed: Notify,
    view: RwLock<Arc<View>>,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) resources: Arc<Registry>,
}

impl Shared {
    pub(crate) fn new(resources: Settings) -> Self {
        Self { resources: Arc::new(Registry::new(resources)), ..Self::default() }
    }

    /// Waits until a peer is in the session.
    pub(crate) async fn wait_for_lane(&self, peer: PeerId) -> Arc<Lane> {
        loop {
            let mut changed = std::pin::pin!(self.lanes_changed.notified());
            changed.as_mut().enable();
            if let Some(lane) = self.lane(peer) {
                return lane;
            }
            changed.await;
        }
    }

    pub(crate) fn lane(&self, peer: PeerId) -> Option<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&peer).cloned()
    }

    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.values().cloned().collect()
    }

    pub(super) fn insert_lane(&self, peer: PeerId, lane: Arc<Lane>) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).insert(peer, lane);
        self.lanes_changed.notify_waiters();
    }

    pub(super) fn remove_lane(&self, peer: PeerId) -> Option<Arc<Lane>> {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).remove(&peer)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}
