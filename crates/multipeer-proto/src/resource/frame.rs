//! What the two sides of a transfer say to each other on its stream: frames as on the control
//! stream, and blocks, whose bytes follow their frame.

use bytes::{Bytes, BytesMut};
use minicbor::{Decode, Encode};

use super::{
    hash::Hash,
    path::{EntryPath, check_component},
};
use crate::{
    frame::{FrameError, codec},
    limits::{
        MAX_BLOCK_BYTES, MAX_ENTRIES_PER_FRAME, MAX_HASHES_PER_FRAME, MAX_PATH_BYTES,
        MAX_TEXT_BYTES,
    },
};

/// The sender's number for a transfer: random, and the same on each stream that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct TransferId(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 16],
);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum ResourceKind {
    /// A file.
    #[n(0)]
    File,
    /// A folder with all that is in it.
    #[n(1)]
    Folder,
    /// Bytes that were no file: a buffer, a reader, the answer to an HTTP request.
    #[n(2)]
    Data,
}

/// The first frame, from the sender.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Offer {
    /// Which transfer.
    #[n(0)]
    pub transfer: TransferId,
    /// What.
    #[n(1)]
    pub kind: ResourceKind,
    /// Its name: one component of a path.
    #[n(2)]
    pub name: String,
    /// Bytes in all its files together, if that is known.
    #[n(3)]
    pub size: Option<u64>,
    /// Files, folders and links in it; 1 for what is sent alone.
    #[n(4)]
    pub entries: u64,
    /// Bytes in a block: a power of two from 1 KiB to 4 MiB.
    #[n(5)]
    pub block_bytes: u64,
}

/// Refuses a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refusal {
    /// Why.
    #[n(0)]
    pub reason: RefusalReason,
    /// Words for people, possibly none.
    #[n(1)]
    pub text: String,
}

/// Why a transfer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The user, or the application, said no.
    #[n(0)]
    #[error("declined by the other side")]
    Declined,
    /// It is larger than the receiver takes, or has more entries.
    #[n(1)]
    #[error("larger than the receiver takes")]
    TooLarge,
    /// There is no room for it on the receiver's disk.
    #[n(2)]
    #[error("the receiver's disk has no room for it")]
    NoRoom,
    /// The receiver cannot write where it should go.
    #[n(3)]
    #[error("the receiver cannot write it")]
    NotWritable,
    /// Its name is not acceptable.
    #[n(4)]
    #[error("its name is not acceptable")]
    Name,
    /// Too many transfers wait for an answer.
    #[n(5)]
    #[error("too many transfers wait for an answer there")]
    Busy,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum EntryKind {
    /// A file.
    #[n(0)]
    File,
    /// A folder.
    #[n(1)]
    Folder,
    /// A symbolic link.
    #[n(2)]
    Link,
}

/// A file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Where; a folder comes before what is in it.
    #[n(0)]
    pub path: EntryPath,
    /// What.
    #[n(1)]
    pub kind: EntryKind,
    /// Bytes in the file, if that is known.
    #[n(2)]
    pub size: Option<u64>,
    /// Whether the file can be run.
    #[n(3)]
    pub executable: bool,
    /// Milliseconds between 1970-01-01 00:00 UTC and its last change.
    #[n(4)]
    pub modified_millis: Option<i64>,
    /// Where the link leads.
    #[n(5)]
    pub target: Option<String>,
}

impl Entry {
    /// What the entry counts for towards [`MAX_LISTING_BYTES`](crate::limits::MAX_LISTING_BYTES).
    pub fn listing_bytes(&self) -> usize {
        let names: usize = self.path.components().iter().map(String::len).sum();
        64 + names + self.target.as_ref().map_or(0, String::len)
    }
}

/// Some of the entries.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entries {
    /// At most 128 of them.
    #[n(0)]
    pub entries: Vec<Entry>,
}

/// Blocks that the receiver has from before.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Have {
    /// Of which entry.
    #[n(0)]
    pub entry: u64,
    /// The number of the first of them.
    #[n(1)]
    pub first: u64,
    /// The hash of each, at most 1024.
    #[n(2)]
    pub hashes: Vec<Hash>,
}

/// A block; its bytes follow the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Block {
    /// Of which entry.
    #[n(0)]
    pub entry: u64,
    /// Its number, from 0.
    #[n(1)]
    pub index: u64,
    /// The hash of its subtree.
    #[n(2)]
    pub hash: Hash,
    /// Its length.
    #[n(3)]
    pub bytes: u64,
}

/// A file is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FileEnd {
    /// Which entry.
    #[n(0)]
    pub entry: u64,
    /// Its length in bytes.
    #[n(1)]
    pub size: u64,
    /// BLAKE3 of all of it.
    #[n(2)]
    pub hash: Hash,
}

/// How far the receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(map)]
pub struct Received {
    /// Bytes that it has, those from before included.
    #[n(0)]
    pub bytes: u64,
    /// Files of which it has every byte.
    #[n(1)]
    pub files: u64,
}

/// Ends a transfer from either side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Failure {
    /// Why.
    #[n(0)]
    pub reason: FailureReason,
    /// Words for people, possibly none.
    #[n(1)]
    pub text: String,
}

/// Says that its sender pauses, or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Paused {
    /// Whether it pauses.
    #[n(0)]
    pub paused: bool,
}

/// A frame of which the type says all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Empty {}

/// Why a transfer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum FailureReason {
    /// Someone cancelled it.
    #[n(0)]
    #[error("cancelled")]
    Cancelled,
    /// The source changed while it was sent.
    #[n(1)]
    #[error("the source changed meanwhile")]
    SourceChanged,
    /// The source cannot be read.
    #[n(2)]
    #[error("the source cannot be read")]
    SourceUnreadable,
    /// The receiver's disk is full.
    #[n(3)]
    #[error("the disk is full")]
    NoRoom,
    /// The receiver cannot write.
    #[n(4)]
    #[error("cannot write")]
    NotWritable,
    /// A name is not acceptable.
    #[n(5)]
    #[error("a name is not acceptable")]
    Name,
    /// What comes is not what was offered.
    #[n(6)]
    #[error("not what was offered")]
    NotAsOffered,
    /// A hash is wrong.
    #[n(7)]
    #[error("the data does not verify")]
    Corrupt,
    /// A frame breaks the protocol.
    #[n(8)]
    #[error("the protocol was broken")]
    Protocol,
    /// A session is over.
    #[n(9)]
    #[error("the session is over")]
    Over,
}

/// One frame of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is documented at the type that it holds.
pub enum ResourceFrame {
    Offer(Offer),
    /// The receiver takes the transfer.
    Accept,
    Refuse(Refusal),
    Entries(Entries),
    /// There are no more entries.
    EntriesEnd,
    Have(Have),
    /// The receiver has no more.
    HaveEnd,
    Block(Block),
    FileEnd(FileEnd),
    /// Everything was sent.
    End,
    Received(Received),
    /// Everything arrived and is where it belongs.
    Done,
    Failed(Failure),
    Paused(Paused),
}

impl ResourceFrame {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let (kind, body) = match self {
            Self::Offer(body) => (0x01, codec::to_cbor(body)),
            Self::Accept => (0x02, codec::to_cbor(&Empty {})),
            Self::Refuse(body) => (0x03, codec::to_cbor(body)),
            Self::Entries(body) => (0x04, codec::to_cbor(body)),
            Self::EntriesEnd => (0x05, codec::to_cbor(&Empty {})),
            Self::Have(body) => (0x06, codec::to_cbor(body)),
            Self::HaveEnd => (0x07, codec::to_cbor(&Empty {})),
            Self::Block(body) => (0x08, codec::to_cbor(body)),
            Self::FileEnd(body) => (0x09, codec::to_cbor(body)),
            Self::End => (0x0a, codec::to_cbor(&Empty {})),
            Self::Received(body) => (0x0b, codec::to_cbor(body)),
            Self::Done => (0x0c, codec::to_cbor(&Empty {})),
            Self::Failed(body) => (0x0d, codec::to_cbor(body)),
            Self::Paused(body) => (0x0e, codec::to_cbor(body)),
        };
        codec::write_frame(kind, &body, out);
    }

    fn decode(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        let frame = match kind {
            0x01 => codec::from_cbor(body).map(Self::Offer),
            0x02 => codec::from_cbor(body).map(|Empty {}| Self::Accept),
            0x03 => codec::from_cbor(body).map(Self::Refuse),
            0x04 => codec::from_cbor(body).map(Self::Entries),
            0x05 => codec::from_cbor(body).map(|Empty {}| Self::EntriesEnd),
            0x06 => codec::from_cbor(body).map(Self::Have),
            0x07 => codec::from_cbor(body).map(|Empty {}| Self::HaveEnd),
            0x08 => codec::from_cbor(body).map(Self::Block),
            0x09 => codec::from_cbor(body).map(Self::FileEnd),
            0x0a => codec::from_cbor(body).map(|Empty {}| Self::End),
            0x0b => codec::from_cbor(body).map(Self::Received),
            0x0c => codec::from_cbor(body).map(|Empty {}| Self::Done),
            0x0d => codec::from_cbor(body).map(Self::Failed),
            0x0e => codec::from_cbor(body).map(Self::Paused),
            _ => return Err(FrameError::UnknownType { kind }),
        };
        let frame = frame.map_err(|problem| FrameError::Malformed { kind, problem })?;
        check(&frame).map_err(|problem| FrameError::Malformed { kind, problem })?;
        Ok(frame)
    }
}

/// What the shape of the frame does not limit by itself.
fn check(frame: &ResourceFrame) -> Result<(), String> {
    let block_bytes = 1024..=MAX_BLOCK_BYTES;
    let fits = match frame {
        ResourceFrame::Offer(offer) => {
            check_component(&offer.name).map_err(|error| error.to_string())?;
            offer.block_bytes.is_power_of_two() && block_bytes.contains(&offer.block_bytes)
        }
        ResourceFrame::Refuse(refusal) => refusal.text.len() <= MAX_TEXT_BYTES,
        ResourceFrame::Failed(failure) => failure.text.len() <= MAX_TEXT_BYTES,
        ResourceFrame::Entries(list) => {
            let target_fits =
                |e: &Entry| e.target.as_ref().is_none_or(|target| target.len() <= MAX_PATH_BYTES);
            list.entries.len() <= MAX_ENTRIES_PER_FRAME && list.entries.iter().all(target_fits)
        }
        ResourceFrame::Have(have) => have.hashes.len() <= MAX_HASHES_PER_FRAME,
        ResourceFrame::Block(block) => (1..=MAX_BLOCK_BYTES).contains(&block.bytes),
        _ => true,
    };
    if fits { Ok(()) } else { Err("a field is out of its range".to_owned()) }
}

/// Takes a stream's bytes as they come and gives its frames, and the bytes of blocks.
///
/// It holds what was given to it and not taken out yet.
#[derive(Debug, Default)]
pub struct ResourceDecoder {
    buffer: BytesMut,
}

impl ResourceDecoder {
    /// Adds bytes from the stream. Take out what is there before adding more.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one. After a [`Block`], take its bytes first.
    pub fn poll_frame(&mut self) -> Result<Option<ResourceFrame>, FrameError> {
        codec::poll_frame(&mut self.buffer, ResourceFrame::decode)
    }

    /// Takes bytes of a block, as many as there are and at most so many.
    pub fn take_bytes(&mut self, at_most: usize) -> Bytes {
        let count = self.buffer.len().min(at_most);
        self.buffer.split_to(count).freeze()
    }
}
