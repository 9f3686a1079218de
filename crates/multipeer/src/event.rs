//! What the application learns, and the queue in which it waits.

mod queue;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, task::AtomicWaker};
use multipeer_proto::{Activity, DisconnectReason, InviteError};

pub(crate) use self::queue::EventQueue;
use self::queue::{Batch, Item};
use crate::{
    certificate::PeerCertificate,
    discovery::DiscoveryProblem,
    invitation::Invitation,
    passcode::Passcode,
    path::Path,
    peer::Peer,
    resource::{ResourceOffer, Transfer, TransferError, TransferReport},
    stream::IncomingStream,
};

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
    /// A peer asks the person behind this one to look: ring a bell, or show a notification. Of one peer four
    /// in a row are told, and then one in 10 s.
    Nudged {
        /// Who.
        from: Peer,
        /// Why, for people; at most 256 bytes, which may hold anything.
        text: String,
    },
    /// A peer is in the foreground now, or in the background, as it says.
    ActivityChanged {
        /// Who.
        peer: Peer,
        /// What it says.
        activity: Activity,
    },
    /// Nothing has come from a peer for a while
    /// ([`SessionBuilder::unviable_after`](crate::SessionBuilder::unviable_after)), or something comes again. It
    /// is in the session all the same: what is sent to it waits, until it is back or
    /// [`PeerDisconnected`](Self::PeerDisconnected) says that it is not.
    ViabilityChanged {
        /// Who.
        peer: Peer,
        /// Whether it answers.
        viable: bool,
    },
    /// Packets to a peer take another way than before: it or this machine has moved to another network,
    /// or a direct way was found, or lost. Nothing that was sent is lost by that.
    PathChanged {
        /// Who.
        peer: Peer,
        /// The new way.
        path: Path,
    },
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
    /// A peer opened a stream.
    Stream(IncomingStream),
    /// A peer wants to send something.
    ResourceOffered(ResourceOffer),
    /// A transfer, in either direction, has ended.
    TransferEnded {
        /// Which.
        transfer: Transfer,
        /// What came of it.
        result: Result<TransferReport, TransferError>,
    },
    /// A peer has shown three wrong proofs, and is not listened to any more. Whether it mistyped or
    /// guesses cannot be told.
    ProofsRefused {
        /// Who.
        peer: Peer,
        /// The passcode that those who join from now on must know, if the session made the old one
        /// (see [`SessionBuilder::generated_passcode`](crate::SessionBuilder::generated_passcode)).
        /// A passcode that the application gave stays until it gives another one.
        replaced_by: Option<Passcode>,
    },
    /// A peer has shown a certificate, and this session leaves it to the application whether to trust
    /// it.
    CertificateShown(PeerCertificate),
    /// A member wanted to remove another one, and may not: there is a host, or what it says is forged.
    RemovalRefused {
        /// Who.
        by: Peer,
        /// Whom.
        subject: Peer,
    },
    /// Something keeps peers from being found.
    DiscoveryProblem(DiscoveryProblem),
}

/// The events of a session, in the order in which they happened.
///
/// A reader that is slow loses nothing: its session stops reading from the network meanwhile. All
/// readers of one session share one queue, so each event goes to one of them, and what one leaves
/// behind to the next.
pub struct Events {
    queue: Arc<EventQueue>,
    /// Whose task it is that waits.
    reader: Arc<AtomicWaker>,
    /// Messages taken from the queue together and handed out one by one.
    current: Option<Batch>,
}

impl Events {
    pub(crate) fn new(queue: Arc<EventQueue>) -> Self {
        let reader = queue.join();
        Self { queue, reader, current: None }
    }

    /// The next event, or `None` when the session is over and everything was read.
    ///
    /// Cancel safe: an event is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some(message) = self.next_of_batch() {
                return Some(message);
            }
            let item = self.queue.take()?;
            if let Some(event) = self.begin(item) {
                return Some(event);
            }
        }
    }

    #[inline]
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(message) = self.next_of_batch() {
                return Poll::Ready(Some(message));
            }
            let Some(item) = ready!(self.queue.poll_take(&self.reader, context)) else {
                return Poll::Ready(None);
            };
            if let Some(event) = self.begin(item) {
                return Poll::Ready(Some(event));
            }
        }
    }

    #[inline]
    fn next_of_batch(&mut self) -> Option<Event> {
        let batch = self.current.as_mut()?;
        if let Some(data) = batch.next() {
            return Some(Event::Message { from: batch.from.clone(), data, reliable: true });
        }
        self.current = None;
        None
    }

    /// An event is handed out at once, messages one by one.
    fn begin(&mut self, item: Item) -> Option<Event> {
        match item {
            Item::Event(event) => Some(*event),
            Item::Messages(batch) => {
                self.current = Some(batch);
                None
            }
            Item::Unreliable { from, message, .. } => {
                Some(Event::Message { from, data: message, reliable: false })
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.queue.leave(&self.reader, self.current.take());
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
