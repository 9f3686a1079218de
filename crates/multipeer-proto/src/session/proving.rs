//! Admission: what a peer shows on a link before it is listened to.
//!
//! Both hellos name the secrets that their sender has, each with the first message of an exchange.
//! The first of the dialler's that the acceptor has, too, is the one that is run. The dialler shows
//! its proof first, the acceptor checks it and shows its own; so with certificates (`certifying`). One that has no secret in common with
//! this side is taken if it is on the list or the session is open, or if a member that has admitted it
//! says so, and refused otherwise. Who is in the session already has nothing to prove again.

use std::collections::BTreeMap;

use bytes::Bytes;
use minicbor::bytes::ByteVec;

use super::{Direction, Event, InviteError, Session, links::Link};
use crate::{
    frame::{ExchangeOffer, Frame, GoodbyeReason, Hello, Profile, Proof},
    id::{LinkId, PeerId},
    limits::{
        MAX_WRONG_PROOFS, MAX_WRONG_PROVERS, VOUCHER_TIMEOUT, WRONG_PROOF_BURST,
        WRONG_PROOF_INTERVAL,
    },
    recent::RecentCount,
    time::Timestamp,
    trust::{
        Admission, CERTIFICATE_SCHEME, Exchange, LastingId, LinkKeys, LinkRole, Proofs, Scheme,
        Subject, Verified, VoucherError,
    },
};

/// A link on which the peer is not admitted yet, or has not presented itself.
#[derive(Debug)]
pub(super) struct Proving {
    role: LinkRole,
    /// The member that the peer was when the link came up.
    remembered: Option<Remembered>,
    stage: Stage,
}

#[derive(Debug)]
struct Remembered {
    incarnation: u64,
    verified: Verified,
}

#[derive(Debug)]
enum Stage {
    /// The other side's hello is waited for.
    Hello(Vec<Begun>),
    /// Its proof is waited for.
    Proof(Box<Awaited>),
    /// It has none: the word of a member for it is waited for. The other side may have admitted this
    /// one meanwhile.
    Voucher(Box<Hello>, Option<Profile>),
    /// Its certificate is waited for.
    Certificate(Box<Hello>),
    /// The application looks at its certificate. The other side may have admitted this one meanwhile.
    Verdict(Box<Hello>, String, Option<Profile>),
    /// It is admitted: its profile is waited for.
    Profile(Box<Hello>),
}

/// What this side's hello says that it can prove.
#[derive(Debug)]
struct Begun {
    scheme: u8,
    name: String,
    means: Means,
}

#[derive(Debug)]
enum Means {
    /// An exchange of which this side's half is in the hello.
    Secret(Scheme, Box<Exchange>),
    /// A certificate, which is shown as a whole.
    Certificate,
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

    pub(super) fn awaits_voucher(&self) -> bool {
        matches!(self.stage, Stage::Voucher(..))
    }

    pub(super) fn awaits_profile(&self) -> bool {
        matches!(
            self.stage,
            Stage::Profile(_) | Stage::Voucher(_, None) | Stage::Verdict(_, _, None)
        )
    }

    pub(super) fn awaits_certificate(&self) -> bool {
        matches!(self.stage, Stage::Certificate(_))
    }

    pub(super) fn awaits_verdict(&self) -> bool {
        matches!(self.stage, Stage::Verdict(..))
    }

    /// Waits for the peer's certificate.
    pub(super) fn certificate(role: LinkRole, hello: Hello) -> Self {
        Self { role, remembered: None, stage: Stage::Certificate(Box::new(hello)) }
    }

    pub(super) fn into_certificate(self) -> Option<(LinkRole, Hello)> {
        match self.stage {
            Stage::Certificate(hello) => Some((self.role, *hello)),
            _ => None,
        }
    }

    /// Waits for what the application says about the certificate of this subject.
    pub(super) fn verdict(role: LinkRole, hello: Hello, subject: String) -> Self {
        Self { role, remembered: None, stage: Stage::Verdict(Box::new(hello), subject, None) }
    }

    pub(super) fn into_verdict(self) -> Option<(LinkRole, Hello, String, Option<Profile>)> {
        match self.stage {
            Stage::Verdict(hello, subject, profile) => Some((self.role, *hello, subject, profile)),
            _ => None,
        }
    }

    /// The incarnation of the peer that was a member when the link came up.
    pub(super) fn remembers(&self) -> Option<u64> {
        self.remembered.as_ref().map(|remembered| remembered.incarnation)
    }

    /// When this side showed its proof, from which the other side learns whether a guess was right,
    /// if that has shown none since.
    pub(super) fn shown_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Proof(awaited) if self.role == LinkRole::Dialler => Some(awaited.since),
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
        keys: &LinkKeys,
    ) -> (Proving, Vec<ExchangeOffer>) {
        let role = match direction {
            Direction::Dialled { .. } => LinkRole::Dialler,
            Direction::Accepted => LinkRole::Acceptor,
        };
        let ids = [self.config.id, peer];
        let (mut begun, mut offers) = (Vec::new(), Vec::new());
        for (shared, nonce) in self.config.admission.secrets().iter().zip(0..) {
            let secret = (shared.scheme, &*shared.name, &shared.secret);
            let exchange = Exchange::start(role, ids, secret, keys, nonce);
            offers.push(ExchangeOffer {
                scheme: shared.scheme as u8,
                name: shared.name.clone(),
                message: Bytes::copy_from_slice(exchange.message()),
            });
            begun.push(Begun {
                scheme: shared.scheme as u8,
                name: shared.name.clone(),
                means: Means::Secret(shared.scheme, Box::new(exchange)),
            });
        }
        if self.config.admission.certifier().is_some() {
            let (scheme, name) = (CERTIFICATE_SCHEME, String::new());
            offers.push(ExchangeOffer { scheme, name: name.clone(), message: Bytes::new() });
            begun.push(Begun { scheme, name, means: Means::Certificate });
        }
        let remembered = self.remembered(peer);
        (Proving { role, remembered, stage: Stage::Hello(begun) }, offers)
    }

    /// By what the devices with which this peer is paired know it on this link, if it runs under an id made
    /// for the occasion.
    pub(super) fn tags_to_show(
        &self,
        peer: PeerId,
        proving: &Proving,
        keys: &LinkKeys,
    ) -> Option<ByteVec> {
        self.config.lasting.as_ref()?;
        let ends = match proving.role {
            LinkRole::Dialler => [self.config.id, peer],
            LinkRole::Acceptor => [peer, self.config.id],
        };
        Some(self.pairing.shown(proving.role, ends, keys)?.into())
    }

    fn remembered(&self, peer: PeerId) -> Option<Remembered> {
        let member = self.connected_member(peer)?;
        let (incarnation, verified) = (member.incarnation?, member.verified.clone()?);
        Some(Remembered { incarnation, verified })
    }

    /// The other side has said hello, and what it can prove.
    pub(super) fn prove(&mut self, now: Timestamp, id: LinkId, hello: Hello) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let peer = link.peer;
        let Some(Proving { role, remembered, stage: Stage::Hello(begun) }) = link.proving.take()
        else {
            return;
        };
        let own_incarnation = Some(self.config.incarnation);
        if let Some(Remembered { incarnation, verified }) = remembered
            && (hello.incarnation, hello.remembers) == (incarnation, own_incarnation)
        {
            // Each was admitted by the other before, and the link shows that it is they.
            return self.admit(id, role, hello, verified);
        }
        let Some((ours, message)) = common(role, begun, &hello.exchanges) else {
            let (ends, peer_role) = link.ends(self.config.id);
            let tags = hello.tags.as_ref();
            let known = tags.and_then(|t| self.pairing.check(t, peer_role, ends, &link.keys));
            return match self.config.admission.takes(peer, known) {
                Some(verified) => {
                    link.known = known;
                    self.admit(id, role, hello, verified);
                }
                None => self.await_voucher(now, id, peer, role, hello),
            };
        };
        let Begun { name, means: Means::Secret(scheme, exchange), .. } = ours else {
            return self.begin_certifying(now, id, role, hello);
        };
        let Ok(proofs) = exchange.finish(&message, &link.keys) else {
            self.note_wrong_proof(now, peer);
            return self.misbehaved(now, id, "the message of an exchange is none");
        };
        let awaited = Awaited { since: now, hello, proofs, scheme, name };
        let confirmation = awaited.proofs.ours;
        link.proving =
            Some(Proving { role, remembered: None, stage: Stage::Proof(Box::new(awaited)) });
        if role == LinkRole::Dialler {
            self.send(id, Frame::Proof(Proof { confirmation }));
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
            let error = InviteError::WrongSecret { scheme, name };
            let text = error.to_string();
            return self.turn_away(now, id, GoodbyeReason::NotAdmitted, text, &error);
        }
        if role == LinkRole::Acceptor {
            self.send(id, Frame::Proof(ours));
        }
        self.wrong_proofs.by_peer.remove(&peer);
        self.admit(id, role, hello, Verified::by_secret(scheme, &name));
    }

    /// The peer may be here: it is told this side's name, and tells its own.
    pub(super) fn admit(&mut self, id: LinkId, role: LinkRole, hello: Hello, verified: Verified) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.verified = Some(verified);
        let stage = Stage::Profile(Box::new(hello));
        link.proving = Some(Proving { role, remembered: None, stage });
        let (ends, _) = link.ends(self.config.id);
        let prove = |keys| LastingId::prove(keys, role, ends, &link.keys);
        let lasting = self.config.lasting.as_ref().map(prove);
        let (name, info) = (self.config.name.clone(), self.config.info.clone());
        self.send(id, Frame::Profile(Profile { name, info, lasting }));
    }

    pub(super) fn handle_profile(&mut self, now: Timestamp, id: LinkId, profile: Profile) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.proving.take() {
            Some(Proving { stage: Stage::Profile(hello), .. }) => {
                self.present(now, id, *hello, profile);
            }
            Some(Proving { role, remembered, stage: Stage::Voucher(hello, None) }) => {
                let stage = Stage::Voucher(hello, Some(profile));
                link.proving = Some(Proving { role, remembered, stage });
            }
            Some(Proving { role, remembered, stage: Stage::Verdict(hello, subject, None) }) => {
                let stage = Stage::Verdict(hello, subject, Some(profile));
                link.proving = Some(Proving { role, remembered, stage });
            }
            _ => {}
        }
    }

    /// The peer has nothing that this side asks for, unless a member vouches for it.
    fn await_voucher(
        &mut self,
        now: Timestamp,
        id: LinkId,
        peer: PeerId,
        role: LinkRole,
        hello: Hello,
    ) {
        let introduced_by = hello.introduced_by;
        let introduced = introduced_by.is_some_and(|by| self.is_connected(by));
        let vouched = self.members.get(&peer).is_some_and(|member| member.voucher.is_some());
        if !self.config.admission.takes_vouchers() || !(introduced || vouched) {
            return self.refuse(now, id, None);
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        link.deadline = link.deadline.min(now + VOUCHER_TIMEOUT);
        let stage = Stage::Voucher(Box::new(hello), None);
        link.proving = Some(Proving { role, remembered: None, stage });
        self.prove_by_voucher(now, peer);
        if self.links.get(&id).is_some_and(Link::awaits_voucher) {
            self.enquire(peer, introduced_by);
        }
    }

    /// Lets the peer in by a voucher, if it waits for that and there is one that holds. The next one may
    /// be better: it has a while.
    pub(super) fn prove_by_voucher(&mut self, now: Timestamp, peer: PeerId) {
        let vouched = |(&id, link): (&LinkId, &Link)| match &link.proving {
            Some(Proving { stage: Stage::Voucher(hello, _), .. }) if link.peer == peer => {
                let verified = self.vouched(now, peer, hello.incarnation)?.ok()?;
                Some((id, verified))
            }
            _ => None,
        };
        for (id, verified) in self.links.iter().filter_map(vouched).collect::<Vec<_>>() {
            let proving = self.links.get_mut(&id).and_then(|link| link.proving.take());
            let Some(Proving { role, stage: Stage::Voucher(hello, profile), .. }) = proving else {
                continue;
            };
            self.admit(id, role, *hello, verified);
            if let Some(profile) = profile {
                self.handle_profile(now, id, profile);
            }
        }
    }

    /// What the voucher that is kept for a peer is worth, if there is one.
    fn vouched(
        &self,
        now: Timestamp,
        peer: PeerId,
        incarnation: u64,
    ) -> Option<Result<Verified, VoucherError>> {
        let voucher = self.members.get(&peer)?.voucher.as_ref()?;
        Some(self.check_voucher(now, Subject { peer, incarnation }, voucher))
    }

    /// Nobody has vouched for the peer in time, or not as is asked for.
    pub(super) fn refuse_unvouched(&mut self, now: Timestamp, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let Some(Proving { stage: Stage::Voucher(hello, _), .. }) = &link.proving else { return };
        let vouched = self.vouched(now, link.peer, hello.incarnation);
        self.refuse(now, id, vouched.and_then(Result::err));
    }

    /// The peer has nothing that this side asks for.
    fn refuse(&mut self, now: Timestamp, id: LinkId, voucher: Option<VoucherError>) {
        let mut demand = self.config.admission.demand();
        if let Some(error) = voucher {
            demand = format!("{demand}; {error}");
        }
        let error = InviteError::NotAdmitted { demand: demand.clone() };
        self.turn_away(now, id, GoodbyeReason::NotAdmitted, demand, &error);
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
        self.pairing = self.config.pairing();
        self.wrong_proofs = WrongProofs::default();
        self.invite_refused_again();
    }
}

/// The exchange that both sides have begun: the first of the dialler's that the acceptor has. With
/// the other side's message.
fn common(role: LinkRole, begun: Vec<Begun>, theirs: &[ExchangeOffer]) -> Option<(Begun, Bytes)> {
    let matches = |ours: &Begun, offer: &ExchangeOffer| {
        (ours.scheme, &ours.name) == (offer.scheme, &offer.name)
    };
    let index = match role {
        LinkRole::Dialler => {
            begun.iter().position(|ours| theirs.iter().any(|offer| matches(ours, offer)))?
        }
        LinkRole::Acceptor => {
            theirs.iter().find_map(|offer| begun.iter().position(|ours| matches(ours, offer)))?
        }
    };
    let ours = begun.into_iter().nth(index)?;
    let message = theirs.iter().find(|offer| matches(&ours, offer))?.message.clone();
    Some((ours, message))
}
