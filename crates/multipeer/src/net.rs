//! The driver: it moves bytes and decides nothing. What to do is the business of
//! [`multipeer_proto::Session`], which one task owns.

mod doorbell;
pub(crate) mod driver;
pub(crate) mod endpoint;
mod gate;
mod home;
mod lane;
mod link;
mod listening;
mod outputs;
mod reader;
mod relays;
mod renewal;
mod shared;
mod streams;
mod view;
mod writer;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use multipeer_proto::{
    Command, InvitationId, InviteError, NudgeError, PeerId, RemoveError, Ticket, trust::Admission,
};
use tokio::sync::oneshot;

pub(crate) use self::{
    doorbell::Doorbell,
    gate::Gate,
    lane::{Hold, Lane},
    relays::Relays,
    renewal::Renewal,
    shared::Shared,
};
use crate::{peer::Peer, session::PingMode};

/// What the application asks of the task that owns the session.
pub(crate) enum Request {
    Command(Command),
    Invite {
        invitation: InvitationId,
        peer: PeerId,
        context: Bytes,
        timeout: std::time::Duration,
        /// Told at once whether the invitation is under way.
        begun: oneshot::Sender<Result<(), InviteError>>,
        /// Told how it went.
        answer: oneshot::Sender<Result<Peer, InviteError>>,
    },
    /// Whom the session takes from now on.
    SetAdmission(Admission),
    Remove {
        peer: PeerId,
        text: String,
        answer: oneshot::Sender<Result<(), RemoveError>>,
    },
    Nudge {
        peer: PeerId,
        text: String,
        answer: oneshot::Sender<Result<(), NudgeError>>,
    },
    /// A link to a peer whose link rests, or is about to.
    Wanted(PeerId),
    /// How others can reach the session.
    Ticket(oneshot::Sender<Ticket>),
    /// A transfer's task, which the session owns.
    Run(BoxFuture<'static, ()>),
    Ping {
        peer: PeerId,
        bytes: usize,
        mode: PingMode,
        answered: oneshot::Sender<()>,
    },
}
