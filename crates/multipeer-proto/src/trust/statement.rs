//! What members sign for the others: that they admitted somebody, or that somebody has to go.

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::keys::{Keys, SIGNATURE_BYTES};
use crate::{
    id::PeerId,
    limits::{MAX_CLOCK_SKEW, MAX_TEXT_BYTES, REMOVAL_DURATION, VOUCHER_LIFETIME},
    name::ServiceType,
};

/// Says that its issuer has admitted a peer to the session. Bound to the issuer's incarnation, so
/// that it is worth nothing without the issuer, and to the peer's.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Voucher {
    /// Who vouches.
    #[n(0)]
    pub issuer: PeerId,
    /// Which start of it.
    #[n(1)]
    pub issuer_incarnation: u64,
    /// Until when, in seconds since 1970.
    #[n(2)]
    pub expires: u64,
    /// Over all of it.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Says that a peer has to leave the session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Removal {
    /// Who removes.
    #[n(0)]
    pub issuer: PeerId,
    /// Which start of it.
    #[n(1)]
    pub issuer_incarnation: u64,
    /// Whom.
    #[n(2)]
    pub subject: PeerId,
    /// Until when it cannot come back, in seconds since 1970.
    #[n(3)]
    pub until: u64,
    /// Why, for people; at most 256 bytes, possibly none.
    #[n(4)]
    pub text: String,
    /// Over all of it.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Why a voucher is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoucherError {
    /// Its time is over, or has not come.
    #[error("the voucher has expired, or a clock is wrong")]
    Expired,
    /// It is not signed by whom it names, or is for somebody else.
    #[error("the voucher is forged, or for another peer")]
    Forged,
    /// Who signed it is not in the session, or was itself only vouched for.
    #[error("the voucher is of somebody who may not vouch")]
    NotAMember,
    /// In this session the host alone vouches.
    #[error("in this session the host alone vouches")]
    NotHost,
}

/// Whom a voucher is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The peer.
    pub peer: PeerId,
    /// Which start of it.
    pub incarnation: u64,
}

impl Voucher {
    /// A voucher of the peer with these keys, as of `unix` seconds since 1970.
    pub fn issue(
        (keys, incarnation): (&Keys, u64),
        service: &ServiceType,
        subject: Subject,
        unix: u64,
    ) -> Self {
        let mut voucher = Self {
            issuer: keys.id(),
            issuer_incarnation: incarnation,
            expires: unix + VOUCHER_LIFETIME.as_secs(),
            signature: [0; SIGNATURE_BYTES],
        };
        voucher.signature = keys.sign(&voucher.message(service, subject));
        voucher
    }

    /// Whether it is what it says, for this peer, at `unix` seconds since 1970.
    pub fn check(
        &self,
        keys: &Keys,
        service: &ServiceType,
        subject: Subject,
        unix: u64,
    ) -> Result<(), VoucherError> {
        if !is_timely(self.expires, VOUCHER_LIFETIME, unix) {
            Err(VoucherError::Expired)
        } else if keys.verify(self.issuer, &self.message(service, subject), &self.signature) {
            Ok(())
        } else {
            Err(VoucherError::Forged)
        }
    }

    /// Whether less than half of its time is left.
    pub(crate) fn is_due(&self, unix: u64) -> bool {
        self.expires < unix + VOUCHER_LIFETIME.as_secs() / 2
    }

    fn message(&self, service: &ServiceType, subject: Subject) -> Vec<u8> {
        let mut message = begin(b"multipeer voucher", service);
        message.extend_from_slice(self.issuer.as_bytes());
        message.extend_from_slice(&self.issuer_incarnation.to_be_bytes());
        message.extend_from_slice(subject.peer.as_bytes());
        message.extend_from_slice(&subject.incarnation.to_be_bytes());
        message.extend_from_slice(&self.expires.to_be_bytes());
        message
    }
}

impl Removal {
    /// A removal by the peer with these keys, as of `unix` seconds since 1970.
    pub fn issue(
        (keys, incarnation): (&Keys, u64),
        service: &ServiceType,
        subject: PeerId,
        mut text: String,
        until: u64,
    ) -> Self {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        let mut removal = Self {
            issuer: keys.id(),
            issuer_incarnation: incarnation,
            subject,
            until,
            text,
            signature: [0; SIGNATURE_BYTES],
        };
        removal.signature = keys.sign(&removal.message(service));
        removal
    }

    /// Whether it is what it says, at `unix` seconds since 1970.
    pub fn check(&self, keys: &Keys, service: &ServiceType, unix: u64) -> bool {
        // One that is over must not disconnect whoever has come back since.
        self.until > unix
            && is_timely(self.until, REMOVAL_DURATION, unix)
            && keys.verify(self.issuer, &self.message(service), &self.signature)
    }

    fn message(&self, service: &ServiceType) -> Vec<u8> {
        let mut message = begin(b"multipeer removal", service);
        message.extend_from_slice(self.issuer.as_bytes());
        message.extend_from_slice(&self.issuer_incarnation.to_be_bytes());
        message.extend_from_slice(self.subject.as_bytes());
        message.extend_from_slice(&self.until.to_be_bytes());
        message.extend_from_slice(self.text.as_bytes());
        message
    }
}

/// A statement of one kind is none of another, nor one of another service.
fn begin(kind: &[u8], service: &ServiceType) -> Vec<u8> {
    let service = service.as_str().as_bytes();
    let mut message = kind.to_vec();
    message.push(0);
    message.extend_from_slice(service);
    message.push(0);
    message
}

/// Whether something that ends then, and lasts so long, holds at `unix` for clocks that differ.
fn is_timely(end: u64, lasts: Duration, unix: u64) -> bool {
    let skew = MAX_CLOCK_SKEW.as_secs();
    end.saturating_add(skew) > unix && end <= unix.saturating_add(lasts.as_secs() + skew)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn service(name: &str) -> ServiceType {
        ServiceType::new(name).unwrap()
    }

    fn subject(byte: u8, incarnation: u64) -> Subject {
        Subject { peer: PeerId::from_bytes([byte; 32]), incarnation }
    }

    #[test]
    fn a_voucher_is_for_one_peer_in_one_session_and_for_a_while() {
        let [alice, bob] = [[1; 32], [2; 32]].map(|secret| Keys::from_secret(&secret));
        let chat = service("chat");
        let voucher = Voucher::issue((&alice, 7), &chat, subject(9, 1), NOW);
        let check = |voucher: &Voucher, service: &ServiceType, subject, unix| {
            voucher.check(&bob, service, subject, unix)
        };
        assert_eq!(check(&voucher, &chat, subject(9, 1), NOW + 60), Ok(()));
        let forged = Err(VoucherError::Forged);
        assert_eq!(check(&voucher, &chat, subject(8, 1), NOW), forged, "for someone else");
        assert_eq!(check(&voucher, &chat, subject(9, 2), NOW), forged, "for a former start");
        assert_eq!(check(&voucher, &service("files"), subject(9, 1), NOW), forged);
        let renewed = Voucher { expires: voucher.expires + 60, ..voucher.clone() };
        assert_eq!(check(&renewed, &chat, subject(9, 1), NOW), forged);
        let of_another = Voucher { issuer: bob.id(), ..voucher.clone() };
        assert_eq!(check(&of_another, &chat, subject(9, 1), NOW), forged);
        let of_another_start = Voucher { issuer_incarnation: 8, ..voucher.clone() };
        assert_eq!(check(&of_another_start, &chat, subject(9, 1), NOW), forged);
        let day = 24 * 60 * 60;
        for unix in [NOW - day, NOW + day] {
            assert_eq!(check(&voucher, &chat, subject(9, 1), unix), Err(VoucherError::Expired));
        }
    }

    #[test]
    fn a_removal_cannot_be_changed_or_kept_for_later() {
        let [alice, bob] = [[1; 32], [2; 32]].map(|secret| Keys::from_secret(&secret));
        let chat = service("chat");
        let (who, until) = (subject(9, 1).peer, NOW + REMOVAL_DURATION.as_secs());
        let removal = Removal::issue((&alice, 7), &chat, who, "noise".to_owned(), until);
        assert!(removal.check(&bob, &chat, NOW));
        let other = Removal { subject: bob.id(), ..removal.clone() };
        assert!(!other.check(&bob, &chat, NOW));
        let in_other_words = Removal { text: "silence".to_owned(), ..removal.clone() };
        assert!(!in_other_words.check(&bob, &chat, NOW));
        assert!(!removal.check(&bob, &service("files"), NOW));
        assert!(!removal.check(&bob, &chat, NOW + REMOVAL_DURATION.as_secs()), "it is over");
        let for_ever = Removal::issue((&alice, 7), &chat, who, String::new(), u64::MAX);
        assert!(!for_ever.check(&bob, &chat, NOW));
    }
}
