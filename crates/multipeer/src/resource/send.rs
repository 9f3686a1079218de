//! Sending: one task for each receiver, from the offer to the receiver's word that all is there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use multipeer_proto::resource::{
    Entry, Offer, Paused, Received, ResourceFrame, SendStep, Sending, TransferFailure,
};
use multipeer_proto::stream::RESOURCE_STREAM;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use super::{
    blocks::{Follower, Known},
    channel::{Channel, Interrupted},
    transfer::{Control, Reporter, TransferError, TransferReport, TransferState},
};
use crate::{net::Shared, peer::Peer};

/// Resources go behind the streams that the application opened itself.
const PRIORITY: i32 = -1;
/// Pause before a stream that ended is replaced on a link that lives.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// A resource on its way to one receiver.
pub(crate) struct Outgoing {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    pub(crate) offer: Offer,
    pub(crate) entries: Arc<Vec<Entry>>,
    pub(crate) follower: Arc<Follower>,
    pub(crate) resume_timeout: Duration,
}

/// How a stream ended that did not bring everything over.
enum Ended {
    Interrupted,
    Failed(TransferError),
}

impl From<TransferFailure> for Ended {
    fn from(failure: TransferFailure) -> Self {
        Self::Failed(failure.into())
    }
}

impl From<Interrupted> for Ended {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// What is being read from the source.
type Reading = BoxFuture<'static, Result<Step, TransferFailure>>;

/// What was read.
enum Step {
    Hash(Known),
    Data { frame: ResourceFrame, data: Bytes },
}

/// One stream, and what is done on it.
struct Attempt<'a> {
    outgoing: &'a Outgoing,
    sending: Sending,
    channel: Channel,
    reading: Option<Reading>,
}

impl Outgoing {
    pub(crate) async fn run(
        self,
        reporter: &mut Reporter,
    ) -> Result<TransferReport, TransferError> {
        let mut transmitted_bytes = 0;
        let mut done = Received::default();
        let mut deadline = Instant::now() + self.resume_timeout;
        loop {
            let before = done;
            let ended = self.attempt(reporter, deadline, &mut transmitted_bytes, &mut done).await;
            match ended {
                Ok(bytes) => {
                    return Ok(TransferReport { path: None, bytes, transmitted_bytes });
                }
                Err(Ended::Failed(error)) => return Err(error),
                Err(Ended::Interrupted) => {}
            }
            if done > before {
                deadline = Instant::now() + self.resume_timeout;
            }
            if Instant::now() >= deadline {
                return Err(TransferError::Lost);
            }
            reporter.report(TransferState::Interrupted, done);
            sleep(RETRY_PAUSE).await;
        }
    }

    /// One stream: waits for a link, and runs until all is over or the stream has ended.
    async fn attempt(
        &self,
        reporter: &mut Reporter,
        deadline: Instant,
        transmitted: &mut u64,
        done: &mut Received,
    ) -> Result<u64, Ended> {
        let mut control = reporter.control.clone();
        let open = async {
            let lane = self.shared.wait_for_lane(self.peer.id).await;
            let (connection, hold) = lane.connection().await.map_err(|_| Interrupted)?;
            let (writer, reader) = connection.open_bi().await.map_err(|_| Interrupted)?;
            Ok::<_, Interrupted>((writer, reader, hold))
        };
        let opened = tokio::select! {
            opened = timeout_at(deadline, open) => opened,
            () = cancelled(&mut control) => return Err(Ended::Failed(TransferError::cancelled())),
        };
        let (mut writer, reader, hold) =
            opened.map_err(|_| Ended::Failed(TransferError::Lost))??;
        // A stream that has ended already says so when it is written to.
        _ = writer.set_priority(PRIORITY);
        writer.write_all(&[RESOURCE_STREAM]).await.map_err(|_| Interrupted)?;
        let mut attempt = Attempt {
            outgoing: self,
            sending: Sending::new(self.offer.clone(), self.entries.to_vec()),
            channel: Channel::new(writer, reader, hold),
            reading: None,
        };
        let result = attempt.run(reporter, done).await;
        *transmitted += attempt.sending.sent_bytes();
        match result {
            Ok(()) => {
                attempt.channel.close(None).await;
                Ok(attempt.sending.received().bytes)
            }
            Err(Ended::Failed(error)) => {
                let last = match &error {
                    TransferError::Failed(failure) if !failure.by_peer => Some(failure.to_frame()),
                    _ => None,
                };
                attempt.channel.close(last).await;
                Err(Ended::Failed(error))
            }
            Err(Ended::Interrupted) => Err(Ended::Interrupted),
        }
    }
}

impl Attempt<'_> {
    async fn run(&mut self, reporter: &mut Reporter, done: &mut Received) -> Result<(), Ended> {
        let mut control = reporter.control.clone();
        let mut paused = false;
        // A stream begins with its offer, also that of a transfer that pauses.
        self.step()?;
        loop {
            let wish = *control.borrow_and_update();
            if wish.cancelled {
                return Err(Ended::Failed(TransferError::cancelled()));
            }
            if wish.paused != paused {
                paused = wish.paused;
                self.channel.outlet.push(&ResourceFrame::Paused(Paused { paused }));
            }
            let held = paused || self.sending.is_paused_by_peer();
            while !held
                && self.channel.outlet.has_room()
                && self.reading.is_none()
                && self.step()?
            {}
            // What a former stream brought over is told anew on this one.
            *done = (*done).max(self.sending.received());
            reporter.report(self.state(held), *done);
            if let Some((reason, text)) = self.sending.refusal().cloned() {
                return Err(Ended::Failed(TransferError::Refused { reason, text }));
            }
            if self.sending.is_done() {
                return Ok(());
            }
            let Channel { outlet, inlet, .. } = &mut self.channel;
            let waiting = outlet.is_waiting();
            tokio::select! {
                more = inlet.read_more() => {
                    more?;
                    while let Some(frame) = self.channel.inlet.poll_frame()? {
                        self.sending.handle(frame)?;
                    }
                }
                written = outlet.write_one(), if waiting => written?,
                step = next(&mut self.reading) => self.handle(step)?,
                _ = control.changed() => {}
            }
        }
    }

    /// Does what comes next, or begins with it. False when the receiver is waited for.
    fn step(&mut self) -> Result<bool, TransferFailure> {
        let follower = self.outgoing.follower.clone();
        match self.sending.poll() {
            Some(SendStep::Frame(frame)) => self.channel.outlet.push(&frame),
            Some(SendStep::Read { entry, index }) => {
                if let Some(known) = follower.known(entry, index) {
                    self.handle(Ok(Step::Hash(known)))?;
                } else {
                    let hash = async move { follower.hash(entry, index).await.map(Step::Hash) };
                    self.reading = Some(hash.boxed());
                }
            }
            Some(SendStep::Block(block)) => {
                let entry = usize::try_from(block.entry).unwrap_or(usize::MAX);
                let frame = ResourceFrame::Block(block);
                if let Some(data) = follower.kept(entry, block.index) {
                    self.handle(Ok(Step::Data { frame, data }))?;
                } else {
                    let data = async move {
                        let data = follower.data(entry, block.index).await?;
                        Ok(Step::Data { frame, data })
                    };
                    self.reading = Some(data.boxed());
                }
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    fn handle(&mut self, step: Result<Step, TransferFailure>) -> Result<(), TransferFailure> {
        self.reading = None;
        match step? {
            Step::Hash(Known::Block(hash)) => self.sending.handle_block(&hash),
            Step::Hash(Known::End) => self.sending.handle_end_of_file(),
            Step::Data { frame, data } => {
                self.channel.outlet.push(&frame);
                self.channel.outlet.push_bytes(data);
                Ok(())
            }
        }
    }

    fn state(&self, held: bool) -> TransferState {
        match (self.sending.is_accepted(), held) {
            (false, _) => TransferState::Offered,
            (true, true) => TransferState::Paused,
            (true, false) => TransferState::Active,
        }
    }
}

/// Waits for what is being read; for ever when nothing is.
async fn next(reading: &mut Option<Reading>) -> Result<Step, TransferFailure> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

/// Waits until the application cancels.
pub(crate) async fn cancelled(control: &mut watch::Receiver<Control>) {
    if control.wait_for(|control| control.cancelled).await.is_err() {
        // Nobody is left who could.
        std::future::pending::<()>().await;
    }
}
