//! What is sent: a file, or a folder of many.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The folder into which the other peer takes.
pub(super) const RECEIVED: &str = "received";
/// Bytes in each of many files.
pub(super) const SMALL: u64 = 4096;
const FILES_PER_FOLDER: u64 = 100;

/// Something to send.
pub(super) struct Source {
    path: PathBuf,
    target: PathBuf,
    /// Whether what was received stays until the end, and how often something was.
    ///
    /// ext4 is slow to make files where many were removed in the last seconds, which is not what is
    /// to be measured.
    kept: Option<u32>,
}

/// A file of bytes that do not repeat.
pub(super) fn one_file(folder: &Path, bytes: u64) -> io::Result<Source> {
    let source = Source::at(folder, "film");
    let mut file = io::BufWriter::with_capacity(1 << 20, File::create(&source.path)?);
    let mut numbers = Numbers(1);
    for _ in 0..bytes / 8 {
        file.write_all(&numbers.next().to_le_bytes())?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(source)
}

/// A folder of small files.
pub(super) fn folder(folder: &Path, count: u64) -> io::Result<Source> {
    let source = Source { kept: Some(0), ..Source::at(folder, "project") };
    let mut numbers = Numbers(2);
    for number in 0..count {
        let folder = source.path.join(format!("part {}", number / FILES_PER_FOLDER));
        if number % FILES_PER_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        let content: Vec<u8> = (0..SMALL / 8).flat_map(|_| numbers.next().to_le_bytes()).collect();
        fs::write(folder.join(format!("file {number}")), content)?;
    }
    Ok(source)
}

impl Source {
    fn at(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), target: folder.join(RECEIVED), kept: None }
    }

    /// A file that takes no room.
    pub(super) fn sparse(folder: &Path, bytes: u64) -> io::Result<Self> {
        let source = Self::at(folder, "sparse");
        File::create(&source.path)?.set_len(bytes)?;
        Ok(source)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn source(&self) -> multipeer::Source {
        multipeer::Source::path(&self.path)
    }

    /// Makes way for what comes next.
    pub(super) fn clear_target(&mut self) -> io::Result<()> {
        match &mut self.kept {
            Some(count) if self.target.exists() => {
                *count += 1;
                fs::rename(&self.target, self.target.with_extension(count.to_string()))
            }
            _ => remove(&self.target),
        }
    }

    pub(super) fn remove(self) -> io::Result<()> {
        for number in 1..=self.kept.unwrap_or(0) {
            remove(&self.target.with_extension(number.to_string()))?;
        }
        remove(&self.target)?;
        remove(&self.path)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// Marsaglia's xorshift: quick, and nothing that a disk or a link could compress.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
