//! Receiving: one task for each resource, from the offer until it is in its place. It outlives the
//! stream: when the link is lost it waits for the sender to come back with another one.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use multipeer_proto::PeerId;
use multipeer_proto::resource::{
    Block, BlockHasher, Entry, FailureReason, Offer, Paused, ReceiveLimits, ReceiveStep, Received,
    Receiving, RefusalReason, ResourceFrame, TransferFailure,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    channel::{Channel, Inlet, Interrupted},
    disk::{Disk, Job, Prepared},
    send::cancelled,
    store::{Store, Target},
    transfer::{Reporter, TransferError, TransferReport, TransferState},
};

/// Bytes that are hashed at once: many enough for BLAKE3 to use all of the processor, and few enough
/// not to hold up others.
const HASHED_BYTES: usize = 64 * 1024;

/// A stream that carries an offer.
pub(crate) struct Offered {
    pub(crate) channel: Channel,
    pub(crate) offer: Offer,
    /// Whether the sender has paused before it was answered.
    pub(crate) is_paused: bool,
}

/// A resource on its way from a peer.
pub(crate) struct Incoming {
    pub(crate) peer: PeerId,
    pub(crate) offer: Offer,
    pub(crate) target: Target,
    pub(crate) limits: ReceiveLimits,
    pub(crate) resume_timeout: Duration,
    /// Whether it waits for the sender to come back.
    pub(crate) waits: Arc<AtomicBool>,
    /// Streams with which the sender comes back.
    pub(crate) streams: mpsc::Receiver<Box<Offered>>,
}

/// How a stream ended that did not bring everything over.
enum Ended {
    Interrupted,
    /// The sender came back with another one.
    Replaced(Box<Offered>),
    Failed(TransferFailure),
}

impl From<Interrupted> for Ended {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl From<TransferFailure> for Ended {
    fn from(failure: TransferFailure) -> Self {
        Self::Failed(failure)
    }
}

/// One stream, and what is done on it.
struct Attempt {
    receiving: Receiving,
    channel: Channel,
    disk: Disk,
    /// Nothing goes on before the disk has answered.
    waits_for_disk: bool,
    /// A block whose bytes come.
    coming: Option<Coming>,
    complete: bool,
    received_bytes: u64,
}

/// A block, as far as it has come.
struct Coming {
    block: Block,
    data: Vec<u8>,
    hasher: BlockHasher,
    hashed: usize,
}

impl Coming {
    fn new(block: Block, block_bytes: u64) -> Self {
        let capacity = usize::try_from(block.bytes).unwrap_or(0);
        let hasher = BlockHasher::new(block.index, block_bytes);
        Self { block, data: Vec::with_capacity(capacity), hasher, hashed: 0 }
    }

    /// Takes what there is of it. Whether that was all.
    fn take(&mut self, inlet: &mut Inlet) -> bool {
        let length = usize::try_from(self.block.bytes).unwrap_or(usize::MAX);
        inlet.take_bytes(&mut self.data, length);
        let complete = self.data.len() == length;
        if complete || self.data.len() - self.hashed >= HASHED_BYTES {
            self.hasher.update(&self.data[self.hashed..]);
            self.hashed = self.data.len();
        }
        complete
    }
}

impl Incoming {
    pub(crate) async fn run(
        mut self,
        first: Option<Box<Offered>>,
        reporter: &mut Reporter,
    ) -> Result<TransferReport, TransferError> {
        let (mut next, mut transmitted_bytes, mut done) = (first, 0, Received::default());
        let mut deadline = Instant::now() + self.resume_timeout;
        loop {
            let Some(offered) = next.take() else {
                reporter.report(TransferState::Interrupted, done);
                self.waits.store(true, Ordering::Release);
                let mut control = reporter.control.clone();
                next = tokio::select! {
                    stream = timeout_at(deadline, self.streams.recv()) => {
                        Some(stream.ok().flatten().ok_or(TransferError::Lost)?)
                    }
                    () = cancelled(&mut control) => {
                        self.discard_staged().await;
                        return Err(TransferError::cancelled());
                    }
                };
                continue;
            };
            self.waits.store(false, Ordering::Release);
            self.offer = offered.offer.clone();
            let before = done;
            match self.attempt(offered, reporter, &mut transmitted_bytes, &mut done).await {
                Ok(path) => {
                    return Ok(TransferReport {
                        path: Some(path),
                        bytes: done.bytes,
                        transmitted_bytes,
                    });
                }
                Err(Ended::Failed(failure)) => return Err(failure.into()),
                Err(Ended::Replaced(offered)) => next = Some(offered),
                Err(Ended::Interrupted) => {}
            }
            if done > before {
                deadline = Instant::now() + self.resume_timeout;
            }
        }
    }

    /// Removes what an interrupted stream left.
    async fn discard_staged(&self) {
        let (target, offer, peer) = (self.target.clone(), self.offer.clone(), self.peer);
        // What cannot be opened cannot be removed either.
        let discard = move || Store::open(target, &offer, peer).map(Store::discard);
        _ = tokio::task::spawn_blocking(discard).await;
    }

    async fn attempt(
        &mut self,
        offered: Box<Offered>,
        reporter: &mut Reporter,
        transmitted: &mut u64,
        done: &mut Received,
    ) -> Result<PathBuf, Ended> {
        let Offered { channel, offer, is_paused } = *offered;
        let mut receiving = match Receiving::new(offer.clone(), self.limits) {
            Ok(receiving) => receiving,
            Err(reason) => {
                channel.close(Some(Receiving::refusal(reason, ""))).await;
                let text = reason.to_string();
                return Err(TransferFailure::new(FailureReason::NotAsOffered, text).into());
            }
        };
        receiving.handle(ResourceFrame::Paused(Paused { paused: is_paused }))?;
        let (target, peer) = (self.target.clone(), self.peer);
        let opened = tokio::task::spawn_blocking(move || Store::open(target, &offer, peer)).await;
        let store = match opened.map_err(|_| Interrupted)? {
            Ok(store) => store,
            Err(failure) => {
                let refusal = Receiving::refusal(RefusalReason::NotWritable, failure.text.clone());
                channel.close(Some(refusal)).await;
                return Err(failure.into());
            }
        };
        receiving.accept();
        let mut attempt = Attempt {
            receiving,
            channel,
            disk: Disk::new(store),
            waits_for_disk: false,
            coming: None,
            complete: false,
            received_bytes: 0,
        };
        let result = attempt.run(self, reporter, done).await;
        *transmitted += attempt.received_bytes;
        let Attempt { receiving, channel, disk, .. } = attempt;
        let store = disk.into_store().await;
        match result {
            Ok(()) => complete(receiving, channel, store.ok_or(Interrupted)?).await,
            Err(Ended::Failed(failure)) => {
                // What may be resumed later is kept; what failed is not left lying about.
                if failure.reason != FailureReason::Over
                    && let Some(store) = store
                {
                    _ = tokio::task::spawn_blocking(move || store.discard()).await;
                }
                let last = (!failure.by_peer).then(|| failure.to_frame());
                channel.close(last).await;
                Err(failure.into())
            }
            Err(ended) => Err(ended),
        }
    }
}

/// Everything has come and is verified.
async fn complete(
    mut receiving: Receiving,
    channel: Channel,
    store: Store,
) -> Result<PathBuf, Ended> {
    let entries = receiving.entries().to_vec();
    let completed = tokio::task::spawn_blocking(move || store.complete(&entries)).await;
    match completed.map_err(|_| Interrupted)? {
        Ok(path) => {
            receiving.handle_completed();
            channel.close(Some(ResourceFrame::Done)).await;
            Ok(path)
        }
        Err(failure) => {
            channel.close(Some(failure.to_frame())).await;
            Err(failure.into())
        }
    }
}

impl Attempt {
    /// Runs until everything has come.
    async fn run(
        &mut self,
        incoming: &mut Incoming,
        reporter: &mut Reporter,
        done: &mut Received,
    ) -> Result<(), Ended> {
        let mut control = reporter.control.clone();
        let mut paused = false;
        loop {
            let wish = *control.borrow_and_update();
            if wish.cancelled {
                return Err(TransferFailure::new(FailureReason::Cancelled, "").into());
            }
            if wish.paused != paused {
                paused = wish.paused;
                self.channel.outlet.push(&ResourceFrame::Paused(Paused { paused }));
            }
            while self.advance()? {}
            self.disk.start();
            *done = (*done).max(self.receiving.received());
            reporter.report(self.state(paused), *done);
            if self.complete && self.disk.is_idle() && !self.channel.outlet.is_waiting() {
                return Ok(());
            }
            let Channel { outlet, inlet, .. } = &mut self.channel;
            let waiting = outlet.is_waiting();
            let reads = !self.waits_for_disk && self.disk.has_room() && !self.complete;
            tokio::select! {
                more = inlet.read_more(), if reads => more?,
                written = outlet.write_one(), if waiting => written?,
                worked = self.disk.finished() => self.handle(worked??),
                stream = incoming.streams.recv() => {
                    return Err(stream.map_or(Ended::Interrupted, Ended::Replaced));
                }
                _ = control.changed() => {}
            }
        }
    }

    /// Does what can be done without waiting. Whether that was anything.
    ///
    /// A pause is the sender's to keep: what was under way is still taken, and its last words are
    /// heard.
    fn advance(&mut self) -> Result<bool, TransferFailure> {
        if self.waits_for_disk || self.complete || !self.disk.has_room() {
            return Ok(false);
        }
        if let Some(coming) = &mut self.coming {
            if !coming.take(&mut self.channel.inlet) {
                return Ok(false);
            }
            if let Some(Coming { block, data, hasher, .. }) = self.coming.take() {
                self.received_bytes += block.bytes;
                self.receiving.handle_block(&hasher.finish())?;
                self.disk.push(Job::Write { block, data });
            }
            return Ok(true);
        }
        if let Some(step) = self.receiving.poll() {
            self.step(step);
            return Ok(true);
        }
        let Some(frame) = self.channel.inlet.poll_frame()? else { return Ok(false) };
        self.receiving.handle(frame)?;
        Ok(true)
    }

    fn step(&mut self, step: ReceiveStep) {
        match step {
            ReceiveStep::Frame(frame) => self.channel.outlet.push(&frame),
            ReceiveStep::Prepare => {
                self.disk.push(Job::Prepare(self.receiving.entries().to_vec()));
                self.waits_for_disk = true;
            }
            ReceiveStep::ReadBlock(block) => {
                let block_bytes = self.receiving.offer().block_bytes;
                self.coming = Some(Coming::new(block, block_bytes));
            }
            ReceiveStep::FinishFile { entry, size } => {
                let described: Entry = self.receiving.entries()[entry].clone();
                self.disk.push(Job::FinishFile { entry, described, size });
            }
            ReceiveStep::Complete => self.complete = true,
        }
    }

    fn handle(&mut self, prepared: Option<Prepared>) {
        if let Some(existing) = prepared {
            self.waits_for_disk = false;
            for (entry, blocks) in existing {
                self.receiving.handle_existing(entry, blocks);
            }
            self.receiving.handle_prepared();
        }
    }

    fn state(&self, paused: bool) -> TransferState {
        if paused || self.receiving.is_paused_by_peer() {
            TransferState::Paused
        } else {
            TransferState::Active
        }
    }
}
