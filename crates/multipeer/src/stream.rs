//! Streams: named, ordered bytes with back-pressure, beside the messages.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use iroh::endpoint::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use multipeer_proto::{PeerId, StreamName, StreamNameError, stream::code};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    net::{Hold, Lane},
    peer::Peer,
};

/// Chunks that are read at once: of one packet each, mostly.
const CHUNKS: usize = 32;

/// A stream that could not be opened, or that ended before it was finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer is not in the session.
    #[error("peer {peer} is not connected", peer = .0.short())]
    NotConnected(PeerId),
    /// The session is over.
    #[error("the session is over")]
    SessionOver,
    /// The name breaks a rule.
    #[error(transparent)]
    Name(#[from] StreamNameError),
    /// The writer was reset: what was not read yet is lost.
    #[error("the other side reset the stream with code {code}")]
    Reset {
        /// The writing application's code.
        code: u32,
    },
    /// The reader wants no more.
    #[error("the other side stopped the stream with code {code}")]
    Stopped {
        /// The reading application's code.
        code: u32,
    },
    /// The other side dropped its end before the stream was done.
    #[error("the other side gave the stream up")]
    Dropped,
    /// The other side did not take the stream.
    #[error("the other side does not take such a stream (code {code})")]
    Refused {
        /// The protocol's code: docs/protocol.md, "Streams".
        code: u32,
    },
    /// The link broke. A stream does not outlive its link: open another one.
    #[error("the link was lost, and its streams with it: open another one")]
    LinkLost,
    /// This side has finished, reset or stopped the stream already.
    #[error("the stream is closed on this side already")]
    Closed,
}

impl StreamError {
    fn of_code(code: VarInt, of_application: fn(u32) -> Self) -> Self {
        // A code that no application can have chosen is as good as any.
        let code = u32::try_from(code.into_inner()).unwrap_or(u32::MAX);
        match code {
            code::DROPPED => Self::Dropped,
            code if code < code::FIRST_OF_APPLICATION => Self::Refused { code },
            code => of_application(code - code::FIRST_OF_APPLICATION),
        }
    }
}

impl From<WriteError> for StreamError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::of_code(code, |code| Self::Stopped { code }),
            WriteError::ClosedStream => Self::Closed,
            WriteError::ConnectionLost(_) | WriteError::ZeroRttRejected => Self::LinkLost,
        }
    }
}

impl From<ReadError> for StreamError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::of_code(code, |code| Self::Reset { code }),
            ReadError::ClosedStream => Self::Closed,
            ReadError::ConnectionLost(_) | ReadError::ZeroRttRejected => Self::LinkLost,
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Reset { .. } => io::ErrorKind::ConnectionReset,
            StreamError::LinkLost => io::ErrorKind::ConnectionAborted,
            StreamError::NotConnected(_) | StreamError::SessionOver | StreamError::Closed => {
                io::ErrorKind::NotConnected
            }
            StreamError::Name(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

/// A code of the application's as it is on the wire.
fn application_code(code: u32) -> VarInt {
    VarInt::from_u32(code.saturating_add(code::FIRST_OF_APPLICATION))
}

/// A stream that a peer opened.
///
/// Dropped, it is refused: the peer's writer fails. Read it, or drop it: a stream that is not read holds up to 1.25 MiB
/// of what was written to it, and of one peer all that is not read is 8 MiB at most. With seven such streams nothing
/// else of that peer arrives, messages included, until something is read.
#[derive(Debug)]
#[non_exhaustive]
pub struct IncomingStream {
    /// Who opened it.
    pub from: Peer,
    /// What it is for, as the peer says.
    pub name: StreamName,
    /// What the peer writes.
    pub reader: StreamReader,
    /// What goes back to the peer; none when the stream is one-way.
    pub writer: Option<StreamWriter>,
}

impl IncomingStream {
    pub(crate) fn new(
        lane: &Lane,
        name: StreamName,
        reader: RecvStream,
        writer: Option<SendStream>,
    ) -> Self {
        let writer = writer.map(|writer| StreamWriter::new(writer, lane.hold()));
        let reader = StreamReader::new(reader, lane.hold());
        Self { from: lane.peer.clone(), name, reader, writer }
    }
}

/// The end of a stream into which bytes are written.
///
/// Writing waits while the reader is behind; how much is under way is up to QUIC: at most 2 MiB for
/// a stream. Dropped before it is finished, the stream is reset, so that the reader does not
/// take a part for the whole.
pub struct StreamWriter {
    stream: SendStream,
    /// Waits for the other side to have everything.
    arrival: Option<BoxFuture<'static, Result<Option<VarInt>, StoppedError>>>,
    finished: bool,
    _hold: Hold,
}

impl StreamWriter {
    pub(crate) fn new(stream: SendStream, hold: Hold) -> Self {
        Self { stream, arrival: None, finished: false, _hold: hold }
    }

    /// Writes bytes without copying them. Waits while the reader is behind.
    ///
    /// # Errors
    ///
    /// [`StreamError`]: the reader stopped, the link was lost, or the stream is finished.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, a part may have been written.
    pub async fn write_bytes(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        Ok(self.stream.write_chunk(bytes).await?)
    }

    /// Says that nothing more comes, and waits until everything has arrived.
    ///
    /// # Errors
    ///
    /// [`StreamError`]: the reader stopped before it had everything, or the link was lost.
    ///
    /// Cancel safe: the stream is finished all the same.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        std::future::poll_fn(|context| self.poll_finish(context)).await
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if !self.finished {
            // A stream that was stopped says so below.
            _ = self.stream.finish();
            self.finished = true;
        }
        let arrival = self.arrival.get_or_insert_with(|| Box::pin(self.stream.stopped()));
        let arrived = ready!(arrival.as_mut().poll(context));
        self.arrival = None;
        Poll::Ready(match arrived {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(StreamError::of_code(code, |code| StreamError::Stopped { code })),
            Err(_) => Err(StreamError::LinkLost),
        })
    }

    /// Gives the stream up: the reader fails with [`StreamError::Reset`] and this code.
    pub fn reset(mut self, code: u32) {
        self.finished = true;
        // One that is closed already cannot be reset.
        _ = self.stream.reset(application_code(code));
    }

    /// Waits until the reader wants no more, and returns why; `None` when the stream was finished
    /// and has arrived.
    ///
    /// Cancel safe.
    pub async fn stopped(&self) -> Option<StreamError> {
        match self.stream.stopped().await {
            Ok(None) => None,
            Ok(Some(code)) => {
                Some(StreamError::of_code(code, |code| StreamError::Stopped { code }))
            }
            Err(_) => Some(StreamError::LinkLost),
        }
    }

    /// Streams with a higher priority go first; 0 unless said otherwise. Messages go before all.
    pub fn set_priority(&self, priority: i16) {
        // One that is closed has nothing left to send.
        _ = self.stream.set_priority(i32::from(priority));
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(written.map_err(|error| StreamError::from(error).into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// As [`StreamWriter::finish`].
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(context).map_err(Into::into)
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.finished {
            // One that is closed already cannot be reset.
            _ = self.stream.reset(VarInt::from_u32(code::DROPPED));
        }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamWriter({})", self.stream.id())
    }
}

/// The end of a stream from which bytes are read.
///
/// What is not read stays with the writer, which waits. Dropped before the end, the stream is
/// stopped, and the writer fails with [`StreamError::Dropped`].
pub struct StreamReader {
    stream: RecvStream,
    /// What was read and not handed out yet: never much, and always before the stream's next.
    chunks: VecDeque<Bytes>,
    _hold: Hold,
}

impl StreamReader {
    pub(crate) fn new(stream: RecvStream, hold: Hold) -> Self {
        Self { stream, chunks: VecDeque::new(), _hold: hold }
    }

    /// The next bytes, at most so many, without copying them; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`StreamError`]: the writer reset the stream, or the link was lost.
    ///
    /// Cancel safe.
    pub async fn read_bytes(&mut self, at_most: usize) -> Result<Option<Bytes>, StreamError> {
        if self.chunks.is_empty() {
            // One look at the link for many packets.
            let mut chunks: [Bytes; CHUNKS] = std::array::from_fn(|_| Bytes::new());
            let Some(count) = self.stream.read_many_chunks(&mut chunks).await? else {
                return Ok(None);
            };
            self.chunks.extend(chunks.into_iter().take(count));
        }
        Ok(self.take(at_most))
    }

    /// Of the chunk that is next, so many bytes at most.
    fn take(&mut self, at_most: usize) -> Option<Bytes> {
        let chunk = self.chunks.front_mut()?;
        if chunk.len() > at_most {
            return Some(chunk.split_to(at_most));
        }
        self.chunks.pop_front()
    }

    /// Wants no more: the writer fails with [`StreamError::Stopped`] and this code.
    pub fn stop(mut self, code: u32) {
        // One that has ended cannot be stopped.
        _ = self.stream.stop(application_code(code));
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(chunk) = self.take(buffer.remaining()) {
            buffer.put_slice(&chunk);
            return Poll::Ready(Ok(()));
        }
        let count = ready!(self.stream.poll_read(context, buffer.initialize_unfilled()));
        let count = count.map_err(StreamError::from)?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamReader({})", self.stream.id())
    }
}
