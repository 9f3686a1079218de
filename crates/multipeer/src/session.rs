//! The application's handle on a session.

mod sending;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use multipeer_proto::{
    Activity, Command, DiscoveryInfo, DisplayName, InvitationId, InviteError, NameError,
    NudgeError, PeerId, RemoveError, Statistics, StreamName, limits,
    trust::{Admission, AdmissionError, Verified},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

use crate::{
    config::SessionBuilder,
    error::{PingError, SendError},
    event::Events,
    invitation::OutgoingInvitation,
    net::{Gate, Lane, Request, Shared},
    passcode::Passcode,
    path::Path,
    peer::Peer,
    resource::{self, Source, Transfer, TransferError},
    stream::{StreamError, StreamReader, StreamWriter},
};

/// Time after which a ping that was not answered is given up, ...
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// ... and a nudge to a peer whose link rests and that cannot be reached.
const NUDGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a ping travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingMode {
    /// On the link's control stream: never lost while the link lives.
    Reliable,
    /// In a datagram each way: lost when the network loses it.
    Unreliable,
}

/// A session: this peer, and those that it is connected with.
///
/// Cheap to clone; all clones are the same session. When the last one is dropped the session is
/// left in the background; [`leave`](Self::leave) waits until that is done.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    id: PeerId,
    name: DisplayName,
    port: u16,
    shared: Arc<Shared>,
    requests: mpsc::UnboundedSender<Request>,
    ended: watch::Receiver<bool>,
    next_invitation: AtomicU64,
}

impl Session {
    /// Settings for a session about `service`, such as `chat`, under the name that people see.
    pub fn builder(service: impl Into<String>, name: impl Into<String>) -> SessionBuilder {
        SessionBuilder::new(service.into(), name.into())
    }

    pub(crate) fn new(
        id: PeerId,
        name: DisplayName,
        port: u16,
        shared: Arc<Shared>,
        requests: mpsc::UnboundedSender<Request>,
        ended: watch::Receiver<bool>,
    ) -> Self {
        let next_invitation = AtomicU64::new(1);
        Self(Arc::new(Inner { id, name, port, shared, requests, ended, next_invitation }))
    }

    /// This peer's id. One that [announces privately](SessionBuilder::announce) has another after a
    /// while in which it was linked with nobody.
    pub fn id(&self) -> PeerId {
        self.0.shared.view().own.map_or(self.0.id, |(id, _)| id)
    }

    /// This peer's name.
    pub fn name(&self) -> &DisplayName {
        &self.0.name
    }

    /// The UDP port on which this peer takes links.
    pub fn port(&self) -> u16 {
        self.0.shared.view().own.map_or(self.0.port, |(_, port)| port)
    }

    /// What happens in the session. All readers share one queue: each event goes to one of them.
    pub fn events(&self) -> Events {
        Events::new(self.0.shared.events.clone())
    }

    /// The peers in the session, this one not among them, ordered by id.
    pub fn peers(&self) -> Vec<Peer> {
        self.0.shared.view().peers.values().map(|known| known.peer.clone()).collect()
    }

    /// The peers that are near, in the session or not, ordered by id.
    pub fn nearby(&self) -> Vec<Peer> {
        self.0.shared.view().nearby.values().cloned().collect()
    }

    /// How a peer in the session has shown that it may be here; nothing for one that is not in it.
    pub fn verified(&self, peer: impl Into<PeerId>) -> Option<Verified> {
        Some(self.0.shared.view().peers.get(&peer.into())?.verified.clone())
    }

    /// Twenty digits in groups of four that people at both ends can compare by eye or aloud, for a
    /// peer in the session: equal when nobody is in between. They belong to the link, and change when
    /// it is replaced.
    pub fn comparison(&self, peer: impl Into<PeerId>) -> Option<String> {
        self.0.shared.view().peers.get(&peer.into())?.comparison.clone()
    }

    /// Whether a peer in the session answers, as far as can be told: false when nothing has come from
    /// it for a while ([`SessionBuilder::unviable_after`]), or it is not in the session.
    pub fn is_viable(&self, peer: impl Into<PeerId>) -> bool {
        self.0.shared.view().peers.get(&peer.into()).is_some_and(|known| known.viable)
    }

    /// Whether a peer in the session is in the foreground or in the background, as it says itself.
    pub fn activity(&self, peer: impl Into<PeerId>) -> Option<Activity> {
        Some(self.0.shared.view().peers.get(&peer.into())?.activity)
    }

    /// Whether the link to a peer in the session rests, or is about to: one of the two is in the background
    /// ([`set_activity`](Self::set_activity)), and neither has said anything for a while.
    pub fn is_resting(&self, peer: impl Into<PeerId>) -> bool {
        self.0.shared.with_lane(peer.into(), |lane| lane.is_resting()).unwrap_or_default()
    }

    /// Tells the others whether anybody looks at this application. In the background the session does not
    /// look for others, though it can be found, invites nobody by itself, and leaves it to the others to dial.
    ///
    /// Those who are connected stay so, but of its links in a mesh it keeps three, and those to hubs and to the host. Each of the
    /// others rests once nothing was said on it for [`SessionBuilder::rest_after`], and no stream or transfer is
    /// open: it is closed, and whoever has something to say opens another one at once. Messages and streams wait for that;
    /// best-effort messages do so for a second. That a peer whose link rests is gone is noticed by those to whom it
    /// keeps one, by the others when all of these are gone, and else after 30 times that time.
    pub fn set_activity(&self, activity: Activity) {
        self.request(Request::Command(Command::SetActivity(activity)));
    }

    /// Asks the person behind a peer to look, with at most 256 bytes of text:
    /// [`Event::Nudged`](crate::Event::Nudged) there. Nothing tells whether the person did.
    ///
    /// # Errors
    ///
    /// [`NudgeError`]: the peer is not in the session, its link is just being replaced, or the text is too
    /// long. A link that rests is woken, within 5 seconds.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped the peer may or may not be nudged.
    pub async fn nudge(
        &self,
        peer: impl Into<PeerId>,
        text: impl Into<String>,
    ) -> Result<(), NudgeError> {
        let peer = peer.into();
        if let Some(lane) = self.0.shared.lane(peer).filter(|lane| lane.is_resting()) {
            // Without a link it fails with the reason.
            _ = timeout(NUDGE_TIMEOUT, lane.connection()).await;
        }
        let (answer, answered) = oneshot::channel();
        self.request(Request::Nudge { peer, text: text.into(), answer });
        answered.await.unwrap_or(Err(NudgeError::SessionOver))
    }

    /// The way that packets to a peer take at the moment, and how long they take; nothing for one that is
    /// not in the session, or has no link just now.
    pub fn path(&self, peer: impl Into<PeerId>) -> Option<Path> {
        self.0.shared.lane(peer.into())?.path(&self.0.shared.relays)
    }

    /// The peer that alone invites and removes, if there is one (see
    /// [`SessionBuilder::inviting`]).
    pub fn host(&self) -> Option<PeerId> {
        self.0.shared.view().host
    }

    /// Removes a peer from the session: every member disconnects it, it is told why, in at most 256
    /// bytes, and it cannot come back within an hour. The removal is signed and reaches members that
    /// are away when they return.
    ///
    /// The peer can come back under another id, if what the session asks for does not keep it out:
    /// change the passcode with [`set_admission`](Self::set_admission).
    ///
    /// # Errors
    ///
    /// [`RemoveError`]: the peer is not in the session, or there is a host and it is another.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped the peer may or may not be removed.
    pub async fn remove(
        &self,
        peer: impl Into<PeerId>,
        reason: impl Into<String>,
    ) -> Result<(), RemoveError> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::Remove { peer: peer.into(), text: reason.into(), answer });
        answered.await.unwrap_or(Err(RemoveError::SessionOver))
    }

    /// The passcode that this session made, if it was to make one (see
    /// [`SessionBuilder::generated_passcode`]).
    pub fn passcode(&self) -> Option<Passcode> {
        self.0.shared.view().passcode.clone()
    }

    /// Takes those from now on whom this takes, and those who know a passcode that the session made.
    /// Who is in the session stays, also when its link is replaced; who was refused may try again.
    ///
    /// # Errors
    ///
    /// [`AdmissionError`] when a passcode or a key breaks a rule; then nothing is changed.
    pub fn set_admission(&self, admission: Admission) -> Result<(), AdmissionError> {
        let gate = Gate { given: Some(admission.clone()), passcode: self.passcode() };
        gate.admission().check()?;
        self.request(Request::SetAdmission(admission));
        Ok(())
    }

    /// What went wrong so far, as counts.
    pub fn statistics(&self) -> Statistics {
        self.0.shared.view().statistics
    }

    /// Asks a peer that is near into the session, with up to 64 KiB of context; it has 30 seconds
    /// to answer.
    ///
    /// Returns as soon as the invitation is under way. [`OutgoingInvitation::answer`] waits for
    /// the answer; who does not wait is told by
    /// [`Event::PeerConnected`](crate::Event::PeerConnected) or
    /// [`Event::InvitationFailed`](crate::Event::InvitationFailed). One that does not reach the peer fails after a few
    /// seconds, not with the first try: of who was found a moment ago, not every address may be known.
    ///
    /// # Errors
    ///
    /// [`InviteError`] when it cannot even begin: nobody of that id is near, it is connected or
    /// invited already, the context is too long, the session is full or over.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped the invitation may or may not be under way.
    pub async fn invite(
        &self,
        peer: impl Into<PeerId>,
        context: impl Into<Bytes>,
    ) -> Result<OutgoingInvitation, InviteError> {
        self.invite_within(peer, context, limits::DEFAULT_INVITE_TIMEOUT).await
    }

    /// As [`invite`](Self::invite), with another time to answer, of at most an hour.
    pub async fn invite_within(
        &self,
        peer: impl Into<PeerId>,
        context: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<OutgoingInvitation, InviteError> {
        let invitation = InvitationId(self.0.next_invitation.fetch_add(1, Ordering::Relaxed));
        let (begun, has_begun) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let (peer, context) = (peer.into(), context.into());
        self.request(Request::Invite { invitation, peer, context, timeout, begun, answer });
        has_begun.await.unwrap_or(Err(InviteError::SessionOver))?;
        let requests = self.0.requests.clone();
        Ok(OutgoingInvitation { invitation, answer: answered, requests })
    }

    /// Opens a stream to a peer, and one back. Waits while the link is being replaced, and while
    /// the peer has 256 such streams open already.
    ///
    /// The other side learns of it as [`Event::Stream`](crate::Event::Stream).
    ///
    /// # Errors
    ///
    /// [`StreamError`]: the name breaks a rule, or the peer is not connected.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, the stream may have been opened, and is given up.
    pub async fn open_stream(
        &self,
        peer: impl Into<PeerId>,
        name: impl AsRef<str>,
    ) -> Result<(StreamWriter, StreamReader), StreamError> {
        let name = StreamName::new(name)?;
        self.stream_lane(peer.into())?.open_stream(&name).await
    }

    /// As [`open_stream`](Self::open_stream), with nothing coming back.
    pub async fn open_one_way_stream(
        &self,
        peer: impl Into<PeerId>,
        name: impl AsRef<str>,
    ) -> Result<StreamWriter, StreamError> {
        let name = StreamName::new(name)?;
        self.stream_lane(peer.into())?.open_one_way_stream(&name).await
    }

    /// Sends a file, a folder or data to a peer, who may take it or not.
    ///
    /// Everything is verified with BLAKE3 as it goes. When the link is lost, the transfer goes on
    /// where it stopped as soon as the peer is back, also after either side was started anew.
    /// Returns once the source is listed; the [`Transfer`] tells the rest.
    ///
    /// # Errors
    ///
    /// [`TransferError`]: the peer is not connected, or the source cannot be sent.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, nothing was sent.
    pub async fn send_resource(
        &self,
        peer: impl Into<PeerId>,
        source: impl Into<Source>,
    ) -> Result<Transfer, TransferError> {
        let peer = peer.into();
        let mut transfers = self.send_resource_to([peer], source).await?;
        transfers.pop().ok_or(TransferError::NotConnected(peer))
    }

    /// Sends a file, a folder or data to several peers, in the order given. It is read once.
    ///
    /// As [`send_resource`](Self::send_resource).
    pub async fn send_resource_to(
        &self,
        peers: impl IntoIterator<Item = impl Into<PeerId>>,
        source: impl Into<Source>,
    ) -> Result<Vec<Transfer>, TransferError> {
        let peers = peers.into_iter().map(|peer| {
            let lane = self.lane(peer.into()).map_err(|error| match error {
                SendError::NotConnected(peer) => TransferError::NotConnected(peer),
                _ => TransferError::SessionOver,
            });
            lane.map(|lane| lane.peer.clone())
        });
        let peers = peers.collect::<Result<Vec<_>, _>>()?;
        let resume_timeout = self.0.shared.resources.settings.resume_timeout;
        let sent = resource::send(&self.0.shared, peers, source.into(), resume_timeout).await?;
        let begin = |(transfer, task)| {
            self.request(Request::Run(task));
            transfer
        };
        Ok(sent.into_iter().map(begin).collect())
    }

    /// Measures the round trip to a peer and back, with so many bytes each way. The other
    /// session answers; its application is not involved. A link that rests is woken first.
    ///
    /// # Errors
    ///
    /// [`PingError`]: not connected, too large, or no link or no answer within 5 seconds.
    ///
    /// Cancel safe: the answer to a ping that nobody waits for is ignored.
    pub async fn ping(
        &self,
        peer: impl Into<PeerId>,
        bytes: usize,
        mode: PingMode,
    ) -> Result<Duration, PingError> {
        let peer = peer.into();
        let lane = self.0.shared.lane(peer).ok_or(PingError::NotConnected(peer))?;
        if lane.is_resting() {
            let woken = timeout(PING_TIMEOUT, lane.connection()).await;
            woken.map_err(|_| PingError::TimedOut)?.map_err(|_| PingError::NotConnected(peer))?;
        }
        let limit = match mode {
            PingMode::Reliable => limits::MAX_CONTEXT_BYTES,
            PingMode::Unreliable => lane.max_datagram_payload().unwrap_or_default(),
        };
        if bytes > limit {
            return Err(PingError::TooLarge { bytes, limit });
        }
        let (answered, answer) = oneshot::channel();
        let start = Instant::now();
        self.request(Request::Ping { peer, bytes, mode, answered });
        match timeout(PING_TIMEOUT, answer).await {
            Ok(Ok(())) => Ok(start.elapsed()),
            Ok(Err(_)) | Err(_) => Err(PingError::TimedOut),
        }
    }

    /// Announces this peer and looks for others. Does nothing when it does so already.
    ///
    /// Takes effect after what was asked before. What changed since looking was stopped is
    /// reported; what is as it was is not reported again.
    pub fn start_looking(&self) {
        self.request(Request::Command(Command::StartLooking));
    }

    /// Withdraws the announcement, looks for nobody, and declines invitations. Who is connected
    /// stays so, and can still bring others in. Does nothing when it is stopped already.
    pub fn stop_looking(&self) {
        self.request(Request::Command(Command::StopLooking));
    }

    /// Announces something else about this peer from now on.
    ///
    /// # Errors
    ///
    /// [`NameError`] names the rule that the pairs break.
    pub fn set_discovery_info<K: Into<String>, V: Into<String>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), NameError> {
        let info = DiscoveryInfo::new(pairs)?;
        self.request(Request::Command(Command::SetInfo(info)));
        Ok(())
    }

    /// Leaves the session: waits up to 3 seconds until everything sent is confirmed, says
    /// goodbye, and ends every task. Afterwards the events end.
    ///
    /// Cancel safe: the session is left all the same.
    pub async fn leave(&self) {
        self.request(Request::Command(Command::Leave));
        let mut ended = self.0.ended.clone();
        // An error means that the task is gone, which is the same.
        _ = ended.wait_for(|ended| *ended).await;
    }

    fn is_over(&self) -> bool {
        *self.0.ended.borrow()
    }

    fn lane(&self, peer: PeerId) -> Result<Arc<Lane>, SendError> {
        self.0.shared.lane(peer).ok_or_else(|| self.no_lane(peer))
    }

    /// Why there is no way to send to a peer.
    fn no_lane(&self, peer: PeerId) -> SendError {
        if self.is_over() { SendError::SessionOver } else { SendError::NotConnected(peer) }
    }

    fn stream_lane(&self, peer: PeerId) -> Result<Arc<Lane>, StreamError> {
        self.0.shared.lane(peer).ok_or_else(|| {
            if self.is_over() { StreamError::SessionOver } else { StreamError::NotConnected(peer) }
        })
    }

    /// Asks the session's task. One that is gone has ended the session, and says so elsewhere.
    pub(crate) fn request(&self, request: Request) {
        _ = self.0.requests.send(request);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?}, {})", self.0.name, self.id().short())
    }
}
