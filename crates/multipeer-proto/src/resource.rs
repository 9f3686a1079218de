//! Resources: files, folders and data that are sent whole, verified, and resumed.
//!
//! Each transfer runs over a stream of its own, and survives it: [`Sending`] and [`Receiving`] are
//! made anew for each stream, and what the receiver has on its disk tells where to go on. They
//! decide and count; reading, writing and hashing are the driver's. docs/protocol.md, "Resources".

mod frame;
mod hash;
mod path;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;

pub use self::{
    frame::{
        Block, Entries, Entry, EntryKind, Failure, FailureReason, FileEnd, Have, Offer, Paused,
        Received, Refusal, RefusalReason, ResourceDecoder, ResourceFrame, ResourceKind, TransferId,
    },
    hash::{BlockHash, BlockHasher, Hash, TreeHash, hash_block},
    path::{
        EntryPath, LinkTarget, PathError, SafeNames, check_component, numbered, safe_component,
    },
    receiving::{ReceiveLimits, ReceiveStep, Receiving},
    sending::{SendStep, Sending},
};

/// A transfer that failed: why, of which entry, and on which side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}{}", side(*.by_peer), detail(.text))]
pub struct TransferFailure {
    /// Why.
    pub reason: FailureReason,
    /// Particulars for people, the file's name among them; possibly none.
    pub text: String,
    /// Whether the other side said so.
    pub by_peer: bool,
}

fn side(by_peer: bool) -> &'static str {
    if by_peer { "the other side says: " } else { "" }
}

fn detail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl TransferFailure {
    /// A failure on this side.
    pub fn new(reason: FailureReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), by_peer: false }
    }

    /// What to tell the other side.
    pub fn to_frame(&self) -> ResourceFrame {
        let cut = self.text.floor_char_boundary(crate::limits::MAX_TEXT_BYTES);
        let text = self.text[..cut].to_owned();
        ResourceFrame::Failed(Failure { reason: self.reason, text })
    }
}

impl From<Failure> for TransferFailure {
    fn from(failure: Failure) -> Self {
        Self { reason: failure.reason, text: failure.text, by_peer: true }
    }
}
