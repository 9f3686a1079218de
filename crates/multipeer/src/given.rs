//! Reaching a session that cannot be heard: addresses given by hand, and tickets.

use std::net::SocketAddr;

use multipeer_proto::{Command, PeerId, Ticket, limits, trust::Admission};
use tokio::sync::oneshot;

use crate::{config::SessionBuilder, net::Request, session::Session};

impl SessionBuilder {
    /// Tries the peers that a ticket names, as [`peer`](Self::peer) does, and takes who knows its passcode, if it has one.
    /// What the ticket's session is about is for the caller to compare.
    pub fn ticket(mut self, ticket: &Ticket) -> Self {
        for peer in &ticket.peers {
            self = self.peer(peer.id, peer.addresses.iter().copied());
        }
        match &ticket.passcode {
            Some(passcode) => self.admission(Admission::passcode(passcode.as_str())),
            None => self,
        }
    }
}

impl Session {
    /// Settings for a session that a ticket leads to, under the name that people see: what it is about, who is tried,
    /// whether they are heard or not, and the passcode, if the ticket has one.
    ///
    /// ```no_run
    /// use multipeer::{Session, Ticket};
    ///
    /// # async fn example(text: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let ticket: Ticket = text.parse()?;
    /// let session = Session::builder_for(&ticket, "Bob").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder_for(ticket: &Ticket, name: impl Into<String>) -> SessionBuilder {
        Self::builder(ticket.service.as_str(), name).ticket(ticket)
    }

    /// What others need to reach this session where they cannot hear it: this peer and where it is now, and the hubs
    /// in the session. It has no passcode; an application that wants those who have it to get in without asking for
    /// one sets [`Ticket::passcode`].
    ///
    /// An id that was made for this session leads nowhere when the session is over: give the session an
    /// [`identity`](SessionBuilder::identity) if tickets are to last.
    ///
    /// `None` when the session is over.
    ///
    /// # Cancellation
    ///
    /// Dropping the future changes nothing.
    pub async fn ticket(&self) -> Option<Ticket> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::Ticket(answer));
        answered.await.ok()
    }

    /// Tries to reach a peer at these addresses from now on, whether it is heard or not. It is near until the session
    /// ends, and whoever answers there has to prove the id. At most 64 peers, with 8 addresses each; more are
    /// left out. Again for the same peer, the latest addresses count.
    pub fn add_peer(&self, id: PeerId, addresses: impl IntoIterator<Item = SocketAddr>) {
        let addresses = addresses.into_iter().take(limits::MAX_ADDRESSES).collect();
        self.request(Request::Command(Command::Add { peer: id, addresses }));
    }
}
