//! Finding the peer that a person means.

use std::time::Duration;

use multipeer::{Event, Events, Peer, PeerId, Session};
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;

/// The one of `peers` that a text stands for: its name, its id, or the beginning of its id, of
/// at least four digits.
pub(crate) fn choose<'a>(
    peers: impl IntoIterator<Item = &'a Peer>,
    text: &str,
) -> Result<Option<Peer>, Failure> {
    let digits = text.to_lowercase();
    let begins = |id: PeerId| text.len() >= 4 && id.to_string().starts_with(&digits);
    let is_meant = |peer: &&Peer| {
        peer.name.as_str() == text || begins(peer.id) || peer.lasting_id.is_some_and(begins)
    };
    let meant: Vec<&Peer> = peers.into_iter().filter(is_meant).collect();
    match meant.as_slice() {
        [] => Ok(None),
        [peer] => Ok(Some((*peer).clone())),
        several => Err(Failure::Ambiguous { name: text.to_owned(), count: several.len() }),
    }
}

/// Waits until the peer that a text stands for is connected.
pub(crate) async fn wait_for(
    session: &Session,
    events: &mut Events,
    text: &str,
    patience: Duration,
) -> Result<Peer, Failure> {
    let deadline = Instant::now() + patience;
    let mut problem = None;
    loop {
        if let Some(peer) = choose(&session.peers(), text)? {
            return Ok(peer);
        }
        match timeout_at(deadline, events.next()).await {
            Ok(Some(Event::InvitationFailed { peer, error })) => {
                let hopeless = error.is_refused_admission() && choose([&peer], text)?.is_some();
                problem = Some((peer, error));
                // Nobody tries again by itself.
                if hopeless {
                    break;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    match problem {
        Some((peer, error)) if choose([&peer], text)?.is_some() => {
            Err(Failure::Invite { name: peer.name.to_string(), error })
        }
        _ => Err(Failure::NoSuchPeer { name: text.to_owned(), seconds: patience.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use multipeer::{DisplayName, PeerInfo};

    use super::*;

    fn peer(byte: u8, name: &str) -> Peer {
        let name = DisplayName::new(name).unwrap();
        let lasting_id = Some(PeerId::from_bytes([!byte; 32]));
        let unnamed = PeerInfo::unnamed(PeerId::from_bytes([byte; 32]));
        PeerInfo { name, lasting_id, ..unnamed }.into()
    }

    #[test]
    fn a_peer_is_meant_by_its_name_or_the_beginning_of_its_id() {
        let peers = [peer(0xab, "Alice"), peer(0xcd, "Bob"), peer(0xce, "Bob")];
        assert_eq!(choose(&peers, "Alice").unwrap(), Some(peers[0].clone()));
        assert_eq!(choose(&peers, "ABAB").unwrap(), Some(peers[0].clone()));
        assert_eq!(choose(&peers, "Carol").unwrap(), None);
        assert_eq!(choose(&peers, "aba").unwrap(), None);
        let error = choose(&peers, "Bob").unwrap_err().to_string();
        assert!(error.contains("stands for 2 peers"), "{error}");
        assert_eq!(choose(&peers, "5454").unwrap(), Some(peers[0].clone()), "its lasting id");
        assert_eq!(choose(&peers, "cdcdcd").unwrap(), Some(peers[1].clone()));
    }
}
