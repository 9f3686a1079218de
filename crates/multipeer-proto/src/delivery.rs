//! Ordered, exactly-once delivery between two peers, across links.
//!
//! Messages are numbered. The sender keeps each one in its [`Outbox`] until the receiver has
//! confirmed it; the receiver's [`Inbox`] counts what has arrived. When a new link takes over,
//! the receiver tells its count and the sender goes on from there. QUIC delivers in order
//! within a link, so nothing else is needed.

mod outbox;

use std::time::Duration;

use bytes::Bytes;

pub use self::outbox::{Outbox, OutboxFull};
use crate::{
    limits::{CONFIRM_BYTES, CONFIRM_DELAY, MESSAGE_OVERHEAD_BYTES},
    message::Messages,
    time::Timestamp,
};

/// What a message costs a queue, in bytes.
pub fn queue_cost(message: &Bytes) -> usize {
    message.len() + MESSAGE_OVERHEAD_BYTES
}

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

    /// The next messages have arrived.
    pub fn handle_messages(&mut self, now: Timestamp, messages: &Messages) {
        self.received += messages.len() as u64;
        self.bytes_since_confirmation += messages.cost();
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
    use bytes::{BufMut, BytesMut};

    use super::*;
    use crate::message::encode_message_length;

    fn one_of(bytes: usize) -> Messages {
        let mut record = BytesMut::new();
        encode_message_length(bytes, &mut record);
        record.put_bytes(7, bytes);
        Messages::new(record.freeze(), 1, bytes)
    }

    #[test]
    fn a_stream_that_begins_too_late_is_an_error_and_one_too_early_is_skipped() {
        let mut inbox = Inbox::default();
        inbox.handle_messages(Timestamp::ZERO, &one_of(1));
        inbox.handle_messages(Timestamp::ZERO, &one_of(1));
        assert_eq!(inbox.handle_stream(0), Ok(2));
        assert_eq!(inbox.handle_stream(2), Ok(0));
        assert_eq!(inbox.handle_stream(3), Err(DeliveryError::Gap { first: 3, expected: 2 }));
    }

    #[test]
    fn a_confirmation_is_due_after_a_while_or_at_once_after_much() {
        let mut inbox = Inbox::default();
        let start = Timestamp::ZERO;
        assert_eq!(inbox.poll_timeout(), None);
        inbox.handle_messages(start, &one_of(1));
        assert_eq!(inbox.poll_confirm(start), None);
        assert_eq!(inbox.poll_timeout(), Some(start + CONFIRM_DELAY));
        assert_eq!(inbox.poll_confirm(start + CONFIRM_DELAY), Some(1));
        assert_eq!(inbox.poll_timeout(), None);
        inbox.handle_messages(start, &one_of(CONFIRM_BYTES));
        assert_eq!(inbox.poll_confirm(start), Some(2));
    }
}
