//! What a hub says: who is near it.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

use super::codec;
use crate::{
    announcement::Announcement,
    id::PeerId,
    name::{DiscoveryInfo, DisplayName},
    session::Role,
    trust::AnnouncedTags,
};

/// Tells a hub whether the sender wants to know who is near it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listen {
    /// Whether it does. The hub answers with everyone, and goes on to tell what changes.
    #[n(0)]
    pub wanted: bool,
}

/// Who is near a hub, as the hub heard it itself: never what another hub told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Near {
    /// Grows with each time that everyone is told.
    #[n(0)]
    pub round: u64,
    /// At most 16 who came, or who say something else than before.
    #[n(1)]
    pub peers: Vec<NearRecord>,
    /// At most 256 who went.
    #[n(2)]
    #[cbor(with = "codec::ids")]
    pub gone: Vec<PeerId>,
    /// Whether everyone is told now: those of earlier rounds only are not near any more.
    #[n(3)]
    pub complete: bool,
}

/// A peer that is near a hub.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NearRecord {
    /// Who.
    #[n(0)]
    pub id: PeerId,
    /// Its name, unless it keeps that to itself.
    #[n(1)]
    pub name: Option<DisplayName>,
    /// What else it announces.
    #[n(2)]
    pub info: DiscoveryInfo,
    /// What it announces to those with whom it is paired.
    #[n(3)]
    pub tags: Option<AnnouncedTags>,
    /// Where the hub can reach it.
    #[n(4)]
    #[cbor(with = "codec::addresses")]
    pub addresses: Vec<SocketAddr>,
    /// What it is in a session of clients and a host.
    #[n(5)]
    pub role: Option<Role>,
}

impl NearRecord {
    /// What a peer announces, and where it is.
    pub fn new(announcement: Announcement, addresses: Vec<SocketAddr>) -> Self {
        let Announcement { peer, name, info, tags, role } = announcement;
        Self { id: peer, name, info, tags, addresses, role }
    }

    /// What the peer announces.
    pub fn announcement(&self) -> Announcement {
        let Self { id, name, info, tags, role, addresses: _ } = self.clone();
        Announcement { peer: id, name, info, tags, role }
    }
}
