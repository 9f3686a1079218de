//! The sender's side: what is not confirmed yet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{DeliveryError, queue_cost};
use crate::{
    limits::MAX_MESSAGE_HEADER_BYTES,
    message::{Messages, encode_message_length},
};

/// A smaller message is copied behind its neighbours when it is queued, which costs less than keeping it on its own;
/// a larger one is kept as it is.
const COPY_BELOW_BYTES: usize = 4096;
/// Bytes of small messages that are kept in one piece, and let go together.
const RUN_BYTES: usize = 32 * 1024;

/// The queue is full. Wait for confirmations, or do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct OutboxFull;

/// The sender's side: messages that are not confirmed yet, as they are on the wire.
///
/// ```
/// use bytes::Bytes;
/// use multipeer_proto::Outbox;
///
/// let mut outbox = Outbox::new(1 << 20);
/// outbox.push(&Bytes::from_static(b"hello"))?;
/// outbox.push(&Bytes::from_static(b"you"))?;
/// let mut chunks = Vec::new();
/// outbox.transmit(64 * 1024, &mut chunks);
/// assert_eq!(chunks.concat(), b"\x05hello\x03you");
/// // They stay until they are confirmed.
/// outbox.handle_confirmed(1).unwrap();
/// assert_eq!(outbox.take_unconfirmed(), ["you"]);
/// # Ok::<_, multipeer_proto::delivery::OutboxFull>(())
/// ```
#[derive(Debug)]
pub struct Outbox {
    runs: VecDeque<Run>,
    /// How many of the runs are transmitted.
    transmitted: usize,
    /// Small messages behind the runs.
    tail: Tail,
    /// The number of the first message in the queue.
    base: u64,
    /// The number of the next message to transmit, with which a run begins, or the tail.
    cursor: u64,
    /// The number of the next message to come.
    end: u64,
    bytes: usize,
    capacity_bytes: usize,
}

/// Messages that are transmitted together.
#[derive(Debug)]
enum Run {
    Small(Messages),
    Large(Bytes),
}

impl Run {
    fn len(&self) -> usize {
        match self {
            Self::Small(messages) => messages.len(),
            Self::Large(_) => 1,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Small(messages) => messages.cost(),
            Self::Large(message) => queue_cost(message),
        }
    }
}

/// Small messages to which more can be added.
#[derive(Debug, Default)]
struct Tail {
    records: BytesMut,
    count: usize,
    payload_bytes: usize,
}

impl Tail {
    fn has_room_for(&self, message: &[u8]) -> bool {
        self.records.capacity() - self.records.len() >= MAX_MESSAGE_HEADER_BYTES + message.len()
    }

    fn push(&mut self, message: &[u8]) {
        encode_message_length(message.len(), &mut self.records);
        self.records.extend_from_slice(message);
        self.count += 1;
        self.payload_bytes += message.len();
    }

    /// Takes the messages out. What room is left is for those that follow.
    fn take(&mut self) -> Option<Messages> {
        let count = std::mem::take(&mut self.count);
        let payload_bytes = std::mem::take(&mut self.payload_bytes);
        (count > 0).then(|| Messages::new(self.records.split().freeze(), count, payload_bytes))
    }
}

impl Outbox {
    /// An empty queue. `capacity_bytes` bounds it, counted as [`queue_cost`] does.
    pub fn new(capacity_bytes: usize) -> Self {
        Self {
            runs: VecDeque::new(),
            transmitted: 0,
            tail: Tail::default(),
            base: 0,
            cursor: 0,
            end: 0,
            bytes: 0,
            capacity_bytes,
        }
    }

    /// Whether a message fits. One that is larger than the whole queue fits when it is alone.
    pub fn has_room_for(&self, message: &Bytes) -> bool {
        self.is_empty() || self.bytes + queue_cost(message) <= self.capacity_bytes
    }

    /// Takes a message in.
    pub fn push(&mut self, message: &Bytes) -> Result<(), OutboxFull> {
        if !self.has_room_for(message) {
            return Err(OutboxFull);
        }
        self.bytes += queue_cost(message);
        self.end += 1;
        if message.len() >= COPY_BELOW_BYTES {
            self.end_run();
            self.runs.push_back(Run::Large(message.clone()));
            return Ok(());
        }
        if !self.tail.has_room_for(message) {
            self.end_run();
            // No more than what is under way lets expect: a queue that is empty most of the time needs little.
            let bytes = self.bytes.min(RUN_BYTES).max(MAX_MESSAGE_HEADER_BYTES + message.len());
            self.tail.records = BytesMut::with_capacity(bytes);
        }
        self.tail.push(message);
        Ok(())
    }

    /// What comes from now on is transmitted apart from what came before.
    fn end_run(&mut self) {
        self.runs.extend(self.tail.take().map(Run::Small));
    }

    /// Appends what is to be written to the link next to `chunks`: about `bytes` bytes, nothing if nothing waits. It
    /// stays here until it is confirmed.
    pub fn transmit(&mut self, bytes: usize, chunks: &mut Vec<Bytes>) {
        self.end_run();
        let mut taken = 0;
        while taken < bytes
            && let Some(run) = self.runs.get(self.transmitted)
        {
            match run {
                Run::Small(messages) => {
                    taken += messages.wire_bytes();
                    chunks.push(messages.records().clone());
                }
                Run::Large(message) => {
                    let mut length = BytesMut::with_capacity(MAX_MESSAGE_HEADER_BYTES);
                    encode_message_length(message.len(), &mut length);
                    taken += length.len() + message.len();
                    chunks.extend([length.freeze(), message.clone()]);
                }
            }
            self.cursor += run.len() as u64;
            self.transmitted += 1;
        }
    }

    /// A new link takes over, and the receiver has `received` messages: transmission goes on from
    /// there.
    pub fn handle_resumed(&mut self, received: u64) -> Result<(), DeliveryError> {
        self.handle_confirmed(received)?;
        self.cursor = self.base;
        self.transmitted = 0;
        Ok(())
    }

    /// The receiver has `received` messages: they are let go. Returns whether that made room.
    pub fn handle_confirmed(&mut self, received: u64) -> Result<bool, DeliveryError> {
        // What is in the queue but was never transmitted cannot be confirmed. After a link is
        // replaced the cursor may stand before what the old link still brought over.
        if received > self.end {
            return Err(DeliveryError::Confirmed { received, base: self.base, sent: self.end });
        }
        // A confirmation that the old link still carried may come after the new link's count.
        let made_room = received > self.base;
        while self.base < received {
            if self.runs.is_empty() {
                self.end_run();
            }
            let Some(run) = self.runs.front_mut() else { break };
            let wanted = received - self.base;
            let (count, cost) = (run.len() as u64, run.cost());
            match run {
                Run::Small(messages) if wanted < count => {
                    messages.discard(wanted);
                    self.base = received;
                    self.bytes -= cost - messages.cost();
                }
                _ => {
                    self.runs.pop_front();
                    self.transmitted = self.transmitted.saturating_sub(1);
                    self.bytes -= cost;
                    self.base += count;
                }
            }
        }
        self.cursor = self.cursor.max(self.base);
        Ok(made_room)
    }

    /// Whether everything that was sent is confirmed.
    pub fn is_empty(&self) -> bool {
        self.base == self.end
    }

    /// The number of the next message to transmit.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// How many messages wait to be transmitted.
    pub fn untransmitted(&self) -> u64 {
        self.end - self.cursor
    }

    /// What the queue holds, in bytes as [`queue_cost`] counts.
    pub fn queued_bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what was not confirmed, oldest first, and empties the queue.
    pub fn take_unconfirmed(&mut self) -> Vec<Bytes> {
        self.end_run();
        (self.base, self.cursor, self.bytes, self.transmitted) = (self.end, self.end, 0, 0);
        let mut unconfirmed = Vec::new();
        for run in self.runs.drain(..) {
            match run {
                Run::Small(messages) => unconfirmed.extend(messages),
                Run::Large(message) => unconfirmed.push(message),
            }
        }
        unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        limits::MESSAGE_OVERHEAD_BYTES,
        message::{MessageDecoder, encode_stream_header},
    };

    fn filled(texts: &[&'static str]) -> Outbox {
        let mut outbox = Outbox::new(1 << 20);
        texts.iter().for_each(|text| outbox.push(&Bytes::from_static(text.as_bytes())).unwrap());
        outbox
    }

    /// What the outbox gives to a link in one go.
    fn transmitted(outbox: &mut Outbox, bytes: usize) -> Vec<Bytes> {
        let mut header = BytesMut::new();
        encode_stream_header(outbox.cursor(), &mut header);
        let mut chunks = vec![header.split_off(1).freeze()];
        outbox.transmit(bytes, &mut chunks);
        let (mut decoder, mut messages) = (MessageDecoder::new(1 << 20), Vec::new());
        for chunk in chunks {
            decoder.decode(chunk, |arrived| messages.extend(arrived)).unwrap();
        }
        assert_eq!(decoder.buffered_bytes(), 0);
        messages
    }

    #[test]
    fn what_a_broken_link_swallowed_is_sent_again_on_the_next() {
        let mut outbox = filled(&["a", "b", "c"]);
        assert_eq!(transmitted(&mut outbox, 1), ["a", "b", "c"]);
        outbox.push(&Bytes::from_static(b"d")).unwrap();
        assert_eq!(outbox.untransmitted(), 1);
        outbox.handle_resumed(1).unwrap();
        assert_eq!((outbox.cursor(), outbox.untransmitted()), (1, 3));
        assert_eq!(transmitted(&mut outbox, 1), ["b", "c"]);
        assert_eq!(outbox.take_unconfirmed(), ["b", "c", "d"]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_late_confirmation_from_the_old_link_takes_nothing_back() {
        let mut outbox = filled(&["a", "b", "c"]);
        outbox.handle_resumed(2).unwrap();
        assert_eq!(outbox.handle_confirmed(1), Ok(false));
        assert_eq!(transmitted(&mut outbox, 1), ["c"]);
    }

    #[test]
    fn a_confirmation_of_what_was_never_sent_is_an_error() {
        let mut outbox = filled(&["a"]);
        let error = DeliveryError::Confirmed { received: 2, base: 0, sent: 1 };
        assert_eq!(outbox.handle_confirmed(2), Err(error));
    }

    #[test]
    fn a_full_queue_takes_no_more_until_something_is_confirmed() {
        let mut outbox = Outbox::new(2 * (MESSAGE_OVERHEAD_BYTES + 1));
        let message = Bytes::from_static(b"a");
        outbox.push(&message).unwrap();
        outbox.push(&message).unwrap();
        assert_eq!(outbox.push(&message), Err(OutboxFull));
        assert_eq!(outbox.handle_confirmed(1), Ok(true));
        outbox.push(&message).unwrap();
        assert!(outbox.queued_bytes() <= 2 * (MESSAGE_OVERHEAD_BYTES + 1));
    }

    #[test]
    fn a_message_larger_than_the_queue_goes_alone() {
        let mut outbox = Outbox::new(10);
        let small = Bytes::from_static(b"b");
        outbox.push(&Bytes::from(vec![0; 1000])).unwrap();
        assert_eq!(outbox.push(&small), Err(OutboxFull));
        outbox.handle_confirmed(1).unwrap();
        outbox.push(&small).unwrap();
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push {
            bytes: usize,
        },
        Transmit {
            bytes: usize,
        },
        /// So many of what is transmitted, in 255ths.
        Confirm {
            share: u8,
        },
        Resume {
            share: u8,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let sizes = prop_oneof![8 => 8..100_usize, 1 => 4000..5000_usize];
        let step = prop_oneof![
            4 => sizes.prop_map(|bytes| Step::Push { bytes }),
            2 => (0..6000_usize).prop_map(|bytes| Step::Transmit { bytes }),
            1 => any::<u8>().prop_map(|share| Step::Confirm { share }),
            1 => any::<u8>().prop_map(|share| Step::Resume { share }),
        ];
        prop::collection::vec(step, 0..300)
    }

    fn share_of(from: u64, to: u64, share: u8) -> u64 {
        from + (to - from) * u64::from(share) / 255
    }

    proptest! {
        /// Beside a list of all messages, of which the queue is a part.
        #[test]
        fn whatever_happens_each_message_is_transmitted_in_its_place_and_returned_if_not_confirmed(
            steps in steps(),
        ) {
            let mut outbox = Outbox::new(1 << 20);
            let mut sent: Vec<Bytes> = Vec::new();
            // What is confirmed, and what a link has ever taken.
            let (mut confirmed, mut reached) = (0, 0);
            for step in steps {
                match step {
                    Step::Push { bytes } => {
                        let mut message = vec![7; bytes];
                        message[..8].copy_from_slice(&(sent.len() as u64).to_be_bytes());
                        sent.push(message.into());
                        prop_assert!(outbox.push(sent.last().unwrap()).is_ok());
                    }
                    Step::Transmit { bytes } => {
                        let from = usize::try_from(outbox.cursor()).unwrap();
                        let messages = transmitted(&mut outbox, bytes);
                        prop_assert_eq!(&sent[from..from + messages.len()], &messages[..]);
                        prop_assert_eq!(outbox.cursor(), (from + messages.len()) as u64);
                        prop_assert!(bytes == 0 || from == sent.len() || !messages.is_empty());
                        reached = reached.max(outbox.cursor());
                    }
                    Step::Confirm { share } => {
                        let received = share_of(confirmed, reached, share);
                        prop_assert_eq!(outbox.handle_confirmed(received), Ok(received > confirmed));
                        confirmed = received;
                    }
                    Step::Resume { share } => {
                        confirmed = share_of(confirmed, reached, share);
                        outbox.handle_resumed(confirmed).unwrap();
                        prop_assert_eq!(outbox.cursor(), confirmed);
                    }
                }
                let left = &sent[usize::try_from(confirmed).unwrap()..];
                prop_assert_eq!(outbox.queued_bytes(), left.iter().map(queue_cost).sum::<usize>());
                prop_assert_eq!(outbox.is_empty(), left.is_empty());
                prop_assert_eq!(outbox.untransmitted(), sent.len() as u64 - outbox.cursor());
            }
            let left = &sent[usize::try_from(confirmed).unwrap()..];
            prop_assert_eq!(&outbox.take_unconfirmed()[..], left);
        }
    }
}
