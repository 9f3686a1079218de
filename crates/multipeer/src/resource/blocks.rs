//! Reading a source block by block: each block once, however many receivers there are.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use multipeer_proto::resource::{
    BlockHash, Entry, EntryKind, FailureReason, TransferFailure, hash_block,
};
use tokio::{
    io::AsyncReadExt,
    sync::{Mutex as AsyncMutex, Notify},
};

use super::{
    kept::Kept,
    source::{BoxReader, modified_millis},
};

/// Whole blocks that are kept.
const KEPT_BLOCKS: usize = 16;
/// Files that are not longer are read ahead, ...
const SHORT_BYTES: u64 = 64 * 1024;
/// ... so many at once, and so many bytes.
const MAX_AHEAD: usize = 256;
const MAX_AHEAD_BYTES: usize = 1024 * 1024;

/// A source that is being sent, to one receiver or to several.
pub(crate) struct Blocks {
    entries: Arc<Vec<Entry>>,
    name: String,
    block_bytes: u64,
    origin: Origin,
    state: Mutex<State>,
    /// One block is read at a time.
    reading: AsyncMutex<()>,
    /// A receiver went on, or away.
    moved: Notify,
}

/// Where the bytes come from.
pub(crate) enum Origin {
    /// The file, or the folder.
    Files(PathBuf),
    Bytes(Bytes),
    Reader(AsyncMutex<BoxReader>),
}

struct State {
    /// The hashes of the blocks that were read, by entry.
    hashes: HashMap<usize, Vec<BlockHash>>,
    /// Entries of which the end is known, and how many blocks they have.
    ends: HashMap<usize, u64>,
    recent: Kept,
    /// The file that is open.
    open: Option<(usize, File)>,
    /// How far each receiver is. Only a source that cannot be read twice waits for the slowest.
    positions: HashMap<u64, u64>,
    next_receiver: u64,
}

impl Blocks {
    pub(crate) fn new(
        origin: Origin,
        name: String,
        entries: Arc<Vec<Entry>>,
        block_bytes: u64,
    ) -> Arc<Self> {
        let kept_bytes = usize::try_from(block_bytes).unwrap_or(usize::MAX);
        let state = Mutex::new(State {
            hashes: HashMap::new(),
            ends: HashMap::new(),
            recent: Kept::new(kept_bytes.saturating_mul(KEPT_BLOCKS)),
            open: None,
            positions: HashMap::new(),
            next_receiver: 0,
        });
        let (reading, moved) = (AsyncMutex::new(()), Notify::new());
        Arc::new(Self { entries, name, block_bytes, origin, state, reading, moved })
    }

    /// The lock is held for a look or a note, never while anything is read.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receiver that follows the source.
    pub(crate) fn follow(self: &Arc<Self>) -> Follower {
        let mut state = self.state();
        let number = state.next_receiver;
        state.next_receiver += 1;
        state.positions.insert(number, 0);
        Follower { blocks: self.clone(), number }
    }

    fn known(&self, entry: usize, index: u64) -> Option<Known> {
        let state = self.state();
        if state.ends.get(&entry).is_some_and(|end| index >= *end) {
            return Some(Known::End);
        }
        let hashes = state.hashes.get(&entry)?;
        hashes.get(usize::try_from(index).ok()?).copied().map(Known::Block)
    }

    fn kept(&self, entry: usize, index: u64) -> Option<Bytes> {
        self.state().recent.get((entry, index))
    }

    fn keep(&self, entry: usize, index: u64, data: Bytes, hash: BlockHash) {
        let mut state = self.state();
        state.recent.insert((entry, index), data);
        let hashes = state.hashes.entry(entry).or_default();
        if hashes.len() as u64 == index {
            hashes.push(hash);
        }
    }

    /// Reads a block, and keeps it. Nothing at the end of the file.
    async fn read(
        self: &Arc<Self>,
        entry: usize,
        index: u64,
    ) -> Result<Option<(Bytes, BlockHash)>, TransferFailure> {
        let read = match &self.origin {
            Origin::Files(_) => {
                let blocks = self.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let read = blocks.read_file(entry, index)?;
                    blocks.read_ahead(entry);
                    Ok(read)
                });
                read.await.unwrap_or_else(|error| Err(self.unreadable(entry, error)))?
            }
            Origin::Bytes(bytes) => {
                let start = usize::try_from(index * self.block_bytes).unwrap_or(usize::MAX);
                let start = start.min(bytes.len());
                let length = usize::try_from(self.block_bytes).unwrap_or(usize::MAX);
                let data = bytes.slice(start..bytes.len().min(start.saturating_add(length)));
                self.hashed(index, data)
            }
            Origin::Reader(reader) => {
                let data = self.read_on(reader).await.map_err(|e| self.unreadable(entry, e))?;
                self.hashed(index, data)
            }
        };
        match &read {
            Some((data, hash)) => self.keep(entry, index, data.clone(), *hash),
            None => _ = self.state().ends.insert(entry, index),
        }
        Ok(read)
    }

    fn hashed(&self, index: u64, data: Bytes) -> Option<(Bytes, BlockHash)> {
        if data.is_empty() {
            return None;
        }
        let hash = hash_block(index, self.block_bytes, &data);
        Some((data, hash))
    }

    async fn read_on(&self, reader: &AsyncMutex<BoxReader>) -> std::io::Result<Bytes> {
        let mut reader = reader.lock().await;
        let mut data = BytesMut::with_capacity(usize::try_from(self.block_bytes).unwrap_or(0));
        let mut limited = (&mut *reader).take(self.block_bytes);
        while limited.read_buf(&mut data).await? > 0 {}
        Ok(data.freeze())
    }

    fn read_file(
        &self,
        entry: usize,
        index: u64,
    ) -> Result<Option<(Bytes, BlockHash)>, TransferFailure> {
        let taken = self.state().open.take();
        let mut file = match taken {
            Some((open, file)) if open == entry => file,
            _ => self.open(entry)?,
        };
        let left =
            self.entries[entry].size.map(|size| size.saturating_sub(index * self.block_bytes));
        let length = left.map_or(self.block_bytes, |left| left.min(self.block_bytes));
        // One more, since a read of nothing is how an end is found.
        let mut data = Vec::with_capacity(usize::try_from(length + 1).unwrap_or(0));
        let mut read = || {
            file.seek(SeekFrom::Start(index * self.block_bytes))?;
            (&mut file).take(self.block_bytes).read_to_end(&mut data)
        };
        read().map_err(|error| self.unreadable(entry, error))?;
        let last = (data.len() as u64) < self.block_bytes
            || self.entries[entry].size == Some((index + 1) * self.block_bytes);
        if last {
            self.check_unchanged(entry, &file)?;
        }
        self.state().open = Some((entry, file));
        Ok(self.hashed(index, Bytes::from(data)))
    }

    /// Reads the short files behind this one, if it is short itself.
    fn read_ahead(&self, entry: usize) {
        let is_short = |entry: &Entry| entry.size.is_some_and(|size| size <= SHORT_BYTES);
        if !is_short(&self.entries[entry]) {
            return;
        }
        let files = self.entries.iter().enumerate().skip(entry + 1);
        let files = files.filter(|(_, entry)| entry.kind == EntryKind::File);
        let files = files.filter(|(_, entry)| entry.size != Some(0));
        let mut bytes = 0;
        for (entry, described) in files.take(MAX_AHEAD) {
            if bytes >= MAX_AHEAD_BYTES || !is_short(described) || self.known(entry, 0).is_some() {
                return;
            }
            // What cannot be read is told when its turn comes.
            let Ok(Some((data, hash))) = self.read_file(entry, 0) else { return };
            bytes += data.len();
            self.keep(entry, 0, data, hash);
        }
    }

    fn path(&self, entry: usize) -> PathBuf {
        let mut path = match &self.origin {
            Origin::Files(path) => path.clone(),
            _ => PathBuf::new(),
        };
        path.extend(self.entries[entry].path.components());
        path
    }

    fn open(&self, entry: usize) -> Result<File, TransferFailure> {
        let file = File::open(self.path(entry)).map_err(|error| self.unreadable(entry, error))?;
        self.check_unchanged(entry, &file)?;
        Ok(file)
    }

    /// Whether a file is still the one that was offered.
    fn check_unchanged(&self, entry: usize, file: &File) -> Result<(), TransferFailure> {
        let metadata = file.metadata().map_err(|error| self.unreadable(entry, error))?;
        let offered = &self.entries[entry];
        let same = metadata.is_file()
            && Some(metadata.len()) == offered.size
            && modified_millis(&metadata) == offered.modified_millis;
        if same {
            return Ok(());
        }
        Err(TransferFailure::new(FailureReason::SourceChanged, self.name_of(entry)))
    }

    fn name_of(&self, entry: usize) -> String {
        let path = self.entries[entry].path.to_string();
        if path.is_empty() { self.name.clone() } else { path }
    }

    fn unreadable(&self, entry: usize, error: impl std::fmt::Display) -> TransferFailure {
        let text = format!("{}: {error}", self.name_of(entry));
        TransferFailure::new(FailureReason::SourceUnreadable, text)
    }
}

/// What is known of a block without reading it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    Block(BlockHash),
    /// The file has ended before it.
    End,
}

/// One receiver's way through a source.
pub(crate) struct Follower {
    blocks: Arc<Blocks>,
    number: u64,
}

impl Follower {
    /// Notes how far this receiver is.
    fn advance(&self, index: u64) {
        if matches!(self.blocks.origin, Origin::Reader(_)) {
            self.blocks.state().positions.insert(self.number, index);
            self.blocks.moved.notify_waiters();
        }
    }

    /// The hash of a block, or that the file ends before it, if that is known.
    pub(crate) fn known(&self, entry: usize, index: u64) -> Option<Known> {
        self.advance(index);
        self.blocks.known(entry, index)
    }

    /// The bytes of a block if they are kept.
    pub(crate) fn kept(&self, entry: usize, index: u64) -> Option<Bytes> {
        self.blocks.kept(entry, index)
    }

    /// The hash of a block, or that the file ends before it.
    pub(crate) async fn hash(&self, entry: usize, index: u64) -> Result<Known, TransferFailure> {
        loop {
            if let Some(known) = self.known(entry, index) {
                return Ok(known);
            }
            self.wait_for_slower(index).await;
            let _turn = self.blocks.reading.lock().await;
            if self.blocks.known(entry, index).is_none() {
                let read = self.blocks.read(entry, index).await?;
                return Ok(read.map_or(Known::End, |(_, hash)| Known::Block(hash)));
            }
        }
    }

    /// The bytes of a block of which the hash is known.
    pub(crate) async fn data(&self, entry: usize, index: u64) -> Result<Bytes, TransferFailure> {
        if let Some(data) = self.blocks.kept(entry, index) {
            return Ok(data);
        }
        let _turn = self.blocks.reading.lock().await;
        if let Some(data) = self.blocks.kept(entry, index) {
            return Ok(data);
        }
        if matches!(self.blocks.origin, Origin::Reader(_)) {
            let problem = "it cannot be read twice, and too much of it was under way";
            return Err(self.blocks.unreadable(entry, problem));
        }
        let before = self.blocks.known(entry, index);
        let read = self.blocks.read(entry, index).await?;
        match (read, before) {
            (Some((data, hash)), Some(Known::Block(known))) if hash == known => Ok(data),
            _ => {
                let name = self.blocks.name_of(entry);
                Err(TransferFailure::new(FailureReason::SourceChanged, name))
            }
        }
    }

    /// A source that cannot be read twice is not read further than the slowest receiver may be
    /// behind.
    async fn wait_for_slower(&self, index: u64) {
        if !matches!(self.blocks.origin, Origin::Reader(_)) {
            return;
        }
        loop {
            let mut moved = std::pin::pin!(self.blocks.moved.notified());
            moved.as_mut().enable();
            let slowest = self.blocks.state().positions.values().min().copied().unwrap_or(index);
            // Half of what is kept is left for what is under way when a link is lost.
            if index < slowest + KEPT_BLOCKS as u64 / 2 {
                return;
            }
            moved.await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.blocks.state().positions.remove(&self.number);
        self.blocks.moved.notify_waiters();
    }
}
