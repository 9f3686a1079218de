//! Files that their owner alone may read, written whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use multipeer_proto::trust::Secret;

use crate::error::IdentityError;

/// Bytes of the largest file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// The text in a file, if it is there and nobody else can read it.
pub(crate) fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error("open", path, &error)),
    };
    check_permissions(path, &file)?;
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| file_error("read", path, &error))?;
    Ok(Some(text))
}

/// Writes a file that is not there yet.
pub(crate) fn create(path: &Path, content: &Secret) -> Result<(), IdentityError> {
    let temporary = write_beside(path, content)?;
    // Unlike a renaming, this fails when somebody else has made the file meanwhile.
    let kept = fs::hard_link(&temporary, path);
    let removed = fs::remove_file(&temporary);
    kept.and(removed).map_err(|error| file_error("write", path, &error))
}

/// Writes a file, in the place of what is there.
pub(crate) fn replace(path: &Path, content: &Secret) -> Result<(), IdentityError> {
    let temporary = write_beside(path, content)?;
    fs::rename(&temporary, path).map_err(|error| {
        _ = fs::remove_file(&temporary);
        file_error("write", path, &error)
    })
}

fn write_beside(path: &Path, content: &Secret) -> Result<PathBuf, IdentityError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = owner_only().open(&temporary).and_then(|mut file| {
        file.write_all(content.expose())?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            _ = fs::remove_file(&temporary);
            Err(file_error("write", path, &error))
        }
    }
}

fn file_error(action: &'static str, path: &Path, error: &std::io::Error) -> IdentityError {
    IdentityError::File { action, path: path.display().to_string(), error: error.to_string() }
}

#[cfg(unix)]
fn owner_only() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options
}

#[cfg(unix)]
fn check_permissions(path: &Path, file: &File) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|error| file_error("read", path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(IdentityError::Readable { path: path.display().to_string(), mode })
    }
}

#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &File) -> Result<(), IdentityError> {
    Ok(())
}
