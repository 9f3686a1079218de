//! Hosts that mean harm: what they say is replaced by what others said, or by what nobody said.

use rand::RngExt;

use super::{scenario::Room, world::World};
use crate::{
    Frame, PeerId,
    frame::{Introduce, Join, MemberRecord, Profile, Proof, Remove},
    trust::{Removal, Voucher},
};

/// Frames that forgers have overheard and may replay.
const MAX_OVERHEARD: usize = 64;

impl World {
    pub(super) fn is_forger(&self, peer: PeerId) -> bool {
        self.rooms.get(&peer) == Some(&Room::Forger)
    }

    /// What really goes out when a host sends a frame. Forgers hear everything, as if nothing were
    /// encrypted, and every second frame of theirs is another one.
    pub(super) fn forge(&mut self, from: PeerId, frame: Frame) -> Frame {
        if !self.is_forger(from) {
            if self.overheard.len() < MAX_OVERHEARD {
                self.overheard.push(frame.clone());
            } else {
                let place = self.random.random_range(0..MAX_OVERHEARD);
                self.overheard[place] = frame.clone();
            }
            return frame;
        }
        let victims: Vec<PeerId> = self.rooms.keys().copied().collect();
        let victim = victims[self.random.random_range(0..victims.len())];
        let signature: [u8; 32] = self.random.random();
        let signature = std::array::from_fn(|at| signature[at % 32]);
        match self.random.random_range(0..14) {
            0..4 if !self.overheard.is_empty() => {
                self.overheard[self.random.random_range(0..self.overheard.len())].clone()
            }
            4 => Frame::Proof(Proof { confirmation: self.random.random() }),
            5 => {
                let name = crate::PeerInfo::unnamed(victim).name;
                Frame::Profile(Profile {
                    name,
                    info: crate::DiscoveryInfo::default(),
                    lasting: None,
                })
            }
            6 => {
                let (pairing, addresses) = (None, Vec::new());
                Frame::Join(Join { pairing, received: 0, addresses, host: true, relay_port: None })
            }
            7 => {
                let voucher = Voucher {
                    issuer: victim,
                    issuer_incarnation: self.random.random_range(0..self.ids + 1),
                    expires: 60,
                    signature,
                };
                let (incarnation, addresses) = (self.ids, Vec::new());
                let member =
                    MemberRecord { id: from, incarnation, addresses, voucher: Some(voucher) };
                Frame::Introduce(Introduce { member })
            }
            8 => {
                let removal = Removal {
                    issuer: victim,
                    issuer_incarnation: self.random.random_range(0..self.ids + 1),
                    subject: victims[self.random.random_range(0..victims.len())],
                    until: 60,
                    text: String::new(),
                    signature,
                };
                Frame::Remove(Remove { removal })
            }
            _ => frame,
        }
    }
}
