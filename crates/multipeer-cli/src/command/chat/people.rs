//! What a user does about people: who may come in, who has to go, and whether it is really they.

use multipeer::{Event, Invitation, PairedDevices, Path, Peer, Session};

use super::peers;

/// Invitations that wait for the user; more are declined.
const MAX_WAITING: usize = 64;

/// Something to do about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask it into the session.
    Invite,
    /// Take its invitation.
    Accept,
    /// Decline its invitation.
    Decline,
    /// Remove it from the session.
    Remove,
    /// Show what its user can compare.
    Check,
    /// Ask its user to look.
    Nudge,
}

impl Action {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "invite" => Self::Invite,
            "accept" => Self::Accept,
            "decline" => Self::Decline,
            "remove" => Self::Remove,
            "check" => Self::Check,
            "nudge" => Self::Nudge,
            _ => return None,
        })
    }
}

/// Those who ask to be let in, and those who are to be known again.
pub(crate) struct People {
    waiting: Vec<Invitation>,
    paired: Option<PairedDevices>,
}

impl People {
    /// Keeps who is verified among these devices, if they are given.
    pub(super) fn new(paired: Option<PairedDevices>) -> Self {
        Self { waiting: Vec::new(), paired }
    }

    /// Takes note of what happened. Returns what else there is to show.
    pub(super) fn note(&mut self, session: &Session, event: Event) -> Option<String> {
        match event {
            Event::Invitation(invitation) => self.keep(invitation),
            Event::InvitationWithdrawn { from } => self.withdrawn(&from),
            Event::PeerConnected(peer) => return self.pair(session, &peer),
            Event::PathChanged { peer, path } => return self.remember(&peer, &path),
            _ => {}
        }
        None
    }

    /// Where a paired device is now, it may be the next time.
    fn remember(&mut self, peer: &Peer, path: &Path) -> Option<String> {
        let remembered = self.paired.as_mut()?.note_path(peer, path);
        remembered.err().map(|error| format!("! {error}"))
    }

    fn pair(&mut self, session: &Session, peer: &Peer) -> Option<String> {
        let paired = self.paired.as_mut()?;
        let known = paired.iter().any(|device| device.id == peer.known_id());
        let added = paired.add(peer, &session.verified(peer)?);
        let trouble = session.path(peer).and_then(|path| self.remember(peer, &path));
        match added {
            Ok(true) if !known => {
                Some(format!("* paired with {peer} ({})", peer.known_id().short()))
            }
            Ok(_) => trouble,
            Err(error) => Some(format!("! {error}")),
        }
    }

    /// Keeps an invitation until the user answers it. One that is dropped is declined.
    fn keep(&mut self, invitation: Invitation) {
        self.withdrawn(invitation.from());
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(invitation);
        }
    }

    /// The peer does not ask any more.
    fn withdrawn(&mut self, peer: &Peer) {
        self.waiting.retain(|invitation| invitation.from().id != peer.id);
    }

    /// Does something about the peer of that name, and returns what to show.
    pub(super) async fn act(
        &mut self,
        session: &Session,
        action: Action,
        name: &str,
        text: &str,
    ) -> Result<String, String> {
        match action {
            Action::Invite => {
                let peer = choose(&session.nearby(), name)?;
                let invited = session.invite(&peer, text.to_owned()).await;
                invited.map_err(|error| error.to_string())?;
                Ok(format!("* {peer} is asked to join"))
            }
            Action::Accept | Action::Decline => {
                let invitation = self.take(name)?;
                let peer = invitation.from().clone();
                if action == Action::Accept {
                    invitation.accept();
                    Ok(format!("* {peer} may come in"))
                } else {
                    invitation.decline(text);
                    Ok(format!("* {peer} may not come in"))
                }
            }
            Action::Remove => {
                let peer = choose(&session.peers(), name)?;
                session.remove(&peer, text).await.map_err(|error| error.to_string())?;
                Ok(format!("* {peer} is removed"))
            }
            Action::Nudge => {
                let peer = choose(&session.peers(), name)?;
                session.nudge(&peer, text).await.map_err(|error| error.to_string())?;
                Ok(format!("* {peer} is asked to look"))
            }
            Action::Check => {
                let peer = choose(&session.peers(), name)?;
                let digits = session.comparison(&peer).ok_or("there is no link at the moment")?;
                Ok(format!("* nobody is in between if {peer} sees the same: {digits}"))
            }
        }
    }

    fn take(&mut self, name: &str) -> Result<Invitation, String> {
        let asking: Vec<Peer> = self.waiting.iter().map(|i| i.from().clone()).collect();
        let peer = choose(&asking, name)?;
        let place = self.waiting.iter().position(|invitation| invitation.from().id == peer.id);
        let place = place.ok_or_else(|| nobody(name))?;
        Ok(self.waiting.remove(place))
    }
}

fn choose(peers: &[Peer], name: &str) -> Result<Peer, String> {
    let peer = peers::choose(peers, name).map_err(|failure| failure.to_string())?;
    peer.ok_or_else(|| nobody(name))
}

fn nobody(name: &str) -> String {
    format!("nobody here is called {name:?}")
}
