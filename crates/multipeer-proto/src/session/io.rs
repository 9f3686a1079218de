//! What goes into a session and what comes out.

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;

use crate::{
    announcement::Announcement,
    frame::{DeclineReason, Frame, GoodbyeReason},
    id::{InvitationId, LinkId, PeerId},
    limits::{DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_MAX_PEERS, DEFAULT_RECONNECT_WINDOW},
    name::{DiscoveryInfo, DisplayName, ServiceType},
    trust::{Admission, LinkKeys, Scheme},
};

/// Who decides about invitations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joining {
    /// The session invites whom it finds and takes every invitation.
    #[default]
    Automatic,
    /// The application does both.
    Ask,
}

/// What a session is to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// This peer.
    pub id: PeerId,
    /// A number that no earlier start of this peer had.
    pub incarnation: u64,
    /// What the session is about.
    pub service: ServiceType,
    /// This peer's name.
    pub name: DisplayName,
    /// What else this peer says about itself.
    pub info: DiscoveryInfo,
    /// Who decides about invitations.
    pub joining: Joining,
    /// Whom the session takes.
    pub admission: Admission,
    /// Other peers in the session, at most.
    pub max_peers: usize,
    /// Bytes in the largest reliable message that this peer takes.
    pub max_message_bytes: usize,
    /// Time that a member whose link died has to come back.
    pub reconnect_window: Duration,
    /// The versions of the protocol that this peer speaks: oldest and newest.
    pub versions: (u16, u16),
}

impl Config {
    /// A configuration with every limit at its default.
    pub fn new(id: PeerId, service: ServiceType, name: DisplayName, incarnation: u64) -> Self {
        Self {
            id,
            incarnation,
            service,
            name,
            info: DiscoveryInfo::default(),
            joining: Joining::default(),
            admission: Admission::default(),
            max_peers: DEFAULT_MAX_PEERS,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            reconnect_window: DEFAULT_RECONNECT_WINDOW,
            versions: (crate::limits::MIN_VERSION, crate::limits::VERSION),
        }
    }
}

/// A peer, as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its id.
    pub id: PeerId,
    /// Its name.
    pub name: DisplayName,
    /// What else it says about itself.
    pub info: DiscoveryInfo,
}

impl PeerInfo {
    /// A peer of which nothing but the id is known: named by its first ten digits.
    pub fn unnamed(id: PeerId) -> Self {
        let Ok(name) = DisplayName::new(id.short()) else { unreachable!("ten digits are a name") };
        Self { id, name, info: DiscoveryInfo::default() }
    }
}

impl From<&Announcement> for PeerInfo {
    fn from(announcement: &Announcement) -> Self {
        let Announcement { peer, name, info } = announcement.clone();
        Self { id: peer, name, info }
    }
}

/// Which end began a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// This one: the number is that of [`Output::Dial`].
    Dialled {
        /// The number of the attempt.
        attempt: u64,
    },
    /// The other one.
    Accepted,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The application wants something.
    Command(Command),
    /// A link is there, and the peer's key is proven.
    LinkUp {
        /// The driver's number for it, never used before.
        link: LinkId,
        /// The proven id.
        peer: PeerId,
        /// Which end began it.
        direction: Direction,
        /// Where the other end is, as seen from here.
        remote: Option<SocketAddr>,
        /// What binds proofs to this link.
        keys: LinkKeys,
    },
    /// A link is gone, whatever the reason.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// A dial came to nothing.
    DialFailed {
        /// Whom it was for.
        peer: PeerId,
        /// The number of the attempt.
        attempt: u64,
        /// What went wrong, for people.
        error: String,
    },
    /// A control frame arrived.
    Frame {
        /// On which link.
        link: LinkId,
        /// What.
        frame: Frame,
    },
    /// What arrived breaks the protocol: a frame or a message stream that cannot be read.
    Misbehaved {
        /// On which link.
        link: LinkId,
        /// What is wrong, for people.
        error: String,
    },
    /// Reliable messages have arrived and a confirmation is due.
    Arrived {
        /// From whom.
        peer: PeerId,
        /// How many in all, as [`Inbox::received`](crate::Inbox::received) counts.
        received: u64,
    },
    /// Everything sent to a peer is confirmed; answers [`Output::Drain`].
    Drained {
        /// The peer.
        peer: PeerId,
    },
    /// A peer was heard on the network.
    Discovered {
        /// What it says.
        announcement: Announcement,
        /// Where it can be reached.
        addresses: Vec<SocketAddr>,
    },
    /// A hint that a peer is not on the network any more.
    Lost {
        /// Who.
        peer: PeerId,
    },
    /// The addresses under which this peer can be reached.
    OwnAddresses(Vec<SocketAddr>),
    /// Time has passed.
    Tick,
}

/// What the application can ask for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Invite a peer; [`Output::InviteAnswered`] tells how it went.
    Invite {
        /// The caller's number for it, never used before.
        invitation: InvitationId,
        /// Whom.
        peer: PeerId,
        /// What to tell it: at most 64 KiB.
        context: Bytes,
        /// How long to wait for an answer.
        timeout: Duration,
    },
    /// Withdraw an invitation.
    CancelInvite {
        /// Which.
        invitation: InvitationId,
    },
    /// Answer an invitation that another peer sent.
    AnswerInvitation {
        /// Who sent it.
        peer: PeerId,
        /// Which, as its sender numbers it.
        invitation: InvitationId,
        /// Nothing to accept, or the words with which to decline.
        decline: Option<String>,
    },
    /// Announce this peer and look for others.
    StartLooking,
    /// Do neither.
    StopLooking,
    /// Say something else about this peer from now on.
    SetInfo(DiscoveryInfo),
    /// Ask a connected peer for an [`Output::Pong`].
    Ping {
        /// Whom.
        peer: PeerId,
        /// The caller's number for it.
        token: u64,
        /// Bytes to carry there and back.
        padding: Bytes,
    },
    /// Take those from now on whom this takes. Who is in the session stays.
    SetAdmission(Admission),
    /// Leave the session, once everything sent is confirmed or the patience for that is over.
    Leave,
}

/// Something that the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Open a link; answer with [`Input::LinkUp`] or [`Input::DialFailed`].
    Dial {
        /// To whom.
        peer: PeerId,
        /// The number of the attempt.
        attempt: u64,
        /// Where it may be, the likeliest first.
        addresses: Vec<SocketAddr>,
    },
    /// Write a control frame.
    SendFrame {
        /// On which link.
        link: LinkId,
        /// What.
        frame: Frame,
    },
    /// Close a link, once what was written to it is sent. No [`Input::LinkDown`] need follow.
    CloseLink {
        /// Which.
        link: LinkId,
        /// Why; goes over the wire.
        reason: GoodbyeReason,
        /// The same for people; goes over the wire.
        text: String,
    },
    /// Carry a peer's messages over this link from now on, and over no other.
    Attach {
        /// Whose.
        peer: PeerId,
        /// Over which link.
        link: LinkId,
        /// Whether to begin with an empty outbox and inbox.
        fresh: bool,
        /// How many messages the peer has received.
        received: u64,
        /// Bytes in the largest reliable message that the peer takes.
        max_message_bytes: usize,
    },
    /// The peer has received so many messages.
    Confirmed {
        /// Who.
        peer: PeerId,
        /// How many in all.
        received: u64,
    },
    /// Tell with [`Input::Drained`] when everything sent to the peer is confirmed.
    Drain {
        /// Who.
        peer: PeerId,
    },
    /// The peer's messages end here: deliver what has come, hand back what is unconfirmed. The
    /// [`Event::Disconnected`] follows.
    Detach {
        /// Whose.
        peer: PeerId,
    },
    /// Begin or stop to announce this peer and to look for others.
    Look(bool),
    /// Announce this instead.
    Announce(Announcement),
    /// Find out whether the peer is still on the network; [`Input::Lost`] or
    /// [`Input::Discovered`] tells.
    Verify {
        /// Who.
        peer: PeerId,
    },
    /// How an invitation of this peer went.
    InviteAnswered {
        /// Which.
        invitation: InvitationId,
        /// The peer is connected, or why it is not.
        result: Result<PeerInfo, InviteError>,
    },
    /// A peer answered a [`Command::Ping`].
    Pong {
        /// Who.
        peer: PeerId,
        /// The number that the command had.
        token: u64,
    },
    /// Something for the application.
    Event(Event),
    /// The session is over, and every link is closed or being closed.
    Left,
}

/// What the application learns.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A peer is near.
    PeerFound(PeerInfo),
    /// A peer that is near says something else about itself.
    PeerUpdated(PeerInfo),
    /// A peer is not near any more.
    PeerLost(PeerInfo),
    /// A link to a peer is being opened.
    Connecting(PeerId),
    /// A peer invites this one.
    Invitation {
        /// Who.
        peer: PeerInfo,
        /// Its number for the invitation.
        invitation: InvitationId,
        /// What it has to say.
        context: Bytes,
    },
    /// An invitation that was reported can be answered no more.
    InvitationWithdrawn {
        /// Who had sent it.
        peer: PeerId,
        /// Its number for the invitation.
        invitation: InvitationId,
    },
    /// An invitation of this peer came to nothing. Of those that the session sends by itself, the
    /// first to each peer.
    InvitationFailed {
        /// Whom it was for.
        peer: PeerInfo,
        /// Why.
        error: InviteError,
    },
    /// A peer has shown so many wrong proofs that it is not listened to any more. Whether it is
    /// being guessed at or only mistyped cannot be told: a short code should be replaced.
    ProofsRefused {
        /// Who.
        peer: PeerId,
    },
    /// A peer is in the session and can be talked to.
    Connected(PeerInfo),
    /// A peer is not in the session any more.
    Disconnected {
        /// Who.
        peer: PeerInfo,
        /// Why.
        reason: DisconnectReason,
    },
}

/// Why a peer is not in the session any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// It said goodbye.
    #[error("it left")]
    Left,
    /// Its link died, and it did not come back in time.
    #[error("its link died and it did not come back in time")]
    TimedOut,
    /// It was started anew.
    #[error("it was started anew")]
    Restarted,
    /// It came back but no longer knew this session; what was not confirmed may be lost.
    #[error("it came back but had given this peer up in the meantime")]
    Forgotten,
    /// It does not want this peer any more.
    #[error("it closed the link: {reason}{}", Detail(text))]
    Refused {
        /// The reason it gave.
        reason: GoodbyeReason,
        /// Its words.
        text: String,
    },
    /// It broke the protocol.
    #[error("it broke the protocol: {error}")]
    ProtocolError {
        /// What it did.
        error: String,
    },
    /// This peer left.
    #[error("this side left")]
    Local,
}

impl DisconnectReason {
    /// The reason as one word, the same in every language and in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::TimedOut => "timed_out",
            Self::Restarted => "restarted",
            Self::Forgotten => "forgotten",
            Self::Refused { .. } => "refused",
            Self::ProtocolError { .. } => "protocol_error",
            Self::Local => "local",
        }
    }
}

/// Why an invitation came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// Nothing was ever heard of the peer.
    #[error("peer {peer} is not known here: wait until it is found, or check the id", peer = .0.short())]
    UnknownPeer(PeerId),
    /// The peer is this one.
    #[error("a peer cannot invite itself")]
    Myself,
    /// The peer is in the session already.
    #[error("the peer is in the session already")]
    AlreadyConnected,
    /// An earlier invitation to the peer still waits for its answer.
    #[error("an earlier invitation to this peer still waits for its answer")]
    AlreadyInvited,
    /// The context is over 64 KiB.
    #[error("the context of an invitation has at most 65536 bytes, and this has {bytes}")]
    ContextTooLong {
        /// Its length.
        bytes: usize,
    },
    /// This session has no place left, or too many invitations wait.
    #[error("this session has no place left: it takes {limit} peers (see `max_peers`)")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// No link came about.
    #[error("the peer could not be reached: {error}")]
    Unreachable {
        /// What went wrong.
        error: String,
    },
    /// The peer said no.
    #[error("{reason}{}", Detail(text))]
    Declined {
        /// Why.
        reason: DeclineReason,
        /// The other application's words.
        text: String,
    },
    /// The peer closed the link instead of answering.
    #[error("the peer closed the link: {reason}{}", Detail(text))]
    Refused {
        /// The reason it gave.
        reason: GoodbyeReason,
        /// Its words.
        text: String,
    },
    /// The peer's secret is not the one that this side has.
    #[error("the {} of the two sides differ", secret_name(*.scheme, name))]
    WrongSecret {
        /// What kind of secret.
        scheme: Scheme,
        /// The key's name; empty for a passcode.
        name: String,
    },
    /// The peer has not shown that it may be here.
    #[error("the peer was not admitted: {demand}")]
    NotAdmitted {
        /// What this side asks for.
        demand: String,
    },
    /// No version of the protocol is common.
    #[error(
        "no common protocol version: this side speaks {ours}, the other side {theirs}; \
         update the older one"
    )]
    Version {
        /// The versions that this side speaks.
        ours: VersionRange,
        /// The versions that the other side speaks.
        theirs: VersionRange,
    },
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
    /// The link died before the answer came.
    #[error("the link died before the answer came")]
    LinkLost,
    /// The invitation was withdrawn.
    #[error("the invitation was withdrawn")]
    Cancelled,
    /// The session is over.
    #[error("the session is over")]
    SessionOver,
}

impl InviteError {
    /// Whether one of the two sides did not admit the other.
    pub const fn is_refused_admission(&self) -> bool {
        matches!(
            self,
            Self::WrongSecret { .. }
                | Self::NotAdmitted { .. }
                | Self::Refused { reason: GoodbyeReason::NotAdmitted, .. }
        )
    }
}

/// From the oldest to the newest version that a side speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange(pub u16, pub u16);

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 {
            write!(f, "version {}", self.1)
        } else {
            write!(f, "versions {} to {}", self.0, self.1)
        }
    }
}

fn secret_name(scheme: Scheme, name: &str) -> String {
    match scheme {
        Scheme::Passcode => "passcodes".to_owned(),
        Scheme::PresharedKey => format!("keys called {name:?}"),
    }
}

/// Words that may be missing.
struct Detail<'a>(&'a String);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

/// What went wrong so far, as counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Links closed because the other side broke the protocol.
    pub protocol_errors: u64,
    /// Links turned away before they were part of the session.
    pub refused_links: u64,
    /// Announcements that did not fit the table of nearby peers.
    pub nearby_overflow: u64,
}
