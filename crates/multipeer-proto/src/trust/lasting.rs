//! A lasting id, proven at the end of a link that runs under a key made for the occasion.

use minicbor::{Decode, Encode};

use super::{
    LinkKeys, LinkRole,
    exchange::link_message,
    keys::{Keys, SIGNATURE_BYTES},
};
use crate::id::PeerId;

/// Says that the peer at this end of the link is known by another id, too.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LastingId {
    /// The id.
    #[n(0)]
    pub id: PeerId,
    /// Over it, both ids of the link, and the link's exporter.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: [u8; SIGNATURE_BYTES],
}

impl LastingId {
    /// The proof of the one with these keys, at the end of the link that has this role.
    pub fn prove(keys: &Keys, role: LinkRole, ends: [PeerId; 2], link: &LinkKeys) -> Self {
        let id = keys.id();
        Self { id, signature: keys.sign(&message(id, role, ends, link)) }
    }

    /// Whether it is what it says. `role` is that of the end which shows it, `ends` are the dialler and
    /// the acceptor.
    pub fn check(&self, keys: &Keys, role: LinkRole, ends: [PeerId; 2], link: &LinkKeys) -> bool {
        keys.verify(self.id, &message(self.id, role, ends, link), &self.signature)
    }
}

fn message(id: PeerId, role: LinkRole, ends: [PeerId; 2], link: &LinkKeys) -> Vec<u8> {
    link_message("identity", role, id.as_bytes(), ends, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_end_of_one_link() {
        let [alice, bob] = [[1; 32], [2; 32]].map(|secret| Keys::from_secret(&secret));
        let ends = [[3; 32], [4; 32]].map(PeerId::from_bytes);
        let [link, other] = [9, 10].map(|exporter| LinkKeys::new([exporter; 32], [0; 32]));
        let proof = LastingId::prove(&alice, LinkRole::Dialler, ends, &link);
        assert!(proof.check(&bob, LinkRole::Dialler, ends, &link));
        assert!(!proof.check(&bob, LinkRole::Acceptor, ends, &link), "sent back");
        assert!(!proof.check(&bob, LinkRole::Dialler, ends, &other), "from another link");
        let between_others = [ends[0], PeerId::from_bytes([5; 32])];
        assert!(!proof.check(&bob, LinkRole::Dialler, between_others, &link));
        let of_another = LastingId { id: bob.id(), ..proof };
        assert!(!of_another.check(&bob, LinkRole::Dialler, ends, &link));
    }
}
