//! The queue in which events wait for the application.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use multipeer_proto::{delivery::queue_cost, message::Messages};
use tokio::sync::Notify;

use super::Event;
use crate::{net::Doorbell, peer::Peer};

/// Events other than messages that wait for the application; then the session takes no new links
/// and no news from discovery ...
const MAX_WAITING_EVENTS: usize = 1024;
/// ... until it has taken half of them: to begin again for each would cost others more than it brings.
const CAUGHT_UP: usize = MAX_WAITING_EVENTS / 2;

pub(super) enum Item {
    Event(Box<Event>),
    Messages(Batch),
    Unreliable { from: Peer, message: Bytes, doorbell: Arc<Doorbell> },
}

/// Reliable messages of one peer that arrived together.
pub(super) struct Batch {
    pub(super) from: Peer,
    /// None of them empty, but for the first once the application has it.
    messages: VecDeque<Messages>,
    bytes: usize,
    doorbell: Arc<Doorbell>,
}

impl Batch {
    #[inline]
    pub(super) fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.messages.front_mut()?.next() {
                return Some(message);
            }
            self.messages.pop_front();
        }
    }
}

/// The events that the application has not taken yet.
#[derive(Default)]
pub(crate) struct EventQueue {
    waiting: Mutex<Waiting>,
    backlogged: AtomicBool,
    /// Whoever reads: each is told when there is something.
    readers: Mutex<Arc<[Arc<AtomicWaker>]>>,
    room: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// How many of them are events.
    events: usize,
    /// Those that rang: there may be messages to read. Each is here at most once.
    readable: VecDeque<Arc<Doorbell>>,
}

impl EventQueue {
    /// The lock is held for a push or a pop and never while user code runs, nor while a stream
    /// is read: a connection rings doorbells while its own lock is held.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every change is one whole assignment.
    fn readers(&self) -> MutexGuard<'_, Arc<[Arc<AtomicWaker>]>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more who reads, until [`leave`](Self::leave).
    pub(super) fn join(&self) -> Arc<AtomicWaker> {
        let reader = Arc::new(AtomicWaker::new());
        let mut readers = self.readers();
        *readers = readers.iter().chain([&reader]).cloned().collect();
        reader
    }

    /// A reader goes. What it has begun to hand out is for the others, before everything else.
    pub(super) fn leave(&self, reader: &Arc<AtomicWaker>, begun: Option<Batch>) {
        let mut readers = self.readers();
        *readers = readers.iter().filter(|other| !Arc::ptr_eq(other, reader)).cloned().collect();
        drop(readers);
        if let Some(mut batch) = begun {
            batch.bytes = batch.messages.iter().map(Messages::cost).sum();
            if batch.bytes > 0 {
                batch.doorbell.gauge.add(batch.bytes);
                self.waiting().items.push_front(Item::Messages(batch));
            }
        }
        // It may have been told of something and have left it.
        self.wake();
    }

    fn wake(&self) {
        let readers = self.readers().clone();
        for reader in readers.iter() {
            reader.wake();
        }
    }

    pub(crate) fn push(&self, event: Event) {
        let mut waiting = self.waiting();
        waiting.items.push_back(Item::Event(Box::new(event)));
        waiting.events += 1;
        if waiting.events >= MAX_WAITING_EVENTS {
            self.backlogged.store(true, Ordering::Release);
        }
        drop(waiting);
        self.wake();
    }

    /// Adds messages of one peer, and empties `messages`.
    pub(crate) fn push_messages(
        &self,
        from: &Peer,
        messages: &mut VecDeque<Messages>,
        doorbell: &Arc<Doorbell>,
    ) {
        let bytes = messages.iter().map(Messages::cost).sum();
        doorbell.gauge.add(bytes);
        self.push_item(Item::Messages(Batch {
            from: from.clone(),
            messages: std::mem::take(messages),
            bytes,
            doorbell: doorbell.clone(),
        }));
    }

    /// Adds a best-effort message, unless too many wait already.
    pub(crate) fn push_unreliable(&self, from: &Peer, message: Bytes, doorbell: &Arc<Doorbell>) {
        if doorbell.gauge.add_unreliable(queue_cost(&message)) {
            let (from, doorbell) = (from.clone(), doorbell.clone());
            self.push_item(Item::Unreliable { from, message, doorbell });
        }
    }

    fn push_item(&self, item: Item) {
        self.waiting().items.push_back(item);
        self.wake();
    }

    /// There may be messages to read: the application's task will, if it waits for an event.
    pub(crate) fn push_readable(&self, doorbell: &Arc<Doorbell>) {
        let mut waiting = self.waiting();
        if !waiting.readable.iter().any(|listed| Arc::ptr_eq(listed, doorbell)) {
            waiting.readable.push_back(doorbell.clone());
        }
        drop(waiting);
        self.wake();
    }

    /// Takes over what the application did not come to read. False when it did.
    pub(crate) fn claim(&self, doorbell: &Arc<Doorbell>) -> bool {
        let readable = &mut self.waiting().readable;
        let index = readable.iter().position(|listed| Arc::ptr_eq(listed, doorbell));
        index.and_then(|index| readable.remove(index)).is_some()
    }

    /// Whether there may be messages to read.
    pub(crate) fn is_readable(&self, doorbell: &Arc<Doorbell>) -> bool {
        self.waiting().readable.iter().any(|listed| Arc::ptr_eq(listed, doorbell))
    }

    /// The next that the application is to have; reads from the network if nothing waits.
    pub(super) fn take(&self) -> Option<Item> {
        loop {
            let mut waiting = self.waiting();
            if let Some(item) = waiting.items.pop_front() {
                waiting.events -= usize::from(matches!(item, Item::Event(_)));
                let has_room =
                    waiting.events <= CAUGHT_UP && self.backlogged.swap(false, Ordering::AcqRel);
                drop(waiting);
                if has_room {
                    self.room.notify_waiters();
                }
                Self::taken(&item);
                return Some(item);
            }
            let doorbell = waiting.readable.pop_front()?;
            drop(waiting);
            doorbell.read();
        }
    }

    fn taken(item: &Item) {
        match item {
            Item::Event(_) => {}
            Item::Messages(Batch { bytes, doorbell, .. }) => {
                if doorbell.gauge.take(*bytes) {
                    doorbell.ring();
                }
            }
            Item::Unreliable { message, doorbell, .. } => {
                doorbell.gauge.take_unreliable(queue_cost(message));
            }
        }
    }

    /// [`take`](Self::take) for the task of a reader that waits; `None` when the session is over.
    pub(super) fn poll_take(
        &self,
        reader: &AtomicWaker,
        context: &mut Context<'_>,
    ) -> Poll<Option<Item>> {
        if let Some(item) = self.take() {
            return Poll::Ready(Some(item));
        }
        reader.register(context.waker());
        // Something may have come between the look and the registration.
        match self.take() {
            Some(item) => Poll::Ready(Some(item)),
            None if self.closed.load(Ordering::Acquire) => Poll::Ready(self.take()),
            None => Poll::Pending,
        }
    }

    /// Whether so many events wait that the session is to take in no news.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.backlogged.load(Ordering::Acquire)
    }

    /// Waits until the application has caught up.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let room = self.room.notified();
            if !self.is_backlogged() {
                return;
            }
            room.await;
        }
    }

    /// Nothing more comes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake();
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").finish_non_exhaustive()
    }
}
