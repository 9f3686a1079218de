//! What the application's handle and the driver share.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use multipeer_proto::{PeerId, Statistics};

use super::Lane;
use crate::{event::EventQueue, peer::Peer};

/// Who is there, as the session task last said.
#[derive(Debug, Default, Clone)]
pub(crate) struct View {
    pub(crate) peers: Vec<Peer>,
    pub(crate) nearby: Vec<Peer>,
    pub(crate) statistics: Statistics,
}

/// The driver writes, the application's handles read. No lock here is held across an await or
/// while user code runs.
#[derive(Default)]
pub(crate) struct Shared {
    lanes: RwLock<BTreeMap<PeerId, Arc<Lane>>>,
    view: RwLock<Arc<View>>,
    pub(crate) events: Arc<EventQueue>,
}

impl Shared {
    pub(crate) fn lane(&self, peer: PeerId) -> Option<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&peer).cloned()
    }

    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.values().cloned().collect()
    }

    pub(super) fn insert_lane(&self, peer: PeerId, lane: Arc<Lane>) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).insert(peer, lane);
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
