//! One peer's messages: the queue that the application fills, and the two pumps that move them
//! over whatever link is attached.

mod resting;

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use iroh::endpoint::{Connection, SendDatagramError};
use multipeer_proto::{
    Inbox, LinkId, Outbox, PeerId,
    delivery::DeliveryError,
    limits::OUTBOX_BYTES,
    message::{DATAGRAM_OVERHEAD_BYTES, Datagram},
};
use tokio::{
    sync::{Notify, mpsc},
    task::yield_now,
    time::Instant,
};

pub(crate) use self::resting::Hold;
use self::resting::{Rest, Traffic, Waiting};
use super::{
    Request,
    doorbell::Doorbell,
    link::MESSAGE_PRIORITY,
    reader::Reader,
    relays::Relays,
    writer::{WRITE_BYTES, Writer, Written},
};
use crate::{
    error::{SendError, UnreliableError},
    event::{Event, EventQueue},
    path::Path,
    peer::Peer,
};

/// Messages that are queued before others have their turn at the queue.
const MESSAGES_AT_ONCE: usize = 64;

/// One connected peer, for as long as it is in the session.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) peer: Peer,
    state: Mutex<State>,
    /// Once the link's message stream is there. Locked before `state`.
    reader: Mutex<Option<Reader>>,
    /// Once the link's message stream is open. Locked before `state`, which is free while it writes.
    writer: Mutex<Option<Writer>>,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) events: Arc<EventQueue>,
    /// There may be room in the outbox.
    room: Notify,
    /// There is something to write.
    work: Notify,
    /// The writer's task was told so, or is at work and will see.
    called: AtomicBool,
    /// A link took over, or the lane was closed.
    attached: Notify,
    /// Weak, so that the session ends when the application has dropped all its handles.
    requests: mpsc::WeakUnboundedSender<Request>,
}

#[derive(Debug)]
pub(super) struct State {
    outbox: Outbox,
    max_message_bytes: usize,
    connection: Option<Connection>,
    pub(super) link: Option<LinkId>,
    /// Whether streams may use the link.
    is_open: bool,
    closed: bool,
    draining: bool,
    pub(super) inbox: Inbox,
    rest: Rest,
    waiting: Waiting,
    /// Counts everything that the application has under way on a link, besides messages.
    held: Arc<()>,
    /// Datagrams that came or went.
    datagrams: u64,
    /// What had come and gone at the last look.
    seen: Traffic,
}

impl State {
    fn push(&mut self, peer: PeerId, message: &Bytes) -> Result<(), SendError> {
        if self.closed || self.draining {
            return Err(SendError::NotConnected(peer));
        }
        if message.len() > self.max_message_bytes {
            let (bytes, limit) = (message.len(), self.max_message_bytes);
            return Err(SendError::TooLarge { bytes, limit });
        }
        self.outbox.push(message).map_err(|_| SendError::QueueFull(peer))
    }
}

impl Lane {
    pub(super) fn new(
        peer: Peer,
        max_message_bytes: usize,
        events: Arc<EventQueue>,
        requests: mpsc::WeakUnboundedSender<Request>,
    ) -> Arc<Self> {
        let state = State {
            outbox: Outbox::new(OUTBOX_BYTES),
            max_message_bytes,
            connection: None,
            link: None,
            is_open: false,
            closed: false,
            draining: false,
            inbox: Inbox::default(),
            rest: Rest::default(),
            waiting: Waiting::default(),
            held: Arc::new(()),
            datagrams: 0,
            seen: Traffic::default(),
        };
        Arc::new_cyclic(|lane| Self {
            peer,
            state: Mutex::new(state),
            reader: Mutex::new(None),
            writer: Mutex::new(None),
            doorbell: Arc::new(Doorbell::new(lane.clone(), &events)),
            events,
            room: Notify::new(),
            work: Notify::new(),
            called: AtomicBool::new(false),
            attached: Notify::new(),
            requests,
        })
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Option<Reader>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message, and waits for room first.
    pub(crate) async fn send(&self, message: &Bytes) -> Result<(), SendError> {
        self.when_there_is_room(|| self.try_send(message)).await
    }

    /// Queues messages, and waits for room as often as it takes. `messages` becomes what is not queued.
    pub(crate) async fn send_many(&self, messages: &mut &[Bytes]) -> Result<(), SendError> {
        self.when_there_is_room(|| self.try_send_many(messages)).await
    }

    async fn when_there_is_room(
        &self,
        mut send: impl FnMut() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        match send() {
            Err(SendError::QueueFull(_)) => {}
            result => return result,
        }
        loop {
            let room = self.room.notified();
            match send() {
                Err(SendError::QueueFull(_)) => room.await,
                result => {
                    // Room for one may be room for another that waits: pass the word on.
                    self.room.notify_one();
                    return result;
                }
            }
        }
    }

    /// Queues a message if there is room.
    pub(crate) fn try_send(&self, message: &Bytes) -> Result<(), SendError> {
        let mut state = self.state();
        state.push(self.peer.id, message)?;
        self.see_to_work(state);
        Ok(())
    }

    /// Queues messages while there is room.
    fn try_send_many(&self, messages: &mut &[Bytes]) -> Result<(), SendError> {
        while let [first, rest @ ..] = *messages {
            let mut state = self.state();
            state.push(self.peer.id, first)?;
            let more = rest.iter().take(MESSAGES_AT_ONCE - 1);
            let more = more.take_while(|message| state.push(self.peer.id, message).is_ok()).count();
            *messages = &rest[more..];
            self.see_to_work(state);
        }
        Ok(())
    }

    /// Something was queued: has it written.
    fn see_to_work(&self, mut state: MutexGuard<'_, State>) {
        if state.wants_link() {
            return self.want_link(state, true);
        }
        let is_alone = state.outbox.untransmitted() == 1;
        drop(state);
        let is_seen_to = self.called.load(Ordering::SeqCst) || is_alone && self.write_directly();
        if !is_seen_to {
            self.called.store(true, Ordering::SeqCst);
            self.work.notify_one();
        }
    }

    /// Writes a message that was just queued, if nothing stands before it and it does not come in a stream of others:
    /// that saves a task's wake-up, and with it latency. False when the writer's task must do it.
    fn write_directly(&self) -> bool {
        let Ok(mut writer) = self.writer.try_lock() else { return false };
        let Some(writer) = writer.as_mut() else { return false };
        if !writer.may_write_directly() {
            return false;
        }
        // Should the stream be blocked, the writer's task waits for it.
        let mut context = Context::from_waker(Waker::noop());
        writer.poll_write(|chunks| self.take_work(chunks), &mut context).is_ready()
    }

    fn take_work(&self, chunks: &mut Vec<Bytes>) {
        self.state().outbox.transmit(WRITE_BYTES, chunks);
    }

    /// Sends a datagram. It wakes a link that rests, and waits for it; while a link is being replaced it is lost.
    pub(crate) fn send_datagram(&self, datagram: &Datagram) -> Result<(), UnreliableError> {
        let mut state = self.state();
        state.datagrams += 1;
        let Some(connection) = state.connection.clone() else {
            if matches!(state.rest, Rest::Resting { .. }) {
                state.waiting.push(Instant::now(), datagram.encode());
            }
            let wanted = state.wants_link();
            self.want_link(state, wanted);
            return Ok(());
        };
        drop(state);
        match connection.send_datagram(datagram.encode()) {
            Err(SendDatagramError::TooLarge) => Err(UnreliableError::TooLarge {
                bytes: datagram.payload().len(),
                limit: self.max_datagram_payload().unwrap_or_default(),
            }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Bytes of payload that fit a datagram at the moment, if there is a link.
    pub(crate) fn max_datagram_payload(&self) -> Option<usize> {
        let connection = self.state().connection.clone()?;
        Some(connection.max_datagram_size()?.saturating_sub(DATAGRAM_OVERHEAD_BYTES))
    }

    /// Whether everything that was sent is confirmed. From now on nothing more is taken.
    pub(super) fn drain(&self) -> bool {
        let mut state = self.state();
        state.draining = true;
        state.outbox.is_empty()
    }

    /// The peer has so many messages. Returns whether a drain is done with that.
    pub(super) fn handle_confirmed(&self, received: u64) -> Result<bool, DeliveryError> {
        let mut state = self.state();
        let made_room = state.outbox.handle_confirmed(received)?;
        let drained = state.draining && state.outbox.is_empty();
        drop(state);
        if made_room {
            self.room.notify_one();
        }
        Ok(drained)
    }

    /// A link takes over.
    pub(super) fn attach(
        &self,
        link: LinkId,
        connection: Connection,
        received: u64,
        max_message_bytes: usize,
    ) -> Result<(), DeliveryError> {
        let mut writer = self.writer();
        let mut state = self.state();
        state.link = Some(link);
        state.is_open = false;
        state.rest = Rest::Awake;
        *writer = None;
        state.connection = Some(connection);
        state.max_message_bytes = max_message_bytes;
        state.outbox.handle_resumed(received)
    }

    /// The other end will learn that the link carries the lane: from now on streams may take what room there is.
    /// Before that they could take it from the word itself, and nobody would read them.
    pub(super) fn open(&self, link: LinkId) {
        let mut state = self.state();
        state.is_open = state.link == Some(link);
        let connection = state.connection.clone().filter(|_| state.is_open);
        let ready = connection.map(|connection| (connection, state.waiting.take(Instant::now())));
        drop(state);
        if let Some((connection, waiting)) = ready {
            for datagram in waiting {
                // What does not fit is lost, like any datagram.
                _ = connection.send_datagram(datagram);
            }
        }
        self.attached.notify_waiters();
    }

    /// The way that its packets take at the moment.
    pub(crate) fn path(&self, relays: &Relays) -> Option<Path> {
        let connection = self.state().connection.clone()?;
        Path::of(&connection, relays)
    }

    /// The link is gone; messages wait for the next one. Where it rests that comes when something waits for it: says whether
    /// something does already.
    pub(super) fn link_gone(&self, link: LinkId, rests: bool) -> bool {
        let mut writer = self.writer();
        let mut state = self.state();
        if state.link != Some(link) {
            return false;
        }
        state.link = None;
        state.connection = None;
        let told = !state.outbox.is_empty();
        state.rest = if rests { Rest::Resting { told } } else { Rest::Awake };
        *writer = None;
        drop((state, writer));
        *self.reader() = None;
        rests && told
    }

    /// Ends it: nothing goes in any more. Returns what was not confirmed.
    pub(super) fn close(&self) -> Vec<Bytes> {
        let mut writer = self.writer();
        let mut state = self.state();
        state.closed = true;
        state.link = None;
        state.connection = None;
        *writer = None;
        let unconfirmed = state.outbox.take_unconfirmed();
        drop((state, writer));
        *self.reader() = None;
        self.attached.notify_waiters();
        self.room.notify_waiters();
        self.room.notify_one();
        unconfirmed
    }

    /// Writes messages to the link until it dies or another one takes over.
    pub(super) async fn write(self: Arc<Self>, link: LinkId, connection: Connection) {
        let Ok(stream) = connection.open_uni().await else {
            return;
        };
        if stream.set_priority(MESSAGE_PRIORITY).is_err() {
            return;
        }
        {
            let mut writer = self.writer();
            let state = self.state();
            if state.link != Some(link) {
                return;
            }
            *writer = Some(Writer::new(link, stream, &state.outbox));
        }
        loop {
            let work = self.work.notified();
            let written = poll_fn(|context| {
                let mut writer = self.writer();
                let Some(writer) = writer.as_mut().filter(|writer| writer.link == link) else {
                    return Poll::Ready(Written::Dead);
                };
                let mut write = || writer.poll_write(|chunks| self.take_work(chunks), context);
                let written = write();
                if written != Poll::Ready(Written::Nothing) {
                    return written;
                }
                // Whoever queues something from here on calls again.
                self.called.store(false, Ordering::SeqCst);
                write()
            });
            match written.await {
                Written::Much => {}
                // What is queued while others have their turn is written together.
                Written::Some => yield_now().await,
                Written::Nothing => {
                    work.await;
                    yield_now().await;
                }
                Written::Dead => {
                    // The word may have been for whoever writes now.
                    self.work.notify_one();
                    return;
                }
            }
        }
    }

    /// Hands a best-effort message to the application.
    pub(super) fn deliver_unreliable(&self, link: LinkId, message: Bytes) {
        let mut state = self.state();
        state.datagrams += 1;
        if state.link == Some(link) {
            self.events.push_unreliable(&self.peer, message, &self.doorbell);
        }
    }

    /// Hands the application something else that came over the link.
    pub(crate) fn deliver(&self, link: LinkId, event: Event) {
        let state = self.state();
        if state.link == Some(link) {
            self.events.push(event);
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.peer.id
    }
}
