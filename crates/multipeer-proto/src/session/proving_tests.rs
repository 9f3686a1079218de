//! Two sessions on one link, with what each asks for.

use std::time::Duration;

use bytes::Bytes;

use super::{
    tests::{config, id, started},
    *,
};
use crate::{
    frame::{Accept, Goodbye, Proof},
    trust::{Admission, CertificateError, Certifier, Checked, LinkKeys, Scheme, ShownCertificate},
};

const LINK: LinkId = LinkId(1);

/// Two sessions, and the links between them.
pub(super) struct Pair {
    pub(super) alice: Session,
    pub(super) bob: Session,
    pub(super) now: Timestamp,
    /// What each was told.
    pub(super) events: [Vec<Event>; 2],
    /// Why each closed the link.
    pub(super) closed: [Vec<(GoodbyeReason, String)>; 2],
    /// What somebody on the way changes; false drops it.
    pub(super) tamper: fn(&mut Frame) -> bool,
}

fn session(byte: u8, admission: Admission) -> Session {
    started(Config { admission, ..config(byte) })
}

impl Pair {
    pub(super) fn new(alice: Admission, bob: Admission) -> Self {
        let (alice, bob) = (session(1, alice), session(2, bob));
        let (events, closed) = Default::default();
        Self { alice, bob, now: Timestamp::ZERO, events, closed, tamper: |_| true }
    }

    /// Alice dials Bob over a link with these exporters at the two ends.
    pub(super) fn meet_over(&mut self, link: LinkId, exporters: [u8; 2]) {
        let (alice, bob) = (self.alice.id(), self.bob.id());
        let keys = |side: usize| LinkKeys::new([exporters[side]; 32], [50 + exporters[side]; 32]);
        let dialled = Direction::Dialled { attempt: link.0 };
        for (session, peer, direction, keys) in [
            (&mut self.alice, bob, dialled, keys(0)),
            (&mut self.bob, alice, Direction::Accepted, keys(1)),
        ] {
            session.handle(self.now, Input::LinkUp { link, peer, direction, remote: None, keys });
        }
        self.run();
    }

    pub(super) fn meet(&mut self) {
        self.meet_over(LINK, [9, 9]);
    }

    /// Alice dials Bob and invites him, who comes.
    pub(super) fn join(&mut self) {
        self.meet();
        let invite = Command::Invite {
            invitation: InvitationId(1),
            peer: id(2),
            context: Bytes::new(),
            timeout: Duration::from_secs(60),
        };
        self.alice.handle(self.now, Input::Command(invite));
        self.run();
    }

    /// Until neither has anything more to say.
    pub(super) fn run(&mut self) {
        loop {
            let mut quiet = true;
            for side in [0, 1] {
                let (from, to) = match side {
                    0 => (&mut self.alice, &mut self.bob),
                    _ => (&mut self.bob, &mut self.alice),
                };
                while let Some(output) = from.poll() {
                    quiet = false;
                    match output {
                        Output::SendFrame { link, mut frame } => {
                            let passes = (self.tamper)(&mut frame);
                            if passes {
                                to.handle(self.now, Input::Frame { link, frame });
                            }
                        }
                        Output::CloseLink { link, reason, text } => {
                            let goodbye = Goodbye { reason, text: text.clone() };
                            let frame = Frame::Goodbye(goodbye);
                            to.handle(self.now, Input::Frame { link, frame });
                            self.closed[side].push((reason, text));
                        }
                        Output::Event(event) => self.events[side].push(event),
                        _ => {}
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Whether each has the other on the link, and how each has been shown.
    pub(super) fn admitted(&self) -> [Option<Verified>; 2] {
        [&self.alice, &self.bob].map(|session| {
            let mut links = session.links.values();
            links.find_map(|link| link.verified.clone())
        })
    }

    pub(super) fn closing(&self, side: usize) -> (GoodbyeReason, &str) {
        let (reason, text) = &self.closed[side][0];
        (*reason, text)
    }
}

pub(super) fn code(code: &str) -> Admission {
    Admission::passcode(code)
}

#[test]
fn both_that_know_the_passcode_are_admitted_and_verified() {
    let mut pair = Pair::new(code("481-516"), code("481516"));
    pair.meet();
    assert_eq!(pair.admitted(), [Some(Verified::Passcode), Some(Verified::Passcode)]);
}

#[test]
fn a_wrong_passcode_is_refused_by_both_with_words() {
    let mut pair = Pair::new(code("481-516"), code("481-517"));
    pair.meet();
    assert_eq!(pair.admitted(), [None, None]);
    let (reason, text) = pair.closing(1);
    assert_eq!(reason, GoodbyeReason::NotAdmitted);
    assert_eq!(text, "the passcodes of the two sides differ");
}

#[test]
fn who_has_no_passcode_is_told_that_one_is_asked_for() {
    for alice in [Admission::open(), Admission::allowlist([id(2)])] {
        let mut pair = Pair::new(alice, code("481-516"));
        pair.meet();
        assert_eq!(pair.admitted(), [None, None]);
        let closing = pair.closing(1);
        assert_eq!(closing, (GoodbyeReason::NotAdmitted, "it asks for its passcode"));
    }
}

#[test]
fn the_key_that_both_have_is_the_one_that_is_proven() {
    let key = |name: &str, byte| Admission::preshared_key(name, [byte; 16]);
    // The fleet changes from the old key to the new one.
    let mut pair = Pair::new(key("new", 2).or(key("old", 1)), key("old", 1));
    pair.meet();
    let old = Verified::PresharedKey { name: "old".to_owned() };
    assert_eq!(pair.admitted(), [Some(old.clone()), Some(old)]);
    let mut pair = Pair::new(key("old", 1).or(key("new", 2)), key("new", 2).or(key("old", 3)));
    pair.meet();
    // Of several the dialler's first is taken, and there the two differ.
    assert_eq!(pair.admitted(), [None, None]);
    assert_eq!(pair.closing(1).1, "the keys called \"old\" of the two sides differ");
}

#[test]
fn only_ids_on_the_list_are_taken() {
    let mut pair = Pair::new(Admission::open(), Admission::allowlist([id(1)]));
    pair.meet();
    assert_eq!(pair.admitted(), [Some(Verified::Open), Some(Verified::Allowlist)]);
    let mut pair = Pair::new(Admission::open(), Admission::allowlist([id(7)]));
    pair.meet();
    assert_eq!(pair.admitted()[1], None);
    assert_eq!(pair.closing(1).1, "it asks for an id on its list");
}

#[test]
fn one_of_several_proofs_is_enough() {
    let demand = || code("481-516").or(Admission::allowlist([id(1)]));
    let mut pair = Pair::new(Admission::open(), demand());
    pair.meet();
    assert_eq!(pair.admitted()[1], Some(Verified::Allowlist));
    let mut pair = Pair::new(code("481-516"), demand());
    pair.meet();
    assert_eq!(pair.admitted()[1], Some(Verified::Passcode));
}

#[test]
fn a_demand_cannot_be_talked_down() {
    let mut pair = Pair::new(code("481-516"), code("481-516"));
    // Someone on the way, were there one, takes the exchanges out of the hellos.
    pair.tamper = |frame| {
        if let Frame::Hello(hello) = frame {
            hello.exchanges.clear();
        }
        true
    };
    pair.meet();
    assert_eq!(pair.admitted(), [None, None]);
}

#[test]
fn proofs_are_worth_nothing_on_another_link() {
    // What a relay with two links sees: it forwards everything, and knows nothing.
    let mut pair = Pair::new(code("481-516"), code("481-516"));
    pair.meet_over(LINK, [9, 10]);
    assert_eq!(pair.admitted(), [None, None]);
}

#[test]
fn changed_proofs_and_messages_are_refused() {
    let tampers: [fn(&mut Frame) -> bool; 3] = [
        |frame| {
            if let Frame::Proof(Proof { confirmation }) = frame {
                confirmation[31] ^= 1;
            }
            true
        },
        |frame| {
            if let Frame::Hello(hello) = frame {
                hello.exchanges[0].message = Bytes::from_static(b"short");
            }
            true
        },
        |frame| {
            if let Frame::Hello(hello) = frame {
                hello.exchanges[0].scheme = Scheme::PresharedKey as u8;
            }
            true
        },
    ];
    for tamper in tampers {
        let mut pair = Pair::new(code("481-516"), code("481-516"));
        pair.tamper = tamper;
        pair.meet();
        assert_eq!(pair.admitted(), [None, None]);
    }
}

#[test]
fn nothing_is_heard_from_whom_has_not_shown_its_proof() {
    let mut pair = Pair::new(code("481-516"), code("481-516"));
    pair.tamper = |frame| !matches!(frame, Frame::Proof(_));
    pair.meet();
    // Bob waits for Alice's proof, and gets an invitation instead.
    let invite = Frame::Invite(crate::frame::Invite {
        invitation: InvitationId(1),
        context: Bytes::new(),
        timeout_millis: 1000,
    });
    pair.bob.handle(Timestamp::ZERO, Input::Frame { link: LINK, frame: invite });
    pair.run();
    assert_eq!(pair.closing(1).0, GoodbyeReason::Protocol);
    assert!(!pair.events[1].iter().any(|event| matches!(event, Event::Invitation { .. })));
}

#[test]
fn after_three_wrong_proofs_a_peer_is_not_listened_to_any_more() {
    let mut pair = Pair::new(code("481-517"), code("481-516"));
    for number in 1..=3 {
        pair.meet_over(LinkId(number), [9, 9]);
        pair.now = pair.now + Duration::from_secs(20);
    }
    let refused = |pair: &Pair| {
        let told = pair.events[1].iter();
        told.filter(|event| **event == Event::ProofsRefused { peer: id(1) }).count()
    };
    assert_eq!(refused(&pair), 1);
    // Now it has the right one, and it is too late for it.
    pair.alice = session(1, code("481-516"));
    pair.meet_over(LinkId(4), [9, 9]);
    assert_eq!(pair.admitted()[1], None);
    // With another code everyone begins anew.
    pair.bob.handle(pair.now, Input::Command(Command::SetAdmission(code("777-777"))));
    pair.alice = session(1, code("777-777"));
    pair.meet_over(LinkId(5), [9, 9]);
    assert_eq!(pair.admitted()[1], Some(Verified::Passcode));
    assert_eq!(refused(&pair), 1);
}

#[test]
fn many_wrong_proofs_keep_strangers_waiting_whoever_showed_them() {
    let mut pair = Pair::new(code("481-517"), code("481-516"));
    for number in 1..=32 {
        // Each time another id.
        pair.alice = session(2 + number, code("481-517"));
        pair.meet_over(LinkId(number.into()), [9, 9]);
    }
    assert!(pair.closed[1].iter().all(|(reason, _)| *reason == GoodbyeReason::NotAdmitted));
    pair.alice = session(100, code("481-516"));
    pair.meet_over(LinkId(100), [9, 9]);
    assert_eq!(pair.closed[1].last().unwrap().0, GoodbyeReason::Busy);
    pair.now = pair.now + Duration::from_secs(10);
    pair.meet_over(LinkId(101), [9, 9]);
    assert_eq!(pair.admitted()[1], Some(Verified::Passcode));
}

#[test]
fn who_looks_at_a_proof_and_shows_none_has_had_its_try() {
    // Bob lets Alice dial, looks at her proof and goes away.
    let mut pair = Pair::new(code("481-516"), code("481-516"));
    pair.tamper = |frame| !matches!(frame, Frame::Proof(_));
    pair.meet();
    pair.alice.handle(pair.now, Input::LinkDown { link: LINK });
    pair.bob.handle(pair.now, Input::LinkDown { link: LINK });
    // Alice has shown something, and Bob has not.
    assert_eq!(pair.alice.wrong_proofs.recent(pair.now), 1);
    assert_eq!(pair.bob.wrong_proofs.recent(pair.now), 0);
    // It may as well have been the network: he is not refused for it.
    pair.tamper = |_| true;
    for number in 2..=9 {
        pair.now = pair.now + Duration::from_secs(20);
        pair.tamper = |frame| !matches!(frame, Frame::Proof(_));
        pair.meet_over(LinkId(number), [9, 9]);
        pair.alice.handle(pair.now, Input::LinkDown { link: LinkId(number) });
        pair.bob.handle(pair.now, Input::LinkDown { link: LinkId(number) });
    }
    pair.now = pair.now + Duration::from_secs(20);
    pair.tamper = |_| true;
    pair.meet_over(LinkId(10), [9, 9]);
    assert_eq!(pair.admitted(), [Some(Verified::Passcode), Some(Verified::Passcode)]);
}

#[test]
fn who_looks_at_a_proof_and_says_nonsense_has_had_its_try() {
    for input in [
        Input::Misbehaved { link: LINK, error: "no frame".to_owned() },
        Input::Frame { link: LINK, frame: Frame::Accept(Accept { invitation: InvitationId(1) }) },
        Input::Frame {
            link: LINK,
            frame: Frame::Goodbye(Goodbye { reason: GoodbyeReason::Full, text: String::new() }),
        },
        Input::Command(Command::Leave),
    ] {
        let mut pair = Pair::new(code("481-516"), code("481-516"));
        pair.tamper = |frame| !matches!(frame, Frame::Proof(_));
        pair.meet();
        pair.alice.handle(pair.now, input);
        assert_eq!(pair.alice.wrong_proofs.recent(pair.now), 1);
    }
}

#[test]
fn a_member_that_comes_back_with_the_former_passcode_is_not_taken_for_a_guesser() {
    let mut pair = Pair::new(code("481-516"), code("481-516"));
    pair.join();
    pair.bob.handle(pair.now, Input::Command(Command::SetAdmission(code("777-777"))));
    pair.bob.handle(pair.now, Input::LinkDown { link: LINK });
    // Started anew, it has to prove what it does not know.
    let admission = code("481-516");
    pair.alice = started(Config { incarnation: 11, admission, ..config(1) });
    for number in 2..=5 {
        pair.meet_over(LinkId(number), [9, 9]);
    }
    // It is refused, and does not make the application change the passcode again.
    assert_eq!(pair.closed[1].last().unwrap().0, GoodbyeReason::NotAdmitted);
    assert!(!pair.events[1].contains(&Event::ProofsRefused { peer: id(1) }));
    assert!(pair.bob.wrong_proofs.recent(pair.now) > 0);
}

#[test]
fn what_is_remembered_of_wrong_proofs_is_bounded() {
    let mut bob = session(2, code("481-516"));
    for number in 0..5000_u64 {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bob.note_wrong_proof(Timestamp::ZERO, PeerId::from_bytes(bytes));
    }
    assert_eq!(bob.wrong_proofs.len(), crate::limits::MAX_WRONG_PROVERS);
}

#[test]
fn a_member_stays_verified_while_its_link_is_replaced() {
    let mut pair = Pair::new(code("481-516"), code("481-516"));
    pair.join();
    assert_eq!(pair.alice.verified(id(2)), Some(&Verified::Passcode));
    assert_eq!(pair.bob.verified(id(1)), Some(&Verified::Passcode));
    pair.alice.handle(pair.now, Input::LinkDown { link: LINK });
    assert_eq!(pair.alice.verified(id(2)), Some(&Verified::Passcode));
    assert_eq!(pair.alice.verified(id(3)), None);
}

/// A certificate of a name, for those who trust some names. What is signed stands in the signature.
#[derive(Debug, Clone)]
struct Paper {
    name: &'static str,
    trusted: &'static [&'static str],
    asks: bool,
}

impl Certifier for Paper {
    fn show(&self, message: &[u8]) -> Result<ShownCertificate, CertificateError> {
        let chain = vec![Bytes::from_static(self.name.as_bytes())];
        Ok(ShownCertificate { chain, scheme: 7, signature: Bytes::copy_from_slice(message) })
    }

    fn check(
        &self,
        shown: &ShownCertificate,
        message: &[u8],
        _unix: u64,
    ) -> Result<Checked, CertificateError> {
        let subject = String::from_utf8_lossy(&shown.chain[0]).into_owned();
        if shown.signature != message {
            Err(CertificateError::WrongSignature)
        } else if self.asks {
            Ok(Checked::AskApplication { subject })
        } else if self.trusted.contains(&subject.as_str()) {
            Ok(Checked::Trusted { subject })
        } else {
            Err(CertificateError::UnknownIssuer)
        }
    }
}

fn paper(name: &'static str, trusted: &'static [&'static str]) -> Admission {
    Admission::certificate(Paper { name, trusted, asks: false })
}

fn certified(subject: &str) -> Verified {
    Verified::Certificate { subject: subject.to_owned() }
}

#[test]
fn certificates_that_each_trusts_admit_both() {
    let mut pair = Pair::new(paper("alice", &["bob"]), paper("bob", &["alice"]));
    pair.join();
    assert_eq!(pair.admitted(), [certified("bob"), certified("alice")].map(Some));
    assert_eq!(pair.alice.peers().count(), 1);
}

#[test]
fn a_certificate_that_one_side_does_not_trust_is_refused_with_words() {
    for (alice, bob) in [(&["bob"][..], &[][..]), (&[], &["alice"])] {
        let mut pair = Pair::new(paper("alice", alice), paper("bob", bob));
        pair.join();
        assert_eq!(pair.alice.peers().count() + pair.bob.peers().count(), 0);
        let words = CertificateError::UnknownIssuer.to_string();
        let refused = (GoodbyeReason::NotAdmitted, words);
        assert!(pair.closed.iter().flatten().any(|closed| *closed == refused), "{:?}", pair.closed);
        assert_eq!(pair.bob.wrong_proofs.len(), 0, "there is nothing to guess");
    }
}

#[test]
fn a_certificate_shown_on_another_link_or_sent_back_is_worth_nothing() {
    // Two links whose exporters differ: somebody in between forwards everything.
    let mut pair = Pair::new(paper("alice", &["bob"]), paper("bob", &["alice"]));
    pair.meet_over(LINK, [9, 8]);
    assert_eq!(pair.admitted(), [None, None]);
    // Bob, who has no certificate, sends Alice's back.
    let mut alice = session(1, paper("alice", &["alice", "bob"]));
    let direction = Direction::Dialled { attempt: 1 };
    let keys = LinkKeys::new([9; 32], [1; 32]);
    let up = Input::LinkUp { link: LINK, peer: id(2), direction, remote: None, keys };
    alice.handle(Timestamp::ZERO, up);
    let mut hello = None;
    while let Some(output) = alice.poll() {
        if let Output::SendFrame { frame: Frame::Hello(own), .. } = output {
            hello = Some(own);
        }
    }
    let hello = Frame::Hello(crate::frame::Hello { attempt: 0, incarnation: 2, ..hello.unwrap() });
    alice.handle(Timestamp::ZERO, Input::Frame { link: LINK, frame: hello });
    let mut reflected = None;
    while let Some(output) = alice.poll() {
        if let Output::SendFrame { frame: frame @ Frame::Certificate(_), .. } = output {
            reflected = Some(frame);
        }
    }
    alice.handle(Timestamp::ZERO, Input::Frame { link: LINK, frame: reflected.unwrap() });
    let refused = std::iter::from_fn(|| alice.poll()).any(|output| {
        matches!(output, Output::CloseLink { reason: GoodbyeReason::NotAdmitted, .. })
    });
    assert!(refused);
}

#[test]
fn the_application_says_whether_it_trusts_a_certificate() {
    let asking = |name| Admission::certificate(Paper { name, trusted: &[], asks: true });
    let shown = |events: &[Event]| {
        events.iter().find_map(|event| match event {
            Event::CertificateShown { link, subject, .. } => Some((*link, subject.clone())),
            _ => None,
        })
    };
    for (bob_rejects, alice_rejects) in [(false, false), (true, false), (false, true)] {
        let mut pair = Pair::new(asking("alice"), asking("bob"));
        pair.join();
        let judge = |link, rejects: bool| {
            let rejected = rejects.then(|| "who is that?".to_owned());
            Input::Command(Command::JudgeCertificate { link, rejected })
        };
        let (link, subject) = shown(&pair.events[1]).unwrap();
        assert_eq!(subject, "alice");
        pair.bob.handle(pair.now, judge(link, bob_rejects));
        pair.run();
        // Alice takes her time.
        pair.now = pair.now + Duration::from_secs(20);
        pair.alice.handle(pair.now, Input::Tick);
        pair.bob.handle(pair.now, Input::Tick);
        pair.run();
        if let Some((link, subject)) = shown(&pair.events[0]) {
            assert!(!bob_rejects, "whom Bob does not trust sees no certificate of his");
            assert_eq!(subject, "bob");
            pair.alice.handle(pair.now, judge(link, alice_rejects));
            pair.run();
        }
        let expected = usize::from(!bob_rejects && !alice_rejects);
        assert_eq!([&pair.alice, &pair.bob].map(|s| s.peers().count()), [expected; 2]);
    }
}

#[test]
fn a_certificate_that_nobody_judges_is_refused_in_the_end() {
    let asking = Admission::certificate(Paper { name: "bob", trusted: &[], asks: true });
    let mut pair = Pair::new(paper("alice", &["bob"]), asking);
    pair.join();
    pair.now = pair.now + crate::limits::CERTIFICATE_TIMEOUT;
    pair.bob.handle(pair.now, Input::Tick);
    pair.run();
    let words = CertificateError::NoVerdict.to_string();
    assert_eq!(pair.closed[1].last(), Some(&(GoodbyeReason::NotAdmitted, words)));
}

#[test]
fn who_has_a_certificate_and_the_passcode_uses_the_passcode() {
    let both = |name, trusted| code("481-516").or(paper(name, trusted));
    let mut pair = Pair::new(both("alice", &[]), both("bob", &[]));
    pair.join();
    assert_eq!(pair.admitted(), [Some(Verified::Passcode), Some(Verified::Passcode)]);
    let mut pair = Pair::new(both("alice", &["bob"]), paper("bob", &["alice"]));
    pair.join();
    assert_eq!(pair.admitted(), [certified("bob"), certified("alice")].map(Some));
}

#[test]
fn a_dial_that_is_late_gives_way_to_the_link_in_use() {
    let mut pair = Pair::new(Admission::open(), Admission::open());
    pair.join();
    // Begun before the two were linked, and answered after: by its rank it would be the one to keep.
    pair.meet_over(LinkId(2), [7, 7]);
    assert_eq!(pair.closed[0], [(GoodbyeReason::Duplicate, String::new())]);
    for (session, peer) in [(&pair.alice, id(2)), (&pair.bob, id(1))] {
        assert_eq!(session.attached(peer), Some(LINK));
        assert_eq!((session.links.len(), session.peers().count()), (1, 1));
    }
}
