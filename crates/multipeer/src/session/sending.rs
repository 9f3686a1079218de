//! Messages that an application sends.

use bytes::Bytes;
use futures_util::future::join_all;
use multipeer_proto::{PeerId, message::Datagram};

use super::Session;
use crate::error::{SendError, UnreliableError};

impl Session {
    /// Sends a reliable message: in order, exactly once, also when the link is replaced. Waits
    /// while the peer's queue, of 4 MiB, is full.
    ///
    /// That it returns means that the message is queued. What was not confirmed when the peer is
    /// disconnected comes back in [`Event::PeerDisconnected`](crate::Event::PeerDisconnected).
    ///
    /// # Errors
    ///
    /// [`SendError`]: the peer is not connected, or the message is larger than it takes.
    ///
    /// # Cancellation
    ///
    /// Cancel safe: when the future is dropped before it is done, nothing was sent.
    pub async fn send(
        &self,
        peer: impl Into<PeerId>,
        message: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let (peer, message) = (peer.into(), message.into());
        match self.try_send_ref(peer, &message) {
            Err(SendError::QueueFull(_)) => self.lane(peer)?.send(&message).await,
            result => result,
        }
    }

    /// As [`send`](Self::send), but fails with [`SendError::QueueFull`] instead of waiting.
    pub fn try_send(
        &self,
        peer: impl Into<PeerId>,
        message: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        self.try_send_ref(peer.into(), &message.into())
    }

    fn try_send_ref(&self, peer: PeerId, message: &Bytes) -> Result<(), SendError> {
        let sent = self.0.shared.with_lane(peer, |lane| lane.try_send(message));
        sent.unwrap_or_else(|| Err(self.no_lane(peer)))
    }

    /// Sends many reliable messages to one peer, as [`send`](Self::send) does each, in less time: for those who have
    /// small ones by the hundred thousand. `messages` becomes what is left of it.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the peer is not connected, or the first message that is left is larger than it takes. What is
    /// left was not sent, and all else was.
    ///
    /// # Cancellation
    ///
    /// Cancel safe: what is left was not sent, and all else was.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use multipeer::{Peer, SendError, Session};
    ///
    /// async fn count(session: &Session, peer: &Peer) -> Result<(), SendError> {
    ///     let messages: Vec<_> = (0..1000_u32).map(|number| Bytes::from(number.to_string())).collect();
    ///     session.send_many(peer, &mut &messages[..]).await
    /// }
    /// ```
    pub async fn send_many(
        &self,
        peer: impl Into<PeerId>,
        messages: &mut &[Bytes],
    ) -> Result<(), SendError> {
        self.lane(peer.into())?.send_many(messages).await
    }

    /// Sends one reliable message to several peers. Waits until all have room for it; a slow one
    /// does not keep it from the others.
    ///
    /// # Errors
    ///
    /// The first peer's, in the order given, that did not get it. The others did.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, those that had room got it and the others did not.
    pub async fn send_to(
        &self,
        peers: impl IntoIterator<Item = impl Into<PeerId>>,
        message: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let message = message.into();
        let sends = peers.into_iter().map(|peer| {
            let (lane, message) = (self.lane(peer.into()), message.clone());
            async move { lane?.send(&message).await }
        });
        join_all(sends).await.into_iter().collect()
    }

    /// Sends one reliable message to everyone in the session. Who is disconnected meanwhile is
    /// not an error.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`] when it is larger than one of the peers takes; the others got it.
    ///
    /// # Cancellation
    ///
    /// As for [`send_to`](Self::send_to).
    pub async fn broadcast(&self, message: impl Into<Bytes>) -> Result<(), SendError> {
        if self.is_over() {
            return Err(SendError::SessionOver);
        }
        let message = message.into();
        let lanes = self.0.shared.lanes();
        let mut results = Vec::new();
        let mut waiting = Vec::new();
        for lane in &lanes {
            // Most have room, and nobody waits for those who have none.
            match lane.try_send(&message) {
                Err(SendError::QueueFull(_)) => waiting.push(lane.send(&message)),
                result => results.push(result),
            }
        }
        results.extend(join_all(waiting).await);
        // Who went meanwhile is not there to be told.
        results.retain(|result| !matches!(result, Err(SendError::NotConnected(_))));
        results.into_iter().collect()
    }

    /// Sends a best-effort message: at most once, in no order, lost when the network loses it, or
    /// while the peer's link is being replaced. Never waits.
    ///
    /// Where the link rests ([`is_resting`](Self::is_resting)) it is woken, and the message goes with it, if that takes
    /// less than a second; of many the last 256 KiB do. One that does not fit a datagram is lost then.
    ///
    /// # Errors
    ///
    /// [`UnreliableError`]: the peer is not connected, or the message does not fit a datagram.
    pub fn send_unreliable(
        &self,
        peer: impl Into<PeerId>,
        message: impl Into<Bytes>,
    ) -> Result<(), UnreliableError> {
        let peer = peer.into();
        let lane = self.0.shared.lane(peer).ok_or(UnreliableError::NotConnected(peer))?;
        lane.send_datagram(&Datagram::Message(message.into()))
    }

    /// Sends a best-effort message to everyone in the session.
    ///
    /// # Errors
    ///
    /// [`UnreliableError::TooLarge`] when it does not fit a datagram to one of the peers; the
    /// others were sent it.
    pub fn broadcast_unreliable(&self, message: impl Into<Bytes>) -> Result<(), UnreliableError> {
        let datagram = Datagram::Message(message.into());
        let lanes = self.0.shared.lanes();
        let results: Vec<_> = lanes.iter().map(|lane| lane.send_datagram(&datagram)).collect();
        results.into_iter().collect()
    }

    /// Bytes in the largest best-effort message to a peer, at the moment: it follows the network
    /// path. `None` when there is no link to it.
    pub fn max_unreliable_size(&self, peer: impl Into<PeerId>) -> Option<usize> {
        self.0.shared.lane(peer.into())?.max_datagram_payload()
    }
}
