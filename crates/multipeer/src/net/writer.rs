//! Writing an outbox to a link's message stream.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use iroh::endpoint::SendStream;
use multipeer_proto::{LinkId, Outbox, message};
use tokio::time::{Duration, Instant};

/// Bytes that are written to the stream at once: many small messages cost one write and one
/// wake-up.
const WRITE_BYTES: usize = 64 * 1024;
/// A message of at least so many bytes is handed to the stream as it is; a smaller one is copied
/// behind its neighbours, which costs less than handling it on its own.
const COPY_BELOW_BYTES: usize = 4096;
/// A message that comes so long after the one before it is written by its sender itself. What
/// comes faster is left to the writer's task, which takes many at once.
const PAUSE_BEFORE_DIRECT_WRITE: Duration = Duration::from_micros(10);

/// One link's message stream, and what is encoded but not written yet.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) link: LinkId,
    stream: SendStream,
    chunks: Vec<Bytes>,
    /// How many of the chunks are written.
    written: usize,
    /// Whether the writer's task waits for the stream to take more.
    blocked: bool,
    latest_direct_write: Option<Instant>,
}

impl Writer {
    /// A writer that begins with the outbox's next message.
    pub(super) fn new(link: LinkId, stream: SendStream, outbox: &Outbox) -> Self {
        let mut header = BytesMut::new();
        message::encode_stream_header(outbox.cursor(), &mut header);
        Self {
            link,
            stream,
            chunks: vec![header.freeze()],
            written: 0,
            blocked: false,
            latest_direct_write: None,
        }
    }

    /// Writes everything that waits. Ready with false when the stream is dead.
    pub(super) fn poll_write(
        &mut self,
        outbox: &mut Outbox,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        loop {
            if self.written == self.chunks.len() {
                self.chunks.clear();
                self.written = 0;
                encode(outbox, &mut self.chunks);
                if self.chunks.is_empty() {
                    self.blocked = false;
                    return Poll::Ready(true);
                }
            }
            let mut left = &mut self.chunks[self.written..];
            let poll = std::pin::pin!(self.stream.write_many_chunks(&mut left)).poll(context);
            let left = left.len();
            match poll {
                Poll::Ready(Ok(_)) => self.written = self.chunks.len() - left,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => {
                    self.blocked = true;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Writes a message that was just queued, if nothing stands before it and it does not come
    /// in a stream of others: that saves a task's wake-up, and with it latency. False when the
    /// writer's task must do it.
    pub(super) fn write_directly(&mut self, outbox: &mut Outbox) -> bool {
        if self.blocked || self.written < self.chunks.len() || outbox.untransmitted() != 1 {
            return false;
        }
        let now = Instant::now();
        let latest = self.latest_direct_write.replace(now);
        if latest.is_some_and(|latest| now - latest < PAUSE_BEFORE_DIRECT_WRITE) {
            return false;
        }
        // Should the stream be blocked, the writer's task waits for it.
        let mut context = Context::from_waker(Waker::noop());
        self.poll_write(outbox, &mut context).is_ready()
    }
}

/// Takes messages from the outbox and appends them to the chunks: at least one, if there is one,
/// and about [`WRITE_BYTES`] at most.
fn encode(outbox: &mut Outbox, chunks: &mut Vec<Bytes>) {
    let Some(mut message) = outbox.poll_transmit() else {
        return;
    };
    let mut small = BytesMut::with_capacity(outbox.queued_bytes().min(WRITE_BYTES));
    let mut bytes = 0;
    loop {
        bytes += message.len() + 1;
        message::encode_message_length(message.len(), &mut small);
        if message.len() < COPY_BELOW_BYTES {
            small.extend_from_slice(&message);
        } else {
            chunks.push(small.split().freeze());
            chunks.push(message);
        }
        if bytes >= WRITE_BYTES {
            break;
        }
        match outbox.poll_transmit() {
            Some(next) => message = next,
            None => break,
        }
    }
    if !small.is_empty() {
        chunks.push(small.freeze());
    }
}
