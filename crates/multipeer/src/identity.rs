//! Who this peer is: an Ed25519 key, fresh for every start unless it is kept in a file.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::Path,
};

use iroh::SecretKey;
use multipeer_proto::PeerId;

use crate::error::IdentityError;

/// A peer's secret key. Its public half is the [`PeerId`].
#[derive(Clone)]
pub struct Identity(SecretKey);

impl Identity {
    /// A new one, never seen before.
    pub fn generate() -> Self {
        Self(SecretKey::generate())
    }

    /// Reads the identity from a file, or makes one and keeps it there.
    ///
    /// The file holds 64 hexadecimal digits and, where the system has permissions, can be read by
    /// its owner only; a file that others can read is refused.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the file cannot be read or written, holds something else, or can be
    /// read by others.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        match File::open(path) {
            Ok(file) => {
                check_permissions(path, &file)?;
                Self::load(path)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let identity = Self::generate();
                identity.create(path)?;
                Ok(identity)
            }
            Err(error) => Err(file_error("open", path, &error)),
        }
    }

    /// The public half.
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(*self.0.public().as_bytes())
    }

    pub(crate) fn secret_key(&self) -> SecretKey {
        self.0.clone()
    }

    fn load(path: &Path) -> Result<Self, IdentityError> {
        let text = fs::read_to_string(path).map_err(|error| file_error("read", path, &error))?;
        // Not `SecretKey::from_str`, which takes other encodings too.
        let bytes: PeerId = text
            .trim()
            .parse()
            .map_err(|_| IdentityError::NotAKey { path: path.display().to_string() })?;
        Ok(Self(SecretKey::from_bytes(bytes.as_bytes())))
    }

    /// Writes the file beside its place and moves it there, so that it is never half written.
    fn create(&self, path: &Path) -> Result<(), IdentityError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.new", std::process::id()));
        let temporary = Path::new(&temporary);
        let digits = PeerId::from_bytes(self.0.to_bytes());
        let written = owner_only().open(temporary).and_then(|mut file| {
            writeln!(file, "{digits}")?;
            file.sync_all()
        });
        let kept = written.and_then(|()| fs::hard_link(temporary, path));
        let removed = fs::remove_file(temporary);
        kept.and(removed).map_err(|error| file_error("write", path, &error))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, secret)", self.peer_id().short())
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
