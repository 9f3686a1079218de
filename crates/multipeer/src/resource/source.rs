//! What can be sent: a file, a folder, bytes, or whatever can be read.

use std::{
    fmt,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use multipeer_proto::{
    limits,
    resource::{Entry, EntryKind, EntryPath, LinkTarget, ResourceKind, check_component},
};
use tokio::io::AsyncRead;

use super::transfer::TransferError;

/// Time for an http server to take a connection.
#[cfg(feature = "http")]
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

pub(crate) type BoxReader = Pin<Box<dyn AsyncRead + Send>>;

/// A resource to be sent.
///
/// A path becomes one by itself: `session.send_resource(peer, Path::new("film.mkv"))`.
pub struct Source(pub(crate) Inner);

pub(crate) enum Inner {
    Path(PathBuf),
    Bytes {
        name: String,
        bytes: Bytes,
    },
    Reader {
        name: String,
        size: Option<u64>,
        reader: BoxReader,
    },
    #[cfg(feature = "http")]
    Url(String),
}

impl Source {
    /// A file, or a folder with all that is in it.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Inner::Path(path.into()))
    }

    /// Bytes, under a name.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Bytes { name: name.into(), bytes: bytes.into() })
    }

    /// Whatever can be read, under a name, and its size in bytes if that is known.
    ///
    /// It is read once and never held whole: after an interruption the transfer goes on as long as
    /// the last 16 MiB that were read have what the receiver lacks.
    pub fn reader(
        name: impl Into<String>,
        size: Option<u64>,
        reader: impl AsyncRead + Send + 'static,
    ) -> Self {
        Self(Inner::Reader { name: name.into(), size, reader: Box::pin(reader) })
    }

    /// What an `http` or `https` address answers, read as it comes; as [`reader`](Self::reader).
    #[cfg(feature = "http")]
    pub fn url(url: impl Into<String>) -> Self {
        Self(Inner::Url(url.into()))
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Path(path) => write!(f, "Source({})", path.display()),
            Inner::Bytes { name, bytes } => write!(f, "Source({name}, {} bytes)", bytes.len()),
            Inner::Reader { name, .. } => write!(f, "Source({name})"),
            #[cfg(feature = "http")]
            Inner::Url(url) => write!(f, "Source({url})"),
        }
    }
}

/// What a source is made of.
pub(crate) struct Listing {
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) fn error(name: impl fmt::Display, problem: impl fmt::Display) -> TransferError {
    TransferError::Source { name: name.to_string(), problem: problem.to_string() }
}

/// Lists a file or a folder. Blocks.
pub(crate) fn list(path: &Path) -> Result<Listing, TransferError> {
    let name = name_of(path)?;
    // What is named may be a link; what is in it may not be followed.
    let metadata = std::fs::metadata(path).map_err(|e| error(path.display(), e))?;
    if metadata.is_file() {
        let entries = vec![file_entry(EntryPath::default(), &metadata)];
        return Ok(Listing { kind: ResourceKind::File, name, size: Some(metadata.len()), entries });
    }
    if !metadata.is_dir() {
        return Err(error(path.display(), "it is neither a file nor a folder"));
    }
    let mut entries = Vec::new();
    list_folder(path, &mut Vec::new(), &mut entries)?;
    if entries.iter().map(Entry::listing_bytes).sum::<usize>() > limits::MAX_LISTING_BYTES {
        return Err(error(path.display(), "all names in it together have more than 32 MiB"));
    }
    let size = entries.iter().filter_map(|entry| entry.size).sum();
    Ok(Listing { kind: ResourceKind::Folder, name, size: Some(size), entries })
}

/// A single thing that is no file.
pub(crate) fn data(name: String, size: Option<u64>) -> Result<Listing, TransferError> {
    check_component(&name).map_err(|e| error(&name, e))?;
    let entries = vec![Entry {
        path: EntryPath::default(),
        kind: EntryKind::File,
        size,
        executable: false,
        modified_millis: None,
        target: None,
    }];
    Ok(Listing { kind: ResourceKind::Data, name, size, entries })
}

fn name_of(path: &Path) -> Result<String, TransferError> {
    let whole = || path.canonicalize().ok()?.file_name().map(ToOwned::to_owned);
    let name = path.file_name().map(ToOwned::to_owned).or_else(whole);
    let name = name.ok_or_else(|| error(path.display(), "it has no name"))?;
    let name = name.into_string().map_err(|_| error(path.display(), "its name is not UTF-8"))?;
    check_component(&name).map_err(|e| error(path.display(), e))?;
    Ok(name)
}

fn list_folder(
    folder: &Path,
    above: &mut Vec<String>,
    entries: &mut Vec<Entry>,
) -> Result<(), TransferError> {
    let read = || -> io::Result<Vec<_>> { std::fs::read_dir(folder)?.collect() };
    let mut items = read().map_err(|e| error(folder.display(), e))?;
    // The same order each time.
    items.sort_by_key(std::fs::DirEntry::file_name);
    for item in items {
        let path = item.path();
        let shown = path.display();
        if entries.len() as u64 >= limits::DEFAULT_MAX_ENTRIES {
            let problem =
                format!("the folder has more than {} entries", limits::DEFAULT_MAX_ENTRIES);
            return Err(error(shown, problem));
        }
        let metadata = item.metadata().map_err(|e| error(&shown, e))?;
        let name =
            item.file_name().into_string().map_err(|_| error(&shown, "its name is not UTF-8"))?;
        above.push(name);
        let place = EntryPath::new(above.clone()).map_err(|e| error(&shown, e))?;
        if metadata.is_dir() {
            let entry = file_entry(place, &metadata);
            entries.push(Entry { kind: EntryKind::Folder, size: None, executable: false, ..entry });
            list_folder(&path, above, entries)?;
        } else if metadata.is_symlink() {
            entries.push(link_entry(&path, place)?);
        } else if metadata.is_file() {
            entries.push(file_entry(place, &metadata));
        } else {
            return Err(error(shown, "it is neither a file, a folder nor a link"));
        }
        above.pop();
    }
    Ok(())
}

fn link_entry(path: &Path, place: EntryPath) -> Result<Entry, TransferError> {
    let target = std::fs::read_link(path).map_err(|e| error(path.display(), e))?;
    let target = target.to_str().ok_or_else(|| error(path.display(), "its target is not UTF-8"))?;
    let target = target.replace(std::path::MAIN_SEPARATOR, "/");
    LinkTarget::new(&place, &target).map_err(|e| error(path.display(), e))?;
    Ok(Entry {
        path: place,
        kind: EntryKind::Link,
        size: None,
        executable: false,
        modified_millis: None,
        target: Some(target),
    })
}

fn file_entry(path: EntryPath, metadata: &Metadata) -> Entry {
    Entry {
        path,
        kind: EntryKind::File,
        size: Some(metadata.len()),
        executable: is_executable(metadata),
        modified_millis: modified_millis(metadata),
        target: None,
    }
}

/// Milliseconds since 1970, negative before.
pub(crate) fn modified_millis(metadata: &Metadata) -> Option<i64> {
    let modified = metadata.modified().ok()?;
    match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).ok(),
        Err(before) => i64::try_from(before.duration().as_millis()).ok().map(|millis| -millis),
    }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

/// Asks for an http or https address. Returns the name, the size if the server tells, and the body,
/// of which nothing was read yet.
#[cfg(feature = "http")]
pub(crate) async fn fetch(url: &str) -> Result<(String, Option<u64>, BoxReader), TransferError> {
    use futures_util::TryStreamExt;
    // Someone may have chosen another provider for this process already, which serves as well.
    _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |problem: reqwest::Error| error(url, problem.without_url());
    let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).build();
    let response = client.map_err(failed)?.get(url).send().await.map_err(failed)?;
    let response = response.error_for_status().map_err(failed)?;
    let last = response.url().path_segments().and_then(|mut parts| parts.next_back());
    let name = last.filter(|name| check_component(name).is_ok()).unwrap_or("download").to_owned();
    let size = response.content_length();
    let body = response.bytes_stream().map_err(io::Error::other);
    Ok((name, size, Box::pin(tokio_util::io::StreamReader::new(body))))
}
