//! Why something did not come about, or came to an end.

use std::fmt;

use crate::{
    frame::{DeclineReason, GoodbyeReason},
    id::PeerId,
    trust::{CertificateError, Scheme},
};

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
    /// It was removed from the session.
    #[error("it was removed by {peer}{}", Detail(text), peer = by.short())]
    Removed {
        /// Who removed it.
        by: PeerId,
        /// Why.
        text: String,
    },
    /// This peer was removed from the session.
    #[error("this side was removed from the session{}", Detail(text))]
    Expelled {
        /// Why.
        text: String,
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
            Self::Removed { .. } => "removed",
            Self::Expelled { .. } => "expelled",
            Self::Local => "local",
        }
    }
}

/// Why a dial came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No link came about.
    #[error("{0}")]
    Failed(String),
    /// Whoever answers there does not have the key that the peer's id is.
    #[error("another device answers at its address, and cannot prove to be this peer")]
    Impostor,
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
    /// In this session the host alone invites.
    #[error("in this session the host alone invites, and this peer is not the host")]
    NotHost,
    /// The peer was removed from the session.
    #[error("the peer was removed from the session{}", Detail(text))]
    Removed {
        /// Why.
        text: String,
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
    /// The peer's certificate was not taken.
    #[error("the peer was not admitted: {error}")]
    Certificate {
        /// Why.
        error: CertificateError,
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
    /// Whether one of the two sides does not want the other, and to ask again would change nothing.
    pub const fn is_refused_admission(&self) -> bool {
        matches!(
            self,
            Self::WrongSecret { .. }
                | Self::Certificate { .. }
                | Self::NotAdmitted { .. }
                | Self::Refused {
                    reason: GoodbyeReason::NotAdmitted
                        | GoodbyeReason::Removed
                        | GoodbyeReason::Topology,
                    ..
                }
                | Self::Declined { reason: DeclineReason::NotHost, .. }
        )
    }
}

/// Why a peer cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The peer is not in the session.
    #[error("peer {peer} is not in the session", peer = .0.short())]
    NotConnected(PeerId),
    /// In this session the host alone removes.
    #[error("in this session the host alone removes, and this peer is not the host")]
    NotHost,
    /// The session is over.
    #[error("the session is over")]
    SessionOver,
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
