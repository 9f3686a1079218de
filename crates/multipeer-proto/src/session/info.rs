//! Who a peer is, as far as it says or is known.

use crate::{
    announcement::Announcement,
    id::PeerId,
    name::{DiscoveryInfo, DisplayName},
    way::Ways,
};

/// A peer, as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its id.
    pub id: PeerId,
    /// Its name.
    pub name: DisplayName,
    /// What else it says about itself.
    pub info: DiscoveryInfo,
    /// By what id it is known elsewhere, if it runs under one made for the occasion. A peer in the
    /// session has proven it; a peer that is near and paired with this one is recognised by it.
    pub lasting_id: Option<PeerId>,
    /// The hub that says that the peer is near, when this one does not hear it by itself.
    pub heard_through: Option<PeerId>,
    /// How it is known that the peer is near; none of a peer that is not.
    pub ways: Ways,
}

impl PeerInfo {
    /// A peer of which nothing but the id is known: named by its first ten digits.
    pub fn unnamed(id: PeerId) -> Self {
        let Ok(name) = DisplayName::new(id.short()) else { unreachable!("ten digits are a name") };
        Self {
            id,
            name,
            info: DiscoveryInfo::default(),
            lasting_id: None,
            heard_through: None,
            ways: Ways::default(),
        }
    }

    /// The id by which the peer is known from one time to the next, unless it has none but one for the
    /// occasion: then that.
    pub fn known_id(&self) -> PeerId {
        self.lasting_id.unwrap_or(self.id)
    }
}

impl From<&Announcement> for PeerInfo {
    fn from(announcement: &Announcement) -> Self {
        let Announcement { peer, name, info, tags: _, role: _ } = announcement.clone();
        let unnamed = Self::unnamed(peer);
        Self { info, name: name.unwrap_or_else(|| unnamed.name.clone()), ..unnamed }
    }
}
