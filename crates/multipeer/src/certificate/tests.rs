//! Certificates that are in order and such that are not.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

use super::*;

/// In 2027.
const NOW: u64 = 1_800_000_000;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut params = params(name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let pem = key.serialize_pem();
        Certificate::from_pem(certificate.pem().as_bytes(), pem.as_bytes()).unwrap()
    }

    fn trusted_by(&self, certificate: Certificate) -> Certificate {
        certificate.trust_roots(self.0.pem().as_bytes()).unwrap()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params
}

fn unchanged(_: &mut CertificateParams) {}

fn check(by: &Certificate, of: &Certificate) -> Result<Checked, CertificateError> {
    by.check(&of.show(b"this link").unwrap(), b"this link", NOW)
}

#[test]
fn what_a_trusted_authority_has_issued_is_taken() {
    let authority = Authority::new();
    let alice = authority.trusted_by(authority.issue("alice.example", unchanged));
    let bob = authority.issue("bob.example", unchanged);
    let subject = "bob.example".to_owned();
    assert_eq!(check(&alice, &bob), Ok(Checked::Trusted { subject }));
}

#[test]
fn what_is_not_in_order_is_refused_for_what_is_wrong() {
    let (authority, other) = (Authority::new(), Authority::new());
    let alice = authority.trusted_by(authority.issue("alice.example", unchanged));
    let problem = |of: &Certificate| check(&alice, of).unwrap_err();
    let expired = authority.issue("bob.example", |p| p.not_after = date_time_ymd(2026, 2, 1));
    assert_eq!(problem(&expired), CertificateError::Expired);
    let early = authority.issue("bob.example", |p| p.not_before = date_time_ymd(2035, 1, 1));
    assert_eq!(problem(&early), CertificateError::NotYetValid);
    assert_eq!(problem(&other.issue("bob.example", unchanged)), CertificateError::UnknownIssuer);
    let for_mail = authority.issue("bob.example", |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    });
    assert_eq!(problem(&for_mail), CertificateError::WrongUsage);
    let for_servers = authority.issue("bob.example", |p| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(check(&alice, &for_servers).is_ok());

    let key = KeyPair::generate().unwrap();
    let own = params("bob.example").self_signed(&key).unwrap();
    let pem = key.serialize_pem();
    let self_signed = Certificate::from_pem(own.pem().as_bytes(), pem.as_bytes()).unwrap();
    assert_eq!(problem(&self_signed), CertificateError::UnknownIssuer);
    // Who trusts nobody yet takes nobody.
    let trusting = authority.issue("carol.example", unchanged);
    let bob = authority.issue("bob.example", unchanged);
    assert_eq!(check(&trusting, &bob), Err(CertificateError::UnknownIssuer));
}

#[test]
fn of_trusted_certificates_those_with_another_name_are_refused() {
    let authority = Authority::new();
    let alice = || authority.trusted_by(authority.issue("alice.example", unchanged));
    let bob = authority.issue("bob.robots.example", unchanged);
    assert!(check(&alice().trust_names(["*.robots.example"]), &bob).is_ok());
    assert!(check(&alice().trust_names(["x", "bob.robots.example"]), &bob).is_ok());
    let error = check(&alice().trust_names(["*.example"]), &bob).unwrap_err();
    assert_eq!(error, CertificateError::WrongName { names: "bob.robots.example".to_owned() });
}

#[test]
fn a_signature_for_something_else_or_by_another_key_is_refused() {
    let authority = Authority::new();
    let alice = authority.trusted_by(authority.issue("alice.example", unchanged));
    let [bob, mallory] = ["bob.example", "mallory.example"].map(|n| authority.issue(n, unchanged));
    let shown = bob.show(b"another link").unwrap();
    let error = alice.check(&shown, b"this link", NOW).unwrap_err();
    assert_eq!(error, CertificateError::WrongSignature);
    // Somebody's certificate with one's own signature.
    let stolen = ShownCertificate { chain: shown.chain, ..mallory.show(b"this link").unwrap() };
    let error = alice.check(&stolen, b"this link", NOW).unwrap_err();
    assert_eq!(error, CertificateError::WrongSignature);
    let unknown = ShownCertificate { scheme: 0xfefe, ..bob.show(b"this link").unwrap() };
    assert_eq!(alice.check(&unknown, b"this link", NOW), Err(CertificateError::WrongSignature));
    let garbage = ShownCertificate { chain: vec![Bytes::from_static(b"no DER")], ..unknown };
    assert!(matches!(
        alice.check(&garbage, b"this link", NOW),
        Err(CertificateError::Malformed { .. })
    ));
}

#[test]
fn a_chain_leads_over_those_between() {
    let authority = Authority::new();
    let mut params_between = CertificateParams::new(Vec::new()).unwrap();
    params_between.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let between =
        CertifiedIssuer::signed_by(params_between, KeyPair::generate().unwrap(), &authority.0)
            .unwrap();
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let own = params("bob.example").signed_by(&key, &between).unwrap();
    let (own, pem) = (own.pem(), key.serialize_pem());
    let whole = format!("{own}{}", between.pem());
    let alice = authority.trusted_by(authority.issue("alice.example", unchanged));
    let bob = Certificate::from_pem(whole.as_bytes(), pem.as_bytes()).unwrap();
    assert!(check(&alice, &bob).is_ok());
    let short = Certificate::from_pem(own.as_bytes(), pem.as_bytes()).unwrap();
    assert_eq!(check(&alice, &short), Err(CertificateError::UnknownIssuer));
}

#[test]
fn files_that_do_not_hold_what_they_should_are_named() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let certificate = params("bob.example").signed_by(&key, &authority.0).unwrap().pem();
    let (pem, other) = (key.serialize_pem(), KeyPair::generate().unwrap().serialize_pem());
    let problem = |chain: &str, key: &str| {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err()
    };
    assert_eq!(problem("", &pem), CertificateFileError::NoCertificate { what: "chain" });
    assert!(matches!(problem(&certificate, ""), CertificateFileError::NoKey { .. }));
    assert_eq!(problem(&certificate, &other), CertificateFileError::WrongKey);
    assert_eq!(problem(&certificate.repeat(9), &pem), CertificateFileError::TooLong);
    let alice = authority.issue("alice.example", unchanged);
    let error = alice.clone().trust_roots(b"nothing").unwrap_err();
    assert_eq!(error, CertificateFileError::NoCertificate { what: "roots" });
    assert!(!format!("{alice:?}").contains("PRIVATE"));
}

#[test]
fn an_asterisk_stands_for_one_label() {
    assert!(matches("robot.example", "Robot.example"));
    assert!(!matches("robot.example", "robot.example.org"));
    assert!(matches("*.example", "robot.example"));
    for wrong in ["example", "a.b.example", ".example", "*.example", "robotexample"] {
        assert!(!matches("*.example", wrong), "{wrong}");
    }
}
