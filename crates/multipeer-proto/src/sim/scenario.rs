//! Who is to find together, and who means harm.

use crate::{Role, Topology, trust::Admission};

/// Proofs take a processor's time, so of so many runs one is of each kind; the others are open.
const EVERY: u64 = 16;

/// What kind of session a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// Everyone gets in.
    Open,
    /// Two rooms with different passcodes side by side, and some who know neither's.
    Rooms,
    /// One host shares a key with each of the others, of whom no two share one: it vouches for them.
    Star,
    /// A room, and some who do not know its passcode and forge and replay whatever they can.
    Forgers,
    /// Everyone gets in, and one member is removed.
    Removal,
    /// Two networks, and one or two hubs that are in both.
    Hubs,
    /// A host and its clients.
    ClientServer,
}

/// Which others a host is to be connected with: those of the same room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Everyone's.
    Open,
    /// That of those who know this passcode.
    Closed(&'static str),
    /// The star's.
    Star,
    /// Of somebody who means harm, and belongs nowhere.
    Forger,
}

impl Scenario {
    pub(super) const fn of_seed(seed: u64) -> Self {
        match seed % EVERY {
            3 | 5 => Self::Hubs,
            7 => Self::ClientServer,
            9 => Self::Removal,
            11 => Self::Forgers,
            13 => Self::Star,
            15 => Self::Rooms,
            _ => Self::Open,
        }
    }

    /// The most hosts that it can have, if there is a limit.
    pub(super) const fn max_hosts(self) -> usize {
        match self {
            // The one in the middle has a key for each other.
            Self::Star => crate::limits::MAX_SECRETS + 1,
            _ => usize::MAX,
        }
    }

    /// What a host is.
    pub(super) const fn topology(self, host: usize) -> Topology {
        match (self, host) {
            (Self::ClientServer, 0) => Topology::ClientServer { role: Role::Host },
            (Self::ClientServer, _) => Topology::ClientServer { role: Role::Client },
            _ => Topology::Mesh,
        }
    }

    /// Whether two hosts are to be in each other's session in the end.
    pub(super) const fn belong_together(self, a: usize, b: usize) -> bool {
        !matches!(self, Self::ClientServer) || a == 0 || b == 0
    }

    /// Whether a host is a hub, of which there are two.
    pub(super) const fn is_hub(self, host: usize) -> bool {
        matches!(self, Self::Hubs) && host < 2
    }

    /// Whether two hosts are in one network at all.
    pub(super) const fn are_neighbours(self, a: usize, b: usize) -> bool {
        !matches!(self, Self::Hubs) || self.is_hub(a) || self.is_hub(b) || a % 2 == b % 2
    }

    pub(super) const fn room(self, host: usize) -> Room {
        match (self, host % 4) {
            (Self::Open | Self::Removal | Self::Hubs | Self::ClientServer, _)
            | (Self::Rooms, 3) => Room::Open,
            (Self::Star, _) => Room::Star,
            (Self::Forgers, 3) => Room::Forger,
            (Self::Rooms, 1) => Room::Closed("481-517"),
            (Self::Rooms | Self::Forgers, _) => Room::Closed("481-516"),
        }
    }

    /// What a host asks for.
    pub(super) fn admission(self, host: usize, hosts: usize) -> Admission {
        let key = |number: usize| {
            let byte = u8::try_from(number).unwrap_or_default();
            Admission::preshared_key(format!("key {number}"), [byte; 32])
        };
        match self.room(host) {
            Room::Open => Admission::open(),
            Room::Closed(code) => Admission::passcode(code),
            Room::Forger => Admission::passcode("000-000"),
            Room::Star if host == 0 => {
                (1..hosts).map(key).reduce(Admission::or).unwrap_or_default()
            }
            Room::Star => key(host),
        }
    }
}
