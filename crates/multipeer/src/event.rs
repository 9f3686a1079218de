//! What the application learns, and the queue in which it waits.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, task::AtomicWaker};
use multipeer_proto::{DisconnectReason, InviteError, delivery::queue_cost};
use tokio::sync::Notify;

use crate::{discovery::DiscoveryProblem, invitation::Invitation, peer::Peer};

/// Bytes of reliable messages from one peer that wait for the application; then the peer's stream
/// is not read until it catches up.
const INBOX_BYTES: usize = 1024 * 1024;
/// Bytes of best-effort messages from one peer that wait for the application; what comes then is
/// dropped.
const UNRELIABLE_INBOX_BYTES: usize = 256 * 1024;
/// Events other than messages that wait for the application; then the session takes no new links
/// and no news from discovery until it catches up.
const MAX_WAITING_EVENTS: usize = 1024;

/// Something that happened in the session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer is near.
    PeerFound(Peer),
    /// A peer that is near says something else about itself.
    PeerUpdated(Peer),
    /// A peer is not near any more. That does not end a connection with it.
    PeerLost(Peer),
    /// A link to a peer is being opened.
    Connecting(Peer),
    /// A peer invites this one. Only with [`Joining::Ask`](crate::Joining::Ask).
    Invitation(Invitation),
    /// An invitation that was reported can be answered no more: it was withdrawn, nobody answered
    /// in time, or the two are connected already.
    InvitationWithdrawn {
        /// Who had sent it.
        from: Peer,
    },
    /// An invitation that this peer sent came to nothing. Of those that the session sends by
    /// itself, the first to each peer that was found.
    InvitationFailed {
        /// Whom it was for.
        peer: Peer,
        /// Why.
        error: InviteError,
    },
    /// A peer is in the session: it can be sent to, and hears what is sent to all.
    PeerConnected(Peer),
    /// A peer is not in the session any more. Everything that it delivered was reported before.
    PeerDisconnected {
        /// Who.
        peer: Peer,
        /// Why.
        reason: DisconnectReason,
        /// Reliable messages to it that were not confirmed, oldest first. Some may have arrived.
        unconfirmed: Vec<Bytes>,
    },
    /// A message.
    Message {
        /// Who sent it.
        from: Peer,
        /// What.
        data: Bytes,
        /// Whether it was sent reliably.
        reliable: bool,
    },
    /// Something keeps peers from being found.
    DiscoveryProblem(DiscoveryProblem),
}

/// The events of a session, in the order in which they happened.
///
/// A reader that is slow loses nothing: its session stops reading from the network meanwhile. All
/// readers of one session share one queue, so each event goes to one of them.
pub struct Events {
    queue: Arc<EventQueue>,
    /// Messages taken from the queue together and handed out one by one.
    current: Option<Batch>,
}

impl Events {
    pub(crate) fn new(queue: Arc<EventQueue>) -> Self {
        Self { queue, current: None }
    }

    /// The next event, or `None` when the session is over and everything was read.
    ///
    /// Cancel safe: an event is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.take()
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.take() {
            return Poll::Ready(Some(event));
        }
        self.queue.ready.register(context.waker());
        // Something may have come between the look and the registration.
        match self.take() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.queue.closed.load(Ordering::Acquire) => Poll::Ready(self.take()),
            None => Poll::Pending,
        }
    }

    fn take(&mut self) -> Option<Event> {
        loop {
            if let Some(batch) = &mut self.current {
                if let Some(data) = batch.messages.pop_front() {
                    let (from, reliable) = (batch.from.clone(), batch.reliable);
                    return Some(Event::Message { from, data, reliable });
                }
                self.current = None;
            }
            match self.queue.pop()? {
                Item::Event(event) => return Some(*event),
                Item::Messages(batch) => self.current = Some(batch),
            }
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

enum Item {
    Event(Box<Event>),
    Messages(Batch),
}

/// Messages of one peer that arrived together.
struct Batch {
    from: Peer,
    reliable: bool,
    messages: VecDeque<Bytes>,
    bytes: usize,
    gauge: Arc<Gauge>,
}

/// How much of one peer's messages waits for the application.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    reliable_bytes: AtomicUsize,
    unreliable_bytes: AtomicUsize,
    room: Notify,
}

impl Gauge {
    /// Whether the application keeps up with the peer's reliable messages.
    pub(crate) fn has_room(&self) -> bool {
        self.reliable_bytes.load(Ordering::Acquire) < INBOX_BYTES
    }

    /// Waits until the application has caught up with the peer's reliable messages.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let room = self.room.notified();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }
}

/// The events that the application has not taken yet.
#[derive(Default)]
pub(crate) struct EventQueue {
    items: Mutex<VecDeque<Item>>,
    waiting_events: AtomicUsize,
    ready: AtomicWaker,
    room: Notify,
    closed: AtomicBool,
}

impl EventQueue {
    /// The lock is held for a push or a pop and never while user code runs.
    fn items(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, event: Event) {
        self.waiting_events.fetch_add(1, Ordering::AcqRel);
        self.items().push_back(Item::Event(Box::new(event)));
        self.ready.wake();
    }

    /// Adds messages of one peer, and empties `messages`.
    pub(crate) fn push_messages(
        &self,
        from: &Peer,
        messages: &mut VecDeque<Bytes>,
        gauge: &Arc<Gauge>,
    ) {
        let bytes = messages.iter().map(queue_cost).sum();
        gauge.reliable_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.push_batch(Batch {
            from: from.clone(),
            reliable: true,
            messages: std::mem::take(messages),
            bytes,
            gauge: gauge.clone(),
        });
    }

    /// Adds a best-effort message, unless too many wait already.
    pub(crate) fn push_unreliable(&self, from: &Peer, message: Bytes, gauge: &Arc<Gauge>) {
        let bytes = queue_cost(&message);
        if gauge.unreliable_bytes.load(Ordering::Acquire) + bytes > UNRELIABLE_INBOX_BYTES {
            return;
        }
        gauge.unreliable_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.push_batch(Batch {
            from: from.clone(),
            reliable: false,
            messages: VecDeque::from([message]),
            bytes,
            gauge: gauge.clone(),
        });
    }

    fn push_batch(&self, batch: Batch) {
        self.items().push_back(Item::Messages(batch));
        self.ready.wake();
    }

    fn pop(&self) -> Option<Item> {
        let item = self.items().pop_front()?;
        match &item {
            Item::Event(_) => {
                if self.waiting_events.fetch_sub(1, Ordering::AcqRel) == MAX_WAITING_EVENTS {
                    self.room.notify_waiters();
                }
            }
            Item::Messages(Batch { reliable: true, bytes, gauge, .. }) => {
                gauge.reliable_bytes.fetch_sub(*bytes, Ordering::AcqRel);
                gauge.room.notify_one();
            }
            Item::Messages(Batch { bytes, gauge, .. }) => {
                gauge.unreliable_bytes.fetch_sub(*bytes, Ordering::AcqRel);
            }
        }
        Some(item)
    }

    /// Whether so many events wait that the session is to take in no news.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.waiting_events.load(Ordering::Acquire) >= MAX_WAITING_EVENTS
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
        self.ready.wake();
    }
}
