//! Vouchers, removal, hosts: what it takes several to see.

use std::time::Duration;

use super::{
    party::{Party, UNIX, address},
    tests::{config, id},
    *,
};
use crate::{
    frame::{MemberRecord, Remove},
    trust::{Admission, Removal, Subject, Voucher},
};

fn key(number: u8) -> Admission {
    Admission::preshared_key(format!("key {number}"), [number; 32])
}

/// One that shares a key with each of the others, of whom no two share one.
fn star() -> Party {
    Party::of([key(2).or(key(3)).or(key(4)), key(2), key(3), key(4)])
}

#[test]
fn whom_a_member_admitted_the_others_admit_on_its_word() {
    let mut party = star();
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    party.wait(Duration::from_secs(1));
    assert_eq!(party.peers(2), [1, 3]);
    assert_eq!(party.peers(3), [1, 2]);
    assert_eq!(party.verified(3, 1), Some(Verified::PresharedKey { name: "key 3".to_owned() }));
    assert_eq!(party.verified(3, 2), Some(Verified::Voucher { by: id(1) }));
    assert_eq!(party.verified(2, 3), Some(Verified::Voucher { by: id(1) }));
}

#[test]
fn who_takes_no_vouchers_asks_everyone() {
    let strict = key(3).without_vouchers();
    let mut party = Party::of([key(2).or(key(3)), key(2), strict]);
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    party.wait(Duration::from_secs(60));
    assert_eq!(party.peers(3), [1]);
    assert_eq!(party.peers(2), [1]);
}

#[test]
fn who_was_vouched_for_vouches_for_nobody() {
    // 2 knows 4 by a key of their own, and came to 3 by 1's word.
    let mut party = Party::of([key(2).or(key(3)), key(2).or(key(4)), key(3), key(4)]);
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    party.wait(Duration::from_secs(1));
    party.bring_in(2, 4);
    party.wait(Duration::from_secs(60));
    assert_eq!(party.peers(4), [1, 2], "1 takes the word of 2, whose key it has seen");
    assert_eq!(party.peers(3), [1, 2], "3 does not");
}

/// 1 and 2 are connected; 3, which takes everyone but has no key, invites 2 when that has heard of it
/// from 1, with a voucher.
fn with_voucher(voucher: impl Fn(&Party) -> Voucher) -> (Party, Vec<InviteError>) {
    let mut party = Party::of([key(2), key(2), Admission::open()]);
    party.bring_in(1, 2);
    let voucher = Some(voucher(&party));
    let member = MemberRecord { id: id(3), incarnation: 3, addresses: vec![address(3)], voucher };
    let link = party.sessions[&2].attached(id(1)).unwrap();
    party.input(
        2,
        Input::Frame { link, frame: Frame::Introduce(crate::frame::Introduce { member }) },
    );
    party.run();
    party.invite(3, 2);
    party.wait(Duration::from_secs(20));
    let failures = party.failures(3);
    (party, failures)
}

fn issue(issuer: u8, incarnation: u64, subject: Subject, unix: u64) -> Voucher {
    let service = config(issuer).service;
    Voucher::issue((&id(issuer).into(), incarnation), &service, subject, unix)
}

#[test]
fn a_voucher_that_is_not_right_is_refused_with_words() {
    let subject = Subject { peer: id(3), incarnation: 3 };
    let now = UNIX.as_secs();
    let refusal = |voucher: Voucher| {
        let (party, failures) = with_voucher(|_| voucher.clone());
        assert_eq!(party.peers(2), [1]);
        let Some(InviteError::Refused { reason: GoodbyeReason::NotAdmitted, text }) =
            failures.first()
        else {
            panic!("{failures:?}")
        };
        assert!(text.starts_with("it asks for the key \"key 2\"; "), "{text}");
        text.clone()
    };
    let expired = issue(1, 1, subject, now - 86_400);
    assert!(refusal(expired).ends_with("the voucher has expired, or a clock is wrong"));
    let forged = Voucher { signature: [7; 64], ..issue(1, 1, subject, now) };
    assert!(refusal(forged).ends_with("the voucher is forged, or for another peer"));
    let for_another = issue(1, 1, Subject { peer: id(4), ..subject }, now);
    assert!(refusal(for_another).ends_with("the voucher is forged, or for another peer"));
    let of_a_stranger = issue(9, 9, subject, now);
    let words = "the voucher is of somebody who may not vouch";
    assert!(refusal(of_a_stranger).ends_with(words));
    let of_a_former_start = issue(1, 7, subject, now);
    assert!(refusal(of_a_former_start).ends_with(words));
    // The right one, for comparison.
    let (mut party, failures) = with_voucher(|_| issue(1, 1, subject, now));
    party.accept_all();
    assert_eq!(party.peers(2), [1, 3], "{failures:?}");
}

#[test]
fn a_voucher_of_a_removed_member_is_refused() {
    let mut party = Party::of([key(2).or(key(3)), key(2), key(3), key(4)]);
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    party.wait(Duration::from_secs(1));
    party.remove(1, 3, "");
    let subject = Subject { peer: id(4), incarnation: 4 };
    let voucher = issue(3, 3, subject, UNIX.as_secs());
    let error = party.sessions[&2].check_voucher(party.now, subject, &voucher).unwrap_err();
    assert_eq!(error, crate::trust::VoucherError::NotAMember);
}

fn open(count: usize) -> Party {
    let mut party = Party::of(vec![Admission::open(); count]);
    for other in 2..=u8::try_from(count).unwrap() {
        party.bring_in(1, other);
        party.wait(Duration::from_secs(1));
    }
    party
}

#[test]
fn a_removed_member_is_gone_everywhere_and_told_why() {
    let mut party = open(4);
    assert_eq!(party.peers(3), [1, 2, 4]);
    party.remove(2, 4, "too loud");
    let by_2 = DisconnectReason::Removed { by: id(2), text: "too loud".to_owned() };
    for byte in [1, 2, 3] {
        assert_eq!(party.reasons(byte, 4), std::slice::from_ref(&by_2), "{byte}");
        assert!(!party.peers(byte).contains(&4));
        let told = DisconnectReason::Expelled { text: "too loud".to_owned() };
        assert_eq!(party.reasons(4, byte), [told]);
    }
    assert!(party.peers(4).is_empty());
}

#[test]
fn a_removed_member_cannot_come_back_at_once() {
    let mut party = open(3);
    party.remove(1, 3, "too loud");
    party.failures.clear();
    // It knocks, another invites it, and it is started anew.
    party.invite(3, 2);
    party.accept_all();
    assert!(matches!(
        party.failures(3)[..],
        [InviteError::Refused { reason: GoodbyeReason::Removed, ref text }] if text == "too loud"
    ));
    party.invite(2, 3);
    assert_eq!(party.failures(2), [InviteError::Removed { text: "too loud".to_owned() }]);
    party.add(Config { incarnation: 33, ..config(3) }, 3);
    party.invite(3, 1);
    party.wait(Duration::from_secs(10));
    assert_eq!(party.peers(1), [2]);
    // After a while it can.
    party.wait(crate::limits::REMOVAL_DURATION);
    party.bring_in(3, 1);
    assert_eq!(party.peers(1), [2, 3]);
}

#[test]
fn who_was_away_or_came_later_learns_of_the_removal() {
    let mut party = open(4);
    party.cut(1, 3);
    party.cut(2, 3);
    party.input(3, Input::Tick);
    party.remove(1, 4, "");
    // 3 hears it from whoever reaches it first.
    party.wait(Duration::from_secs(5));
    assert_eq!(party.peers(3), [1, 2]);
    party.add(config(5), 5);
    party.bring_in(2, 5);
    party.wait(Duration::from_secs(2));
    assert_eq!(party.peers(5), [1, 2, 3]);
    party.invite(4, 5);
    party.accept_all();
    assert_eq!(party.peers(5), [1, 2, 3], "4 cannot come in through who never met it");
}

#[test]
fn who_removed_and_was_started_anew_still_tells_newcomers() {
    let mut party = open(3);
    party.remove(1, 3, "");
    // 1 starts anew and hears of its own removal from 2, which leaves.
    party.cut(1, 2);
    party.add(Config { incarnation: 11, ..config(1) }, 1);
    party.wait(Duration::from_secs(5));
    party.bring_in(2, 1);
    assert_eq!(party.peers(1), [2]);
    party.command(2, Command::Leave);
    party.wait(Duration::from_secs(5));
    party.add(config(4), 4);
    party.bring_in(1, 4);
    party.invite(3, 4);
    party.accept_all();
    assert_eq!(party.peers(4), [1]);
}

#[test]
fn with_a_host_nobody_else_invites_or_removes() {
    let mut party = Party::default();
    party.add(Config { inviting: Inviting::HostAlone, ..config(1) }, 1);
    (2..=5).for_each(|byte| party.add(config(byte), byte));
    for other in 2..=4 {
        party.bring_in(1, other);
        party.wait(Duration::from_secs(1));
    }
    assert_eq!(party.peers(3), [1, 2, 4]);
    assert_eq!(party.sessions[&3].host(), Some(id(1)));
    party.failures.clear();

    party.invite(3, 5);
    assert_eq!(party.failures(3), [InviteError::NotHost]);
    party.invite(5, 3);
    party.accept_all();
    let declined = |error: &InviteError| {
        matches!(error, InviteError::Declined { reason: crate::DeclineReason::NotHost, .. })
    };
    assert!(party.failures(5).iter().all(declined), "{:?}", party.failures(5));
    assert!(!party.peers(3).contains(&5));
    // A member that brings in others all the same is not believed.
    let member = MemberRecord { id: id(5), incarnation: 5, addresses: vec![], voucher: None };
    let link = party.sessions[&3].attached(id(2)).unwrap();
    party.input(
        3,
        Input::Frame { link, frame: Frame::Introduce(crate::frame::Introduce { member }) },
    );
    assert!(!party.sessions[&3].members.contains_key(&id(5)));

    assert_eq!(party.sessions[&3].may_remove(id(2)), Err(RemoveError::NotHost));
    party.remove(3, 2, "");
    let removal = Removal::issue(
        (&id(2).into(), 2),
        &config(1).service,
        id(4),
        String::new(),
        UNIX.as_secs() + 60,
    );
    party.input(3, Input::Frame { link, frame: Frame::Remove(Remove { removal }) });
    party.run();
    assert!(party.events.contains(&(3, Event::RemovalRefused { by: id(2), subject: id(4) })));
    assert_eq!(party.peers(3), [1, 2, 4]);
    party.remove(1, 2, "");
    assert_eq!(party.peers(3), [1, 4]);
}

#[test]
fn members_of_a_host_find_back_to_each_other_by_its_word() {
    let mut party = Party::default();
    party.add(Config { inviting: Inviting::HostAlone, ..config(1) }, 1);
    (2..=3).for_each(|byte| party.add(config(byte), byte));
    party.bring_in(1, 2);
    party.bring_in(1, 3);
    party.wait(Duration::from_secs(1));
    party.cut(2, 3);
    party.wait(Duration::from_secs(3));
    assert_eq!(party.peers(2), [1, 3]);
    assert!(party.reasons(2, 3).is_empty());
}

#[test]
fn a_forged_removal_is_not_believed() {
    let mut party = open(4);
    let until = UNIX.as_secs() + 60;
    let service = config(1).service;
    let removal = |signer: u8, issuer: u8, until| {
        let removal = Removal::issue(
            (&id(signer).into(), signer.into()),
            &service,
            id(4),
            String::new(),
            until,
        );
        Removal { issuer: id(issuer), issuer_incarnation: issuer.into(), ..removal }
    };
    let link = party.sessions[&3].attached(id(2)).unwrap();
    // In another's name; by somebody who is not here; dated too far ahead.
    for forged in [removal(2, 1, until), removal(9, 9, until), removal(2, 2, u64::MAX)] {
        party.input(3, Input::Frame { link, frame: Frame::Remove(Remove { removal: forged }) });
        party.run();
    }
    assert_eq!(party.peers(3), [1, 2, 4]);
    party.input(
        3,
        Input::Frame { link, frame: Frame::Remove(Remove { removal: removal(2, 2, until) }) },
    );
    party.run();
    assert_eq!(party.peers(3), [1, 2]);
}

#[test]
fn who_removes_many_that_never_were_makes_nobody_forget_a_removal() {
    let mut party = open(4);
    party.remove(1, 4, "too loud");
    let link = party.sessions[&3].attached(id(2)).unwrap();
    for number in 0..300_u16 {
        let [high, low] = number.to_be_bytes();
        let mut made_up = [77; 32];
        (made_up[0], made_up[1]) = (high, low);
        let (issuer, service) = ((&id(2).into(), 2), config(1).service);
        let until = UNIX.as_secs() + 60;
        let made_up = PeerId::from_bytes(made_up);
        let removal = Removal::issue(issuer, &service, made_up, String::new(), until);
        party.input(3, Input::Frame { link, frame: Frame::Remove(Remove { removal }) });
    }
    party.run();
    assert_eq!(party.sessions[&3].removed.len(), crate::limits::MAX_REMOVALS);
    assert_eq!(party.sessions[&3].removal_of(id(4)), Some("too loud"));
}

#[test]
fn a_member_comes_back_without_a_proof_after_the_passcode_was_changed() {
    let code = |code| Admission::passcode(code);
    let mut party = Party::of([code("481-516"), code("481-516")]);
    party.bring_in(1, 2);
    party.command(1, Command::SetAdmission(code("999-999")));
    party.cut(1, 2);
    party.wait(Duration::from_secs(5));
    assert!(party.sessions[&1].attached(id(2)).is_some());
    assert!(party.reasons(1, 2).is_empty());
    assert_eq!(party.verified(1, 2), Some(Verified::Passcode));
    // Started anew it has to know the new one.
    party.cut(1, 2);
    party.add(Config { incarnation: 22, admission: code("481-516"), ..config(2) }, 2);
    party.invite(2, 1);
    party.wait(Duration::from_secs(60));
    assert!(party.peers(1).is_empty());
    assert_eq!(party.failures(2).len(), 1);
}
