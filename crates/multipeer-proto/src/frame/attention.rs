//! Frames about whether anybody looks at a peer, and what becomes of links where nobody does.

use minicbor::{Decode, Encode};

use super::codec;
use crate::id::PeerId;

/// Asks the person behind the receiver to look.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Nudge {
    /// Why; at most 256 bytes, possibly none.
    #[n(0)]
    pub text: String,
}

/// Says whether anybody looks at the sender.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attention {
    /// Whether the sender is in the background.
    #[n(0)]
    pub background: bool,
}

/// Asks for the rest of the link, which the sender uses for nothing new until it is answered: with the same and a goodbye,
/// or with this saying no.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rest {
    /// Whether the sender wants it.
    #[n(0)]
    pub wanted: bool,
    /// At most three members who would notice that the sender is gone: none if it does not want it.
    #[n(1)]
    #[cbor(with = "codec::ids")]
    pub witnesses: Vec<PeerId>,
}

/// Says that a member does not answer the sender any more, or has left: a hint for those whose links to it rest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Missing {
    /// Who.
    #[n(0)]
    pub peer: PeerId,
}
