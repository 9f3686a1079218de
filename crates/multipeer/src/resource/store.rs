//! The receiver's disk: what arrives is written beside its target, and put in its place when it is
//! whole. Everything here blocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use multipeer_proto::{
    PeerId,
    resource::{
        Block, BlockHash, Entry, EntryKind, FailureReason, Offer, ResourceKind, SafeNames,
        TransferFailure, hash_block, safe_component,
    },
};

use super::sync::{Flusher, sync_all};

/// Bytes of the name that a temporary name keeps.
const KEPT_NAME_BYTES: usize = 160;
/// Numbered names that are tried for a target that exists.
const MAX_NUMBER: u64 = 10_000;

/// Where a resource is to go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) folder: PathBuf,
    /// Its name there, if it is not to be the offered one.
    pub(crate) name: Option<String>,
    /// Whether what is there already may be replaced.
    pub(crate) overwrite: bool,
}

/// A resource that is being written.
#[derive(Debug)]
pub(crate) struct Store {
    target: Target,
    name: String,
    kind: ResourceKind,
    block_bytes: u64,
    staging: PathBuf,
    /// Held so that nobody else writes there.
    lock: File,
    /// Where each entry is within the staging folder.
    paths: Vec<PathBuf>,
    open: Option<(usize, File)>,
    flusher: Flusher,
}

pub(crate) fn failure(reason: FailureReason, path: &Path, error: &io::Error) -> TransferFailure {
    let reason =
        if error.kind() == ErrorKind::StorageFull { FailureReason::NoRoom } else { reason };
    TransferFailure::new(reason, format!("{}: {error}", path.display()))
}

fn unwritable(path: &Path, error: &io::Error) -> TransferFailure {
    failure(FailureReason::NotWritable, path, error)
}

impl Store {
    /// Makes the temporary file or folder, or finds the one from before.
    pub(crate) fn open(
        target: Target,
        offer: &Offer,
        sender: PeerId,
    ) -> Result<Self, TransferFailure> {
        fs::create_dir_all(&target.folder).map_err(|error| unwritable(&target.folder, &error))?;
        let name = target.name.clone().unwrap_or_else(|| safe_component(&offer.name));
        for number in 0..MAX_NUMBER {
            let staging = target.folder.join(staging_name(&name, offer, sender, number));
            if let Some(lock) = claim(&staging, offer.kind)? {
                return Ok(Self {
                    target,
                    name,
                    kind: offer.kind,
                    block_bytes: offer.block_bytes,
                    staging,
                    lock,
                    paths: Vec::new(),
                    open: None,
                    flusher: Flusher::default(),
                });
            }
        }
        Err(TransferFailure::new(FailureReason::NotWritable, "too many transfers of that name"))
    }

    /// Bytes that can be written there.
    pub(crate) fn room(folder: &Path) -> Option<u64> {
        let existing = folder.ancestors().find(|folder| folder.exists())?;
        let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        fs4::available_space(existing).ok()
    }

    /// Makes the folders, and hashes what is there of the files.
    pub(crate) fn prepare(
        &mut self,
        entries: &[Entry],
    ) -> Result<Vec<(usize, Vec<BlockHash>)>, TransferFailure> {
        let mut names = SafeNames::default();
        self.paths = entries
            .iter()
            .map(|entry| {
                names.path(&entry.path).iter().fold(self.staging.clone(), |p, c| p.join(c))
            })
            .collect();
        let mut existing = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let path = self.paths[number].clone();
            match entry.kind {
                EntryKind::Folder => make_folder(&path).map_err(|e| unwritable(&path, &e))?,
                EntryKind::Link => {}
                EntryKind::File => {
                    remove_unless_file(&path).map_err(|e| unwritable(&path, &e))?;
                    let blocks = self.hash_file(&path).map_err(|e| unwritable(&path, &e))?;
                    if !blocks.is_empty() {
                        existing.push((number, blocks));
                    }
                }
            }
        }
        Ok(existing)
    }

    fn hash_file(&self, path: &Path) -> io::Result<Vec<BlockHash>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut blocks = Vec::new();
        let mut data = Vec::new();
        loop {
            data.clear();
            if (&mut file).take(self.block_bytes).read_to_end(&mut data)? == 0 {
                return Ok(blocks);
            }
            blocks.push(hash_block(blocks.len() as u64, self.block_bytes, &data));
        }
    }

    /// Writes a block that is verified.
    pub(crate) fn write(&mut self, block: &Block, data: &[u8]) -> Result<(), TransferFailure> {
        let entry = usize::try_from(block.entry).unwrap_or(usize::MAX);
        let path = self.path(entry)?;
        let start = block.index * self.block_bytes;
        let file = self.file(entry, &path)?;
        let mut write = || {
            file.seek(SeekFrom::Start(start))?;
            file.write_all(data)
        };
        write().map_err(|error| unwritable(&path, &error))?;
        if let Some((_, file)) = &self.open {
            self.flusher.written(file, data.len());
        }
        Ok(())
    }

    fn path(&self, entry: usize) -> Result<PathBuf, TransferFailure> {
        let path = self.paths.get(entry).cloned();
        path.ok_or_else(|| TransferFailure::new(FailureReason::Protocol, "an unknown entry"))
    }

    fn file(&mut self, entry: usize, path: &Path) -> Result<&mut File, TransferFailure> {
        let open = match self.open.take() {
            Some((open, file)) if open == entry => (open, file),
            _ => {
                let mut options = OpenOptions::new();
                let file = options.create(true).truncate(false).write(true).open(path);
                (entry, file.map_err(|error| unwritable(path, &error))?)
            }
        };
        Ok(&mut self.open.insert(open).1)
    }

    /// A file is whole. It is synced with the others.
    pub(crate) fn finish_file(
        &mut self,
        number: usize,
        entry: &Entry,
        size: u64,
    ) -> Result<(), TransferFailure> {
        let path = self.path(number)?;
        let file = self.file(number, &path)?;
        let finish = || {
            file.set_len(size)?;
            if entry.executable {
                make_executable(file)?;
            }
            match time(entry.modified_millis) {
                Some(modified) => file.set_modified(modified),
                None => Ok(()),
            }
        };
        finish().map_err(|error| unwritable(&path, &error))?;
        self.open = None;
        Ok(())
    }

    /// Everything is whole: puts it in its place, and returns where that is.
    pub(crate) fn complete(mut self, entries: &[Entry]) -> Result<PathBuf, TransferFailure> {
        self.open = None;
        let staging = self.staging.clone();
        let synced = if self.kind == ResourceKind::Folder {
            let files = entries.iter().zip(&self.paths);
            let files = files.filter(|(entry, _)| entry.kind == EntryKind::File);
            sync_all(&self.lock, files.map(|(_, path)| path))
        } else {
            self.lock.sync_all()
        };
        synced.map_err(|error| unwritable(&staging, &error))?;
        if self.kind == ResourceKind::Folder {
            self.remove_strangers().map_err(|error| unwritable(&staging, &error))?;
            // Links last, so that nothing is ever written through one; folders' times after all
            // that changes them, the innermost first.
            for (number, entry) in entries.iter().enumerate() {
                if let (EntryKind::Link, Some(target)) = (entry.kind, &entry.target) {
                    let path = self.path(number)?;
                    make_link(target, &path).map_err(|error| unwritable(&path, &error))?;
                }
            }
            for (number, entry) in entries.iter().enumerate().rev() {
                if let (EntryKind::Folder, Some(modified)) =
                    (entry.kind, time(entry.modified_millis))
                {
                    // Not every system lets a folder's time be set.
                    _ = File::open(self.path(number)?)
                        .and_then(|folder| folder.set_modified(modified));
                }
            }
        }
        let place = self.put_in_place().map_err(|error| unwritable(&staging, &error))?;
        // Best effort: not every system lets a folder be synced.
        _ = File::open(&self.target.folder).and_then(|folder| folder.sync_all());
        Ok(place)
    }

    /// What an earlier attempt left that is not part of it any more.
    fn remove_strangers(&self) -> io::Result<()> {
        let known: std::collections::HashSet<&PathBuf> = self.paths.iter().collect();
        let mut folders = vec![self.staging.clone()];
        while let Some(folder) = folders.pop() {
            for item in fs::read_dir(folder)? {
                let item = item?;
                let (path, is_folder) = (item.path(), item.file_type()?.is_dir());
                match (known.contains(&path), is_folder) {
                    (true, true) => folders.push(path),
                    (true, false) => {}
                    (false, true) => fs::remove_dir_all(path)?,
                    (false, false) => fs::remove_file(path)?,
                }
            }
        }
        Ok(())
    }

    fn put_in_place(&self) -> io::Result<PathBuf> {
        let place = self.target.folder.join(&self.name);
        if self.target.overwrite {
            if self.kind == ResourceKind::Folder || place.is_dir() {
                remove(&place)?;
            }
            fs::rename(&self.staging, &place)?;
            return Ok(place);
        }
        for number in 0..MAX_NUMBER {
            let place = match number {
                0 => place.clone(),
                number => {
                    let name = multipeer_proto::resource::numbered(&self.name, number);
                    self.target.folder.join(name)
                }
            };
            match self.put_at(&place) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => return result.map(|()| place),
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "too many of that name are there"))
    }

    /// Never over anything, whoever else puts something there at the same moment.
    fn put_at(&self, place: &Path) -> io::Result<()> {
        if self.kind == ResourceKind::Folder {
            // An empty folder is there from here on; renaming replaces it.
            fs::create_dir(place)?;
            if cfg!(windows) {
                fs::remove_dir(place)?;
            }
            return fs::rename(&self.staging, place).inspect_err(|_| _ = fs::remove_dir(place));
        }
        match fs::hard_link(&self.staging, place) {
            Ok(()) => fs::remove_file(&self.staging),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // A file system without hard links.
            Err(_) if place.symlink_metadata().is_ok() => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(&self.staging, place),
        }
    }

    /// Removes what was written.
    pub(crate) fn discard(self) {
        // What cannot be removed is left; the transfer has failed for another reason.
        _ = remove(&self.staging);
        drop(self.lock);
    }
}

/// A hidden name beside the target, the same one each time the sender sends this.
fn staging_name(name: &str, offer: &Offer, sender: PeerId, number: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(sender.as_bytes());
    hasher.update(&[u8::from(offer.kind == ResourceKind::Folder)]);
    hasher.update(&offer.block_bytes.to_be_bytes());
    hasher.update(&number.to_be_bytes());
    hasher.update(offer.name.as_bytes());
    let key = hasher.finalize().to_hex();
    let kept = &name[..name.floor_char_boundary(KEPT_NAME_BYTES)];
    format!(".{kept}.{}.part", &key.as_str()[..16])
}

/// Makes the temporary file or folder if it is not there, and locks it; nothing when somebody
/// else writes there.
fn claim(staging: &Path, kind: ResourceKind) -> Result<Option<File>, TransferFailure> {
    let claim = || {
        let file = if kind == ResourceKind::Folder {
            make_folder(staging)?;
            File::open(staging)?
        } else {
            remove_unless_file(staging)?;
            OpenOptions::new().create(true).truncate(false).write(true).open(staging)?
        };
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            // Where there are no locks, nobody can be told to keep away.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(Some(file)),
        }
    };
    claim().map_err(|error| unwritable(staging, &error))
}

/// A real folder, whatever was there before.
fn make_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    fs::create_dir(path)
}

/// A link or a folder that is where a file is to be must go.
fn remove_unless_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => remove(path),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn time(millis: Option<i64>) -> Option<SystemTime> {
    let millis = millis?;
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis >= 0 { UNIX_EPOCH.checked_add(distance) } else { UNIX_EPOCH.checked_sub(distance) }
}

#[cfg(unix)]
fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = file.metadata()?.permissions();
    // Whoever may read it may run it.
    let mode = permissions.mode();
    permissions.set_mode(mode | (mode & 0o444) >> 2);
    file.set_permissions(permissions)
}

#[cfg(not(unix))]
fn make_executable(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn make_link(target: &str, path: &Path) -> io::Result<()> {
    remove(path)?;
    std::os::unix::fs::symlink(target, path)
}

/// Where links need a privilege, they are left out.
#[cfg(not(unix))]
fn make_link(_: &str, _: &Path) -> io::Result<()> {
    Ok(())
}
