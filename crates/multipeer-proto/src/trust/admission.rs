//! What a session demands of those who join.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{certificate::Certifier, secret::Secret};
use crate::{
    id::PeerId,
    limits::{
        MAX_KEY_NAME_BYTES, MAX_PASSCODE_BYTES, MAX_SECRETS, MIN_KEY_BYTES, MIN_PASSCODE_BYTES,
    },
};

/// What kind of secret two peers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// A short code that people tell each other.
    Passcode = 0,
    /// A key with a name.
    PresharedKey = 1,
}

/// What stands in a hello where a [`Scheme`] would, to say that its sender has a certificate.
pub(crate) const CERTIFICATE_SCHEME: u8 = 2;

/// How a peer has shown that it may be here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verified {
    /// It has not: the session is open.
    Open,
    /// It knows the passcode.
    Passcode,
    /// It has the key of this name.
    PresharedKey {
        /// The key's name.
        name: String,
    },
    /// It has a certificate, and its key.
    Certificate {
        /// Whose it is: its first DNS name.
        subject: String,
    },
    /// Its id is on the list.
    Allowlist,
    /// A member says that it has admitted it.
    Voucher {
        /// The member.
        by: PeerId,
    },
}

impl Verified {
    /// As one word, the same in every language and in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Passcode => "passcode",
            Self::PresharedKey { .. } => "preshared_key",
            Self::Certificate { .. } => "certificate",
            Self::Allowlist => "allowlist",
            Self::Voucher { .. } => "voucher",
        }
    }

    pub(crate) fn by_secret(scheme: Scheme, name: &str) -> Self {
        match scheme {
            Scheme::Passcode => Self::Passcode,
            Scheme::PresharedKey => Self::PresharedKey { name: name.to_owned() },
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("not verified"),
            Self::Passcode => f.write_str("verified by passcode"),
            Self::PresharedKey { name } => write!(f, "verified by the key {name:?}"),
            Self::Certificate { subject } => write!(f, "verified by the certificate of {subject}"),
            Self::Allowlist => f.write_str("verified by its id"),
            Self::Voucher { by } => write!(f, "vouched for by {}", by.short()),
        }
    }
}

/// What a session demands of those who join: one of several proofs, of which each is enough.
///
/// The demand is this side's own; nothing that a peer announces or says changes it. The other side
/// has its own demand, and a link comes about when both are met. A passcode or a key that both
/// sides have is proven by both, so that each knows that it is in the right room.
///
/// ```
/// use multipeer_proto::trust::Admission;
///
/// let by_code = Admission::passcode("481-516");
/// let by_key = Admission::preshared_key("fleet 2026", [7; 32]);
/// by_code.or(by_key).check()?;
/// # Ok::<(), multipeer_proto::trust::AdmissionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Admission {
    open: bool,
    secrets: Vec<SharedSecret>,
    certifiers: Vec<Arc<dyn Certifier>>,
    allowed: BTreeSet<PeerId>,
    vouchers: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct SharedSecret {
    pub(crate) scheme: Scheme,
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

/// What is wrong with a demand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The passcode is too short or too long.
    #[error(
        "a passcode has {MIN_PASSCODE_BYTES} to {MAX_PASSCODE_BYTES} bytes without spaces and hyphens, and this has {bytes}"
    )]
    Passcode {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The key is too short.
    #[error("a preshared key has at least {MIN_KEY_BYTES} bytes, and {name:?} has {bytes}")]
    Key {
        /// The key's name.
        name: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The key's name is empty or too long.
    #[error("a key's name has 1 to {MAX_KEY_NAME_BYTES} bytes: {name:?}")]
    KeyName {
        /// The name.
        name: String,
    },
    /// Two secrets have the same name, or there are two passcodes.
    #[error("two keys are called {name:?}, or there are two passcodes")]
    Twice {
        /// The name; empty for passcodes.
        name: String,
    },
    /// There are two certificates to show.
    #[error("a session shows one certificate; give it all roots that it is to trust")]
    TwoCertificates,
    /// There are too many secrets.
    #[error("a session takes at most {MAX_SECRETS} passcodes and keys")]
    TooMany,
}

impl Default for Admission {
    fn default() -> Self {
        Self::open()
    }
}

impl Admission {
    fn nobody() -> Self {
        Self {
            open: false,
            secrets: Vec::new(),
            certifiers: Vec::new(),
            allowed: BTreeSet::new(),
            vouchers: true,
        }
    }

    /// Everyone, without any proof.
    pub fn open() -> Self {
        Self { open: true, ..Self::nobody() }
    }

    /// Those who know a short code. Spaces, hyphens and the case of letters do not matter.
    pub fn passcode(code: impl AsRef<str>) -> Self {
        let letters = code.as_ref().chars().filter(|c| !c.is_whitespace() && *c != '-');
        let code: String = letters.flat_map(char::to_lowercase).collect();
        Self::with_secret(Scheme::Passcode, String::new(), Secret::new(code))
    }

    /// Those who have a key of at least 16 bytes. The name, which others see, tells which key is
    /// meant where there are several.
    pub fn preshared_key(name: impl Into<String>, key: impl Into<Vec<u8>>) -> Self {
        Self::with_secret(Scheme::PresharedKey, name.into(), Secret::new(key))
    }

    /// Those whose certificate is trusted. Each side shows its own to the other.
    pub fn certificate(certifier: impl Certifier + 'static) -> Self {
        Self { certifiers: vec![Arc::new(certifier)], ..Self::nobody() }
    }

    /// Those with these ids.
    pub fn allowlist(ids: impl IntoIterator<Item = PeerId>) -> Self {
        Self { allowed: ids.into_iter().collect(), ..Self::nobody() }
    }

    fn with_secret(scheme: Scheme, name: String, secret: Secret) -> Self {
        Self { secrets: vec![SharedSecret { scheme, name, secret }], ..Self::nobody() }
    }

    /// Those whom this one takes, and those whom the other one takes.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.open |= other.open;
        self.secrets.extend(other.secrets);
        self.certifiers.extend(other.certifiers);
        self.allowed.extend(other.allowed);
        self.vouchers &= other.vouchers;
        self
    }

    /// Takes nobody on the word of a member that has admitted it: everyone has to prove to this
    /// side itself what it asks for.
    #[must_use]
    pub fn without_vouchers(self) -> Self {
        Self { vouchers: false, ..self }
    }

    pub(crate) fn takes_vouchers(&self) -> bool {
        self.vouchers
    }

    /// Whether every secret is long enough, and has a name of its own.
    pub fn check(&self) -> Result<(), AdmissionError> {
        if self.secrets.len() > MAX_SECRETS {
            return Err(AdmissionError::TooMany);
        }
        if self.certifiers.len() > 1 {
            return Err(AdmissionError::TwoCertificates);
        }
        let mut seen = BTreeSet::new();
        for SharedSecret { scheme, name, secret } in &self.secrets {
            let bytes = secret.expose().len();
            match scheme {
                Scheme::Passcode if !(MIN_PASSCODE_BYTES..=MAX_PASSCODE_BYTES).contains(&bytes) => {
                    return Err(AdmissionError::Passcode { bytes });
                }
                Scheme::PresharedKey if !(1..=MAX_KEY_NAME_BYTES).contains(&name.len()) => {
                    return Err(AdmissionError::KeyName { name: name.clone() });
                }
                Scheme::PresharedKey if bytes < MIN_KEY_BYTES => {
                    return Err(AdmissionError::Key { name: name.clone(), bytes });
                }
                _ => {}
            }
            if !seen.insert((*scheme, name)) {
                return Err(AdmissionError::Twice { name: name.clone() });
            }
        }
        Ok(())
    }

    pub(crate) fn secrets(&self) -> &[SharedSecret] {
        &self.secrets
    }

    pub(crate) fn certifier(&self) -> Option<&dyn Certifier> {
        self.certifiers.first().map(|certifier| &**certifier)
    }

    /// Whether a peer is taken that shares no secret: it, or who it is known to be.
    pub(crate) fn takes(&self, peer: PeerId, known: Option<PeerId>) -> Option<Verified> {
        if self.allowed.contains(&peer) || known.is_some_and(|id| self.allowed.contains(&id)) {
            return Some(Verified::Allowlist);
        }
        self.open.then_some(Verified::Open)
    }

    /// The ids that are taken.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &PeerId> {
        self.allowed.iter()
    }

    /// What is demanded, for people on the other side. Names of keys are in the hello anyway.
    pub(crate) fn demand(&self) -> String {
        let secrets = self.secrets.iter().map(|shared| match shared.scheme {
            Scheme::Passcode => "its passcode".to_owned(),
            Scheme::PresharedKey => format!("the key {:?}", shared.name),
        });
        let certificate = self.certifier().map(|_| "a certificate that it trusts".to_owned());
        let listed = (!self.allowed.is_empty()).then(|| "an id on its list".to_owned());
        let demands: Vec<String> = secrets.chain(certificate).chain(listed).collect();
        if demands.is_empty() {
            return "it takes nobody".to_owned();
        }
        format!("it asks for {}", demands.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passcode_is_the_same_however_it_is_written() {
        let secret = |code: &str| Admission::passcode(code).secrets[0].secret.expose().to_vec();
        assert_eq!(secret("481-516"), secret("481 516"));
        assert_eq!(secret("Correct-Horse"), secret("correct horse"));
        assert_ne!(secret("481-516"), secret("481-517"));
    }

    #[test]
    fn weak_and_ambiguous_secrets_are_refused() {
        let problem = |admission: Admission| admission.check().unwrap_err();
        assert_eq!(problem(Admission::passcode("1-2-3")), AdmissionError::Passcode { bytes: 3 });
        let short = Admission::preshared_key("k", [1; 15]);
        assert_eq!(problem(short), AdmissionError::Key { name: "k".to_owned(), bytes: 15 });
        let unnamed = Admission::preshared_key("", [1; 16]);
        assert!(matches!(problem(unnamed), AdmissionError::KeyName { .. }));
        let key = Admission::preshared_key("k", [1; 16]);
        let twice = key.clone().or(Admission::preshared_key("k", [2; 16]));
        assert_eq!(problem(twice), AdmissionError::Twice { name: "k".to_owned() });
        assert_eq!(key.or(Admission::passcode("481-516")).check(), Ok(()));
    }

    #[test]
    fn secrets_do_not_show() {
        let admission =
            Admission::passcode("hunter2").or(Admission::preshared_key("k", *b"0123456789abcdef"));
        let shown = format!("{admission:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("0123") && !shown.contains("48, 49"));
    }
}
