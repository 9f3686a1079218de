//! Who may bring in others: members that vouch for whom they admitted, or a host alone.

use super::Session;
use crate::{
    frame::{Enquire, Frame, Introduce},
    id::{LinkId, PeerId},
    time::Timestamp,
    trust::{Subject, Verified, Voucher, VoucherError},
};

/// Members that are asked for their word on one peer.
const MAX_ENQUIRIES: usize = 4;

impl Session {
    /// Seconds since 1970, as this peer's clock has it.
    pub(super) fn unix(&self, now: Timestamp) -> u64 {
        (self.config.unix_start + now.since_start()).as_secs()
    }

    /// Whether this peer's word brings somebody in: everyone's does where there is no host.
    pub(super) fn may_bring_in(&self, peer: PeerId) -> bool {
        self.host.is_none_or(|host| host == peer)
    }

    /// What to pass on with a member's record, so that others admit it: this peer's own word if it
    /// has admitted the member by a proof, else the word by which the member came.
    pub(super) fn voucher_for(&mut self, now: Timestamp, peer: PeerId) -> Option<Voucher> {
        let unix = self.unix(now);
        let is_host = self.host == Some(self.config.id);
        let may_vouch = self.may_bring_in(self.config.id);
        let member = self.members.get(&peer)?;
        let own_word = match member.verified.as_ref()? {
            Verified::Voucher { .. } => false,
            // An open session vouches for nobody; but a host's word is its invitation.
            Verified::Open => is_host,
            _ => may_vouch,
        };
        let subject = Subject { peer, incarnation: member.incarnation? };
        let kept = member.voucher.as_ref();
        if !own_word {
            let holds = |voucher: &&Voucher| self.check_voucher(now, subject, voucher).is_ok();
            return kept.filter(holds).cloned();
        }
        let kept = kept.filter(|voucher| voucher.issuer == self.config.id && !voucher.is_due(unix));
        if let Some(kept) = kept {
            return Some(kept.clone());
        }
        let issuer = (&self.config.keys, self.config.incarnation);
        let voucher = Voucher::issue(issuer, &self.config.service, subject, unix);
        self.members.get_mut(&peer)?.voucher = Some(voucher.clone());
        Some(voucher)
    }

    /// Asks those who may have admitted the peer themselves for their word.
    pub(super) fn enquire(&mut self, peer: PeerId, introduced_by: Option<PeerId>) {
        let mut issuers: Vec<(bool, LinkId)> = self
            .members
            .iter()
            .filter(|&(&id, member)| {
                self.may_bring_in(id) && !matches!(member.verified, Some(Verified::Voucher { .. }))
            })
            .filter_map(|(&id, member)| Some((Some(id) != introduced_by, member.attached?)))
            .collect();
        issuers.sort_unstable();
        for (_, link) in issuers.into_iter().take(MAX_ENQUIRIES) {
            self.send(link, Frame::Enquire(Enquire { peer }));
        }
    }

    pub(super) fn handle_enquire(&mut self, now: Timestamp, link: LinkId, peer: PeerId) {
        if let Some(member) = self.record(now, peer).filter(|record| record.voucher.is_some()) {
            self.send(link, Frame::Introduce(Introduce { member }));
        }
    }

    /// Whether the voucher lets the peer in. Its issuer is in the session, and has shown a proof:
    /// who was only vouched for cannot vouch, so that one chain has one link.
    pub(super) fn check_voucher(
        &self,
        now: Timestamp,
        subject: Subject,
        voucher: &Voucher,
    ) -> Result<Verified, VoucherError> {
        let issuer = self.members.get(&voucher.issuer).filter(|member| {
            member.connected
                && member.is_of(voucher.issuer_incarnation)
                && !matches!(member.verified, Some(Verified::Voucher { .. }))
        });
        if issuer.is_none() {
            return Err(VoucherError::NotAMember);
        }
        if !self.may_bring_in(voucher.issuer) {
            return Err(VoucherError::NotHost);
        }
        voucher.check(&self.config.keys, &self.config.service, subject, self.unix(now))?;
        Ok(Verified::Voucher { by: voucher.issuer })
    }
}
