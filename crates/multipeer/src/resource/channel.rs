//! The stream of one transfer. A task of its own writes, so that whoever decides never waits in the
//! middle of a write.

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use iroh::endpoint::{RecvStream, SendStream};
use multipeer_proto::resource::{FailureReason, ResourceDecoder, ResourceFrame, TransferFailure};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::net::Hold;

/// Pieces that wait to be written: blocks of 1 MiB, mostly.
const WAITING_WRITES: usize = 2;
/// What is shorter than this is put together with what stands beside it, ...
const SHORT_BYTES: usize = 16 * 1024;
/// ... until there is so much of it.
const PIECE_BYTES: usize = 64 * 1024;
/// Chunks that are read at once: of one packet each, mostly.
const CHUNKS: usize = 64;
/// Bytes that go through the decoder at once: few, since those of blocks need not.
const FRAME_BYTES: usize = 512;
/// Time for the last words to arrive.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The stream of one transfer.
pub(crate) struct Channel {
    pub(crate) outlet: Outlet,
    pub(crate) inlet: Inlet,
    writing: JoinSet<()>,
    _hold: Hold,
}

/// The way to the other side, and what waits to go there.
pub(crate) struct Outlet {
    out: mpsc::Sender<Bytes>,
    waiting: VecDeque<Bytes>,
    /// Short pieces, behind what waits.
    short: BytesMut,
}

/// The way from the other side.
pub(crate) struct Inlet {
    reader: RecvStream,
    /// What was read, in order.
    chunks: VecDeque<Bytes>,
    /// What was read before that, and is part of a frame.
    decoder: ResourceDecoder,
}

/// The stream has ended, with or without its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl Channel {
    pub(crate) fn new(mut writer: SendStream, reader: RecvStream, hold: Hold) -> Self {
        let (out, mut waiting) = mpsc::channel::<Bytes>(WAITING_WRITES);
        let mut writing = JoinSet::new();
        writing.spawn(async move {
            while let Some(bytes) = waiting.recv().await {
                if writer.write_chunk(bytes).await.is_err() {
                    return;
                }
            }
            // Neither can fail in a way that matters: nothing more is to be said.
            _ = writer.finish();
            _ = writer.stopped().await;
        });
        let outlet = Outlet { out, waiting: VecDeque::new(), short: BytesMut::new() };
        let (chunks, decoder) = (VecDeque::new(), ResourceDecoder::default());
        Self { outlet, inlet: Inlet { reader, chunks, decoder }, writing, _hold: hold }
    }

    /// Says a last word, and waits until everything has arrived.
    pub(crate) async fn close(mut self, last: Option<ResourceFrame>) {
        if let Some(frame) = last {
            self.outlet.push(&frame);
        }
        let said = async {
            while self.outlet.is_waiting() && self.outlet.write_one().await.is_ok() {}
            drop(self.outlet);
            self.writing.join_next().await
        };
        // One that does not take it in time does not get it.
        _ = timeout(CLOSE_TIMEOUT, said).await;
    }
}

impl Outlet {
    pub(crate) fn push(&mut self, frame: &ResourceFrame) {
        frame.encode(&mut self.short);
    }

    pub(crate) fn push_bytes(&mut self, bytes: Bytes) {
        if bytes.len() < SHORT_BYTES {
            self.short.extend_from_slice(&bytes);
        } else {
            if !self.short.is_empty() {
                self.waiting.push_back(self.short.split().freeze());
            }
            self.waiting.push_back(bytes);
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.short.is_empty()
    }

    /// Whether more should be pushed before what waits is written.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.short.len() < PIECE_BYTES
    }

    /// Writes one of what waits, once there is room for it. Cancel safe.
    pub(crate) async fn write_one(&mut self) -> Result<(), Interrupted> {
        let permit = self.out.reserve().await.map_err(|_| Interrupted)?;
        match self.waiting.pop_front() {
            Some(bytes) => permit.send(bytes),
            None if !self.short.is_empty() => permit.send(self.short.split().freeze()),
            None => {}
        }
        Ok(())
    }
}

impl Inlet {
    /// Reads more. Cancel safe.
    pub(crate) async fn read_more(&mut self) -> Result<(), Interrupted> {
        let mut chunks: [Bytes; CHUNKS] = std::array::from_fn(|_| Bytes::new());
        match self.reader.read_many_chunks(&mut chunks).await {
            Ok(Some(count)) => {
                self.chunks.extend(chunks.into_iter().take(count));
                Ok(())
            }
            Ok(None) | Err(_) => Err(Interrupted),
        }
    }

    /// The next frame that was read whole.
    pub(crate) fn poll_frame(&mut self) -> Result<Option<ResourceFrame>, TransferFailure> {
        loop {
            let frame = self.decoder.poll_frame().map_err(|error| {
                TransferFailure::new(FailureReason::Protocol, error.to_string())
            })?;
            if frame.is_some() {
                return Ok(frame);
            }
            let Some(chunk) = self.chunks.front_mut() else { return Ok(None) };
            let piece = chunk.split_to(chunk.len().min(FRAME_BYTES));
            self.decoder.extend(&piece);
            self.drop_empty();
        }
    }

    /// Waits for a frame. Cancel safe.
    pub(crate) async fn frame(&mut self) -> Result<ResourceFrame, Interrupted> {
        loop {
            match self.poll_frame() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => self.read_more().await?,
                Err(_) => return Err(Interrupted),
            }
        }
    }

    /// Moves bytes of a block behind those of it that are there, until there are `length` of them
    /// or no more was read.
    pub(crate) fn take_bytes(&mut self, data: &mut Vec<u8>, length: usize) {
        data.extend_from_slice(&self.decoder.take_bytes(length - data.len()));
        while data.len() < length
            && let Some(chunk) = self.chunks.front_mut()
        {
            let count = chunk.len().min(length - data.len());
            data.extend_from_slice(&chunk[..count]);
            chunk.advance(count);
            self.drop_empty();
        }
    }

    fn drop_empty(&mut self) {
        while self.chunks.front().is_some_and(Bytes::is_empty) {
            self.chunks.pop_front();
        }
    }
}
