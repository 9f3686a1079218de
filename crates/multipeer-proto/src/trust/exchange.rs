//! The proof that two peers share a secret: SPAKE2 (RFC 9382), then a confirmation from each side,
//! both bound to the link.

use std::fmt;

use chacha::{ChaCha20Rng, rand_core::SeedableRng};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

use super::{admission::Scheme, secret::Secret};
use crate::id::PeerId;

/// Bytes of a SPAKE2 message: the side, and a point.
const MESSAGE_BYTES: usize = 33;
/// Bytes of a confirmation.
pub(crate) const PROOF_BYTES: usize = 32;

/// What a link gives to its proofs.
#[derive(Clone)]
pub struct LinkKeys {
    exporter: [u8; 32],
    random: Zeroizing<[u8; 32]>,
}

impl LinkKeys {
    /// `exporter` is the TLS exporter (RFC 8446, section 7.5) of the link for the label
    /// `EXPORTER-multipeer-admission` and no context: the same at both ends and at no other link.
    /// `random` is fresh from the system.
    pub fn new(exporter: [u8; 32], random: [u8; 32]) -> Self {
        Self { exporter, random: Zeroizing::new(random) }
    }

    pub(crate) fn exporter(&self) -> &[u8; 32] {
        &self.exporter
    }
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys(..)")
    }
}

/// Which end of the link one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRole {
    /// The one that dialled.
    Dialler,
    /// The other one.
    Acceptor,
}

impl LinkRole {
    /// The other end's.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// What the end of a link with this role signs, about `what` and some bytes more: worth nothing on another
/// link, between others, or reflected.
pub(crate) fn link_message(
    what: &str,
    role: LinkRole,
    more: &[u8],
    [dialler, acceptor]: [PeerId; 2],
    keys: &LinkKeys,
) -> Vec<u8> {
    let role = match role {
        LinkRole::Dialler => "dialler",
        LinkRole::Acceptor => "acceptor",
    };
    let label = format!("multipeer {what} {role}\0");
    let ends = [dialler.as_bytes().as_slice(), acceptor.as_bytes()];
    [&[label.as_bytes(), more][..], &ends, &[keys.exporter().as_slice()]].concat().concat()
}

/// One side's half of an exchange: its message is sent, the other's is waited for.
pub struct Exchange {
    role: LinkRole,
    dialler: PeerId,
    acceptor: PeerId,
    state: Spake2<Ed25519Group>,
    message: [u8; MESSAGE_BYTES],
}

/// A message that is none, or not of the other role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMessage;

/// What each side has to show.
#[derive(Clone)]
pub struct Proofs {
    /// What this side sends.
    pub ours: [u8; PROOF_BYTES],
    /// Checks what the other side sends.
    theirs: Hmac<Sha256>,
}

impl Exchange {
    /// Begins. `nonce` differs for each exchange on a link.
    pub fn start(
        role: LinkRole,
        [own, other]: [PeerId; 2],
        (scheme, name, secret): (Scheme, &str, &Secret),
        keys: &LinkKeys,
        nonce: u8,
    ) -> Self {
        let (dialler, acceptor) = match role {
            LinkRole::Dialler => (own, other),
            LinkRole::Acceptor => (other, own),
        };
        // A secret of one kind or name is none of another.
        let mut password = Zeroizing::new(vec![scheme as u8]);
        password.extend_from_slice(&(name.len() as u64).to_be_bytes());
        password.extend_from_slice(name.as_bytes());
        password.extend_from_slice(secret.expose());
        let password = Password::new(password.as_slice());
        let (a, b) = (Identity::new(dialler.as_bytes()), Identity::new(acceptor.as_bytes()));
        let mut seed = Zeroizing::new(*keys.random);
        seed[0] ^= nonce;
        let random = ChaCha20Rng::from_seed(*seed);
        let (state, message) = match role {
            LinkRole::Dialler => Spake2::start_a_with_rng(&password, &a, &b, random),
            LinkRole::Acceptor => Spake2::start_b_with_rng(&password, &a, &b, random),
        };
        let mut sent = [0; MESSAGE_BYTES];
        sent.copy_from_slice(&message);
        Self { role, dialler, acceptor, state, message: sent }
    }

    /// What to send.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Takes the other side's message. Fails when it is none of its role.
    pub fn finish(self, message: &[u8], keys: &LinkKeys) -> Result<Proofs, InvalidMessage> {
        let Self { role, dialler, acceptor, state, message: own } = self;
        let shared = Zeroizing::new(state.finish(message).map_err(|_| InvalidMessage)?);
        let derive = Hkdf::<Sha256>::new(Some(keys.exporter()), &shared);
        let (first, second) = match role {
            LinkRole::Dialler => (own.as_slice(), message),
            LinkRole::Acceptor => (message, own.as_slice()),
        };
        let proof = |of: LinkRole| {
            let label: &[u8] = match of {
                LinkRole::Dialler => b"multipeer admission dialler",
                LinkRole::Acceptor => b"multipeer admission acceptor",
            };
            let mut key = Zeroizing::new([0; 32]);
            derive.expand(label, key.as_mut_slice()).map_err(|_| InvalidMessage)?;
            let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_slice())
                .map_err(|_| InvalidMessage)?;
            for part in
                [label, dialler.as_bytes(), acceptor.as_bytes(), keys.exporter(), first, second]
            {
                mac.update(part);
            }
            Ok(mac)
        };
        let ours = proof(role)?.finalize().into_bytes().into();
        Ok(Proofs { ours, theirs: proof(role.other())? })
    }
}

impl Proofs {
    /// Whether this is what the other side has to show. Takes the same time whatever it is.
    pub fn verify(self, proof: &[u8; PROOF_BYTES]) -> bool {
        self.theirs.verify_slice(proof).is_ok()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({:?})", self.role)
    }
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proofs(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: PeerId = PeerId::from_bytes([1; 32]);
    const BOB: PeerId = PeerId::from_bytes([2; 32]);
    const MALLORY: PeerId = PeerId::from_bytes([3; 32]);

    fn keys(exporter: u8, random: u8) -> LinkKeys {
        LinkKeys::new([exporter; 32], [random; 32])
    }

    fn begin(role: LinkRole, ids: [PeerId; 2], code: &str, keys: &LinkKeys) -> Exchange {
        Exchange::start(role, ids, (Scheme::Passcode, "", &Secret::new(code)), keys, 0)
    }

    /// The proofs of both ends, if the two talk to each other.
    fn run(codes: [&str; 2], ids: [[PeerId; 2]; 2], exporters: [u8; 2]) -> [Proofs; 2] {
        let links = [keys(exporters[0], 7), keys(exporters[1], 8)];
        let alice = begin(LinkRole::Dialler, ids[0], codes[0], &links[0]);
        let bob = begin(LinkRole::Acceptor, ids[1], codes[1], &links[1]);
        let (to_bob, to_alice) = (alice.message().to_vec(), bob.message().to_vec());
        [alice.finish(&to_alice, &links[0]).unwrap(), bob.finish(&to_bob, &links[1]).unwrap()]
    }

    fn agree([alice, bob]: [Proofs; 2]) -> bool {
        let (to_bob, to_alice) = (alice.ours, bob.ours);
        let both = [alice.verify(&to_alice), bob.verify(&to_bob)];
        assert_eq!(both[0], both[1], "one side believes the other and not the other way round");
        both[0]
    }

    const HONEST: [[PeerId; 2]; 2] = [[ALICE, BOB], [BOB, ALICE]];

    #[test]
    fn who_shares_the_secret_agrees_and_nobody_else() {
        assert!(agree(run(["481516", "481516"], HONEST, [9, 9])));
        assert!(!agree(run(["481516", "481517"], HONEST, [9, 9])));
    }

    #[test]
    fn a_relay_between_two_links_gains_nothing() {
        // It forwards every message, and both ends know the code: but each has a link of its own
        // to the one in the middle.
        let relayed = [[ALICE, MALLORY], [BOB, MALLORY]];
        assert!(!agree(run(["481516", "481516"], relayed, [9, 10])));
        // Not even with the exporter of both links the same, nor with the ids.
        assert!(!agree(run(["481516", "481516"], relayed, [9, 9])));
        assert!(!agree(run(["481516", "481516"], HONEST, [9, 10])));
    }

    #[test]
    fn a_reflected_message_or_proof_is_refused() {
        let link = keys(9, 7);
        let alice = begin(LinkRole::Dialler, [ALICE, MALLORY], "481516", &link);
        let own = alice.message().to_vec();
        assert!(alice.finish(&own, &link).is_err());
        let [alice, bob] = run(["481516", "481516"], HONEST, [9, 9]);
        let own = alice.ours;
        assert!(!alice.verify(&own));
        let own = bob.ours;
        assert!(!bob.verify(&own));
    }

    #[test]
    fn a_proof_from_another_time_is_refused() {
        let [_, before] = run(["481516", "481516"], HONEST, [9, 9]);
        let [alice, _] = run(["481516", "481516"], HONEST, [10, 10]);
        assert!(!alice.verify(&before.ours));
    }

    #[test]
    fn both_in_the_same_role_do_not_agree() {
        let link = keys(9, 7);
        let alice = begin(LinkRole::Dialler, [ALICE, BOB], "481516", &link);
        let bob = begin(LinkRole::Dialler, [BOB, ALICE], "481516", &link);
        assert!(alice.finish(bob.message(), &link).is_err());
    }

    #[test]
    fn a_secret_of_another_kind_or_name_is_another_secret() {
        let link = keys(9, 7);
        let secret = Secret::new("0123456789abcdef");
        let start = |role, ids, scheme, name: &str| {
            Exchange::start(role, ids, (scheme, name, &secret), &link, 0)
        };
        for (scheme, name) in [(Scheme::Passcode, "a"), (Scheme::PresharedKey, "b")] {
            let alice = start(LinkRole::Dialler, [ALICE, BOB], Scheme::PresharedKey, "a");
            let bob = start(LinkRole::Acceptor, [BOB, ALICE], scheme, name);
            let messages = (alice.message().to_vec(), bob.message().to_vec());
            let proofs = [
                alice.finish(&messages.1, &link).unwrap(),
                bob.finish(&messages.0, &link).unwrap(),
            ];
            assert!(!agree(proofs));
        }
    }
}
