//! Admission: what a peer shows on a link before it is listened to.
//!
//! Both hellos name the secrets that their sender has, each with the first message of an exchange.
//! The first of the dialler's that the acceptor has, too, is the one that is run. The dialler shows
//! its proof first, the acceptor checks it and shows its own. One that has no secret in common with
//! this side is taken if it is on the list or the session is open, and refused otherwise.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Direction, Event, InviteError, Session};
use crate::{
    frame::{ExchangeOffer, Frame, GoodbyeReason, Hello, Proof},
    id::{LinkId, PeerId},
    limits::{MAX_WRONG_PROOFS, MAX_WRONG_PROVERS, WRONG_PROOF_BURST, WRONG_PROOF_INTERVAL},
    recent::RecentCount,
    time::Timestamp,
    trust::{Admission, Exchange, LinkKeys, Proofs, Role, Scheme, Verified},
};

/// A link on which the peer is not admitted yet.
#[derive(Debug)]
pub(super) struct Proving {
    role: Role,
    keys: LinkKeys,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The other side's hello is waited for.
    Hello(Vec<Begun>),
    /// Its proof is waited for.
    Proof(Box<Awaited>),
}

/// An exchange of which this side's half is in its hello.
#[derive(Debug)]
struct Begun {
    scheme: Scheme,
    name: String,
    exchange: Exchange,
}

#[derive(Debug)]
struct Awaited {
    since: Timestamp,
    hello: Hello,
    proofs: Proofs,
    scheme: Scheme,
    name: String,
}

impl Proving {
    pub(super) fn awaits_hello(&self) -> bool {
        matches!(self.stage, Stage::Hello(_))
    }

    pub(super) fn awaits_proof(&self) -> bool {
        matches!(self.stage, Stage::Proof(_))
    }

    /// When this side showed its proof, from which the other side learns whether a guess was right,
    /// if that has shown none since.
    pub(super) fn shown_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Proof(awaited) if self.role == Role::Dialler => Some(awaited.since),
            _ => None,
        }
    }
}

/// Who has shown wrong proofs, and how many there were of late.
#[derive(Debug)]
pub(super) struct WrongProofs {
    by_peer: BTreeMap<PeerId, u32>,
    /// Whoever they were of: however many ids somebody has, there is time for few guesses.
    recent: RecentCount,
}

impl Default for WrongProofs {
    fn default() -> Self {
        Self { by_peer: BTreeMap::new(), recent: RecentCount::new(WRONG_PROOF_INTERVAL) }
    }
}

impl WrongProofs {
    pub(super) fn len(&self) -> usize {
        self.by_peer.len()
    }

    /// How many count at the moment.
    pub(super) fn recent(&self, now: Timestamp) -> u32 {
        self.recent.get(now)
    }

    pub(super) fn count(&mut self, now: Timestamp) {
        self.recent.add(now);
    }
}

impl Session {
    /// Begins an exchange for each secret of this side.
    pub(super) fn begin_proving(
        &self,
        peer: PeerId,
        direction: Direction,
        keys: LinkKeys,
    ) -> (Proving, Vec<ExchangeOffer>) {
        let role = match direction {
            Direction::Dialled { .. } => Role::Dialler,
            Direction::Accepted => Role::Acceptor,
        };
        let ids = [self.config.id, peer];
        let (mut begun, mut offers) = (Vec::new(), Vec::new());
        for (shared, nonce) in self.config.admission.secrets().iter().zip(0..) {
            let secret = (shared.scheme, &*shared.name, &shared.secret);
            let exchange = Exchange::start(role, ids, secret, &keys, nonce);
            offers.push(ExchangeOffer {
                scheme: shared.scheme as u8,
                name: shared.name.clone(),
                message: Bytes::copy_from_slice(exchange.message()),
            });
            begun.push(Begun { scheme: shared.scheme, name: shared.name.clone(), exchange });
        }
        (Proving { role, keys, stage: Stage::Hello(begun) }, offers)
    }

    /// The other side has said hello, and what it can prove.
    pub(super) fn prove(&mut self, now: Timestamp, id: LinkId, hello: Hello) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let peer = link.peer;
        let Some(Proving { role, keys, stage: Stage::Hello(begun) }) = link.proving.take() else {
            return;
        };
        let Some((ours, message)) = common(role, begun, &hello.exchanges) else {
            match self.config.admission.takes(peer) {
                Some(verified) => self.admit(now, id, hello, verified),
                None => self.refuse(now, id, peer),
            }
            return;
        };
        let Begun { scheme, name, exchange } = ours;
        let Ok(proofs) = exchange.finish(&message, &keys) else {
            self.note_wrong_proof(now, peer);
            return self.misbehaved(now, id, "the message of an exchange is none");
        };
        if role == Role::Dialler {
            self.send(id, Frame::Proof(Proof { confirmation: proofs.ours }));
        }
        let awaited = Awaited { since: now, hello, proofs, scheme, name };
        if let Some(link) = self.links.get_mut(&id) {
            link.proving = Some(Proving { role, keys, stage: Stage::Proof(Box::new(awaited)) });
        }
    }

    pub(super) fn handle_proof(&mut self, now: Timestamp, id: LinkId, proof: &Proof) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let peer = link.peer;
        let Some(Proving { role, stage: Stage::Proof(awaited), .. }) = link.proving.take() else {
            return;
        };
        let Awaited { hello, proofs, scheme, name, .. } = *awaited;
        let ours = Proof { confirmation: proofs.ours };
        if !proofs.verify(&proof.confirmation) {
            self.note_wrong_proof(now, peer);
            self.statistics.refused_links += 1;
            let error = InviteError::WrongSecret { scheme, name };
            self.close_link(id, GoodbyeReason::NotAdmitted, error.to_string());
            self.fail_invitations(now, peer, &error);
            return;
        }
        if role == Role::Acceptor {
            self.send(id, Frame::Proof(ours));
        }
        self.wrong_proofs.by_peer.remove(&peer);
        self.admit(now, id, hello, Verified::by_secret(scheme, &name));
    }

    /// The peer has nothing that this side asks for.
    fn refuse(&mut self, now: Timestamp, id: LinkId, peer: PeerId) {
        self.statistics.refused_links += 1;
        let demand = self.config.admission.demand();
        self.close_link(id, GoodbyeReason::NotAdmitted, demand.clone());
        self.fail_invitations(now, peer, &InviteError::NotAdmitted { demand });
    }

    /// Whether there were too many wrong proofs, of the peer or of late. Members are not kept waiting.
    pub(super) fn proofs_wait(&self, now: Timestamp, peer: PeerId) -> bool {
        let wrong = self.wrong_proofs.by_peer.get(&peer).copied().unwrap_or(0);
        let too_many = self.wrong_proofs.recent(now) >= WRONG_PROOF_BURST;
        wrong >= MAX_WRONG_PROOFS || (too_many && !self.members.contains_key(&peer))
    }

    pub(super) fn note_wrong_proof(&mut self, now: Timestamp, peer: PeerId) {
        let is_connected = self.is_connected(peer);
        let wrong = &mut self.wrong_proofs;
        wrong.count(now);
        // It may know what was asked for before, and comes back over another link.
        if is_connected {
            return;
        }
        if wrong.by_peer.len() >= MAX_WRONG_PROVERS && !wrong.by_peer.contains_key(&peer) {
            // Whoever has so many ids is slowed down all the same.
            let least = wrong.by_peer.iter().min_by_key(|(_, count)| **count);
            if let Some(least) = least.map(|(&peer, _)| peer) {
                wrong.by_peer.remove(&least);
            }
        }
        let count = wrong.by_peer.entry(peer).or_default();
        *count += 1;
        if *count == MAX_WRONG_PROOFS {
            self.event(Event::ProofsRefused { peer });
        }
    }

    /// Asks for something else from now on; whoever failed before may try again.
    pub(super) fn set_admission(&mut self, admission: Admission) {
        self.config.admission = admission;
        self.wrong_proofs = WrongProofs::default();
        self.invite_refused_again();
    }
}

/// The exchange that both sides have begun: the first of the dialler's that the acceptor has. With
/// the other side's message.
fn common(role: Role, begun: Vec<Begun>, theirs: &[ExchangeOffer]) -> Option<(Begun, Bytes)> {
    let matches = |ours: &Begun, offer: &ExchangeOffer| {
        (ours.scheme as u8, &ours.name) == (offer.scheme, &offer.name)
    };
    let index = match role {
        Role::Dialler => {
            begun.iter().position(|ours| theirs.iter().any(|offer| matches(ours, offer)))?
        }
        Role::Acceptor => {
            theirs.iter().find_map(|offer| begun.iter().position(|ours| matches(ours, offer)))?
        }
    };
    let ours = begun.into_iter().nth(index)?;
    let message = theirs.iter().find(|offer| matches(&ours, offer))?.message.clone();
    Some((ours, message))
}
