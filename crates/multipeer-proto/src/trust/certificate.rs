//! Certificates: what is shown and signed. Reading them is the business of a [`Certifier`].

use std::fmt;

use bytes::Bytes;

/// A certificate, and the signature that proves that its key is at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Certificates in DER (X.509), the peer's own first: at most 8, of 32 KiB together.
    pub chain: Vec<Bytes>,
    /// How it is signed, as TLS numbers it (RFC 8446, section 4.2.3).
    pub scheme: u16,
    /// The signature.
    pub signature: Bytes,
}

/// What a certificate that is in order comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It is trusted.
    Trusted {
        /// Whose it is, for people.
        subject: String,
    },
    /// The key is at hand; whether to trust the certificate is for the application to say.
    AskApplication {
        /// Whose it says that it is.
        subject: String,
    },
}

/// Why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It cannot be read.
    #[error("the certificate cannot be read: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// It has expired.
    #[error("the certificate has expired, or a clock is wrong")]
    Expired,
    /// Its time has not come.
    #[error("the certificate is not valid yet, or a clock is wrong")]
    NotYetValid,
    /// No authority that is trusted here has issued it.
    #[error("the certificate is not issued by an authority that is trusted here")]
    UnknownIssuer,
    /// It is for something else.
    #[error("the certificate is not for identifying a client or a server")]
    WrongUsage,
    /// It is for another name.
    #[error("the certificate is for {names}, which is not asked for here")]
    WrongName {
        /// Its names.
        names: String,
    },
    /// The signature is not of its key, or not for this link.
    #[error("the signature is not of the certificate's key, or was made for another link")]
    WrongSignature,
    /// The application did not want it.
    #[error("the certificate was rejected: {text}")]
    Rejected {
        /// The application's words.
        text: String,
    },
    /// The application did not answer in time.
    #[error("nobody said in time whether to trust the certificate")]
    NoVerdict,
    /// This side could not sign with its own key.
    #[error("this side's key cannot sign: {problem}")]
    OwnKey {
        /// What is wrong.
        problem: String,
    },
}

/// Shows this side's certificate and checks the other side's. Does no IO and asks nobody.
pub trait Certifier: fmt::Debug + Send + Sync {
    /// This side's certificate, with a signature over the message.
    fn show(&self, message: &[u8]) -> Result<ShownCertificate, CertificateError>;

    /// Whether the other side's is in order, and signs the message, at `unix` seconds since 1970.
    fn check(
        &self,
        shown: &ShownCertificate,
        message: &[u8],
        unix: u64,
    ) -> Result<Checked, CertificateError>;
}
