//! Admission by certificate: the dialler shows its own, the acceptor checks it and shows its own.

use super::{Event, InviteError, Session, links::Link, proving::Proving};
use crate::{
    frame::{self, Frame, GoodbyeReason, Hello},
    id::LinkId,
    limits::CERTIFICATE_TIMEOUT,
    time::Timestamp,
    trust::{CertificateError, Checked, LinkRole, Verified, link_message},
};

impl Session {
    /// Both sides have certificates, and nothing that either would rather use.
    pub(super) fn begin_certifying(
        &mut self,
        now: Timestamp,
        id: LinkId,
        role: LinkRole,
        hello: Hello,
    ) {
        if role == LinkRole::Dialler
            && let Err(error) = self.show_certificate(id, role)
        {
            return self.refuse_certificate(now, id, error);
        }
        if let Some(link) = self.links.get_mut(&id) {
            if role == LinkRole::Dialler {
                // The other side may have to ask its user.
                link.deadline = now + CERTIFICATE_TIMEOUT;
            }
            link.proving = Some(Proving::certificate(role, hello));
        }
    }

    pub(super) fn handle_certificate(
        &mut self,
        now: Timestamp,
        id: LinkId,
        certificate: frame::Certificate,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let peer = link.peer;
        let Some((role, hello)) = link.proving.take().and_then(Proving::into_certificate) else {
            return;
        };
        let shown = certificate.into();
        let message = self.certificate_message(id, role.other());
        let checked = match self.config.admission.certifier() {
            Some(certifier) => certifier.check(&shown, &message, self.unix(now)),
            // What is asked for was changed meanwhile.
            None => Err(CertificateError::Rejected { text: "not asked for any more".to_owned() }),
        };
        match checked {
            Ok(Checked::Trusted { subject }) => self.trust(now, id, role, hello, subject),
            Ok(Checked::AskApplication { subject }) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.deadline = now + CERTIFICATE_TIMEOUT;
                    link.proving = Some(Proving::verdict(role, hello, subject.clone()));
                }
                let chain = shown.chain;
                self.event(Event::CertificateShown { peer, link: id, subject, chain });
            }
            Err(error) => self.refuse_certificate(now, id, error),
        }
    }

    /// The application has looked at a certificate.
    pub(super) fn judge_certificate(
        &mut self,
        now: Timestamp,
        id: LinkId,
        rejected: Option<String>,
    ) {
        if !self.links.get(&id).is_some_and(Link::awaits_verdict) {
            return;
        }
        if let Some(text) = rejected {
            return self.refuse_certificate(now, id, CertificateError::Rejected { text });
        }
        let proving = self.links.get_mut(&id).and_then(|link| link.proving.take());
        let Some((role, hello, subject, profile)) = proving.and_then(Proving::into_verdict) else {
            return;
        };
        self.trust(now, id, role, hello, subject);
        if let Some(profile) = profile {
            self.handle_profile(now, id, profile);
        }
    }

    fn trust(&mut self, now: Timestamp, id: LinkId, role: LinkRole, hello: Hello, subject: String) {
        if role == LinkRole::Acceptor
            && let Err(error) = self.show_certificate(id, role)
        {
            return self.refuse_certificate(now, id, error);
        }
        self.admit(id, role, hello, Verified::Certificate { subject });
        if let Some(link) = self.links.get_mut(&id) {
            // Its profile comes when the other side trusts this one, for which it may ask its user.
            link.deadline = now + CERTIFICATE_TIMEOUT;
        }
    }

    fn show_certificate(&mut self, id: LinkId, role: LinkRole) -> Result<(), CertificateError> {
        let message = self.certificate_message(id, role);
        if let Some(certifier) = self.config.admission.certifier() {
            let certificate = certifier.show(&message)?;
            self.send(id, Frame::Certificate(certificate.into()));
        }
        Ok(())
    }

    /// What the end of the link with this role signs.
    fn certificate_message(&self, id: LinkId, role: LinkRole) -> Vec<u8> {
        let message = |link: &Link| {
            let (ends, _) = link.ends(self.config.id);
            link_message("certificate", role, &[], ends, &link.keys)
        };
        self.links.get(&id).map(message).unwrap_or_default()
    }

    pub(super) fn refuse_certificate(
        &mut self,
        now: Timestamp,
        id: LinkId,
        error: CertificateError,
    ) {
        let text = error.to_string();
        let error = InviteError::Certificate { error };
        self.turn_away(now, id, GoodbyeReason::NotAdmitted, text, &error);
    }
}
