//! What goes into a session and what comes out.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{
    attention::Activity,
    errors::{DialError, DisconnectReason, InviteError},
    hubs::Relay,
    info::PeerInfo,
    topology::{Role, Topology},
};
use crate::{
    announcement::Announcement,
    frame::{Frame, GoodbyeReason},
    id::{InvitationId, LinkId, PeerId},
    limits::{
        DEFAULT_MAX_MESSAGE_BYTES, DEFAULT_MAX_PEERS, DEFAULT_RECONNECT_WINDOW, DEFAULT_REST_AFTER,
        DEFAULT_UNVIABLE_AFTER,
    },
    name::{DiscoveryInfo, DisplayName, ServiceType},
    network::Network,
    trust::{Admission, Keys, LinkKeys, Pairing, Verified},
    way::Way,
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

/// Whose invitation brings a peer into the session, and who removes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inviting {
    /// Every member's.
    #[default]
    Everyone,
    /// This peer's alone: it is the host. Those whom it brings in keep to that, until they have
    /// nobody in their session any more.
    HostAlone,
}

/// What a peer tells everyone who is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Announce {
    /// Its id, its name, and its discovery info.
    #[default]
    Public,
    /// An id that it has for this start only. Its name, its discovery info and, if it has one, its
    /// lasting id it tells to whom it has admitted. Devices with which it is paired may know it by its
    /// lasting id once there is a link.
    Private,
    /// As [`Private`](Self::Private), and the devices with which it is paired, the first 32 of them,
    /// know it from the announcement. To anyone else two announcements have nothing in common.
    Paired,
}

/// What a session is to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    pub(crate) id: PeerId,
    pub(crate) keys: Keys,
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
    /// What everyone is told.
    pub announce: Announce,
    /// By what this peer is known elsewhere; members are told and can check it.
    pub lasting: Option<Keys>,
    /// The devices with which this one is paired, by their lasting ids, and what they are called: known
    /// again, and of the first 32 each can tell who this is.
    pub paired: Vec<(PeerId, DisplayName)>,
    /// Who brings others in.
    pub inviting: Inviting,
    /// Who is linked with whom. A host of clients alone brings others in, whatever [`inviting`](Self::inviting) says.
    pub topology: Topology,
    /// The time from the beginning of 1970 (UTC) to [`Timestamp::ZERO`](crate::Timestamp::ZERO).
    pub unix_start: Duration,
    /// Other peers in the session, at most.
    pub max_peers: usize,
    /// Bytes in the largest reliable message that this peer takes.
    pub max_message_bytes: usize,
    /// Time that a member whose link died has to come back.
    pub reconnect_window: Duration,
    /// Time without a sign of life after which a member is not viable.
    pub unviable_after: Duration,
    /// Time in which nothing of the application comes or goes on a link, after which a peer in the background asks for its rest.
    pub rest_after: Duration,
    /// The versions of the protocol that this peer speaks: oldest and newest.
    pub versions: (u16, u16),
    /// The TCP port at which this peer relays for the others in the session, if it is a hub: then it tells them,
    /// too, who is near.
    pub relay_port: Option<u16>,
}

impl Config {
    /// A configuration with every limit at its default, for the peer with these keys.
    pub fn new(
        keys: impl Into<Keys>,
        service: ServiceType,
        name: DisplayName,
        incarnation: u64,
    ) -> Self {
        let keys = keys.into();
        Self {
            id: keys.id(),
            keys,
            incarnation,
            service,
            name,
            info: DiscoveryInfo::default(),
            joining: Joining::default(),
            admission: Admission::default(),
            announce: Announce::default(),
            lasting: None,
            paired: Vec::new(),
            inviting: Inviting::default(),
            topology: Topology::default(),
            unix_start: Duration::ZERO,
            max_peers: DEFAULT_MAX_PEERS,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            reconnect_window: DEFAULT_RECONNECT_WINDOW,
            unviable_after: DEFAULT_UNVIABLE_AFTER,
            rest_after: DEFAULT_REST_AFTER,
            versions: (crate::limits::MIN_VERSION, crate::limits::VERSION),
            relay_port: None,
        }
    }

    /// Whether this peer alone brings others in.
    pub(super) fn is_host(&self) -> bool {
        self.inviting == Inviting::HostAlone || self.topology.role() == Some(Role::Host)
    }

    /// The devices that this peer knows, also under ids made for the occasion.
    pub(super) fn pairing(&self) -> Pairing {
        let keys = self.lasting.as_ref().unwrap_or(&self.keys);
        Pairing::new(keys, &self.paired, self.admission.listed())
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
        /// Where the other end is, as seen from here; nothing if it is reached through a hub.
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
        /// What went wrong.
        error: DialError,
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
        /// Where it can be reached, as it says.
        addresses: Vec<SocketAddr>,
        /// How it was heard.
        way: Way,
    },
    /// A hint that a peer is not on the network any more.
    Lost {
        /// Who.
        peer: PeerId,
        /// How it is not heard any more; it may still be in another way.
        way: Way,
    },
    /// These links have brought something since this was last handed in; to be handed in every
    /// [`LISTEN_INTERVAL`](crate::limits::LISTEN_INTERVAL) while there are links or peers in the session.
    Heard {
        /// Which.
        links: Vec<LinkId>,
        /// Those on which something of the application came or went, or is under way.
        used: Vec<LinkId>,
    },
    /// Answers [`Output::Pause`].
    Paused {
        /// Whose link it is about.
        peer: PeerId,
        /// Which link.
        link: LinkId,
        /// Whether nothing of the application is under way on it: then nothing new begins there before
        /// [`Output::Resume`] or another [`Output::Attach`].
        quiet: bool,
    },
    /// The application has something for a peer whose link is paused, or rests.
    Wanted {
        /// Whom.
        peer: PeerId,
    },
    /// The packets of a link take another way: from here the other end is at this address, or behind a hub.
    Moved {
        /// Which.
        link: LinkId,
        /// Where the other end is, if it is reached without a hub.
        remote: Option<SocketAddr>,
    },
    /// The addresses under which this peer can be reached.
    OwnAddresses(Vec<SocketAddr>),
    /// The networks that this peer is part of. Once they were said, what is announced leads nowhere else.
    OwnNetworks(Vec<Network>),
    /// Whether so many events wait for the application that it is told nothing that can be told later.
    Behind(bool),
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
    /// Try to reach a peer at these addresses, which were given by hand, whether it is heard or not.
    Add {
        /// Whom.
        peer: PeerId,
        /// Where.
        addresses: Vec<SocketAddr>,
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
    /// Take another id, under which nobody knows this peer. Nothing happens unless the session
    /// [is idle](crate::Session::is_idle).
    Renew {
        /// The new one.
        keys: Keys,
        /// A number that no earlier start of anything had.
        incarnation: u64,
    },
    /// Say whether the certificate is trusted that [`Event::CertificateShown`] told of.
    JudgeCertificate {
        /// The link on which it was shown.
        link: LinkId,
        /// Nothing to trust it, or the words with which to reject it.
        rejected: Option<String>,
    },
    /// Remove a peer from the session. Ask [`Session::may_remove`](crate::Session::may_remove)
    /// first: what it forbids does nothing.
    Remove {
        /// Whom.
        peer: PeerId,
        /// Why, for people; at most 256 bytes.
        text: String,
    },
    /// Ask the person behind a peer to look. Ask
    /// [`Session::may_nudge`](crate::Session::may_nudge) first: what it forbids does nothing.
    Nudge {
        /// Whom.
        peer: PeerId,
        /// Why, for people; at most 256 bytes.
        text: String,
    },
    /// Say whether anybody looks at this peer. In the background it looks for nobody, invites nobody by
    /// itself, and leaves dialling to the others for a while.
    SetActivity(Activity),
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
        /// The hubs through which to try at the same time.
        relays: Vec<Relay>,
        /// How long to try.
        timeout: Duration,
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
    /// Begin nothing new on this link, if nothing of the application is under way on it: no message unconfirmed, no stream
    /// open. Answer with [`Input::Paused`].
    Pause {
        /// Whose.
        peer: PeerId,
        /// Which link.
        link: LinkId,
    },
    /// Use the link to this peer again.
    Resume {
        /// Whose.
        peer: PeerId,
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
    /// Begin or stop to look for others, while this peer is announced all the same.
    Browse(bool),
    /// Announce this instead.
    Announce(Announcement),
    /// Those for whom this hub relays are others than before: [`Session::served`](crate::Session::served).
    Serve,
    /// Reach others through these relays of hubs, and through no others, and wait for links at the first of them:
    /// [`limits::MAX_RELAYS`](crate::limits::MAX_RELAYS) at most, the preferred one first.
    UseRelays(Vec<Relay>),
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
        /// How it has shown that it may be here.
        verified: Verified,
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
    /// A peer has shown a certificate and has its key; whether to trust it is for the application to
    /// say, with [`Command::JudgeCertificate`], within 30 seconds.
    CertificateShown {
        /// Who.
        peer: PeerId,
        /// On which link.
        link: LinkId,
        /// Whose the certificate says that it is.
        subject: String,
        /// The certificates in DER, the peer's own first.
        chain: Vec<Bytes>,
    },
    /// A member wanted to remove another one and may not.
    RemovalRefused {
        /// Who.
        by: PeerId,
        /// Whom.
        subject: PeerId,
    },
    /// A peer is in the session and can be talked to.
    Connected(PeerInfo),
    /// A peer asks the person behind this one to look.
    Nudged {
        /// Who.
        peer: PeerId,
        /// Why.
        text: String,
    },
    /// A peer says whether it is in the foreground.
    ActivityChanged {
        /// Who.
        peer: PeerId,
        /// What it says.
        activity: Activity,
    },
    /// Nothing has come from a peer for a while, or something comes again.
    ViabilityChanged {
        /// Who.
        peer: PeerId,
        /// Whether it answers.
        viable: bool,
    },
    /// A peer is not in the session any more.
    Disconnected {
        /// Who.
        peer: PeerInfo,
        /// Why.
        reason: DisconnectReason,
    },
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
