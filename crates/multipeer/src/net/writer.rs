//! Writing an outbox to a link's message stream.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use iroh::endpoint::SendStream;
use multipeer_proto::{LinkId, Outbox, message};
use tokio::time::{Duration, Instant};

/// Bytes that are written to the stream at once: many small messages cost one write and one
/// wake-up.
pub(super) const WRITE_BYTES: usize = 64 * 1024;
/// A message that comes so long after the one before it is written by its sender itself. What
/// comes faster is left to the writer's task, which takes many at once.
const PAUSE_BEFORE_DIRECT_WRITE: Duration = Duration::from_micros(10);

/// What came of an attempt to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// There was something, and the stream has it.
    Some,
    /// There was so much that more may wait.
    Much,
    /// Nothing waited.
    Nothing,
    /// The stream is dead.
    Dead,
}

/// One link's message stream, and what is encoded but not written yet.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) link: LinkId,
    stream: SendStream,
    chunks: Vec<Bytes>,
    /// How many of the chunks are written.
    written: usize,
    latest_direct_write: Option<Instant>,
}

impl Writer {
    /// A writer that begins with the outbox's next message.
    pub(super) fn new(link: LinkId, stream: SendStream, outbox: &Outbox) -> Self {
        let mut header = BytesMut::new();
        message::encode_stream_header(outbox.cursor(), &mut header);
        Self { link, stream, chunks: vec![header.freeze()], written: 0, latest_direct_write: None }
    }

    /// Writes what is left, or else what `take_work` gives.
    pub(super) fn poll_write(
        &mut self,
        take_work: impl FnOnce(&mut Vec<Bytes>),
        context: &mut Context<'_>,
    ) -> Poll<Written> {
        if self.written == self.chunks.len() {
            self.chunks.clear();
            self.written = 0;
            take_work(&mut self.chunks);
            if self.chunks.is_empty() {
                return Poll::Ready(Written::Nothing);
            }
        }
        let is_much = self.chunks.iter().map(Bytes::len).sum::<usize>() >= WRITE_BYTES;
        while self.written < self.chunks.len() {
            let mut left = &mut self.chunks[self.written..];
            let poll = std::pin::pin!(self.stream.write_many_chunks(&mut left)).poll(context);
            let left = left.len();
            match poll {
                Poll::Ready(Ok(_)) => self.written = self.chunks.len() - left,
                Poll::Ready(Err(_)) => return Poll::Ready(Written::Dead),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(if is_much { Written::Much } else { Written::Some })
    }

    /// Whether nothing stands before a message that was just queued, and it does not come in a stream of others.
    pub(super) fn may_write_directly(&mut self) -> bool {
        if self.written < self.chunks.len() {
            return false;
        }
        let now = Instant::now();
        let latest = self.latest_direct_write.replace(now);
        latest.is_none_or(|latest| now - latest >= PAUSE_BEFORE_DIRECT_WRITE)
    }
}
