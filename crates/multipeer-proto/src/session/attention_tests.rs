//! Nudges, and peers in the background.

use std::time::Duration;

use super::{proving_tests::Pair, tests::id, *};
use crate::{limits, trust::Admission, way::Way};

fn connected() -> Pair {
    let mut pair = Pair::new(Admission::open(), Admission::open());
    pair.join();
    pair.events = Default::default();
    pair
}

fn nudge(pair: &mut Pair, text: &str) {
    let command = Command::Nudge { peer: id(2), text: text.to_owned() };
    pair.alice.handle(pair.now, Input::Command(command));
    pair.run();
}

fn nudges(pair: &Pair) -> usize {
    pair.events[1].iter().filter(|event| matches!(event, Event::Nudged { .. })).count()
}

#[test]
fn a_nudge_arrives_with_its_text_and_many_are_not_passed_on() {
    let mut pair = connected();
    nudge(&mut pair, "look");
    let expected = Event::Nudged { peer: id(1), text: "look".to_owned() };
    assert_eq!(pair.events[1], [expected]);
    (0..20).for_each(|_| nudge(&mut pair, "look!"));
    assert_eq!(nudges(&pair), 4);
    pair.now = pair.now + limits::NUDGE_INTERVAL;
    (0..20).for_each(|_| nudge(&mut pair, "look!!"));
    assert_eq!(nudges(&pair), 5, "one more in ten seconds");
    assert_eq!(pair.alice.peers().count(), 1);
}

#[test]
fn a_nudge_that_cannot_be_is_refused_with_the_reason() {
    let mut pair = connected();
    assert_eq!(pair.alice.may_nudge(id(2), ""), Ok(()));
    assert_eq!(pair.alice.may_nudge(id(3), ""), Err(NudgeError::NotConnected(id(3))));
    let long = "x".repeat(257);
    assert_eq!(pair.alice.may_nudge(id(2), &long), Err(NudgeError::TooLong { bytes: 257 }));
    nudge(&mut pair, &long);
    assert_eq!(nudges(&pair), 0);
    pair.alice.handle(pair.now, Input::LinkDown { link: LinkId(1) });
    assert_eq!(pair.alice.may_nudge(id(2), ""), Err(NudgeError::NotConnected(id(2))));
}

#[test]
fn activity_is_told_once_and_again_over_the_next_link() {
    let mut pair = connected();
    let set = |pair: &mut Pair, activity| {
        pair.alice.handle(pair.now, Input::Command(Command::SetActivity(activity)));
        pair.run();
    };
    let told = |pair: &mut Pair| std::mem::take(&mut pair.events[1]);
    let changed = |activity| Event::ActivityChanged { peer: id(1), activity };
    set(&mut pair, Activity::Background);
    set(&mut pair, Activity::Background);
    assert_eq!(told(&mut pair), [changed(Activity::Background)]);
    assert_eq!(pair.bob.activity(id(1)), Some(Activity::Background));
    // It changes while there is no link.
    for side in [&mut pair.alice, &mut pair.bob] {
        side.handle(pair.now, Input::LinkDown { link: LinkId(1) });
    }
    set(&mut pair, Activity::Foreground);
    told(&mut pair);
    pair.meet_over(LinkId(2), [7, 7]);
    assert_eq!(told(&mut pair), [changed(Activity::Foreground)]);
}

#[test]
fn in_the_background_a_peer_does_not_browse_or_invite_and_can_be_invited() {
    let mut pair = Pair::new(Admission::open(), Admission::open());
    let outputs =
        |session: &mut Session| -> Vec<Output> { std::iter::from_fn(|| session.poll()).collect() };
    let background = Command::SetActivity(Activity::Background);
    pair.alice.handle(pair.now, Input::Command(background));
    assert!(outputs(&mut pair.alice).contains(&Output::Browse(false)));
    let announcement = |of: u8| {
        let PeerInfo { id, name, info, .. } = PeerInfo::unnamed(id(of));
        Announcement { peer: id, name: Some(name), info, tags: None, role: None }
    };
    let addresses = vec![([10, 0, 0, 2], 2).into()];
    let discovered = Input::Discovered { announcement: announcement(2), addresses, way: Way::Mdns };
    pair.alice.handle(pair.now, discovered);
    pair.now = pair.now + Duration::from_secs(1);
    pair.alice.handle(pair.now, Input::Tick);
    let dials = |outputs: &[Output]| outputs.iter().any(|o| matches!(o, Output::Dial { .. }));
    assert!(!dials(&outputs(&mut pair.alice)));
    pair.join();
    assert_eq!(pair.alice.peers().count(), 1);
    let foreground = Command::SetActivity(Activity::Foreground);
    pair.alice.handle(pair.now, Input::Command(foreground));
    assert!(outputs(&mut pair.alice).contains(&Output::Browse(true)));
}

#[test]
fn an_application_that_is_behind_is_told_of_the_last_activity_once_it_has_caught_up() {
    let mut pair = connected();
    pair.bob.handle(pair.now, Input::Behind(true));
    let turns = [Activity::Background, Activity::Foreground, Activity::Background];
    for activity in turns {
        pair.alice.handle(pair.now, Input::Command(Command::SetActivity(activity)));
        pair.run();
    }
    assert_eq!(pair.events[1], []);
    assert_eq!(pair.bob.activity(id(1)), Some(Activity::Background));
    pair.bob.handle(pair.now, Input::Behind(false));
    pair.run();
    let expected = Event::ActivityChanged { peer: id(1), activity: Activity::Background };
    assert_eq!(pair.events[1], [expected]);
}
