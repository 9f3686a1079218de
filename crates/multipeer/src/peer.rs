//! A peer, as the application sees it.

use std::{fmt, ops::Deref, sync::Arc};

use multipeer_proto::{PeerId, PeerInfo};

/// A peer: its `id`, `name` and `info`, and the `lasting_id` by which it is known elsewhere if its id is made
/// for the occasion; cheap to clone.
///
/// It says who the peer was when this was made; [`Session::peers`](crate::Session::peers) tells
/// who is connected now.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer(Arc<PeerInfo>);

impl Deref for Peer {
    type Target = PeerInfo;

    fn deref(&self) -> &PeerInfo {
        &self.0
    }
}

impl From<PeerInfo> for Peer {
    fn from(info: PeerInfo) -> Self {
        Self(Arc::new(info))
    }
}

impl From<&Peer> for PeerId {
    fn from(peer: &Peer) -> Self {
        peer.id
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.name, self.id.short())
    }
}
