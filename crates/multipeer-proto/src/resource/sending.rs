//! The sender's side of a transfer, on one stream.

use std::collections::{BTreeMap, VecDeque};

use super::{
    TransferFailure,
    frame::{
        Block, Entries, Entry, EntryKind, FailureReason, FileEnd, Offer, Received, RefusalReason,
        ResourceFrame,
    },
    hash::{BlockHash, Hash, TreeHash},
};
use crate::limits::MAX_ENTRIES_PER_FRAME;

/// Bytes of names in one frame of entries, about: a frame has room for two of these.
const ENTRIES_FRAME_BYTES: usize = 24 * 1024;

/// What the driver is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendStep {
    /// Send this.
    Frame(ResourceFrame),
    /// Read a block, hash it, and call [`Sending::handle_block`]; or, at the end of the file,
    /// [`Sending::handle_end_of_file`].
    Read {
        /// Of which entry.
        entry: usize,
        /// Which one.
        index: u64,
    },
    /// Send the block that was just read.
    Block(Block),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody has answered yet.
    Offered,
    /// The next entry to be told of.
    Listing(usize),
    /// The receiver says what it has.
    Waiting,
    /// The file that comes next is this entry, or one behind it.
    Next(usize),
    /// The entry and the block that come next.
    Reading { entry: usize, index: u64 },
    /// Everything was sent.
    Sent,
    /// The receiver has everything.
    Done,
}

/// The sender's side of a transfer, on one stream.
///
/// Call [`handle`](Self::handle) for each frame from the receiver, and do what
/// [`poll`](Self::poll) says until it says nothing.
#[derive(Debug)]
pub struct Sending {
    offer: Offer,
    entries: Vec<Entry>,
    phase: Phase,
    /// Told once.
    outbox: VecDeque<ResourceFrame>,
    /// A block is being read.
    reading: bool,
    block: Option<Block>,
    /// What the receiver has of each entry, by the number of the first block.
    have: BTreeMap<usize, Vec<Hash>>,
    tree: TreeHash,
    /// Bytes of the file that is being read, so far.
    file_bytes: u64,
    sent_bytes: u64,
    received: Received,
    refused: Option<(RefusalReason, String)>,
    peer_paused: bool,
}

impl Sending {
    /// Begins with an offer. `entries` are what it is made of.
    pub fn new(offer: Offer, entries: Vec<Entry>) -> Self {
        let outbox = VecDeque::from([ResourceFrame::Offer(offer.clone())]);
        Self {
            offer,
            entries,
            phase: Phase::Offered,
            outbox,
            reading: false,
            block: None,
            have: BTreeMap::new(),
            tree: TreeHash::default(),
            file_bytes: 0,
            sent_bytes: 0,
            received: Received::default(),
            refused: None,
            peer_paused: false,
        }
    }

    /// Takes a frame from the receiver.
    pub fn handle(&mut self, frame: ResourceFrame) -> Result<(), TransferFailure> {
        match (frame, &self.phase) {
            (ResourceFrame::Accept, Phase::Offered) => self.phase = Phase::Listing(0),
            (ResourceFrame::Refuse(refusal), Phase::Offered) => {
                self.refused = Some((refusal.reason, refusal.text));
            }
            (ResourceFrame::Have(have), Phase::Waiting) => {
                let entry = usize::try_from(have.entry).ok();
                let entry = entry.filter(|&entry| self.is_file(entry));
                let known = self.have.entry(entry.ok_or_else(broken)?).or_default();
                // More than the file has cannot be used, and must not be kept.
                if have.first != known.len() as u64 {
                    return Err(broken());
                }
                known.extend(have.hashes);
                let most = self.entries[entry.unwrap_or_default()]
                    .size
                    .map_or(u64::MAX, |size| size.div_ceil(self.offer.block_bytes));
                known.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            }
            (ResourceFrame::HaveEnd, Phase::Waiting) => self.phase = Phase::Next(0),
            (ResourceFrame::Received(received), _) => {
                self.received = self.received.max(received);
            }
            (ResourceFrame::Done, Phase::Sent) => self.phase = Phase::Done,
            (ResourceFrame::Failed(failure), _) => return Err(failure.into()),
            (ResourceFrame::Paused(paused), _) => self.peer_paused = paused.paused,
            _ => return Err(broken()),
        }
        Ok(())
    }

    /// What is to be done next; nothing while the other side, or a block, is waited for.
    pub fn poll(&mut self) -> Option<SendStep> {
        if let Some(block) = self.block.take() {
            return Some(SendStep::Block(block));
        }
        if let Some(frame) = self.outbox.pop_front() {
            return Some(SendStep::Frame(frame));
        }
        if let Phase::Next(entry) = self.phase {
            self.begin_file(entry);
            return self.poll();
        }
        match self.phase {
            Phase::Listing(next) => Some(SendStep::Frame(self.list(next))),
            Phase::Reading { entry, index } if !self.reading => {
                self.reading = true;
                Some(SendStep::Read { entry, index })
            }
            _ => None,
        }
    }

    /// The block that was to be read.
    pub fn handle_block(&mut self, hash: &BlockHash) -> Result<(), TransferFailure> {
        let Phase::Reading { entry, index } = self.phase else { return Err(broken()) };
        self.reading = false;
        let bytes = hash.bytes as u64;
        self.file_bytes += bytes;
        self.tree.push(hash);
        let size = self.entries[entry].size;
        if size.is_some_and(|size| self.file_bytes > size) {
            return Err(self.changed(entry));
        }
        let had = self.have.get(&entry).and_then(|known| known.get(usize::try_from(index).ok()?));
        if had != Some(&hash.subtree) {
            self.sent_bytes += bytes;
            let entry = entry as u64;
            self.block = Some(Block { entry, index, hash: hash.subtree, bytes });
        }
        if size == Some(self.file_bytes) {
            self.end_file(entry);
        } else if bytes < self.offer.block_bytes {
            // Only the last block is short.
            if size.is_some() {
                return Err(self.changed(entry));
            }
            self.end_file(entry);
        } else {
            self.phase = Phase::Reading { entry, index: index + 1 };
        }
        Ok(())
    }

    /// The block that was to be read is behind the end of the file.
    pub fn handle_end_of_file(&mut self) -> Result<(), TransferFailure> {
        let Phase::Reading { entry, .. } = self.phase else { return Err(broken()) };
        self.reading = false;
        if self.entries[entry].size.is_some_and(|size| size != self.file_bytes) {
            return Err(self.changed(entry));
        }
        self.end_file(entry);
        Ok(())
    }

    /// Why the receiver refused, if it did.
    pub fn refusal(&self) -> Option<&(RefusalReason, String)> {
        self.refused.as_ref()
    }

    /// Whether the receiver takes the transfer.
    pub fn is_accepted(&self) -> bool {
        self.phase != Phase::Offered
    }

    /// Whether the receiver has everything, and where it belongs.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether the receiver pauses.
    pub fn is_paused_by_peer(&self) -> bool {
        self.peer_paused
    }

    /// What the receiver has, as it says itself.
    pub fn received(&self) -> Received {
        self.received
    }

    /// Bytes of blocks that were sent over this stream.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    fn is_file(&self, entry: usize) -> bool {
        self.entries.get(entry).is_some_and(|entry| entry.kind == EntryKind::File)
    }

    /// The next entries, and where to go on.
    fn list(&mut self, mut next: usize) -> ResourceFrame {
        if next >= self.entries.len() {
            self.phase = Phase::Waiting;
            return ResourceFrame::EntriesEnd;
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = self.entries.get(next)
            && entries.len() < MAX_ENTRIES_PER_FRAME
            && bytes < ENTRIES_FRAME_BYTES
        {
            bytes += entry.listing_bytes();
            entries.push(entry.clone());
            next += 1;
        }
        self.phase = Phase::Listing(next);
        ResourceFrame::Entries(Entries { entries })
    }

    fn begin_file(&mut self, from: usize) {
        self.tree = TreeHash::default();
        self.file_bytes = 0;
        let entry = (from..self.entries.len()).find(|&entry| self.is_file(entry));
        match entry {
            Some(entry) if self.entries[entry].size == Some(0) => self.end_file(entry),
            Some(entry) => self.phase = Phase::Reading { entry, index: 0 },
            None => {
                self.outbox.push_back(ResourceFrame::End);
                self.phase = Phase::Sent;
            }
        }
    }

    fn end_file(&mut self, entry: usize) {
        let hash = std::mem::take(&mut self.tree).finish();
        let end = FileEnd { entry: entry as u64, size: self.file_bytes, hash };
        self.outbox.push_back(ResourceFrame::FileEnd(end));
        self.phase = Phase::Next(entry + 1);
    }

    fn changed(&self, entry: usize) -> TransferFailure {
        let path = self.entries[entry].path.to_string();
        let name = if path.is_empty() { self.offer.name.clone() } else { path };
        TransferFailure::new(FailureReason::SourceChanged, name)
    }
}

fn broken() -> TransferFailure {
    TransferFailure::new(FailureReason::Protocol, "a frame out of turn")
}
