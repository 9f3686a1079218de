//! Who may join, and how that is proven on the very link. docs/protocol.md, "Admission".

mod admission;
mod comparison;
mod exchange;
mod keys;
mod secret;
mod statement;

pub use self::{
    admission::{Admission, AdmissionError, Scheme, Verified},
    exchange::{Exchange, InvalidMessage, LinkKeys, Proofs, Role},
    keys::Keys,
    secret::Secret,
    statement::{Removal, Subject, Voucher, VoucherError},
};
pub(crate) use self::{comparison::comparison, exchange::PROOF_BYTES};
