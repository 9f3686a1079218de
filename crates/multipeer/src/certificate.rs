//! Certificates (X.509): this side's own, and what is asked of the other's.

mod shown;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use multipeer_proto::{
    limits::{MAX_CHAIN, MAX_CHAIN_BYTES},
    trust::{Admission, CertificateError, Certifier, Checked, ShownCertificate},
};
use rustls::{
    SignatureScheme,
    crypto::{WebPkiSupportedAlgorithms, ring},
    sign::SigningKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime,
    pem::{self, PemObject},
};
use webpki::{EndEntityCert, KeyUsage};

pub use self::shown::PeerCertificate;
use crate::error::CertificateFileError;

/// What this side signs with, the one that it would rather use first.
const SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
];

/// This side's certificate with its key, and which certificates it trusts.
///
/// ```no_run
/// use multipeer::{Admission, Certificate, Session};
/// use std::fs;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let certificate = Certificate::from_pem(&fs::read("robot-7.pem")?, &fs::read("robot-7.key")?)?
///     .trust_roots(&fs::read("fleet-ca.pem")?)?
///     .trust_names(["*.robots.example"]);
/// let session =
///     Session::builder("fleet", "Robot 7").admission(certificate.admission()).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Certificate {
    chain: Vec<Bytes>,
    key: Arc<dyn SigningKey>,
    roots: Vec<TrustAnchor<'static>>,
    names: Vec<String>,
    asks_application: bool,
}

impl Certificate {
    /// A certificate with those by which it was issued, if there are any between it and the root, and
    /// its private key: RSA, ECDSA or Ed25519, all in PEM (RFC 7468).
    ///
    /// Until it is told whom to trust it trusts nobody.
    ///
    /// # Errors
    ///
    /// [`CertificateFileError`] when one of them cannot be read, or the key is another's.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateFileError> {
        let what = "chain";
        let chain = certificates(chain, what)?;
        let bytes: usize = chain.iter().map(|der| der.len()).sum();
        if chain.len() > MAX_CHAIN || bytes > MAX_CHAIN_BYTES {
            return Err(CertificateFileError::TooLong);
        }
        let problem = |problem: &dyn fmt::Display| CertificateFileError::NoKey {
            problem: problem.to_string(),
        };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| problem(&error))?;
        let key = ring::sign::any_supported_type(&key).map_err(|error| problem(&error))?;
        let certificate = Self {
            chain: chain.into_iter().map(|der| Bytes::from(der.as_ref().to_vec())).collect(),
            key,
            roots: Vec::new(),
            names: Vec::new(),
            asks_application: false,
        };
        let signed = certificate.show(b"").map_err(|error| problem(&error))?;
        let matches = own(&signed).and_then(|der| check_signature(&parse(&der)?, &signed, b""));
        match matches {
            Ok(()) => Ok(certificate),
            Err(CertificateError::WrongSignature) => Err(CertificateFileError::WrongKey),
            Err(error) => Err(CertificateFileError::Malformed { what, problem: error.to_string() }),
        }
    }

    /// Trusts certificates that these authorities have issued, in PEM, besides those named before.
    ///
    /// # Errors
    ///
    /// [`CertificateFileError`] when there is none, or one cannot be read.
    pub fn trust_roots(mut self, roots: &[u8]) -> Result<Self, CertificateFileError> {
        let what = "roots";
        for root in certificates(roots, what)? {
            let anchor = webpki::anchor_from_trusted_cert(&root).map_err(|error| {
                CertificateFileError::Malformed { what, problem: error.to_string() }
            })?;
            self.roots.push(anchor.to_owned());
        }
        Ok(self)
    }

    /// Of the certificates that are trusted, takes those only that have one of these DNS names.
    /// `*.example.org` stands for every name with one label before `.example.org`.
    #[must_use]
    pub fn trust_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names = names.into_iter().map(|name| name.into().to_lowercase()).collect();
        self
    }

    /// Leaves it to the application whether to trust a certificate of which the key is at hand: see
    /// [`Event::CertificateShown`](crate::Event::CertificateShown). Neither roots, names nor dates are
    /// looked at.
    #[must_use]
    pub fn ask_application(mut self) -> Self {
        self.asks_application = true;
        self
    }

    /// Takes those who have a certificate that this one trusts, and to whom it shows itself.
    pub fn admission(self) -> Admission {
        Admission::certificate(self)
    }

    fn check_chain(
        &self,
        end_entity: &EndEntityCert<'_>,
        chain: &[Bytes],
        unix: u64,
    ) -> Result<(), CertificateError> {
        let between: Vec<CertificateDer<'_>> =
            chain.iter().skip(1).map(|der| CertificateDer::from(der.as_ref())).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(unix));
        // Either end of a link may have dialled, so a certificate for either use will do.
        let verify = |usage| {
            let algorithms = algorithms().all;
            end_entity
                .verify_for_usage(algorithms, &self.roots, &between, time, usage, None, None)
                .map(drop)
        };
        verify(KeyUsage::client_auth()).or_else(|_| verify(KeyUsage::server_auth())).map_err(
            |error| match error {
                webpki::Error::CertExpired { .. } => CertificateError::Expired,
                webpki::Error::CertNotValidYet { .. } => CertificateError::NotYetValid,
                webpki::Error::UnknownIssuer
                | webpki::Error::InvalidSignatureForPublicKey
                | webpki::Error::CaUsedAsEndEntity => CertificateError::UnknownIssuer,
                webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::WrongUsage,
                other => CertificateError::Malformed { problem: other.to_string() },
            },
        )
    }

    fn check_name(&self, end_entity: &EndEntityCert<'_>) -> Result<(), CertificateError> {
        let names: Vec<&str> = end_entity.valid_dns_names().collect();
        let wanted = |name: &&str| self.names.iter().any(|pattern| matches(pattern, name));
        if self.names.is_empty() || names.iter().any(wanted) {
            return Ok(());
        }
        let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        Err(CertificateError::WrongName { names })
    }
}

impl Certifier for Certificate {
    fn show(&self, message: &[u8]) -> Result<ShownCertificate, CertificateError> {
        let problem = |problem: String| CertificateError::OwnKey { problem };
        let signer = self
            .key
            .choose_scheme(&SCHEMES)
            .ok_or_else(|| problem("it is of a kind that is not used here".to_owned()))?;
        let scheme = u16::from(signer.scheme());
        let signature = signer.sign(message).map_err(|error| problem(error.to_string()))?;
        Ok(ShownCertificate { chain: self.chain.clone(), scheme, signature: signature.into() })
    }

    fn check(
        &self,
        shown: &ShownCertificate,
        message: &[u8],
        unix: u64,
    ) -> Result<Checked, CertificateError> {
        let der = own(shown)?;
        let end_entity = parse(&der)?;
        check_signature(&end_entity, shown, message)?;
        let subject = subject(&end_entity);
        if self.asks_application {
            return Ok(Checked::AskApplication { subject });
        }
        self.check_chain(&end_entity, &shown.chain, unix)?;
        self.check_name(&end_entity)?;
        Ok(Checked::Trusted { subject })
    }
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("certificates", &self.chain.len())
            .field("roots", &self.roots.len())
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

fn certificates(
    text: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    let found = found
        .map_err(|error| CertificateFileError::Malformed { what, problem: error.to_string() })?;
    if found.is_empty() {
        return Err(CertificateFileError::NoCertificate { what });
    }
    Ok(found)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<EndEntityCert<'a>, CertificateError> {
    EndEntityCert::try_from(der)
        .map_err(|error| CertificateError::Malformed { problem: error.to_string() })
}

/// The certificate of the peer itself.
fn own(shown: &ShownCertificate) -> Result<CertificateDer<'_>, CertificateError> {
    let first = shown.chain.first();
    first
        .map(|der| CertificateDer::from(der.as_ref()))
        .ok_or_else(|| CertificateError::Malformed { problem: "there is none".to_owned() })
}

/// Whether the message is signed by the key of the peer's own certificate.
fn check_signature(
    end_entity: &EndEntityCert<'_>,
    shown: &ShownCertificate,
    message: &[u8],
) -> Result<(), CertificateError> {
    let scheme = SignatureScheme::from(shown.scheme);
    let known = SCHEMES.contains(&scheme);
    let algorithms = algorithms().mapping.iter().find(|(of, _)| known && *of == scheme);
    // As in TLS 1.3 the first is meant: a scheme names one curve and one hash.
    let algorithm = algorithms.and_then(|(_, all)| all.first());
    let Some(algorithm) = algorithm else { return Err(CertificateError::WrongSignature) };
    end_entity
        .verify_signature(*algorithm, message, &shown.signature)
        .map_err(|_| CertificateError::WrongSignature)
}

/// Whose the certificate is, for people: its first DNS name.
fn subject(end_entity: &EndEntityCert<'_>) -> String {
    let first = end_entity.valid_dns_names().next();
    first.map_or_else(|| "somebody without a DNS name".to_owned(), str::to_owned)
}

/// Whether a name is the one that is asked for, or has one label in the place of its asterisk.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    match pattern.strip_prefix("*.") {
        Some(parent) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && label != "*" && rest == parent),
        None => name == pattern,
    }
}
