//! Peers that answer, that do not, and a listener that was asleep.

use std::time::Duration;

use super::{proving_tests::Pair, tests::id, *};
use crate::{limits::LISTEN_INTERVAL, trust::Admission};

const LINK: LinkId = LinkId(1);
/// Looks in the time after which silence counts.
const LOOKS: u32 = 8;

/// Alice and Bob, who are connected.
fn connected() -> Pair {
    let mut pair = Pair::new(Admission::open(), Admission::open());
    pair.join();
    assert!(pair.alice.is_viable(id(2)));
    pair
}

/// Alice listens so many times, and hears Bob or does not. Returns what she was told, and how often she
/// asked.
fn listen(pair: &mut Pair, times: u32, hears: bool) -> (Vec<bool>, usize) {
    let (mut told, mut asked) = (Vec::new(), 0);
    for _ in 0..times {
        pair.now = pair.now + LISTEN_INTERVAL;
        let links = if hears { vec![LINK] } else { Vec::new() };
        pair.alice.handle(pair.now, Input::Heard { links, used: Vec::new() });
        while let Some(output) = pair.alice.poll() {
            match output {
                Output::Event(Event::ViabilityChanged { peer, viable }) => {
                    assert_eq!((peer, pair.alice.is_viable(peer)), (id(2), viable));
                    told.push(viable);
                }
                Output::SendFrame { frame: Frame::Ping(_), .. } => asked += 1,
                _ => {}
            }
        }
    }
    (told, asked)
}

#[test]
fn a_peer_that_falls_silent_is_not_viable_once_and_viable_again_once() {
    let mut pair = connected();
    assert_eq!(listen(&mut pair, 20, true), (vec![], 0));
    assert_eq!(listen(&mut pair, LOOKS - 1, false), (vec![], 0), "not yet");
    assert_eq!(listen(&mut pair, 5, false), (vec![false], 5), "and is asked each time");
    assert_eq!(listen(&mut pair, 3, true), (vec![true], 0));
    assert_eq!(pair.alice.peers().count(), 1);
}

#[test]
fn who_was_asleep_does_not_blame_the_others() {
    let mut pair = connected();
    listen(&mut pair, 2, true);
    pair.now = pair.now + Duration::from_mins(10);
    assert_eq!(listen(&mut pair, 3, false), (vec![], 0));
    assert_eq!(listen(&mut pair, LOOKS, false).0, [false], "awake it listens as before");
}

#[test]
fn who_has_moved_gives_up_a_link_on_which_no_answer_comes() {
    let address = |last| SocketAddr::from(([10, 0, 0, last], 1));
    let moves = |pair: &mut Pair, to| {
        pair.alice.handle(pair.now, Input::OwnAddresses(vec![address(to)]));
        let outputs: Vec<Output> = std::iter::from_fn(|| pair.alice.poll()).collect();
        outputs
            .iter()
            .filter(|o| matches!(o, Output::SendFrame { frame: Frame::Ping(_), .. }))
            .count()
    };
    let mut pair = connected();
    assert_eq!(moves(&mut pair, 1), 0, "the first address is no move");
    listen(&mut pair, 2, true);
    assert_eq!(moves(&mut pair, 2), 1, "everyone is asked");
    listen(&mut pair, LOOKS, true);
    assert_eq!(pair.alice.attached(id(2)), Some(LINK), "the link has moved, too");
    // An idle link brings nothing but answers, and the first before it is listened for them.
    moves(&mut pair, 4);
    let mut answered = true;
    for _ in 0..LOOKS {
        let (told, asked) = listen(&mut pair, 1, answered);
        assert_eq!(told, []);
        answered = asked > 0;
    }
    assert_eq!(pair.alice.attached(id(2)), Some(LINK), "it answers");
    moves(&mut pair, 3);
    listen(&mut pair, 3, false);
    assert_eq!(pair.alice.attached(id(2)), None);
    assert_eq!(pair.alice.peers().count(), 1);
    pair.meet_over(LinkId(2), [7, 7]);
    assert_eq!(pair.alice.attached(id(2)), Some(LinkId(2)));
    assert_eq!(pair.bob.attached(id(1)), Some(LinkId(2)));
}

#[test]
fn a_link_that_dies_and_is_replaced_soon_is_not_told_of() {
    let mut pair = connected();
    listen(&mut pair, 2, true);
    for side in [&mut pair.alice, &mut pair.bob] {
        side.handle(pair.now, Input::LinkDown { link: LINK });
    }
    assert_eq!(listen(&mut pair, 2, false).0, []);
    pair.meet_over(LinkId(2), [7, 7]);
    assert!(pair.alice.attached(id(2)).is_some());
    assert_eq!(listen(&mut pair, LOOKS - 1, false).0, [], "the new link was a sign of life");
    assert_eq!(listen(&mut pair, 1, false).0, [false]);
    // And without any link it comes back with the next one.
    let attached = pair.alice.attached(id(2)).unwrap();
    pair.alice.handle(pair.now, Input::LinkDown { link: attached });
    pair.bob.handle(pair.now, Input::LinkDown { link: attached });
    assert_eq!(listen(&mut pair, 4, false), (vec![], 0), "nobody to ask");
    pair.meet_over(LinkId(3), [8, 8]);
    assert!(pair.alice.is_viable(id(2)));
}
