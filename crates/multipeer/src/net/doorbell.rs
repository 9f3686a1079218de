//! What tells that a peer's messages can be read, and whether there is room for them.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Wake,
};

use tokio::sync::Notify;

use super::Lane;
use crate::event::EventQueue;

/// Bytes of reliable messages from one peer that wait for the application; then the peer's stream
/// is not read until it catches up.
const INBOX_BYTES: usize = 1024 * 1024;
/// Bytes of best-effort messages from one peer that wait for the application; what comes then is
/// dropped.
const UNRELIABLE_INBOX_BYTES: usize = 256 * 1024;
/// Bytes in one round of the link's task from which on that task reads: about 25 MB/s.
const BULK_BYTES: usize = 256 * 1024;

/// The waker of a peer's message stream. It rings at the application's task, which reads the
/// stream itself when it waits for an event; the link's task is there for when it does not.
///
/// It owns nothing: a connection may drop its waker, and with it this, while it is locked.
#[derive(Debug)]
pub(crate) struct Doorbell {
    lane: Weak<Lane>,
    events: Weak<EventQueue>,
    pub(crate) gauge: Gauge,
    /// Calls the link's task.
    pub(super) attention: Notify,
    /// The link's task was called and has not come to rest yet.
    attended: AtomicBool,
    /// So much comes that the link's task reads, beside the application's.
    bulk: AtomicBool,
    bytes_this_round: AtomicUsize,
}

impl Doorbell {
    pub(super) fn new(lane: Weak<Lane>, events: &Arc<EventQueue>) -> Self {
        Self {
            lane,
            events: Arc::downgrade(events),
            gauge: Gauge::default(),
            attention: Notify::new(),
            attended: AtomicBool::new(false),
            bulk: AtomicBool::new(false),
            bytes_this_round: AtomicUsize::new(0),
        }
    }

    /// There may be something to read.
    pub(crate) fn ring(self: &Arc<Self>) {
        if self.is_bulk() {
            return self.attention.notify_one();
        }
        if let Some(events) = self.events.upgrade() {
            events.push_readable(self);
        }
        if !self.attended.swap(true, Ordering::SeqCst) {
            self.attention.notify_one();
        }
    }

    /// Reads what there is, for the task that takes events.
    pub(crate) fn read(self: &Arc<Self>) {
        if self.lane.upgrade().is_some_and(|lane| lane.read()) {
            self.ring();
        }
    }

    /// Counts what was read.
    pub(super) fn note_read(&self, bytes: usize) {
        self.bytes_this_round.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Decides who reads in the round that begins: the link's task if true.
    pub(super) fn begin_round(&self) -> bool {
        let bulk = self.bytes_this_round.swap(0, Ordering::Relaxed) >= BULK_BYTES;
        self.bulk.store(bulk, Ordering::SeqCst);
        bulk
    }

    pub(super) fn is_bulk(&self) -> bool {
        self.bulk.load(Ordering::SeqCst)
    }

    /// The link's task comes to rest, or comes back from it.
    pub(super) fn set_attended(&self, attended: bool) {
        self.attended.store(attended, Ordering::SeqCst);
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// How much of one peer's messages waits for the application.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    reliable_bytes: AtomicUsize,
    unreliable_bytes: AtomicUsize,
    /// The peer's stream is not read because the application is behind.
    stopped: AtomicBool,
}

impl Gauge {
    /// Whether the application keeps up with the peer's reliable messages. If it does not, the
    /// doorbell rings once it does.
    pub(crate) fn has_room(&self) -> bool {
        if self.reliable_bytes.load(Ordering::SeqCst) < INBOX_BYTES {
            return true;
        }
        self.stopped.store(true, Ordering::SeqCst);
        // The application may have caught up between the look and the note.
        self.reliable_bytes.load(Ordering::SeqCst) < INBOX_BYTES
    }

    /// Reliable messages wait for the application.
    pub(crate) fn add(&self, bytes: usize) {
        self.reliable_bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// The application has taken reliable messages. Whether reading is to begin again.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.reliable_bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.stopped.load(Ordering::Relaxed) && self.stopped.swap(false, Ordering::SeqCst)
    }

    /// A best-effort message waits for the application. False when there is no room for it.
    pub(crate) fn add_unreliable(&self, bytes: usize) -> bool {
        if self.unreliable_bytes.load(Ordering::Acquire) + bytes > UNRELIABLE_INBOX_BYTES {
            return false;
        }
        self.unreliable_bytes.fetch_add(bytes, Ordering::AcqRel);
        true
    }

    /// The application has taken best-effort messages.
    pub(crate) fn take_unreliable(&self, bytes: usize) {
        self.unreliable_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}
