//! Who this peer is: an Ed25519 key, fresh for every start unless it is kept in a file.

use std::{fmt, path::Path};

use iroh::{PublicKey, SecretKey};
use multipeer_proto::{
    PeerId,
    trust::{Keys, Secret},
};

use crate::{error::IdentityError, private_file};

/// Whose public key it is.
pub(crate) fn peer_of(key: PublicKey) -> PeerId {
    PeerId::from_bytes(*key.as_bytes())
}

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
        if let Some(text) = private_file::read(path)? {
            return Self::import(&text)
                .map_err(|_| IdentityError::NotAKey { path: path.display().to_string() });
        }
        let identity = Self::generate();
        private_file::create(path, &identity.to_line())?;
        Ok(identity)
    }

    /// Puts a new identity in the place of the one in a file, and returns it. Others know the peer by
    /// its new id from the next start on, and have to be paired or allowed anew.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the file cannot be written, or what is there is no identity that this
    /// user alone can read.
    pub fn rotate(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        Self::load_or_create(path)?;
        let identity = Self::generate();
        private_file::replace(path, &identity.to_line())?;
        Ok(identity)
    }

    /// The secret key as 64 hexadecimal digits, to be kept elsewhere. Whoever has it is this peer.
    pub fn export(&self) -> Secret {
        Secret::new(PeerId::from_bytes(self.0.to_bytes()).to_string())
    }

    /// The identity of which these are the 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotDigits`] when they are not.
    pub fn import(digits: &str) -> Result<Self, IdentityError> {
        // Not `SecretKey::from_str`, which takes other encodings too.
        let bytes: PeerId = digits.trim().parse().map_err(|_| IdentityError::NotDigits)?;
        Ok(Self(SecretKey::from_bytes(bytes.as_bytes())))
    }

    /// The public half.
    pub fn peer_id(&self) -> PeerId {
        peer_of(self.0.public())
    }

    pub(crate) fn secret_key(&self) -> SecretKey {
        self.0.clone()
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::from_secret(&self.0.to_bytes())
    }

    fn to_line(&self) -> Secret {
        let mut line = self.export().expose().to_vec();
        line.push(b'\n');
        Secret::new(line)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, secret)", self.peer_id().short())
    }
}
