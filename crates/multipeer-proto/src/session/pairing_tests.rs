//! Ids made for the occasion, and those who know who is behind them.

use super::{
    proving_tests::{Pair, code},
    tests::{config, id, started},
    *,
};
use crate::{frame::Frame, name::DisplayName, trust::Admission, way::Way};

/// Of Alice, who is 77 to those whom she has admitted, and paired with Bob.
fn alice(announce: Announce, admission: Admission) -> Config {
    Config {
        announce,
        lasting: Some(id(77).into()),
        paired: vec![(id(2), DisplayName::new("Bob's laptop").unwrap())],
        admission,
        ..config(1)
    }
}

fn listed(byte: u8) -> Admission {
    Admission::allowlist([id(byte)])
}

/// Alice is private, and Bob takes those whom this takes.
fn met(announce: Announce, admission: Admission, bob: Admission) -> Pair {
    let mut pair = Pair::new(Admission::open(), bob);
    pair.alice = started(alice(announce, admission));
    pair.join();
    pair
}

#[test]
fn a_lasting_id_is_shown_to_the_admitted_and_a_false_one_ends_the_link() {
    let pair = met(Announce::Private, code("481-516"), code("481-516"));
    let known = |session: &Session| session.peers().next().map(|peer| peer.known_id());
    assert_eq!(known(&pair.bob), Some(id(77)));
    assert_eq!(known(&pair.alice), Some(id(2)));

    let mut pair = Pair::new(code("481-516"), code("481-516"));
    pair.alice = started(alice(Announce::Private, code("481-516")));
    pair.tamper = |frame| {
        if let Frame::Profile(profile) = frame
            && let Some(lasting) = &mut profile.lasting
        {
            lasting.id = id(78);
        }
        true
    };
    pair.join();
    assert_eq!(pair.bob.peers().count(), 0);
    assert_eq!(pair.closed[1].last().unwrap().0, GoodbyeReason::Protocol);
}

#[test]
fn a_paired_peer_is_admitted_by_its_lasting_id_under_one_for_the_occasion() {
    let pair = met(Announce::Private, listed(2), listed(77));
    assert_eq!(pair.admitted(), [Some(Verified::Allowlist), Some(Verified::Allowlist)]);
    assert_eq!(pair.bob.peers().next().unwrap().lasting_id, Some(id(77)));
    let pair = met(Announce::Private, listed(2), listed(78));
    assert_eq!(pair.bob.peers().count(), 0);
    assert_eq!(pair.closing(1).0, GoodbyeReason::NotAdmitted);
}

#[test]
fn who_repeats_the_tags_of_another_link_is_not_admitted() {
    let mut pair = Pair::new(Admission::open(), listed(77));
    pair.alice = started(alice(Announce::Private, listed(2)));
    // Somebody in between: each end has a link of its own to it, with an exporter of its own.
    pair.meet_over(LinkId(1), [9, 10]);
    assert_eq!(pair.closing(1).0, GoodbyeReason::NotAdmitted);
}

#[test]
fn who_was_taken_by_one_lasting_id_cannot_present_another() {
    let mut pair = Pair::new(Admission::open(), listed(77));
    pair.alice = started(alice(Announce::Private, listed(2)));
    pair.tamper = |frame| {
        if let Frame::Profile(profile) = frame {
            profile.lasting = None;
        }
        true
    };
    pair.join();
    assert_eq!(pair.closing(1).0, GoodbyeReason::Protocol);
}

/// What Bob, who is paired with 77, makes of Alice's announcement.
fn heard(announce: Announce, listener: Config) -> PeerInfo {
    let mut alice = started(alice(announce, listed(2)));
    let announcement = std::iter::from_fn(|| alice.poll()).find_map(|output| match output {
        Output::Announce(announcement) => Some(announcement),
        _ => None,
    });
    let announcement = announcement.unwrap();
    assert_eq!((announcement.name.as_ref(), announcement.peer), (None, id(1)));
    let mut bob = started(listener);
    bob.handle(
        Timestamp::ZERO,
        Input::Discovered { announcement, addresses: Vec::new(), way: Way::Mdns },
    );
    bob.nearby().next().unwrap()
}

#[test]
fn paired_devices_recognise_who_announces_itself_and_nobody_else_does() {
    let name = || DisplayName::new("Alice's phone").unwrap();
    let bob = |byte| Config { paired: vec![(id(77), name())], ..config(byte) };
    let recognised = heard(Announce::Paired, bob(2));
    assert_eq!((recognised.known_id(), recognised.name), (id(77), name()));
    let on_the_list = Config { admission: listed(77), ..config(2) };
    assert_eq!(heard(Announce::Paired, on_the_list).lasting_id, Some(id(77)));
    let unnamed = PeerInfo { ways: Way::Mdns.into(), ..PeerInfo::unnamed(id(1)) };
    assert_eq!(heard(Announce::Paired, bob(3)), unnamed, "not paired with her");
    assert_eq!(heard(Announce::Private, bob(2)), unnamed);
}
