//! Control frames: what peers say to each other on a link's control stream, and how it is written.
//!
//! A frame is one byte of type, the length of its body as a variable-length integer, and the body:
//! a CBOR map with small integers as keys (RFC 8949). A receiver skips keys that it does not know,
//! so a map can grow without a new version. docs/protocol.md, "Frames", has the table.

mod attention;
pub(crate) mod codec;
mod near;

use std::{fmt, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use minicbor::{Decode, Encode, bytes::ByteVec};

pub use self::{
    attention::{Attention, Missing, Nudge, Rest},
    near::{Listen, Near, NearRecord},
};
use crate::{
    id::{InvitationId, LinkRef, PeerId},
    limits::MAX_FRAME_BYTES,
    name::{DiscoveryInfo, DisplayName, ServiceType},
    session::Role,
    trust::{LastingId, PROOF_BYTES, Removal, ShownCertificate, Voucher},
};

/// The first frame on a link, from both sides: who is there and what it speaks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// The newest version that the sender speaks.
    #[n(0)]
    pub version: u16,
    /// The oldest version that the sender speaks.
    #[n(1)]
    pub min_version: u16,
    /// What the sender's session is about; both sides must say the same.
    #[n(2)]
    pub service: ServiceType,
    /// A number that differs each time the sender starts.
    #[n(3)]
    pub incarnation: u64,
    /// The dialler's number for this attempt; zero from the side that was dialled.
    #[n(4)]
    pub attempt: u64,
    /// The latest link to the receiver that the sender knows to be dead. The receiver may not have
    /// noticed yet, and would otherwise keep that one.
    #[n(5)]
    pub gone: Option<LinkRef>,
    /// Bytes in the largest reliable message that the sender takes.
    #[n(6)]
    pub max_message_bytes: u64,
    /// The secrets that the sender can prove to have, the one that it would rather use first.
    #[n(7)]
    pub exchanges: Vec<ExchangeOffer>,
    /// The incarnation of the receiver that is in the sender's session. When both remember each
    /// other there is nothing to prove: the link itself shows that it is still they.
    #[n(8)]
    pub remembers: Option<u64>,
    /// The member that told the sender of the receiver, and may be about to vouch for the sender.
    #[n(9)]
    pub introduced_by: Option<PeerId>,
    /// Tags by which devices that are paired with the sender know it, when the link runs under an id made
    /// for the occasion: 32 of 16 bytes each.
    #[n(10)]
    pub tags: Option<ByteVec>,
    /// What the sender is in a session of clients and a host; nothing in a mesh.
    #[n(11)]
    pub role: Option<Role>,
}

/// The first frame after admission, from both sides: how the sender presents itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Profile {
    /// The sender's name.
    #[n(0)]
    pub name: DisplayName,
    /// What the sender announces about itself.
    #[n(1)]
    pub info: DiscoveryInfo,
    /// By what id the sender is known elsewhere, when the link runs under one made for the occasion.
    #[n(2)]
    pub lasting: Option<LastingId>,
}

/// The beginning of a proof that both sides have the same secret.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ExchangeOffer {
    /// What kind of secret, as [`Scheme`](crate::trust::Scheme) numbers them. A receiver passes
    /// over kinds that it does not know.
    #[n(0)]
    pub scheme: u8,
    /// The name of the key; empty for a passcode.
    #[n(1)]
    pub name: String,
    /// The sender's SPAKE2 message.
    #[n(2)]
    #[cbor(with = "codec::blob")]
    pub message: Bytes,
}

/// Shows that the sender has the secret of the exchange that both hellos have in common.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Proof {
    /// The confirmation of the sender's role.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub confirmation: [u8; PROOF_BYTES],
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

/// Shows the sender's certificate, and that it has its key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Certificate {
    /// Certificates in DER, the sender's own first.
    #[n(0)]
    pub chain: Vec<ByteVec>,
    /// How it is signed, as TLS numbers it.
    #[n(1)]
    pub scheme: u16,
    /// The signature.
    #[n(2)]
    #[cbor(with = "codec::blob")]
    pub signature: Bytes,
}

impl From<ShownCertificate> for Certificate {
    fn from(ShownCertificate { chain, scheme, signature }: ShownCertificate) -> Self {
        let chain = chain.into_iter().map(|der| der.to_vec().into()).collect();
        Self { chain, scheme, signature }
    }
}

impl From<Certificate> for ShownCertificate {
    fn from(Certificate { chain, scheme, signature }: Certificate) -> Self {
        let chain = chain.into_iter().map(|der| Bytes::from(Vec::from(der))).collect();
        Self { chain, scheme, signature }
    }
}

/// Asks the receiver into the sender's session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Invite {
    /// The sender's number for this invitation.
    #[n(0)]
    pub invitation: InvitationId,
    /// What the inviting application has to say: at most 64 KiB.
    #[n(1)]
    #[cbor(with = "codec::blob")]
    pub context: Bytes,
    /// Milliseconds until the sender gives up.
    #[n(2)]
    pub timeout_millis: u64,
}

/// Takes an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Accept {
    /// The invitation, as its sender numbers it.
    #[n(0)]
    pub invitation: InvitationId,
}

/// Refuses an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Decline {
    /// The invitation, as its sender numbers it.
    #[n(0)]
    pub invitation: InvitationId,
    /// Why.
    #[n(1)]
    pub reason: DeclineReason,
    /// The application's words; at most 256 bytes, possibly none.
    #[n(2)]
    pub text: String,
}

/// Withdraws an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Cancel {
    /// The invitation, as its sender numbers it.
    #[n(0)]
    pub invitation: InvitationId,
}

/// Says "to me, you are in". When both sides have said it the link carries messages.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Join {
    /// The pairing that the sender holds state of, named by the link on which it began. Both
    /// name the same: delivery goes on where it stopped. Else it starts anew.
    #[n(0)]
    pub pairing: Option<LinkRef>,
    /// How many reliable messages of that pairing the sender has received.
    #[n(1)]
    pub received: u64,
    /// Where the sender can be reached, for those to whom it is introduced.
    #[n(2)]
    #[cbor(with = "codec::addresses")]
    pub addresses: Vec<SocketAddr>,
    /// Whether the sender is the session's host, which alone invites and removes.
    #[n(3)]
    pub host: bool,
    /// The TCP port at which the sender relays for the session's members, if it is a hub.
    #[n(4)]
    pub relay_port: Option<u16>,
}

/// A member, as another member tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MemberRecord {
    /// Who.
    #[n(0)]
    pub id: PeerId,
    /// Which start of it.
    #[n(1)]
    pub incarnation: u64,
    /// Where it can be reached.
    #[n(2)]
    #[cbor(with = "codec::addresses")]
    pub addresses: Vec<SocketAddr>,
    /// Who says that it was admitted.
    #[n(3)]
    pub voucher: Option<Voucher>,
}

/// Asks a member for its word on a peer; answered with an `Introduce`, if at all.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Enquire {
    /// Whom it is about.
    #[n(0)]
    pub peer: PeerId,
}

/// Removes a member from the session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Remove {
    /// Whom, why, and until when.
    #[n(0)]
    pub removal: Removal,
}

/// The members that the sender is connected with, or some of them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Members {
    /// At most 32 of them.
    #[n(0)]
    pub members: Vec<MemberRecord>,
}

/// Tells a member of a new one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Introduce {
    /// The new one.
    #[n(0)]
    pub member: MemberRecord,
}

/// A fingerprint of the member list. Who has another answers with its `Members`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Digest {
    /// The sum, modulo 2^64, of the first eight bytes (big endian) of every member's id,
    /// the sender's own included.
    #[n(0)]
    pub sum: u64,
    /// How many members, the sender included.
    #[n(1)]
    pub count: u64,
}

/// Says how many reliable messages have arrived.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Confirm {
    /// All that came before this number.
    #[n(0)]
    pub received: u64,
}

/// A question that only wants an answer, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Echo {
    /// Comes back as it was.
    #[n(0)]
    pub token: u64,
    /// Comes back as it was.
    #[n(1)]
    #[cbor(with = "codec::blob")]
    pub padding: Bytes,
}

/// The last frame on a link.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Goodbye {
    /// Why.
    #[n(0)]
    pub reason: GoodbyeReason,
    /// The same for people; at most 256 bytes, possibly none.
    #[n(1)]
    pub text: String,
}

/// Why an invitation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum DeclineReason {
    /// The user, or the application, said no.
    #[n(0)]
    #[error("declined by the other side")]
    Declined,
    /// The other session has no place left.
    #[n(1)]
    #[error("the other session is full")]
    Full,
    /// The other side takes no invitations at the moment.
    #[n(2)]
    #[error("the other side takes no invitations at the moment")]
    NotLooking,
    /// Nobody answered in time.
    #[n(3)]
    #[error("nobody answered in time")]
    TimedOut,
    /// Too many invitations wait for an answer there.
    #[n(4)]
    #[error("too many invitations wait for an answer there")]
    Busy,
    /// In that session the host alone invites.
    #[n(5)]
    #[error("in that session the host alone invites")]
    NotHost,
}

/// Why a link is closed by one of its ends. The number is also the application error code with
/// which QUIC closes the connection (RFC 9000, section 19.19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum GoodbyeReason {
    /// The peer leaves the session.
    #[n(0)]
    #[error("left the session")]
    Left,
    /// Another link between the two is kept.
    #[n(1)]
    #[error("another link between the two is kept")]
    Duplicate,
    /// No version of the protocol is common.
    #[n(2)]
    #[error("no common protocol version")]
    Version,
    /// The two sessions are about different things.
    #[n(3)]
    #[error("the other side runs another service")]
    Service,
    /// The session has no place left.
    #[n(4)]
    #[error("the session is full")]
    Full,
    /// Nobody invited or introduced the peer.
    #[n(5)]
    #[error("not invited")]
    NotInvited,
    /// Something that was due did not come in time.
    #[n(6)]
    #[error("something that was due did not come in time")]
    TimedOut,
    /// A frame or message that breaks the protocol.
    #[n(7)]
    #[error("broke the protocol")]
    Protocol,
    /// Too many links wait to be admitted.
    #[n(8)]
    #[error("too many links wait to be admitted")]
    Busy,
    /// The link is not needed: its invitation was declined, withdrawn, or timed out.
    #[n(9)]
    #[error("the link is not needed any more")]
    Unneeded,
    /// The peer has not shown that it may be here.
    #[n(10)]
    #[error("not admitted")]
    NotAdmitted,
    /// The peer was removed from the session.
    #[n(11)]
    #[error("removed from the session")]
    Removed,
    /// The two have no business with each other: two clients, two hosts, or one of a mesh.
    #[n(12)]
    #[error("not a client and its host")]
    Topology,
    /// Nothing is under way, and one of the two is in the background: both stay in the session without a link, and dial
    /// when there is something to say.
    #[n(13)]
    #[error("the link rests")]
    Resting,
}

impl GoodbyeReason {
    /// Whether it is said before the connection is closed. Who has fallen silent would not hear it, and is not waited for:
    /// the connection is closed at once.
    pub const fn is_said(self) -> bool {
        !matches!(self, Self::TimedOut)
    }

    /// The number that stands for the reason on the wire.
    pub const fn code(self) -> u32 {
        self as u32
    }
}

/// One control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is documented at the type that it holds.
pub enum Frame {
    Hello(Hello),
    Invite(Invite),
    Accept(Accept),
    Decline(Decline),
    Cancel(Cancel),
    Join(Join),
    Members(Members),
    Introduce(Introduce),
    Digest(Digest),
    Confirm(Confirm),
    Ping(Echo),
    Pong(Echo),
    Goodbye(Goodbye),
    Proof(Proof),
    Profile(Profile),
    Remove(Remove),
    Enquire(Enquire),
    Certificate(Certificate),
    Nudge(Nudge),
    Attention(Attention),
    Listen(Listen),
    Near(Near),
    Rest(Rest),
    Missing(Missing),
}

/// What is wrong with bytes that should have been a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is longer than any frame may be.
    #[error("a frame has at most {MAX_FRAME_BYTES} bytes, and one was announced with {bytes}")]
    TooLong {
        /// The announced length.
        bytes: u64,
    },
    /// The type is none that this version knows.
    #[error("unknown frame type {kind:#04x}")]
    UnknownType {
        /// The type.
        kind: u8,
    },
    /// The body is not what the type asks for.
    #[error("a frame of type {kind:#04x} is malformed: {problem}")]
    Malformed {
        /// The type.
        kind: u8,
        /// What is wrong.
        problem: String,
    },
}

impl Frame {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let (kind, body) = match self {
            Self::Hello(body) => (0x01, codec::to_cbor(body)),
            Self::Invite(body) => (0x02, codec::to_cbor(body)),
            Self::Accept(body) => (0x03, codec::to_cbor(body)),
            Self::Decline(body) => (0x04, codec::to_cbor(body)),
            Self::Cancel(body) => (0x05, codec::to_cbor(body)),
            Self::Join(body) => (0x06, codec::to_cbor(body)),
            Self::Members(body) => (0x07, codec::to_cbor(body)),
            Self::Introduce(body) => (0x08, codec::to_cbor(body)),
            Self::Digest(body) => (0x09, codec::to_cbor(body)),
            Self::Confirm(body) => (0x0a, codec::to_cbor(body)),
            Self::Ping(body) => (0x0b, codec::to_cbor(body)),
            Self::Pong(body) => (0x0c, codec::to_cbor(body)),
            Self::Goodbye(body) => (0x0d, codec::to_cbor(body)),
            Self::Proof(body) => (0x0e, codec::to_cbor(body)),
            Self::Profile(body) => (0x0f, codec::to_cbor(body)),
            Self::Remove(body) => (0x10, codec::to_cbor(body)),
            Self::Enquire(body) => (0x11, codec::to_cbor(body)),
            Self::Certificate(body) => (0x12, codec::to_cbor(body)),
            Self::Nudge(body) => (0x13, codec::to_cbor(body)),
            Self::Attention(body) => (0x14, codec::to_cbor(body)),
            Self::Listen(body) => (0x15, codec::to_cbor(body)),
            Self::Near(body) => (0x16, codec::to_cbor(body)),
            Self::Rest(body) => (0x17, codec::to_cbor(body)),
            Self::Missing(body) => (0x18, codec::to_cbor(body)),
        };
        codec::write_frame(kind, &body, out);
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        let frame = match kind {
            0x01 => codec::from_cbor(body).map(Self::Hello),
            0x02 => codec::from_cbor(body).map(Self::Invite),
            0x03 => codec::from_cbor(body).map(Self::Accept),
            0x04 => codec::from_cbor(body).map(Self::Decline),
            0x05 => codec::from_cbor(body).map(Self::Cancel),
            0x06 => codec::from_cbor(body).map(Self::Join),
            0x07 => codec::from_cbor(body).map(Self::Members),
            0x08 => codec::from_cbor(body).map(Self::Introduce),
            0x09 => codec::from_cbor(body).map(Self::Digest),
            0x0a => codec::from_cbor(body).map(Self::Confirm),
            0x0b => codec::from_cbor(body).map(Self::Ping),
            0x0c => codec::from_cbor(body).map(Self::Pong),
            0x0d => codec::from_cbor(body).map(Self::Goodbye),
            0x0e => codec::from_cbor(body).map(Self::Proof),
            0x0f => codec::from_cbor(body).map(Self::Profile),
            0x10 => codec::from_cbor(body).map(Self::Remove),
            0x11 => codec::from_cbor(body).map(Self::Enquire),
            0x12 => codec::from_cbor(body).map(Self::Certificate),
            0x13 => codec::from_cbor(body).map(Self::Nudge),
            0x14 => codec::from_cbor(body).map(Self::Attention),
            0x15 => codec::from_cbor(body).map(Self::Listen),
            0x16 => codec::from_cbor(body).map(Self::Near),
            0x17 => codec::from_cbor(body).map(Self::Rest),
            0x18 => codec::from_cbor(body).map(Self::Missing),
            _ => return Err(FrameError::UnknownType { kind }),
        };
        let frame = frame.map_err(|problem| FrameError::Malformed { kind, problem })?;
        codec::check_lengths(&frame)
            .map_err(|problem| FrameError::Malformed { kind, problem: problem.to_owned() })?;
        Ok(frame)
    }
}

/// Takes bytes as they come and gives frames.
///
/// It never holds more than one frame of the largest size. After an error nothing more can be
/// read: where the next frame begins is not known.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// Adds bytes from the stream. Take the frames out before adding more.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        codec::poll_frame(&mut self.buffer, Frame::decode)
    }
}

#[cfg(test)]
mod tests;
