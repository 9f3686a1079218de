//! The key under which a peer signs what others are to believe.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::id::PeerId;

/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// A peer's own key, whose public half is its id. Wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Keys(Kind);

#[derive(Clone)]
enum Kind {
    Ed25519(Box<SigningKey>),
    /// Of a peer that exists in a test or a simulation only, where any bytes are an id and nobody
    /// forges.
    #[cfg(any(test, feature = "sim"))]
    Pretended(PeerId),
}

impl Keys {
    /// The key with this secret half (RFC 8032, section 5.1.5).
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(Kind::Ed25519(Box::new(SigningKey::from_bytes(secret))))
    }

    /// The public half.
    pub fn id(&self) -> PeerId {
        match &self.0 {
            Kind::Ed25519(key) => PeerId::from_bytes(key.verifying_key().to_bytes()),
            #[cfg(any(test, feature = "sim"))]
            Kind::Pretended(id) => *id,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match &self.0 {
            Kind::Ed25519(key) => key.sign(message).to_bytes(),
            #[cfg(any(test, feature = "sim"))]
            Kind::Pretended(id) => pretended(*id, message),
        }
    }

    /// Whether `signer` has signed the message.
    pub(crate) fn verify(
        &self,
        signer: PeerId,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        match &self.0 {
            Kind::Ed25519(_) => VerifyingKey::from_bytes(signer.as_bytes()).is_ok_and(|key| {
                key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
            }),
            #[cfg(any(test, feature = "sim"))]
            Kind::Pretended(_) => pretended(signer, message) == *signature,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({}, secret)", self.id().short())
    }
}

#[cfg(any(test, feature = "sim"))]
impl From<PeerId> for Keys {
    fn from(id: PeerId) -> Self {
        Self(Kind::Pretended(id))
    }
}

#[cfg(any(test, feature = "sim"))]
fn pretended(signer: PeerId, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let mut signature = [0; SIGNATURE_BYTES];
    let hash = blake3::keyed_hash(signer.as_bytes(), message);
    signature[..32].copy_from_slice(hash.as_bytes());
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_signer_and_one_message() {
        let [alice, bob] = [[1; 32], [2; 32]].map(|secret| Keys::from_secret(&secret));
        let signature = alice.sign(b"hello");
        assert!(bob.verify(alice.id(), b"hello", &signature));
        assert!(!bob.verify(alice.id(), b"Hello", &signature));
        assert!(!bob.verify(bob.id(), b"hello", &signature));
        let mut forged = signature;
        forged[40] ^= 1;
        assert!(!bob.verify(alice.id(), b"hello", &forged));
    }

    #[test]
    fn an_id_that_is_no_key_or_a_weak_one_has_signed_nothing() {
        let keys = Keys::from_secret(&[1; 32]);
        // The point of small order with which anything seems signed.
        let mut weak = [0; 32];
        weak[0] = 1;
        for id in [weak, [0xff; 32]] {
            assert!(!keys.verify(PeerId::from_bytes(id), b"hello", &[0; SIGNATURE_BYTES]));
        }
    }

    #[test]
    fn the_secret_does_not_show() {
        assert!(!format!("{:?}", Keys::from_secret(&[0xab; 32])).contains("abab"));
    }
}
