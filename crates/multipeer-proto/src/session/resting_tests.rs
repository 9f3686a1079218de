//! Peers in the background, whose links rest.

use std::time::Duration;

use super::{party::Party, tests::id, *};
use crate::{
    frame,
    limits::{
        DEFAULT_REST_AFTER, DEFAULT_UNVIABLE_AFTER, KEPT_LINKS, LEAVE_TIMEOUT, LISTEN_INTERVAL,
        LONGEST_REST, REST_PATIENCE,
    },
    trust::Admission,
};

/// Time after which what is not used rests, with the answers.
const REST: Duration = DEFAULT_REST_AFTER.saturating_add(Duration::from_secs(1));
const COUNT: u8 = 7;

fn set_activity(party: &mut Party, byte: u8, activity: Activity) {
    party.command(byte, Command::SetActivity(activity));
}

/// Seven that are together. Nobody has anything to say.
fn together() -> Party {
    together_of(COUNT)
}

fn together_of(count: u8) -> Party {
    let mut party = Party::of((0..count).map(|_| Admission::open()));
    for byte in 2..=count {
        party.bring_in(1, byte);
        party.listen(Duration::from_secs(1));
    }
    assert_eq!(party.linked(1).len(), usize::from(count) - 1);
    party.events.clear();
    party
}

/// The first of them is in the background, and its links rest but for a few.
fn at_rest() -> (Party, Vec<u8>) {
    let mut party = together();
    set_activity(&mut party, 1, Activity::Background);
    party.listen(REST);
    let resting = (2..=COUNT).filter(|&byte| party.sessions[&1].is_resting(id(byte))).collect();
    (party, resting)
}

fn wants(party: &mut Party, byte: u8, whom: u8) {
    party.input(byte, Input::Wanted { peer: id(whom) });
    party.run();
}

fn everyone_but(byte: u8) -> Vec<u8> {
    (1..=COUNT).filter(|&other| other != byte).collect()
}

#[test]
fn in_the_background_a_peer_keeps_a_few_links_and_everyone_stays() {
    let (mut party, resting) = at_rest();
    party.listen(Duration::from_mins(1));
    assert_eq!(party.linked(1).len(), KEPT_LINKS);
    assert_eq!(resting.len(), usize::from(COUNT) - 1 - KEPT_LINKS);
    for byte in 1..=COUNT {
        assert_eq!(party.peers(byte), everyone_but(byte));
        assert!(everyone_but(byte).iter().all(|&other| party.sessions[&byte].is_viable(id(other))));
        let rests = party.sessions[&byte].is_resting(id(1));
        assert_eq!(rests, resting.contains(&byte), "{byte}");
    }
    let changes = party.events.iter().filter(|(_, e)| !matches!(e, Event::ActivityChanged { .. }));
    assert_eq!(changes.collect::<Vec<_>>(), Vec::<&(u8, Event)>::new());
}

#[test]
fn in_the_foreground_every_link_is_kept_and_comes_back() {
    let mut party = together();
    party.listen(Duration::from_mins(1));
    assert_eq!(party.linked(1).len(), 6);
    let (mut party, _) = at_rest();
    set_activity(&mut party, 1, Activity::Foreground);
    assert_eq!(party.linked(1), everyone_but(1));
    party.listen(Duration::from_mins(1));
    assert_eq!(party.linked(1), everyone_but(1));
}

#[test]
fn either_end_that_has_something_to_say_has_a_link_at_once() {
    let (mut party, resting) = at_rest();
    let other = resting[0];
    for (from, to) in [(1, other), (other, 1)] {
        party.events.clear();
        wants(&mut party, from, to);
        assert!(party.linked(1).contains(&other), "{from} wants {to}");
        party.listen(REST);
        assert_eq!(party.linked(1).len(), KEPT_LINKS, "it rests again");
        assert!(party.reasons(1, other).is_empty() && party.reasons(other, 1).is_empty());
    }
}

#[test]
fn a_link_on_which_something_is_under_way_at_either_end_does_not_rest() {
    for busy in [1, 4] {
        let mut party = together();
        party.busy.insert(busy);
        set_activity(&mut party, 1, Activity::Background);
        party.listen(Duration::from_mins(2));
        assert!(party.linked(1).contains(&4), "{busy}");
        party.busy.clear();
        party.listen(REST);
        assert_eq!(party.linked(1).len(), KEPT_LINKS, "{busy}");
    }
}

#[test]
fn between_two_in_the_background_a_link_stays_that_one_of_them_keeps() {
    let mut party = together();
    for byte in 1..=COUNT {
        set_activity(&mut party, byte, Activity::Background);
    }
    party.listen(3 * REST);
    for byte in 1..=COUNT {
        assert!(party.linked(byte).len() >= KEPT_LINKS, "{byte}");
        assert_eq!(party.peers(byte), everyone_but(byte));
    }
    assert!(party.links.len() < 21, "{:?}", party.links);
    assert!(party.links.len() <= usize::from(COUNT) * KEPT_LINKS, "{:?}", party.links);
}

#[test]
fn who_comes_meets_those_whose_links_rest() {
    let (mut party, resting) = at_rest();
    let newcomer = COUNT + 1;
    party.add(Config { admission: Admission::open(), ..tests::config(newcomer) }, newcomer);
    party.bring_in(resting[0], newcomer);
    party.listen(Duration::from_secs(2));
    assert!(party.peers(1).contains(&newcomer));
    assert_eq!(party.peers(newcomer), (1..=COUNT).collect::<Vec<_>>());
}

#[test]
fn who_leaves_or_is_removed_is_gone_for_those_whose_links_to_it_rest() {
    let (mut party, resting) = at_rest();
    party.command(1, Command::Leave);
    for byte in party.bytes() {
        // The driver has nothing left to hand over.
        party.input(1, Input::Drained { peer: id(byte) });
    }
    party.run();
    for &byte in &resting {
        assert_eq!(party.reasons(byte, 1), [DisconnectReason::Left]);
    }
    let (mut party, resting) = at_rest();
    let [by, subject, ..] = resting[..] else { panic!("{resting:?}") };
    party.remove(by, subject, "too loud");
    assert!(!party.peers(1).contains(&subject));
}

/// The first of them asks for the rest of a link, and nobody answers.
fn asking() -> (Party, PeerId, LinkId) {
    let mut party = together();
    set_activity(&mut party, 1, Activity::Background);
    party.now = party.now + REST;
    let heard = Input::Heard { links: party.links.keys().copied().collect(), used: Vec::new() };
    let asked = outputs(&mut party, heard).into_iter().filter_map(|output| match output {
        Output::Pause { peer, link } => Some((peer, link)),
        _ => None,
    });
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.len(), 6 - KEPT_LINKS);
    let (peer, link) = asked[0];
    let asks = outputs(&mut party, Input::Paused { peer, link, quiet: true });
    let [Output::SendFrame { link: on, frame: Frame::Rest(ask) }] = &asks[..] else {
        panic!("{asks:?}");
    };
    assert!(*on == link && ask.wanted && ask.witnesses.len() == KEPT_LINKS);
    (party, peer, link)
}

/// What the first wants done upon an input.
fn outputs(party: &mut Party, input: Input) -> Vec<Output> {
    party.input(1, input);
    std::iter::from_fn(|| party.sessions.get_mut(&1).and_then(Session::poll)).collect()
}

#[test]
fn a_link_is_used_again_when_nobody_says_whether_it_may_rest() {
    let (mut party, peer, _) = asking();
    party.now = party.now + REST_PATIENCE;
    let heard = Input::Heard { links: party.links.keys().copied().collect(), used: Vec::new() };
    assert!(outputs(&mut party, heard).contains(&Output::Resume { peer }));
}

#[test]
fn who_leaves_while_it_asks_for_rest_says_so_once_it_is_answered() {
    let drain = |peer| Output::Drain { peer };
    let answers = [
        Frame::Rest(frame::Rest { wanted: false, witnesses: Vec::new() }),
        Frame::Goodbye(frame::Goodbye { reason: GoodbyeReason::Resting, text: String::new() }),
    ];
    for frame in answers {
        let (mut party, peer, link) = asking();
        let left = outputs(&mut party, Input::Command(Command::Leave));
        // What it said there the other side may not read any more.
        assert!(!left.contains(&drain(peer)));
        assert_eq!(left.iter().filter(|o| matches!(o, Output::Drain { .. })).count(), 5);
        let rests = matches!(frame, Frame::Goodbye(_));
        let answered = outputs(&mut party, Input::Frame { link, frame });
        let dials = |o: &Output| matches!(o, Output::Dial { peer: to, .. } if *to == peer);
        assert_eq!(answered.iter().any(dials), rests, "{answered:?}");
        assert_eq!(answered.contains(&drain(peer)), !rests, "{answered:?}");
    }
}

#[test]
fn who_leaves_while_it_wakes_a_link_says_so_on_it() {
    let (mut party, resting) = at_rest();
    let peer = id(resting[0]);
    let woken = outputs(&mut party, Input::Wanted { peer });
    assert!(matches!(woken[..], [Output::Dial { peer: to, .. }] if to == peer), "{woken:?}");
    let left = outputs(&mut party, Input::Command(Command::Leave));
    assert!(!left.iter().any(|o| matches!(o, Output::Dial { peer: to, .. } if *to == peer)));
    party.carry_out(1, woken[0].clone());
    party.run();
    assert!(party.sessions[&1].attached(peer).is_some());
}

#[test]
fn who_leaves_waits_for_a_link_that_it_wakes_whatever_the_window() {
    let mut party = Party::default();
    for byte in 1..=COUNT {
        let reconnect_window = Duration::from_secs(1);
        party.add(Config { reconnect_window, ..tests::config(byte) }, byte);
    }
    everyone_but(1).into_iter().for_each(|byte| party.bring_in(1, byte));
    party.listen(Duration::from_secs(2));
    set_activity(&mut party, 1, Activity::Background);
    party.listen(REST);
    let resting = (2..=COUNT).find(|&byte| party.sessions[&byte].is_resting(id(1))).unwrap();
    let left = outputs(&mut party, Input::Command(Command::Leave));
    // The dial takes longer than the window.
    party.wait(Duration::from_secs(2));
    left.into_iter().for_each(|output| party.carry_out(1, output));
    party.run();
    party.wait(LEAVE_TIMEOUT);
    party.run();
    assert_eq!(party.reasons(1, resting), [DisconnectReason::Local]);
    assert_eq!(party.reasons(resting, 1), [DisconnectReason::Left]);
}

#[test]
fn that_a_peer_is_gone_is_noticed_by_those_whose_links_to_it_rest() {
    let (mut party, resting) = at_rest();
    (2..=COUNT).for_each(|byte| party.part(1, byte));
    party.run();
    party.listen(DEFAULT_UNVIABLE_AFTER + Duration::from_secs(1));
    for &byte in &resting {
        assert!(!party.sessions[&byte].is_viable(id(1)), "{byte}");
    }
    // The one that is cut off has dialled all whose links rested, when those that it kept fell silent.
    assert!((2..=COUNT).all(|byte| !party.sessions[&1].is_viable(id(byte))));
    // The other way round: one in the foreground is gone for the one in the background.
    let (mut party, resting) = at_rest();
    let gone = resting[0];
    everyone_but(gone).into_iter().for_each(|byte| party.part(gone, byte));
    party.run();
    party.listen(DEFAULT_UNVIABLE_AFTER + Duration::from_secs(1));
    assert!(!party.sessions[&1].is_viable(id(gone)));
    party.listen(Duration::from_secs(40));
    assert_eq!(party.reasons(1, gone), [DisconnectReason::TimedOut]);
}

#[test]
fn who_is_cut_off_itself_blames_nobody() {
    let (mut party, _) = at_rest();
    let cut_off = party.linked(1)[0];
    // Nothing comes to it, and what it says arrives.
    for _ in 0..12 {
        party.now = party.now + LISTEN_INTERVAL;
        party.input(cut_off, Input::Heard { links: Vec::new(), used: Vec::new() });
    }
    party.run();
    assert!(!party.sessions[&cut_off].is_viable(id(1)));
    assert_eq!(party.linked(1).len(), KEPT_LINKS);
}

#[test]
fn a_peer_that_was_started_anew_is_not_taken_for_the_one_whose_link_rested() {
    let (mut party, resting) = at_rest();
    let again = resting[0];
    let config = tests::config(again);
    let incarnation = config.incarnation + 1;
    everyone_but(again).into_iter().for_each(|byte| party.cut(again, byte));
    party.add(Config { incarnation, admission: Admission::open(), ..config }, again);
    party.run();
    party.listen(Duration::from_secs(3));
    assert_eq!(party.reasons(1, again), [DisconnectReason::Restarted]);
}

#[test]
fn nobody_rests_for_ever_unseen() {
    let (mut party, resting) = at_rest();
    let other = resting[0];
    // Nobody tells of it.
    party.part(1, other);
    assert!(party.sessions[&1].is_viable(id(other)));
    party.listen(DEFAULT_REST_AFTER * LONGEST_REST + Duration::from_secs(40));
    assert_eq!(party.reasons(1, other), [DisconnectReason::TimedOut]);
    assert_eq!(party.reasons(other, 1), [DisconnectReason::TimedOut]);
}

#[test]
fn that_a_peer_is_gone_with_all_who_would_have_noticed_is_noticed() {
    let mut party = together_of(10);
    set_activity(&mut party, 1, Activity::Background);
    party.listen(REST);
    let mut gone = party.linked(1);
    assert_eq!(gone.len(), KEPT_LINKS);
    gone.push(1);
    for &byte in &gone {
        (1..=10).filter(|&other| other != byte).for_each(|other| party.part(byte, other));
    }
    party.run();
    // First those whose links are in use are missed, then those who named them.
    party.listen(2 * (DEFAULT_UNVIABLE_AFTER + Duration::from_secs(1)));
    for byte in (1..=10).filter(|byte| !gone.contains(byte)) {
        assert!(!party.sessions[&byte].is_viable(id(1)), "{byte}");
        assert_eq!(party.sessions[&byte].peers().count(), 9);
    }
}

#[test]
fn who_is_linked_again_hears_who_has_been_missed_meanwhile() {
    let mut party = together();
    set_activity(&mut party, 1, Activity::Background);
    everyone_but(1).into_iter().for_each(|byte| party.part(1, byte));
    party.listen(DEFAULT_UNVIABLE_AFTER + Duration::from_secs(1));
    party.cut(2, 3);
    let mut told = Vec::new();
    while let Some((byte, output)) =
        party.sessions.iter_mut().find_map(|(&byte, session)| Some((byte, session.poll()?)))
    {
        if let Output::SendFrame { link, frame: Frame::Missing(missing) } = &output {
            told.push((byte, party.other_end(*link, byte).unwrap(), missing.peer));
        }
        party.carry_out(byte, output);
    }
    told.sort_unstable();
    assert_eq!(told, [(2, 3, id(1)), (3, 2, id(1))]);
}

#[test]
fn a_peer_whose_witnesses_leave_is_asked_and_names_others() {
    let mut party = together_of(10);
    set_activity(&mut party, 1, Activity::Background);
    party.listen(REST);
    let witnesses = party.linked(1);
    for &byte in &witnesses {
        party.command(byte, Command::Leave);
    }
    party.listen(3 * REST);
    assert_eq!(party.linked(1).len(), KEPT_LINKS);
    let left = (2..=10).filter(|byte| !witnesses.contains(byte));
    assert!(left.clone().all(|byte| party.sessions[&byte].is_viable(id(1))));
    assert_eq!(left.filter(|byte| party.sessions[byte].is_resting(id(1))).count(), 3);
}

#[test]
fn among_many_in_the_background_nobody_is_left_without_a_few_in_touch() {
    for alone in 1..=COUNT {
        let mut party = together();
        let others = everyone_but(alone);
        others.iter().for_each(|&byte| set_activity(&mut party, byte, Activity::Background));
        party.listen(3 * REST);
        let links = |party: &Party| {
            let session = &party.sessions[&alone];
            others.iter().map(|&byte| session.attached(id(byte))).collect::<Vec<_>>()
        };
        let before = links(&party);
        assert!((KEPT_LINKS..6).contains(&before.iter().flatten().count()), "{alone}: {before:?}");
        party.listen(Duration::from_mins(1));
        assert_eq!(links(&party), before, "{alone}: links that stay are not woken over and over");
    }
}

#[test]
fn who_is_left_by_all_in_touch_with_it_wakes_others() {
    let mut party = together_of(10);
    (2..=10).for_each(|byte| set_activity(&mut party, byte, Activity::Background));
    party.listen(3 * REST);
    let in_touch = party.linked(1);
    assert!((KEPT_LINKS..7).contains(&in_touch.len()), "{in_touch:?}");
    in_touch.into_iter().for_each(|byte| party.command(byte, Command::Leave));
    party.listen(Duration::from_secs(3));
    assert!(party.linked(1).len() >= KEPT_LINKS.min(party.peers(1).len()), "{:?}", party.linked(1));
}

#[test]
fn when_one_is_gone_to_whom_a_link_is_kept_another_takes_its_place() {
    let (mut party, _) = at_rest();
    let kept = party.linked(1);
    party.part(1, kept[0]);
    // The others are told that it may be gone, and find that it is not.
    party.listen(2 * REST);
    let now_kept = party.linked(1);
    assert_eq!(now_kept.len(), KEPT_LINKS);
    assert!(!now_kept.contains(&kept[0]) && now_kept[1..].iter().any(|byte| kept.contains(byte)));
}

#[test]
fn links_to_hubs_and_to_the_host_are_kept() {
    let mut party = Party::default();
    let hubs = [3, 4, 5, 6];
    for byte in 1..=COUNT {
        let mut config = tests::config(byte);
        if hubs.contains(&byte) {
            config.relay_port = Some(1);
        } else if byte == 2 {
            config.inviting = Inviting::HostAlone;
        }
        party.add(config, byte);
    }
    everyone_but(2).into_iter().for_each(|byte| party.bring_in(2, byte));
    party.listen(Duration::from_secs(2));
    set_activity(&mut party, 1, Activity::Background);
    set_activity(&mut party, 3, Activity::Background);
    party.listen(3 * REST);
    assert_eq!(party.linked(1), [2, 3, 4, 5, 6], "and not to who is neither");
    assert_eq!(party.linked(3), everyone_but(3), "a hub's links are for the others");
}
