//! Making sure that files outlive a power cut before they get their final names.

use std::{fs::File, io, path::PathBuf};

use tokio::task::JoinHandle;

/// Bytes that are written before the disk is asked to begin.
const FLUSH_BYTES: usize = 32 * 1024 * 1024;

/// Lets the disk begin while more comes, so that little is left to wait for at the end.
#[derive(Debug, Default)]
pub(super) struct Flusher {
    bytes: usize,
    flushing: Option<JoinHandle<()>>,
}

impl Flusher {
    /// So much was written to a file. To be called on a thread of tokio's that may wait.
    pub(super) fn written(&mut self, file: &File, bytes: usize) {
        self.bytes += bytes;
        let busy = self.flushing.as_ref().is_some_and(|flushing| !flushing.is_finished());
        if self.bytes < FLUSH_BYTES || busy {
            return;
        }
        if let Ok(file) = file.try_clone() {
            self.bytes = 0;
            self.flushing = Some(tokio::task::spawn_blocking(move || {
                // What goes wrong is told again when all is synced at the end.
                _ = file.sync_data();
            }));
        }
    }
}

/// Syncs the files of a folder. `folder` is any file or folder of the same file system.
///
/// Linux syncs a whole file system at once, which for many small files is some hundred times
/// faster than one after the other.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn sync_all<'a>(
    folder: &File,
    _: impl IntoIterator<Item = &'a PathBuf>,
) -> io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

/// Syncs the files of a folder.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn sync_all<'a>(
    _: &File,
    files: impl IntoIterator<Item = &'a PathBuf>,
) -> io::Result<()> {
    files.into_iter().try_for_each(|path| File::options().write(true).open(path)?.sync_all())
}
