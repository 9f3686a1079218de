//! Who may join, and how that is proven on the very link. docs/protocol.md, "Admission".

mod admission;
mod certificate;
mod comparison;
mod exchange;
mod keys;
mod lasting;
mod pairing;
mod secret;
mod statement;

pub(crate) use self::{
    admission::CERTIFICATE_SCHEME,
    comparison::comparison,
    exchange::{PROOF_BYTES, link_message},
    pairing::Pairing,
};
pub use self::{
    admission::{Admission, AdmissionError, Scheme, Verified},
    certificate::{CertificateError, Certifier, Checked, ShownCertificate},
    exchange::{Exchange, InvalidMessage, LinkKeys, LinkRole, Proofs},
    keys::Keys,
    lasting::LastingId,
    pairing::AnnouncedTags,
    secret::Secret,
    statement::{Removal, Subject, Voucher, VoucherError},
};
