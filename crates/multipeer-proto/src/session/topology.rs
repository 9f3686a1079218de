//! Who is linked with whom: everyone with everyone, or clients with their host.

use minicbor::{Decode, Encode};

/// Who is linked with whom in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Topology {
    /// Everyone with everyone.
    #[default]
    Mesh,
    /// Clients with one host, and with nobody else. The host alone invites and removes.
    ClientServer {
        /// What this peer is.
        role: Role,
    },
}

/// What a peer is in a session of clients and a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Linked with all clients.
    #[n(0)]
    Host,
    /// Linked with the host.
    #[n(1)]
    Client,
}

impl Role {
    /// As one word, the same in announcements, in every language and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Client => "client",
        }
    }

    /// What those are with whom a peer of this role is linked.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Host => Self::Client,
            Self::Client => Self::Host,
        }
    }

    /// The role that a word stands for.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Host, Self::Client].into_iter().find(|role| role.as_str() == text)
    }
}

impl Topology {
    /// What a peer is, if there is more than one thing to be.
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Mesh => None,
            Self::ClientServer { role } => Some(role),
        }
    }

    /// Whether a peer with this topology is linked with one that has this role.
    pub(super) fn fits(self, other: Option<Role>) -> bool {
        self.role().map(Role::other) == other
    }

    /// What a peer with this topology is, for people.
    pub(super) const fn as_text(self) -> &'static str {
        match self {
            Self::Mesh => "is a member of a mesh",
            Self::ClientServer { role: Role::Host } => "is the host of clients",
            Self::ClientServer { role: Role::Client } => "is a client",
        }
    }
}
