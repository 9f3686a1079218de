//! One peer's messages: the queue that the application fills, and the two pumps that move them
//! over whatever link is attached.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use bytes::Bytes;
use iroh::endpoint::{Connection, SendDatagramError};
use multipeer_proto::{
    Inbox, LinkId, Outbox, PeerId,
    delivery::DeliveryError,
    limits::OUTBOX_BYTES,
    message::{DATAGRAM_OVERHEAD_BYTES, Datagram},
};
use tokio::sync::Notify;

use super::{doorbell::Doorbell, link::MESSAGE_PRIORITY, reader::Reader, writer::Writer};
use crate::{
    error::{SendError, UnreliableError},
    event::{Event, EventQueue},
    path::{Path, Relays},
    peer::Peer,
    stream::StreamError,
};

/// One connected peer, for as long as it is in the session.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) peer: Peer,
    state: Mutex<State>,
    /// Once the link's message stream is there. Locked before `state`.
    reader: Mutex<Option<Reader>>,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) events: Arc<EventQueue>,
    /// There may be room in the outbox.
    room: Notify,
    /// There is something to write.
    work: Notify,
    /// A link took over, or the lane was closed.
    attached: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    outbox: Outbox,
    max_message_bytes: usize,
    connection: Option<Connection>,
    pub(super) link: Option<LinkId>,
    /// Whether streams may use the link.
    is_open: bool,
    /// Once the link's message stream is open.
    writer: Option<Writer>,
    closed: bool,
    draining: bool,
    pub(super) inbox: Inbox,
}

impl Lane {
    pub(super) fn new(peer: Peer, max_message_bytes: usize, events: Arc<EventQueue>) -> Arc<Self> {
        let state = State {
            outbox: Outbox::new(OUTBOX_BYTES),
            max_message_bytes,
            connection: None,
            link: None,
            is_open: false,
            writer: None,
            closed: false,
            draining: false,
            inbox: Inbox::default(),
        };
        Arc::new_cyclic(|lane| Self {
            peer,
            state: Mutex::new(state),
            reader: Mutex::new(None),
            doorbell: Arc::new(Doorbell::new(lane.clone(), &events)),
            events,
            room: Notify::new(),
            work: Notify::new(),
            attached: Notify::new(),
        })
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Option<Reader>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message, and waits for room first.
    pub(crate) async fn send(&self, message: Bytes) -> Result<(), SendError> {
        match self.try_send(message.clone()) {
            Err(SendError::QueueFull(_)) => {}
            result => return result,
        }
        loop {
            let room = self.room.notified();
            match self.try_send(message.clone()) {
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
    pub(crate) fn try_send(&self, message: Bytes) -> Result<(), SendError> {
        let peer = self.peer.id;
        let mut state = self.state();
        if state.closed || state.draining {
            return Err(SendError::NotConnected(peer));
        }
        if message.len() > state.max_message_bytes {
            let (bytes, limit) = (message.len(), state.max_message_bytes);
            return Err(SendError::TooLarge { bytes, limit });
        }
        let State { outbox, writer, .. } = &mut *state;
        outbox.push(message).map_err(|_| SendError::QueueFull(peer))?;
        let written = writer.as_mut().is_some_and(|writer| writer.write_directly(outbox));
        drop(state);
        if !written {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Sends a datagram. While the peer's link is being replaced it is lost.
    pub(crate) fn send_datagram(&self, datagram: &Datagram) -> Result<(), UnreliableError> {
        let Some(connection) = self.state().connection.clone() else {
            return Ok(());
        };
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
        let mut state = self.state();
        state.link = Some(link);
        state.is_open = false;
        state.writer = None;
        state.connection = Some(connection);
        state.max_message_bytes = max_message_bytes;
        state.outbox.handle_resumed(received)
    }

    /// The other end will learn that the link carries the lane: from now on streams may take what room there is.
    /// Before that they could take it from the word itself, and nobody would read them.
    pub(super) fn open(&self, link: LinkId) {
        let mut state = self.state();
        state.is_open = state.link == Some(link);
        drop(state);
        self.attached.notify_waiters();
    }

    /// The way that its packets take at the moment.
    pub(crate) fn path(&self, relays: &Relays) -> Option<Path> {
        let connection = self.state().connection.clone()?;
        Path::of(&connection, relays)
    }

    /// The connection that carries the lane. Waits while the link is being replaced.
    pub(crate) async fn connection(&self) -> Result<Connection, StreamError> {
        loop {
            let mut attached = std::pin::pin!(self.attached.notified());
            attached.as_mut().enable();
            {
                let state = self.state();
                if state.closed {
                    return Err(StreamError::NotConnected(self.peer.id));
                }
                if let Some(connection) = state.connection.as_ref().filter(|_| state.is_open) {
                    return Ok(connection.clone());
                }
            }
            attached.await;
        }
    }

    /// The link is gone; messages wait for the next one.
    pub(super) fn link_gone(&self, link: LinkId) {
        let mut state = self.state();
        if state.link == Some(link) {
            state.link = None;
            state.connection = None;
            state.writer = None;
            drop(state);
            *self.reader() = None;
        }
    }

    /// Ends it: nothing goes in any more. Returns what was not confirmed.
    pub(super) fn close(&self) -> Vec<Bytes> {
        let mut state = self.state();
        state.closed = true;
        state.link = None;
        state.connection = None;
        state.writer = None;
        let unconfirmed = state.outbox.take_unconfirmed();
        drop(state);
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
            let mut state = self.state();
            if state.link != Some(link) {
                return;
            }
            state.writer = Some(Writer::new(link, stream, &state.outbox));
        }
        loop {
            let work = self.work.notified();
            let alive = poll_fn(|context| {
                let State { writer, outbox, .. } = &mut *self.state();
                match writer {
                    Some(writer) if writer.link == link => writer.poll_write(outbox, context),
                    _ => Poll::Ready(false),
                }
            });
            if !alive.await {
                // The word may have been for whoever writes now.
                self.work.notify_one();
                return;
            }
            work.await;
        }
    }

    /// Hands a best-effort message to the application.
    pub(super) fn deliver_unreliable(&self, link: LinkId, message: Bytes) {
        let state = self.state();
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
