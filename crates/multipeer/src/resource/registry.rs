//! The resources that are being received, so that a sender that comes back finds the right one.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use multipeer_proto::{
    PeerId, limits,
    resource::{Offer, ReceiveLimits},
};
use tokio::sync::mpsc;

use super::{AutoAccept, receive::Offered};

/// Resources that are offered or received at the same time, at most.
const MAX_RECEIVING: usize = 64;

/// How resources are handled, for the whole session.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) limits: ReceiveLimits,
    pub(crate) auto_accept: Option<AutoAccept>,
    pub(crate) resume_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: ReceiveLimits::default(),
            auto_accept: None,
            resume_timeout: limits::DEFAULT_RESUME_TIMEOUT,
        }
    }
}

/// The resources that are offered or being received.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) settings: Settings,
    known: Mutex<Vec<Known>>,
    next: AtomicU64,
}

struct Known {
    number: u64,
    peer: PeerId,
    offer: Offer,
    /// Whether it waits for its sender to come back.
    waits: Arc<AtomicBool>,
    streams: mpsc::Sender<Box<Offered>>,
}

impl Registry {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The lock is held for a look or a note.
    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a stream to the transfer that it goes on with. Gives it back when there is none.
    pub(super) fn hand_over(
        &self,
        peer: PeerId,
        offered: Box<Offered>,
    ) -> Result<(), Box<Offered>> {
        let streams = {
            let known = self.known();
            let offer = &offered.offer;
            let same = |k: &&Known| k.peer == peer && k.offer.transfer == offer.transfer;
            // A sender that was started anew sends the same under another number.
            let again = |k: &&Known| {
                let called_the_same = k.offer.kind == offer.kind && k.offer.name == offer.name;
                k.peer == peer && called_the_same && k.waits.load(Ordering::Acquire)
            };
            let found = known.iter().find(same).or_else(|| known.iter().find(again));
            found.map(|known| known.streams.clone())
        };
        match streams {
            // One that has a stream waiting, or has just ended, does not need this one; its
            // sender tries again.
            Some(streams) => {
                _ = streams.try_send(offered);
                Ok(())
            }
            None => Err(offered),
        }
    }

    /// Enters an offer. Nothing when there are too many.
    pub(super) fn enter(self: &Arc<Self>, peer: PeerId, offer: Offer) -> Option<Entered> {
        let mut known = self.known();
        if known.len() >= MAX_RECEIVING {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, streams) = mpsc::channel(1);
        let waits = Arc::new(AtomicBool::new(false));
        known.push(Known { number, peer, offer, waits: waits.clone(), streams: sender });
        drop(known);
        let place = Place { registry: self.clone(), number };
        Some(Entered { place, waits, streams })
    }
}

/// An offer that is entered.
pub(super) struct Entered {
    pub(super) place: Place,
    pub(super) waits: Arc<AtomicBool>,
    pub(super) streams: mpsc::Receiver<Box<Offered>>,
}

/// Dropped, the offer is known no more.
pub(super) struct Place {
    registry: Arc<Registry>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.known().retain(|known| known.number != self.number);
    }
}
