//! Sessions of those who have certificates.

use multipeer::{
    Certificate, Event, GoodbyeReason, InviteError, Joining, PeerCertificate, Verified,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::{Host, Place};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(authority: &Authority, name: &str) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
        .unwrap()
        .trust_roots(authority.pem().as_bytes())
        .unwrap()
}

async fn start(place: &Place, name: &str, certificate: Certificate) -> Host {
    Host::start(place.builder(name).admission(certificate.admission())).await
}

async fn shown(host: &mut Host) -> PeerCertificate {
    host.wait("a certificate", |event| match event {
        Event::CertificateShown(certificate) => Some(certificate),
        _ => None,
    })
    .await
}

async fn failed(host: &mut Host) -> InviteError {
    host.wait("a refusal", |event| match event {
        Event::InvitationFailed { error, .. } => Some(error),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn those_of_one_organisation_meet_and_others_are_told_what_is_wrong() {
    let place = Place::default();
    let (ours, theirs) = (authority(), authority());
    let mut alice = start(&place, "Alice", issued(&ours, "alice.example")).await;
    let mut bob = start(&place, "Bob", issued(&ours, "bob.example")).await;
    alice.connected_to(&bob).await;
    bob.connected_to(&alice).await;
    let certified = Verified::Certificate { subject: "bob.example".to_owned() };
    assert_eq!(alice.session.verified(bob.id()), Some(certified));
    let mut mallory = start(&place, "Mallory", issued(&theirs, "mallory.example")).await;
    let error = failed(&mut mallory).await;
    assert!(error.is_refused_admission(), "{error:?}");
    assert!(error.to_string().contains("not issued by an authority that is trusted here"));
    let mut carol = place.start("Carol").await;
    let error = failed(&mut carol).await;
    assert!(error.to_string().contains("it asks for a certificate that it trusts"), "{error}");
    assert_eq!(alice.session.peers().len(), 1);
}

#[tokio::test]
async fn an_application_judges_certificates_itself() {
    let place = Place::default();
    let (ours, theirs) = (authority(), authority());
    let asking = issued(&ours, "alice.example").ask_application();
    let mut alice = start(&place, "Alice", asking).await;
    let trusting_both = issued(&theirs, "bob.example").trust_roots(ours.pem().as_bytes()).unwrap();
    let bob = place.builder("Bob").admission(trusting_both.admission());
    let mut bob = Host::start(bob.joining(Joining::Ask)).await;
    let certificate = shown(&mut alice).await;
    assert_eq!(certificate.subject(), "bob.example");
    assert_eq!(certificate.from().id, bob.id());
    assert_eq!(certificate.chain().len(), 1);
    certificate.trust();
    let invitation = bob.wait("an invitation", |event| match event {
        Event::Invitation(invitation) => Some(invitation),
        _ => None,
    });
    invitation.await.accept();
    alice.connected_to(&bob).await;
    let certified = Verified::Certificate { subject: "bob.example".to_owned() };
    assert_eq!(alice.session.verified(bob.id()), Some(certified));
}

#[tokio::test]
async fn a_certificate_that_the_application_rejects_is_refused_with_its_words() {
    let place = Place::default();
    let authority = authority();
    let asking = issued(&authority, "alice.example").ask_application();
    let mut alice = start(&place, "Alice", asking).await;
    let mut bob = start(&place, "Bob", issued(&authority, "bob.example")).await;
    shown(&mut alice).await.reject("revoked on Monday");
    let error = failed(&mut bob).await;
    let InviteError::Refused { reason: GoodbyeReason::NotAdmitted, text } = error else {
        panic!("{error:?}")
    };
    assert_eq!(text, "the certificate was rejected: revoked on Monday");
    assert!(alice.session.peers().is_empty());
}
