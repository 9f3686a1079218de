//! Ordered, exactly-once delivery between two peers, across links.
//!
//! Messages are numbered. The sender keeps each one in its [`Outbox`] until the receiver has
//! confirmed it; the receiver's [`Inbox`] counts what has arrived. When a new link takes over,
//! the receiver tells its count and the sender goes on from there. QUIC delivers in order
//! within a link, so nothing else is needed.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    limits::{CONFIRM_BYTES, CONFIRM_DELAY, MESSAGE_OVERHEAD_BYTES},
    time::Timestamp,
};

/// What a message costs a queue, in bytes.
pub fn queue_cost(message: &Bytes) -> usize {
    message.len() + MESSAGE_OVERHEAD_BYTES
}

/// The queue is full. Wait for confirmations, or do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct OutboxFull;

/// The other side claims what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// It confirms what was never sent, or takes a confirmation back.
    #[error("confirmed {received} messages, which is not between {base} and {sent}")]
    Confirmed {
        /// What it says.
        received: u64,
        /// What it had confirmed before.
        base: u64,
        /// What was sent.
        sent: u64,
    },
    /// It begins to send behind what it has to send.
    #[error("a message stream begins at {first}, but {expected} is the next message")]
    Gap {
        /// Where the stream begins.
        first: u64,
        /// What comes next.
        expected: u64,
    },
}

/// The sender's side: messages that are not confirmed yet.
#[derive(Debug)]
pub struct Outbox {
    messages: VecDeque<Bytes>,
    /// The number of the first message in the queue.
    base: u64,
    /// The number of the next message to transmit: between `base` and the end of the queue.
    cursor: u64,
    bytes: usize,
    capacity_bytes: usize,
}

impl Outbox {
    /// An empty queue. `capacity_bytes` bounds it, counted as [`queue_cost`] does.
    pub fn new(capacity_bytes: usize) -> Self {
        Self { messages: VecDeque::new(), base: 0, cursor: 0, bytes: 0, capacity_bytes }
    }

    /// Whether a message fits. One that is larger than the whole queue fits when it is alone.
    pub fn has_room_for(&self, message: &Bytes) -> bool {
        self.messages.is_empty() || self.bytes + queue_cost(message) <= self.capacity_bytes
    }

    /// Takes a message in.
    pub fn push(&mut self, message: Bytes) -> Result<(), OutboxFull> {
        if !self.has_room_for(&message) {
            return Err(OutboxFull);
        }
        self.bytes += queue_cost(&message);
        self.messages.push_back(message);
        Ok(())
    }

    /// The next message to write to the link; it stays here until it is confirmed.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let index = usize::try_from(self.cursor - self.base).ok()?;
        let message = self.messages.get(index)?.clone();
        self.cursor += 1;
        Some(message)
    }

    /// A new link takes over, and the receiver has `received` messages: transmission goes on from
    /// there.
    pub fn handle_resumed(&mut self, received: u64) -> Result<(), DeliveryError> {
        self.handle_confirmed(received)?;
        self.cursor = self.base;
        Ok(())
    }

    /// The receiver has `received` messages: they are let go. Returns whether that made room.
    pub fn handle_confirmed(&mut self, received: u64) -> Result<bool, DeliveryError> {
        // What is in the queue but was never transmitted cannot be confirmed. After a link is
        // replaced the cursor may stand before what the old link still brought over.
        let sent = self.base + self.messages.len() as u64;
        if received > sent {
            return Err(DeliveryError::Confirmed { received, base: self.base, sent });
        }
        let mut made_room = false;
        // A confirmation that the old link still carried may come after the new link's count.
        while self.base < received {
            if let Some(message) = self.messages.pop_front() {
                self.bytes -= queue_cost(&message);
            }
            self.base += 1;
            made_room = true;
        }
        self.cursor = self.cursor.max(self.base);
        Ok(made_room)
    }

    /// Whether everything that was sent is confirmed.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The number of the next message to transmit.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// How many messages wait to be transmitted.
    pub fn untransmitted(&self) -> u64 {
        self.base + self.messages.len() as u64 - self.cursor
    }

    /// What the queue holds, in bytes as [`queue_cost`] counts.
    pub fn queued_bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what was not confirmed, oldest first, and empties the queue.
    pub fn take_unconfirmed(&mut self) -> Vec<Bytes> {
        self.base += self.messages.len() as u64;
        self.cursor = self.base;
        self.bytes = 0;
        self.messages.drain(..).collect()
    }
}

/// The receiver's side: how far the messages have come, and when to say so.
#[derive(Debug, Default)]
pub struct Inbox {
    received: u64,
    bytes_since_confirmation: usize,
    unconfirmed_since: Option<Timestamp>,
}

impl Inbox {
    /// How many messages have arrived.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// A message stream begins with number `first`. Returns how many of its first messages are
    /// known already and must be skipped.
    pub fn handle_stream(&self, first: u64) -> Result<u64, DeliveryError> {
        self.received
            .checked_sub(first)
            .ok_or(DeliveryError::Gap { first, expected: self.received })
    }

    /// The next message has arrived.
    pub fn handle_message(&mut self, now: Timestamp, message: &Bytes) {
        self.received += 1;
        self.bytes_since_confirmation += queue_cost(message);
        self.unconfirmed_since.get_or_insert(now);
    }

    /// When a confirmation is due, if one is.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let since = self.unconfirmed_since?;
        let enough = self.bytes_since_confirmation >= CONFIRM_BYTES;
        Some(since + if enough { Duration::ZERO } else { CONFIRM_DELAY })
    }

    /// The count to confirm, if a confirmation is due.
    pub fn poll_confirm(&mut self, now: Timestamp) -> Option<u64> {
        if self.poll_timeout()? > now {
            return None;
        }
        self.bytes_since_confirmation = 0;
        self.unconfirmed_since = None;
        Some(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_a_broken_link_swallowed_is_sent_again_on_the_next() {
        let mut outbox = Outbox::new(1 << 20);
        for message in ["a", "b", "c", "d"] {
            outbox.push(text(message)).unwrap();
        }
        assert_eq!(outbox.poll_transmit(), Some(text("a")));
        assert_eq!(outbox.poll_transmit(), Some(text("b")));
        assert_eq!(outbox.poll_transmit(), Some(text("c")));
        outbox.handle_resumed(1).unwrap();
        assert_eq!(outbox.cursor(), 1);
        assert_eq!(outbox.poll_transmit(), Some(text("b")));
        assert_eq!(outbox.take_unconfirmed(), [text("b"), text("c"), text("d")]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_late_confirmation_from_the_old_link_takes_nothing_back() {
        let mut outbox = Outbox::new(1 << 20);
        for message in ["a", "b", "c"] {
            outbox.push(text(message)).unwrap();
        }
        outbox.handle_resumed(2).unwrap();
        assert_eq!(outbox.handle_confirmed(1), Ok(false));
        assert_eq!(outbox.poll_transmit(), Some(text("c")));
    }

    #[test]
    fn a_confirmation_of_what_was_never_sent_is_an_error() {
        let mut outbox = Outbox::new(1 << 20);
        outbox.push(text("a")).unwrap();
        let error = DeliveryError::Confirmed { received: 2, base: 0, sent: 1 };
        assert_eq!(outbox.handle_confirmed(2), Err(error));
    }

    #[test]
    fn a_full_queue_takes_no_more_until_something_is_confirmed() {
        let mut outbox = Outbox::new(2 * (MESSAGE_OVERHEAD_BYTES + 1));
        outbox.push(text("a")).unwrap();
        outbox.push(text("b")).unwrap();
        assert_eq!(outbox.push(text("c")), Err(OutboxFull));
        assert_eq!(outbox.handle_confirmed(1), Ok(true));
        outbox.push(text("c")).unwrap();
        assert!(outbox.queued_bytes() <= 2 * (MESSAGE_OVERHEAD_BYTES + 1));
    }

    #[test]
    fn a_message_larger_than_the_queue_goes_alone() {
        let mut outbox = Outbox::new(10);
        outbox.push(Bytes::from(vec![0; 1000])).unwrap();
        assert_eq!(outbox.push(text("b")), Err(OutboxFull));
        outbox.handle_confirmed(1).unwrap();
        outbox.push(text("b")).unwrap();
    }

    #[test]
    fn a_stream_that_begins_too_late_is_an_error_and_one_too_early_is_skipped() {
        let mut inbox = Inbox::default();
        inbox.handle_message(Timestamp::ZERO, &text("a"));
        inbox.handle_message(Timestamp::ZERO, &text("b"));
        assert_eq!(inbox.handle_stream(0), Ok(2));
        assert_eq!(inbox.handle_stream(2), Ok(0));
        assert_eq!(inbox.handle_stream(3), Err(DeliveryError::Gap { first: 3, expected: 2 }));
    }

    #[test]
    fn a_confirmation_is_due_after_a_while_or_at_once_after_much() {
        let mut inbox = Inbox::default();
        let start = Timestamp::ZERO;
        assert_eq!(inbox.poll_timeout(), None);
        inbox.handle_message(start, &text("a"));
        assert_eq!(inbox.poll_confirm(start), None);
        assert_eq!(inbox.poll_timeout(), Some(start + CONFIRM_DELAY));
        assert_eq!(inbox.poll_confirm(start + CONFIRM_DELAY), Some(1));
        assert_eq!(inbox.poll_timeout(), None);
        inbox.handle_message(start, &Bytes::from(vec![0; CONFIRM_BYTES]));
        assert_eq!(inbox.poll_confirm(start), Some(2));
    }
}
