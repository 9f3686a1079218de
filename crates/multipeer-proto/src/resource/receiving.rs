//! The receiver's side of a transfer, on one stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    TransferFailure,
    frame::{
        Block, Entry, EntryKind, FailureReason, FileEnd, Have, Offer, Received, Refusal,
        RefusalReason, ResourceFrame,
    },
    hash::{BlockHash, TreeHash},
    path::{EntryPath, LinkTarget},
};
use crate::limits::{DEFAULT_MAX_ENTRIES, MAX_HASHES_PER_FRAME, MAX_LISTING_BYTES};

/// Bytes after which the sender is told how far the receiver is.
const REPORT_EVERY_BYTES: u64 = 1024 * 1024;
/// Files after which it is told, too.
const REPORT_EVERY_FILES: u64 = 256;

/// What a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Bytes in all files of a resource together.
    pub max_bytes: u64,
    /// Files, folders and links in a resource.
    pub max_entries: u64,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self { max_bytes: u64::MAX, max_entries: DEFAULT_MAX_ENTRIES }
    }
}

/// What the driver is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveStep {
    /// Send this.
    Frame(ResourceFrame),
    /// All entries are known: make the folders, look what is there from before, call
    /// [`Receiving::handle_existing`] for each file of which there is something, and then
    /// [`Receiving::handle_prepared`].
    Prepare,
    /// Read the block's bytes off the stream, hash them, call [`Receiving::handle_block`], and
    /// write them if it agrees.
    ReadBlock(Block),
    /// The file is complete and verified: cut it to its length, and set what its entry says.
    FinishFile {
        /// Which entry.
        entry: usize,
        /// Its length in bytes.
        size: u64,
    },
    /// Everything is there: make the links, put all in its place, and call
    /// [`Receiving::handle_completed`].
    Complete,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Offered,
    Listing,
    Preparing,
    /// The entry whose blocks come, and how many came.
    Receiving,
    Completing,
    Done,
}

/// The receiver's side of a transfer, on one stream.
///
/// Call [`handle`](Self::handle) for each frame from the sender, and do what
/// [`poll`](Self::poll) says until it says nothing.
#[derive(Debug)]
pub struct Receiving {
    offer: Offer,
    limits: ReceiveLimits,
    phase: Phase,
    steps: VecDeque<ReceiveStep>,
    entries: Vec<Entry>,
    paths: BTreeSet<EntryPath>,
    folders: BTreeSet<EntryPath>,
    /// What the names of all entries come to.
    listing_bytes: usize,
    listed_bytes: u64,
    /// What is on the disk from before, by entry.
    existing: BTreeMap<usize, Vec<BlockHash>>,
    /// The file whose blocks come.
    entry: usize,
    tree: TreeHash,
    file_bytes: u64,
    expected: Option<Block>,
    /// What is verified.
    received: Received,
    reported: Received,
    peer_paused: bool,
}

impl Receiving {
    /// Takes an offer to be decided on. Fails when it is more than the limits allow.
    pub fn new(offer: Offer, limits: ReceiveLimits) -> Result<Self, RefusalReason> {
        let single = offer.kind != super::ResourceKind::Folder;
        if offer.size.is_some_and(|size| size > limits.max_bytes)
            || offer.entries > limits.max_entries
            || (single && offer.entries != 1)
        {
            return Err(RefusalReason::TooLarge);
        }
        Ok(Self {
            offer,
            limits,
            phase: Phase::Offered,
            steps: VecDeque::new(),
            entries: Vec::new(),
            paths: BTreeSet::new(),
            folders: BTreeSet::new(),
            listing_bytes: 0,
            listed_bytes: 0,
            existing: BTreeMap::new(),
            entry: 0,
            tree: TreeHash::default(),
            file_bytes: 0,
            expected: None,
            received: Received::default(),
            reported: Received::default(),
            peer_paused: false,
        })
    }

    /// What is offered.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What it is made of, as far as it is known.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes the offer.
    pub fn accept(&mut self) {
        if self.phase == Phase::Offered {
            self.phase = Phase::Listing;
            self.steps.push_back(ReceiveStep::Frame(ResourceFrame::Accept));
        }
    }

    /// The frame that refuses an offer.
    pub fn refusal(reason: RefusalReason, text: impl Into<String>) -> ResourceFrame {
        ResourceFrame::Refuse(Refusal { reason, text: text.into() })
    }

    /// Takes a frame from the sender.
    pub fn handle(&mut self, frame: ResourceFrame) -> Result<(), TransferFailure> {
        match (frame, &self.phase) {
            (ResourceFrame::Entries(list), Phase::Listing) => {
                for entry in list.entries {
                    self.add_entry(entry)?;
                }
            }
            (ResourceFrame::EntriesEnd, Phase::Listing) => {
                if self.entries.len() as u64 != self.offer.entries {
                    return Err(not_as_offered("the number of entries"));
                }
                let known = self.entries.iter().filter(|entry| entry.kind == EntryKind::File);
                let all_known = known.map(|entry| entry.size).sum::<Option<u64>>();
                if self.offer.size.is_some() && all_known != self.offer.size {
                    return Err(not_as_offered("the size"));
                }
                self.phase = Phase::Preparing;
                self.steps.push_back(ReceiveStep::Prepare);
            }
            (ResourceFrame::Block(block), Phase::Receiving) => self.expect(block)?,
            (ResourceFrame::FileEnd(end), Phase::Receiving) => self.end_file(end)?,
            (ResourceFrame::End, Phase::Receiving) => {
                if self.next_file(self.entry).is_some() {
                    return Err(not_as_offered("a file is missing"));
                }
                self.report(true);
                self.phase = Phase::Completing;
                self.steps.push_back(ReceiveStep::Complete);
            }
            (ResourceFrame::Failed(failure), _) => return Err(failure.into()),
            (ResourceFrame::Paused(paused), _) => self.peer_paused = paused.paused,
            _ => return Err(broken()),
        }
        Ok(())
    }

    /// What is to be done next; nothing while the sender is waited for.
    pub fn poll(&mut self) -> Option<ReceiveStep> {
        self.steps.pop_front()
    }

    /// Blocks of a file that are on the disk from before, from its first one on.
    pub fn handle_existing(&mut self, entry: usize, blocks: Vec<BlockHash>) {
        let block_bytes = self.offer.block_bytes;
        // Only the last block of a file is short, and a short one may have grown meanwhile.
        let size = self.entries.get(entry).and_then(|entry| entry.size);
        let whole = |index: usize, block: &BlockHash| {
            let end = index as u64 * block_bytes + block.bytes as u64;
            block.bytes as u64 == block_bytes || size == Some(end)
        };
        let usable = blocks.iter().enumerate().take_while(|(index, block)| whole(*index, block));
        let usable = usable.count();
        self.existing.insert(entry, blocks.into_iter().take(usable).collect());
    }

    /// The folders are there, and what is on the disk is known.
    pub fn handle_prepared(&mut self) {
        for (&entry, blocks) in &self.existing {
            for (part, hashes) in blocks.chunks(MAX_HASHES_PER_FRAME).enumerate() {
                let first = (part * MAX_HASHES_PER_FRAME) as u64;
                let hashes = hashes.iter().map(|block| block.subtree).collect();
                let have = Have { entry: entry as u64, first, hashes };
                self.steps.push_back(ReceiveStep::Frame(ResourceFrame::Have(have)));
            }
        }
        self.steps.push_back(ReceiveStep::Frame(ResourceFrame::HaveEnd));
        self.phase = Phase::Receiving;
    }

    /// The bytes of a block were read and hashed. Fails when they are not what was announced;
    /// otherwise they may be written.
    pub fn handle_block(&mut self, hash: &BlockHash) -> Result<(), TransferFailure> {
        let block = self.expected.take().ok_or_else(broken)?;
        if hash.subtree != block.hash || hash.bytes as u64 != block.bytes {
            let text = format!("{} at block {}", self.name_of(self.entry), block.index);
            return Err(TransferFailure::new(FailureReason::Corrupt, text));
        }
        self.push(hash);
        self.report(false);
        Ok(())
    }

    /// Everything is in its place.
    pub fn handle_completed(&mut self) {
        if self.phase == Phase::Completing {
            self.phase = Phase::Done;
            self.steps.push_back(ReceiveStep::Frame(ResourceFrame::Done));
        }
    }

    /// Whether everything is in its place.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether the sender pauses.
    pub fn is_paused_by_peer(&self) -> bool {
        self.peer_paused
    }

    /// What is there and verified, that from before included.
    pub fn received(&self) -> Received {
        self.received
    }

    /// What an entry is called, for people.
    pub fn name_of(&self, entry: usize) -> String {
        let path = self.entries.get(entry).map(|entry| entry.path.to_string());
        path.filter(|path| !path.is_empty()).unwrap_or_else(|| self.offer.name.clone())
    }

    fn add_entry(&mut self, entry: Entry) -> Result<(), TransferFailure> {
        if self.entries.len() as u64 >= self.offer.entries {
            return Err(not_as_offered("the number of entries"));
        }
        self.listing_bytes += entry.listing_bytes();
        if self.listing_bytes > MAX_LISTING_BYTES {
            return Err(TransferFailure::new(FailureReason::Name, TOO_LONG));
        }
        let alone = self.offer.kind != super::ResourceKind::Folder;
        let in_place = match entry.path.split_last() {
            None => alone && entry.kind == EntryKind::File,
            Some((parent, _)) => {
                let parent_is_folder =
                    parent.components().is_empty() || self.folders.contains(&parent);
                !alone && parent_is_folder
            }
        };
        if !in_place || !self.paths.insert(entry.path.clone()) {
            return Err(TransferFailure::new(FailureReason::Name, entry.path.to_string()));
        }
        match entry.kind {
            EntryKind::Folder => _ = self.folders.insert(entry.path.clone()),
            EntryKind::Link => {
                let target = entry.target.as_deref().unwrap_or_default();
                LinkTarget::new(&entry.path, target).map_err(|error| {
                    let text = format!("{}: {error}", entry.path);
                    TransferFailure::new(FailureReason::Name, text)
                })?;
            }
            EntryKind::File => {
                let sum = self.listed_bytes.checked_add(entry.size.unwrap_or(0));
                self.listed_bytes = sum.ok_or_else(|| not_as_offered("the size"))?;
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    /// A block comes: it must be of the next file that is not complete, and behind what came.
    fn expect(&mut self, block: Block) -> Result<(), TransferFailure> {
        if self.expected.is_some() {
            return Err(broken());
        }
        let entry = self.next_file(self.entry).ok_or_else(broken)?;
        if block.entry != entry as u64 {
            return Err(broken());
        }
        self.entry = entry;
        // What is left out, the receiver has.
        self.take_existing(block.index)?;
        let end = self.file_bytes.checked_add(block.bytes).ok_or_else(broken)?;
        if self.entries[entry].size.is_some_and(|size| end > size)
            || block.bytes > self.offer.block_bytes
            || self.file_bytes != block.index.saturating_mul(self.offer.block_bytes)
        {
            return Err(not_as_offered(&self.name_of(entry)));
        }
        if self.received.bytes.saturating_add(block.bytes) > self.limits.max_bytes {
            return Err(not_as_offered("more bytes than are taken"));
        }
        self.expected = Some(block);
        self.steps.push_back(ReceiveStep::ReadBlock(block));
        Ok(())
    }

    /// Counts the blocks of the present file from before, up to this one.
    fn take_existing(&mut self, until: u64) -> Result<(), TransferFailure> {
        while self.tree.blocks() < until {
            let index = usize::try_from(self.tree.blocks()).unwrap_or(usize::MAX);
            let existing = self.existing.get(&self.entry);
            let block = existing.and_then(|blocks| blocks.get(index)).copied();
            let block = block.ok_or_else(|| not_as_offered("a block was left out"))?;
            self.push(&block);
        }
        if self.tree.blocks() == until { Ok(()) } else { Err(broken()) }
    }

    fn push(&mut self, block: &BlockHash) {
        self.tree.push(block);
        self.file_bytes += block.bytes as u64;
        self.received.bytes += block.bytes as u64;
    }

    fn end_file(&mut self, end: FileEnd) -> Result<(), TransferFailure> {
        let entry = self.next_file(self.entry).ok_or_else(broken)?;
        if end.entry != entry as u64 || self.expected.is_some() {
            return Err(broken());
        }
        self.entry = entry;
        let block_bytes = self.offer.block_bytes;
        self.take_existing(end.size.div_ceil(block_bytes).max(self.tree.blocks()))?;
        let as_listed = self.entries[entry].size.is_none_or(|size| size == end.size);
        if self.file_bytes != end.size || !as_listed {
            return Err(not_as_offered(&self.name_of(entry)));
        }
        if std::mem::take(&mut self.tree).finish() != end.hash {
            return Err(TransferFailure::new(FailureReason::Corrupt, self.name_of(entry)));
        }
        self.file_bytes = 0;
        self.entry = entry + 1;
        self.received.files += 1;
        self.steps.push_back(ReceiveStep::FinishFile { entry, size: end.size });
        self.report(false);
        Ok(())
    }

    fn next_file(&self, from: usize) -> Option<usize> {
        (from..self.entries.len()).find(|&entry| self.entries[entry].kind == EntryKind::File)
    }

    /// Tells the sender how far this side is, now and then.
    fn report(&mut self, now: bool) {
        let (received, reported) = (self.received, self.reported);
        if now
            || received.bytes - reported.bytes >= REPORT_EVERY_BYTES
            || received.files - reported.files >= REPORT_EVERY_FILES
        {
            self.reported = received;
            self.steps.push_back(ReceiveStep::Frame(ResourceFrame::Received(received)));
        }
    }
}

fn broken() -> TransferFailure {
    TransferFailure::new(FailureReason::Protocol, "a frame out of turn")
}

const TOO_LONG: &str = "all names together have more than 32 MiB";

fn not_as_offered(what: &str) -> TransferFailure {
    TransferFailure::new(FailureReason::NotAsOffered, what)
}
