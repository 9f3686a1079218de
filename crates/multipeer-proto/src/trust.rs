//! Who may join, and how that is proven on the very link. docs/protocol.md, "Admission".

mod admission;
mod exchange;
mod secret;

pub(crate) use self::exchange::PROOF_BYTES;
pub use self::{
    admission::{Admission, AdmissionError, Scheme, Verified},
    exchange::{Exchange, InvalidMessage, LinkKeys, Proofs, Role},
    secret::Secret,
};
