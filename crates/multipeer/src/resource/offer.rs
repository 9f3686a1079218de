//! Offers of resources: what the application is asked, and what becomes of its answer.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use iroh::endpoint::{RecvStream, SendStream};
use multipeer_proto::{
    LinkId,
    resource::{
        FailureReason, Offer, Receiving, RefusalReason, ResourceFrame, ResourceKind,
        TransferFailure, check_component,
    },
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{
    channel::Channel,
    receive::{Incoming, Offered},
    registry::Entered,
    store::{Store, Target},
    transfer::{Reporter, Transfer, TransferDirection, TransferError},
};
use crate::{
    event::Event,
    net::{Lane, Shared},
    peer::Peer,
};

/// Time for a stream to say what it offers.
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer wants to send something.
///
/// Dropped without an answer, it is declined.
pub struct ResourceOffer {
    from: Peer,
    offer: Offer,
    decide: Option<oneshot::Sender<Decision>>,
}

enum Decision {
    Accept { target: Target, answer: oneshot::Sender<Result<Transfer, TransferError>> },
    Decline(String),
}

impl ResourceOffer {
    /// Who wants to send it.
    pub fn from(&self) -> &Peer {
        &self.from
    }

    /// What it is called. Safe to show, and not a path.
    pub fn name(&self) -> &str {
        &self.offer.name
    }

    /// What it is.
    pub fn kind(&self) -> ResourceKind {
        self.offer.kind
    }

    /// Bytes in all its files, if the sender knows.
    pub fn size(&self) -> Option<u64> {
        self.offer.size
    }

    /// Files, folders and links in it.
    pub fn count(&self) -> u64 {
        self.offer.entries
    }

    /// Takes it into a folder, which is made if it is not there. It is never written over anything:
    /// if the name is taken it becomes `film (1).mkv`.
    ///
    /// # Errors
    ///
    /// [`TransferError`]: it is withdrawn, or there is no room for it.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped it may have been accepted.
    pub async fn accept(self, folder: impl Into<PathBuf>) -> Result<Transfer, TransferError> {
        self.accept_at(Target { folder: folder.into(), name: None, overwrite: false }).await
    }

    /// Takes it as this file or folder; what is there already is replaced if `overwrite` is true.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept); and a path that names nothing.
    pub async fn accept_as(
        self,
        path: impl AsRef<Path>,
        overwrite: bool,
    ) -> Result<Transfer, TransferError> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| check_component(name).is_ok()).ok_or_else(|| {
            let text = format!("{}: it names no file", path.display());
            TransferFailure::new(FailureReason::NotWritable, text)
        })?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        self.accept_at(Target { folder, name: Some(name.to_owned()), overwrite }).await
    }

    async fn accept_at(mut self, target: Target) -> Result<Transfer, TransferError> {
        let (answer, answered) = oneshot::channel();
        if let Some(decide) = self.decide.take() {
            // An offer that is gone answers nothing.
            _ = decide.send(Decision::Accept { target, answer });
        }
        answered.await.unwrap_or(Err(TransferError::Lost))
    }

    /// Says no, with words of at most 256 bytes for the other side, or none.
    pub fn decline(mut self, text: impl Into<String>) {
        self.decide(Decision::Decline(text.into()));
    }

    fn decide(&mut self, decision: Decision) {
        if let Some(decide) = self.decide.take() {
            // An offer that is gone needs no answer.
            _ = decide.send(decision);
        }
    }
}

impl Drop for ResourceOffer {
    fn drop(&mut self) {
        self.decide(Decision::Decline(String::new()));
    }
}

impl fmt::Debug for ResourceOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceOffer({:?} from {:?})", self.offer.name, self.from)
    }
}

/// Serves a stream on which a peer offers something, until that is over.
pub(crate) async fn handle_stream(
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    link: LinkId,
    writer: SendStream,
    reader: RecvStream,
) {
    let mut channel = Channel::new(writer, reader, lane.hold());
    let Ok(Ok(ResourceFrame::Offer(offer))) = timeout(OFFER_TIMEOUT, channel.inlet.frame()).await
    else {
        return;
    };
    let peer = lane.id();
    let offered = Box::new(Offered { channel, offer, is_paused: false });
    let Err(offered) = shared.resources.hand_over(peer, offered) else { return };
    let Offered { channel, offer, .. } = *offered;
    let limits = shared.resources.settings.limits;
    let entered = match Receiving::new(offer.clone(), limits) {
        Ok(_) => shared.resources.enter(peer, offer.clone()).ok_or(RefusalReason::Busy),
        Err(reason) => Err(reason),
    };
    let entered = match entered {
        Ok(entered) => entered,
        Err(reason) => return channel.close(Some(Receiving::refusal(reason, ""))).await,
    };
    let from = lane.peer.clone();
    let channel = Some(channel);
    let pending = Pending { shared, from, offer, entered, channel, is_paused: false };
    let Some((pending, target, answer)) = pending.decide(&lane, link).await else { return };
    pending.receive(target, answer).await;
}

/// An offer that waits for an answer.
struct Pending {
    shared: Arc<Shared>,
    from: Peer,
    offer: Offer,
    entered: Entered,
    /// None while the link is lost.
    channel: Option<Channel>,
    /// Whether the sender pauses.
    is_paused: bool,
}

type Answer = Option<oneshot::Sender<Result<Transfer, TransferError>>>;

impl Pending {
    /// Asks the application, or answers in its place. Nothing when there is nothing to receive.
    async fn decide(mut self, lane: &Lane, link: LinkId) -> Option<(Self, Target, Answer)> {
        if let Some(auto) = &self.shared.resources.settings.auto_accept
            && self.offer.size.is_some_and(|size| size <= auto.max_bytes)
        {
            let target = Target { folder: auto.folder.clone(), name: None, overwrite: false };
            return Some((self, target, None));
        }
        let (decide, mut decided) = oneshot::channel();
        let (from, offer) = (self.from.clone(), self.offer.clone());
        let offered = ResourceOffer { from, offer, decide: Some(decide) };
        lane.deliver(link, Event::ResourceOffered(offered));
        let resume_timeout = self.shared.resources.settings.resume_timeout;
        let mut deadline = Instant::now() + resume_timeout;
        loop {
            let lost = self.channel.is_none();
            self.entered.waits.store(lost, Ordering::Release);
            tokio::select! {
                decision = &mut decided => match decision {
                    Ok(Decision::Accept { target, answer }) => {
                        return Some((self, target, Some(answer)));
                    }
                    Ok(Decision::Decline(text)) => {
                        self.refuse(RefusalReason::Declined, text).await;
                        return None;
                    }
                    Err(_) => return None,
                },
                frame = next_frame(&mut self.channel) => match frame {
                    Some(ResourceFrame::Paused(paused)) => self.is_paused = paused.paused,
                    // The sender has thought better of it.
                    Some(_) => return None,
                    None => {
                        (self.channel, self.is_paused) = (None, false);
                        deadline = Instant::now() + resume_timeout;
                    }
                },
                stream = timeout_at(deadline, self.entered.streams.recv()), if lost => {
                    self.channel = Some(stream.ok().flatten()?.channel);
                }
            }
        }
    }

    async fn refuse(&mut self, reason: RefusalReason, text: String) {
        if let Some(channel) = self.channel.take() {
            let end = text.floor_char_boundary(multipeer_proto::limits::MAX_TEXT_BYTES);
            let text = text[..end].to_owned();
            channel.close(Some(Receiving::refusal(reason, text))).await;
        }
    }

    async fn receive(mut self, target: Target, answer: Answer) {
        if let Err(failure) = self.check_room(&target).await {
            self.refuse(RefusalReason::NoRoom, String::new()).await;
            if let Some(answer) = answer {
                // Who asked may be gone.
                _ = answer.send(Err(failure.into()));
            }
            return;
        }
        let Self { shared, from, offer, entered, channel, is_paused } = self;
        let (mut reporter, transfer) = Reporter::new(
            from.clone(),
            offer.name.clone(),
            offer.transfer,
            TransferDirection::Receiving,
            offer.size,
        );
        if let Some(answer) = answer {
            // Who asked may be gone.
            _ = answer.send(Ok(transfer.clone()));
        }
        let settings = &shared.resources.settings;
        let incoming = Incoming {
            peer: from.id,
            offer: offer.clone(),
            target,
            limits: settings.limits,
            resume_timeout: settings.resume_timeout,
            waits: entered.waits,
            streams: entered.streams,
        };
        let first = channel.map(|channel| Box::new(Offered { channel, offer, is_paused }));
        let result = incoming.run(first, &mut reporter).await;
        drop(entered.place);
        reporter.end(result.clone());
        shared.events.push(Event::TransferEnded { transfer, result });
    }

    async fn check_room(&self, target: &Target) -> Result<(), TransferFailure> {
        let Some(size) = self.offer.size else { return Ok(()) };
        let folder = target.folder.clone();
        let room = tokio::task::spawn_blocking(move || Store::room(&folder)).await;
        match room.ok().flatten() {
            Some(room) if room < size => {
                let name = &self.offer.name;
                let text = format!("{name} has {size} bytes, and {room} are free");
                Err(TransferFailure::new(FailureReason::NoRoom, text))
            }
            // Where it cannot be told, writing will tell.
            _ => Ok(()),
        }
    }
}

/// The next frame on the channel, or nothing when it ends; for ever when there is none.
async fn next_frame(channel: &mut Option<Channel>) -> Option<ResourceFrame> {
    match channel {
        Some(channel) => channel.inlet.frame().await.ok(),
        None => std::future::pending().await,
    }
}
