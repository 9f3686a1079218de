//! What the application's handle and the driver share.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use multipeer_proto::PeerId;
use tokio::sync::Notify;

use super::{Lane, Relays, view::View};
use crate::{
    event::EventQueue,
    resource::{Registry, Settings},
};

/// The driver writes, the application's handles read. No lock here is held across an await or
/// while user code runs.
#[derive(Default)]
pub(crate) struct Shared {
    lanes: RwLock<BTreeMap<PeerId, Arc<Lane>>>,
    /// A lane was added, or the session is over.
    lanes_changed: Notify,
    view: RwLock<View>,
    /// Where iroh finds the relays of hubs.
    pub(crate) relays: Relays,
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
        self.with_lane(peer, Arc::clone)
    }

    /// Does something with a lane that takes no time, for less than a lane of one's own costs: who sends a million
    /// messages a second notices.
    pub(crate) fn with_lane<T>(
        &self,
        peer: PeerId,
        act: impl FnOnce(&Arc<Lane>) -> T,
    ) -> Option<T> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&peer).map(act)
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

    /// Who is there. Look and let go: the session task waits to write.
    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}
