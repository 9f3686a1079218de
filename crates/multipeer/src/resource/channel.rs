//! The stream of one transfer, with a task for each way, so that whoever decides never waits in
//! the middle of a write.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use iroh::endpoint::{RecvStream, SendStream};
use multipeer_proto::resource::{FailureReason, ResourceDecoder, ResourceFrame, TransferFailure};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

/// Pieces that wait to be written: blocks of 1 MiB, mostly.
const WAITING_WRITES: usize = 2;
/// Pieces that were read and wait.
const WAITING_READS: usize = 16;
/// Bytes in one of them.
const READ_BYTES: usize = 128 * 1024;
/// Time for the last words to arrive.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The stream of one transfer.
pub(crate) struct Channel {
    pub(crate) outlet: Outlet,
    pub(crate) inlet: Inlet,
    writing: JoinSet<()>,
    _reading: JoinSet<()>,
}

/// The way to the other side, and what waits to go there.
pub(crate) struct Outlet {
    out: mpsc::Sender<Bytes>,
    waiting: VecDeque<Bytes>,
}

/// The way from the other side.
pub(crate) struct Inlet {
    chunks: mpsc::Receiver<Bytes>,
    decoder: ResourceDecoder,
}

/// The stream has ended, with or without its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl Channel {
    pub(crate) fn new(mut writer: SendStream, mut reader: RecvStream) -> Self {
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
        let (sender, chunks) = mpsc::channel(WAITING_READS);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            loop {
                let mut buffer = BytesMut::zeroed(READ_BYTES);
                let Ok(Some(count)) = reader.read(&mut buffer).await else { return };
                buffer.truncate(count);
                if sender.send(buffer.freeze()).await.is_err() {
                    return;
                }
            }
        });
        let outlet = Outlet { out, waiting: VecDeque::new() };
        let inlet = Inlet { chunks, decoder: ResourceDecoder::default() };
        Self { outlet, inlet, writing, _reading: reading }
    }

    /// Says a last word, and waits until everything has arrived.
    pub(crate) async fn close(mut self, last: Option<ResourceFrame>) {
        self.outlet.waiting.extend(last.map(|frame| encode(&frame)));
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
        self.waiting.push_back(encode(frame));
    }

    pub(crate) fn push_bytes(&mut self, bytes: Bytes) {
        self.waiting.push_back(bytes);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes one of what waits, once there is room for it. Cancel safe.
    pub(crate) async fn write_one(&mut self) -> Result<(), Interrupted> {
        let permit = self.out.reserve().await.map_err(|_| Interrupted)?;
        if let Some(bytes) = self.waiting.pop_front() {
            permit.send(bytes);
        }
        Ok(())
    }
}

impl Inlet {
    /// Reads more. Cancel safe.
    pub(crate) async fn read_more(&mut self) -> Result<(), Interrupted> {
        let chunk = self.chunks.recv().await.ok_or(Interrupted)?;
        self.decoder.extend(&chunk);
        Ok(())
    }

    /// The next frame that was read whole.
    pub(crate) fn poll_frame(&mut self) -> Result<Option<ResourceFrame>, TransferFailure> {
        let frame = self.decoder.poll_frame();
        frame.map_err(|error| TransferFailure::new(FailureReason::Protocol, error.to_string()))
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

    /// Bytes of a block, as many as were read and at most so many.
    pub(crate) fn take_bytes(&mut self, at_most: usize) -> Bytes {
        self.decoder.take_bytes(at_most)
    }
}

fn encode(frame: &ResourceFrame) -> Bytes {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes.freeze()
}
