//! The key under which a peer signs what others are to believe.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

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

    /// What this key and another make together, the same for both and for nobody else (X25519, RFC 7748,
    /// section 6.1, of the keys' Montgomery forms); nothing with an id that is no key, or a weak one.
    pub(crate) fn shared_with(&self, other: PeerId) -> Option<Zeroizing<[u8; 32]>> {
        match &self.0 {
            Kind::Ed25519(key) => {
                let other = VerifyingKey::from_bytes(other.as_bytes()).ok()?;
                let secret = Zeroizing::new(key.to_scalar_bytes());
                let shared = other.to_montgomery().mul_clamped(*secret);
                (!other.is_weak()).then(|| Zeroizing::new(shared.to_bytes()))
            }
            #[cfg(any(test, feature = "sim"))]
            Kind::Pretended(id) => {
                let both = [id.min(&other).as_bytes().as_slice(), id.max(&other).as_bytes()];
                Some(Zeroizing::new(*blake3::hash(&both.concat()).as_bytes()))
            }
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
    fn two_keys_share_what_no_third_has_and_none_shares_with_a_weak_one() {
        let [alice, bob, eve] = [1, 2, 3].map(|secret| Keys::from_secret(&[secret; 32]));
        let shared = alice.shared_with(bob.id()).unwrap();
        assert_eq!(bob.shared_with(alice.id()).unwrap(), shared);
        assert_ne!(eve.shared_with(alice.id()).unwrap(), shared);
        let mut weak = [0; 32];
        weak[0] = 1;
        assert_eq!(alice.shared_with(PeerId::from_bytes(weak)), None);
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
