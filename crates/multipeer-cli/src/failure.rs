//! Why a command failed, and the exit code that says so.

use std::process::ExitCode;

use multipeer::{
    CertificateFileError, IdentityError, InviteError, SendError, StartError, StreamError,
    TransferError,
};

/// A failure: what happened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Certificate(#[from] CertificateFileError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("could not transfer {name}: {error}")]
    Transfer { name: String, error: TransferError },
    #[error(transparent)]
    Source(#[from] TransferError),
    #[error(
        "nobody was found within {seconds} s: is a peer running, with the same --service and on \
         the same network? `multipeer browse` shows who is near, and `multipeer doctor` why \
         nobody is"
    )]
    Nobody { seconds: u64 },
    #[error("could not reach {name}: {error}")]
    Invite { name: String, error: InviteError },
    #[error(
        "no peer {name:?} within {seconds} s: is it running, with the same --service and on the \
         same network? `multipeer browse` shows who is near, and `multipeer doctor` why \
         nobody is"
    )]
    NoSuchPeer { name: String, seconds: u64 },
    #[error("{name:?} stands for {count} peers: give the id instead (`multipeer browse` shows it)")]
    Ambiguous { name: String, count: usize },
    #[error("something is in the way of peers on this network: the verdict says what")]
    Trouble,
    #[error("{0}")]
    Check(String),
    #[error("could not read or write: {0}")]
    Io(#[from] std::io::Error),
}

impl Failure {
    /// 1 failed, 3 no such peer in time, 4 refused; 2, usage, is clap's.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NoSuchPeer { .. } | Self::Nobody { .. } => 3,
            Self::Transfer { error: TransferError::Refused { .. }, .. }
            | Self::Invite {
                error:
                    InviteError::Declined { .. }
                    | InviteError::Refused { .. }
                    | InviteError::WrongSecret { .. }
                    | InviteError::NotAdmitted { .. },
                ..
            } => 4,
            _ => 1,
        })
    }
}
