//! Invitations, as the application handles them.

use std::fmt;

use bytes::Bytes;
use multipeer_proto::{Command, InvitationId, InviteError, trust::Verified};
use tokio::sync::{mpsc, oneshot};

use crate::{net::Request, peer::Peer};

/// A peer asks this one into its session.
///
/// Dropped without an answer, it is declined.
#[derive(Debug)]
pub struct Invitation {
    from: Peer,
    context: Bytes,
    verified: Verified,
    comparison: Option<String>,
    answer: Option<Answer>,
}

struct Answer {
    invitation: InvitationId,
    requests: mpsc::UnboundedSender<Request>,
}

impl Invitation {
    pub(crate) fn new(
        from: Peer,
        context: Bytes,
        (verified, comparison): (Verified, Option<String>),
        (invitation, requests): (InvitationId, mpsc::UnboundedSender<Request>),
    ) -> Self {
        let answer = Some(Answer { invitation, requests });
        Self { from, context, verified, comparison, answer }
    }

    /// How the peer that asks has shown that it may be here. Its name is what it says of itself.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What people at both ends can compare before it is accepted, as
    /// [`Session::comparison`](crate::Session::comparison); nothing if the link is gone already.
    pub fn comparison(&self) -> Option<&str> {
        self.comparison.as_deref()
    }

    /// Who asks.
    pub fn from(&self) -> &Peer {
        &self.from
    }

    /// What the inviting application has to say: at most 64 KiB.
    pub fn context(&self) -> &Bytes {
        &self.context
    }

    /// Joins. [`Event::PeerConnected`](crate::Event::PeerConnected) tells when it is done. An
    /// invitation that was withdrawn meanwhile is nothing any more, and neither is its answer.
    pub fn accept(mut self) {
        self.answer(None);
    }

    /// Says no, with words of at most 256 bytes for the other side, or none.
    pub fn decline(mut self, text: impl Into<String>) {
        self.answer(Some(text.into()));
    }

    fn answer(&mut self, decline: Option<String>) {
        if let Some(Answer { invitation, requests }) = self.answer.take() {
            let peer = self.from.id;
            let command = Command::AnswerInvitation { peer, invitation, decline };
            // A session that is over has nobody left to answer.
            _ = requests.send(Request::Command(command));
        }
    }
}

impl Drop for Invitation {
    fn drop(&mut self) {
        self.answer(Some(String::new()));
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.invitation)
    }
}

/// An invitation that was sent. Dropping it changes nothing: it stays sent, and
/// [`Event::InvitationFailed`](crate::Event::InvitationFailed) tells if nothing comes of it.
#[derive(Debug)]
pub struct OutgoingInvitation {
    pub(crate) invitation: InvitationId,
    pub(crate) answer: oneshot::Receiver<Result<Peer, InviteError>>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
}

impl OutgoingInvitation {
    /// Waits for the answer: the peer, once it is connected.
    ///
    /// # Errors
    ///
    /// [`InviteError`]: declined, not reached, no answer in time, or withdrawn.
    ///
    /// Cancel safe: the invitation stays sent.
    pub async fn answer(&mut self) -> Result<Peer, InviteError> {
        (&mut self.answer).await.unwrap_or(Err(InviteError::SessionOver))
    }

    /// Withdraws the invitation, if it was not answered yet.
    pub fn cancel(self) {
        let command = Command::CancelInvite { invitation: self.invitation };
        _ = self.requests.send(Request::Command(command));
    }
}
