//! Many messages in one piece, as they are on the wire.

use bytes::{Buf, Bytes};

use super::read_length;
use crate::limits::MESSAGE_OVERHEAD_BYTES;

/// A message of at most so many bytes is copied when it is handed out, so that whoever keeps one does not keep
/// those that came with it; a larger one is not.
const COPY_UP_TO_BYTES: usize = 1024;

/// Whole messages in the order in which they were sent; iterating hands them out.
///
/// They stay one behind the other as they are on the wire until then, so that many small messages are queued and
/// handed on as one.
///
/// ```
/// use bytes::Bytes;
/// use multipeer_proto::message::MessageDecoder;
///
/// // A stream that begins with message 0, then "hello" and "you".
/// let mut arrived = Vec::new();
/// let mut decoder = MessageDecoder::new(1024);
/// decoder.decode(Bytes::from_static(b"\x00\x05hello\x03you"), |messages| arrived.push(messages))?;
/// assert_eq!(arrived.len(), 1);
/// assert_eq!(arrived[0].len(), 2);
/// assert!(arrived.remove(0).eq(["hello", "you"]));
/// # Ok::<_, multipeer_proto::message::MessageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Messages {
    /// Length and bytes of each.
    records: Bytes,
    count: usize,
    /// Of the messages alone.
    payload_bytes: usize,
}

impl Messages {
    /// `count` records that hold `payload_bytes` beside their lengths.
    pub(crate) fn new(records: Bytes, count: usize, payload_bytes: usize) -> Self {
        Self { records, count, payload_bytes }
    }

    /// What they cost a queue in bytes, which is what each would cost it.
    pub fn cost(&self) -> usize {
        self.payload_bytes + self.count * MESSAGE_OVERHEAD_BYTES
    }

    /// How many bytes they are on the wire.
    pub fn wire_bytes(&self) -> usize {
        self.records.len()
    }

    /// They as they are on the wire.
    pub(crate) fn records(&self) -> &Bytes {
        &self.records
    }

    /// The same messages in memory of their own, apart from what came with them.
    #[must_use]
    pub fn unshared(self) -> Self {
        Self { records: Bytes::copy_from_slice(&self.records), ..self }
    }

    /// Drops the first, `count` at most, and says how many there were.
    pub fn discard(&mut self, count: u64) -> u64 {
        let mut discarded = 0;
        while discarded < count
            && let Some((start, length)) = self.first()
        {
            self.take(start + length, length);
            discarded += 1;
        }
        discarded
    }

    /// Where the first message begins, and its length.
    #[inline]
    fn first(&self) -> Option<(usize, usize)> {
        let mut rest = &self.records[..];
        let length = read_length(&mut rest).and_then(|length| usize::try_from(length).ok())?;
        (length <= rest.len()).then(|| (self.records.len() - rest.len(), length))
    }

    #[inline]
    fn take(&mut self, record_bytes: usize, message_bytes: usize) {
        self.records.advance(record_bytes);
        self.count -= 1;
        self.payload_bytes -= message_bytes;
    }
}

impl Iterator for Messages {
    type Item = Bytes;

    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        let (start, length) = self.first()?;
        let end = start + length;
        let message = if length <= COPY_UP_TO_BYTES {
            Bytes::copy_from_slice(&self.records[start..end])
        } else {
            self.records.slice(start..end)
        };
        self.take(end, length);
        Some(message)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Messages {}
