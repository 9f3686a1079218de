//! A transfer as the application holds it: progress, outcome, pause and cancel.

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use multipeer_proto::PeerId;
use multipeer_proto::resource::{
    FailureReason, Received, RefusalReason, TransferFailure, TransferId,
};
use tokio::sync::watch;

use crate::peer::Peer;

/// Pause between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// What the rate is averaged over.
const RATE_OVER: Duration = Duration::from_secs(2);

/// A transfer that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The peer is not in the session.
    #[error("peer {peer} is not connected", peer = .0.short())]
    NotConnected(PeerId),
    /// The session is over. What arrived is kept, and the same transfer goes on there later.
    #[error("the session is over")]
    SessionOver,
    /// The source cannot be sent.
    #[error("cannot send {name}: {problem}")]
    Source {
        /// Which.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The receiver does not take it.
    #[error("{reason}{}", detail(.text))]
    Refused {
        /// Why.
        reason: RefusalReason,
        /// The receiver's words, possibly none.
        text: String,
    },
    /// It began and failed.
    #[error(transparent)]
    Failed(#[from] TransferFailure),
    /// The link was lost and the peer did not come back in time. What arrived is kept, and the
    /// same transfer goes on there later.
    #[error("the peer did not come back in time; send it again to go on where it stopped")]
    Lost,
}

fn detail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl TransferError {
    pub(crate) fn cancelled() -> Self {
        Self::Failed(TransferFailure::new(FailureReason::Cancelled, ""))
    }
}

/// What a transfer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferState {
    /// The receiver has not answered yet.
    Offered,
    /// Bytes move.
    Active,
    /// One of the two sides pauses.
    Paused,
    /// The link was lost; it goes on when the peer is back.
    Interrupted,
}

/// How far a transfer is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// What it is doing.
    pub state: TransferState,
    /// Bytes that the receiver has and that are verified.
    pub done: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
    /// Files that the receiver has whole and verified. Folders and links are not counted.
    pub files: u64,
    /// Bytes a second, over the last two seconds.
    pub rate: f64,
}

impl Progress {
    /// Time until it is done, if the rate stays and the size is known.
    pub fn time_left(&self) -> Option<Duration> {
        let left = self.total?.saturating_sub(self.done);
        #[allow(clippy::cast_precision_loss)] // An estimate.
        let seconds = left as f64 / self.rate;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// What a transfer that succeeded came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferReport {
    /// Where it is, on the receiving side.
    pub path: Option<PathBuf>,
    /// Bytes in all its files.
    pub bytes: u64,
    /// Bytes of files that went over the network for it, resumptions included.
    pub transmitted_bytes: u64,
}

/// Whether bytes come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferDirection {
    /// To the peer.
    Sending,
    /// From the peer.
    Receiving,
}

/// A resource on its way, in either direction.
///
/// Dropping it changes nothing: the transfer goes on, and
/// [`Event::TransferEnded`](crate::Event::TransferEnded) tells how it went.
#[derive(Clone)]
pub struct Transfer {
    peer: Peer,
    name: String,
    id: TransferId,
    direction: TransferDirection,
    status: watch::Receiver<Status>,
    control: watch::Sender<Control>,
}

/// What the application wants of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Control {
    pub(crate) paused: bool,
    pub(crate) cancelled: bool,
}

#[derive(Debug, Clone)]
struct Status {
    progress: Progress,
    outcome: Option<Result<TransferReport, TransferError>>,
}

impl Transfer {
    /// With whom.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the resource is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which transfer; the same on both sides.
    pub fn id(&self) -> TransferId {
        self.id
    }

    /// Whether bytes come or go.
    pub fn direction(&self) -> TransferDirection {
        self.direction
    }

    /// Waits until there is news, some ten times a second at most, and returns it; `None` when the
    /// transfer has ended.
    ///
    /// Cancel safe.
    pub async fn progress(&mut self) -> Option<Progress> {
        // An error means that its task is gone, and with it the transfer.
        self.status.changed().await.ok()?;
        let status = self.status.borrow_and_update();
        status.outcome.is_none().then(|| status.progress.clone())
    }

    /// How far it is now.
    pub fn current_progress(&self) -> Progress {
        self.status.borrow().progress.clone()
    }

    /// Waits until the transfer has ended.
    ///
    /// # Errors
    ///
    /// [`TransferError`]: why it came to nothing.
    ///
    /// Cancel safe.
    pub async fn finished(&mut self) -> Result<TransferReport, TransferError> {
        let ended = self.status.wait_for(|status| status.outcome.is_some()).await;
        let outcome = ended.ok().and_then(|status| status.outcome.clone());
        outcome.unwrap_or(Err(TransferError::SessionOver))
    }

    /// Holds the transfer back. The other side is told.
    pub fn pause(&self) {
        self.control.send_modify(|control| control.paused = true);
    }

    /// Lets a transfer go on that was paused.
    pub fn resume(&self) {
        self.control.send_modify(|control| control.paused = false);
    }

    /// Ends the transfer. The other side is told, and what arrived of it is removed there.
    pub fn cancel(&self) {
        self.control.send_modify(|control| control.cancelled = true);
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transfer({:?}, {:?}, {:?})", self.name, self.direction, self.peer)
    }
}

/// The side of a transfer that its task holds.
pub(crate) struct Reporter {
    status: watch::Sender<Status>,
    pub(crate) control: watch::Receiver<Control>,
    last_report: Instant,
    /// How far it is, reported or not.
    received: Received,
    /// When which number of bytes was done, over the last seconds.
    history: std::collections::VecDeque<(Instant, u64)>,
}

impl Reporter {
    pub(crate) fn new(
        peer: Peer,
        name: String,
        id: TransferId,
        direction: TransferDirection,
        total: Option<u64>,
    ) -> (Self, Transfer) {
        let progress =
            Progress { state: TransferState::Offered, done: 0, total, files: 0, rate: 0.0 };
        let (status, watched) = watch::channel(Status { progress, outcome: None });
        let (control, controlled) = watch::channel(Control::default());
        let last_report = Instant::now();
        let history = std::collections::VecDeque::new();
        let received = Received::default();
        let reporter = Self { status, control: controlled, last_report, received, history };
        (reporter, Transfer { peer, name, id, direction, status: watched, control })
    }

    /// Reports how far it is, unless that was done just now.
    pub(crate) fn report(&mut self, state: TransferState, received: Received) {
        self.received = received;
        let (now, done) = (Instant::now(), received.bytes);
        let nothing_new = {
            let before = &self.status.borrow().progress;
            before.state == state && (before.done > 0 || done == 0)
        };
        if nothing_new && now - self.last_report < REPORT_EVERY {
            return;
        }
        self.last_report = now;
        self.history.push_back((now, done));
        while self.history.len() > 2 && now - self.history[0].0 > RATE_OVER {
            self.history.pop_front();
        }
        let (since, before) = self.history[0];
        #[allow(clippy::cast_precision_loss)] // An average.
        let rate = done.saturating_sub(before) as f64 / (now - since).as_secs_f64().max(0.001);
        self.status.send_modify(|status| {
            let total = status.progress.total;
            status.progress = Progress { state, done, total, files: received.files, rate };
        });
    }

    /// Ends it.
    pub(crate) fn end(&mut self, outcome: Result<TransferReport, TransferError>) {
        let Received { bytes, files } = self.received;
        self.status.send_modify(|status| {
            (status.progress.done, status.progress.files) = (bytes, files);
            status.outcome = Some(outcome);
        });
    }
}
