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
    Block, BlockHash, Entry, FailureReason, Offer, Paused, ReceiveLimits, ReceiveStep, Receiving,
    RefusalReason, ResourceFrame, TransferFailure,
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    channel::{Channel, Interrupted},
    send::cancelled,
    store::{Store, Target},
    transfer::{Reporter, TransferError, TransferReport, TransferState},
};

/// A stream that carries an offer.
pub(crate) struct Offered {
    pub(crate) channel: Channel,
    pub(crate) offer: Offer,
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

/// What the disk is busy with.
type Working = JoinHandle<(Store, Result<Worked, TransferFailure>)>;

enum Worked {
    Prepared(Vec<(usize, Vec<BlockHash>)>),
    Written(BlockHash),
    Finished,
}

/// One stream, and what is done on it.
struct Attempt {
    receiving: Receiving,
    channel: Channel,
    /// Not here while the disk is busy.
    store: Option<Store>,
    working: Option<Working>,
    /// A block whose bytes come.
    block: Option<(Block, Vec<u8>)>,
    complete: bool,
    received_bytes: u64,
}

impl Incoming {
    pub(crate) async fn run(
        mut self,
        first: Option<Box<Offered>>,
        reporter: &mut Reporter,
    ) -> Result<TransferReport, TransferError> {
        let (mut next, mut transmitted_bytes, mut done) = (first, 0, 0);
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
                    return Ok(TransferReport { path: Some(path), bytes: done, transmitted_bytes });
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
        done: &mut u64,
    ) -> Result<PathBuf, Ended> {
        let Offered { channel, offer } = *offered;
        let mut receiving = match Receiving::new(offer.clone(), self.limits) {
            Ok(receiving) => receiving,
            Err(reason) => {
                channel.close(Some(Receiving::refusal(reason, ""))).await;
                let text = reason.to_string();
                return Err(TransferFailure::new(FailureReason::NotAsOffered, text).into());
            }
        };
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
            store: Some(store),
            working: None,
            block: None,
            complete: false,
            received_bytes: 0,
        };
        let result = attempt.run(self, reporter, done).await;
        *transmitted += attempt.received_bytes;
        if let Some(working) = attempt.working.take()
            && let Ok((store, _)) = working.await
        {
            attempt.store = Some(store);
        }
        match result {
            Ok(()) => self.complete(attempt).await,
            Err(Ended::Failed(failure)) => {
                // What may be resumed later is kept; what failed is not left lying about.
                if failure.reason != FailureReason::Over
                    && let Some(store) = attempt.store.take()
                {
                    _ = tokio::task::spawn_blocking(move || store.discard()).await;
                }
                let last = (!failure.by_peer).then(|| failure.to_frame());
                attempt.channel.close(last).await;
                Err(failure.into())
            }
            Err(ended) => Err(ended),
        }
    }

    /// Everything has come and is verified.
    async fn complete(&self, mut attempt: Attempt) -> Result<PathBuf, Ended> {
        let store = attempt.store.take().ok_or(Interrupted)?;
        let entries = attempt.receiving.entries().to_vec();
        let completed = tokio::task::spawn_blocking(move || store.complete(&entries)).await;
        match completed.map_err(|_| Interrupted)? {
            Ok(path) => {
                attempt.receiving.handle_completed();
                attempt.channel.close(Some(ResourceFrame::Done)).await;
                Ok(path)
            }
            Err(failure) => {
                attempt.channel.close(Some(failure.to_frame())).await;
                Err(failure.into())
            }
        }
    }
}

impl Attempt {
    /// Runs until everything has come.
    async fn run(
        &mut self,
        incoming: &mut Incoming,
        reporter: &mut Reporter,
        done: &mut u64,
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
            let advanced = self.advance(paused)?;
            *done = (*done).max(self.receiving.verified_bytes());
            reporter.report(self.state(paused), *done);
            if self.complete && !self.channel.outlet.is_waiting() {
                return Ok(());
            }
            if advanced {
                continue;
            }
            let Channel { outlet, inlet, .. } = &mut self.channel;
            let waiting = outlet.is_waiting();
            let reads = self.working.is_none() && !paused && !self.complete;
            tokio::select! {
                more = inlet.read_more(), if reads => more?,
                written = outlet.write_one(), if waiting => written?,
                worked = join(&mut self.working) => self.handle(worked)?,
                stream = incoming.streams.recv() => {
                    return Err(stream.map_or(Ended::Interrupted, Ended::Replaced));
                }
                _ = control.changed() => {}
            }
        }
    }

    /// Does what can be done without waiting. Whether that was anything.
    fn advance(&mut self, paused: bool) -> Result<bool, TransferFailure> {
        if self.working.is_some() || self.complete {
            return Ok(false);
        }
        if let Some((block, data)) = &mut self.block {
            if paused {
                return Ok(false);
            }
            let length = usize::try_from(block.bytes).unwrap_or(usize::MAX);
            let bytes = self.channel.inlet.take_bytes(length - data.len());
            data.extend_from_slice(&bytes);
            if data.len() < length {
                return Ok(false);
            }
            if let Some((block, data)) = self.block.take() {
                self.received_bytes += block.bytes;
                self.work(move |store| store.write(&block, &data).map(Worked::Written));
            }
            return Ok(true);
        }
        if let Some(step) = self.receiving.poll() {
            self.step(step);
            return Ok(true);
        }
        if paused {
            return Ok(false);
        }
        let Some(frame) = self.channel.inlet.poll_frame()? else { return Ok(false) };
        self.receiving.handle(frame)?;
        Ok(true)
    }

    fn step(&mut self, step: ReceiveStep) {
        match step {
            ReceiveStep::Frame(frame) => self.channel.outlet.push(&frame),
            ReceiveStep::Prepare => {
                let entries = self.receiving.entries().to_vec();
                self.work(move |store| store.prepare(&entries).map(Worked::Prepared));
            }
            ReceiveStep::ReadBlock(block) => {
                let capacity = usize::try_from(block.bytes).unwrap_or(0);
                self.block = Some((block, Vec::with_capacity(capacity)));
            }
            ReceiveStep::FinishFile { entry, size } => {
                let described: Entry = self.receiving.entries()[entry].clone();
                self.work(move |store| {
                    store.finish_file(entry, &described, size).map(|()| Worked::Finished)
                });
            }
            ReceiveStep::Complete => self.complete = true,
        }
    }

    /// Gives the disk something to do.
    fn work(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<Worked, TransferFailure> + Send + 'static,
    ) {
        if let Some(mut store) = self.store.take() {
            self.working = Some(tokio::task::spawn_blocking(move || {
                let worked = work(&mut store);
                (store, worked)
            }));
        }
    }

    fn handle(
        &mut self,
        worked: Option<(Store, Result<Worked, TransferFailure>)>,
    ) -> Result<(), Ended> {
        self.working = None;
        // A runtime that shuts down gives up what it is doing.
        let (store, worked) = worked.ok_or(Interrupted)?;
        self.store = Some(store);
        match worked? {
            Worked::Prepared(existing) => {
                for (entry, blocks) in existing {
                    self.receiving.handle_existing(entry, blocks);
                }
                self.receiving.handle_prepared();
            }
            Worked::Written(hash) => self.receiving.handle_block(&hash)?,
            Worked::Finished => {}
        }
        Ok(())
    }

    fn state(&self, paused: bool) -> TransferState {
        if paused || self.receiving.is_paused_by_peer() {
            TransferState::Paused
        } else {
            TransferState::Active
        }
    }
}

/// Waits for what the disk is busy with; for ever when it is not.
async fn join(working: &mut Option<Working>) -> Option<(Store, Result<Worked, TransferFailure>)> {
    match working {
        Some(working) => working.await.ok(),
        None => std::future::pending().await,
    }
}
